//! Links to other clusters on the operator's screen.

use super::{NOW, at, healthy, screen, tell};
use crate::chat::ids::ClusterId;
use crate::ui::dash::update::Model;
use crate::ui::dash::view;
use crate::wire::statement::LinkView;

fn link(n: u8, name: &str, trust: &str, line: &str) -> LinkView {
    LinkView {
        name: name.into(),
        announced: name.into(),
        cluster: ClusterId([n; 16]),
        key: format!("SHA256:{}", "A".repeat(43)),
        address: format!("10.0.{n}.1:7101"),
        heard_at_ms: NOW - 12_000,
        trust: trust.into(),
        line: line.into(),
        imported: 1200,
        theirs: Some(1200),
        exported: 40,
        ..LinkView::default()
    }
}

/// n1 leads, and other clusters are in the map.
fn linked(clusters: &[LinkView]) -> Model {
    let mut model = healthy();
    for seat in 1..=3 {
        let mut status = at(60, seat, if seat == 1 { "leader" } else { "follower" }, 41);
        status.now_ms = NOW;
        status.clusters = clusters.to_vec();
        for view in &mut status.clusters {
            if seat != 1 {
                (view.line, view.round_trip_us) = ("idle".into(), None);
                if view.trust == "trusted" {
                    view.why.clear();
                }
            }
            if seat != 2 {
                (view.taken, view.taken_ms) = (None, None);
            }
        }
        tell(&mut model, status);
    }
    model
}

fn several() -> Vec<LinkView> {
    let mut up = link(1, "east", "trusted", "up");
    (up.round_trip_us, up.taken, up.taken_ms) = (Some(42_000), Some(40), Some(900));
    let mut down = link(2, "north", "trusted", "down");
    (down.taken, down.taken_ms) = (Some(28), Some(95_000));
    down.why = "it refuses: this cluster's operator has not trusted yours, or does not".into();
    let mut stopped = link(3, "south", "stopped", "idle");
    stopped.why = "it tells another history than before".into();
    let seen = LinkView { name: String::new(), ..link(4, "harbour", "seen", "idle") };
    vec![up, down, stopped, seen]
}

#[test]
fn links_that_are_trusted_stand_below_the_nodes_and_what_is_wrong_first() {
    let model = linked(&several());
    for (width, height) in [(80, 24), (120, 40)] {
        let shown = screen(&model, width, height);
        let at = shown.lines().position(|line| line.starts_with(" LINK ")).expect("a panel");
        let below: String =
            shown.lines().skip(at).take(4).map(|line| format!("{line}\n")).collect();
        if width == 80 {
            assert_eq!(below, PANEL_80[1..], "\n{shown}");
        }
        let names: Vec<_> =
            below.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["north", "south", "east"], "{shown}");
        for other in ["TIMELINE", "leader  n1", "commit/s", "link north down", "link south stopped"]
        {
            assert!(shown.contains(other), "{other} is not in\n{shown}");
        }
        assert!(!shown.contains("harbour"), "one that was only seen is no link:\n{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= width.into()), "{shown}");
    }
    let plain = view::plain(&model, 80);
    assert!(plain.contains(" LINK ") && plain.contains("north"), "{plain}");
}

#[test]
fn there_is_no_panel_without_a_link_and_it_has_an_end_with_many() {
    let seen = LinkView { name: String::new(), ..link(4, "harbour", "seen", "idle") };
    for map in [vec![], vec![seen]] {
        let shown = screen(&linked(&map), 80, 24);
        assert!(!shown.contains(" LINK "), "{shown}");
    }
    let many: Vec<_> = (1..=60).map(|n| link(n, &format!("c{n}"), "trusted", "up")).collect();
    let shown = screen(&linked(&many), 80, 24);
    assert!(shown.contains("and 57 more: 4") && shown.contains("TIMELINE"), "{shown}");
}

#[test]
fn a_view_of_its_own_has_all_that_were_heard() {
    let mut model = linked(&several());
    super::keys::type_in(&mut model, "4");
    let shown = screen(&model, 80, 24);
    for word in [
        "harbour",
        "seen",
        "42ms",
        "95.0s",
        "trusted yours, or does not",
        "10.0.4.1:7101  heard 12.0s ago",
        "SHA256:AAA",
    ] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
}

const PANEL_80: &str = "
 LINK          STATE           RTT    QUEUE   OLDEST  WHY
 north         down              -       12    95.0s  it refuses: this cluster'…
 south         stopped           -        -        -  it tells another history …
 east          up             42ms        0     0.0s
";
