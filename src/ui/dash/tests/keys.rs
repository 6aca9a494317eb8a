//! The keys: every one that the help names does something, and changes ask first.

use super::*;
use crate::ui::dash::admin::{Action, Dialog, consequence};
use crate::ui::dash::keys::KEYS;
use crate::ui::dash::update::{Play, Replay};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn press(model: &mut Model, name: &str) -> Vec<Effect> {
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Space" => KeyCode::Char(' '),
        "←" => KeyCode::Left,
        "→" => KeyCode::Right,
        name => KeyCode::Char(name.chars().next().unwrap()),
    };
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// Types characters one by one.
pub fn type_in(model: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| press(model, &c.to_string())).collect()
}

/// A screen on which every key has something to do.
fn busy() -> Model {
    let mut model = electing();
    (model.admin, model.replay) = (true, Some(Replay { at: 3, of: 9, paused: false }));
    model.choice.filter = "n".into();
    model.choice.wide = true;
    model.choice.shift = 8;
    model.choice.view = crate::ui::dash::choice::View::Sessions;
    type_in(&mut model, "j");
    model
}

#[test]
fn every_key_in_the_help_does_something_that_is_seen() {
    let mut model = busy();
    press(&mut model, "?");
    let help = screen(&model, 120, 40);
    for (keys, what, _) in KEYS {
        assert!(help.contains(what), "{what:?} is not in\n{help}");
        for key in keys {
            let mut model = busy();
            // From where the key has something to change.
            match *key {
                "3" | "4" | "1" | "2" => {}
                "5" => drop(press(&mut model, "1")),
                "M" => {
                    tell(&mut model, status(2, "learner", 42, None));
                }
                "Tab" | "g" | "k" | "G" | "j" | "s" | "!" | "Enter" | "w" | "h" | "l" | "+"
                | "-" => {
                    model.choice.view = crate::ui::dash::choice::View::Nodes;
                }
                _ => {}
            }
            if *key == "!" {
                // One of them is well.
                let mut well = status(3, "follower", 42, Some(2));
                well.links = vec![1, 2];
                tell(&mut model, well);
            }
            let (before, seen) = (model.choice.clone(), screen(&model, 120, 40));
            let effects = press(&mut model, key);
            let shown = screen(&model, 120, 40) != seen;
            assert!(
                !effects.is_empty() || (model.choice != before || model.frozen.is_some()) && shown,
                "{key}"
            );
        }
    }
}

#[test]
fn only_useful_keys_are_in_the_help() {
    let mut model = healthy();
    press(&mut model, "?");
    let help = screen(&model, 80, 24);
    assert!(
        help.contains("this help") && !help.contains("promote") && !help.contains("round back")
    );
}

#[test]
fn keys_that_quit_and_keys_that_do_not() {
    assert_eq!(press(&mut healthy(), "q"), [Effect::Quit]);
    for c in ['c', 'd'] {
        let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(update(&mut healthy(), Msg::Key(key)), [Effect::Quit]);
    }
    let mut model = healthy();
    assert_eq!(press(&mut model, "Esc"), []);
    press(&mut model, "/");
    assert_eq!(press(&mut model, "q"), [], "it is part of the filter");
    assert_eq!(model.choice.filter, "q");
}

#[test]
fn the_filter_is_for_nodes_and_for_the_timeline() {
    let mut model = electing();
    type_in(&mut model, "/slow");
    press(&mut model, "Enter");
    let text = screen(&model, 80, 24);
    let rows = text.lines().filter(|l| l.contains("FOLLOWER") || l.contains("UNREACHABLE")).count();
    assert_eq!(rows, 1, "{text}");
    press(&mut model, "Esc");
    type_in(&mut model, "2/n2 t42");
    let text = screen(&model, 80, 24);
    assert!(text.contains("CANDIDATE, votes for itself") && !text.contains("lost n1"), "{text}");
}

#[test]
fn frozen_is_frozen_while_answers_go_on() {
    let mut model = healthy();
    press(&mut model, "f");
    let before = row(&model, 2);
    update(&mut model, Msg::Now(NOW + 3000));
    tell(&mut model, status(2, "candidate", 50, None));
    assert_eq!(row(&model, 2), before);
    assert!(screen(&model, 80, 24).contains("FROZEN 3.0s"));
    press(&mut model, "f");
    assert!(row(&model, 2).contains("CANDIDATE"));
}

#[test]
fn a_change_is_refused_without_admin() {
    let mut model = healthy();
    for key in ["T", "D", "M", "X"] {
        assert_eq!(press(&mut model, key), []);
        assert!(model.choice.dialog.is_none());
        assert!(screen(&model, 80, 24).contains("start dash with --admin"), "{key}");
    }
}

#[test]
fn a_change_tells_the_quorum_and_wants_the_name_typed() {
    let mut model = healthy();
    model.admin = true;
    type_in(&mut model, "jX");
    let text = screen(&model, 80, 24);
    assert!(text.contains("Remove n2 from the cluster for good"), "{text}");
    assert!(text.contains("Quorum now:  2 of 3 needed, 3 live, can lose 1"), "{text}");
    assert!(text.contains("Quorum then: 2 of 2 needed, 2 live, can lose 0"), "{text}");
    assert_eq!(press(&mut model, "Enter"), [], "nothing is typed");
    type_in(&mut model, "n1");
    assert_eq!(press(&mut model, "Enter"), [], "another name");
    update(&mut model, Msg::Key(KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE)));
    type_in(&mut model, "2");
    assert_eq!(press(&mut model, "Enter"), [Effect::Act(Action::Remove(2))]);
    update(&mut model, Msg::Acted(Err("it would lose the quorum".into())));
    assert!(screen(&model, 80, 24).contains("it would lose the quorum"));
    type_in(&mut model, "T");
    press(&mut model, "Esc");
    assert_eq!(model.choice.dialog, None);
}

#[test]
fn the_quorum_after_a_change() {
    let mut model = healthy();
    fail(&mut model, 3, Cause::Refused);
    let then = |action| consequence(&model.state, action).join(" ");
    let lost = then(Action::Remove(2));
    assert!(lost.contains("then: 2 of 2 needed, 1 live, NO QUORUM"), "{lost}");
    assert!(then(Action::Remove(3)).contains("then: 2 of 2 needed, 2 live, can lose 0"));
    assert!(then(Action::Remove(3)).contains("n3 does not answer"));
    assert!(then(Action::Drain(2)).contains("then: 2 of 3 needed, 2 live, can lose 0"));
    assert!(then(Action::Promote(2)).contains("then: 3 of 4 needed"));
}

#[test]
fn a_drained_node_can_only_be_taken_back_and_a_leader_does_not_take_over() {
    let mut model = healthy();
    model.admin = true;
    type_in(&mut model, "T");
    assert!(screen(&model, 80, 24).contains("it leads already"));
    let mut drained = at(60, 2, "follower", 41);
    drained.draining = true;
    tell(&mut model, drained);
    type_in(&mut model, "jD");
    assert_eq!(model.choice.dialog, Some(Dialog::new(Action::Undrain(2))));
}

#[test]
fn the_recording_is_played_by_keys() {
    let mut model = busy();
    for (key, play) in [("Space", Play::Toggle), ("←", Play::Back), ("→", Play::On)] {
        assert_eq!(press(&mut model, key), [Effect::Play(play)]);
    }
}

#[test]
fn views_details_and_every_event() {
    let mut model = electing();
    let shows = |model: &Model, parts: &[&str]| {
        let text = screen(model, 120, 40);
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    };
    press(&mut model, "Enter");
    shows(
        &model,
        &["DETAILS OF n1", "conn_refused: Connection refused", "n2, 2.0s ago", "raft id 1"],
    );
    type_in(&mut model, "j");
    shows(&model, &["DETAILS OF n2", "peer n1", "NOT connected, heard 2.0s ago", "no_leader"]);
    type_in(&mut model, "2");
    shows(&model, &["PRECANDIDATE (connection_lost): yes n3; silent n1"]);
    press(&mut model, "Enter");
    shows(&model, &["pre-vote of n3: yes in 3ms", "CANDIDATE, asks n3 for its vote"]);
    type_in(&mut model, "3");
    shows(&model, &["Who hears whom", "X 2.0s", "0.4ms", "dash"]);
    type_in(&mut model, "4");
    shows(&model, &["No other cluster was heard"]);
    type_in(&mut model, "5");
    shows(&model, &["SESSIONS", "ACCEPTED", "all", "425"]);
}

#[test]
fn a_cut_that_goes_one_way_is_named() {
    let mut model = healthy();
    let mut deaf = at(60, 3, "follower", 41);
    deaf.peers[0].live = false;
    deaf.peers[0].heard_ms = Some(6000);
    tell(&mut model, deaf);
    type_in(&mut model, "3");
    let text = screen(&model, 80, 24);
    assert!(text.contains("n1 hears n3, but n3 does not hear n1: cut one way"), "{text}");
    assert!(text.contains("X 6.0s"), "{text}");
}
