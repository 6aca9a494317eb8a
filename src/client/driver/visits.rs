//! The part of the driver for a user who is a guest of another cluster: when it has a pass, and
//! what comes of the way home. It must not know what is said on it.

use super::Driver;
use crate::client::device::Device;
use crate::client::dial::Conn;
use crate::client::find::address;
use crate::client::link::Link;
use crate::client::visit::{NoWay, Pass, Way};
use crate::client::{ClientError, ClientEvent, Connection};
use crate::limits;
use std::time::{Duration, SystemTime};

/// Whether a device that is kept has nothing, or not for long any more, with which to be a guest.
pub(super) fn lacks_certificate(device: &Device) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let lasts = |until_ms| Duration::from_millis(until_ms) > now + limits::CERTIFICATE_RENEW;
    device.is_kept() && !device.valid_certificate().is_some_and(|said| lasts(said.until_ms))
}

impl Driver {
    /// What this device has to show elsewhere; `None` where it was never at home, or its cluster
    /// says nothing of it.
    fn pass(&self) -> Option<Pass> {
        let device = self.shared.device();
        let home = device.cluster.filter(|_| device.token.is_some())?;
        Some(Pass {
            home,
            name: self.home(),
            key: self.seeker.pins.of(home)?,
            certificate: device.valid_certificate()?.clone(),
            own: device.key.clone()?,
        })
    }

    fn home(&self) -> String {
        self.seeker.finding.home.clone().unwrap_or_default()
    }

    /// Asks the other cluster, whose key is trusted, for the way home.
    pub(super) fn visit(&mut self, to: String, placed: bool, conn: Conn) {
        match self.pass() {
            Some(pass) => {
                let seeker = self.seeker.clone();
                self.link = Link::visit(to, placed, conn, pass, seeker);
            }
            None => {
                let (user, home) = (self.session.user_name().to_owned(), self.home());
                self.session.on_hopeless(ClientError::NoCertificate { user, home });
            }
        }
    }

    pub(super) fn on_visited(&mut self, to: String, placed: bool, way: Result<Way, NoWay>) {
        match way {
            Ok(way) => self.on_way(to, way),
            Err(NoWay::Redirect(to)) if !placed => self.dial(address(&to), true),
            Err(NoWay::Redirect(_)) => self.wait(None, format!("{to} sends guests elsewhere")),
            Err(NoWay::Lost(why)) => self.wait(None, format!("{to}: {why}")),
            Err(NoWay::Away(via)) => self.stay_away(via),
            // Who was connected may be let through again.
            Err(NoWay::Hopeless(error)) if self.session.has_been_live() => {
                self.wait(None, error.to_string());
            }
            Err(NoWay::Hopeless(error)) => self.session.on_hopeless(error),
        }
    }

    fn on_way(&mut self, to: String, way: Way) {
        let Way { conn, via, cluster, key, servers } = way;
        if let Some(key) = key
            && let Err(error) = self.seeker.pins.add(cluster, &via.cluster, key)
        {
            // It is not the user's own cluster: what is said does not depend on it.
            tracing::warn!(event = "client.pins", %error, "a cluster could not be remembered");
        }
        self.seeker.away = Some((cluster, servers));
        // From here on it is home that proves who it is.
        self.authority = conn.authority;
        self.session.comes_by(Some(via));
        self.link = Link::Up(Box::new(conn));
        self.session.on_connected(self.now(), to, true);
    }

    /// The other cluster does not reach home: tries again later.
    fn stay_away(&mut self, via: String) {
        let home = self.home();
        let retry_ms = self.backoff.next(rand::random());
        self.wait_for(retry_ms);
        tracing::debug!(event = "client.away", retry_ms, %home, %via, "home is not reached");
        self.events.push(ClientEvent::Connection(Connection::Away { home, via, retry_ms }));
    }
}
