//! Users of different clusters write to each other, whatever the network and the servers between
//! them do: each message comes once, in order, with the same id, and the marks come back.

use super::{Cluster, device_of};
use crate::chat::command::Command;
use crate::chat::ids::{DeviceId, MessageId, UserId};
use crate::chat::message::Body;
use crate::chat::scripts::seeds;
use crate::limits;
use rand::Rng;
use rand::rngs::StdRng;

const USERS: u64 = 2;

/// Clusters that trust each other, and imports that are on their way to each.
struct World {
    clusters: Vec<Cluster>,
    flying: Vec<Vec<Command>>,
    said: u64,
}

impl World {
    fn new(count: u8) -> Self {
        let mut clusters: Vec<Cluster> =
            (1..=count).map(|number| Cluster::founded(number, USERS)).collect();
        for at in 0..clusters.len() {
            let others = clusters.clone();
            for (_, other) in others.iter().enumerate().filter(|(n, _)| *n != at) {
                clusters[at].trust(other);
                (1..=USERS).for_each(|number| clusters[at].meet(other, number));
            }
        }
        let flying = clusters.iter().map(|_| Vec::new()).collect();
        Self { clusters, flying, said: 0 }
    }

    fn two(&self, rng: &mut StdRng) -> (usize, usize) {
        let at = rng.random_range(0..self.clusters.len());
        let other = (at + rng.random_range(1..self.clusters.len())) % self.clusters.len();
        (at, other)
    }

    fn step(&mut self, rng: &mut StdRng) {
        let (at, other) = self.two(rng);
        let (mine, theirs) = (rng.random_range(1..=USERS), rng.random_range(1..=USERS));
        let with = self.clusters[other].user(theirs);
        let here = &mut self.clusters[at];
        let user = here.user(mine);
        match rng.random_range(0..20) {
            0..6 => {
                let count = rng.random_range(1..4);
                let texts: Vec<_> = (0..count).map(|n| format!("{} {n}", self.said)).collect();
                self.said += 1;
                here.send(device_of(here.id.0[0], mine), with, &texts);
            }
            6..10 => {
                let last = here.state.direct(user, with).and_then(|c| here.state.conversation(c));
                let last = last.map_or(0, |room| room.row.last_seq);
                let read = rng.random_range(0..=last);
                here.mark(user, with, rng.random_range(read..=last), read);
            }
            10..15 => {
                let count = rng.random_range(1..4);
                let import = self.clusters[at].pull(&self.clusters[other], count);
                self.flying[at].extend(import);
            }
            15..18 => self.deliver(at, rng),
            18 => self.clusters[at].restart(),
            _ => self.trouble(at, other, rng),
        }
    }

    /// One import arrives, or two in one entry; perhaps once more later.
    fn deliver(&mut self, at: usize, rng: &mut StdRng) {
        let mut arrived = Vec::new();
        while !self.flying[at].is_empty() && arrived.len() < 2 {
            let which = rng.random_range(0..self.flying[at].len());
            let import = self.flying[at].swap_remove(which);
            if rng.random_bool(0.3) {
                self.flying[at].push(import.clone());
            }
            arrived.push(import);
        }
        self.clusters[at].apply(arrived);
    }

    /// Something that brings the exports from their beginning again.
    fn trouble(&mut self, at: usize, other: usize, rng: &mut StdRng) {
        let cluster = self.clusters[other].id;
        let generation = self.clusters[at].link(&self.clusters[other]).imported.generation + 1;
        let why = crate::chat::link::Stop::RolledBack;
        let commands = match rng.random_range(0..3) {
            0 => vec![Command::Rewind { cluster, generation }],
            1 => vec![Command::StopLink { cluster, why }, Command::Resume { cluster }],
            // What was proposed by an earlier leader is lost.
            _ => {
                self.flying[at].clear();
                return;
            }
        };
        self.clusters[at].apply(commands);
    }

    /// Everything arrives everywhere: also the marks that follow from it.
    fn settle(&mut self) {
        for _ in 0..3 {
            for at in 0..self.clusters.len() {
                for other in (0..self.clusters.len()).filter(|other| *other != at) {
                    let from = self.clusters[other].clone();
                    self.clusters[at].pull_all(&from);
                }
            }
        }
    }

    fn check(&self) {
        for cluster in &self.clusters {
            cluster.agrees();
            assert!(cluster.state.links().all(|link| link.turned_down == 0));
        }
        for (n, one) in self.clusters.iter().enumerate() {
            for two in &self.clusters[n + 1..] {
                for (a, b) in (1..=USERS).flat_map(|a| (1..=USERS).map(move |b| (a, b))) {
                    same_messages(one, two, one.user(a), two.user(b));
                    same_messages(one, two, two.user(b), one.user(a));
                    same_marks(one, two, one.user(a), two.user(b));
                    same_marks(two, one, two.user(b), one.user(a));
                }
            }
        }
    }
}

/// The messages of `from` to `to`, in the order in which they stand in a cluster.
fn messages(of: &Cluster, from: UserId, to: UserId) -> Vec<(MessageId, Body)> {
    let runs = of.between(from, to).into_iter().filter(|run| run.sender == from);
    let all = runs.flat_map(|run| {
        let each = (0..run.count()).zip(&run.bodies);
        each.map(|(offset, body)| (run.id(offset), body.clone()))
    });
    all.collect()
}

fn same_messages(one: &Cluster, two: &Cluster, from: UserId, to: UserId) {
    let (here, there) = (messages(one, from, to), messages(two, from, to));
    assert_eq!(here, there, "{from} to {to}");
    let numbers: Vec<u64> = here.iter().map(|(id, _)| id.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "once and in order: {numbers:?}");
    for cluster in [one, two] {
        let seqs: Vec<u64> = cluster
            .between(from, to)
            .iter()
            .flat_map(|run| run.first_seq..=run.last_seq())
            .collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    }
}

/// The last message of `writer` that a mark of `reader` covers, delivered and read.
fn come_to(of: &Cluster, reader: UserId, writer: UserId) -> [Option<(DeviceId, u64)>; 2] {
    let Some(conversation) = of.state.direct(reader, writer) else { return [None; 2] };
    let mark = of.state.mark(conversation, reader);
    [mark.map_or(0, |m| m.delivered), mark.map_or(0, |m| m.read)].map(|upto| {
        let runs = of.between(reader, writer).into_iter().filter(|run| run.sender == writer);
        let mut seqs = runs.flat_map(|run| {
            (0..run.count()).map(|n| (run.first_seq + n, (run.device, run.first_number + n)))
        });
        seqs.rfind(|(seq, _)| *seq <= upto).map(|(_, id)| id)
    })
}

/// What the writer's cluster shows of the reader is what the reader's cluster has.
fn same_marks(readers: &Cluster, writers: &Cluster, reader: UserId, writer: UserId) {
    let (has, shown) = (come_to(readers, reader, writer), come_to(writers, reader, writer));
    assert_eq!(shown, has, "{reader} with the messages of {writer}");
}

#[test]
fn two_clusters_come_to_the_same_conversations() {
    seeds(1500, |rng| {
        let mut world = World::new(2);
        (0..rng.random_range(20..90)).for_each(|_| world.step(rng));
        world.settle();
        world.check();
    });
}

#[test]
fn three_clusters_come_to_the_same_conversations() {
    seeds(600, |rng| {
        let mut world = World::new(3);
        (0..rng.random_range(20..120)).for_each(|_| world.step(rng));
        world.settle();
        world.check();
    });
}

/// More stretches than are remembered: what is forgotten counts once something later does.
#[test]
fn a_long_unread_conversation_keeps_a_short_trail() {
    let (mut west, mut east) = (Cluster::founded(1, 1), Cluster::founded(2, 1));
    west.trust(&east);
    east.trust(&west);
    west.meet(&east, 1);
    let (alice, bob) = (west.user(1), east.user(1));
    let rounds = limits::TRAIL as u64 + 20;
    for n in 0..rounds {
        west.send(device_of(1, 1), bob, &[format!("from west {n}")]);
        east.pull_all(&west);
        east.send(device_of(2, 1), alice, &[format!("from east {n}")]);
        west.pull_all(&east);
        east.restart();
    }
    let trail = |of: &Cluster| {
        let room = of.state.conversation(of.state.direct(alice, bob).unwrap()).unwrap();
        room.row.trail.len()
    };
    assert!(trail(&west) <= limits::TRAIL && trail(&east) <= limits::TRAIL);
    same_messages(&west, &east, alice, bob);
    same_messages(&west, &east, bob, alice);
    // The first message is forgotten: that it was read shows only with a later one.
    east.mark(bob, alice, 1, 1);
    west.pull_all(&east);
    let last = 2 * rounds;
    east.mark(bob, alice, last, last);
    west.pull_all(&east);
    same_marks(&east, &west, bob, alice);
    assert_eq!(come_to(&west, bob, alice)[1], Some((device_of(1, 1), rounds)));
    west.agrees();
    east.agrees();
}

/// Who writes much does not make the other one's last words forgotten.
#[test]
fn last_words_are_marked_however_much_the_reader_writes() {
    let (mut west, mut east) = (Cluster::founded(1, 2), Cluster::founded(2, 1));
    west.trust(&east);
    east.trust(&west);
    west.meet(&east, 1);
    east.meet(&west, 1);
    let (alice, bob) = (west.user(1), east.user(1));
    east.send(device_of(2, 1), alice, &["last words".to_owned()]);
    west.pull_all(&east);
    for n in 0..2 * limits::TRAIL {
        // Numbers with gaps, for others are written to between: a stretch for each.
        west.send(device_of(1, 1), bob, &[format!("to bob {n}")]);
        west.send(device_of(1, 1), west.user(2), &[format!("to another {n}")]);
    }
    east.pull_all(&west);
    west.mark(alice, bob, 1, 1);
    east.pull_all(&west);
    assert_eq!(come_to(&east, alice, bob), [Some((device_of(2, 1), 1)); 2]);
    same_marks(&west, &east, alice, bob);
    let last = 2 * limits::TRAIL as u64 + 1;
    east.mark(bob, alice, last, last);
    west.pull_all(&east);
    same_marks(&east, &west, bob, alice);
    west.agrees();
    east.agrees();
}
