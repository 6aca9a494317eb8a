//! What operators decide about other clusters, in any order, late and repeated.

use super::super::loaded;
use super::{Cluster, device_of, following, messages};
use crate::chat::command::{Command, Hear, Trusting};
use crate::chat::ids::ClusterId;
use crate::chat::link::{Export, Imported, Stop, Trust};
use crate::chat::message::Body;
use crate::chat::state::State;
use crate::chat::write::Write;
use crate::limits;

fn pair() -> (Cluster, Cluster) {
    (Cluster::founded(1, 2), Cluster::founded(2, 2))
}

/// The rows but for the time.
fn rows(state: &State) -> Vec<Write> {
    state.rows().filter(|row| !matches!(row, Write::Meta(_))).collect()
}

/// A command that changes nothing.
fn nothing(cluster: &mut Cluster, command: Command) {
    let before = rows(&cluster.state);
    cluster.apply(vec![command.clone()]);
    assert_eq!(rows(&cluster.state), before, "{command:?}");
}

#[test]
fn a_cluster_is_trusted_by_its_key_under_a_name_of_its_own() {
    let (mut west, east) = pair();
    let trusting = |alias: &str| east.trusted_as(alias);
    nothing(&mut west, Command::Trust(trusting("east")));
    west.apply(vec![Command::Hear(east.heard())]);
    let other = Hear { key: [9; 32], name: "evil".into(), ..east.heard() };
    nothing(&mut west, Command::Hear(other));
    nothing(&mut west, Command::Trust(Trusting { key: [9; 32], ..trusting("east") }));
    for alias in ["", "East", "a b", "east@x", &"x".repeat(33), "c1"] {
        nothing(&mut west, Command::Trust(trusting(alias)));
    }
    nothing(&mut west, Command::Distrust { cluster: east.id });
    nothing(&mut west, Command::Resume { cluster: east.id });
    nothing(&mut west, Command::StopLink { cluster: east.id, why: Stop::RolledBack });
    assert_eq!(west.link(&east).trust, Trust::Seen);
    west.apply(vec![Command::Trust(trusting("east"))]);
    nothing(&mut west, Command::Trust(trusting("east")));
    assert_eq!((west.link(&east).trust, west.link(&east).alias.as_str()), (Trust::Trusted, "east"));
    // The name is taken, and the other cluster may have another.
    let north = Cluster::founded(3, 1);
    west.apply(vec![Command::Hear(north.heard())]);
    nothing(&mut west, Command::Trust(north.trusted_as("east")));
    west.apply(vec![Command::Trust(north.trusted_as("north"))]);
    assert_eq!(west.state.link_called("north").unwrap().cluster, north.id);
    // A cluster does not hear itself, nor one without id.
    let own = west.heard();
    nothing(&mut west, Command::Hear(own.clone()));
    nothing(&mut west, Command::Hear(Hear { cluster: ClusterId::default(), ..own }));
    west.agrees();
}

#[test]
fn nobody_is_heard_before_the_cluster_is_founded() {
    let east = Cluster::founded(2, 1);
    let mut state = State::default();
    state.apply(1, &[Command::Hear(east.heard()), Command::Trust(east.trusted_as("east"))]);
    assert_eq!(state.links().count(), 0);
}

#[test]
fn what_is_distrusted_tells_nothing_and_goes_on_later_where_it_was() {
    let (mut west, mut east) = pair();
    west.trust(&east);
    east.trust(&west);
    east.meet(&west, 1);
    east.send(device_of(2, 1), west.user(1), &["one".to_owned()]);
    west.pull_all(&east);
    let at = west.link(&east).imported;
    west.apply(vec![Command::Distrust { cluster: east.id }]);
    nothing(&mut west, Command::Distrust { cluster: east.id });
    nothing(&mut west, Command::Resume { cluster: east.id });
    nothing(&mut west, Command::StopLink { cluster: east.id, why: Stop::RolledBack });
    let heard_ms = west.link(&east).heard_ms;
    nothing(&mut west, Command::Forget { cluster: east.id, heard_ms });
    east.send(device_of(2, 1), west.user(1), &["two".to_owned()]);
    let import = west.pull(&east, 9).unwrap();
    nothing(&mut west, import);
    let history = west.history.len();
    west.send(device_of(1, 1), east.user(1), &["refused".to_owned()]);
    assert_eq!(west.history.len(), history);
    let known = west.state.users_of(&east);
    west.meet(&east, 2);
    assert_eq!(west.state.users_of(&east), known, "nobody new is met");
    west.apply(vec![Command::Trust(east.trusted_as("elsewhere"))]);
    assert_eq!(west.link(&east).imported, at);
    west.pull_all(&east);
    assert_eq!(west.history.len(), history + 1);
    assert_eq!(west.state.name_of(east.user(1)), "user1@elsewhere");
    west.agrees();
}

impl State {
    /// How many users of a cluster are known here.
    fn users_of(&self, cluster: &Cluster) -> usize {
        let users = self.rows().filter_map(|row| match row {
            Write::User(user) => Some(user),
            _ => None,
        });
        users.filter(|user| user.id.cluster == cluster.id).count()
    }
}

#[test]
fn a_stop_stays_until_an_operator_resumes_and_a_rewind_only_goes_forward() {
    let (mut west, mut east) = pair();
    west.trust(&east);
    east.trust(&west);
    east.meet(&west, 1);
    for text in ["one", "two"] {
        east.send(device_of(2, 1), west.user(1), &[text.to_owned()]);
    }
    west.pull_all(&east);
    let cluster = east.id;
    west.apply(vec![Command::StopLink { cluster, why: Stop::RolledBack }]);
    nothing(&mut west, Command::StopLink { cluster, why: Stop::OtherHistory });
    nothing(&mut west, Command::Trust(east.trusted_as(&east.name)));
    assert_eq!(west.link(&east).trust, Trust::Stopped(Stop::RolledBack));
    let history = west.history.len();
    west.apply(vec![Command::Resume { cluster }]);
    assert_eq!(west.link(&east).imported, Imported::default());
    nothing(&mut west, Command::Resume { cluster });
    west.pull_all(&east);
    assert_eq!((west.history.len(), west.link(&east).imported.position), (history, 2));
    west.apply(vec![Command::Rewind { cluster, generation: 3 }]);
    let at = west.link(&east).imported;
    assert_eq!((at.generation, at.position), (3, 0));
    for generation in [0, 2, 3] {
        nothing(&mut west, Command::Rewind { cluster, generation });
    }
    west.pull_all(&east);
    assert_eq!((west.history.len(), west.link(&east).imported.position), (history, 2));
    west.apply(vec![Command::Rewind { cluster, generation: u64::MAX }]);
    west.pull_all(&east);
    assert_eq!(west.history.len(), history);
    west.agrees();
}

#[test]
fn who_was_only_heard_is_forgotten_and_there_are_only_so_many() {
    let mut west = Cluster::founded(1, 1);
    let hear = |n: u8| {
        let cluster = ClusterId([n; 16]);
        Hear { cluster, name: format!("n{n}"), key: [n; 32], address: String::new() }
    };
    let many = u8::try_from(limits::LINKS).unwrap();
    (0..many).for_each(|n| west.apply(vec![Command::Hear(hear(100 + n))]));
    assert_eq!(west.state.links().count(), limits::LINKS);
    nothing(&mut west, Command::Hear(hear(99)));
    let cluster = ClusterId([100; 16]);
    let heard_ms = west.state.link(cluster).unwrap().heard_ms;
    // Heard once more since: it stays.
    west.apply(vec![Command::Hear(hear(100))]);
    nothing(&mut west, Command::Forget { cluster, heard_ms });
    let heard_ms = west.state.link(cluster).unwrap().heard_ms;
    west.apply(vec![Command::Forget { cluster, heard_ms }]);
    assert_eq!(west.state.links().count(), limits::LINKS - 1);
    nothing(&mut west, Command::Forget { cluster, heard_ms });
    west.apply(vec![Command::Hear(hear(99))]);
    assert_eq!(west.state.link(ClusterId([99; 16])).unwrap().number, 1, "its place is used again");
    west.agrees();
}

/// The cluster as a backup of it brings it back: under another id, which remembers the old one.
fn restored(backup: &Cluster, number: u8) -> Cluster {
    let mut new = backup.clone();
    let row = |row| match row {
        Write::Meta(mut meta) => {
            meta.former.push(meta.cluster);
            meta.cluster = ClusterId([number; 16]);
            meta.begin(1, backup.clock + 1, 1000);
            Write::Meta(meta)
        }
        row => row,
    };
    new.state = loaded(backup.state.rows().map(row));
    new.other = new.state.clone();
    new.id = ClusterId([number; 16]);
    new
}

#[test]
fn a_cluster_restored_from_a_backup_goes_on_as_the_one_it_was() {
    let (mut west, mut east) = pair();
    west.trust(&east);
    east.trust(&west);
    west.meet(&east, 1);
    east.meet(&west, 1);
    let (alice, bob) = (west.user(1), east.user(1));
    east.send(device_of(2, 1), alice, &["before".to_owned()]);
    west.pull_all(&east);
    let backup = east.clone();
    west.send(device_of(1, 1), bob, &["since the backup".to_owned()]);
    let number = west.link(&east).number;
    let mut new = restored(&backup, 5);
    // It is heard, and an operator says that this is the one of that key.
    west.apply(vec![Command::Hear(new.heard())]);
    west.apply(vec![Command::Trust(new.trusted_as("c2"))]);
    let link = west.link(&new).clone();
    assert_eq!((link.number, link.cluster, &link.former[..]), (number, new.id, &[east.id][..]));
    assert_eq!((link.trust, link.imported), (Trust::Trusted, Imported::default()));
    assert_eq!(west.state.links().count(), 1);
    nothing(&mut west, Command::Trust(new.trusted_as("c2")));
    assert_eq!(west.state.name_of(bob), "user1@c2");

    // What was decided about the old one, or is told by it, is late.
    let old = Export::Messages(messages(&east, &west, 2, &["from the old one"]));
    let import = following(&west, &east, vec![old]);
    nothing(&mut west, Command::Import(import));
    nothing(&mut west, Command::Hear(east.heard()));
    nothing(&mut west, Command::Trust(east.trusted_as("old")));
    nothing(&mut west, Command::Distrust { cluster: east.id });
    nothing(&mut west, Command::Rewind { cluster: east.id, generation: 9 });
    nothing(&mut west, Command::StopLink { cluster: east.id, why: Stop::RolledBack });

    // It is told what it lacks, and tells what is new; what it told before is not taken twice.
    new.pull_all(&west);
    let told = |of: &Cluster, text: &str| {
        of.history.iter().filter(|run| run.bodies.contains(&Body::text(text))).count()
    };
    assert_eq!(told(&new, "since the backup"), 1);
    new.send(device_of(2, 1), alice, &["after".to_owned()]);
    west.pull_all(&new);
    assert_eq!((told(&west, "before"), told(&west, "after")), (1, 1));
    assert_eq!(west.link(&new).turned_down, 0);
    // One conversation, with the same user.
    let all = west.between(alice, bob);
    assert_eq!(all.last().map(|run| (run.sender, run.origin)), Some((bob, new.id)));
    // Users that it registers since then are of its new id.
    let stranger = new.user(1001);
    assert!(west.link(&new).owns(stranger) && west.link(&new).owns(bob));
    west.agrees();
    new.agrees();
}

/// Some that were only heard have the same key: the one that was trusted is found among them.
#[test]
fn of_many_with_one_key_at_most_one_is_trusted() {
    let (mut west, east) = pair();
    let others: Vec<Cluster> = (5..9).map(|n| restored(&east, n)).collect();
    for other in &others {
        west.apply(vec![Command::Hear(other.heard())]);
    }
    for (n, other) in others.iter().enumerate().rev() {
        west.apply(vec![Command::Trust(other.trusted_as("east"))]);
        let trusted: Vec<_> = west.state.links().filter(|link| link.is_trusted()).collect();
        let [one] = trusted[..] else { panic!("{trusted:?}") };
        assert_eq!((one.cluster, one.former.len()), (other.id, others.len() - 1 - n));
        west.agrees();
    }
    assert_eq!(west.state.links().count(), 1);
}
