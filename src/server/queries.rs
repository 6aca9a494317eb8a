//! Finds out what sessions ask for: passwords, quorum reads, pages of the store.
//! It must not know sockets or when something is asked.

use super::links::{self, Unknown};
use super::placement::Place;
use super::replica::StateReader;
use super::session::{self, Answer, NewPassword, PageWanted, Proven, Query, Trouble};
use super::shared::{Shared, lock};
use super::status;
use crate::chat::event::Outcome;
use crate::chat::ids::{DeviceId, UserId};
use crate::chat::message::Run;
use crate::chat::name::UserName;
use crate::chat::refusal::Refusal;
use crate::chat::write::User;
use crate::limits;
use crate::store::{Store, StoreError};
use crate::wire::message::{ChangePassword, DeviceCertificate, Fetch, OutcomeRun, ServerMsg};
use crate::wire::{WireError, client, proof, stored};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A resuming client waits at most this long for its server to catch up.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Password tries that find the queue full come back after this time.
const FULL_MS: u32 = 1_000;

/// The answer to a query of a client at `peer`.
pub async fn answer(shared: Arc<Shared>, peer: IpAddr, query: Query) -> Answer {
    match query {
        Query::Place { placed } => place(&shared, placed),
        Query::Where => Answer::Message(Box::new(status::leader(&shared))),
        Query::Status(events_after) => {
            let statement = Box::new(status::answer(&shared, events_after));
            Answer::Message(Box::new(ServerMsg::Status(statement)))
        }
        Query::Hash(password) => Answer::Hashed(hash(&shared, peer, password).await),
        Query::Verify { name, password } => {
            Answer::Verified(verify(&shared, peer, &name, password).await)
        }
        Query::NewPassword { user, wanted } => {
            let (request, keep_devices) = (wanted.request, wanted.keep_devices);
            let result = new_password(&shared, peer, user, wanted).await;
            Answer::NewPassword { request, keep_devices, result }
        }
        Query::Barrier => Answer::Barrier(barrier(&shared).await),
        Query::Applied(index) => Answer::Applied(shared.node.wait_applied(index, CATCH_UP).await),
        Query::Page(wanted) => {
            let conversation = wanted.conversation;
            let pages = page(&*shared.store, wanted).await;
            Answer::Page(conversation, pages.map_err(failed))
        }
        Query::Outcomes { device, from, to } => {
            let state = &shared.setup.state;
            let outcomes = outcomes(&*shared.store, state, device, from, to).await;
            Answer::Outcomes(outcomes.map_err(failed))
        }
        Query::History(fetch) => Answer::Request(history(&shared, fetch).await),
        Query::Certify { request, user, device } => {
            Answer::Request(client::encode_server(&certify(&shared, request, user, device)))
        }
        Query::Lookup { request, name, user } => {
            let here = |cluster: &UserName| cluster.as_str() == shared.setup.cluster_name;
            Answer::Request(match name.cluster.filter(|cluster| !here(cluster)) {
                None => lookup(&shared, request, &name.name, user).await,
                Some(cluster) => {
                    lookup_elsewhere(&shared, request, &name.name, &cluster, user).await
                }
            })
        }
    }
}

fn failed(error: StoreError) -> Trouble {
    tracing::error!(%error, "the store could not be read for a client");
    Trouble::Failed
}

fn unreadable(error: WireError) -> StoreError {
    StoreError::Corrupt(format!("a value of history is {error}"))
}

/// What this cluster says of a device, for other clusters.
fn certify(shared: &Shared, request: u32, user: UserId, device: DeviceId) -> ServerMsg {
    let refused = |refusal| ServerMsg::Refused { request, refusal, text: String::new() };
    let (Some(keys), Some((cluster, _))) =
        (shared.keys.as_ref().map(|keys| keys.keys()), shared.setup.state.identity())
    else {
        return refused(Refusal::Protocol);
    };
    let key = shared.setup.state.read(|r| {
        let row = &r.state.device(device)?.row;
        let own = row.user == user && !row.revoked;
        own.then(|| row.key.as_ref().try_into().ok()).flatten()
    });
    let Some(key) = key else { return refused(Refusal::UnknownDevice) };
    let until = SystemTime::now() + limits::CERTIFICATE_TIME;
    let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut certificate = DeviceCertificate {
        cluster,
        user,
        device,
        key,
        until_ms: u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
        seat: shared.setup.seat,
        signature: Bytes::new(),
    };
    let signature = keys.hint.sign(&proof::certificate(&certificate));
    certificate.signature = Bytes::copy_from_slice(&signature);
    ServerMsg::Certified { request, certificate }
}

fn place(shared: &Shared, placed: bool) -> Answer {
    let place = lock(&shared.placement).place(placed, shared.setup.seat, &shared.status());
    let address = match place {
        Place::At(seat) => shared.address(seat),
        Place::Here | Place::Nowhere => None,
    };
    Answer::Place(place, address)
}

async fn barrier(shared: &Shared) -> Result<(), Trouble> {
    shared.node.read_barrier().await.map(drop).map_err(|_| Trouble::NoQuorum)
}

async fn hash(
    shared: &Shared,
    peer: IpAddr,
    password: String,
) -> Result<(String, [u8; 32]), Trouble> {
    let hash = shared.passwords.hash(peer, password).await.map_err(|_| Trouble::Busy(FULL_MS))?;
    Ok((hash, rand::random()))
}

async fn verify(
    shared: &Shared,
    peer: IpAddr,
    name: &UserName,
    password: String,
) -> Result<Option<Proven>, Trouble> {
    may_try(shared, peer, name)?;
    barrier(shared).await?;
    let known = shared.setup.state.read(|r| r.state.user_named(name).cloned());
    let hash = known.as_ref().map(|user| user.password_hash.clone());
    let right = is_right(shared, peer, password, hash).await?;
    note(shared, peer, name, right);
    let proven =
        |user: User| Proven { user: user.id, passwords: user.passwords, token: rand::random() };
    Ok(known.filter(|_| right).map(proven))
}

/// Whether this pair may try a password now.
fn may_try(shared: &Shared, peer: IpAddr, name: &UserName) -> Result<(), Trouble> {
    match lock(&shared.throttle).wait(name.as_str(), peer, Instant::now()) {
        Some(wait) => Err(Trouble::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))),
        None => Ok(()),
    }
}

async fn is_right(
    shared: &Shared,
    peer: IpAddr,
    password: String,
    hash: Option<String>,
) -> Result<bool, Trouble> {
    shared.passwords.verify(peer, password, hash).await.map_err(|_| Trouble::Busy(FULL_MS))
}

fn note(shared: &Shared, peer: IpAddr, name: &UserName, right: bool) {
    let mut throttle = lock(&shared.throttle);
    if right {
        throttle.passed(name.as_str(), peer);
    } else {
        throttle.failed(name.as_str(), peer, Instant::now());
    }
}

/// As with a login, tries cost time. Where the old password is wrong and the new one is right, the
/// answer to the first request was lost.
async fn new_password(
    shared: &Shared,
    peer: IpAddr,
    user: UserId,
    wanted: ChangePassword,
) -> Result<NewPassword, Trouble> {
    barrier(shared).await?;
    let known = shared.setup.state.read(|r| r.state.user(user).cloned()).ok_or(Trouble::Failed)?;
    may_try(shared, peer, &known.name)?;
    let hash = || Some(known.password_hash.clone());
    let right = is_right(shared, peer, wanted.old, hash()).await?;
    let there = !right && is_right(shared, peer, wanted.new.clone(), hash()).await?;
    note(shared, peer, &known.name, right || there);
    if there {
        return Ok(NewPassword::There);
    }
    if !right {
        return Ok(NewPassword::Wrong);
    }
    let password_hash = shared.passwords.hash(peer, wanted.new).await;
    let password_hash = password_hash.map_err(|_| Trouble::Busy(FULL_MS))?;
    Ok(NewPassword::Hashed { passwords: known.passwords, password_hash })
}

/// The messages from the store, each value as a push, and the last seq they cover.
pub(super) async fn page(
    store: &dyn Store,
    wanted: PageWanted,
) -> Result<(Vec<Bytes>, u64), StoreError> {
    let PageWanted { conversation, from, to, own: (device, echo) } = wanted;
    let values = store.history(conversation, from, to, limits::PAGE_BYTES).await?;
    let mut upto = from.saturating_sub(1);
    let mut pushes = Vec::with_capacity(values.len());
    for (first_seq, value) in values {
        let (runs, index) = stored::decode_runs(value.clone()).map_err(unreadable)?;
        upto = runs.last().map_or(upto, Run::last_seq);
        if first_seq > echo && runs.iter().all(|run| run.device == device) {
            continue;
        }
        if first_seq >= from {
            pushes.push(client::encode_push(&value));
            continue;
        }
        let runs = runs.into_iter().filter_map(|run| client::cut(run, from, u64::MAX)).collect();
        pushes.push(client::encode_server(&ServerMsg::Push { runs, index }));
    }
    Ok((pushes, upto))
}

/// Goes through a device's numbers in order, by what the state remembers of refusals and the
/// store of messages; ends where neither says anything yet.
pub(super) async fn outcomes(
    store: &dyn Store,
    state: &StateReader,
    device: DeviceId,
    from: u64,
    to: u64,
) -> Result<(Vec<OutcomeRun>, u64, u64), StoreError> {
    let (refused, index) = state.read(|r| {
        let sent = r.state.sent(device, 0);
        (sent.map_or_else(Vec::new, |sent| session::refused(sent, from, to)), r.applied)
    });
    let mut runs = Vec::new();
    let mut next = from;
    while next <= to {
        if let Some(run) = refused.iter().find(|run| run.first_number == next) {
            runs.push(*run);
            next += 1;
            continue;
        }
        let Some(found) = store.sent_index(device, 0, next).await? else { break };
        let last = found.last_number.min(to);
        runs.push(OutcomeRun {
            first_number: next,
            count: u32::try_from(last - next + 1).unwrap_or(u32::MAX),
            outcome: Outcome::Committed {
                conversation: found.conversation,
                first_seq: found.first_seq + (next - found.first_number),
                at_ms: found.at_ms,
            },
        });
        next = last + 1;
    }
    Ok((runs, next - 1, index))
}

fn refusal(request: u32, refusal: Refusal, text: &str) -> Bytes {
    client::encode_server(&ServerMsg::Refused { request, refusal, text: text.to_owned() })
}

async fn history(shared: &Shared, fetch: Fetch) -> Bytes {
    if fetch.current && barrier(shared).await.is_err() {
        return refusal(fetch.request, Refusal::Overloaded, "no majority answered in time");
    }
    let last = shared
        .setup
        .state
        .read(|r| r.state.conversation(fetch.conversation).map_or(0, |room| room.row.last_seq));
    let (from, to) = (fetch.from.max(1), fetch.to.min(last));
    let page = client::Page {
        request: fetch.request,
        conversation: fetch.conversation,
        from: fetch.from,
        to,
    };
    let values = if from <= to {
        shared.store.history(fetch.conversation, from, to, limits::PAGE_BYTES).await
    } else {
        Ok(Vec::new())
    };
    let encoded =
        values.and_then(|values| client::encode_history(page, &values).map_err(unreadable));
    encoded.unwrap_or_else(|error| {
        tracing::error!(%error, "history could not be read");
        refusal(fetch.request, Refusal::Overloaded, "this server cannot read its store now")
    })
}

/// Who is not known here may have registered elsewhere a moment ago: asks a majority then.
async fn lookup(shared: &Shared, request: u32, name: &UserName, asker: UserId) -> Bytes {
    let find = || {
        shared.setup.state.read(|r| {
            let user = r.state.user_named(name)?;
            let conversation = r.state.direct(asker, user.id);
            let name = user.name.as_str().to_owned();
            Some(ServerMsg::Found { request, user: user.id, name, conversation })
        })
    };
    if let Some(found) = find() {
        return client::encode_server(&found);
    }
    if barrier(shared).await.is_err() {
        return refusal(request, Refusal::Overloaded, "no majority answered in time");
    }
    find().map_or_else(
        || refusal(request, Refusal::NoSuchUser, ""),
        |found| client::encode_server(&found),
    )
}

/// A user of another cluster; one that is not known here yet is asked for there.
async fn lookup_elsewhere(
    shared: &Shared,
    request: u32,
    name: &UserName,
    cluster: &UserName,
    asker: UserId,
) -> Bytes {
    match links::find(shared, name, cluster.as_str()).await {
        Ok(user) => {
            let (name, conversation) =
                shared.setup.state.read(|r| (r.state.name_of(user), r.state.direct(asker, user)));
            client::encode_server(&ServerMsg::Found { request, user, name, conversation })
        }
        Err(Unknown::NotLinked) => {
            let text = format!(
                "this cluster has no link with one called {cluster}: its operator makes one \
                 with `rustchat link trust`"
            );
            refusal(request, Refusal::NotLinked, &text)
        }
        Err(Unknown::Nobody) => {
            refusal(request, Refusal::NoSuchUser, &format!("there is no {name} in {cluster}"))
        }
        Err(Unknown::Unreachable(why)) => refusal(request, Refusal::Unreachable, &why),
    }
}
