//! A cluster that breaks every rule: what it tells is turned down and counted, or stops its own
//! link. Nothing else is touched, and other links go on.

use super::super::{founded, loaded};
use super::{Cluster, device_of, following, hash_of, messages};
use crate::chat::command::{Command, Import};
use crate::chat::ids::{ClusterId, DeviceId, UserId};
use crate::chat::link::{Export, Link, Marks, Messages, Stop, Trust};
use crate::chat::message::Body;
use crate::chat::scripts::{self, seeds};
use crate::chat::state::State;
use crate::chat::write::Write;
use crate::limits;
use crate::wire::random;
use rand::Rng;

/// West is told things by East, which is hostile, and by North, which is not. All have written
/// to each other before.
struct World {
    west: Cluster,
    east: Cluster,
    north: Cluster,
}

fn world() -> World {
    let (mut west, mut east, mut north) =
        (Cluster::founded(1, 2), Cluster::founded(2, 2), Cluster::founded(3, 2));
    for other in [&east, &north] {
        west.trust(other);
        west.meet(other, 1);
    }
    for other in [&mut east, &mut north] {
        other.trust(&west);
        other.meet(&west, 1);
        west.send(device_of(1, 1), other.user(1), &["from west".to_owned()]);
        other.pull_all(&west);
        other.send(device_of(other.id.0[0], 1), west.user(1), &["hello".to_owned()]);
        west.pull_all(other);
    }
    World { west, east, north }
}

/// The rows but for the time and the link of East.
fn rest(state: &State, east: ClusterId) -> Vec<Write> {
    let own = |row: &Write| match row {
        Write::Meta(_) => false,
        Write::Link(link) => link.cluster != east,
        _ => true,
    };
    state.rows().filter(own).collect()
}

/// Messages that break one rule each.
fn forged(w: &World) -> Vec<(&'static str, Messages)> {
    let World { west, east, north } = w;
    let good = || messages(east, west, 3, &["bad"]);
    let second = || Messages { sender: east.user(2), name: "user2".into(), ..good() };
    let nobody = UserId { cluster: ClusterId([9; 16]), number: 1 };
    let zero = UserId { cluster: ClusterId::default(), number: 1 };
    let many = vec![Body::text("x"); limits::EXPORT_MESSAGES + 1];
    let large = vec![Body::text("x".repeat(limits::BODY_BYTES + 1))];
    let name = |name: &str| Messages { name: name.to_owned(), ..second() };
    vec![
        ("a sender of ours", Messages { sender: west.user(2), name: "user2".into(), ..good() }),
        ("a sender of a third cluster", Messages { sender: north.user(1), ..good() }),
        ("a sender of no cluster", Messages { sender: nobody, ..good() }),
        ("a sender of a cluster without id", Messages { sender: zero, ..good() }),
        ("a sender without number", Messages { sender: east.user(0), ..second() }),
        ("a recipient of a third cluster", Messages { to: north.user(1), ..good() }),
        ("a recipient of its own", Messages { to: east.user(2), ..good() }),
        ("a recipient who is not", Messages { to: west.user(99), ..good() }),
        ("a recipient without cluster", Messages { to: zero, ..good() }),
        ("our origin", Messages { origin: west.id, ..good() }),
        ("a third origin", Messages { origin: north.id, ..good() }),
        ("no origin", Messages { origin: ClusterId::default(), ..good() }),
        ("a device of ours", Messages { device: device_of(1, 2), ..good() }),
        ("a device of a third cluster", Messages { device: device_of(3, 1), ..good() }),
        ("no number", Messages { first_number: 0, ..good() }),
        ("the last number", Messages { first_number: u64::MAX, ..good() }),
        ("the number before", Messages { first_number: u64::MAX - 1, ..good() }),
        ("a number that nobody counted to", Messages { first_number: 1 << 62, ..good() }),
        ("a number at the sign", Messages { first_number: 1 << 63, ..good() }),
        ("no bodies", Messages { bodies: vec![], ..good() }),
        ("too many bodies", Messages { bodies: many, ..good() }),
        ("too large a body", Messages { bodies: large, ..good() }),
        ("an empty body", Messages { bodies: vec![Body::text("x"), Body::text("")], ..good() }),
        ("no name", name("")),
        ("a name that is none", name("Bad")),
        ("a name with a cluster", name("user1@c3")),
        ("too long a name", name(&"x".repeat(33))),
        ("a name with a space", name("a b")),
        ("a name that ends a line", name("a\n")),
        ("the name of somebody else", name("user1")),
        ("another name than before", Messages { name: "eve".into(), ..good() }),
    ]
}

/// Marks that break one rule each.
fn forged_marks(w: &World) -> Vec<(&'static str, Marks)> {
    let World { west, east, north } = w;
    let place = Some((device_of(1, 1), 1));
    let good = Marks { reader: east.user(1), writer: west.user(1), delivered: place, read: place };
    vec![
        ("a reader of ours", Marks { reader: west.user(2), ..good }),
        ("a reader of ours who has read", Marks { reader: west.user(1), ..good }),
        ("a reader of a third cluster", Marks { reader: north.user(1), ..good }),
        ("a reader nobody wrote to", Marks { reader: east.user(2), ..good }),
        ("a writer of a third cluster", Marks { writer: north.user(1), ..good }),
        ("a writer of its own", Marks { writer: east.user(2), ..good }),
        ("a writer who is not", Marks { writer: west.user(99), ..good }),
        ("a conversation that is not theirs", Marks { writer: west.user(2), ..good }),
    ]
}

#[test]
fn what_breaks_a_rule_is_turned_down_and_the_rest_goes_on() {
    let w = world();
    let bad = forged(&w).into_iter().map(|(what, m)| (what, Export::Messages(m)));
    let bad = bad.chain(forged_marks(&w).into_iter().map(|(what, m)| (what, Export::Marks(m))));
    for (what, bad) in bad.collect::<Vec<_>>() {
        let World { west, east, mut north } = world();
        let told = |number| Export::Messages(messages(&east, &west, number, &["good"]));
        let (mut honest, mut told_bad) = (west.clone(), west.clone());
        // First, alone, and between others.
        for (cluster, items) in [
            (&mut honest, vec![told(2), told(3)]),
            (&mut told_bad, vec![bad.clone(), told(2), bad.clone(), told(3), bad.clone()]),
        ] {
            let import = following(cluster, &east, items);
            cluster.apply(vec![Command::Import(import)]);
        }
        assert_eq!(rest(&told_bad.state, east.id), rest(&honest.state, east.id), "{what}");
        let (link, expected) = (told_bad.link(&east), honest.link(&east));
        assert_eq!(link.turned_down, expected.turned_down + 3, "{what}");
        assert_eq!(link.imported.position, expected.imported.position + 3, "{what}");
        assert_eq!((link.trust, link.rows), (Trust::Trusted, expected.rows), "{what}");
        assert_eq!(told_bad.history, honest.history, "{what}");
        told_bad.agrees();
        // The other link knows nothing of it.
        north.send(device_of(3, 1), told_bad.user(1), &["still here".to_owned()]);
        let before = told_bad.history.len();
        told_bad.pull_all(&north);
        assert_eq!(told_bad.history.len(), before + 1, "{what}");
    }
}

#[test]
fn marks_that_name_no_message_of_theirs_change_nothing() {
    let World { mut west, east, .. } = world();
    west.send(device_of(1, 1), east.user(1), &["unread".to_owned()]);
    west.send(device_of(1, 2), west.user(1), &["between us".to_owned()]);
    let before = rest(&west.state, east.id);
    // Number 2 of the device went to North.
    for (device, number) in [
        (DeviceId([0; 16]), 1),
        (device_of(1, 1), 0),
        (device_of(1, 1), 2),
        (device_of(1, 1), 4),
        (device_of(1, 1), u64::MAX),
        (device_of(1, 2), 1),
        (device_of(2, 1), 1),
        (device_of(3, 1), 1),
    ] {
        let place = Some((device, number));
        for (delivered, read) in [(place, None), (None, place), (place, place), (None, None)] {
            let marks = Marks { reader: east.user(1), writer: west.user(1), delivered, read };
            let import = following(&west, &east, vec![Export::Marks(marks)]);
            west.apply(vec![Command::Import(import)]);
            assert_eq!(rest(&west.state, east.id), before, "{device} {number}");
        }
    }
    assert_eq!(west.link(&east).trust, Trust::Trusted);
}

#[test]
fn what_does_not_follow_is_not_taken() {
    let World { mut west, east, .. } = world();
    let (from, to) = (east.clone(), west.clone());
    let item = |number| Export::Messages(messages(&from, &to, number, &["x"]));
    let good = following(&west, &east, vec![item(2), item(3)]);
    west.apply(vec![Command::Import(good.clone())]);
    let next = following(&west, &east, vec![item(4)]);
    let before = west.state.rows().filter(|row| !matches!(row, Write::Meta(_)));
    let before: Vec<Write> = before.collect();
    let first = |first| Import { first, ..next.clone() };
    let cluster = |cluster| Import { cluster, ..next.clone() };
    for late in [
        good.clone(),
        first(next.first + 1),
        first(next.first - 1),
        first(0),
        first(u64::MAX),
        Import { generation: 1, ..next.clone() },
        Import { generation: u64::MAX, ..next.clone() },
        Import { items: vec![], ..next.clone() },
        cluster(west.id),
        cluster(ClusterId([9; 16])),
        cluster(ClusterId::default()),
    ] {
        west.apply(vec![Command::Import(late.clone())]);
        let after = west.state.rows().filter(|row| !matches!(row, Write::Meta(_)));
        assert_eq!(after.collect::<Vec<_>>(), before, "{late:?}");
    }
    // Twice in one entry is once.
    let history = west.history.len();
    west.apply(vec![Command::Import(next.clone()), Command::Import(next)]);
    assert_eq!(west.history.len(), history + 1);
}

#[test]
fn another_history_stops_that_link_alone() {
    let World { mut west, mut east, mut north } = world();
    let (from, to) = (east.clone(), west.clone());
    let item = |number| Export::Messages(messages(&from, &to, number, &["x"]));
    let (two, three) = (item(2), item(3));
    let swapped = following(&west, &east, vec![three.clone(), two.clone()]);
    // Their order is theirs: a number that is passed counts as told.
    west.apply(vec![Command::Import(swapped.clone())]);
    let told = super::Cluster::between(&west, east.user(1), west.user(1));
    assert_eq!(told.iter().filter(|run| run.sender == east.user(1)).count(), 2);
    // But the hash after them is another one.
    let honest = hash_of(&[east.told[1].clone(), vec![two, three]].concat());
    let next = Import { before: honest, ..following(&west, &east, vec![item(4)]) };
    let before = rest(&west.state, east.id);
    west.apply(vec![Command::Import(next)]);
    assert_eq!(west.link(&east).trust, Trust::Stopped(Stop::OtherHistory));
    assert_eq!(rest(&west.state, east.id), before, "nothing of it was taken");
    // Nothing is taken until an operator says so, and what is written waits.
    let right = following(&west, &east, vec![item(4)]);
    let history = west.history.len();
    west.apply(vec![Command::Import(right)]);
    assert_eq!(west.history.len(), history);
    west.send(device_of(1, 1), east.user(1), &["waits".to_owned()]);
    east.pull_all(&west);
    assert!(east.history.iter().any(|run| run.bodies.contains(&Body::text("waits"))));
    north.send(device_of(3, 1), west.user(1), &["goes on".to_owned()]);
    west.pull_all(&north);
    assert!(west.history.iter().any(|run| run.bodies.contains(&Body::text("goes on"))));
    // From the beginning again: what is here is not taken twice.
    west.apply(vec![Command::Resume { cluster: east.id }]);
    let history = west.history.len();
    west.pull_all(&east);
    assert_eq!((west.link(&east).trust, west.history.len()), (Trust::Trusted, history));
    west.agrees();
}

#[test]
fn a_cluster_brings_no_more_rows_than_there_is_room_for() {
    let World { mut west, east, mut north } = world();
    let room = 4;
    for state in [&mut west.state, &mut west.other] {
        let row = |row| match row {
            Write::Link(link) if link.cluster == east.id => {
                Write::Link(Link { rows: limits::LINK_ROWS - room, ..link })
            }
            row => row,
        };
        *state = loaded(state.rows().map(row));
    }
    // Each new one brings a user, a device and a conversation.
    let stranger = |n: u64| {
        let sender = east.user(10 + n);
        let name = format!("stranger{n}");
        let device = DeviceId([100 + u8::try_from(n).unwrap(); 16]);
        let first_number = 1;
        let good = messages(&east, &west, 2, &["x"]);
        Export::Messages(Messages { sender, name, device, first_number, ..good })
    };
    let known = Export::Messages(messages(&east, &west, 2, &["still"]));
    let items = vec![stranger(0), stranger(1), stranger(2), known];
    let import = following(&west, &east, items);
    let before = west.history.len();
    west.apply(vec![Command::Import(import)]);
    let link = west.link(&east);
    assert_eq!((link.rows, link.turned_down), (limits::LINK_ROWS, 2));
    assert_eq!(west.history.len(), before + 2, "the first stranger, and whom we know");
    // Who was met does not count twice, nor bring more.
    west.meet(&east, 20);
    assert!(west.state.user(east.user(20)).is_none());
    // What was turned down for want of room does not count as sent.
    assert!(west.state.sent(DeviceId([101; 16]), 0).is_none_or(|sent| sent.last_number == 0));
    north.send(device_of(3, 2), west.user(2), &["a first word".to_owned()]);
    north.meet(&west, 2);
    north.send(device_of(3, 2), west.user(2), &["a first word".to_owned()]);
    west.pull_all(&north);
    assert!(west.state.direct(north.user(2), west.user(2)).is_some());
    west.agrees();
}

/// Anything at all, a hundred thousand times.
#[test]
fn anything_can_be_told_and_every_server_has_the_same() {
    let (mut items, mut taken, mut turned_down) = (0, 0, 0);
    let only = std::env::var("RUSTCHAT_SEED").is_ok();
    seeds(500, |rng| {
        let (mut state, mut other) = (State::default(), State::default());
        let (mut at_ms, mut founded) = founded();
        founded.extend(scripts::links::first(rng));
        assert_eq!(state.apply(at_ms, &founded), other.apply(at_ms, &founded));
        for _ in 0..60 {
            at_ms += 10;
            let mut import = scripts::links::import(rng, &state);
            if rng.random_bool(0.2) {
                import.items.extend((0..rng.random_range(1..4)).map(|_| random::export(rng)));
            }
            import.items.extend((0..2).map(|_| {
                let link = state.link(import.cluster).cloned().unwrap_or_default();
                scripts::links::export(rng, &state, &link)
            }));
            items += import.items.len();
            let mut commands = vec![Command::Import(import)];
            if rng.random_bool(0.2) {
                commands.push(scripts::links::command(rng, &state));
            }
            let applied = state.apply(at_ms, &commands);
            assert_eq!(applied, other.apply(at_ms, &commands), "{commands:?}");
            let history = applied.writes.iter().filter(|w| matches!(w, Write::History { .. }));
            taken += history.count();
            if rng.random_bool(0.1) {
                other = loaded(other.rows());
            }
        }
        assert_eq!(state, other);
        assert!(state.rows().eq(other.rows()));
        turned_down += state.links().map(|link| link.turned_down).sum::<u64>();
        for row in state.rows() {
            let Write::Conversation(room) = row else { continue };
            assert!(room.trail.len() <= limits::TRAIL);
            assert!(room.members.iter().any(|member| state.is_local(*member)), "{room:?}");
        }
    });
    assert!(only || items >= 100_000, "{items} items");
    assert!(only || (taken > 1000 && turned_down > 1000), "{taken} and {turned_down}");
}
