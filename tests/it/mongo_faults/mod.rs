//! Real servers on databases that fail in every way a database can, while people talk through
//! them. It must not know how a store is written.

mod away;
mod refused;
mod taken;
mod talk;
