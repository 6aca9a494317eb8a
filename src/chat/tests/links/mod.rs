//! Links between clusters, as far as apply goes: whole clusters as pure states, with replicas,
//! and a network between them that delivers late, doubled and in another order.

mod crossing;
mod hostile;
mod orders;

use super::loaded;
use crate::chat::command::{
    Advance, Command, Hear, Import, Meet, Register, Send, Target, Trusting,
};
use crate::chat::ids::{ClusterId, DeviceId, LoginId, UserId};
use crate::chat::link::{Export, Imported, Link, Messages, chain};
use crate::chat::message::{Body, Run};
use crate::chat::state::State;
use crate::chat::write::Write;
use bytes::Bytes;

/// A cluster: its state, what it told others, and what its conversations hold.
#[derive(Clone, Debug)]
struct Cluster {
    id: ClusterId,
    name: String,
    key: [u8; 32],
    state: State,
    /// Another server of it, which applies the same.
    other: State,
    /// What each link was told, from position 1.
    told: Vec<Vec<Export>>,
    /// Every message, in the order in which they came to stand.
    history: Vec<Run>,
    clock: u64,
}

impl Cluster {
    /// A founded one with users 1 to `users`; user `n` has the devices of [`device_of`].
    fn founded(number: u8, users: u64) -> Self {
        let (id, name) = (ClusterId([number; 16]), format!("c{number}"));
        let mut new = Self {
            id,
            name: name.clone(),
            key: [number; 32],
            state: State::default(),
            other: State::default(),
            told: Vec::new(),
            history: Vec::new(),
            clock: 1_700_000_000_000,
        };
        let mut commands = vec![Command::Found { cluster: id, name }];
        for n in 1..=users {
            let own = device_of(number, n);
            commands.push(Command::Register(Register {
                name: format!("user{n}"),
                password_hash: "$argon2id$".to_owned(),
                device: own,
                token_hash: own.0.repeat(2).try_into().unwrap(),
                device_key: Bytes::new(),
                session: LoginId(own.0),
                invite: None,
            }));
        }
        new.apply(commands);
        new
    }

    fn user(&self, number: u64) -> UserId {
        UserId { cluster: self.id, number }
    }

    /// Applies commands on both servers, and keeps what a store would keep.
    fn apply(&mut self, commands: Vec<Command>) {
        self.clock += 7;
        let applied = self.state.apply(self.clock, &commands);
        assert_eq!(applied, self.other.apply(self.clock, &commands), "{commands:?}");
        for write in applied.writes {
            match write {
                Write::Exports { link, first, before, items } => {
                    let at = usize::try_from(link).unwrap();
                    self.told.resize(self.told.len().max(at + 1), Vec::new());
                    let told = &mut self.told[at];
                    assert_eq!(first, told.len() as u64 + 1, "dense");
                    assert_eq!(before, hash_of(told));
                    told.extend(items);
                }
                Write::History { runs, .. } => self.history.extend(runs),
                _ => {}
            }
        }
        for link in self.state.links() {
            let told = self.told.get(usize::try_from(link.number).unwrap());
            let told = told.map_or(&[][..], Vec::as_slice);
            assert_eq!(link.exported.position, told.len() as u64);
            assert_eq!(link.exported.hash, hash_of(told));
        }
    }

    /// The other server starts again from its rows.
    fn restart(&mut self) {
        self.other = loaded(self.other.rows());
        assert_eq!(self.other, self.state);
    }

    /// Both servers have the same rows.
    fn agrees(&self) {
        assert!(self.state.rows().eq(self.other.rows()));
        assert_eq!(loaded(self.state.rows()), self.state);
    }

    /// Hears of another cluster, trusts it and gives it a name.
    fn trust(&mut self, other: &Self) {
        let hear = Command::Hear(other.heard());
        self.apply(vec![hear, Command::Trust(other.trusted_as(&other.name))]);
    }

    fn heard(&self) -> Hear {
        let address = "192.0.2.1:7101".to_owned();
        Hear { cluster: self.id, name: self.name.clone(), key: self.key, address }
    }

    fn trusted_as(&self, alias: &str) -> Trusting {
        Trusting { cluster: self.id, key: self.key, alias: alias.to_owned() }
    }

    /// Notes a user of another cluster, as after a question there.
    fn meet(&mut self, other: &Self, number: u64) {
        let (cluster, user) = (other.id, other.user(number));
        self.apply(vec![Command::Meet(Meet { cluster, user, name: format!("user{number}") })]);
    }

    fn link(&self, other: &Self) -> &Link {
        self.state.link(other.id).unwrap()
    }

    /// What the leader proposes when it pulls from `other` now: at most `count` positions.
    fn pull(&self, other: &Self, count: usize) -> Option<Command> {
        let (link, theirs) = (self.link(other), other.link(self));
        let Imported { generation, position, .. } = link.imported;
        let told = other.told.get(usize::try_from(theirs.number).unwrap())?;
        let from = usize::try_from(position).unwrap();
        let items: Vec<Export> = told.iter().skip(from).take(count).cloned().collect();
        let before = hash_of(told.get(..from)?);
        let import = Import { cluster: other.id, generation, first: position + 1, before, items };
        (!import.items.is_empty()).then_some(Command::Import(import))
    }

    /// Takes over all that the other one tells.
    fn pull_all(&mut self, other: &Self) {
        while let Some(import) = self.pull(other, 3) {
            self.apply(vec![import]);
        }
    }

    /// A message of a local user.
    fn send(&mut self, device: DeviceId, to: UserId, texts: &[String]) {
        let epoch = self.state.device(device).map_or(0, |known| known.row.epoch);
        let first_number = self.state.sent(device, 0).map_or(0, |sent| sent.last_number) + 1;
        let bodies = texts.iter().map(Body::text).collect();
        let (to, confirmed) = (Target::User(to), first_number - 1);
        let send = Send { device, epoch, group: 0, first_number, confirmed, to, bodies };
        self.apply(vec![Command::Send(send)]);
    }

    /// A local user has come so far in the conversation with somebody, by the number of messages.
    fn mark(&mut self, user: UserId, with: UserId, delivered: u64, read: u64) {
        let Some(conversation) = self.state.direct(user, with) else { return };
        let advance = Advance { user, conversation, delivered, read };
        self.apply(vec![Command::Marks(vec![advance])]);
    }

    /// The runs of the conversation of two users, in order.
    fn between(&self, a: UserId, b: UserId) -> Vec<&Run> {
        let conversation = self.state.direct(a, b);
        self.history.iter().filter(|run| Some(run.conversation) == conversation).collect()
    }
}

fn device_of(cluster: u8, user: u64) -> DeviceId {
    DeviceId([cluster * 16 + u8::try_from(user).unwrap(); 16])
}

fn hash_of(told: &[Export]) -> [u8; 32] {
    told.iter().fold([0; 32], |hash, item| chain(&hash, item))
}

/// An import of these items that follows on what `of` took over from `from`.
fn following(of: &Cluster, from: &Cluster, items: Vec<Export>) -> Import {
    let Imported { generation, position, hash } = of.link(from).imported;
    Import { cluster: from.id, generation, first: position + 1, before: hash, items }
}

/// Messages that may be told: user 1 of `from` to user 1 of `to`.
fn messages(from: &Cluster, to: &Cluster, first_number: u64, texts: &[&str]) -> Messages {
    Messages {
        sender: from.user(1),
        name: "user1".to_owned(),
        to: to.user(1),
        origin: from.id,
        device: device_of(from.id.0[0], 1),
        first_number,
        at_ms: 1_700_000_000_001,
        bodies: texts.iter().map(|text| Body::text(*text)).collect(),
    }
}
