//! What the tests stand on besides the program itself: a MongoDB to store in, connections
//! that break, a server that says what a script says, and addresses of one's own. Both the
//! unit tests and the scenarios include it. It must not know what a test asserts, nor
//! anything of this project's own code.

pub mod mongod;
pub mod place;
pub mod scripted;
pub mod signal;
pub mod tcp_proxy;
pub mod wait;
