//! What the tests stand on besides the program itself: a MongoDB to store in, connections
//! that break, a server that says what a script says, disks that are slow, addresses of one's own,
//! and texts that mean ill. Both the unit tests and the scenarios include it. It must not know what a test asserts, nor
//! anything of this project's own code.

pub mod hostile;
pub mod mongod;
pub mod place;
pub mod scripted;
pub mod signal;
pub mod slow_fsync;
pub mod tcp_proxy;
pub mod terminal;
pub mod wait;
