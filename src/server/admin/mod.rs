//! HTTP for probes, metrics and operators' orders, on a listener of its own, on this machine alone
//! unless told otherwise. It stays while the server waits for its database. It must not know what
//! is behind an answer, nor ask other servers for a probe's sake.
//!
//! ```text
//! GET  /livez /readyz /metrics /v1/status /v1/events /v1/backup      POST /v1/orders
//! POST /v1/registration /v1/invitations /v1/links
//! ```

mod accounts;
mod backup;
mod caller;
mod desk;
mod door;
mod links;
mod metrics;
mod orders;
mod reply;
mod routes;
mod settle;

#[cfg(test)]
mod tests;

pub use desk::{Desk, Now};
pub use door::serve;
pub use metrics::{install, keep};
