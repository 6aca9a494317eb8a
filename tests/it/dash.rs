//! The operator's screen over real servers: an election is seen as it happens, a recording shows
//! it again, and the terminal is given back on every way out.

use crate::harness::{Cluster, LEADER, Terminal, signal, texts, wait_until};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

/// A change shows within this time, also over an election.
const SOON: Duration = Duration::from_secs(20);

fn words(cluster: &Cluster, more: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["dash".into(), "--nodes".into(), cluster.conf().into()];
    words.extend(more.iter().map(OsString::from));
    words
}

fn dash(cluster: &Cluster, more: &[&str]) -> Terminal {
    Terminal::run(cluster.home(), words(cluster, more))
}

/// `rustchat dash` in a pipe.
fn piped(cluster: &Cluster, words: &[&str]) -> Output {
    cluster.program().arg("dash").args(words).output().unwrap()
}

/// The role of a server as the screen shows it.
fn role(screen: &str, seat: u32) -> Option<String> {
    let name = format!("n{seat}");
    let rows = screen.lines().map(|line| line.trim_start_matches('>'));
    let mut found = rows.filter_map(|row| {
        let mut cells = row.split_whitespace();
        let role = cells.next().filter(|cell| *cell == name).and_then(|_| cells.next());
        // Lines about what is wrong begin with a name too.
        role.filter(|role| role.starts_with(char::is_uppercase))
    });
    found.next().map(str::to_owned)
}

fn quit(mut terminal: Terminal) {
    terminal.keys("q");
    assert_eq!(terminal.ended(SOON), 0);
    given_back(&terminal);
}

/// What the program wrote last may still be on its way.
fn given_back(terminal: &Terminal) {
    wait_until(SOON, "the terminal is given back", || (!terminal.is_full_screen()).then_some(()));
}

#[test]
fn an_election_is_seen_as_it_happens() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader();
    let mut screen = dash(&cluster, &[]);
    screen.wait_for(SOON, " OK");
    screen.wait_for(SOON, &format!("leader n{} t{}", old.seat, old.term));
    cluster.kill(old.seat);
    // What every row has said, in order, and whether the dead one's cause was told.
    let mut said: Vec<(u32, String)> = Vec::new();
    let mut cause = false;
    wait_until(SOON, "the screen shows who campaigns and who leads then", || {
        let text = screen.text();
        for seat in cluster.seats() {
            let now = role(&text, seat).unwrap_or_default();
            if said.iter().rev().find(|(of, _)| *of == seat).is_none_or(|(_, was)| *was != now) {
                said.push((seat, now));
            }
        }
        cause |= text.contains("conn_refused");
        let leads = |seat: u32| said.contains(&(seat, "LEADER".to_owned()));
        cluster.seats().iter().any(|seat| *seat != old.seat && leads(*seat)).then_some(())
    });
    let new = cluster.leader();
    let of = |seat| said.iter().filter(move |(of, _)| *of == seat).map(|(_, role)| role.as_str());
    assert_eq!(of(old.seat).next_back(), Some("UNREACHABLE"), "{said:?}");
    assert!(cause, "the cause was told");
    let winner: Vec<_> = of(new.seat).collect();
    assert!(winner.contains(&"PRECANDIDATE"), "{said:?}");
    assert!(winner.ends_with(&["CANDIDATE", "LEADER"]), "{said:?}");
    for part in [
        "DEGRADED".to_owned(),
        format!("leader n{} t{}", new.seat, new.term),
        format!("n{} LEADER, 2 of 3 votes in ", new.seat),
        format!("n{} CANDIDATE, votes for itself; yes ", new.seat),
        format!("n{} PRECANDIDATE (", new.seat),
        format!("lost n{}: ", old.seat),
    ] {
        screen.wait_for(SOON, &part);
    }
    screen.keys("3");
    screen.wait_for(SOON, "Who hears whom");
    screen.keys("1");
    cluster.kill(new.seat);
    screen.wait_for(SOON, "NO QUORUM");
    screen.wait_for(SOON, "rustchat recover plan");
    cluster.kill_all();
    screen.wait_for(SOON, "NO DATA");
    quit(screen);
}

#[test]
fn the_terminal_is_given_back_and_small_ones_are_borne() {
    let cluster = Cluster::start(1);
    cluster.leader();
    for name in ["TERM", "HUP", "INT"] {
        let mut screen = dash(&cluster, &[]);
        screen.wait_for(SOON, " OK");
        assert!(screen.is_full_screen());
        signal(screen.pid(), name);
        assert_eq!(screen.ended(SOON), 0, "{name}");
        given_back(&screen);
    }
    let screen = dash(&cluster, &[]);
    screen.wait_for(SOON, " OK");
    assert!(screen.is_coloured());
    for (cols, rows) in [(20, 5), (40, 8), (300, 100), (10, 50)] {
        screen.resize(cols, rows);
        std::thread::park_timeout(Duration::from_millis(60));
    }
    screen.resize(39, 8);
    screen.wait_for(SOON, "too small");
    screen.resize(80, 24);
    screen.wait_for(SOON, "TIMELINE");
    quit(screen);
    let plain = Terminal::run_in(cluster.home(), words(&cluster, &[]), &[("NO_COLOR", "1")]);
    plain.wait_for(SOON, " OK");
    plain.wait_for(SOON, "LEADER");
    assert!(!plain.is_coloured());
    quit(plain);
}

#[test]
fn one_plain_frame_in_a_pipe_ends_as_status_does() {
    let mut cluster = Cluster::of(3);
    let conf = cluster.conf();
    let conf = conf.to_str().unwrap().to_owned();
    let frame = |cluster: &Cluster, more: &[&str]| {
        let output = piped(cluster, &[&["--nodes", &conf], more].concat());
        let (out, _) = texts(&output);
        assert!(!out.contains('\x1b'), "{out}");
        (output.status.code(), out)
    };
    let (code, out) = frame(&cluster, &["--once"]);
    assert!(code == Some(3) && out.contains("NO DATA"), "{code:?}: {out}");
    cluster.up(1);
    wait_until(LEADER, "the only server says that it has no majority", || {
        let (code, out) = frame(&cluster, &[]);
        (code == Some(2) && out.contains("NO QUORUM")).then_some(())
    });
    cluster.start_all();
    cluster.leader();
    wait_until(LEADER, "all is well", || {
        let (code, out) = frame(&cluster, &[]);
        (code == Some(0) && out.contains(" OK") && out.contains("TIMELINE")).then_some(())
    });
}

#[test]
fn a_recording_shows_it_all_again() {
    let mut cluster = Cluster::start(3);
    let old = cluster.healthy();
    let screen = dash(&cluster, &["--record", "tape.ndjson"]);
    screen.wait_for(SOON, " OK");
    cluster.kill(old.seat);
    screen.wait_for(SOON, " CANDIDATE");
    screen.wait_for(SOON, "DEGRADED");
    screen.wait_for(SOON, "LEADER, 2 of 3 votes");
    quit(screen);
    cluster.kill_all();
    let tape: PathBuf = cluster.home().join("tape.ndjson");
    let text = std::fs::read_to_string(&tape).unwrap();
    let verdicts: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["verdict"].as_str().unwrap().to_owned())
        .collect();
    for verdict in ["healthy", "electing", "degraded"] {
        assert!(verdicts.iter().any(|was| was == verdict), "no {verdict} in {verdicts:?}");
    }

    // Nobody runs any more: it is all from the file.
    let output = piped(&cluster, &["--once", "--replay", "tape.ndjson"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("DEGRADED") && out.contains("LEADER, 2 of 3 votes"), "{out}");
    let again: Vec<OsString> = ["dash", "--replay", "tape.ndjson"].map(OsString::from).into();
    let mut played = Terminal::run(cluster.home(), again);
    played.wait_for(SOON, "REPLAY");
    played.wait_for(SOON, " CANDIDATE");
    played.wait_for(SOON, &format!("REPLAY {0}/{0} paused", verdicts.len()));
    for _ in 0..verdicts.len() {
        played.keys("\x1b[D");
    }
    played.wait_for(SOON, &format!("REPLAY 0/{}", verdicts.len()));
    played.keys("\x1b[C\x1b[C");
    played.wait_for(SOON, &format!("REPLAY 2/{}", verdicts.len()));
    quit(played);

    let mut lines: Vec<_> = text.lines().collect();
    let cut = &lines[3][..lines[3].len() / 2];
    lines[3] = cut;
    std::fs::write(&tape, lines.join("\n")).unwrap();
    let output = piped(&cluster, &["--once", "--replay", "tape.ndjson"]);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(65), ""), "{err}");
    assert!(err.contains("tape.ndjson:4: "), "{err}");
}

#[test]
fn leadership_is_handed_over_from_the_screen_to_whoever_is_named() {
    let cluster = Cluster::start(3);
    let old = cluster.leader();
    let heir = cluster.seats().into_iter().find(|seat| *seat != old.seat).unwrap();
    let mut screen = dash(&cluster, &["--admin"]);
    screen.wait_for(SOON, " OK");
    screen.keys(&"j".repeat(heir as usize - 1));
    screen.keys("T");
    screen.wait_for(SOON, &format!("Hand leadership over to n{heir}"));
    screen.wait_for(SOON, "Quorum then: 2 of 3 needed, 3 live, can lose 1");
    screen.keys(&format!("n{heir}\r"));
    screen.wait_for(SOON, &format!("leader n{heir} t"));
    assert_eq!(cluster.leader().seat, heir);
    quit(screen);

    let mut reader = dash(&cluster, &[]);
    reader.wait_for(SOON, " OK");
    reader.keys("X");
    reader.wait_for(SOON, "start dash with --admin");
    quit(reader);
}
