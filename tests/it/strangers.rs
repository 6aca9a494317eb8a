//! Clients that mean harm: that promise and do not send, that send a byte now and then, that
//! say nothing any more. What they cost is bounded, in memory and in time, and the others are
//! served meanwhile.

use crate::harness::crowd::{Stranger, allow_files, connect_from};
use crate::harness::{Cluster, Raw, texts, wait_until};
use rustchat::chat::command::Target;
use rustchat::chat::ids::DeviceId;
use rustchat::limits;
use rustchat::wire::message::{ClientMsg, Credentials, ServerMsg};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What the clock of a test may be ahead of a server's end of a connection.
const SLACK: Duration = Duration::from_secs(10);

/// The header of a frame of this length.
fn header(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

/// What begins as the first record of a TLS handshake, and goes on for as long as one may.
fn handshake() -> Vec<u8> {
    let mut record = vec![0x16, 3, 1, 0x3f, 0xff];
    record.resize(16 * 1024, 0);
    record
}

/// One who is slow in a way of its own.
struct Slow {
    way: &'static str,
    stranger: Stranger,
    /// What it sends, byte by byte, over and over.
    drip: Vec<u8>,
    sent: usize,
    within: Duration,
}

impl Slow {
    fn new(way: &'static str, stranger: Stranger, drip: &[u8], within: Duration) -> Self {
        Self { way, stranger, drip: drip.to_vec(), sent: 0, within }
    }

    fn say_one_byte(&mut self) {
        if let Some(byte) = self.drip.get(self.sent % self.drip.len().max(1)) {
            self.stranger.say(&[*byte]);
            self.sent += 1;
        }
    }
}

/// Every way to be slow ends in bounded time.
#[test]
fn who_is_slow_or_silent_is_out_in_bounded_time() {
    let cluster = Cluster::start(1);
    let address = cluster.address(cluster.leader().seat);
    let bare = || Stranger::bare(cluster.elsewhere(0), address).unwrap();
    let open = || Stranger::from(cluster.elsewhere(0), address).unwrap();
    let mut owner = Raw::connect(address, DeviceId([1; 16]));
    owner.register("alice", "a long password");
    owner.resume(vec![]);
    let member = |n| {
        let mut raw = Raw::connect(address, DeviceId([n; 16]));
        raw.login("alice", "a long password");
        raw.resume(vec![]);
        raw.into_stranger()
    };
    let mut begun = header(limits::FRAME_BEFORE_LOGIN).to_vec();
    begun.extend([0; 200]);
    let (short, long) = (limits::FRAME_TIME, limits::CLIENT_SILENCE);
    let welcomed = Raw::connect(address, DeviceId([2; 16])).into_stranger();
    let ping = [0, 0, 0, 4, 0x52, 2, 8, 1];
    let begin = Instant::now();
    let mut slow = vec![
        Slow::new("it says nothing", bare(), &[], limits::LOGIN_OWED),
        Slow::new("its handshake drips", bare(), &handshake(), limits::LOGIN_OWED),
        Slow::new("it says nothing in TLS", open(), &[], limits::LOGIN_OWED),
        Slow::new("its hello drips", open(), &begun, limits::LOGIN_OWED),
        Slow::new("it does not log in", welcomed, &[], limits::LOGIN_OWED),
        Slow::new("its frame drips", member(5), &begun, short),
        Slow::new("its frame stops", member(6), &[], short),
        Slow::new("it is gone", member(7), &[], long),
    ];
    slow.iter_mut().filter(|slow| slow.way == "its frame stops").for_each(|slow| {
        slow.stranger.say(&ping[..5]);
    });
    while !slow.is_empty() {
        let next = slow.iter().map(|slow| slow.within).min().unwrap_or_default();
        let left = (begin + next + SLACK).saturating_duration_since(Instant::now());
        let ways: Vec<_> = slow.iter().map(|slow| slow.way).collect();
        wait_until(left, &format!("one of these is out: {ways:?}"), || {
            slow.iter_mut().for_each(Slow::say_one_byte);
            let before = slow.len();
            slow.retain_mut(|slow| !slow.stranger.is_out());
            (slow.len() < before).then_some(())
        });
        for slow in &slow {
            assert!(begin.elapsed() < slow.within + SLACK, "{} and is still in", slow.way);
        }
    }
}

/// Connections that only promise.
const PROMISES: usize = 2_000;
/// Of them, those that have logged in, and promise the most that anybody may.
const MEMBERS: u8 = 40;
/// What they may cost together, in bytes.
const COST: u64 = 64 * 1024 * 1024;

fn resident(cluster: &Cluster) -> u64 {
    cluster.status()[0].json["resident_bytes"].as_u64().expect("a size")
}

/// A header that announces the largest frame costs next to nothing.
#[test]
fn promises_of_large_frames_cost_no_memory() {
    allow_files(PROMISES as u64 + 1_000);
    let cluster = Cluster::start(1);
    let address = cluster.address(cluster.leader().seat);
    let mut alice = Raw::connect(address, DeviceId([200; 16]));
    alice.register("alice", "a long password");
    let member = |n| {
        let mut raw = Raw::connect(address, DeviceId([n; 16]));
        raw.login("alice", "a long password");
        raw.resume(vec![]);
        raw.into_stranger()
    };
    let mut inside: Vec<Stranger> = (0..MEMBERS).map(member).collect();
    let before = resident(&cluster);
    inside.iter_mut().for_each(|member| member.say(&header(limits::FRAME_CLIENT)));
    let mut outside: Vec<Stranger> = (0..PROMISES - usize::from(MEMBERS))
        .filter_map(|n| {
            let source = cluster.elsewhere(u8::try_from(n % 40).unwrap());
            // Who finds no place may be sent away before it can promise anything.
            let mut stranger = Stranger::from(source, address).ok()?;
            stranger.say(&header(limits::FRAME_BEFORE_LOGIN));
            Some(stranger)
        })
        .collect();
    let mut most = 0;
    wait_until(Duration::from_secs(20), "all that can wait do, the others are out", || {
        most = most.max(resident(&cluster));
        outside.retain_mut(|stranger| !stranger.is_out());
        (outside.len() <= limits::SESSIONS_BEFORE_LOGIN).then_some(())
    });
    most = most.max(resident(&cluster));
    let cost = most.saturating_sub(before);
    assert!(cost < COST, "{cost} bytes for {PROMISES} promises");
    wait_until(limits::FRAME_TIME + SLACK, "nobody who keeps no promise is still in", || {
        inside.retain_mut(|member| !member.is_out());
        outside.retain_mut(|stranger| !stranger.is_out());
        (inside.is_empty() && outside.is_empty()).then_some(())
    });
}

/// Connections that drip at a time.
const DRIPS: usize = 5_000;
/// Addresses that they come from.
const SOURCES: usize = 20;

/// Strangers who connect again whenever they are sent away, and say one byte of a
/// handshake now and then; until it is enough. Counts the connections made.
fn drip(cluster: &Cluster, servers: &[SocketAddr], enough: &AtomicBool, made: &AtomicUsize) {
    let mut strangers: Vec<Option<(Stranger, usize)>> = (0..DRIPS).map(|_| None).collect();
    let handshake = handshake();
    while !enough.load(Ordering::Relaxed) {
        for (n, stranger) in strangers.iter_mut().enumerate() {
            if enough.load(Ordering::Relaxed) {
                return;
            }
            if stranger.as_mut().is_none_or(|(stranger, _)| stranger.is_out()) {
                let source = cluster.elsewhere(u8::try_from(n % SOURCES).unwrap());
                let server = servers[n / SOURCES % servers.len()];
                *stranger = Stranger::bare(source, server).ok().map(|stranger| (stranger, 0));
                made.fetch_add(usize::from(stranger.is_some()), Ordering::Relaxed);
            }
            if let Some((stranger, said)) = stranger {
                stranger.say(&handshake[*said..=*said]);
                *said = (*said + 1) % handshake.len();
            }
        }
    }
}

/// While thousands drip into the leader and into a follower, somebody from another address
/// registers, logs in and talks, and nobody is elected.
#[test]
fn thousands_that_drip_keep_nobody_out_and_elect_nobody() {
    allow_files(DRIPS as u64 + 1_000);
    let cluster = Cluster::start(3);
    let before = cluster.leader();
    let follower = cluster.seats().into_iter().find(|seat| *seat != before.seat).unwrap();
    let servers = [before.seat, follower].map(|seat| cluster.address(seat));
    let (enough, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _until_the_end = Enough(&enough);
        scope.spawn(|| drip(&cluster, &servers, &enough, &made));
        wait_until(Duration::from_secs(60), "all of them have connected", || {
            (made.load(Ordering::Relaxed) >= DRIPS).then_some(())
        });
        let alice = cluster.person("alice");
        alice.register();
        let laptop = cluster.person("alice").elsewhere("laptop").known();
        let output = laptop.run(&["--send", "alice"], &["a note to myself"]);
        assert!(output.status.success(), "{}", texts(&output).1);
        let again = made.load(Ordering::Relaxed);
        wait_until(Duration::from_secs(60), "they are sent away and come back", || {
            (made.load(Ordering::Relaxed) >= again + DRIPS).then_some(())
        });
    });
    let after = cluster.leader();
    assert_eq!((after.seat, after.term), (before.seat, before.term), "somebody was elected");
}

/// Strangers who guess passwords at a time, as fast as they are answered.
const GUESSERS: u8 = 40;

/// Guesses, of many names, until it is enough; counts what was refused and what was put off.
fn guess(from: Ipv4Addr, to: SocketAddr, enough: &AtomicBool, counts: &[AtomicUsize; 2]) {
    for n in 0_u64.. {
        if enough.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = connect_from(from, to) else { continue };
        let Ok(mut raw) = Raw::over(stream, DeviceId([9; 16])) else { continue };
        raw.hello(true);
        let (name, password) = (format!("guess{n}"), "guessed".to_owned());
        if raw
            .try_send(&ClientMsg::Login(Credentials {
                name,
                password,
                key: None,
                invite: String::new(),
            }))
            .is_err()
        {
            continue;
        }
        while let Ok(said) = raw.try_receive() {
            match said {
                ServerMsg::Welcome(_) | ServerMsg::Cluster(_) => continue,
                ServerMsg::Refused { .. } => counts[0].fetch_add(1, Ordering::Relaxed),
                _ => counts[1].fetch_add(1, Ordering::Relaxed),
            };
            break;
        }
    }
}

/// While many addresses guess passwords without a pause, who knows a password gets in, from an
/// address of its own, and nobody is elected.
#[test]
fn guessing_passwords_keeps_nobody_out_and_elects_nobody() {
    let cluster = Cluster::start(3);
    let before = cluster.leader();
    let follower = cluster.seats().into_iter().find(|seat| *seat != before.seat).unwrap();
    let address = cluster.address(follower);
    cluster.person("alice").register();
    let (enough, counts) = (AtomicBool::new(false), Default::default());
    std::thread::scope(|scope| {
        let _until_the_end = Enough(&enough);
        for n in 0..GUESSERS {
            let (from, enough, counts) = (cluster.elsewhere(n % 20), &enough, &counts);
            scope.spawn(move || guess(from, address, enough, counts));
        }
        let [refused, put_off] = &counts;
        wait_until(Duration::from_secs(60), "they are refused", || {
            let all = refused.load(Ordering::Relaxed) + put_off.load(Ordering::Relaxed);
            (all > usize::from(GUESSERS)).then_some(())
        });
        let mut alice = Raw::connect(address, DeviceId([1; 16]));
        alice.login("alice", "the password of alice");
        alice.resume(vec![]);
        let me = Target::User(alice.user);
        alice.say(me, 1, &["while they guess"]);
        alice.ack(1);
        let again = refused.load(Ordering::Relaxed);
        wait_until(Duration::from_secs(60), "they go on", || {
            (refused.load(Ordering::Relaxed) > again).then_some(())
        });
    });
    let after = cluster.leader();
    assert_eq!((after.seat, after.term), (before.seat, before.term), "somebody was elected");
}

/// Says that it is enough also when the test fails.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
