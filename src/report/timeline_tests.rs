//! Histories written by hand: what two survivors tell of the death of their leader.

use super::Row;
use super::story::{self, Tone};
use super::timeline::Timeline;
use crate::wire::statement::{Event, Status};
use std::time::Duration;

const T: u64 = 43_268_000;

fn event(seat: u32, at_ms: u64, term: u64, kind: &str) -> Event {
    Event {
        id: at_ms * 1000 + u64::from(seat),
        at_ms,
        seat,
        term,
        kind: kind.into(),
        ..Event::default()
    }
}

fn answer(mut e: Event, peer: u32, granted: bool, cause: &str) -> Event {
    (e.peer, e.granted, e.cause) = (Some(peer), Some(granted), cause.into());
    e
}

fn of(mut e: Event, peer: Option<u32>, cause: &str, took_ms: Option<u64>) -> Event {
    (e.peer, e.cause, e.took_ms) = (peer, cause.into(), took_ms);
    e
}

/// An answer with these events, by a clock that is `skew_ms` ahead.
fn row(seat: u32, events: Vec<Event>, skew_ms: i64) -> Row {
    let mut events = events;
    for (n, event) in events.iter_mut().enumerate() {
        event.at_ms = event.at_ms.saturating_add_signed(skew_ms);
        event.id = event.at_ms * 1000 + n as u64;
    }
    let status = Status { seat, events, ..Status::default() };
    Row {
        seat: Some(seat),
        status: Some(Box::new(status)),
        skew_ms: Some(skew_ms),
        round_trip: Some(Duration::from_millis(2)),
        ..Row::default()
    }
}

/// n1, the leader of term 41, dies; n2 is elected by n3.
fn election(skew_of_3: i64) -> Timeline {
    let n2 = vec![
        of(event(2, T, 41, "lost_leader"), Some(1), "connection_lost", None),
        of(event(2, T + 3, 42, "timeout"), None, "connection_lost", None),
        of(event(2, T + 3, 42, "prevote_asked"), Some(1), "", None),
        of(event(2, T + 3, 42, "prevote_asked"), Some(3), "", None),
        answer(event(2, T + 3, 42, "prevote"), 1, false, "not_answered"),
        answer(event(2, T + 5, 42, "prevote"), 3, true, ""),
        of(event(2, T + 5, 42, "vote_asked"), Some(3), "", None),
        answer(event(2, T + 8, 42, "vote"), 3, true, ""),
        of(event(2, T + 9, 42, "elected"), None, "connection_lost", Some(1210)),
    ];
    let n3 = vec![
        of(event(3, T + 1, 41, "lost_leader"), Some(1), "connection_lost", None),
        answer(event(3, T + 4, 42, "prevoted"), 2, true, ""),
        answer(event(3, T + 7, 42, "voted"), 2, true, ""),
        of(event(3, T + 12, 42, "new_leader"), Some(2), "", Some(1212)),
    ];
    let mut timeline = Timeline::default();
    assert_eq!(timeline.take(&row(2, n2.clone(), 0)).len(), 9);
    assert_eq!(timeline.take(&row(3, n3, skew_of_3)).len(), 4);
    assert_eq!(timeline.take(&row(2, n2, 0)), [], "each counts once");
    timeline
}

#[test]
fn an_election_is_put_together_from_what_all_tell() {
    let timeline = election(0);
    let all = timeline.elections();
    assert_eq!(all.len(), 1, "{all:#?}");
    let e = &all[0];
    assert_eq!((e.term, e.winner, e.leaderless_ms), (42, Some((2, T + 9)), Some(1210)));
    assert_eq!((e.losses.len(), e.losses[0].by.len()), (1, 2));
    let told: Vec<_> = story::lines(&timeline, Some(3)).into_iter().rev().collect();
    let texts: Vec<_> = told.iter().map(|l| (l.term, l.seat, l.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (41, 2, "lost n1: connection_lost (so did n3)"),
            (42, 2, "PRECANDIDATE (connection_lost): yes n3; silent n1"),
            (42, 2, "CANDIDATE, votes for itself; yes n3"),
            (42, 2, "LEADER, 2 of 3 votes in 6ms, leaderless 1.2s"),
        ]
    );
    assert_eq!(told[3].tone, Tone::Good);
}

#[test]
fn a_campaign_that_came_to_nothing_earlier_is_no_reason_to_forget_the_loss() {
    let mut timeline = election(0);
    // n3 had asked for the same term long before, while n1 led.
    let early = of(event(3, T - 9000, 42, "timeout"), None, "no_leader", None);
    timeline.take(&row(3, vec![early], 0));
    let e = &timeline.elections()[0];
    assert_eq!((e.losses.len(), e.candidates.len()), (1, 2), "{e:#?}");
}

#[test]
fn clocks_that_differ_change_nothing() {
    let ordered = |t: &Timeline| {
        t.entries().iter().map(|e| (e.at_ms, e.event.kind.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ordered(&election(5000)), ordered(&election(0)));
    // What may be the road of the answer is no difference of clocks.
    assert_eq!(election(1).at_ms(&event(3, T, 0, "")), T);
}

#[test]
fn who_answered_tells_where_the_candidate_is_gone() {
    let mut timeline = Timeline::default();
    timeline.take(&row(3, vec![answer(event(3, T, 7, "voted"), 2, true, "")], 0));
    let all = timeline.elections();
    assert!(all[0].candidates[0].votes[&3].granted, "{all:?}");
    assert_eq!(all[0].candidates[0].seat, 2);
    assert_eq!(story::lines(&timeline, None)[0].text, "no majority yet: 2 votes");
}

#[test]
fn who_only_hears_of_a_hand_over_is_no_candidate() {
    let mut timeline = Timeline::default();
    let campaigns = |seat| of(event(seat, T, 7, "timeout"), None, "transfer", None);
    timeline.take(&row(2, vec![campaigns(2)], 0));
    let heir = vec![
        campaigns(3),
        answer(event(3, T + 2, 7, "vote"), 1, true, ""),
        of(event(3, T + 3, 7, "elected"), None, "transfer", Some(40)),
    ];
    timeline.take(&row(3, heir, 0));
    let told: Vec<_> =
        story::lines(&timeline, Some(3)).into_iter().map(|l| (l.seat, l.text)).collect();
    let told: Vec<_> = told.iter().map(|(seat, text)| (*seat, text.as_str())).rev().collect();
    assert_eq!(
        told,
        [
            (3, "campaigns (transfer)"),
            (3, "CANDIDATE, votes for itself; yes n1"),
            (3, "LEADER, 2 of 3 votes in 3ms, leaderless 40ms"),
        ]
    );
}

#[test]
fn why_nobody_is_elected_is_told_by_the_answers() {
    for (cause, says) in [
        ("already_voted", "split"),
        ("leader_alive", "partial partition"),
        ("log_behind", "behind"),
        ("not_answered", "does not answer"),
    ] {
        let mut timeline = election(0);
        timeline.take(&row(2, vec![answer(event(2, T + 99, 43, "vote"), 3, false, cause)], 0));
        let why = story::why_nobody(&timeline).unwrap();
        assert!(why.contains(says), "{cause}: {why}");
    }
    assert_eq!(story::why_nobody(&election(0)), None, "somebody is");
}

#[test]
fn what_is_kept_is_bounded_and_the_newest_of_it() {
    let mut timeline = Timeline::default();
    for round in 0..20 {
        let at = |n| T + round * 1000 + n;
        timeline.take(&row(1, (0..512).map(|n| event(1, at(n), 1, "started")).collect(), 0));
    }
    let all = timeline.entries();
    assert!(all.len() <= 9 * 512, "{}", all.len());
    assert_eq!(all.last().map(|e| e.at_ms), Some(T + 19_511));
    assert_eq!(timeline.last_id(1), all.last().map(|e| e.event.id));
    assert_eq!(timeline.last_id(2), None);
}

#[test]
fn every_event_has_its_words_and_a_newer_programs_its_own() {
    let mut e = of(event(2, T, 4, "vote"), Some(3), "already_voted", Some(2));
    assert_eq!(story::words(&e), "vote of n3: no, already_voted");
    e.granted = Some(true);
    assert_eq!(story::words(&e), "vote of n3: yes in 2ms");
    (e.granted, e.cause) = (None, "not_answered".into());
    assert_eq!(story::words(&e), "vote of n3: it does not answer");
    let mut new = event(1, T, 0, "levitated");
    assert_eq!(story::words(&new), "levitated");
    new.text = "it floats".into();
    assert_eq!(story::words(&new), "it floats");
    assert_eq!(story::clock(T + 7), "12:01:08.007");
    let times = [0, 999, 1000, 99_999, 100_000, 7_200_000, 200_000_000].map(story::time);
    assert_eq!(times, ["0ms", "999ms", "1.0s", "99.9s", "1m", "2h", "2d"]);
}
