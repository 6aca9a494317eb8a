//! What enters the log of that which is heard, and whom the leader connects to.

use super::*;
use crate::chat::scripts::seeds;
use rand::Rng;

const NOW_MS: u64 = 1 << 40;

fn id(n: u8) -> ClusterId {
    ClusterId([n; 16])
}

fn row(n: u8, trust: Trust, age: Duration) -> Link {
    Link {
        number: u64::from(n),
        cluster: id(n),
        name: format!("c{n}"),
        alias: if trust == Trust::Seen { String::new() } else { format!("c{n}") },
        key: [n; 32],
        address: format!("h{n}:1"),
        heard_ms: NOW_MS - u64::try_from(age.as_millis()).unwrap(),
        trust,
        ..Link::default()
    }
}

fn known(links: Vec<Link>) -> Known {
    let (ids, name) = (vec![id(100), id(101)], "west".to_owned());
    Known { ids, name, key: [100; 32], links, down: BTreeSet::new(), now_ms: NOW_MS }
}

fn heard(n: u8, address: &str) -> Heard {
    let (cluster, name, key) = (id(n), format!("c{n}"), [n; 32]);
    let hear = Hear { cluster, name, key, address: address.to_owned() };
    Heard { hear, by_answer: true, others: vec!["other:1".to_owned()] }
}

fn looked(n: u8, address: &str) -> Heard {
    Heard { by_answer: false, ..heard(n, address) }
}

fn seeker() -> (Seeker, Instant) {
    let now = Instant::now();
    (Seeker::new(Vec::new(), false, now), now)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_known_costs_an_entry_a_minute_and_what_is_new_one_at_once() {
    let (mut seeker, now) = seeker();
    let fresh = known(vec![row(1, Trust::Seen, SECOND), row(2, Trust::Trusted, 59 * SECOND)]);
    let same = vec![heard(1, "h1:1"), heard(2, "h2:1")];
    assert_eq!(seeker.on_round(fresh.clone(), same, now), []);
    let Heard { hear, .. } = heard(2, "moved:1");
    let news = seeker.on_round(fresh, vec![heard(2, "moved:1"), heard(3, "h3:1")], now);
    assert_eq!(news, [Command::Hear(hear), Command::Hear(heard(3, "h3:1").hear)]);
    let old = known(vec![row(1, Trust::Seen, 60 * SECOND)]);
    assert_eq!(seeker.on_round(old, vec![heard(1, "h1:1")], now).len(), 1);
}

#[test]
fn neither_itself_nor_whoever_calls_itself_by_a_known_id_is_heard() {
    let (mut seeker, now) = seeker();
    let mut liar = heard(1, "elsewhere:1");
    liar.hear.key = [9; 32];
    let mut twin = heard(5, "h5:1");
    twin.hear.key = [100; 32];
    let all = vec![heard(100, "h:1"), heard(101, "h:1"), twin, liar];
    let map = known(vec![row(1, Trust::Seen, 60 * SECOND)]);
    assert_eq!(seeker.on_round(map, all, now), []);
}

#[test]
fn those_only_seen_and_silent_for_ten_minutes_are_forgotten_by_who_has_led_for_one() {
    let (mut seeker, now) = seeker();
    let age = limits::LINK_FORGET;
    let all = [Trust::Seen, Trust::Trusted, Trust::Distrusted];
    let rows = (1..).zip(all).map(|(n, trust)| row(n, trust, age));
    let map = known(rows.chain([row(9, Trust::Seen, age - SECOND)]).collect());
    assert_eq!(seeker.on_round(map.clone(), vec![], now + 59 * SECOND), []);
    let heard_ms = map.links[0].heard_ms;
    let forget = Command::Forget { cluster: id(1), heard_ms };
    assert_eq!(seeker.on_round(map.clone(), vec![], now + 60 * SECOND), [forget]);
    // Heard in this very round, it stays.
    let again = seeker.on_round(map, vec![heard(1, "h1:1")], now + 60 * SECOND);
    assert_eq!(again, [Command::Hear(heard(1, "h1:1").hear)]);
}

#[test]
fn strangers_cost_little_however_many_and_the_map_has_an_end() {
    let (mut seeker, now) = seeker();
    let crowd = || (1..=60).map(|n| heard(n, "h:1")).collect::<Vec<_>>();
    assert_eq!(seeker.on_round(known(vec![]), crowd(), now).len(), limits::HEARD_AT_ONCE);
    let full = (101..).take(limits::LINKS).map(|n| row(n, Trust::Seen, SECOND));
    let full = known(full.collect());
    assert_eq!(seeker.on_round(full.clone(), crowd(), now), []);
    // One of the map that moves about all the time is one of the strangers.
    let moving = full.links.iter().map(|link| Heard {
        hear: Hear {
            address: "new:1".into(),
            name: link.name.clone(),
            key: link.key,
            cluster: link.cluster,
        },
        by_answer: true,
        others: vec![],
    });
    assert!(seeker.on_round(full.clone(), moving.collect(), now).len() <= limits::HEARD_AT_ONCE);
}

#[test]
fn only_configured_addresses_and_trusted_clusters_are_connected_to() {
    let now = Instant::now();
    let mut seeker = Seeker::new(vec!["a:1".into(), "b:1".into()], false, now);
    let age = 2 * limits::HEARD_AGAIN;
    let map = known(vec![
        row(1, Trust::Seen, age),
        row(2, Trust::Distrusted, age),
        row(3, Trust::Trusted, age),
        row(4, Trust::Trusted, SECOND),
    ]);
    let of = |looks: &[Look]| {
        let mut all: Vec<_> = looks.iter().map(|look| look.address.clone()).collect();
        all.sort();
        all
    };
    let looks = seeker.looks(&map, now);
    assert_eq!(of(&looks), ["a:1", "b:1", "h3:1", "h4:1"], "the last for its other servers");
    seeker.on_round(map.clone(), vec![looked(4, "h4:1")], now);
    let third = looks.iter().find(|look| look.address == "h3:1").unwrap();
    assert_eq!(third.whose, Some((id(3), Fingerprint::from([3; 32]))), "it must prove its key");
    looks.iter().for_each(|look| seeker.on_look(look, look.address != "a:1", now));
    assert_eq!(of(&seeker.looks(&map, now)), [""; 0]);
    assert_eq!(of(&seeker.looks(&map, now + limits::SEEK)), ["a:1"], "what failed comes first");
    assert_eq!(of(&seeker.looks(&map, now + limits::LOOK_AGAIN)), ["a:1", "b:1", "h3:1"]);
}

#[test]
fn many_addresses_are_looked_at_in_turn_a_few_at_a_time() {
    let now = Instant::now();
    let all: Vec<String> = (0..40).map(|n| format!("h{n}:1")).collect();
    let mut seeker = Seeker::new(all.clone(), false, now);
    let mut seen = BTreeSet::new();
    for round in 0..60 {
        let at = now + limits::SEEK * round;
        let looks = seeker.looks(&known(vec![]), at);
        assert!(looks.len() <= limits::LOOKS);
        looks.iter().for_each(|look| seeker.on_look(look, false, at));
        seen.extend(looks.into_iter().map(|look| look.address));
    }
    assert_eq!(seen.len(), all.len(), "each had its turn");
}

#[test]
fn a_trusted_cluster_whose_node_is_gone_is_found_at_another_one() {
    let (mut seeker, now) = seeker();
    let mut map = known(vec![row(1, Trust::Trusted, SECOND)]);
    seeker.on_round(map.clone(), vec![heard(1, "h1:1")], now);
    assert_eq!(seeker.looks(&map, now), [], "it was just heard");
    map.down.insert(1);
    let looks = seeker.looks(&map, now);
    assert_eq!(looks.iter().map(|look| look.address.as_str()).collect::<Vec<_>>(), ["h1:1"]);
    // A look at another one does not move it while it is not known to be gone.
    assert_eq!(seeker.on_round(map.clone(), vec![looked(1, "other:1")], now), []);
    seeker.on_look(&looks[0], false, now);
    let looks = seeker.looks(&map, now + SECOND);
    assert_eq!(looks.iter().map(|look| look.address.as_str()).collect::<Vec<_>>(), ["other:1"]);
    let moved = seeker.on_round(map, vec![looked(1, "other:1")], now + SECOND);
    assert_eq!(moved, [Command::Hear(looked(1, "other:1").hear)]);
}

#[test]
fn who_is_new_is_trusted_where_that_is_wanted_and_its_name_is_free() {
    let now = Instant::now();
    let mut seeker = Seeker::new(vec![], true, now);
    let map = known(vec![row(1, Trust::Distrusted, SECOND), row(2, Trust::Trusted, SECOND)]);
    let mut all = vec![heard(3, "h3:1")];
    for (n, name) in [(4, "c2"), (5, "west"), (6, "No name"), (7, "c3")] {
        let mut other = heard(n, "h:1");
        other.hear.name = name.into();
        all.push(other);
    }
    // A distrusted key under another id.
    let mut back = heard(8, "h:1");
    back.hear.key = [1; 32];
    all.push(back);
    let commands = seeker.on_round(map, all, now);
    let trusted = commands.iter().filter_map(|command| match command {
        Command::Trust(trusting) => Some((trusting.cluster, trusting.alias.as_str())),
        _ => None,
    });
    assert_eq!(trusted.collect::<Vec<_>>(), [(id(3), "c3")]);
}

/// Whatever is heard and however looks end, what it keeps has an end, and what it proposes too.
#[test]
fn nothing_grows_without_bounds() {
    seeds(100, |rng| {
        let mut now = Instant::now();
        let mut seeker = Seeker::new(vec!["a:1".into()], rng.random(), now);
        for _ in 0..50 {
            now += limits::SEEK;
            let trusts = [Trust::Seen, Trust::Trusted, Trust::Distrusted];
            let rows = (1..=rng.random_range(1..64u8)).map(|n| {
                row(n, trusts[rng.random_range(0..3)], SECOND * rng.random_range(0..2000))
            });
            let mut map = known(rows.collect());
            map.down = (1..64).filter(|_| rng.random()).collect();
            for look in seeker.looks(&map, now) {
                seeker.on_look(&look, rng.random(), now);
            }
            let all = (0..rng.random_range(0..128)).map(|_| {
                let mut heard = heard(rng.random_range(1..128), "h:1");
                heard.others = vec![format!("o{}:1", rng.random::<u16>()); 40];
                heard
            });
            let commands = seeker.on_round(map, all.collect(), now);
            assert!(commands.len() <= 4 * limits::LINKS);
            assert!(seeker.others.len() <= limits::LINKS);
            assert!(seeker.others.values().all(|all| all.len() <= limits::LINK_SERVERS));
            let most = limits::LINKS * (limits::LINK_SERVERS + 1) + 1;
            assert!(seeker.again.len() <= most && seeker.failed.len() <= most);
        }
    });
}
