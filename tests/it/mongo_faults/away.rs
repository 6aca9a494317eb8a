//! A database that is slow, restarted, unreachable, cut in the middle of a write, or full.

use super::talk::{Chat, Servers, host_of};
use crate::harness::{wait_until, watch};
use crate::support::mongod::{Server, mongo_uri};
use crate::support::scripted::ScriptedServer;
use crate::support::tcp_proxy::{Flow, From, Trap};
use std::time::Duration;

/// How long a database is unreachable: a minute where [`LONG`] is set.
const AWAY: Duration = Duration::from_secs(12);
/// Set to anything, databases are away for a minute.
const LONG: &str = "RUSTCHAT_TEST_LONG";
/// A question takes longer than it may: it goes there and comes back.
const TOO_SLOW: Duration = Duration::from_millis(1200);
/// Slow, and fast enough for every question.
const SLOW: Duration = Duration::from_millis(100);

/// The leader's database, one trouble after the other, each with whoever leads then.
#[test]
fn a_leader_whose_database_is_too_slow_cut_or_unreachable_leaves_the_lead_and_comes_back() {
    let mut servers = Servers::start();
    let chat = Chat::start(&servers.cluster);
    let (both, back) = (&[From::Client, From::Server][..], &[From::Server][..]);
    let troubles = [
        (both, Flow::Slow(TOO_SLOW)),
        (both, Flow::Cut),
        // Everything is written, and no answer comes.
        (back, Flow::Swallow),
        (both, Flow::Swallow),
    ];
    for (ways, trouble) in troubles {
        let seat = servers.cluster.leader().seat;
        ways.iter().for_each(|from| servers.way(seat).set_from(*from, trouble));
        servers.goes_on_without(seat);
        chat.flows();
        if (ways, trouble) == (both, Flow::Swallow) {
            stays_away(&servers, seat);
        }
        servers.way(seat).set(Flow::Open);
        servers.comes_back(seat);
        chat.flows();
    }
    let sent = chat.end();
    servers.hold(&sent);
}

/// While a database is away nothing changes.
fn stays_away(servers: &Servers, seat: u32) {
    let away = if std::env::var_os(LONG).is_some() { Duration::from_mins(1) } else { AWAY };
    watch(away, "the others go on", || {
        servers.given_up(seat).ok_or_else(|| format!("{seat} says that it is ready"))?;
        let others = servers.cluster.agreed_among(&servers.others(seat));
        others.map(drop).ok_or_else(|| "nobody leads".to_owned())
    });
}

/// The same with a follower's database: nobody else notices.
#[test]
fn a_follower_without_its_database_changes_nothing_for_the_others() {
    let mut servers = Servers::start();
    let chat = Chat::start(&servers.cluster);
    let leader = servers.cluster.leader();
    let seat = servers.others(leader.seat)[0];
    for trouble in [Flow::Slow(TOO_SLOW), Flow::Cut, Flow::Swallow] {
        servers.way(seat).set(trouble);
        servers.goes_on_without(seat);
        chat.flows();
        servers.way(seat).set(Flow::Open);
        servers.comes_back(seat);
        let now = servers.cluster.leader();
        assert_eq!((now.seat, now.term), (leader.seat, leader.term), "the leader stays");
    }
    let sent = chat.end();
    servers.hold(&sent);
}

/// What lasts less than the patience with a database is not noticed: nobody leaves the lead.
#[test]
fn a_short_trouble_is_bridged() {
    let mut private = Server::private();
    let uri = private.uri();
    let mut servers = Servers::on([&uri, mongo_uri(), mongo_uri()]);
    servers.lead(1);
    let chat = Chat::start(&servers.cluster);
    let before = servers.cluster.leader();
    let way = servers.way(1);
    // Entries, how far the log reaches, messages: cut before they are written, and after.
    let traps = [&b"payload"[..], b"last", b"messages"];
    for trap in traps.iter().flat_map(|t| [Trap::Question(t.to_vec()), Trap::Answer(t.to_vec())]) {
        let sprung = way.sprung();
        way.trap(trap.clone(), 1, Flow::Open);
        wait_until(Duration::from_secs(20), "a write is cut", || {
            (way.sprung() > sprung).then_some(())
        });
        chat.flows();
    }
    way.set(Flow::Slow(SLOW));
    chat.flows();
    servers.way(1).set(Flow::Open);
    private.kill();
    private.start();
    chat.flows();
    let after = servers.cluster.leader();
    assert_eq!((after.seat, after.term), (before.seat, before.term), "the leader stays");
    let sent = chat.end();
    servers.hold(&sent);
}

/// A database that can be read and takes no write, because its disk is full.
#[test]
fn a_leader_whose_database_is_full_leaves_the_lead_and_says_so() {
    let full = ScriptedServer::before(host_of(mongo_uri()));
    let uri = format!("mongodb://{}", full.address());
    let mut servers = Servers::on([&uri, mongo_uri(), mongo_uri()]);
    servers.lead(1);
    let chat = Chat::start(&servers.cluster);
    full.fill(true);
    let why = servers.goes_on_without(1);
    assert!(why.contains("No space left on device"), "{why}");
    chat.flows();
    full.fill(false);
    servers.comes_back(1);
    chat.flows();
    let sent = chat.end();
    servers.hold(&sent);
}

/// Its MongoDB ends and is started again, in order and not, while others serve.
#[test]
fn a_leader_whose_mongodb_is_down_for_a_while_comes_back_when_it_is_up() {
    let mut private = Server::private();
    let uri = private.uri();
    let mut servers = Servers::on([&uri, mongo_uri(), mongo_uri()]);
    servers.lead(1);
    let chat = Chat::start(&servers.cluster);
    for end in [Server::stop, Server::kill] {
        end(&mut private);
        servers.goes_on_without(1);
        chat.flows();
        private.start();
        servers.comes_back(1);
        servers.lead(1);
        chat.flows();
    }
    let sent = chat.end();
    servers.hold(&sent);
}
