//! Servers whose database goes away and comes back, while people talk.

use super::*;
use crate::chat::message::Run;
use crate::client::security::Security;
use crate::client::status::status;
use crate::client::{Account, Client, ClientConfig, ClientEvent, Connection, Finding};
use crate::wire::message::Status;
use tokio::sync::mpsc::Receiver;

/// Asks the server about itself until `wanted`.
async fn until(server: &Running, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let said = status(&server.address.to_string(), DEADLINE, Security::PLAIN).await;
        match said {
            Ok(said) if wanted(&said) => return said,
            said => assert!(Instant::now() < deadline, "{what}: {said:?}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn until_waiting(server: &Running) -> Status {
    until(server, "it does not wait", |s| s.role == "down").await
}

/// Says hello and gives the answer.
async fn greeted(server: &Running, purpose: Purpose) -> ServerMsg {
    let device = (purpose == Purpose::Chat).then_some(DeviceId([1; 16]));
    let (min, max, features) = (1, 1, 0);
    let mut wire = Wire::open(server).await;
    let hello = Hello {
        min,
        max,
        features,
        purpose,
        device,
        placed: false,
        cluster: None,
        events_after: None,
    };
    wire.say(&ClientMsg::Hello(hello)).await;
    wire.hear().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_is_away_says_so_and_serves_again_in_the_same_process() {
    let store = Arc::new(Memory::new(1));
    let server = launch(config(10, 1, 1, Arc::clone(&store) as Arc<dyn Store>)).await;
    let (mut alice, ..) = registered(&server, "alice", 1).await;
    let (_, bob_id, _) = registered(&server, "bob", 2).await;
    alice.say(&messages(1, bob_id, vec![Body::text("before")])).await;
    acked(&mut alice, 1).await;
    let well = until(&server, "it is not ready", |s| s.ready == Some(true)).await;
    assert_eq!((well.reasons, well.why), (Vec::new(), String::new()));
    let gone = |m| matches!(m, ServerMsg::GoAway { .. }).then_some(());
    // More than once: what was, is no matter for the next time.
    for number in 2..4 {
        store.set_unavailable(true);
        alice.find(gone).await;
        assert_eq!(alice.hear().await, None);
        let said = until_waiting(&server).await;
        assert_eq!((said.ready, said.sessions), (Some(false), 0));
        assert_eq!(said.reasons, ["storage_unavailable"]);
        assert!(said.why.contains("a fault was injected"), "{}", said.why);
        assert_eq!((&said.cluster_name[..], &said.store[..]), ("west", "memory"));
        for purpose in [Purpose::Chat, Purpose::Where] {
            let answer = greeted(&server, purpose).await;
            assert!(matches!(answer, ServerMsg::GoAway { .. }), "{answer:?}");
        }
        store.set_unavailable(false);
        until(&server, "it is not ready again", |s| s.ready == Some(true)).await;
        alice = welcomed(&server, 1).await;
        alice.say(&ClientMsg::Login(credentials("alice", "secret"))).await;
        authenticated(&mut alice).await;
        assert_eq!(resumed(&mut alice).await.sends, [(0, number - 1)], "nothing is forgotten");
        alice.say(&messages(number, bob_id, vec![Body::text("again")])).await;
        acked(&mut alice, number).await;
    }
    let mut bob = welcomed(&server, 2).await;
    bob.say(&ClientMsg::Login(credentials("bob", "secret"))).await;
    authenticated(&mut bob).await;
    resumed(&mut bob).await;
    pushed(&mut bob, 0, 3).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_ends_when_it_is_told_to() {
    let store = Arc::new(Memory::new(1));
    let mut server = launch(config(11, 1, 1, Arc::clone(&store) as Arc<dyn Store>)).await;
    timeout(DEADLINE, server.pulse.wait_for(|p| p.node.is_some())).await.unwrap().unwrap();
    store.set_unavailable(true);
    until_waiting(&server).await;
    let beats = server.pulse.borrow().beats;
    let alive = server.pulse.wait_for(|p| p.node.is_none() && p.beats > beats + 2);
    timeout(DEADLINE, alive).await.expect("it beats while it waits").unwrap();
    server.stop.cancel();
    timeout(DEADLINE, server.end).await.expect("an end in time").unwrap().unwrap();
    TcpStream::connect(server.address).await.expect_err("nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_is_away_at_its_first_start_does_not_start() {
    let store = Arc::new(Memory::new(1));
    store.set_unavailable(true);
    let (ready, is_ready) = oneshot::channel();
    let config = config(12, 1, 1, store);
    let (stop, pulse) = (CancellationToken::new(), watch::channel(Pulse::default()).0);
    let ended = timeout(DEADLINE, Box::pin(run(config, stop, ready, pulse))).await;
    assert!(matches!(ended, Ok(Err(ServeError::Unavailable(_)))), "{ended:?}");
    assert!(is_ready.await.is_err(), "it was never ready");
}

/// A person with a real client, which knows all servers.
struct Person {
    client: Client,
    events: Receiver<ClientEvent>,
    /// The server that let it in last.
    seat: u32,
}

impl Person {
    async fn start(name: &str, servers: &[Running]) -> Self {
        let servers = servers.iter().map(|server| server.address.to_string()).collect();
        let password = Some("secret".to_owned());
        let (client, events) = Client::start(ClientConfig {
            finding: Finding { servers, security: Security::PLAIN, ..Finding::default() },
            account: Account { name: name.into(), password, register: true, invite: None },
            state_dir: None,
            device: None,
        })
        .unwrap();
        let mut person = Self { client, events, seat: 0 };
        person.let_in(|_| true).await;
        person
    }

    async fn find<T>(&mut self, what: &str, wanted: impl Fn(ClientEvent) -> Option<T>) -> T {
        let find = async {
            loop {
                let event = self.events.recv().await.expect("a client");
                if let ClientEvent::Connection(Connection::Ready { seat, .. }) = &event {
                    self.seat = *seat;
                }
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, find).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    /// Waits until it is let in by a server that is `wanted`.
    async fn let_in(&mut self, wanted: impl Fn(u32) -> bool) {
        self.find("a server", |event| match event {
            ClientEvent::Connection(Connection::Ready { seat, .. }) => wanted(seat).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Takes messages until one says `text`.
    async fn hears(&mut self, text: &str) {
        let says = |run: &Run| run.bodies.iter().any(|body| body.data == text.as_bytes());
        self.find(text, |event| match event {
            ClientEvent::Messages(run) => says(&run).then_some(()),
            _ => None,
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_go_on_elsewhere_and_the_server_is_one_of_the_others_again() {
    let stores: Vec<_> = (1..=3).map(|seat| Arc::new(Memory::new(seat))).collect();
    let mut servers = Vec::new();
    for (seat, store) in (1..).zip(&stores) {
        let store = Arc::clone(store) as Arc<dyn Store>;
        servers.push(launch(config(13, seat, 3, store)).await);
    }
    let mut alice = Person::start("alice", &servers).await;
    let mut bob = Person::start("bob", &servers).await;
    let to_bob = Target::User(alice.client.lookup("bob").await.unwrap().user);
    // Whoever leads, and then whoever serves Alice, loses its database.
    for (n, lead) in [(0, true), (1, false)] {
        alice.client.send(to_bob, Body::text(format!("before {n}"))).await.unwrap();
        for person in [&mut alice, &mut bob] {
            person.hears(&format!("before {n}")).await;
        }
        let led = |s: &Status| s.leader.is_some() && s.ready == Some(true);
        let leader = until(&servers[0], "nobody leads", led).await.leader.unwrap();
        let seat = if lead { leader } else { alice.seat };
        let (place, hers) = (seat as usize - 1, seat == alice.seat);
        stores[place].set_unavailable(true);
        let said = until_waiting(&servers[place]).await;
        assert_eq!(said.reasons, ["storage_unavailable"]);
        if hers {
            alice.let_in(|other| other != seat).await;
        }
        for text in ["while", "and while"] {
            alice.client.send(to_bob, Body::text(format!("{text} {n}"))).await.unwrap();
            bob.hears(&format!("{text} {n}")).await;
        }
        // Where is the leader? It knows whom it followed, or who took over.
        let knows = |s: &Status| s.leader.is_some_and(|leader| leader != seat);
        until(&servers[place], "it does not know who leads", knows).await;
        let answer = greeted(&servers[place], Purpose::Where).await;
        assert!(matches!(answer, ServerMsg::Where(_)), "{answer:?}");
        stores[place].set_unavailable(false);
        until(&servers[place], "it is not back", |s| s.ready == Some(true)).await;
        alice.client.send(to_bob, Body::text(format!("after {n}"))).await.unwrap();
        bob.hears(&format!("after {n}")).await;
    }
    alice.client.flushed().await;
    alice.client.close().await;
    bob.client.close().await;
    for server in servers {
        server.stop().await;
    }
}
