//! A server of west whose operator means no good: it has west's own key and carries guests home,
//! but keeps all that passes, and changes it where it is told to. It must not know what a scenario
//! asserts.

use crate::harness::Cluster;
use async_trait::async_trait;
use bytes::Bytes;
use rustchat::chat::command::Command;
use rustchat::chat::ids::{ClusterId, UserId};
use rustchat::chat::link::{Link, LinkNumber};
use rustchat::chat::name::UserName;
use rustchat::limits;
use rustchat::link::{Home, Me, dial};
use rustchat::tls::{self, Fingerprint, Identity, NodeKeys, Stream};
use rustchat::wire::client::{decode_client, encode_server};
use rustchat::wire::conn::{Reader, Writer, frames, whole};
use rustchat::wire::link::{LinkAnswer, LinkAsk};
use rustchat::wire::message::{
    ClientMsg, DeviceCertificate, Purpose, ServerAddress, ServerMsg, Welcome, Where,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What it has seen of one guest.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the guest showed, before the way was open.
    pub visit: Vec<u8>,
    /// Whose device it said it was.
    pub certificate: DeviceCertificate,
    /// What it signed.
    pub signature: Bytes,
    /// What was carried, both ways.
    pub carried: Vec<u8>,
    /// What the guest said of that, in order.
    pub there: Vec<u8>,
}

struct Keys {
    identity: Arc<Identity>,
    west: ClusterId,
    east: (String, Fingerprint, ClusterId),
    own: SocketAddr,
    seen: Mutex<Seen>,
    tampers: AtomicBool,
}

/// The server.
pub struct Rogue {
    keys: Arc<Keys>,
    runtime: Runtime,
}

fn id_of(cluster: &Cluster) -> ClusterId {
    let json = cluster.status_json();
    let id = json["cluster_id"].as_str().or(json["cluster"]["id"].as_str());
    ClusterId::parse(id.unwrap_or_else(|| panic!("no id in {json}"))).unwrap()
}

impl Rogue {
    /// With the key of west's first server, on an address of its own; it carries to east's first.
    pub fn start(west: &Cluster, east: &Cluster) -> Self {
        let file = tls::node_file(&west.home().join("keys"), 1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let host: Ipv4Addr = west.elsewhere(1);
        let listener = runtime.block_on(TcpListener::bind((host, 7101))).unwrap();
        let keys = Arc::new(Keys {
            identity: Identity::load(&file, 1).unwrap(),
            west: id_of(west),
            east: (east.address(1).to_string(), east.fingerprint().parse().unwrap(), id_of(east)),
            own: listener.local_addr().unwrap(),
            seen: Mutex::default(),
            tampers: AtomicBool::new(false),
        });
        let ours = Arc::clone(&keys);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keys = Arc::clone(&ours);
                // A guest that goes away is no matter.
                tokio::spawn(async move { serve(&keys, stream).await.is_some() });
            }
        });
        Self { keys, runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.keys.own
    }

    /// From now on it changes a bit of all that guests say, or does not any more.
    pub fn tamper(&self, on: bool) {
        self.keys.tampers.store(on, Ordering::Relaxed);
    }

    /// What it has seen of its last guest.
    pub fn seen(&self) -> Seen {
        self.keys.seen.lock().unwrap().clone()
    }

    /// Opens a way for a user without any guest, and says these bytes on it; what came back.
    pub fn says_itself(&self, user: UserId, bytes: &[u8]) -> Vec<u8> {
        let keys = Arc::clone(&self.keys);
        self.runtime.block_on(async move {
            let mut stream = keys.way(user).await.unwrap();
            // East may hang up before it has heard all.
            drop(stream.write_all(bytes).await);
            drop(stream.flush().await);
            let mut back = Vec::new();
            let all = stream.read_to_end(&mut back);
            let ended = tokio::time::timeout(Duration::from_secs(20), all).await;
            drop(ended.expect("east hangs up"));
            back
        })
    }

    /// Opens a way for a user without any guest, and logs in on it with these words; the answer.
    pub fn logs_in(&self, user: UserId, hello: ClientMsg, login: ClientMsg) -> ServerMsg {
        let keys = Arc::clone(&self.keys);
        self.runtime.block_on(async move {
            let outer = keys.way(user).await.unwrap();
            let inner = tls::connect_within(outer, keys.east.1).await.unwrap();
            let (mut reader, mut writer) = frames(inner, limits::FRAME_SERVER).unwrap();
            for message in [hello, login] {
                writer.push(&rustchat::wire::client::encode_client(&message));
            }
            writer.flush_all().await.unwrap();
            loop {
                let frame = reader.next().await.unwrap().expect("an answer");
                match rustchat::wire::client::decode_server(frame).unwrap() {
                    ServerMsg::Welcome(_) | ServerMsg::Cluster(_) => {}
                    answer => return answer,
                }
            }
        })
    }
}

impl Keys {
    /// A connection that east takes for one of this user's device.
    async fn way(&self, user: UserId) -> Option<Stream> {
        let (address, key, cluster) = &self.east;
        let mut line = dial::dial(self, address, *key, Some(*cluster)).await.ok()?;
        let answer = line.ask(&LinkAsk::Relay(user), limits::LINK_ANSWER).await.ok()?;
        assert_eq!(answer, LinkAnswer::Relayed);
        let conn = line.into_conn();
        whole(conn.reader, conn.writer).await.ok()
    }
}

async fn serve(keys: &Arc<Keys>, stream: TcpStream) -> Option<()> {
    let tls = tls::Server::new(&keys.identity).ok()?;
    let (mut reader, mut writer) =
        frames(tls.accept(stream).await.ok()?, limits::FRAME_CLIENT).ok()?;
    let ClientMsg::Hello(hello) = next(&mut reader).await?.0 else { return None };
    let host = keys.own.ip().to_string();
    let own = ServerAddress { seat: 1, host, client: keys.own.port(), peer: 0 };
    if hello.purpose == Purpose::Where {
        let found = Where {
            cluster: keys.west,
            cluster_name: "west".to_owned(),
            leader: Some(own.clone()),
            servers: vec![own],
            term: 1,
            generation: 1,
        };
        return say(&mut writer, &ServerMsg::Where(found)).await;
    }
    let welcome = Welcome {
        version: 1,
        cluster: keys.west,
        cluster_name: "west".to_owned(),
        generation: 1,
        seat: 1,
        challenge: [5; 32],
        ..Welcome::default()
    };
    say(&mut writer, &ServerMsg::Welcome(welcome)).await?;
    let (message, visit) = next(&mut reader).await?;
    let ClientMsg::Visit { certificate, signature } = message else { return None };
    let home = keys.way(certificate.user).await?;
    *keys.seen.lock().unwrap() = Seen { visit, certificate, signature, ..Seen::default() };
    say(&mut writer, &ServerMsg::Visiting).await?;
    let guest = whole(reader, writer).await.ok()?;
    let ((from, back), (answers, to)) = (guest.split(), home.split());
    tokio::select! {
        () = carry(keys, from, to, true) => {}
        () = carry(keys, answers, back, false) => {}
    }
    Some(())
}

async fn next(reader: &mut Reader) -> Option<(ClientMsg, Vec<u8>)> {
    let frame = reader.next().await.ok()??;
    let bytes = frame.to_vec();
    Some((decode_client(frame).ok()?, bytes))
}

async fn say(writer: &mut Writer, message: &ServerMsg) -> Option<()> {
    writer.push(&encode_server(message));
    writer.flush_all().await.ok()
}

async fn carry(
    keys: &Keys,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    there: bool,
) {
    let mut step = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut step).await {
        {
            let mut seen = keys.seen.lock().unwrap();
            seen.carried.extend_from_slice(&step[..count]);
            if there {
                seen.there.extend_from_slice(&step[..count]);
            }
        }
        if there && keys.tampers.load(Ordering::Relaxed) {
            step[count - 1] ^= 1;
        }
        if to.write_all(&step[..count]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl Home for Keys {
    fn me(&self) -> Option<Me> {
        Some(Me { cluster: self.west, name: "west".to_owned(), generation: 1, seat: 1 })
    }
    fn keys(&self) -> Option<Arc<NodeKeys>> {
        Some(self.identity.keys())
    }
    fn link(&self, _: ClusterId) -> Option<Link> {
        None
    }
    fn user(&self, _: &UserName) -> Option<(UserId, UserName)> {
        None
    }
    fn is_user(&self, _: UserId) -> bool {
        false
    }
    async fn exports(&self, _: LinkNumber, _: u64, _: usize) -> Option<Vec<(u64, Bytes)>> {
        None
    }
    async fn catch_up(&self) -> bool {
        false
    }
    fn propose(&self, _: &Command) -> bool {
        false
    }
    fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}
