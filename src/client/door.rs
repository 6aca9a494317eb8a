//! From the hello to the login: which cluster this is, and who the client is. A
//! part of the session; it must not know what comes after.

use super::key::DeviceKey;
use super::session::{Known, Output, Phase, Session};
use super::{ClientError, ClientEvent};
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::wire;
use crate::wire::message::{ClientMsg, Credentials, Hello, Purpose, ServerMsg, Welcome};

/// The hello must be answered within this time, in milliseconds.
const HELLO_MS: u64 = 3000;

impl Session {
    pub(super) fn say_hello(&mut self, now: u64, placed: bool) {
        self.phase = Phase::Hello;
        self.deadline = now + HELLO_MS;
        self.out.push_back(Output::Send(ClientMsg::Hello(Hello {
            min: wire::VERSION,
            max: wire::VERSION,
            features: 0,
            purpose: Purpose::Chat,
            device: Some(self.identity.device),
            placed,
            cluster: self.identity.cluster,
            events_after: None,
        })));
    }

    pub(super) fn on_greeting(&mut self, now: u64, message: ServerMsg) {
        match message {
            ServerMsg::Welcome(welcome) => self.on_welcome(now, welcome),
            ServerMsg::Redirect(to) => self.on_redirect(to),
            ServerMsg::Refused { refusal: Refusal::WrongCluster, text, .. } => {
                self.on_other_cluster(&text);
            }
            other => self.on_trouble(other),
        }
    }

    fn on_welcome(&mut self, now: u64, welcome: Welcome) {
        if welcome.version != wire::VERSION {
            return self.fail(ClientError::Refused(Refusal::Version));
        }
        let (cluster, name) = (welcome.cluster, welcome.cluster_name.clone());
        self.out.push_back(Output::Met { cluster, name });
        let known = self.identity.cluster;
        let same = known == Some(welcome.cluster);
        let restored = known.is_some_and(|known| !same && welcome.former.contains(&known));
        if known.is_some() && !same && !restored {
            return self.on_other_cluster(&format!("this is the cluster {}", welcome.cluster_name));
        }
        let before = self.identity.generation.unwrap_or(1);
        if same && welcome.generation < before {
            let text = "this server was left behind when its cluster was recovered";
            return self.close(None, text);
        }
        if restored || (same && welcome.generation > before) {
            self.begin_again(restored, welcome.began_ms);
        }
        self.identity.cluster = Some(welcome.cluster);
        self.identity.generation = Some(welcome.generation);
        self.cluster = welcome.cluster;
        self.cluster_name.clone_from(&welcome.cluster_name);
        self.generation = welcome.generation;
        self.seat = welcome.seat;
        self.challenge = welcome.challenge;
        self.features = welcome.features;
        let known = Known {
            cluster: welcome.cluster,
            name: welcome.cluster_name,
            generation: welcome.generation,
            servers: welcome.servers,
        };
        if self.began.is_some() {
            // Not before all that follows from it is done.
            self.news = Some(known);
        } else {
            self.out.push_back(Output::Known(known));
        }
        self.event(ClientEvent::Cluster(welcome.state));
        let login_ms = u64::try_from(limits::LOGIN_TIME.as_millis()).unwrap_or(u64::MAX);
        self.deadline = now + login_ms;
        self.knock();
    }

    /// The device belongs to a cluster that is not this one.
    fn on_other_cluster(&mut self, text: &str) {
        if self.was_live || self.has_unsent() {
            return self.fail(ClientError::State(format!(
                "{text}, and this device has messages for another one; \
                 choose it with --cluster, or wait until it is back"
            )));
        }
        if self.identity.cluster.is_none() {
            // It named no cluster: to become another device would help nobody.
            return self.close(None, text);
        }
        self.on_lost();
        self.out.push_back(Output::Renew);
    }

    /// Proves who the client is, by the best means it has.
    fn knock(&mut self) {
        self.phase = Phase::Door;
        let account = &self.identity.account;
        let credentials = |password: &String| Credentials {
            name: account.name.clone(),
            password: password.clone(),
            key: self.identity.key.as_ref().map(DeviceKey::public),
            invite: account.invite.clone().filter(|_| account.register).unwrap_or_default(),
        };
        let message = match (&self.identity.token, &account.password) {
            (Some(token), _) => {
                let own = &self.identity;
                let sign = |key: &DeviceKey| key.sign(self.cluster, own.device, &self.challenge);
                let signature = own.key.as_ref().map(sign).unwrap_or_default();
                ClientMsg::Token { name: account.name.clone(), token: token.clone(), signature }
            }
            (None, _) if self.via.is_some() => {
                return self.fail(ClientError::GoHome { home: self.cluster_name.clone() });
            }
            (None, Some(password)) if account.register => {
                ClientMsg::Register(credentials(password))
            }
            (None, Some(password)) => ClientMsg::Login(credentials(password)),
            (None, None) => return self.fail(ClientError::PasswordNeeded),
        };
        self.out.push_back(Output::Send(message));
    }

    pub(super) fn at_the_door(&mut self, now: u64, message: ServerMsg) {
        match message {
            ServerMsg::Authenticated { user, token, .. } => {
                self.user = user;
                if !token.is_empty() {
                    self.identity.token = Some(token.clone());
                    self.out.push_back(Output::Token(Some(token)));
                }
                let login_ms = u64::try_from(limits::LOGIN_TIME.as_millis()).unwrap_or(u64::MAX);
                self.deadline = now + login_ms;
                self.resume();
            }
            ServerMsg::Refused { refusal, text, .. } => self.on_turned_down(refusal, text),
            other => self.on_trouble(other),
        }
    }

    fn on_turned_down(&mut self, refusal: Refusal, text: String) {
        let used_token = self.identity.token.is_some();
        match refusal {
            // A password is typed at home alone.
            Refusal::UnknownDevice | Refusal::BadCredentials if self.via.is_some() => {
                self.identity.token = None;
                self.out.push_back(Output::Token(None));
                self.fail(ClientError::GoHome { home: self.cluster_name.clone() });
            }
            Refusal::UnknownDevice | Refusal::BadCredentials if used_token => {
                self.identity.token = None;
                self.out.push_back(Output::Token(None));
                self.knock();
            }
            // The user is not new: then this is a login.
            Refusal::NameTaken if !used_token && self.identity.account.register => {
                self.identity.account.register = false;
                self.name_was_taken = true;
                self.knock();
            }
            Refusal::BadCredentials if self.name_was_taken => {
                self.fail(ClientError::Refused(Refusal::NameTaken));
            }
            Refusal::Overloaded => self.close(None, text),
            _ => self.fail(ClientError::Refused(refusal)),
        }
    }

    /// Answers that fit nowhere before the login.
    fn on_trouble(&mut self, message: ServerMsg) {
        match message {
            ServerMsg::Busy { retry_after_ms } => {
                self.close(Some(u64::from(retry_after_ms)), "the server is busy");
            }
            ServerMsg::Refused { refusal: Refusal::Overloaded, text, .. } => self.close(None, text),
            ServerMsg::Refused { refusal, .. } => self.fail(ClientError::Refused(refusal)),
            _ => self.close(None, "the server does not follow the protocol"),
        }
    }

    pub(super) fn fail(&mut self, error: ClientError) {
        self.on_lost();
        self.out.push_back(Output::Failed(error));
    }
}
