//! Answers another cluster: who it is, what it is told, who is called so. Nothing is kept for it
//! but one page at a time, and nothing is signed or sent that it could have made up.

use super::board::Board;
use super::home::{Home, Me};
use crate::chat::ids::UserId;
use crate::chat::link::{ChainHash, Export, Link, chain};
use crate::chat::name::UserName;
use crate::limits;
use crate::tls::Hint;
use crate::wire::conn::{ConnError, Reader, Writer};
use crate::wire::link::{
    self, Exports, LinkAnswer, LinkAsk, LinkHello, LinkReason, LinkRefused, Pull, decode_ask,
    encode_answer,
};
use crate::wire::message::Challenge;
use crate::wire::stored;
use std::io;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{sleep, timeout};

/// Whoever refuses for now is asked again after this time, in milliseconds.
const BUSY_MS: u32 = 500;

/// What is applied is written within this time, or the asker comes back.
const WRITTEN: Duration = Duration::from_secs(1);
/// The longest wait between two looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a conversation with another cluster ends.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, at the end of a conversation")]
pub enum End {
    /// It went.
    Over,
    /// From now on the connection is that of a device of a user here.
    Relay {
        /// Whose device it is, as the other cluster says.
        user: UserId,
        /// The other cluster, which carries what is said.
        by: Link,
    },
}

/// What it was that the other cluster has proven.
async fn hello(
    home: &dyn Home,
    reader: &mut Reader,
    challenge: &Challenge,
) -> Result<Result<Link, LinkAnswer>, ConnError> {
    let Some(payload) = reader.next().await? else {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    };
    let LinkAsk::Hello(hello) = decode_ask(payload)? else {
        return Ok(Err(refused(LinkReason::Malformed, "say hello first")));
    };
    Ok(judge(home, &hello, challenge))
}

/// Who says hello, if this cluster's operator trusts it.
fn judge(home: &dyn Home, hello: &LinkHello, challenge: &Challenge) -> Result<Link, LinkAnswer> {
    if hello.versions.0 > link::VERSION || hello.versions.1 < link::VERSION {
        let text = format!("this side speaks version {} of links", link::VERSION);
        return Err(refused(LinkReason::Version, text));
    }
    let Some(Me { cluster, .. }) = home.me() else {
        return Err(busy("this cluster is not founded yet"));
    };
    let text = link::signed(cluster, challenge, hello.cluster);
    let key = Hint::verify(&text, hello.seat, &hello.signature, SystemTime::now());
    let known = home.link(hello.cluster).filter(|link| key == Some(link.key.into()));
    known.filter(Link::is_trusted).ok_or_else(|| {
        let text = "this cluster's operator has not trusted yours, or does not any more";
        refused(LinkReason::NotTrusted, text)
    })
}

/// Talks with another cluster until it goes. `challenge` is what it had to sign. `known` is called
/// once it has proven who it is.
///
/// # Errors
/// The connection is lost, or what came cannot be read.
pub async fn run(
    home: &dyn Home,
    board: &Board,
    (reader, writer): (&mut Reader, &mut Writer),
    challenge: &Challenge,
    known: impl FnOnce(),
) -> Result<End, ConnError> {
    let link = timeout(limits::LOGIN_TIME, hello(home, reader, challenge)).await;
    let link = match link.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        Ok(link) => link,
        Err(answer) => {
            tell(writer, &answer).await?;
            return Ok(End::Over);
        }
    };
    known();
    tell(writer, &LinkAnswer::Hello { version: link::VERSION }).await?;
    loop {
        let silent = limits::LINK_WAIT * 4;
        let next = timeout(silent, reader.next()).await;
        let Some(payload) = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
            return Ok(End::Over);
        };
        // Trust may have been taken back meanwhile.
        let Some(link) = home.link(link.cluster).filter(Link::is_trusted) else {
            let text = "this cluster's operator does not trust yours any more";
            tell(writer, &refused(LinkReason::NotTrusted, text)).await?;
            return Ok(End::Over);
        };
        let answer = match decode_ask(payload) {
            Ok(LinkAsk::Pull(pull)) => {
                board.note(link.number, |now| now.taken = Some((pull.position, Instant::now())));
                exports(home, link, &pull).await
            }
            Ok(LinkAsk::Resolve(name)) => resolve(home, &name),
            Ok(LinkAsk::Relay(user)) if home.is_user(user) => {
                tell(writer, &LinkAnswer::Relayed).await?;
                return Ok(End::Relay { user, by: link });
            }
            Ok(LinkAsk::Relay(_)) => refused(LinkReason::NoSuchUser, "nobody here has this id"),
            Ok(LinkAsk::Hello(_)) => refused(LinkReason::Malformed, "a hello is said once"),
            Err(_) => refused(LinkReason::Unknown, "this ask cannot be read here"),
        };
        let bytes = tell(writer, &answer).await?;
        // Whoever takes much takes it slowly, so that it costs users here little.
        sleep(Duration::from_secs_f64(bytes as f64 / limits::LINK_BYTES_PER_SECOND)).await;
    }
}

async fn tell(writer: &mut Writer, answer: &LinkAnswer) -> Result<usize, ConnError> {
    let payload = encode_answer(answer);
    let bytes = payload.len();
    writer.push_shared(payload);
    let told = timeout(limits::LINK_WAIT * 4, writer.flush_all()).await;
    told.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(bytes)
}

fn resolve(home: &dyn Home, name: &str) -> LinkAnswer {
    let found = UserName::exact(name).ok().and_then(|name| home.user(&name));
    match found {
        Some((user, name)) => LinkAnswer::Resolved { user, name: name.to_string() },
        None => refused(LinkReason::NoSuchUser, "nobody here has this name"),
    }
}

/// The exports after a position, as soon as there are any.
async fn exports(home: &dyn Home, mut link: Link, pull: &Pull) -> LinkAnswer {
    let Some(Me { generation, .. }) = home.me() else { return busy("not founded yet") };
    if pull.generation != generation {
        return LinkAnswer::Refused(LinkRefused {
            reason: if pull.generation < generation {
                LinkReason::Generation
            } else {
                LinkReason::RolledBack
            },
            text: format!("this is generation {generation}"),
            retry_ms: 0,
            generation,
        });
    }
    let mut changed = home.changed();
    if pull.position > link.exported.position {
        // This node may be behind.
        if !home.catch_up().await {
            return busy("no majority answers here");
        }
        link = home.link(link.cluster).unwrap_or(link);
        if pull.position > link.exported.position {
            let text = format!("there are {} exports here", link.exported.position);
            return refused(LinkReason::RolledBack, text);
        }
    }
    let wait = Duration::from_millis(u64::from(pull.wait_ms)).min(limits::LINK_WAIT_MAX);
    let come = async {
        while link.exported.position == pull.position {
            if changed.changed().await.is_err() {
                return;
            }
            link = home.link(link.cluster).unwrap_or_else(|| link.clone());
        }
    };
    drop(timeout(wait, come).await);
    let head = Exports {
        generation,
        first: pull.position + 1,
        before: pull.hash,
        items: Vec::new(),
        last: link.exported.position,
    };
    if link.exported.position == pull.position {
        let same = pull.hash == link.exported.hash;
        return if same { LinkAnswer::Exports(head) } else { other_history() };
    }
    let begin = Instant::now();
    loop {
        if let Some(answer) = page(home, &link, pull, &head).await {
            return answer;
        }
        if begin.elapsed() > WRITTEN {
            return busy("not written yet");
        }
        drop(timeout(LOOK_AGAIN, changed.changed()).await);
    }
}

/// `None` where what was applied is not in the store yet: it is there in a moment.
async fn page(home: &dyn Home, link: &Link, pull: &Pull, head: &Exports) -> Option<LinkAnswer> {
    let most = pull.max_bytes.min(limits::EXPORTS_BYTES) as usize;
    let Some(values) = home.exports(link.number, head.first, most).await else {
        return Some(busy("the store cannot be read now"));
    };
    Some(match collect(&values, pull.position, head.last) {
        Some((_, items)) if items.is_empty() => return None,
        Some((hash, items)) if hash == pull.hash => {
            LinkAnswer::Exports(Exports { before: hash, items, ..head.clone() })
        }
        Some(_) => other_history(),
        None => busy("the store cannot be read now"),
    })
}

/// The hash up to `position`, and the exports after it up to `last`.
fn collect(
    values: &[(u64, bytes::Bytes)],
    position: u64,
    last: u64,
) -> Option<(ChainHash, Vec<Export>)> {
    let (mut at, mut items) = (None, Vec::new());
    for (first, value) in values {
        let (before, told) = stored::decode_exports(value.clone()).ok()?;
        let mut hash = before;
        for (export, place) in told.into_iter().zip(*first..=last) {
            if place == position + 1 {
                at = Some(hash);
            }
            if place > position {
                items.push(export);
            } else {
                hash = chain(&hash, &export);
            }
        }
    }
    items.truncate(limits::EXPORTS_PER_FRAME);
    Some((at.unwrap_or_default(), items))
}

fn other_history() -> LinkAnswer {
    refused(LinkReason::OtherHistory, "there is another hash at this position")
}

fn busy(text: &str) -> LinkAnswer {
    LinkAnswer::Refused(LinkRefused {
        reason: LinkReason::Busy,
        text: text.to_owned(),
        retry_ms: BUSY_MS,
        generation: 0,
    })
}

fn refused(reason: LinkReason, text: impl Into<String>) -> LinkAnswer {
    let text = text.into();
    LinkAnswer::Refused(LinkRefused { reason, text, retry_ms: 0, generation: 0 })
}
