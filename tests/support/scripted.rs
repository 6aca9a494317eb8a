//! A server that speaks just enough of MongoDB's wire protocol to refuse: for errors that a
//! server of one's own does not give. No database is behind it.

use super::place::Place;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where it listens, on an address of its own.
const PORT: u16 = 27019;
/// The largest message it reads, in bytes.
const LARGEST: usize = 1024 * 1024;
const HEADER: usize = 16;
/// Operation codes of the wire protocol.
const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
/// The largest answer that it hands on, in bytes.
const LARGEST_ANSWER: usize = 48 * 1024 * 1024;
const WRITES: [&str; 5] = ["insert", "update", "delete", "findAndModify", "createIndexes"];

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Nobody's password is right, and nobody may do anything without one.
    NobodyIsLetIn,
    /// It is of a version that the driver does not talk to any more.
    OldVersion,
    /// It said that it takes writes, and does not any more.
    NotPrimary,
    /// Every write fails: the disk is full.
    DiskFull,
}

/// A server that plays one script until it is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
    _place: Place,
}

impl ScriptedServer {
    /// Listens on an address of its own.
    pub fn start(script: Script) -> Self {
        Self::run(script, None)
    }

    /// In front of a server that works, with a disk that is full while [`Self::fill`] says so:
    /// the other one answers everything else than writes.
    pub fn before(target: SocketAddr) -> Self {
        Self::run(Script::DiskFull, Some(target))
    }

    /// Whether its disk is full; only for one before another server.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn run(script: Script, target: Option<SocketAddr>) -> Self {
        let place = Place::take();
        let listener = TcpListener::bind((place.host(1), PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, full) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (end, filled) = (Arc::clone(&ended), Arc::clone(&full));
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::park_timeout(Duration::from_millis(10));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let behind = target.map(TcpStream::connect).transpose();
                // Where the other one is not there, it is not there either.
                let Ok(behind) = behind else { continue };
                let mut talk = Talk { script, stream, behind, full: Arc::clone(&filled) };
                std::thread::spawn(move || while talk.converse().is_some() {});
            }
        });
        Self { address, ended, full, _place: place }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A connection.
struct Talk {
    script: Script,
    stream: TcpStream,
    /// To the server behind this one.
    behind: Option<TcpStream>,
    full: Arc<AtomicBool>,
}

impl Talk {
    /// A question and its answer; none once the connection is closed or says other things.
    fn converse(&mut self) -> Option<()> {
        let asked = message(&mut self.stream, LARGEST)?;
        let (code, body) = (number(&asked, 12), asked.get(HEADER..)?);
        let question = match code {
            // Flags and the kind of the first section come before the document.
            OP_MSG => body.get(5..)?,
            // Flags, the collection's name up to a zero, and two numbers come before it.
            OP_QUERY => {
                let name = body.get(4..)?.iter().position(|byte| *byte == 0)?;
                body.get(4 + name + 1 + 8..)?
            }
            _ => return None,
        };
        let question = Document::from_reader(&mut Cursor::new(question)).ok()?;
        if let Some(behind) = self.behind.as_mut().filter(|_| !own(&question, &self.full)) {
            behind.write_all(&asked).ok()?;
            let answer = message(behind, LARGEST_ANSWER)?;
            return self.stream.write_all(&answer).ok();
        }
        let mut answer = Vec::new();
        if code == OP_MSG {
            answer.extend([0; 5]);
        } else {
            // Flags, a cursor's number, where it begins, and that there is one document.
            answer.extend([0; 16]);
            answer.extend(1_i32.to_le_bytes());
        }
        answer.extend(reply(self.script, &question).to_vec().ok()?);
        let length = i32::try_from(HEADER + answer.len()).ok()?;
        let code = if code == OP_MSG { OP_MSG } else { OP_REPLY };
        let mut message = Vec::new();
        for field in [length, 1, number(&asked, 4), code] {
            message.extend(field.to_le_bytes());
        }
        message.extend(answer);
        self.stream.write_all(&message).ok()
    }
}

/// Whether a question is not for the server behind: who is there, and writes where there is
/// no room.
fn own(question: &Document, full: &AtomicBool) -> bool {
    let command = question.keys().next().map_or("", |name| name.as_str());
    let hello = matches!(command, "hello" | "isMaster" | "ismaster");
    hello || (WRITES.contains(&command) && full.load(Ordering::Relaxed))
}

/// A field of a message's header.
fn number(message: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(message[at..at + 4].try_into().unwrap())
}

/// Reads a message, with its header.
fn message(stream: &mut TcpStream, largest: usize) -> Option<Vec<u8>> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message).ok()?;
    let length = usize::try_from(number(&message, 0)).ok().filter(|length| *length <= largest)?;
    message.resize(length.max(HEADER), 0);
    stream.read_exact(&mut message[HEADER..]).ok()?;
    Some(message)
}

fn reply(script: Script, question: &Document) -> Document {
    let command = question.keys().next().map_or("", |name| name.as_str());
    match (script, command) {
        (_, "hello" | "isMaster" | "ismaster") => hello(script, question),
        (_, "ping" | "endSessions" | "buildInfo") if script != Script::NobodyIsLetIn => {
            doc! { "ok": 1.0 }
        }
        (Script::NobodyIsLetIn, "saslStart") => challenge(question),
        (Script::NobodyIsLetIn, "saslContinue") => {
            error(18, "AuthenticationFailed", "Authentication failed.")
        }
        (Script::NobodyIsLetIn, _) => {
            error(13, "Unauthorized", &format!("command {command} requires authentication"))
        }
        (Script::NotPrimary, _) => error(10107, "NotWritablePrimary", "not primary"),
        (Script::DiskFull, "find") => {
            let cursor = doc! { "id": 0_i64, "ns": "any.any", "firstBatch": [] };
            doc! { "cursor": cursor, "ok": 1.0 }
        }
        (Script::DiskFull, _) => error(14031, "OutOfDiskSpace", "No space left on device"),
        (Script::OldVersion, _) => error(59, "CommandNotFound", "no such command"),
    }
}

fn hello(script: Script, question: &Document) -> Document {
    let newest = if script == Script::OldVersion { 6 } else { 17 };
    let mut hello = doc! {
        "helloOk": true,
        "ismaster": true,
        "isWritablePrimary": true,
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0,
        "maxWireVersion": newest,
        "readOnly": false,
        "ok": 1.0,
    };
    if question.contains_key("saslSupportedMechs") {
        hello.insert("saslSupportedMechs", vec!["SCRAM-SHA-1", "SCRAM-SHA-256"]);
    }
    hello
}

/// SCRAM's second message, as for a person who exists: the client's nonce and more, a salt,
/// and how often it is hashed.
fn challenge(question: &Document) -> Document {
    let said = question.get_binary_generic("payload").map(Vec::as_slice).unwrap_or_default();
    let said = String::from_utf8_lossy(said);
    let nonce = said.rsplit("r=").next().unwrap_or_default();
    let payload = format!("r={nonce}more,s=c2l4dGVlbiBieXRlcyEhIQ==,i=4096");
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: payload.into_bytes() };
    doc! { "conversationId": 1, "done": false, "payload": Bson::Binary(payload), "ok": 1.0 }
}

fn error(code: i32, name: &str, message: &str) -> Document {
    doc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": name }
}
