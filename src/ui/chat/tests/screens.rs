//! Whole screens, to be looked at and compared.

use super::*;

fn busy(columns: u16, rows: u16) -> Bench {
    let mut b = Bench::cold(columns, rows);
    b.ready(2);
    b.cluster(Some(3), 7, 3);
    b.talk(1, &[ALICE, BOB], 4, 4);
    b.talk(2, &[ALICE, 3], 3, 0);
    b.talk(3, &[ALICE, 4], 0, 0);
    b.say(2, 3, 1, &["hello?", "the error rate is up", "again"]);
    b.say(
        1,
        BOB,
        1,
        &[
            "deploy of 1.4 is out",
            "https://wiki.example/runbook/with/a/long/path/that/does/not/fit/on/a/line",
        ],
    );
    b.say(1, ALICE, 3, &["thanks, watching it", "and a 日本語 wide one 👩‍💻 ok"]);
    b.keys("ctrl+n");
    b.queue(1, 1, "rolling back");
    b.commit(1, 1, 5);
    b.mark(1, BOB, 4, 3);
    b.keys("shift+up");
    b.tell(ClientEvent::Connection(Connection::Waiting {
        retry_ms: 1400,
        why: "connection reset".into(),
    }));
    b.ready(1);
    b.cluster(Some(1), 8, 2);
    b.queue(1, 2, "is it back?");
    b.keys("typing alt+enter two_lines");
    b
}

#[test]
fn look() {
    for (w, h) in [(80, 24), (120, 40), (45, 10)] {
        let b = busy(w, h);
        eprintln!("{}", b.screen().lines().map(|l| format!("|{l}\n")).collect::<String>());
    }
    let mut b = Bench::cold(80, 24);
    eprintln!("{}", b.screen());
    b.keys("f1");
    eprintln!("{}", b.screen());
}
