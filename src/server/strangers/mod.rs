//! Clients that have not logged in: at most so many, and of one address. Where there is no
//! place left somebody gives way who has had one; nobody is banned, and nobody is remembered
//! once the connection is gone. It must not know what is said on a connection.

mod owed;
mod places;

use super::origin::Origin;
use super::shared::lock;
use crate::wire::message::ServerMsg;
use owed::Owed;
use places::{Places, Ticket, Verdict};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// Who had to go comes back after this time.
const COME_BACK_MS: u32 = 1_000;

/// All places. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Strangers {
    places: Arc<Mutex<Places<CancellationToken>>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Guest {
    places: Arc<Mutex<Places<CancellationToken>>>,
    origin: Origin,
    ticket: Ticket,
    owed: Owed,
    owes: bool,
    /// Its registration or login is on its way through the log.
    entering: bool,
    out: CancellationToken,
}

/// Why a guest must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Somebody else has the place now.
    Displaced,
    /// It took too long to say who it is.
    TooSlow,
}

impl Strangers {
    /// A place for a connection from `address`; `None` where there is none. Who has to give way
    /// for it hears so through [`Guest::out`].
    #[must_use]
    pub fn come(&self, address: IpAddr) -> Option<Guest> {
        let (origin, out, now) = (Origin::of(address), CancellationToken::new(), Instant::now());
        let ticket = match lock(&self.places).come(origin, out.clone(), now) {
            Verdict::In(ticket) => ticket,
            Verdict::Instead(ticket, gone) => {
                gone.cancel();
                ticket
            }
            Verdict::Full => return None,
        };
        let places = Arc::clone(&self.places);
        let owed = Owed::new(now);
        Some(Guest { places, origin, ticket, owed, owes: true, entering: false, out })
    }
}

impl Guest {
    /// Its registration or login goes through the log.
    pub const fn enters(&mut self) {
        self.entering = true;
    }

    /// It is told this: then it is not on its way in any more.
    pub const fn told(&mut self, message: &ServerMsg) {
        if !matches!(message, ServerMsg::Cluster(_) | ServerMsg::Pong(_)) {
            self.entering = false;
        }
    }

    /// Says whether the server works for it. The client's time runs only while the next word is
    /// its own, and only then it may have to give way.
    pub fn turn(&mut self, busy: bool) {
        let owes = !busy && !self.entering;
        if self.owes != owes {
            self.owes = owes;
            self.owed.turn(owes, Instant::now());
            lock(&self.places).turn(self.origin, self.ticket, owes);
        }
    }

    /// Does something for which the guest must stay.
    ///
    /// # Errors
    /// Why the guest had to go before it was done.
    pub async fn stays_for<T>(&self, what: impl Future<Output = T>) -> Result<T, Out> {
        tokio::select! {
            out = self.out() => Err(out),
            done = what => Ok(done),
        }
    }

    /// Resolves when the guest must go. May be dropped and asked again.
    pub async fn out(&self) -> Out {
        let slow = async {
            match self.owed.deadline() {
                Some(end) => sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.out.cancelled() => Out::Displaced,
            () = slow => Out::TooSlow,
        }
    }
}

impl Out {
    /// What a guest is told who must go.
    #[must_use]
    pub fn farewell(self) -> ServerMsg {
        match self {
            Self::Displaced => ServerMsg::Busy { retry_after_ms: COME_BACK_MS },
            Self::TooSlow => {
                let text = "the login took too long".to_owned();
                ServerMsg::GoAway { retry_after_ms: COME_BACK_MS, text }
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.places).leave(self.origin, self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::wire::message::ClusterState;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_guest_who_is_on_the_way_in_is_in_nobodys_way() {
        let strangers = Strangers::default();
        let home = IpAddr::from([127, 0, 0, 1]);
        let mut guest = strangers.come(home).unwrap();
        let taken = || lock(&strangers.places).taken();
        guest.turn(true);
        assert_eq!(guest.owed.deadline(), None, "its password is looked at");
        guest.enters();
        guest.told(&ServerMsg::Cluster(ClusterState::default()));
        guest.turn(false);
        assert_eq!(guest.owed.deadline(), None, "the log has its login");
        guest.told(&ServerMsg::Busy { retry_after_ms: 1 });
        guest.turn(false);
        assert!(guest.owed.deadline().is_some(), "it must try again");
        assert_eq!(guest.out().now_or_never(), None);
        assert_eq!(taken(), 1);
        drop(guest);
        assert_eq!(taken(), 0);
    }

    #[tokio::test]
    async fn who_is_displaced_hears_so_and_its_leaving_frees_nothing() {
        let strangers = Strangers::default();
        let mut guests = Vec::new();
        for n in 0..8 {
            for _ in 0..limits::STRANGERS_PER_ADDRESS {
                guests.extend(strangers.come([10, 0, 0, n].into()));
            }
        }
        assert_eq!(guests.len(), limits::SESSIONS_BEFORE_LOGIN);
        let each = limits::STRANGERS_PER_ADDRESS;
        guests[..each].iter_mut().for_each(|guest| guest.turn(true));
        assert!(strangers.come([10, 0, 0, 0].into()).is_none());
        let _next = strangers.come([10, 0, 0, 99].into()).expect("one more comes alone");
        assert_eq!(guests[each].out().now_or_never(), Some(Out::Displaced));
        assert_eq!(guests[each + 1].out().now_or_never(), None);
        guests.remove(each);
        assert_eq!(lock(&strangers.places).taken(), limits::SESSIONS_BEFORE_LOGIN);
    }
}
