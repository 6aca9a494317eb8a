//! Another cluster that is one program of the test: it has keys of its own, proves them, speaks
//! the protocol of links, and answers each ask as the scenario says.

use rustchat::chat::ids::{ClusterId, DeviceId, UserId};
use rustchat::chat::link::{ChainHash, Export, Messages, chain};
use rustchat::chat::message::Body;
use rustchat::tls::{Fingerprint, Identity, Server, WriteHalf, make_keys, make_node, node_file};
use rustchat::wire::client::{decode_client, encode_server};
use rustchat::wire::conn::{FrameReader, Reader};
use rustchat::wire::link::{
    Exports, LinkAnswer, LinkAsk, LinkReason, LinkRefused, Pull, decode_ask, encode_answer,
};
use rustchat::wire::message::{ClientMsg, ClusterState, ServerMsg, Welcome};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::interval;

/// Between two looks whether there is something new to tell.
const LOOK: Duration = Duration::from_millis(20);

/// What it does with a pull.
#[derive(Clone, Debug)]
pub enum Act {
    /// Tells the story from where it is asked, as an honest cluster does.
    Honest,
    /// This instead.
    Answer(LinkAnswer),
    /// A frame of these bytes.
    Bytes(Vec<u8>),
    /// Nothing at all, and the connection stays.
    Silence,
    /// The length of a frame that does not come.
    Length(u32),
    /// One byte of a frame that never ends, again and again.
    Drip,
}

/// What it has told so far, and what it does now.
struct Told {
    act: Act,
    generation: u64,
    items: Vec<Export>,
    /// Up to each position, from 0.
    hashes: Vec<ChainHash>,
    pulls: usize,
    wait_ms: u32,
    refused: usize,
}

/// The cluster.
pub struct Peer {
    pub id: ClusterId,
    pub key: Fingerprint,
    pub address: SocketAddr,
    /// Where its keys lie, in `keys`.
    pub home: TempDir,
    told: Arc<Mutex<Told>>,
    runtime: Option<Runtime>,
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    /// Runs, with a name that it gives itself.
    pub fn start(name: &str) -> Self {
        let home = TempDir::with_prefix("rustchat-it-").unwrap();
        let (dir, now) = (home.path().join("keys"), SystemTime::now());
        let key = make_keys(&dir, name, now).unwrap();
        make_node(&dir, 1, false, now).unwrap();
        let identity = Identity::load(&node_file(&dir, 1), 1).unwrap();
        let server = Server::new(&identity).unwrap();
        let told = Arc::new(Mutex::new(Told {
            act: Act::Honest,
            generation: 1,
            items: Vec::new(),
            hashes: vec![[0; 32]],
            pulls: 0,
            wait_ms: 0,
            refused: 0,
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let id = ClusterId(rand::random());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, name) = (Arc::clone(&told), name.to_owned());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, told, name) = (server.clone(), Arc::clone(&shared), name.clone());
                tokio::spawn(async move { talk(&server, stream, id, &name, &told).await });
            }
        });
        Self { id, key, address, home, told, runtime: Some(runtime) }
    }

    /// A user of it.
    pub fn user(&self, number: u64) -> UserId {
        UserId { cluster: self.id, number }
    }

    /// Messages of its user 1, `mallory`, to somebody.
    pub fn says(&self, to: UserId, first_number: u64, texts: &[&str]) -> Messages {
        Messages {
            sender: self.user(1),
            name: "mallory".to_owned(),
            to,
            origin: self.id,
            device: DeviceId([66; 16]),
            first_number,
            at_ms: 1,
            bodies: texts.iter().map(|text| Body::text(*text)).collect(),
        }
    }

    /// One thing more that it tells, honestly numbered and chained.
    pub fn tell(&self, export: Export) {
        let mut told = lock(&self.told);
        let before = *told.hashes.last().unwrap();
        told.hashes.push(chain(&before, &export));
        told.items.push(export);
    }

    /// From now on it tells another story in place of what it told from `position` on.
    pub fn rewrite(&self, position: usize, export: Export) {
        let mut told = lock(&self.told);
        told.items.truncate(position - 1);
        told.hashes.truncate(position);
        drop(told);
        self.tell(export);
    }

    /// What it does with pulls from now on.
    pub fn act(&self, act: Act) {
        lock(&self.told).act = act;
    }

    /// Its generation from now on.
    pub fn generation(&self, generation: u64) {
        lock(&self.told).generation = generation;
    }

    /// How long the last one that asked was ready to wait, in milliseconds.
    pub fn wait_ms(&self) -> u32 {
        lock(&self.told).wait_ms
    }

    /// How often it was asked, and how often it then did something else than an honest one.
    pub fn asked(&self) -> (usize, usize) {
        let told = lock(&self.told);
        (told.pulls, told.refused)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection. What goes wrong on it is the other side's to see.
async fn talk(
    server: &Server,
    stream: TcpStream,
    id: ClusterId,
    name: &str,
    told: &Mutex<Told>,
) -> Option<()> {
    let stream = server.accept(stream).await.ok()?;
    let (read, mut writer) = stream.split();
    let mut reader = FrameReader::new(read, 1 << 20);
    let ClientMsg::Hello(_) = decode_client(reader.next().await.ok()??).ok()? else { return None };
    let welcome = ServerMsg::Welcome(Welcome {
        version: 1,
        features: 0,
        cluster: id,
        cluster_name: name.to_owned(),
        generation: lock(told).generation,
        seat: 1,
        servers: Vec::new(),
        state: ClusterState::default(),
        began_ms: 0,
        former: Vec::new(),
        challenge: rand::random(),
    });
    send(&mut writer, &encode_server(&welcome)).await?;
    while let Some(payload) = reader.next().await.ok()? {
        match decode_ask(payload).ok()? {
            LinkAsk::Hello(_) => {
                send(&mut writer, &encode_answer(&LinkAnswer::Hello { version: 1 })).await?;
            }
            LinkAsk::Pull(pull) => answer(&pull, told, &mut reader, &mut writer).await?,
            _ => send(&mut writer, &encode_answer(&refused(LinkReason::NoSuchUser))).await?,
        }
    }
    Some(())
}

/// A frame.
async fn send(writer: &mut WriteHalf, payload: &[u8]) -> Option<()> {
    let length = u32::try_from(payload.len()).unwrap();
    writer.write_all(&[&length.to_be_bytes(), payload].concat()).await.ok()?;
    writer.flush().await.ok()
}

pub fn refused(reason: LinkReason) -> LinkAnswer {
    let text = "as the scenario says".to_owned();
    LinkAnswer::Refused(LinkRefused { reason, text, retry_ms: 0, generation: 0 })
}

async fn answer(
    pull: &Pull,
    told: &Mutex<Told>,
    reader: &mut Reader,
    writer: &mut WriteHalf,
) -> Option<()> {
    let act = {
        let mut told = lock(told);
        told.pulls += 1;
        told.wait_ms = pull.wait_ms;
        told.refused += usize::from(!matches!(told.act, Act::Honest));
        told.act.clone()
    };
    match act {
        Act::Honest => send(writer, &encode_answer(&honest(pull, told).await)).await,
        Act::Answer(answer) => send(writer, &encode_answer(&answer)).await,
        Act::Bytes(bytes) => send(writer, &bytes).await,
        Act::Length(length) => {
            writer.write_all(&length.to_be_bytes()).await.ok()?;
            writer.flush().await.ok()?;
            reader.next().await.ok()?;
            None
        }
        Act::Silence => {
            reader.next().await.ok()?;
            None
        }
        Act::Drip => {
            writer.write_all(&900_000u32.to_be_bytes()).await.ok()?;
            let mut pace = interval(LOOK);
            loop {
                writer.write_all(&[0x12]).await.ok()?;
                writer.flush().await.ok()?;
                pace.tick().await;
            }
        }
    }
}

async fn honest(pull: &Pull, told: &Mutex<Told>) -> LinkAnswer {
    let mut pace = interval(LOOK);
    for _ in 0..50 {
        {
            let told = lock(told);
            if pull.generation != told.generation {
                let (retry_ms, generation) = (0, told.generation);
                let (reason, text) = (LinkReason::Generation, String::new());
                return LinkAnswer::Refused(LinkRefused { reason, text, retry_ms, generation });
            }
            let at = usize::try_from(pull.position).unwrap();
            if at < told.items.len() {
                return LinkAnswer::Exports(Exports {
                    generation: told.generation,
                    first: pull.position + 1,
                    before: told.hashes[at],
                    items: told.items[at..].to_vec(),
                    last: told.items.len() as u64,
                });
            }
        }
        if !matches!(lock(told).act, Act::Honest) {
            break;
        }
        pace.tick().await;
    }
    LinkAnswer::Exports(Exports {
        generation: pull.generation,
        first: pull.position + 1,
        before: pull.hash,
        items: Vec::new(),
        last: pull.position,
    })
}
