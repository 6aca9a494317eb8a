//! What is concluded from answers, and how it is printed.

use super::document::document;
use super::judge::{Judgement, Verdict, judge};
use super::links::{State, links};
use super::reason::Reason;
use super::table::table;
use super::{Cause, Row};
use crate::chat::ids::ClusterId;
use crate::wire::message::ServerAddress;
use crate::wire::statement::{LinkView, MemberView, Status};
use bytes::Bytes;
use std::time::Duration;

fn up(seat: u32, role: &str) -> Row {
    let status = Status {
        seat,
        role: role.into(),
        term: 4,
        last_term: 4,
        last_index: 90,
        commit: 90,
        applied: 90,
        leader: Some(2),
        cluster: ClusterId([7; 16]),
        cluster_name: "west".into(),
        generation: 1,
        voters: 3,
        live: 3,
        version: "0.1.0".into(),
        hash: Bytes::from_static(&[1, 2]),
        links: (1..=3).filter(|other| *other != seat).collect(),
        quorum_ack_age_ms: (role == "leader").then_some(200),
        servers: vec![ServerAddress::default()],
        ..Status::default()
    };
    let addr = format!("127.0.0.1:710{seat}");
    Row {
        addr,
        seat: Some(seat),
        status: Some(Box::new(status)),
        round_trip: Some(Duration::from_millis(1)),
        ..Row::default()
    }
}

fn down(seat: u32) -> Row {
    let addr = format!("127.0.0.1:710{seat}");
    let error = Some((Cause::Refused, "\u{1b}[31mConnection refused".into()));
    Row { addr, seat: Some(seat), error, ..Row::default() }
}

/// One that answers, but waits for its database.
fn waiting(seat: u32) -> Row {
    change(up(seat, "down"), |s| {
        s.live = 0;
        s.leader = None;
        s.links = Vec::new();
        s.ready = Some(false);
        s.reasons = vec!["storage_unavailable".into(), "of_a_newer_program".into()];
        s.why = "the database\u{7} is away".into();
    })
}

fn change(mut node: Row, change: impl Fn(&mut Status)) -> Row {
    if let Some(status) = &mut node.status {
        change(status);
    }
    node
}

fn reasons(judgement: &Judgement) -> Vec<&'static str> {
    let mut codes: Vec<_> = judgement.reasons.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn the_verdict_follows_from_what_the_nodes_say() {
    let (f, l) = ("follower", "leader");
    let led_by_none = |seat| change(up(seat, f), |s| s.leader = None);
    let table: Vec<(Vec<Row>, Verdict, &[&str])> = vec![
        (vec![up(1, f), up(2, l), up(3, f)], Verdict::Healthy, &[]),
        (vec![up(1, f), up(2, l), down(3)], Verdict::Degraded, &["voter_down"]),
        (
            vec![led_by_none(1), led_by_none(2), down(3)],
            Verdict::Electing,
            &["no_leader", "voter_down"],
        ),
        (
            vec![led_by_none(1), down(2), down(3)],
            Verdict::NoQuorum,
            &["no_leader", "no_quorum", "voter_down"],
        ),
        (vec![down(1), down(2), down(3)], Verdict::Unreachable, &["voter_down"]),
        (
            vec![up(1, f), up(2, l), change(up(3, f), |s| s.applied = 90 - 89)],
            Verdict::Healthy,
            &[],
        ),
        (
            vec![up(1, f), up(2, l), change(up(3, f), |s| s.hash = Bytes::from_static(&[9]))],
            Verdict::Degraded,
            &["diverged"],
        ),
        (
            vec![up(1, f), up(2, l), change(up(3, f), |s| s.cluster = ClusterId([8; 16]))],
            Verdict::Degraded,
            &["cluster_mismatch"],
        ),
        (
            vec![up(1, f), up(2, l), change(up(3, f), |s| s.links = vec![2])],
            Verdict::Degraded,
            &["partial_partition"],
        ),
    ];
    let table = table.into_iter().chain([
        (vec![up(1, f), up(2, l), waiting(3)], Verdict::Degraded, &["storage_unavailable"][..]),
        (
            vec![led_by_none(1), waiting(2), waiting(3)],
            Verdict::NoQuorum,
            &["no_leader", "no_quorum", "storage_unavailable"],
        ),
    ]);
    for (nodes, verdict, expected) in table {
        let judgement = judge(&nodes);
        assert_eq!((judgement.verdict, reasons(&judgement).as_slice()), (verdict, expected));
    }
}

#[test]
fn of_two_that_say_they_lead_the_newer_counts_and_one_without_a_majority_does_not() {
    let old = change(up(1, "leader"), |s| {
        s.term = 3;
        s.quorum_ack_age_ms = Some(60_000);
    });
    assert_eq!(judge(&[old.clone(), up(2, "leader"), up(3, "follower")]).leader, Some(1));
    assert_eq!(judge(&[old, up(3, "follower"), down(2)]).leader, None);
}

#[test]
fn the_document_has_every_key_and_null_for_the_unknown() {
    let nodes = [up(1, "follower"), up(2, "leader"), down(3)];
    let json = document(&nodes, &judge(&nodes), 0, None);
    assert_eq!(json["schema"], 1);
    assert_eq!(json["verdict"], "degraded");
    assert_eq!(json["cluster"]["id"], "07".repeat(16));
    assert_eq!(json["leader"]["id"], "2");
    assert_eq!(json["quorum"]["needed"], 2);
    assert_eq!(json["quorum"]["can_lose"], 0);
    let (answered, silent) = (&json["nodes"][0], &json["nodes"][2]);
    assert_eq!(answered["last_log"]["index"], 90);
    assert_eq!(answered["heartbeat_age_seconds"], serde_json::Value::Null);
    assert_eq!(silent["reachable"], false);
    assert_eq!(silent["term"], serde_json::Value::Null);
    let keys = |node: &serde_json::Value| node.as_object().unwrap().keys().cloned().collect();
    let (with, without): (Vec<_>, Vec<_>) = (keys(answered), keys(silent));
    assert_eq!(with, without);
    assert!(with.is_sorted(), "{with:?}");
}

#[test]
fn people_get_a_table_that_cannot_act_on_their_terminal() {
    let nodes = [up(1, "follower"), up(2, "leader"), down(3)];
    let text = table(&nodes, &judge(&nodes));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "west: it serves, but something is missing; 2 of 3 servers are up, 2 are needed"
    );
    assert!(lines[1].starts_with("ID  ADDRESS"), "{text}");
    assert!(lines[4].ends_with("␛[31mConnection refused"), "{text}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_node_that_waits_for_its_database_says_so_and_why() {
    let nodes = [up(1, "follower"), up(2, "leader"), waiting(3)];
    let judgement = judge(&nodes);
    let json = document(&nodes, &judgement, 0, None);
    let (old, down) = (&json["nodes"][0], &json["nodes"][2]);
    assert_eq!((&down["ready"], &down["role"]), (&false.into(), &"down".into()));
    assert_eq!(down["reasons"], serde_json::json!(["storage_unavailable"]));
    assert_eq!(down["storage"]["ok"], false);
    assert_eq!(down["why"], "the database\u{7} is away");
    assert_eq!(old["ready"], serde_json::Value::Null, "a program that does not know the field");
    assert_eq!(old["storage"]["ok"], serde_json::Value::Null);
    let ready = change(up(1, "follower"), |s| s.ready = Some(true));
    let json = document(&[ready], &judgement, 0, None);
    assert_eq!(json["nodes"][0]["storage"]["ok"], true);
    let text = table(&nodes, &judgement);
    assert!(text.ends_with("storage_unavailable (the database␇ is away)"), "{text}");
}

/// A cluster that knows another one.
fn linked(trust: &str, line: &str) -> Vec<Row> {
    let view = |line: &str| LinkView {
        name: "east".into(),
        cluster: ClusterId([9; 16]),
        trust: trust.into(),
        line: line.into(),
        exported: 9,
        ..LinkView::default()
    };
    let row = |seat, role, line| change(up(seat, role), |s| s.clusters = vec![view(line)]);
    vec![row(1, "follower", "idle"), row(2, "leader", line), row(3, "follower", "idle")]
}

#[test]
fn of_a_link_the_leader_knows_the_line_and_whoever_was_asked_how_far_it_is() {
    let mut rows = linked("trusted", "up");
    let take = |row: &mut Row, taken, ms| {
        let view = &mut row.status.as_mut().unwrap().clusters[0];
        (view.taken, view.taken_ms) = (Some(taken), Some(ms));
    };
    let one = |rows: &[Row]| links(rows).remove(0);
    let unknown = one(&rows);
    assert_eq!((unknown.state, unknown.queued, unknown.oldest), (State::Up, None, None));
    take(&mut rows[0], 4, 9000);
    take(&mut rows[2], 7, 2000);
    let known = one(&rows);
    assert_eq!((known.queued, known.oldest), (Some(2), Some(Duration::from_secs(2))));
    take(&mut rows[2], 9, 2000);
    assert_eq!(one(&rows).oldest, Some(Duration::ZERO), "nothing waits");
    // A node that has come less far does not tell what the log has.
    rows[1] = change(rows[1].clone(), |s| {
        s.applied += 1;
        s.clusters[0].exported = 20;
    });
    assert_eq!(one(&rows).queued, Some(11));
    let age = |trust: &str, seconds: u64| {
        let mut rows = linked(trust, "down");
        for row in &mut rows {
            row.status.as_mut().unwrap().now_ms = seconds * 1000;
        }
        one(&rows).state
    };
    assert_eq!((age("trusted", 179), age("trusted", 181)), (State::Down, State::Silent));
    assert_eq!((age("seen", 179), age("seen", 181)), (State::Seen, State::Silent));
    assert_eq!(age("distrusted", 181), State::Distrusted);
    assert!(table(&rows, &judge(&rows)).ends_with("links: east up"));
    assert_eq!(document(&rows, &judge(&rows), 0, None)["links"][0]["queued"], 11);
}

/// What provokes each reason: who wants a new one must say how it comes about.
fn provoked(reason: Reason) -> Vec<Row> {
    let (f, l) = ("follower", "leader");
    let third = |alter: &dyn Fn(&mut Status)| vec![up(1, f), up(2, l), change(up(3, f), alter)];
    let says = |code: &str| third(&|s: &mut Status| s.reasons = vec![code.to_owned()]);
    match reason {
        Reason::SplitView => vec![up(1, l), up(2, l), up(3, f)],
        Reason::Diverged => third(&|s| s.hash = Bytes::from_static(&[9])),
        Reason::NoQuorum => vec![up(2, f), down(1), down(3)],
        Reason::NoLeader => third(&|s| s.leader = None),
        Reason::VoterDown => vec![up(1, f), up(2, l), down(3)],
        Reason::ClusterMismatch => third(&|s| s.cluster = ClusterId([8; 16])),
        Reason::GenerationMismatch => third(&|s| s.generation = 2),
        Reason::Stray => {
            let mut rows = third(&|s| s.raft_id = 77);
            for row in &mut rows {
                let member = |seat: u32| MemberView {
                    raft_id: seat.into(),
                    server: ServerAddress { seat, ..ServerAddress::default() },
                    voter: true,
                    held: false,
                };
                let status = row.status.as_mut().unwrap();
                status.members = (1..=3).map(member).collect();
                if status.raft_id == 0 {
                    status.raft_id = status.seat.into();
                }
            }
            rows
        }
        Reason::PartialPartition => third(&|s| s.links = vec![2]),
        Reason::Lagging => {
            let mut rows = third(&|s| s.applied = 10);
            rows[1] = change(rows[1].clone(), |s| (s.commit, s.applied) = (5000, 5000));
            rows
        }
        Reason::LinkStopped => linked("stopped", "idle"),
        Reason::LinkDown => linked("trusted", "down"),
        Reason::Flapping => third(&|s| s.elections.changes_15m = 4),
        Reason::ClockSkew => {
            let mut rows = third(&|_| {});
            rows.iter_mut().for_each(|row| row.skew_ms = Some(3));
            rows[2].skew_ms = Some(-5000);
            rows
        }
        Reason::CertExpiring => third(&|s| {
            (s.now_ms, s.certificate_until_ms) = (1 << 41, Some((1 << 41) + 29 * 24 * 3_600_000));
        }),
        Reason::VersionSkew => third(&|s| s.version = "0.2.0".into()),
        Reason::StorageUnavailable => vec![up(1, f), up(2, l), waiting(3)],
        Reason::DiskFull
        | Reason::DiskLow
        | Reason::SlowDisk
        | Reason::ApplyBacklog
        | Reason::Learner
        | Reason::Draining => says(reason.code()),
    }
}

#[test]
fn every_reason_is_found_where_it_is_provoked_and_nowhere_else() {
    for reason in Reason::ALL {
        let judgement = judge(&provoked(reason));
        assert!(judgement.reasons.contains(&reason), "{reason:?}: {judgement:?}");
        assert_eq!(Reason::of(reason.code()), Some(reason));
        assert!(!reason.advice().is_empty());
        for other in Reason::ALL.into_iter().filter(|other| *other != reason) {
            // What follows from it, or comes with it.
            let follows = matches!(
                (reason, other),
                (Reason::NoQuorum, Reason::VoterDown | Reason::NoLeader)
                    | (Reason::ClusterMismatch | Reason::Stray, Reason::VersionSkew)
            );
            let also = judgement.reasons.contains(&other);
            assert!(!also || follows, "{reason:?} brings {other:?}");
        }
    }
    let well = [up(1, "follower"), up(2, "leader"), up(3, "follower")];
    assert!(judge(&well).reasons.is_empty());
}
