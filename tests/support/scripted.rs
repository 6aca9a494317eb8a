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
    _place: Place,
}

impl ScriptedServer {
    /// Listens on an address of its own.
    pub fn start(script: Script) -> Self {
        let place = Place::take();
        let listener = TcpListener::bind((place.host(1), PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).unwrap();
                        std::thread::spawn(move || while converse(script, &stream).is_some() {});
                    }
                    Err(_) => std::thread::park_timeout(Duration::from_millis(10)),
                }
            }
        });
        Self { address, ended, _place: place }
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

/// A question and its answer; none once the connection is closed or says other things.
fn converse(script: Script, mut stream: &TcpStream) -> Option<()> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).ok()?;
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let length = usize::try_from(number(0)).ok().filter(|length| *length <= LARGEST)?;
    let mut body = vec![0; length.checked_sub(HEADER)?];
    stream.read_exact(&mut body).ok()?;
    let (question, code) = match number(12) {
        // Flags and the kind of the first section come before the document.
        OP_MSG => (body.get(5..)?, OP_MSG),
        // Flags, the collection's name up to a zero, and two numbers come before it.
        OP_QUERY => {
            let name = body.get(4..)?.iter().position(|byte| *byte == 0)?;
            (body.get(4 + name + 1 + 8..)?, OP_REPLY)
        }
        _ => return None,
    };
    let question = Document::from_reader(&mut Cursor::new(question)).ok()?;
    let mut answer = Vec::new();
    if code == OP_MSG {
        answer.extend([0; 5]);
    } else {
        // Flags, a cursor's number, where it begins, and that there is one document.
        answer.extend([0; 16]);
        answer.extend(1_i32.to_le_bytes());
    }
    answer.extend(reply(script, &question).to_vec().ok()?);
    let length = i32::try_from(HEADER + answer.len()).ok()?;
    let mut message = Vec::new();
    for field in [length, 1, number(4), code] {
        message.extend(field.to_le_bytes());
    }
    message.extend(answer);
    stream.write_all(&message).ok()
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
