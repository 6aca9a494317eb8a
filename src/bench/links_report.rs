//! The result between clusters: one JSON object, or some lines for people.

use super::figures::{Figures, MIB};
use super::verdict::Verdict;
use serde::Serialize;

/// What was measured between clusters.
#[derive(Clone, Debug, Serialize)]
pub struct LinksReport {
    /// How much, how fast: acknowledged at home, received elsewhere.
    #[serde(flatten)]
    pub figures: Figures,
    /// Clusters, the sender's among them.
    pub clusters: usize,
    /// Servers in all of them.
    pub servers: usize,
    /// Memory of all servers at the end, in bytes.
    pub resident_bytes: u64,
    /// Memory of the largest one.
    pub resident_max_bytes: u64,
}

impl LinksReport {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "links: {} messages of {} bytes to one user in each of {} other clusters, {} servers \
             in all\n{}\n\
             \x20 memory of the servers: {} MiB in all, the largest {} MiB",
            self.figures.messages,
            self.figures.size,
            self.clusters - 1,
            self.servers,
            self.figures.lines("sending"),
            self.resident_bytes / MIB,
            self.resident_max_bytes / MIB,
        ) + &Verdict::line(self.figures.verdict.as_ref())
    }
}
