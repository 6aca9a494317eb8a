//! The operator's screen over answers written by hand.

use super::model::Model;
use super::update::{Effect, Msg, update};
use super::verdict::Verdict;
use super::view;
use crate::chat::ids::ClusterId;
use crate::ui::theme::{Role, Theme};
use crate::wire::message::{ServerAddress, Status};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

const NOW: u64 = 1_000_000;

fn address(seat: u32) -> String {
    format!("127.0.0.{seat}:7101")
}

fn status(seat: u32, role: &str, term: u64, leader: Option<u32>) -> Box<Status> {
    let server =
        |seat| ServerAddress { seat, host: format!("127.0.0.{seat}"), client: 7101, peer: 0 };
    Box::new(Status {
        seat,
        role: role.into(),
        term,
        leader,
        last_index: 88_412,
        commit: 88_410,
        applied: 88_409,
        sessions: 212,
        cluster: ClusterId([0x7f; 16]),
        cluster_name: "west".into(),
        generation: 1,
        servers: (1..=3).map(server).collect(),
        voters: 3,
        live: 3,
        ..Status::default()
    })
}

fn tell(model: &mut Model, seat: u32, result: Result<Box<Status>, &str>) -> Vec<Effect> {
    let result = result.map_err(str::to_owned);
    update(model, Msg::Answer { address: address(seat), result })
}

fn three() -> Model {
    let mut model = Model::new(vec![address(1)], NOW);
    assert_eq!(update(&mut model, Msg::Poll(NOW)), [Effect::Ask(address(1))]);
    let asks = tell(&mut model, 1, Ok(status(1, "leader", 41, Some(1))));
    assert_eq!(asks, [Effect::Ask(address(2)), Effect::Ask(address(3))], "members are learned");
    tell(&mut model, 2, Ok(status(2, "follower", 41, Some(1))));
    tell(&mut model, 3, Ok(status(3, "follower", 41, Some(1))));
    model
}

#[test]
fn a_healthy_cluster_at_eighty_columns() {
    let mut model = three();
    update(&mut model, Msg::Now(NOW + 200));
    let expected = "
 rustchat dash  cluster west  id 7f7f7f7f  generation 1
 OK

 NODE ROLE         TERM      LAST    COMMIT   APPLIED LEADER  SESS  WHERE
 n1   LEADER         41     88412     88410     88409     n1   212  127.0.0.1:7…
 n2   FOLLOWER       41     88412     88410     88409     n1   212  127.0.0.2:7…
 n3   FOLLOWER       41     88412     88410     88409     n1   212  127.0.0.3:7…
";
    let plain = view::plain(&model, 80);
    assert_eq!(plain, expected[1..], "\n{plain}");
}

#[test]
fn values_of_a_dead_node_are_marked_and_its_cause_is_told() {
    let mut model = three();
    update(&mut model, Msg::Poll(NOW + 2100));
    tell(&mut model, 1, Err("conn_refused"));
    tell(&mut model, 2, Ok(status(2, "candidate", 42, None)));
    tell(&mut model, 3, Ok(status(3, "follower", 42, None)));
    let plain = view::plain(&model, 100);
    for line in [
        " NO LEADER  2 voters answer, 2 needed: an election is due\n",
        " n1   UNREACHABLE   ~41    ~88412    ~88410    ~88409    ~n1  ~212   2.1s  conn_refused\n",
        " n2   CANDIDATE      42     88412     88410     88409      -   212   0.0s  127.0.0.2:7101\n",
    ] {
        assert!(plain.contains(line), "{plain}");
    }
    assert_eq!(Verdict::of(&model).code(), 2);
}

#[test]
fn a_node_that_waits_for_its_database_is_shown_with_its_cause() {
    let mut model = three();
    let mut waits = status(3, "down", 41, None);
    (waits.live, waits.why) = (0, "no database".into());
    tell(&mut model, 3, Ok(waits.clone()));
    let plain = view::plain(&model, 100);
    for line in [
        " DEGRADED  Missing: n3 (no database)\n",
        " n3   DOWN           41     88412     88410     88409      -   212   0.0s  no database\n",
    ] {
        assert!(plain.contains(line), "{plain}");
    }
    waits.seat = 2;
    tell(&mut model, 2, Ok(waits));
    let mut alone = status(1, "leader", 41, Some(1));
    alone.live = 1;
    tell(&mut model, 1, Ok(alone));
    assert_eq!(Verdict::of(&model).text().0, "NO QUORUM", "who waits is no voter");
}

#[test]
fn verdicts() {
    let mut model = three();
    tell(&mut model, 3, Err("timeout"));
    let verdict = Verdict::of(&model);
    assert_eq!(verdict, Verdict::Degraded("Missing: n3 (timeout)".into()));
    assert_eq!(verdict.code(), 1);

    tell(&mut model, 2, Err("conn_refused"));
    let mut alone = status(1, "leader", 41, Some(1));
    alone.live = 1;
    tell(&mut model, 1, Ok(alone));
    let (word, why) = Verdict::of(&model).text();
    assert_eq!(word, "NO QUORUM");
    assert!(why.starts_with("1 of 3 voters answers, 2 needed; writes wait. Missing: n2"), "{why}");

    tell(&mut model, 1, Err("timeout"));
    assert_eq!((Verdict::of(&model).text().0, Verdict::of(&model).code()), ("NO DATA", 3));

    let mut model = three();
    tell(&mut model, 2, Ok(status(2, "leader", 41, Some(2))));
    assert_eq!(Verdict::of(&model), Verdict::Split { term: 41, leaders: vec![1, 2] });
    tell(&mut model, 2, Ok(status(2, "leader", 40, Some(2))));
    assert_eq!(Verdict::of(&model).code(), 1, "an old leader is not a split");
}

#[test]
fn a_node_under_two_names_is_one_row() {
    let mut model = Model::new(vec!["localhost:7101".into(), address(2)], NOW);
    update(&mut model, Msg::Poll(NOW));
    tell(&mut model, 2, Ok(status(2, "follower", 41, Some(1))));
    assert_eq!(model.nodes.len(), 4, "n1 may be localhost, nobody knows yet");
    let first = Ok(status(1, "leader", 41, Some(1)));
    update(&mut model, Msg::Answer { address: "localhost:7101".into(), result: first });
    let names: Vec<_> = model.nodes.iter().map(|n| n.address.as_str()).collect();
    assert_eq!(names, ["localhost:7101", "127.0.0.2:7101", "127.0.0.3:7101"]);
}

#[test]
fn a_slow_node_is_not_asked_twice_at_once() {
    let mut model = three();
    assert_eq!(update(&mut model, Msg::Poll(NOW)).len(), 3);
    tell(&mut model, 1, Ok(status(1, "leader", 41, Some(1))));
    assert_eq!(update(&mut model, Msg::Poll(NOW + 500)), [Effect::Ask(address(1))]);
}

#[test]
fn the_keys_that_quit() {
    for (code, modifiers) in [
        (KeyCode::Char('q'), KeyModifiers::NONE),
        (KeyCode::Esc, KeyModifiers::NONE),
        (KeyCode::Char('c'), KeyModifiers::CONTROL),
    ] {
        let effects = update(&mut three(), Msg::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(effects, [Effect::Quit], "{code:?}");
    }
}

#[test]
fn every_size_is_drawn_and_hostile_names_stay_text() {
    let theme = Theme::choose(Some("dark"), |_| None).unwrap();
    let mut model = three();
    let mut hostile = status(2, "follower", u64::MAX, Some(1));
    hostile.cluster_name = "\x1b[2J\u{202e}日本".repeat(20);
    hostile.role = "\x1b]0;x\x07".into();
    tell(&mut model, 2, Ok(hostile.clone()));
    hostile.seat = 1;
    tell(&mut model, 1, Ok(hostile));
    tell(&mut model, 3, Err("\x1b[31m"));
    for w in (1..=300).step_by(7) {
        for h in 1..=20 {
            let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
            terminal.draw(|frame| view::draw(&model, &theme, frame)).unwrap();
            let cells = terminal.backend().buffer().content();
            assert!(cells.iter().all(|c| !c.symbol().contains(char::is_control)), "{w}x{h}");
        }
    }
    assert!(!view::plain(&model, 80).contains('\x1b'));
}

#[test]
fn colours_say_what_is_well_and_what_is_stale() {
    let theme = Theme::choose(Some("dark"), |_| None).unwrap();
    let mut model = three();
    tell(&mut model, 3, Err("timeout"));
    let mut terminal = Terminal::new(TestBackend::new(100, 10)).unwrap();
    terminal.draw(|frame| view::draw(&model, &theme, frame)).unwrap();
    let buf = terminal.backend().buffer();
    for ((x, y), role) in [
        ((1, 1), Role::Warning),
        ((6, 4), Role::Good),
        ((6, 5), Role::Text),
        ((6, 6), Role::Error),
        ((22, 6), Role::Stale),
    ] {
        let fg = theme.style(role).fg.unwrap_or(ratatui::style::Color::Reset);
        assert_eq!(buf[(x, y)].fg, fg, "{x},{y} {role:?} {:?}", buf[(x, y)].symbol());
    }
}
