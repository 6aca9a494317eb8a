//! Who may write: one process at a time. The node's document carries an epoch that rises each
//! time another process takes the data over; every later write of the one before is refused,
//! because it names an older epoch. It must not know what is written.
//!
//! A claim is renewed by a beat. Who finds the data claimed watches the beat: while it moves,
//! it is refused; when it stands still for [`STORE_CLAIM_WATCH`], or its process is known to
//! have ended, it takes over. What the owner before has written is then complete: the same
//! document says how far the log reaches, and only the owner of the epoch can change it.

use super::db::Db;
use super::fields::{self, NODE, Reading, hex, int};
use crate::chat::ids::ClusterId;
use crate::limits::{STORE_BEAT, STORE_CLAIM_WATCH};
use crate::store::{Identity, StoreError};
use mongodb::bson::{DateTime, Document, doc};
use std::time::Instant;
use tokio::time::sleep;

/// `_id` of the document.
pub(super) const ID: &str = "node";
/// The format of the documents, raised when an older program could not read them.
const FORMAT: u64 = 1;

/// The process that owns the data.
#[derive(Debug)]
struct Holder {
    host: String,
    boot: String,
    /// Process numbers mean nothing in another namespace.
    namespace: String,
    pid: u32,
    /// Clock ticks after the boot: tells it from a later process with the same number.
    started: String,
    /// Random: tells two claims of one process apart.
    token: String,
}

fn file(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// When a process began; empty where there is none.
fn started(pid: u32) -> String {
    let stat = file(&format!("/proc/{pid}/stat"));
    // The name, in brackets, may hold anything; the 20th field after it is the start.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    fields.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

impl Holder {
    fn me() -> Self {
        let namespace = std::fs::read_link("/proc/self/ns/pid");
        let pid = std::process::id();
        Self {
            host: file("/proc/sys/kernel/hostname"),
            boot: file("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.map(|ns| ns.display().to_string()).unwrap_or_default(),
            pid,
            started: started(pid),
            token: hex(&rand::random::<[u8; 16]>()),
        }
    }

    fn document(&self) -> Document {
        doc! {
            "host": &self.host,
            "boot": &self.boot,
            "pid_namespace": &self.namespace,
            "pid": int(self.pid.into()),
            "process_started": &self.started,
            "token": &self.token,
            "since": DateTime::now(),
        }
    }

    /// Whether another holder is known to have ended: a process of this machine, since its
    /// last start, that is no longer there.
    fn knows_ended(&self, other: &Document) -> bool {
        let text = |field| other.get_str(field).unwrap_or_default();
        let pid = fields::number(other, "pid").and_then(|pid| u32::try_from(pid).ok());
        let here = !self.boot.is_empty()
            && !self.namespace.is_empty()
            && (text("host"), text("boot"), text("pid_namespace"))
                == (&*self.host, &*self.boot, &*self.namespace);
        here && pid.is_some_and(|pid| started(pid) != text("process_started"))
    }
}

/// What a holder's beat tells.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Alive,
    Silent,
    Unclear,
}

/// Watches the beat of whoever holds the database.
#[derive(Debug, Default)]
struct Watch {
    /// Epoch and beat, and since when they stand still.
    last: Option<((u64, u64), Instant)>,
    moves: u32,
}

impl Watch {
    fn look(&mut self, now: (u64, u64), at: Instant) -> Seen {
        match self.last {
            Some((before, since)) if before == now => {
                if at.duration_since(since) >= STORE_CLAIM_WATCH {
                    Seen::Silent
                } else {
                    Seen::Unclear
                }
            }
            Some(_) if self.moves > 0 => Seen::Alive,
            before => {
                // One move may be the last one of a process that has just ended.
                self.moves += u32::from(before.is_some());
                self.last = Some((now, at));
                Seen::Unclear
            }
        }
    }
}

/// Takes the database for this process. Gives the node's document as it then is.
///
/// # Errors
/// `NotOurs` where another process holds it, or it is another node's or another cluster's.
pub(super) async fn claim(
    db: &Db,
    seat: u32,
    cluster: Option<ClusterId>,
) -> Result<Document, StoreError> {
    let me = Holder::me();
    let mut watch = Watch::default();
    loop {
        let Some(found) = db.one(NODE, doc! { "_id": ID }, doc! {}).await? else {
            // Where another one is quicker, its document is found next.
            db.insert(NODE, vec![fresh(seat, &me)]).await?;
            continue;
        };
        check(db, &found, seat, cluster)?;
        let read = Reading { collection: NODE, document: &found };
        let (epoch, beat) = (read.number("epoch")?, read.number("beat")?);
        let holder = found.get_document("held_by").map_err(|_| read.bad("held_by"))?;
        if holder.get_str("token").is_ok_and(|token| token == me.token) {
            return Ok(found);
        }
        let free = fields::flag(&found, "released") || me.knows_ended(holder);
        if !free {
            match watch.look((epoch, beat), Instant::now()) {
                Seen::Alive => return Err(in_use(db, holder)),
                Seen::Silent => tracing::warn!(epoch, "taking the database of a silent process"),
                Seen::Unclear => {
                    sleep(STORE_BEAT / 2).await;
                    continue;
                }
            }
        }
        let same = doc! { "_id": ID, "epoch": int(epoch), "beat": int(beat) };
        let last = found.get("last").cloned();
        let taken = doc! { "$set": {
            "epoch": int(epoch + 1), "beat": int(0), "released": false,
            "held_by": me.document(), "last_at_takeover": last,
        }};
        // Where it does not match, somebody wrote meanwhile: look again.
        if let Some(taken) = db.modify(NODE, same, taken).await? {
            return Ok(taken);
        }
    }
}

fn in_use(db: &Db, holder: &Document) -> StoreError {
    let host = holder.get_str("host").unwrap_or("another machine");
    let pid = fields::number(holder, "pid").unwrap_or(0);
    StoreError::NotOurs(format!(
        "database {} is used by another rustchat process (host {host}, pid {pid}): stop that \
         one, or give each node a database of its own",
        db.name()
    ))
}

fn fresh(seat: u32, me: &Holder) -> Document {
    let identity = Identity::fresh(seat);
    let mut document = doc! {
        "_id": ID, "format": int(FORMAT), "epoch": int(1), "beat": int(0), "released": false,
        "held_by": me.document(), "vote": null, "last": null, "purged": null, "committed": null,
        "acknowledged": {},
    };
    document.extend(identity_fields(&identity));
    document
}

/// The fields that say whose data it is.
pub(super) fn identity_fields(identity: &Identity) -> Document {
    doc! {
        "cluster": identity.cluster.map(|cluster| cluster.to_string()),
        "generation": int(identity.generation),
        "seat": int(identity.seat.into()),
        "raft_id": int(identity.raft_id),
        "incarnation": hex(&identity.incarnation),
    }
}

/// Whose data it is.
///
/// # Errors
/// `Corrupt` where the document does not say.
pub(super) fn identity(document: &Document) -> Result<Identity, StoreError> {
    let read = Reading { collection: NODE, document };
    let cluster = match document.get_str("cluster") {
        Ok(_) => Some(read.id("cluster", ClusterId::parse)?),
        Err(_) => None,
    };
    Ok(Identity {
        cluster,
        generation: read.number("generation")?,
        seat: read.small("seat")?,
        raft_id: read.number("raft_id")?,
        incarnation: read.hex("incarnation")?,
    })
}

fn check(
    db: &Db,
    found: &Document,
    seat: u32,
    cluster: Option<ClusterId>,
) -> Result<(), StoreError> {
    let name = db.name();
    let format = Reading { collection: NODE, document: found }.number("format")?;
    if format > FORMAT {
        return Err(StoreError::NotOurs(format!(
            "database {name} was written by a newer rustchat (format {format}, this one knows \
             {FORMAT}): run the newer program"
        )));
    }
    let stored = identity(found)?;
    if stored.seat != seat {
        return Err(StoreError::NotOurs(format!(
            "database {name} holds the data of node {}, this is node {seat}: give each node a \
             database of its own",
            stored.seat
        )));
    }
    match (stored.cluster, cluster) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(StoreError::NotOurs(format!(
            "database {name} belongs to the cluster {theirs}, nodes.conf says {ours}: use \
             another database, or mend cluster_id"
        ))),
        _ => Ok(()),
    }
}
