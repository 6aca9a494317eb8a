//! The operator's screen over answers written by hand: a cluster of three, minute by minute.

mod keys;
mod links;
mod rows;
mod screens;
mod tapes;

use super::model::State;
use super::update::{Effect, Model, Msg, update};
use super::view;
use crate::chat::ids::ClusterId;
use crate::report::{Cause, Row};
use crate::ui::theme::Theme;
use crate::wire::message::ServerAddress;
use crate::wire::statement::{Elections, Event, LastLeader, Load, MemberView, PeerView, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::time::Duration;

/// 12:01:08 in UTC.
const NOW: u64 = 1_767_182_468_000;

fn address(seat: u32) -> String {
    format!("127.0.0.{seat}:7101")
}

fn server(seat: u32) -> ServerAddress {
    ServerAddress { seat, host: format!("127.0.0.{seat}"), client: 7101, peer: 7201 }
}

fn member(seat: u32) -> MemberView {
    MemberView { raft_id: seat.into(), server: server(seat), voter: true, held: false }
}

fn peer(seat: u32, leads: bool) -> PeerView {
    PeerView {
        seat,
        live: true,
        heard_ms: Some(120),
        round_trip_us: Some(400),
        matched: leads.then_some(88_410),
        refusal: String::new(),
    }
}

fn status(seat: u32, role: &str, term: u64, leader: Option<u32>) -> Status {
    let leads = role == "leader";
    Status {
        seat,
        role: role.into(),
        term,
        vote: leader,
        leader,
        last_term: term,
        last_index: 88_412,
        commit: 88_410,
        applied: 88_410,
        sessions: 210 + seat,
        cluster: ClusterId([0x7f; 16]),
        cluster_name: "west".into(),
        generation: 1,
        servers: (1..=3).map(server).collect(),
        members: (1..=3).map(member).collect(),
        peers: (1..=3).filter(|other| *other != seat).map(|other| peer(other, leads)).collect(),
        links: (1..=3).filter(|other| *other != seat).collect(),
        raft_id: seat.into(),
        voters: 3,
        live: 3,
        store: "embedded".into(),
        version: "0.1.0".into(),
        build: "ab12cd34".into(),
        snapshot_index: 80_000,
        heartbeat_age_ms: (!leads).then_some(230),
        quorum_ack_age_ms: leads.then_some(90),
        resident_bytes: 96 << 20,
        uptime_ms: 800_000,
        ready: Some(true),
        elections: Elections { changes: 1, changes_15m: 1, ..Elections::default() },
        load: Load {
            fsync_p99_us: Some(3100),
            commit_p99_us: leads.then_some(5200),
            disk_free: 59,
            disk_total: 100,
            cpu_ms: 9000,
            ..Load::default()
        },
        ..Status::default()
    }
}

fn event(seat: u32, at_ms: u64, term: u64, kind: &str, peer: Option<u32>, cause: &str) -> Event {
    Event {
        id: at_ms * 1000 + u64::from(seat),
        at_ms,
        seat,
        term,
        kind: kind.into(),
        peer,
        cause: cause.into(),
        ..Event::default()
    }
}

fn answered(mut event: Event, granted: bool, took_ms: u64) -> Event {
    (event.granted, event.took_ms) = (Some(granted), Some(took_ms));
    event
}

fn answer(status: Status) -> Row {
    Row {
        addr: address(status.seat),
        seat: Some(status.seat),
        status: Some(Box::new(status)),
        round_trip: Some(Duration::from_micros(500)),
        skew_ms: Some(0),
        ..Row::default()
    }
}

fn tell(model: &mut Model, status: Status) -> Vec<Effect> {
    update(model, Msg::Answer(Box::new(answer(status))))
}

fn fail(model: &mut Model, seat: u32, cause: Cause) -> Vec<Effect> {
    let error = Some((cause, "Connection refused".to_owned()));
    let row = Row { addr: address(seat), error, ..Row::default() };
    update(model, Msg::Answer(Box::new(row)))
}

/// What a role in the healthy cluster says at a second: it works, and counts.
fn at(second: u64, seat: u32, role: &str, term: u64) -> Status {
    let mut status = status(seat, role, term, Some(1));
    let more = second * 12 + second * 7 % 5;
    status.last_index += more;
    status.commit += more;
    status.applied += more;
    status.peers.iter_mut().filter_map(|p| p.matched.as_mut()).for_each(|index| *index += more);
    status.load.accepted = 40 * second + second % 7 * 3;
    status.load.fsync_p99_us = Some(2900 + second % 5 * 150);
    status.load.cpu_ms += second * 40;
    status.uptime_ms += second * 1000;
    status
}

/// A cluster that n1 has led for twelve minutes, seen for a minute: it is `NOW` then.
fn healthy() -> Model {
    let mut model = Model::new(vec![address(1)], NOW - 60_000);
    update(&mut model, Msg::Poll(NOW - 60_000));
    for second in 0..=60 {
        update(&mut model, Msg::Now(NOW - 60_000 + second * 1000));
        for seat in 1..=3 {
            let role = if seat == 1 { "leader" } else { "follower" };
            let mut status = at(second, seat, role, 41);
            if second == 0 {
                status.events = born(seat);
            }
            tell(&mut model, status);
        }
    }
    model
}

/// How n1 came to lead, as each of them tells it.
fn born(seat: u32) -> Vec<Event> {
    let then = NOW - 720_000;
    let took = |mut event: Event, ms| {
        event.took_ms = Some(ms);
        event
    };
    match seat {
        1 => vec![
            event(1, then - 900, 0, "started", None, ""),
            event(1, then, 41, "timeout", None, "no_leader"),
            answered(event(1, then + 2, 41, "prevote", Some(2), ""), true, 2),
            answered(event(1, then + 3, 41, "prevote", Some(3), ""), true, 2),
            event(1, then + 4, 41, "vote_asked", Some(2), ""),
            answered(event(1, then + 7, 41, "vote", Some(2), ""), true, 3),
            answered(event(1, then + 9, 41, "vote", Some(3), ""), true, 5),
            took(event(1, then + 10, 41, "elected", None, "no_leader"), 910),
        ],
        _ => vec![took(event(seat, then + 12, 41, "new_leader", Some(1), ""), 912)],
    }
}

/// n1 was killed two seconds ago; n2 campaigns.
fn electing() -> Model {
    let mut model = healthy();
    for second in 1..=2 {
        update(&mut model, Msg::Now(NOW + second * 1000));
        fail(&mut model, 1, Cause::Refused);
        for seat in 2..=3 {
            let (role, term) = match (second, seat) {
                (1, _) => ("follower", 41),
                (_, 2) => ("candidate", 42),
                _ => ("follower", 42),
            };
            let mut status = at(60, seat, role, term);
            status.heartbeat_age_ms = Some(second * 1000);
            status.leader = None;
            (status.live, status.links) = (2, vec![5 - seat]);
            if let Some(dead) = status.peers.iter_mut().find(|p| p.seat == 1) {
                (dead.live, dead.heard_ms) = (false, Some(second * 1000 + 90));
            }
            status.vote = if second == 1 { Some(1) } else { Some(2) };
            status.reasons = vec!["no_leader".into()];
            if seat == 3 {
                status.reasons.push("slow_disk".into());
                status.load.fsync_p99_us = Some(810_000);
            }
            status.elections.leaderless_ms = Some(second * 1000);
            status.elections.last_leader = Some(LastLeader {
                seat: 1,
                term: 41,
                lost_at_ms: NOW,
                cause: "connection_lost".into(),
            });
            if second == 2 {
                status.events = lost(seat);
            }
            tell(&mut model, status);
        }
    }
    model
}

fn lost(seat: u32) -> Vec<Event> {
    let then = NOW + 1210;
    let mut events = vec![event(seat, then, 41, "lost_leader", Some(1), "connection_lost")];
    if seat == 2 {
        events.extend([
            event(2, then + 20, 42, "timeout", None, "connection_lost"),
            event(2, then + 22, 42, "prevote_asked", Some(3), ""),
            answered(event(2, then + 21, 42, "prevote", Some(1), "not_answered"), false, 1),
            answered(event(2, then + 24, 42, "prevote", Some(3), ""), true, 3),
            event(2, then + 25, 42, "vote_asked", Some(3), ""),
        ]);
    }
    events
}

/// n2 stopped answering 41 s ago, n1 was killed 6 s ago: n3 is alone.
fn no_quorum() -> Model {
    let mut model = healthy();
    for second in 1..=41 {
        update(&mut model, Msg::Now(NOW + second * 1000));
        fail(&mut model, 2, Cause::Timeout);
        let killed = second >= 36;
        if killed {
            fail(&mut model, 1, Cause::Refused);
        } else {
            tell(&mut model, at(60 + second, 1, "leader", 41));
        }
        let mut status = at(60 + second.min(35), 3, "follower", 41);
        if killed {
            status.heartbeat_age_ms = Some((second - 35) * 1000);
            status.leader = None;
            status.reasons = vec!["no_leader".into()];
            status.elections.leaderless_ms = Some((second - 35) * 1000);
            (status.live, status.links) = (1, vec![]);
        }
        for peer in &mut status.peers {
            let silent = if peer.seat == 2 { second } else { second.saturating_sub(35) };
            (peer.live, peer.heard_ms) = (silent == 0, Some(silent * 1000 + 100));
        }
        if second == 41 {
            status.events =
                vec![event(3, NOW + 36_200, 41, "lost_leader", Some(1), "connection_lost")];
            status.events[0].text = "node 1 was not heard for 1200 ms".into();
        }
        tell(&mut model, status);
    }
    model
}

/// n1 and n3 lead in the same term, and n2 follows one of them.
fn split() -> Model {
    let mut model = healthy();
    update(&mut model, Msg::Now(NOW + 1000));
    tell(&mut model, at(61, 1, "leader", 41));
    tell(&mut model, at(61, 2, "follower", 41));
    let mut other = at(61, 3, "leader", 41);
    other.leader = Some(3);
    other.vote = Some(3);
    tell(&mut model, other);
    model
}

/// The screen as a person sees it.
fn screen(model: &Model, width: u16, height: u16) -> String {
    let theme = Theme::choose(Some("dark"), |_| None).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(model, &theme, frame)).unwrap();
    let cells = terminal.backend().buffer().content();
    let lines = cells.chunks(usize::from(width)).map(|line| {
        let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    });
    lines.collect()
}

fn row(model: &Model, seat: u32) -> String {
    let text = screen(model, 120, 40);
    let found = text
        .lines()
        .find(|line| line.starts_with([' ', '>']) && line[1..].starts_with(&format!("n{seat} ")));
    found.unwrap_or_else(|| panic!("no n{seat} in\n{text}")).to_owned()
}

fn state(model: &Model) -> &State {
    &model.state
}
