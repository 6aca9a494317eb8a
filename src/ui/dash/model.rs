//! What the operator's screen knows: each node's last statement about itself, and why there is
//! no newer one. It must not know sockets or colours.

use crate::wire::message::Status;

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `host:port` of its client port.
    pub address: String,
    /// Its seat, by its own statement or another's list.
    pub seat: Option<u32>,
    /// Its last answer.
    pub status: Option<Box<Status>>,
    /// When that came, in milliseconds of UNIX time.
    pub answered_ms: u64,
    /// Why the last question has no answer.
    pub error: Option<String>,
    /// A question is on its way.
    pub asking: bool,
    /// Another node named it; nobody gave it.
    pub learned: bool,
}

impl Node {
    /// Its last answer, if that is the answer to the last question.
    #[must_use]
    pub fn fresh(&self) -> Option<&Status> {
        self.status.as_deref().filter(|_| self.error.is_none())
    }

    /// Why it takes no part, where it answers and says so: it waits for its database.
    #[must_use]
    pub fn waits(&self) -> Option<&str> {
        self.fresh().filter(|status| status.role == "down").map(|status| status.why.as_str())
    }
}

/// Everything the operator's screen shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// In the order of their seats.
    pub nodes: Vec<Node>,
    /// This machine's clock, in milliseconds of UNIX time.
    pub now_ms: u64,
    /// First row shown, where not all fit.
    pub first: usize,
}

impl Model {
    /// Nodes that were not asked yet.
    #[must_use]
    pub fn new(addresses: Vec<String>, now_ms: u64) -> Self {
        let mut model = Self { now_ms, ..Self::default() };
        for address in addresses {
            if model.nodes.iter().all(|node| node.address != address) {
                model.nodes.push(Node { address, ..Node::default() });
            }
        }
        model
    }

    /// Takes an answer, and the members it names.
    pub(super) fn answer(&mut self, address: &str, result: Result<Box<Status>, String>) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.iter_mut().find(|node| node.address == address) else { return };
        node.asking = false;
        let status = match result {
            Ok(status) => status,
            Err(why) => {
                node.error = Some(why);
                return;
            }
        };
        node.error = None;
        node.answered_ms = now_ms;
        node.seat = Some(status.seat);
        node.status = Some(status.clone());
        // Known under another name already: what was given stays, what was learned goes.
        let seat = Some(status.seat);
        self.nodes.retain(|n| !n.learned || n.seat != seat || n.address == address);
        for server in &status.servers {
            let address = server.for_clients();
            let same = |n: &&mut Node| n.address == address || n.seat == Some(server.seat);
            match self.nodes.iter_mut().find(same) {
                Some(node) => node.seat = node.seat.or(Some(server.seat)),
                None => self.nodes.push(Node {
                    address,
                    seat: Some(server.seat),
                    learned: true,
                    ..Node::default()
                }),
            }
        }
        self.nodes.sort_by(|a, b| {
            (a.seat.unwrap_or(u32::MAX), &a.address).cmp(&(b.seat.unwrap_or(u32::MAX), &b.address))
        });
    }
}
