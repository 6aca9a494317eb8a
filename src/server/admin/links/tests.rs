//! Whom an order means, under which name, and how room is made.

use super::*;

const OWN: ClusterId = ClusterId([100; 16]);

fn id(n: u8) -> ClusterId {
    ClusterId([n; 16])
}

fn hear(n: u8, key: u8, name: &str) -> Hear {
    Hear { cluster: id(n), name: name.into(), key: [key; 32], address: format!("h{n}:1") }
}

fn trusted(n: u8, alias: &str) -> Command {
    Command::Trust(Trusting { cluster: id(n), key: [n; 32], alias: alias.into() })
}

/// `west`, which has heard these others, one every millisecond.
fn chat(heard: &[Hear], more: &[Command]) -> Chat {
    let mut chat = Chat::default();
    chat.apply(1, &[Command::Found { cluster: OWN, name: "west".into() }]);
    for (at, hear) in (2..).zip(heard) {
        chat.apply(at, &[Command::Hear(hear.clone())]);
    }
    chat.apply(1_000_000, more);
    chat
}

#[test]
fn who_is_meant_is_one_or_nobody() {
    let all = [hear(1, 1, "east"), hear(2, 2, "east"), hear(3, 3, "north")];
    let map = chat(&all, &[trusted(1, "hq")]);
    let found = |who: &str| find(&map, who).map(|link| link.cluster).map_err(|no| no.text);
    for who in ["hq", &id(1).to_string(), &Fingerprint::from([1; 32]).to_string(), "h1:1"] {
        assert_eq!(found(who), Ok(id(1)), "{who}");
    }
    assert_eq!(found("north"), Ok(id(3)));
    let several = found("east").unwrap_err();
    assert!(several.contains(&id(2).to_string()) && several.contains("SHA256:"), "{several}");
    assert!(found("nobody").unwrap_err().contains("link list"));
    assert!(found("").is_err());
    // A name that an operator gave goes before one that a stranger gives itself.
    let map = chat(&[hear(1, 1, "x"), hear(2, 2, "hq")], &[trusted(1, "hq")]);
    assert_eq!(find(&map, "hq").map(|link| link.cluster).ok(), Some(id(1)));
}

#[test]
fn a_name_is_free_and_fit_or_another_is_asked_for() {
    let all = [hear(1, 1, "east"), hear(2, 2, "east"), hear(3, 3, "West End"), hear(4, 4, "west")];
    let map = chat(&all, &[trusted(1, "east")]);
    let name = |n: usize, wanted| alias(&map, &all[n - 1], wanted).map_err(|no| no.text);
    assert_eq!(name(1, None).as_deref(), Ok("east"), "its own again");
    assert_eq!(name(1, Some("hq")).as_deref(), Ok("hq"));
    for (n, wanted) in
        [(2, None), (2, Some("west")), (2, Some("a@b")), (2, Some("")), (3, None), (4, None)]
    {
        let text = name(n, wanted).unwrap_err();
        assert!(text.contains("--as"), "{n} {wanted:?}: {text}");
    }
    assert_eq!(name(2, Some("far-east")).as_deref(), Ok("far-east"));
    // The same key under another id is the one that it was.
    assert_eq!(alias(&map, &hear(9, 1, "east"), None).ok().as_deref(), Some("east"));
}

#[test]
fn whoever_was_only_seen_makes_room_for_one_that_an_operator_has_looked_at() {
    let liar = chat(&[hear(1, 66, "east")], &[]);
    let forget = |n, heard_ms| vec![Command::Forget { cluster: id(n), heard_ms }];
    assert_eq!(room_for(&liar, &hear(1, 1, "east")), forget(1, 2));
    assert_eq!(room_for(&liar, &hear(1, 66, "east")), []);
    assert_eq!(room_for(&liar, &hear(2, 2, "east")), []);
    let all: Vec<_> = (1..=64).map(|n| hear(n, n, "x")).collect();
    assert_eq!(all.len(), limits::LINKS);
    let full = chat(&all, &[trusted(1, "east")]);
    assert_eq!(room_for(&full, &hear(99, 99, "y")), forget(2, 3), "the one heard longest ago");
    // With that, it is trusted.
    let mut full = full;
    let mut commands = room_for(&full, &hear(99, 99, "y"));
    commands.extend([Command::Hear(hear(99, 99, "y")), trusted(99, "y")]);
    full.apply(2_000_000, &commands);
    assert!(full.link_called("y").is_some() && full.link(id(2)).is_none());
}
