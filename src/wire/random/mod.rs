//! Random values of everything that is encoded, for tests.

mod links;
mod log;
mod views;

pub(crate) use links::{link_answer, link_ask};
pub(crate) use log::{command, export, mark, write};

use super::message::{
    Ack, ChangePassword, ClientMsg, ClusterState, ConversationInfo, Credentials, Cursor,
    DeviceCertificate, DeviceInfo, Fetch, Hello, MarkEntry, Member, OutcomeRun, Purpose, Ready,
    SendRun, ServerAddress, ServerMsg, Status, Welcome, Where,
};
use super::statement::{Elections, Event, LastLeader, Load, MemberView, PeerView};
use crate::chat::command::Target;
use crate::chat::event::Outcome;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, MessageId, Position, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::chat::write::Kind;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

/// A number of any magnitude; never 0, and with room above for a run.
pub(crate) fn number(rng: &mut StdRng) -> u64 {
    let bits = rng.random_range(1..63);
    rng.random_range(1..=1 << bits)
}

pub(crate) fn small(rng: &mut StdRng) -> u32 {
    rng.random_range(1..=1 << 20)
}

pub(crate) fn blob(rng: &mut StdRng, most: usize) -> Bytes {
    let length = rng.random_range(0..=most);
    (0..length).map(|_| rng.random::<u8>()).collect()
}

pub(crate) fn text(rng: &mut StdRng) -> String {
    (0..rng.random_range(0..12)).map(|_| rng.random::<char>()).collect()
}

pub(crate) fn some<T>(rng: &mut StdRng, make: impl Fn(&mut StdRng) -> T) -> Option<T> {
    rng.random_bool(0.5).then(|| make(rng))
}

pub(crate) fn list<T>(rng: &mut StdRng, least: usize, make: impl Fn(&mut StdRng) -> T) -> Vec<T> {
    (0..rng.random_range(least..least + 5)).map(|_| make(rng)).collect()
}

pub(crate) fn cluster(rng: &mut StdRng) -> ClusterId {
    ClusterId(rng.random())
}

pub(crate) fn user(rng: &mut StdRng) -> UserId {
    UserId { cluster: cluster(rng), number: number(rng) }
}

pub(crate) fn device(rng: &mut StdRng) -> DeviceId {
    DeviceId(rng.random())
}

pub(crate) fn conversation(rng: &mut StdRng) -> ConversationId {
    ConversationId::new(rng.random(), number(rng))
}

fn message_id(rng: &mut StdRng) -> MessageId {
    let (origin, device) = (cluster(rng), device(rng));
    MessageId { origin, device, group: rng.random(), number: number(rng) }
}

fn body(rng: &mut StdRng) -> Body {
    Body { kind: rng.random(), data: blob(rng, 40), refers_to: some(rng, message_id) }
}

pub(crate) fn run(rng: &mut StdRng) -> Run {
    Run {
        conversation: conversation(rng),
        first_seq: number(rng),
        at_ms: number(rng),
        sender: user(rng),
        origin: cluster(rng),
        device: device(rng),
        group: rng.random(),
        first_number: number(rng),
        bodies: list(rng, 1, body),
    }
}

/// Runs that stand one after the other in one conversation, from `first_seq` on.
pub(crate) fn runs(rng: &mut StdRng, conversation: ConversationId, first_seq: u64) -> Vec<Run> {
    let mut next = first_seq;
    let mut runs = list(rng, 1, run);
    for run in &mut runs {
        (run.conversation, run.first_seq) = (conversation, next);
        next = run.last_seq() + 1;
    }
    runs
}

fn target(rng: &mut StdRng) -> Target {
    if rng.random() { Target::User(user(rng)) } else { Target::Conversation(conversation(rng)) }
}

fn refusal(rng: &mut StdRng) -> Refusal {
    Refusal::from_code(rng.random_range(1..=20)).unwrap()
}

fn address(rng: &mut StdRng) -> ServerAddress {
    let (client, peer) = (rng.random(), rng.random());
    ServerAddress { seat: small(rng), host: text(rng), client, peer }
}

pub(crate) fn addresses(rng: &mut StdRng, count: usize) -> Vec<ServerAddress> {
    (0..count).map(|_| address(rng)).collect()
}

fn position(rng: &mut StdRng) -> Position {
    Position { group: rng.random(), index: number(rng) }
}

fn cursor(rng: &mut StdRng) -> Cursor {
    let (cluster, generation) = (some(rng, cluster).unwrap_or_default(), number(rng));
    Cursor { cluster, generation, positions: list(rng, 0, position) }
}

fn mark_entry(rng: &mut StdRng) -> MarkEntry {
    let (conversation, user) = (conversation(rng), some(rng, user));
    MarkEntry { conversation, user, delivered: number(rng), read: number(rng) }
}

fn hello(rng: &mut StdRng) -> Hello {
    let all = [Purpose::Chat, Purpose::Where, Purpose::Status, Purpose::Link, Purpose::Visit];
    let purpose = all[rng.random_range(0..all.len())];
    Hello {
        min: small(rng),
        max: small(rng),
        features: rng.random(),
        purpose,
        device: if purpose == Purpose::Chat { Some(device(rng)) } else { some(rng, device) },
        placed: rng.random(),
        cluster: some(rng, cluster),
        events_after: some(rng, |rng| rng.random()),
    }
}

fn credentials(rng: &mut StdRng) -> Credentials {
    Credentials {
        name: text(rng),
        password: text(rng),
        key: some(rng, |rng| rng.random()),
        invite: text(rng),
    }
}

fn send_run(rng: &mut StdRng) -> SendRun {
    let (group, first_number) = (rng.random(), number(rng));
    SendRun { group, first_number, to: target(rng), bodies: list(rng, 1, body) }
}

pub(crate) fn client_msg(rng: &mut StdRng) -> ClientMsg {
    match rng.random_range(0..15) {
        0 => ClientMsg::Hello(hello(rng)),
        1 => ClientMsg::Register(credentials(rng)),
        2 => ClientMsg::Login(Credentials { invite: String::new(), ..credentials(rng) }),
        3 => ClientMsg::Token { name: text(rng), token: blob(rng, 40), signature: blob(rng, 64) },
        4 => ClientMsg::Resume {
            cursor: cursor(rng),
            have: list(rng, 0, |rng| (conversation(rng), number(rng))),
        },
        5 => ClientMsg::Send { runs: list(rng, 0, send_run), confirmed: rng.random() },
        6 => ClientMsg::Mark(list(rng, 0, mark_entry)),
        7 => ClientMsg::Fetch(Fetch {
            request: small(rng),
            conversation: conversation(rng),
            from: rng.random(),
            to: rng.random(),
            current: rng.random(),
        }),
        8 => ClientMsg::Lookup { request: small(rng), name: text(rng) },
        9 => ClientMsg::Devices { request: small(rng) },
        10 => ClientMsg::Revoke { request: small(rng), device: device(rng) },
        11 => ClientMsg::ChangePassword(ChangePassword {
            request: small(rng),
            old: text(rng),
            new: text(rng),
            keep_devices: rng.random(),
        }),
        12 => ClientMsg::Certify { request: small(rng) },
        13 => ClientMsg::Visit { certificate: certificate(rng), signature: blob(rng, 64) },
        _ => ClientMsg::Ping(rng.random()),
    }
}

fn certificate(rng: &mut StdRng) -> DeviceCertificate {
    DeviceCertificate {
        cluster: cluster(rng),
        user: user(rng),
        device: device(rng),
        key: rng.random(),
        until_ms: rng.random(),
        seat: small(rng),
        signature: blob(rng, 200),
    }
}

fn cluster_state(rng: &mut StdRng) -> ClusterState {
    let (live, voters) = (small(rng), small(rng));
    ClusterState { leader: some(rng, small), term: rng.random(), live, voters }
}

fn welcome(rng: &mut StdRng) -> Welcome {
    Welcome {
        version: small(rng),
        features: rng.random(),
        cluster: some(rng, cluster).unwrap_or_default(),
        cluster_name: text(rng),
        generation: number(rng),
        seat: small(rng),
        servers: list(rng, 0, address),
        state: cluster_state(rng),
        began_ms: rng.random(),
        former: list(rng, 0, cluster),
        challenge: some(rng, |rng| rng.random()).unwrap_or_default(),
    }
}

fn where_(rng: &mut StdRng) -> Where {
    Where {
        cluster: cluster(rng),
        cluster_name: text(rng),
        leader: some(rng, address),
        servers: list(rng, 0, address),
        term: rng.random(),
        generation: number(rng),
    }
}

fn outcome_run(rng: &mut StdRng) -> OutcomeRun {
    let outcome = if rng.random() {
        Outcome::Refused(refusal(rng))
    } else {
        let (first_seq, at_ms) = (number(rng), number(rng));
        Outcome::Committed { conversation: conversation(rng), first_seq, at_ms }
    };
    OutcomeRun { first_number: number(rng), count: small(rng), outcome }
}

fn ack(rng: &mut StdRng) -> Ack {
    Ack {
        group: rng.random(),
        upto: rng.random(),
        outcomes: list(rng, 0, outcome_run),
        expected: some(rng, number),
        index: rng.random(),
    }
}

fn kind(rng: &mut StdRng) -> Kind {
    if rng.random() { Kind::Direct } else { Kind::Room }
}

fn info(rng: &mut StdRng) -> ConversationInfo {
    let member = |rng: &mut StdRng| {
        let (user, name) = (user(rng), text(rng));
        Member { user, name, delivered: number(rng), read: number(rng) }
    };
    ConversationInfo {
        id: conversation(rng),
        kind: kind(rng),
        members: list(rng, 0, member),
        last_seq: rng.random(),
        title: text(rng),
    }
}

fn peer_view(rng: &mut StdRng) -> PeerView {
    PeerView {
        seat: small(rng),
        live: rng.random(),
        heard_ms: some(rng, number),
        round_trip_us: some(rng, number),
        matched: some(rng, number),
        refusal: text(rng),
    }
}

fn member_view(rng: &mut StdRng) -> MemberView {
    MemberView {
        raft_id: number(rng),
        server: address(rng),
        voter: rng.random(),
        held: rng.random(),
    }
}

fn elections(rng: &mut StdRng) -> Elections {
    let last = |rng: &mut StdRng| LastLeader {
        seat: small(rng),
        term: number(rng),
        lost_at_ms: number(rng),
        cause: text(rng),
    };
    Elections {
        started: number(rng),
        won: number(rng),
        changes: number(rng),
        changes_15m: number(rng),
        leaderless_ms: some(rng, number),
        leaderless_total_ms: number(rng),
        last_leader: some(rng, last),
    }
}

fn load(rng: &mut StdRng) -> Load {
    Load {
        cpu_ms: number(rng),
        disk_free: number(rng),
        disk_total: number(rng),
        fsync_p99_us: some(rng, number),
        fsync_pending_ms: some(rng, number),
        commit_p99_us: some(rng, number),
        log_bytes: number(rng),
        snapshot_at_ms: some(rng, number),
        accepted: number(rng),
        delivered: number(rng),
    }
}

fn event(rng: &mut StdRng) -> Event {
    Event {
        id: number(rng),
        at_ms: number(rng),
        seat: small(rng),
        term: number(rng),
        kind: text(rng),
        peer: some(rng, small),
        granted: some(rng, |rng| rng.random()),
        cause: text(rng),
        took_ms: some(rng, number),
        text: text(rng),
    }
}

fn status(rng: &mut StdRng) -> Status {
    Status {
        seat: small(rng),
        role: text(rng),
        term: rng.random(),
        vote: some(rng, small),
        last_term: rng.random(),
        last_index: rng.random(),
        commit: rng.random(),
        applied: rng.random(),
        leader: some(rng, small),
        sessions: rng.random(),
        cluster: cluster(rng),
        cluster_name: text(rng),
        generation: rng.random(),
        servers: list(rng, 0, address),
        voters: small(rng),
        live: small(rng),
        store: text(rng),
        version: text(rng),
        snapshot_index: rng.random(),
        hash: blob(rng, 32),
        heartbeat_age_ms: some(rng, |rng| rng.random_range(0..3)),
        quorum_ack_age_ms: some(rng, |rng| rng.random_range(0..3)),
        raft_id: rng.random(),
        links: list(rng, 0, small),
        fsyncs: rng.random(),
        resident_bytes: rng.random(),
        ready: some(rng, |rng| rng.random()),
        reasons: list(rng, 0, text),
        why: text(rng),
        now_ms: rng.random(),
        uptime_ms: rng.random(),
        draining: rng.random(),
        peers: list(rng, 0, peer_view),
        members: list(rng, 0, member_view),
        elections: elections(rng),
        load: load(rng),
        events: list(rng, 0, event),
        build: text(rng),
        certificate_until_ms: rng.random::<bool>().then(|| rng.random()),
        clusters: list(rng, 0, views::link_view),
    }
}

fn device_info(rng: &mut StdRng) -> DeviceInfo {
    DeviceInfo {
        id: device(rng),
        added_at_ms: rng.random(),
        seen_at_ms: rng.random(),
        revoked: rng.random(),
        own: rng.random(),
    }
}

pub(crate) fn server_msg(rng: &mut StdRng) -> ServerMsg {
    let (request, retry_after_ms) = (small(rng), small(rng));
    match rng.random_range(0..21) {
        0 => ServerMsg::Welcome(welcome(rng)),
        1 => ServerMsg::Redirect(address(rng)),
        2 => ServerMsg::Where(where_(rng)),
        3 => ServerMsg::Status(Box::new(status(rng))),
        4 => ServerMsg::Refused { request, refusal: refusal(rng), text: text(rng) },
        5 => ServerMsg::Authenticated { user: user(rng), name: text(rng), token: blob(rng, 40) },
        6 => ServerMsg::Ready(Ready {
            sends: list(rng, 0, |rng| (rng.random(), rng.random())),
            window: rng.random(),
            window_bytes: rng.random(),
            cursor: cursor(rng),
        }),
        7 => ServerMsg::Conversations(list(rng, 0, info)),
        8 => ServerMsg::Push { runs: list(rng, 0, run), index: rng.random() },
        9 => ServerMsg::Ack(ack(rng)),
        10 => ServerMsg::Marked(list(rng, 0, mark_entry)),
        11 => ServerMsg::History {
            request,
            conversation: conversation(rng),
            from: rng.random(),
            to: rng.random(),
            runs: list(rng, 0, run),
        },
        12 => {
            let conversation = some(rng, conversation);
            ServerMsg::Found { request, user: user(rng), name: text(rng), conversation }
        }
        13 => ServerMsg::Busy { retry_after_ms },
        14 => ServerMsg::GoAway { retry_after_ms, text: text(rng) },
        15 => ServerMsg::Pong(rng.random()),
        16 => ServerMsg::Devices { request, devices: list(rng, 0, device_info) },
        17 => ServerMsg::Done { request },
        18 => ServerMsg::Certified { request, certificate: certificate(rng) },
        19 => ServerMsg::Visiting,
        _ => ServerMsg::Cluster(cluster_state(rng)),
    }
}
