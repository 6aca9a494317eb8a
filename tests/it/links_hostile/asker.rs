//! The other direction: whoever asks this cluster for what it tells others.

use super::peer::Peer;
use super::{Ground, SOON};
use crate::harness::{Cluster, Raw, wait_until};
use rustchat::chat::command::Target;
use rustchat::chat::ids::{ClusterId, DeviceId, UserId};
use rustchat::chat::link::Export;
use rustchat::tls::{Identity, connect, node_file};
use rustchat::wire::client::{decode_server, encode_client};
use rustchat::wire::conn::{Reader, Writer, frames};
use rustchat::wire::link::{
    LinkAnswer, LinkAsk, LinkHello, LinkReason, Pull, decode_answer, encode_ask, signed,
};
use rustchat::wire::message::{ClientMsg, Hello, Purpose, ServerMsg, Welcome};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// Somebody who asks by hand.
struct Asker {
    runtime: Runtime,
    reader: Reader,
    writer: Writer,
    met: Welcome,
}

impl Asker {
    fn meet(address: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (reader, writer, met) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let stream = connect(stream, None).await.unwrap();
            let (mut reader, mut writer) = frames(stream, 1 << 20).unwrap();
            writer.push(&encode_client(&ClientMsg::Hello(Hello {
                min: 1,
                max: 1,
                features: 0,
                purpose: Purpose::Link,
                device: None,
                placed: true,
                cluster: None,
                events_after: None,
            })));
            writer.flush_all().await.unwrap();
            let payload = reader.next().await.unwrap().unwrap();
            let ServerMsg::Welcome(met) = decode_server(payload).unwrap() else { panic!() };
            (reader, writer, met)
        });
        Self { runtime, reader, writer, met }
    }

    /// The answer, if the connection is not closed instead.
    fn ask(&mut self, ask: &LinkAsk) -> Option<LinkAnswer> {
        let Self { runtime, reader, writer, .. } = self;
        runtime.block_on(async {
            writer.push(&encode_ask(ask));
            writer.flush_all().await.ok()?;
            let answer = tokio::time::timeout(SOON, reader.next()).await;
            let payload = answer.expect("an answer in time").ok()??;
            Some(decode_answer(payload).unwrap())
        })
    }

    /// Says hello as this cluster, signed with the keys at this place.
    fn hello(&mut self, as_cluster: ClusterId, keys: &Peer) -> Option<LinkAnswer> {
        let text = signed(self.met.cluster, &self.met.challenge, as_cluster);
        self.ask(&hello(as_cluster, keys, &text))
    }

    fn refusal(answer: Option<LinkAnswer>) -> Option<LinkReason> {
        match answer {
            Some(LinkAnswer::Refused(refused)) => Some(refused.reason),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }
}

fn hello(cluster: ClusterId, keys: &Peer, text: &[u8]) -> LinkAsk {
    let identity = Identity::load(&node_file(&keys.home.path().join("keys"), 1), 1).unwrap();
    let signature = bytes::Bytes::copy_from_slice(&identity.keys().hint.sign(text));
    let name = "rogue".to_owned();
    LinkAsk::Hello(LinkHello { versions: (1, 1), cluster, name, generation: 1, seat: 1, signature })
}

fn pull(position: u64, hash: [u8; 32]) -> LinkAsk {
    LinkAsk::Pull(Pull { generation: 1, position, hash, wait_ms: 0, max_bytes: u32::MAX })
}

/// Whoever is not the holder of a trusted cluster's key is told nothing.
#[test]
fn nobody_is_told_anything_who_does_not_prove_a_trusted_key() {
    let ground = Ground::new();
    let address = ground.west.address(1);
    let other = Peer::start("other");
    let not_trusted = Some(LinkReason::NotTrusted);
    // Not trusted; in the trusted one's name with other keys; without a hello.
    assert_eq!(Asker::refusal(Asker::meet(address).hello(other.id, &other)), not_trusted);
    assert_eq!(Asker::refusal(Asker::meet(address).hello(ground.rogue.id, &other)), not_trusted);
    let first = Asker::meet(address).ask(&pull(0, [0; 32]));
    assert_eq!(Asker::refusal(first), Some(LinkReason::Malformed));
    // What was signed on one connection, or for another cluster, is worth nothing on this one.
    let (mut one, mut two) = (Asker::meet(address), Asker::meet(address));
    let text = signed(one.met.cluster, &one.met.challenge, ground.rogue.id);
    let replayed = hello(ground.rogue.id, &ground.rogue, &text);
    assert_eq!(Asker::refusal(two.ask(&replayed)), not_trusted);
    let text = signed(ClusterId([5; 16]), &one.met.challenge, ground.rogue.id);
    let relayed = hello(ground.rogue.id, &ground.rogue, &text);
    assert_eq!(Asker::refusal(one.ask(&relayed)), not_trusted);
    // The holder of the key is.
    let welcome = Asker::meet(address).hello(ground.rogue.id, &ground.rogue);
    assert_eq!(welcome, Some(LinkAnswer::Hello { version: 1 }));
}

/// A cluster is told what is for it, from where it says that it is; nothing about others.
#[test]
fn a_cluster_is_told_what_is_for_it_alone() {
    let ground = Ground::new();
    let mut asker = Asker::meet(ground.west.address(1));
    asker.hello(ground.rogue.id, &ground.rogue).unwrap();
    // Bob writes to an honest cluster's user.
    ground.alice.send("bob@west", &["hello"]);
    let bob = ground.west.person("bob").known();
    bob.send("alice@east", &["for the east alone"]);
    let Some(LinkAnswer::Exports(told)) = asker.ask(&pull(0, [0; 32])) else { panic!() };
    assert_eq!((told.items.len(), told.last), (0, 0));
    // Positions that cannot be, and another hash: each is answered, and the talk goes on.
    let rolled = Some(LinkReason::RolledBack);
    assert_eq!(Asker::refusal(asker.ask(&pull(7, [0; 32]))), rolled);
    assert_eq!(Asker::refusal(asker.ask(&pull(u64::MAX, [0; 32]))), rolled);
    let other = Some(LinkReason::OtherHistory);
    assert_eq!(Asker::refusal(asker.ask(&pull(0, [1; 32]))), other);
    let nobody = asker.ask(&LinkAsk::Resolve("No body!".to_owned()));
    assert_eq!(Asker::refusal(nobody), Some(LinkReason::NoSuchUser));
    // Trust that is taken back ends it.
    ground.west.done(&["link", "distrust", "rogue"]);
    assert_eq!(Asker::refusal(asker.ask(&pull(0, [0; 32]))), Some(LinkReason::NotTrusted));
    assert_eq!(asker.ask(&pull(0, [0; 32])), None);
}

/// Where there is nothing to tell, an answer waits: an idle link costs next to nothing.
#[test]
fn an_idle_link_costs_less_than_a_message_a_second() {
    let ground = Ground::new();
    wait_until(SOON, "it is asked", || (ground.rogue.asked().0 > 0).then_some(()));
    assert!(ground.rogue.wait_ms() >= 1000, "{} ms", ground.rogue.wait_ms());
    let mut asker = Asker::meet(ground.west.address(1));
    asker.hello(ground.rogue.id, &ground.rogue).unwrap();
    let begin = Instant::now();
    let ask = Pull { generation: 1, wait_ms: 1_500, ..Pull::default() };
    let Some(LinkAnswer::Exports(told)) = asker.ask(&LinkAsk::Pull(ask)) else { panic!() };
    assert!(told.items.is_empty() && begin.elapsed() >= Duration::from_millis(1_500));
}

/// One that asks for everything again and again, as fast as it is answered. How long a message
/// here waits for its acknowledgement meanwhile is printed, not asserted.
#[test]
fn a_greedy_cluster_holds_up_nobody_here() {
    let west = Cluster::setup().named("west").start(1);
    let rogue = Peer::start("rogue");
    west.leader();
    west.trusts(rogue.address, &rogue.key.to_string());
    let (alice, bob) = (west.person("alice"), west.person("bob"));
    bob.register();
    // Something that is worth asking for again.
    rogue.tell(Export::Messages(rogue.says(UserId { cluster: rogue.id, number: 9 }, 1, &["x"])));
    let address = west.address(1);
    let mut writer = Raw::connect(address, DeviceId([8; 16]));
    writer.register("writer", "a password of writer");
    writer.resume(vec![]);
    let to = Target::User(writer.lookup("bob"));
    let mut waits = |first: u64| {
        let mut waits: Vec<Duration> = (first..first + 200)
            .map(|number| {
                let begin = Instant::now();
                writer.say(to, number, &["a line"]);
                writer.ack(number);
                begin.elapsed()
            })
            .collect();
        waits.sort_unstable();
        (waits[waits.len() / 2], waits[waits.len() * 99 / 100])
    };
    let quiet = waits(1);
    let askers: Vec<_> = (0..8)
        .map(|_| {
            let mut asker = Asker::meet(address);
            asker.hello(rogue.id, &rogue).unwrap();
            asker
        })
        .collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mut asker in askers {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    asker.ask(&pull(0, [0; 32]));
                    asker.ask(&LinkAsk::Resolve("bob".to_owned()));
                }
            });
        }
        let ends = Ends(&stop);
        let tail = bob.tail();
        let greedy = waits(201);
        eprintln!("acknowledged after p50/p99: quiet {quiet:?}, with a greedy cluster {greedy:?}");
        alice.send("bob", &["done"]);
        wait_until(SOON, "local messages arrive", || {
            (tail.said().last()?.text == "done").then_some(())
        });
        drop(ends);
    });
    west.leader();
}

/// Tells the askers to end, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
