//! A host on the network that claims to lead a cluster, and listens for whoever
//! believes it.

use rustchat::chat::ids::ClusterId;
use rustchat::tls::{NodeKeys, make_keys, make_node, node_file};
use rustchat::wire::discovery::{Answer, decode_question, encode_answer};
use rustchat::wire::message::ServerAddress;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Its threads look this often whether they shall end.
const LOOK: Duration = Duration::from_millis(50);

/// What it has heard.
#[derive(Default)]
struct Heard {
    questions: AtomicUsize,
    connections: AtomicUsize,
    bytes: AtomicUsize,
    ended: AtomicBool,
}

/// A rogue that runs.
pub struct Rogue {
    heard: Arc<Heard>,
    threads: Vec<JoinHandle<()>>,
}

impl Rogue {
    /// On the host `rogue`; `signed`: with keys of its own, else its word alone.
    pub fn start(address: &str, cluster: ClusterId, signed: bool) -> Self {
        let heard = Arc::new(Heard::default());
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        make_keys(dir.path(), "hosts", now).unwrap();
        make_node(dir.path(), 1, false, now).unwrap();
        let text = std::fs::read_to_string(node_file(dir.path(), 1)).unwrap();
        let leader = ServerAddress { seat: 1, host: address.to_owned(), client: 7101, peer: 7201 };
        let answer = Answer {
            version: 1,
            nonce: [0; 16],
            cluster_name: "hosts".to_owned(),
            cluster,
            generation: u64::MAX,
            leader,
            members: Vec::new(),
            signer: None,
        };
        let keys = signed.then(|| NodeKeys::parse(&text, 1).unwrap());
        let (one, two) = (Arc::clone(&heard), Arc::clone(&heard));
        let threads = vec![
            on_its_host(move || answer_all(&one, &answer, keys.as_ref())),
            on_its_host(move || listen(&two, &text)),
        ];
        Self { heard, threads }
    }

    /// Questions that it has answered.
    pub fn asked(&self) -> usize {
        self.heard.questions.load(Ordering::SeqCst)
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.heard.connections.load(Ordering::SeqCst)
    }

    /// Bytes that it was told, past TLS.
    pub fn told(&self) -> usize {
        self.heard.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.heard.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// A thread in the network of the host `rogue`.
fn on_its_host(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    std::thread::spawn(move || {
        let host = std::fs::File::open("/run/netns/rogue").unwrap();
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&host), network).unwrap();
        work();
    })
}

fn answer_all(heard: &Heard, answer: &Answer, keys: Option<&NodeKeys>) {
    let socket = UdpSocket::bind("0.0.0.0:7100").unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    let mut datagram = [0; 2048];
    while !heard.ended.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
        let Ok(question) = decode_question(&datagram[..length]) else { continue };
        let answer = Answer { nonce: question.nonce, ..answer.clone() };
        let told = encode_answer(&answer, length, keys.map(|keys| &keys.hint)).unwrap();
        drop(socket.send_to(&told, from));
        heard.questions.fetch_add(1, Ordering::SeqCst);
    }
}

/// A TLS server with keys of its own, which counts what it is told.
fn listen(heard: &Heard, keys: &str) {
    let listener = TcpListener::bind("0.0.0.0:7101").unwrap();
    listener.set_nonblocking(true).unwrap();
    while !heard.ended.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::park_timeout(LOOK);
            continue;
        };
        heard.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut tls = rustls::StreamOwned::new(server(keys), stream);
        let mut told = [0; 4096];
        while let Ok(count @ 1..) = tls.read(&mut told) {
            heard.bytes.fetch_add(count, Ordering::SeqCst);
        }
    }
}

fn server(keys: &str) -> rustls::ServerConnection {
    let parts = pem::parse_many(keys).unwrap();
    let chain = parts.iter().filter(|part| part.tag() == "CERTIFICATE");
    let chain = chain.map(|part| part.contents().to_vec().into()).collect();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(parts[0].contents().to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    rustls::ServerConnection::new(Arc::new(config)).unwrap()
}
