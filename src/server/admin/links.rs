//! Whom operators trust: other clusters, by a name, an id, a key or the address of a server. What
//! is decided goes through the log. It must not know how clusters talk.

use super::caller::Operator;
use super::desk::Desk;
use super::reply::{answer, document};
use super::settle::{node, settle};
use crate::chat::command::{Command, Hear, Trusting};
use crate::chat::ids::ClusterId;
use crate::chat::link::{Link, Trust};
use crate::chat::state::State as Chat;
use crate::client::security::Security;
use crate::limits;
use crate::link::dial::look;
use crate::link::heard::{heard, is_address};
use crate::server::shared::Shared;
use crate::tls::Fingerprint;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

/// An order as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    order: Kind,
    /// A name, an id, `SHA256:…` or `host:port`.
    who: String,
    /// What shall stand behind the `@`.
    name: Option<String>,
    /// The key that it must have: whoever gives it has compared it.
    fingerprint: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Trust,
    Distrust,
    Resume,
}

/// Why it is not done.
struct No {
    code: StatusCode,
    result: &'static str,
    text: String,
}

impl No {
    fn refused(text: impl Into<String>) -> Self {
        Self { code: StatusCode::CONFLICT, result: "refused", text: text.into() }
    }

    fn forbidden(text: impl Into<String>) -> Self {
        Self { code: StatusCode::FORBIDDEN, result: "forbidden", text: text.into() }
    }

    fn malformed(text: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, result: "malformed", text: text.into() }
    }

    fn not_now(text: impl Into<String>) -> Self {
        Self { code: StatusCode::SERVICE_UNAVAILABLE, result: "not_now", text: text.into() }
    }
}

/// Takes an order and says what became of it.
pub async fn take(State(desk): State<Desk>, _: Operator, Json(wanted): Json<Wanted>) -> Response {
    let shared = match node(&desk).await {
        Ok(shared) => shared,
        Err(answer) => return answer,
    };
    let done = match wanted.order {
        Kind::Trust => trust(&shared, &wanted).await,
        Kind::Distrust => distrust(&shared, &wanted.who).await,
        Kind::Resume => resume(&shared, &wanted.who).await,
    };
    done.unwrap_or_else(|No { code, result, text }| answer(code, result, &text))
}

async fn trust(shared: &Shared, wanted: &Wanted) -> Result<Response, No> {
    if shared.keys.is_none() {
        return Err(No::refused("a server without TLS has no links: give it keys"));
    }
    let given = wanted.fingerprint.as_ref().map(|text| text.parse::<Fingerprint>());
    let given = given.transpose().map_err(No::malformed)?;
    let looks = is_address(&wanted.who) && wanted.who.parse::<Fingerprint>().is_err();
    let met = match looks {
        true => at(shared, &wanted.who).await?,
        false => known(shared, &wanted.who)?,
    };
    let key = Fingerprint::from(met.key);
    let confirmed = given.or_else(|| wanted.who.parse().ok());
    let shown = format!("{} ({}) at {}", met.name, met.cluster, met.address);
    match confirmed {
        Some(confirmed) if confirmed == key => {}
        Some(other) => {
            let text = format!("{shown} has the key {key}, and not {other}: it is not trusted");
            return Err(No::forbidden(text));
        }
        None => {
            let found = json!({
                "fingerprint": key.to_string(), "result": "confirm", "text": shown,
            });
            return Ok(document(StatusCode::OK, &found));
        }
    }
    let alias = shared.setup.state.read(|r| alias(&r.state, &met, wanted.name.as_deref()))?;
    Ok(commit(shared, met, looks, alias).await)
}

/// Brings the trust into the log; `heard`: with the row of the cluster, which was looked at.
async fn commit(shared: &Shared, met: Hear, heard: bool, alias: String) -> Response {
    let (cluster, key) = (met.cluster, met.key);
    let mut commands = Vec::new();
    if heard {
        commands = shared.setup.state.read(|r| room_for(&r.state, &met));
        commands.push(Command::Hear(met));
    }
    commands.push(Command::Trust(Trusting { cluster, key, alias: alias.clone() }));
    let is_stopped = |link: &Link| matches!(link.trust, Trust::Stopped(_));
    let stopped = shared.setup.state.read(|r| r.state.link(cluster).is_some_and(is_stopped));
    let then = if stopped { "; it is stopped: see `rustchat link resume`" } else { "" };
    let text = format!("{alias} ({cluster}) is trusted: users there are NAME@{alias}{then}");
    let is_so = |chat: &Chat| {
        let link = chat.link(cluster).filter(|link| link.cluster == cluster)?;
        (link.is_open() && link.alias == alias && link.key == key).then_some(Ok(()))
    };
    settle(shared, &commands, is_so, &text).await
}

/// What makes room for a cluster that an operator has looked at: one that was only seen goes, where
/// it calls itself by the same id with another key, or where the map is full.
fn room_for(chat: &Chat, met: &Hear) -> Vec<Command> {
    let seen = || chat.links().filter(|link| link.trust == Trust::Seen);
    let other = match chat.link(met.cluster) {
        Some(known) => Some(known).filter(|l| l.trust == Trust::Seen && l.key != met.key),
        None if chat.links().count() >= limits::LINKS => seen().min_by_key(|link| link.heard_ms),
        None => None,
    };
    let forget = |l: &Link| Command::Forget { cluster: l.cluster, heard_ms: l.heard_ms };
    other.map(forget).into_iter().collect()
}

/// Whoever is at an address.
async fn at(shared: &Shared, address: &str) -> Result<Hear, No> {
    let line = look(address, Security::of(None), None).await;
    let line = line.map_err(|why| No::not_now(format!("{address}: {why}")))?;
    let key = line.key().ok_or_else(|| No::refused(format!("{address} has no key")))?;
    let (cluster, name) = (line.met.cluster, &line.met.cluster_name);
    let met = heard(cluster, name, key, address);
    let met = met.ok_or_else(|| No::not_now(format!("the cluster at {address} is not founded")))?;
    shared.setup.state.read(|r| match r.state.link(cluster) {
        _ if is_own(&r.state, cluster) => {
            Err(No::refused(format!("{address} is a server of this cluster itself")))
        }
        Some(link) if link.key != met.key && link.trust != Trust::Seen => {
            let (known, key) = (Fingerprint::from(link.key), Fingerprint::from(met.key));
            Err(No::forbidden(format!(
                "THE KEY HAS CHANGED: {address} says that it is {} ({cluster}), whose key is \
                 {known}, and shows {key}",
                called(link)
            )))
        }
        _ => Ok(met),
    })
}

fn is_own(chat: &Chat, cluster: ClusterId) -> bool {
    chat.meta().cluster == cluster || chat.meta().former.contains(&cluster)
}

fn called(link: &Link) -> &str {
    if link.alias.is_empty() { &link.name } else { &link.alias }
}

/// Whoever is meant, of those in the map.
fn known(shared: &Shared, who: &str) -> Result<Hear, No> {
    let link = shared.setup.state.read(|r| find(&r.state, who))?;
    let Link { cluster, name, key, address, .. } = link;
    Ok(Hear { cluster, name, key, address })
}

/// The one cluster of the map that is meant.
fn find(chat: &Chat, who: &str) -> Result<Link, No> {
    let key = who.parse::<Fingerprint>().ok().map(<[u8; 32]>::from);
    let id = ClusterId::parse(who);
    let exactly = |l: &&Link| l.alias == who || Some(l.cluster) == id || Some(l.key) == key;
    let loosely = |l: &&Link| l.name == who || l.address == who;
    let known = || chat.links().filter(|_| !who.is_empty());
    let mut found: Vec<&Link> = known().filter(exactly).collect();
    if found.is_empty() {
        found = known().filter(loosely).collect();
    }
    match found.as_slice() {
        [one] => Ok(Link::clone(one)),
        [] => Err(No::refused(format!(
            "no cluster {who} is in the map: `rustchat link list` shows who is; name it by \
             HOST:PORT of one of its servers"
        ))),
        several => {
            let each = |l: &&Link| format!("{} with {}", l.cluster, Fingerprint::from(l.key));
            let each: Vec<_> = several.iter().map(each).collect();
            let each = each.join(", ");
            Err(No::refused(format!("several clusters are called {who}: name one by id: {each}")))
        }
    }
}

/// What shall stand behind the `@`.
fn alias(chat: &Chat, met: &Hear, wanted: Option<&str>) -> Result<String, No> {
    let known = chat.link(met.cluster).filter(|link| link.key == met.key);
    let before = known.map(|link| link.alias.as_str()).filter(|alias| !alias.is_empty());
    let alias = wanted.or(before).unwrap_or(&met.name);
    let instead = "give it another name here with --as NAME";
    if alias == chat.meta().name {
        return Err(No::refused(format!("{alias} is the name of this cluster itself: {instead}")));
    }
    if !Link::is_alias(alias) {
        return Err(No::refused(format!(
            "{alias:?} cannot stand behind an @, where a–z, 0–9, '.', '_' and '-' may, a letter \
             first, at most 32: {instead}"
        )));
    }
    match chat.link_called(alias) {
        Some(other) if other.cluster != met.cluster && other.key != met.key => {
            let other = other.cluster;
            Err(No::refused(format!("{alias} is the name of another cluster ({other}): {instead}")))
        }
        _ => Ok(alias.to_owned()),
    }
}

async fn distrust(shared: &Shared, who: &str) -> Result<Response, No> {
    let link = shared.setup.state.read(|r| find(&r.state, who))?;
    let cluster = link.cluster;
    if link.trust == Trust::Seen {
        return Err(No::refused(format!("{} was never trusted", called(&link))));
    }
    let is_so = |chat: &Chat| {
        let gone = chat.link(cluster).is_none_or(|link| link.trust == Trust::Distrusted);
        gone.then_some(Ok(()))
    };
    let text = format!("{} is not trusted any more; what it brought stays", called(&link));
    Ok(settle(shared, &[Command::Distrust { cluster }], is_so, &text).await)
}

async fn resume(shared: &Shared, who: &str) -> Result<Response, No> {
    let link = shared.setup.state.read(|r| find(&r.state, who))?;
    let cluster = link.cluster;
    if !matches!(link.trust, Trust::Stopped(_)) {
        return Err(No::refused(format!("the link to {} is not stopped", called(&link))));
    }
    let is_so = |chat: &Chat| {
        let stopped = |link: &Link| matches!(link.trust, Trust::Stopped(_));
        (!chat.link(cluster).is_some_and(stopped)).then_some(Ok(()))
    };
    let text = format!("the link to {} goes on, from its beginning", called(&link));
    Ok(settle(shared, &[Command::Resume { cluster }], is_so, &text).await)
}

#[cfg(test)]
mod tests;
