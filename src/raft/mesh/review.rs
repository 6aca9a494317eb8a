//! A hello is judged when a connection is made, but some of what it is judged by is
//! learned later: the cluster's id, the members' data directories. Here the hellos
//! of live connections are judged again. It must not know what was learned.

use super::connection::Connection;
use super::{Company, When, hello};
use std::sync::{Arc, PoisonError};

/// Judges whenever it is told to, for ever.
pub(super) async fn keep(company: Company) {
    loop {
        company.shared.review.notified().await;
        let slots = company.shared.slots.read().unwrap_or_else(PoisonError::into_inner).clone();
        for slot in slots.values() {
            let connection = slot.current().clone();
            if let Some(connection) = connection {
                company.judge_again(&connection);
            }
        }
    }
}

impl Company {
    fn judge_again(&self, connection: &Arc<Connection>) {
        let (seat, theirs) = (connection.seat, &connection.hello);
        let ours = (self.hello)(seat);
        let judged =
            hello::check(&ours, theirs).and_then(|()| self.judge(seat, theirs, When::Connected));
        if let Err(reason) = judged {
            self.shared.dismiss(connection);
            self.shared.refused(seat, true, reason);
            connection.close();
        }
    }
}
