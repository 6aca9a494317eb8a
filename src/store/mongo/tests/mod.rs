//! The store on a real socket with the real driver: killed between any two writes, owned by
//! one process, read by people, and the commands that it sends.

mod ahead;
mod commands;
mod killed;
mod owner;
mod people;
