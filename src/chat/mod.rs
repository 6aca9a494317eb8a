//! The chat itself, as a replicated state machine: commands in, writes and
//! events out. Pure and total: it must not know clocks, randomness, sockets,
//! stores, encodings or hash order, and it never panics. Two servers that
//! applied the same log have the same state.

pub mod changes;
pub mod command;
pub mod event;
pub mod ids;
pub mod link;
pub mod message;
pub mod name;
pub mod refusal;
pub mod state;
pub mod text;
pub mod write;

mod account;
mod devices;
mod exports;
mod imports;
mod invitations;
mod links;
mod marks;
mod sends;

#[cfg(test)]
pub(crate) mod scripts;
#[cfg(test)]
mod tests;
