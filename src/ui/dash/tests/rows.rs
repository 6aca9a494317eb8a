//! What a row says: roles that were passed, what an old answer is worth, who is shown at all.

use super::*;
use crate::report::judge::Verdict;
use crate::ui::dash::model::PASSING_MS;
use crate::ui::dash::verdict;
use crate::ui::theme::Role;

#[test]
fn members_are_learned_and_asked_at_once() {
    let mut model = Model::new(vec![address(1)], NOW);
    assert_eq!(update(&mut model, Msg::Poll(NOW)), [Effect::Ask(address(1), 0)]);
    let asks = tell(&mut model, status(1, "leader", 41, Some(1)));
    assert_eq!(asks, [Effect::Ask(address(2), 0), Effect::Ask(address(3), 0)]);
}

#[test]
fn a_node_that_died_stays_with_its_last_values_its_cause_and_who_heard_it() {
    let model = electing();
    let row = row(&model, 1);
    assert!(row.contains("UNREACHABLE") && row.contains("~41") && row.contains("~n1"), "{row}");
    assert!(row.contains("conn_refused, n2 heard it 2.0s ago"), "{row}");
    assert!(row.contains("2.0s"), "the age of its answer: {row}");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert!(cells.contains(&"-"), "its lag is not known: {row}");
    assert!(!cells.contains(&"0"), "what is not known is never 0: {row}");
}

#[test]
fn roles_that_lasted_milliseconds_are_shown_for_a_moment_each_and_in_order() {
    let mut model = electing();
    let mut elected = status(2, "leader", 42, Some(2));
    elected.events = vec![event(2, NOW + 2004, 42, "elected", None, "connection_lost")];
    // The candidate's events were told before it had won.
    let begin = NOW + 2100;
    update(&mut model, Msg::Now(begin));
    assert!(row(&model, 2).contains("PRECANDIDATE"), "{}", row(&model, 2));
    tell(&mut model, elected);
    let role = |model: &mut Model, ms| {
        update(model, Msg::Now(begin + ms));
        row(model, 2).split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(role(&mut model, PASSING_MS / 2), "PRECANDIDATE");
    assert_eq!(role(&mut model, PASSING_MS), "CANDIDATE", "though it answered as one");
    assert_eq!(role(&mut model, 2 * PASSING_MS), "LEADER");

    // All of it between two answers.
    let mut model = healthy();
    update(&mut model, Msg::Now(NOW + 400));
    let mut elected = status(2, "leader", 42, Some(2));
    elected.events = vec![
        event(2, NOW + 389, 42, "timeout", None, "connection_lost"),
        event(2, NOW + 390, 42, "prevote_asked", Some(3), ""),
        event(2, NOW + 391, 42, "vote_asked", Some(3), ""),
        event(2, NOW + 399, 42, "elected", None, "connection_lost"),
    ];
    tell(&mut model, elected);
    let begin = NOW + 400;
    let mut seen = Vec::new();
    for ms in (0..=1200).step_by(200) {
        update(&mut model, Msg::Now(begin + ms));
        let role = row(&model, 2).split_whitespace().nth(1).unwrap().to_owned();
        if seen.last() != Some(&role) {
            seen.push(role);
        }
    }
    assert_eq!(seen, ["PRECANDIDATE", "CANDIDATE", "LEADER"]);
}

#[test]
fn what_happened_before_the_screen_opened_is_not_played() {
    let mut model = Model::new(vec![address(1)], NOW);
    update(&mut model, Msg::Poll(NOW));
    let mut leader = status(1, "leader", 41, Some(1));
    leader.events = born(1);
    tell(&mut model, leader);
    assert!(row(&model, 1).contains("LEADER"));
}

#[test]
fn nobody_is_asked_twice_at_once_and_all_more_often_while_nobody_leads() {
    let mut model = healthy();
    update(&mut model, Msg::Poll(NOW + 500));
    assert!(state(&model).nodes.iter().all(|node| node.asking));
    assert_eq!(update(&mut model, Msg::Poll(NOW + 5000)), [], "none has answered");
    tell(&mut model, at(61, 2, "follower", 41));
    tell(&mut model, at(61, 3, "follower", 41));
    fail(&mut model, 1, Cause::Refused);
    assert!(state(&model).judgement.leader.is_none());
    let asked = |model: &mut Model, ms| update(model, Msg::Poll(NOW + 5000 + ms)).len();
    assert_eq!(asked(&mut model, 50), 3, "it was long ago");
    for seat in [2, 3] {
        tell(&mut model, at(61, seat, "follower", 41));
    }
    assert_eq!(asked(&mut model, 100), 0);
    assert_eq!(asked(&mut model, 150), 2, "one is still being asked");
}

#[test]
fn only_new_events_are_asked_for() {
    let mut model = healthy();
    let asks = update(&mut model, Msg::Poll(NOW + 1000));
    let last = born(1).last().unwrap().id;
    assert!(asks.contains(&Effect::Ask(address(1), last)), "{asks:?}");
}

#[test]
fn an_answer_too_old_is_not_now() {
    let mut model = healthy();
    update(&mut model, Msg::Now(NOW + 2600));
    assert_eq!(verdict(&model), Verdict::Unreachable);
    assert!(row(&model, 1).contains("NO ANSWER"), "{}", row(&model, 1));
}

#[test]
fn a_node_under_two_names_is_one_row() {
    let mut model = Model::new(vec!["localhost:7101".into(), address(2)], NOW);
    update(&mut model, Msg::Poll(NOW));
    tell(&mut model, status(2, "follower", 41, Some(1)));
    assert_eq!(state(&model).nodes.len(), 4, "n1 may be localhost, nobody knows yet");
    let first = Row { addr: "localhost:7101".into(), ..answer(status(1, "leader", 41, Some(1))) };
    update(&mut model, Msg::Answer(Box::new(first)));
    let names: Vec<_> = state(&model).nodes.iter().map(|n| n.row.addr.as_str()).collect();
    assert_eq!(names, ["localhost:7101", "127.0.0.2:7101", "127.0.0.3:7101"]);
}

#[test]
fn rates_come_from_two_answers_and_a_restart_gives_none() {
    let model = healthy();
    let node = &state(&model).nodes[1];
    assert_eq!(node.cpu, Some(40), "40 ms of a second");
    assert!(node.rate.is_some_and(|rate| rate > 0), "{node:?}");
    let mut model = model;
    let mut young = at(61, 2, "follower", 41);
    young.uptime_ms = 100;
    tell(&mut model, young);
    update(&mut model, Msg::Now(NOW + 1000));
    assert_eq!(state(&model).nodes[1].cpu, None);
}

#[test]
fn a_node_that_waits_for_its_database_is_shown_with_its_cause() {
    let mut model = healthy();
    let mut waits = at(60, 3, "down", 41);
    (waits.live, waits.why) = (0, "no database".into());
    waits.reasons = vec!["storage_unavailable".into()];
    tell(&mut model, waits);
    let third = row(&model, 3);
    assert!(
        third.contains("DOWN") && third.contains("storage_unavailable (no database)"),
        "{third}"
    );
    let text = screen(&model, 120, 40);
    assert!(text.contains("DEGRADED") && text.contains("Missing: n3 (no database)"), "{text}");
}

#[test]
fn what_others_heard_is_remembered_when_they_can_tell_no_more() {
    let mut model = electing();
    let mut cut = status(2, "follower", 42, None);
    cut.peers[0] = PeerView { seat: 1, ..PeerView::default() };
    update(&mut model, Msg::Now(NOW + 4000));
    tell(&mut model, cut);
    assert!(row(&model, 1).contains("conn_refused, n2 heard it 4.0s ago"), "{}", row(&model, 1));
}

#[test]
fn an_old_leader_beside_a_new_one_is_called_stale() {
    let mut model = healthy();
    let mut old = at(60, 1, "leader", 41);
    old.quorum_ack_age_ms = Some(5000);
    tell(&mut model, old);
    tell(&mut model, status(2, "leader", 42, Some(2)));
    tell(&mut model, status(3, "follower", 42, Some(2)));
    let first = row(&model, 1);
    assert!(first.contains("LEADER(stale)") && first.contains("no majority for 5.0s"), "{first}");
    assert!(row(&model, 2).contains(" LEADER "));
    assert_ne!(verdict(&model), Verdict::SplitView);
}

#[test]
fn nobody_elected_for_long_is_told_with_what_is_in_the_way() {
    let mut model = electing();
    update(&mut model, Msg::Now(NOW + 9000));
    for seat in 2..=3 {
        let mut waiting = status(seat, "follower", 43, None);
        waiting.elections.leaderless_ms = Some(9000);
        if seat == 2 {
            let no = event(2, NOW + 8000, 43, "vote", Some(3), "already_voted");
            waiting.events = vec![answered(no, false, 1)];
        }
        tell(&mut model, waiting);
    }
    fail(&mut model, 1, Cause::Refused);
    let text = screen(&model, 120, 40);
    assert!(text.contains("NO LEADER"), "{text}");
    assert!(text.contains("none is elected: votes are split"), "{text}");
}

#[test]
fn nobody_at_all_is_told_with_every_error() {
    let mut model = Model::new(vec![address(1), address(2)], NOW);
    update(&mut model, Msg::Poll(NOW));
    assert!(screen(&model, 80, 24).contains("ASKING"));
    fail(&mut model, 1, Cause::Refused);
    fail(&mut model, 2, Cause::Timeout);
    update(&mut model, Msg::Now(NOW + 3000));
    let text = screen(&model, 160, 24);
    assert!(text.contains("NO DATA"), "{text}");
    assert!(text.contains("127.0.0.1:7101 (conn_refused), 127.0.0.2:7101 (timeout)"), "{text}");
}

#[test]
fn narrow_screens_keep_what_diagnoses() {
    let model = electing();
    let head = |width| {
        let text = screen(&model, width, 40);
        let head = text.lines().find(|line| line.contains("NODE")).unwrap();
        head.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let at_80 = ["NODE", "ROLE", "TERM", "LAST", "LAG", "HB", "FSYNCp99", "SESS", "SEEN", "WHY"];
    assert_eq!(head(80), at_80);
    let order = ["MEM", "CPU", "DISK", "SNAP", "RTT", "REPL/s", "VOTE"];
    for width in 80..=250 {
        let shown = head(width);
        let has: Vec<_> = order.iter().map(|name| shown.contains(&(*name).to_owned())).collect();
        assert!(has.is_sorted(), "at {width}: {shown:?}");
    }
    assert_eq!(head(250).len(), 20, "{:?}", head(250));
    for width in 40..80 {
        assert!(head(width).iter().any(|name| name == "ROLE"), "{width}");
    }
}

#[test]
fn where_not_all_nodes_fit_the_marked_one_is_in_sight() {
    let mut model = Model::new((1..=9).map(address).collect(), NOW);
    update(&mut model, Msg::Poll(NOW));
    for seat in 1..=9 {
        let mut status = status(seat, if seat == 1 { "leader" } else { "follower" }, 41, Some(1));
        status.servers = (1..=9).map(server).collect();
        status.members = (1..=9).map(member).collect();
        status.links = (1..=9).filter(|other| *other != seat).collect();
        (status.voters, status.live) = (9, 9);
        tell(&mut model, status);
    }
    update(&mut model, Msg::Now(NOW + 10));
    assert_eq!(verdict(&model), Verdict::Healthy);
    for seat in 1..=9 {
        let text = screen(&model, 80, 9);
        assert!(text.contains(&format!(">n{seat} ")), "{text}");
        keys::type_in(&mut model, "j");
    }
    let text = screen(&model, 80, 24);
    assert!(text.contains(" n1 ") && text.contains(">n9 ") && text.contains("TIMELINE"), "{text}");
}

#[test]
fn every_size_is_drawn_and_hostile_names_stay_text() {
    let theme = Theme::choose(Some("plain"), |_| None).unwrap();
    let mut model = electing();
    let mut hostile = status(2, "\x1b]0;x\x07", u64::MAX, Some(1));
    hostile.cluster_name = "\x1b[2J\u{202e}日本".repeat(20);
    hostile.store = "\u{9b}31m".into();
    hostile.why = "\x1b[31m".repeat(9);
    (hostile.last_index, hostile.commit, hostile.applied) = (u64::MAX, u64::MAX, u64::MAX);
    hostile.events = vec![event(2, u64::MAX / 2000, u64::MAX, "\x1b[2J", Some(u32::MAX), "\x07")];
    hostile.events.extend(
        ["prevote", "elected", "lost_leader", "vote_asked", "new_leader"]
            .map(|kind| event(2, NOW, u64::MAX, kind, None, "\x1b[31m")),
    );
    tell(&mut model, hostile);
    let error = Some((Cause::Other, "\x1b[31m".to_owned()));
    update(&mut model, Msg::Answer(Box::new(Row { addr: address(3), error, ..Row::default() })));
    for view in ["1", "2", "3", "4", "5", "?", "w"] {
        keys::type_in(&mut model, view);
        for w in (1..=300).step_by(29) {
            for h in (1..=60).step_by(7) {
                let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
                terminal.draw(|frame| view::draw(&model, &theme, frame)).unwrap();
                let cells = terminal.backend().buffer().content();
                assert!(cells.iter().all(|c| !c.symbol().contains(char::is_control)), "{w}x{h}");
            }
        }
    }
    let plain = view::plain(&model, 100);
    assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain}");
}

#[test]
fn colours_tell_roles_but_never_alone() {
    let theme = Theme::choose(Some("dark"), |_| None).unwrap();
    let model = electing();
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    terminal.draw(|frame| view::draw(&model, &theme, frame)).unwrap();
    let text = screen(&model, 120, 40);
    for (word, role) in [
        ("UNREACHABLE", Role::Error),
        ("ELECTING", Role::Warning),
        ("~41", Role::Stale),
        ("810ms!!", Role::Error),
    ] {
        let place = text.lines().zip(0..).find_map(|(line, y)| {
            let x = line.find(word)?;
            Some((u16::try_from(line[..x].chars().count()).unwrap(), y))
        });
        let at = place.unwrap_or_else(|| panic!("no {word} in\n{text}"));
        let fg = theme.style(role).fg.unwrap_or(ratatui::style::Color::Reset);
        assert_eq!(terminal.backend().buffer()[at].fg, fg, "{word}");
    }
}
