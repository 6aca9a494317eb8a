//! Where clients are answered while their server has no node, because its database
//! does not answer: what the server says of itself, who led when it was last
//! heard, and that everybody else goes to another server. It must not know the
//! store, or how long it takes.

use super::accept::Door;
use super::strangers::Strangers;
use crate::chat::ids::ClusterId;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::report::reason::Reason;
use crate::wire;
use crate::wire::client::{decode_client, encode_server};
use crate::wire::conn::{ConnError, frames};
use crate::wire::message::{ClientMsg, Hello, Purpose, ServerMsg, Status, Where};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clients go to another server at once, and look here again not before this time.
const COME_BACK_MS: u32 = 300;

/// An open room. Its tasks end with [`Room::close`], or when it is dropped.
pub struct Room {
    known: Arc<watch::Sender<Status>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Room {
    /// Answers whoever comes through `door`. `last` is what the server said of itself last.
    #[must_use]
    pub fn open(door: Door, last: Status) -> Self {
        let known = Arc::new(watch::Sender::new(down(last)));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let serve = serve(door, Arc::clone(&known), stop.clone(), tasks.clone());
        tasks.spawn({
            let stop = stop.clone();
            async move {
                stop.run_until_cancelled(serve).await;
            }
        });
        Self { known, stop, tasks }
    }

    /// What the server says of itself meanwhile.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Status> {
        self.known.subscribe()
    }

    /// Why it takes so long.
    pub fn set_why(&self, why: &str) {
        self.known.send_modify(|status| why.clone_into(&mut status.why));
    }

    /// Who leads, as far as that is known.
    pub fn set_leader(&self, leader: Option<u32>) {
        self.known.send_modify(|status| status.leader = leader);
    }

    /// Answers nobody any more.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The statement of a server without a node: what it had stays, what it did is over.
fn down(last: Status) -> Status {
    Status {
        role: "down".to_owned(),
        leader: last.leader.filter(|leader| *leader != last.seat),
        sessions: 0,
        live: 0,
        links: Vec::new(),
        peers: Vec::new(),
        heartbeat_age_ms: None,
        quorum_ack_age_ms: None,
        ready: Some(false),
        reasons: vec![Reason::StorageUnavailable.code().to_owned()],
        ..last
    }
}

async fn serve(
    door: Door,
    known: Arc<watch::Sender<Status>>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let strangers = Strangers::default();
    loop {
        let (stream, peer) = door.next().await;
        // Who finds no place is not told: it finds another server.
        let Some(guest) = strangers.come(peer.ip()) else { continue };
        let (known, stop) = (known.subscribe(), stop.clone());
        let door = door.clone();
        tasks.spawn(async move {
            let told = guest.stays_for(receive(door, stream, known));
            match stop.run_until_cancelled(told).await {
                Some(Ok(Err(error))) => {
                    tracing::debug!(%peer, %error, "a client's connection ended");
                }
                Some(Err(out)) => tracing::debug!(%peer, ?out, "a client had to go"),
                Some(Ok(Ok(()))) | None => {}
            }
        });
    }
}

async fn receive(
    door: Door,
    stream: TcpStream,
    known: watch::Receiver<Status>,
) -> Result<(), ConnError> {
    let stream = door.secured(stream).await?;
    let (mut reader, mut writer) = frames(stream, limits::FRAME_BEFORE_LOGIN)?;
    while let Some(frame) = reader.next().await? {
        let answer = answer(&decode_client(frame)?, &known.borrow());
        writer.push(&encode_server(&answer));
        if matches!(answer, ServerMsg::GoAway { .. } | ServerMsg::Refused { .. }) {
            writer.finish().await?;
            // Closing while it still sends would take the answer from it.
            while reader.next().await?.is_some() {}
            return Ok(());
        }
        writer.flush_all().await?;
    }
    Ok(())
}

fn answer(message: &ClientMsg, status: &Status) -> ServerMsg {
    match message {
        ClientMsg::Ping(token) => ServerMsg::Pong(*token),
        ClientMsg::Hello(hello) => greet(hello, status),
        _ => go_away(status),
    }
}

fn greet(hello: &Hello, status: &Status) -> ServerMsg {
    let refused = |refusal, text| ServerMsg::Refused { request: 0, refusal, text };
    if hello.min > wire::VERSION || hello.max < wire::VERSION {
        let text = format!("this server speaks version {} of the protocol", wire::VERSION);
        return refused(Refusal::Version, text);
    }
    let named = status.cluster != ClusterId::default();
    let other = hello.cluster.is_some_and(|wanted| wanted != status.cluster);
    if named && other && hello.purpose != Purpose::Visit {
        let text = format!("this is the cluster {} ({})", status.cluster_name, status.cluster);
        return refused(Refusal::WrongCluster, text);
    }
    match hello.purpose {
        Purpose::Status => ServerMsg::Status(Box::new(status.clone())),
        Purpose::Where => whereabouts(status).unwrap_or_else(|| go_away(status)),
        Purpose::Link => {
            let text = "this server has no links to other clusters";
            refused(Refusal::Protocol, text.to_owned())
        }
        Purpose::Chat | Purpose::Visit => go_away(status),
    }
}

/// Who led last: that server leads still, or knows who does.
fn whereabouts(status: &Status) -> Option<ServerMsg> {
    let leader = status.servers.iter().find(|server| Some(server.seat) == status.leader)?;
    Some(ServerMsg::Where(Where {
        cluster: status.cluster,
        cluster_name: status.cluster_name.clone(),
        leader: Some(leader.clone()),
        servers: status.servers.clone(),
        term: status.term,
        generation: status.generation,
    }))
}

fn go_away(status: &Status) -> ServerMsg {
    let text = format!("this server waits: {}", status.why);
    ServerMsg::GoAway { retry_after_ms: COME_BACK_MS, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::ServerAddress;

    fn hello(purpose: Purpose) -> Hello {
        let (min, max, features) = (wire::VERSION, wire::VERSION, 0);
        Hello {
            min,
            max,
            features,
            purpose,
            device: None,
            placed: false,
            cluster: None,
            events_after: None,
        }
    }

    fn status(leader: Option<u32>) -> Status {
        let servers = (1..=3).map(|seat| ServerAddress { seat, ..ServerAddress::default() });
        down(Status {
            seat: 1,
            leader,
            servers: servers.collect(),
            cluster: ClusterId([7; 16]),
            term: 4,
            why: "it is away".into(),
            ..Status::default()
        })
    }

    #[test]
    fn who_asks_is_answered_and_who_would_chat_goes_elsewhere() {
        let status = status(Some(2));
        let ask = |purpose| greet(&hello(purpose), &status);
        let ServerMsg::Status(said) = ask(Purpose::Status) else { panic!("no status") };
        assert_eq!((said.role.as_str(), said.ready), ("down", Some(false)));
        assert_eq!(said.reasons, [Reason::StorageUnavailable.code()]);
        let ServerMsg::Where(said) = ask(Purpose::Where) else { panic!("not where") };
        assert_eq!(said.leader.map(|leader| leader.seat), Some(2));
        let away =
            |m: &ServerMsg| matches!(m, ServerMsg::GoAway { text, .. } if text.contains("away"));
        assert!(away(&ask(Purpose::Chat)));
        let guest = Hello { cluster: Some(ClusterId([9; 16])), ..hello(Purpose::Visit) };
        assert!(away(&greet(&guest, &status)));
        assert!(away(&answer(&ClientMsg::Mark(Vec::new()), &status)));
        assert!(matches!(ask(Purpose::Link), ServerMsg::Refused { .. }));
    }

    #[test]
    fn one_that_led_itself_does_not_say_that_it_leads() {
        let status = status(Some(1));
        assert_eq!(status.leader, None);
        assert!(matches!(greet(&hello(Purpose::Where), &status), ServerMsg::GoAway { .. }));
    }

    #[test]
    fn other_clusters_and_versions_are_told_so() {
        let wrong = |hello: &Hello| match greet(hello, &status(None)) {
            ServerMsg::Refused { refusal, .. } => refusal,
            other => panic!("{other:?}"),
        };
        let other = Some(ClusterId([9; 16]));
        let elsewhere = Hello { cluster: other, ..hello(Purpose::Chat) };
        assert_eq!(wrong(&elsewhere), Refusal::WrongCluster);
        let newer =
            Hello { min: wire::VERSION + 1, max: wire::VERSION + 1, ..hello(Purpose::Chat) };
        assert_eq!(wrong(&newer), Refusal::Version);
    }
}
