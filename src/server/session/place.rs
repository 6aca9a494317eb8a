//! Where a client belongs: here, at another server, or on its way to another cluster.

use super::door::Attempt;
use super::{Other, Output, Phase, Session};
use crate::server::placement::Place;
use crate::wire::message::{ServerAddress, ServerMsg};

impl Session {
    /// What follows on the connection is not this session's.
    pub(super) fn hand_over(&mut self, to: Other) {
        self.welcome();
        self.phase = Phase::Closed;
        self.out.push(Output::HandOver { to, challenge: self.challenge() });
    }

    pub(super) fn on_place(&mut self, place: Place, address: Option<ServerAddress>) {
        let guest = matches!(self.phase, Phase::Door(Attempt::Receiving));
        if !guest && !matches!(self.phase, Phase::Door(Attempt::Placing)) {
            return;
        }
        match (place, address) {
            // A guest needs nobody here but the way home.
            (Place::Here | Place::Nowhere, _) if guest => self.hand_over(Other::Guest),
            (Place::Here, _) => self.welcome(),
            // Whoever carries the client knows no other server.
            (Place::At(_), _) if self.carried.is_some() => {
                self.go_away("this server is drained");
            }
            (Place::At(_), Some(address)) => self.end(ServerMsg::Redirect(address)),
            (Place::At(_), None) | (Place::Nowhere, _) => self.go_away(&self.waiting_for()),
        }
    }
}
