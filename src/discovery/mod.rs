//! UDP on the local network: who leads here, and which clusters are there? One
//! question, broadcast; one answer, by the leader alone. It must not know how
//! leadership comes about, nor what is done with an answer.

mod allowance;
pub mod answer;
pub mod ask;

#[cfg(test)]
mod tests;
