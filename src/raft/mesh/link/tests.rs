//! Two links wired to each other without sockets, over many seeds.

use super::*;
use crate::limits::MESSAGE_PEER;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;

fn link() -> (Link<()>, Instant) {
    let now = Instant::now();
    let mut link = Link::new(now);
    let ping = link.poll_frame(now);
    assert!(ping.is_some_and(|frame| frame.kind.is_none() && frame.call == 1));
    (link, now)
}

/// `length` bytes that differ with `mark`, cut from one random text.
fn body(length: usize, mark: u64) -> Bytes {
    static TEXT: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    const MARKS: usize = 4096;
    let text = TEXT.get_or_init(|| {
        let mut text = vec![0; MESSAGE_PEER + MARKS];
        StdRng::seed_from_u64(0).fill(&mut text[..]);
        text.into()
    });
    let start = mark as usize % MARKS;
    text.slice(start..start + length)
}

fn fragment(kind: MessageKind, call: u64, more: bool, payload: Bytes) -> PeerFrame {
    let lane = kind.lane();
    PeerFrame { lane, kind: Some(kind), call, answer: false, more, credit: None, payload }
}

/// One side of the simulation.
struct Side {
    link: Link<()>,
    /// Frames on their way to this side.
    wire: VecDeque<PeerFrame>,
    asked: u64,
    /// Asked and not yet taken over there, in order, by lane.
    sent: [VecDeque<(u64, Bytes)>; 4],
    /// Asked and not yet answered.
    open: BTreeMap<u64, Bytes>,
}

impl Side {
    fn new(now: Instant) -> Self {
        let sent = std::array::from_fn(|_| VecDeque::new());
        Self { link: Link::new(now), wire: VecDeque::new(), asked: 0, sent, open: BTreeMap::new() }
    }

    fn ask(&mut self, rng: &mut StdRng) {
        let kind = MessageKind::ALL[rng.random_range(0..MessageKind::ALL.len())];
        let longest = if kind.lane() == Lane::Control { 1000 } else { MESSAGE_PEER };
        let length = match rng.random_range(0..100) {
            0..50 => rng.random_range(0..100),
            50..99 => rng.random_range(0..longest.min(5 * PEER_FRAGMENT)),
            _ => longest,
        };
        self.asked += 1;
        let payload = body(length, self.asked);
        self.sent[kind.lane() as usize].push_back((self.asked, payload.clone()));
        self.open.insert(self.asked, payload.clone());
        self.link.ask(kind, self.asked, payload, ());
    }

    /// Takes a question that `asker` asked, and answers it with what it was.
    fn take(&mut self, lane: Lane, asker: &mut Self) -> bool {
        let Some(question) = self.link.take(lane, |_| true) else { return false };
        let (call, payload) = asker.sent[lane as usize].pop_front().expect("was asked");
        assert_eq!(question.call, call, "in the order of the lane");
        assert!(question.payload == payload, "whole");
        self.link.answer(question.kind, question.call, question.payload, ());
        true
    }

    fn hear(&mut self, now: Instant) -> bool {
        let Some(frame) = self.wire.pop_front() else { return false };
        match self.link.on_frame(frame, now).expect("the rules are kept") {
            Arrival::Answer(call, payload) => {
                assert!(self.open.remove(&call) == Some(payload), "the answer of its question");
            }
            Arrival::Question(_) | Arrival::Nothing => {}
        }
        for lane in Lane::ALL {
            let inn = &self.link.inn[lane as usize];
            assert!(inn.held + inn.owed <= lane.window(), "memory is bounded");
        }
        true
    }
}

/// One random step of one side; false where nothing could be done.
fn step(rng: &mut StdRng, one: &mut Side, other: &mut Side, asks: bool, now: Instant) -> bool {
    match rng.random_range(0..4) {
        0 if asks => {
            one.ask(rng);
            true
        }
        1 => one.take(Lane::ALL[rng.random_range(0..4)], other),
        2 => one.hear(now),
        _ => match one.link.poll_frame(now) {
            Some(frame) => {
                assert!(frame.payload.len() <= PEER_FRAGMENT);
                other.wire.push_back(frame);
                true
            }
            None => false,
        },
    }
}

#[test]
fn everything_arrives_once_whole_and_in_order_however_it_is_interleaved() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let (mut a, mut b) = (Side::new(now), Side::new(now));
        for _ in 0..3000 {
            let (one, other) = if rng.random() { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let asks = rng.random_range(0..4) == 0 && one.asked < 120;
            step(&mut rng, one, other, asks, now);
        }
        // From now on nobody asks: all of it must drain, or the lanes stand still.
        loop {
            let mut moved = false;
            for _ in 0..2 {
                std::mem::swap(&mut a, &mut b);
                while let Some(frame) = a.link.poll_frame(now) {
                    b.wire.push_back(frame);
                    moved = true;
                }
                while a.hear(now) {
                    moved = true;
                }
                for lane in Lane::ALL {
                    moved |= a.take(lane, &mut b);
                }
            }
            if !moved {
                break;
            }
        }
        assert!(a.open.is_empty() && b.open.is_empty(), "a stand-still with seed {seed}");
    }
}

#[test]
fn what_is_urgent_overtakes_what_is_long() {
    let (mut link, now) = link();
    link.ask(MessageKind::SnapshotRows, 1, body(4 * PEER_FRAGMENT, 1), ());
    link.ask(MessageKind::Append, 2, body(2 * PEER_FRAGMENT, 2), ());
    let mut sent = Vec::new();
    sent.push(link.poll_frame(now).unwrap().call);
    link.ask(MessageKind::Heartbeat, 3, Bytes::new(), ());
    link.answer(MessageKind::Append, 77, Bytes::new(), ());
    while let Some(frame) = link.poll_frame(now) {
        sent.push(frame.call);
    }
    assert_eq!(sent, [2, 3, 77, 2, 1, 1, 1, 1]);
}

#[test]
fn a_lane_without_credit_waits_and_holds_up_no_other() {
    let (mut link, now) = link();
    let mut receiver = Link::<()>::new(now);
    for call in 1..=3 {
        link.ask(MessageKind::SnapshotRows, call, body(MESSAGE_PEER, call), ());
    }
    let mut arrived = Vec::new();
    while let Some(frame) = link.poll_frame(now) {
        arrived.push(receiver.on_frame(frame, now).unwrap());
    }
    arrived.retain(|arrival| *arrival != Arrival::Nothing);
    assert_eq!(arrived, [Arrival::Question(Lane::Snapshot)], "one message fills the window");
    link.ask(MessageKind::Vote, 9, Bytes::new(), ());
    assert_eq!(link.poll_frame(now).map(|frame| frame.call), Some(9));
    assert!(!link.has_frame(now), "the snapshot waits");

    assert!(receiver.take(Lane::Snapshot, |_| true).is_some());
    while let Some(frame) = receiver.poll_frame(now) {
        link.on_frame(frame, now).unwrap();
    }
    assert!(link.has_frame(now), "the credit has come back");
}

#[test]
fn a_long_message_never_waits_for_the_last_of_its_credit() {
    let (mut link, now) = link();
    let mut receiver = Link::<()>::new(now);
    while receiver.poll_frame(now).is_some() {}
    link.ask(MessageKind::Append, 0, body(1000, 1), ());
    link.ask(MessageKind::Append, 0, body(MESSAGE_PEER, 2), ());
    let mut taken = 0;
    loop {
        let (there, back) = (link.poll_frame(now), receiver.poll_frame(now));
        if there.is_none() && back.is_none() {
            break;
        }
        there.into_iter().for_each(|frame| drop(receiver.on_frame(frame, now).unwrap()));
        back.into_iter().for_each(|frame| drop(link.on_frame(frame, now).unwrap()));
        taken += u32::from(receiver.take(Lane::Log, |_| true).is_some());
    }
    assert_eq!(taken, 2, "without an answer or a ping that would carry the credit");
}

#[test]
fn only_what_has_not_begun_is_forgotten() {
    let (mut link, now) = link();
    link.ask(MessageKind::Append, 1, body(PEER_FRAGMENT + 1, 1), ());
    link.ask(MessageKind::Append, 2, body(10, 2), ());
    link.ask(MessageKind::Append, 3, body(10, 3), ());
    assert!(link.poll_frame(now).is_some_and(|frame| frame.more));
    link.forget(MessageKind::Append, 1);
    link.forget(MessageKind::Append, 2);
    let rest: Vec<_> = std::iter::from_fn(|| link.poll_frame(now)).map(|f| f.call).collect();
    assert_eq!(rest, [1, 3]);
}

#[test]
fn a_ping_goes_out_in_time_and_its_answer_is_measured() {
    let (mut link, start) = link();
    assert!(!link.has_frame(start));
    let later = start + PEER_PING;
    assert_eq!(link.next_ping(), later);
    assert!(link.has_frame(later));
    let ping = link.poll_frame(later).unwrap();

    let mut other = Link::<()>::new(later);
    other.on_frame(ping, later).unwrap();
    let pong = other.poll_frame(later).unwrap();
    assert!(pong.answer);
    let back = later + Duration::from_millis(5);
    link.on_frame(pong, back).unwrap();
    // The first ping had no answer: the time counts from there.
    assert_eq!(link.round_trip(), Some(back - start));
    assert_eq!(link.heard(), back);
    assert_eq!(link.dead_at(), back + PEER_SILENCE);
}

#[test]
fn who_breaks_the_rules_is_found_out() {
    let kind = MessageKind::Heartbeat;
    let overdrawn = |link: &mut Link<()>, now| {
        let whole = || fragment(kind, 0, false, body(1000, 0));
        let fits = Lane::Control.window() / (1000 + PEER_FRAGMENT_COST);
        (0..fits).try_for_each(|_| link.on_frame(whole(), now).map(drop)).expect("has credit");
        link.on_frame(whole(), now)
    };
    let (mut receiver, now) = link();
    assert_eq!(overdrawn(&mut receiver, now), Err(LinkError::Overdrawn));

    let (mut sender, now) = link();
    let mut paid = fragment(kind, 0, false, Bytes::new());
    paid.credit = Some((Lane::Log, 1));
    assert_eq!(sender.on_frame(paid, now), Err(LinkError::Overpaid));

    for (other, call) in [(MessageKind::Vote, 5), (kind, 6)] {
        let (mut link, now) = link();
        link.on_frame(fragment(kind, 5, true, body(3, 0)), now).unwrap();
        let mixed = fragment(other, call, false, body(3, 0));
        assert_eq!(link.on_frame(mixed, now), Err(LinkError::Mixed));
    }

    let (mut asker, now) = link();
    let endless = || PeerFrame { answer: true, ..fragment(kind, 1, true, body(60_000, 0)) };
    let error = (0..100).find_map(|_| asker.on_frame(endless(), now).err());
    assert_eq!(error, Some(LinkError::TooLong));
}

#[test]
fn no_frame_makes_it_panic() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut link, now) = link();
        for _ in 0..200 {
            let kind = MessageKind::ALL[rng.random_range(0..MessageKind::ALL.len())];
            let mut frame = fragment(kind, rng.random_range(0..3), rng.random(), Bytes::new());
            frame.payload = body(rng.random_range(0..2000), 0);
            frame.answer = rng.random();
            frame.credit = rng.random::<bool>().then(|| (frame.lane, rng.random_range(0..200)));
            if link.on_frame(frame, now).is_err() {
                break;
            }
            link.take(Lane::ALL[rng.random_range(0..4)], |_| true);
            link.ask(kind, 1, body(rng.random_range(0..100_000), 0), ());
            link.poll_frame(now);
        }
    }
}
