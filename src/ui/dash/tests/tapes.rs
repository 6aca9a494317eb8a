//! Recordings: what is written can be read, a damaged line is named, and playing shows what was.

use super::*;
use crate::report::judge::Verdict;
use crate::ui::dash::player::Player;
use crate::ui::dash::record::{Round, read, read_all, write};
use crate::ui::dash::update::Play;
use crate::ui::dash::verdict;

/// Ten seconds of three nodes; n1 dies after five, n2 leads from the eighth on.
fn tape() -> Vec<Round> {
    let round = |second: u64| {
        let (mut rows, at_ms) = (Vec::new(), NOW + second * 1000);
        for seat in 1..=3 {
            let (role, term, leader) = match (second, seat) {
                (0..5, 1) => ("leader", 41, Some(1)),
                (0..5, _) => ("follower", 41, Some(1)),
                (5.., 1) => {
                    let error = Some((Cause::Refused, "refused".to_owned()));
                    rows.push(Row { addr: address(1), error, ..Row::default() });
                    continue;
                }
                (5..8, _) => ("follower", 41, None),
                (_, 2) => ("leader", 42, Some(2)),
                _ => ("follower", 42, Some(2)),
            };
            let mut status = status(seat, role, term, leader);
            if second == 0 {
                status.events = born(seat);
            }
            rows.push(answer(status));
        }
        Round { at_ms, rows }
    };
    (0..10).map(round).collect()
}

fn text(tape: &[Round]) -> String {
    tape.iter().map(|round| format!("{}\n", write(round, Verdict::Healthy))).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let tape = tape();
    assert_eq!(read_all(&text(&tape)).unwrap(), tape);
    assert!(text(&tape).lines().all(|line| line.contains("\"verdict\":\"healthy\"")));
}

#[test]
fn a_damaged_line_is_named_by_its_number() {
    let good = text(&tape());
    let lines: Vec<_> = good.lines().collect();
    let cut = lines[2].split_at(lines[2].len() / 2).0;
    let flipped = lines[2].replacen("\"status\":\"", "\"status\":\"zz", 1);
    let other = lines[2].replace("\"schema\":1", "\"schema\":2");
    for bad in [cut, &flipped, &other, "", "[]", "{\"schema\":1}"] {
        let damaged = [&lines[..2], &[bad], &lines[3..]].concat().join("\n");
        let (number, why) = read_all(&damaged).unwrap_err();
        assert_eq!(number, 3, "{bad}: {why}");
        assert!(!why.is_empty());
    }
    assert_eq!(read_all("").unwrap_err().0, 1);
    assert!(
        read("{\"schema\":1,\"at_ms\":1,\"verdict\":\"\",\"answers\":[{\"addr\":\"a\"}]}").is_err()
    );
}

#[test]
fn a_recording_plays_with_its_own_time() {
    let mut player = Player::new(tape());
    let mut model = player.model();
    player.tick(&mut model, 100);
    assert_eq!(verdict(&model), Verdict::Healthy);
    assert!(screen(&model, 80, 24).contains("12:01:08 UTC"), "{}", screen(&model, 80, 24));
    assert!(screen(&model, 80, 24).contains("REPLAY 1/10"));
    for _ in 0..60 {
        player.tick(&mut model, 100);
    }
    assert_eq!(verdict(&model), Verdict::Electing);
    assert!(screen(&model, 80, 24).contains("12:01:14 UTC"), "{}", screen(&model, 80, 24));
    for _ in 0..100 {
        player.tick(&mut model, 100);
    }
    assert_eq!(verdict(&model), Verdict::Degraded, "its last round, however long that is ago");
    assert!(screen(&model, 80, 24).contains("REPLAY 10/10 paused"));
}

#[test]
fn steps_go_on_and_back() {
    let mut player = Player::new(tape());
    let mut model = player.model();
    player.finish(&mut model);
    let below = |model: &Model| screen(model, 120, 40).lines().skip(1).collect::<String>();
    let end = below(&model);
    for _ in 0..3 {
        player.play(&mut model, Play::Back);
    }
    assert_eq!(verdict(&model), Verdict::Electing);
    for _ in 0..3 {
        player.play(&mut model, Play::On);
    }
    assert_eq!(below(&model), end);
    for _ in 0..20 {
        player.play(&mut model, Play::Back);
    }
    assert_eq!(verdict(&model), Verdict::Unreachable, "before the first round");
    player.play(&mut model, Play::On);
    player.play(&mut model, Play::Toggle);
    player.tick(&mut model, 5000);
    assert_eq!(verdict(&model), Verdict::Electing, "it goes on from there");
}

#[test]
fn a_long_recording_is_left_backwards_as_it_was_entered() {
    let long: Vec<Round> = (0..300)
        .map(|n| {
            let mut round = tape()[usize::from(n % 2 == 1) * 9].clone();
            round.at_ms = NOW + n * 500;
            round
        })
        .collect();
    let mut player = Player::new(long);
    let mut model = player.model();
    let mut seen = Vec::new();
    for _ in 0..300 {
        player.play(&mut model, Play::On);
        seen.push(screen(&model, 80, 24));
    }
    for n in (250..299).rev() {
        player.play(&mut model, Play::Back);
        assert_eq!(screen(&model, 80, 24), seen[n], "round {n}");
    }
}
