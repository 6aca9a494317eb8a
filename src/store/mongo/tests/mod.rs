//! The store on a real socket with the real driver: killed between any two writes, owned by
//! one process, read by people, and the commands and queries that it sends.

mod ahead;
mod commands;
mod indexes;
mod killed;
mod owner;
mod people;
