//! openraft's questions to other servers, over the mesh. It must not know how the
//! other side finds its answers.

use super::events::{Note, reason, words};
use super::kinds::{self, Kinds, RaftVote, plain_id, plain_vote};
use super::machine::{Snapshot, SnapshotData};
use super::mesh::CallError;
use super::shared::{Shared, seat_of};
use super::transfer;
use super::types::{Cause, EventKind};
use crate::wire::WireError;
use crate::wire::peer::MessageKind;
use crate::wire::raft::{
    Append, AppendAnswer, AskVote, Member, Transfer, TransferAnswer, VoteAnswer,
};
use bytes::Bytes;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message with entries may take this long: the follower's disk may stall, and a
/// connection that is dead is noticed long before.
const APPEND_TIME: Duration = Duration::from_secs(5);

/// Makes a [`Peer`] for every member.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

impl Network {
    /// Over the mesh in `shared`.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl RaftNetworkFactory<Kinds> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &Member) -> Peer {
        Peer { shared: Arc::clone(&self.shared), target, seat: seat_of(target) }
    }

    /// Heartbeats have a lane of their own; what decides it is that they hold no entries.
    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Peer {
        self.new_client(target, node).await
    }
}

/// One member as openraft talks to it.
pub struct Peer {
    shared: Arc<Shared>,
    target: u64,
    seat: u32,
}

impl Peer {
    async fn call(
        &self,
        kind: MessageKind,
        action: RPCTypes,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RPCError<Kinds>> {
        let Some(mesh) = self.shared.mesh() else { return Err(unreachable("not connected")) };
        // Another Raft id may sit on the seat by now, or this one not any more.
        let same = mesh.peers().borrow().get(&self.seat).map(|h| h.raft_id == self.target);
        if same != Some(true) {
            return Err(unreachable("not connected"));
        }
        mesh.call(self.seat, kind, payload, deadline).await.map_err(|error| match error {
            CallError::NotConnected | CallError::Full | CallError::TooLong => {
                unreachable(&error.to_string())
            }
            CallError::Lost => RPCError::Network(NetworkError::new(&error)),
            CallError::Timeout => RPCError::Timeout(Timeout {
                action,
                id: self.shared.raft_id(),
                target: self.target,
                timeout: deadline,
            }),
        })
    }

    async fn ask(
        &self,
        kind: MessageKind,
        request: VoteRequest<Kinds>,
        option: &RPCOption,
    ) -> Result<VoteResponse<Kinds>, RPCError<Kinds>> {
        let pre = kind == MessageKind::PreVote;
        let (asked, answered) = if pre {
            (EventKind::PreVoteRequested, EventKind::PreVoteAnswered)
        } else {
            (EventKind::VoteRequested, EventKind::VoteAnswered)
        };
        let ask = AskVote {
            vote: plain_vote(&request.vote),
            last: request.last_log_id.as_ref().map(plain_id),
            transfer: request.leadership_transfer,
        };
        let (events, term) = (&self.shared.events, ask.vote.term);
        let _round = pre.then(|| self.shared.pre_vote());
        events.campaign(term, self.shared.why_no_leader(), "the leader was not heard in time");
        if !pre {
            events.asks_for_votes(term);
        }
        events.note(Note::new(term, asked).peer(self.seat));
        let begin = Instant::now();
        let answer = self.call(kind, RPCTypes::Vote, ask.encode(), option.hard_ttl()).await;
        let answer = answer.and_then(|bytes| VoteAnswer::decode(bytes).map_err(malformed));
        let note = Note::new(term, answered).peer(self.seat).took(Some(begin.elapsed()));
        let (refusal, note) = match &answer {
            Ok(answer) => {
                let refusal = reason(&ask, answer);
                (refusal, note.granted(answer.granted).text(words(refusal)))
            }
            Err(error) => (Some(Cause::NotAnswered), note.text(error.to_string())),
        };
        events.note(note.cause(refusal));
        if let Some(refusal) = refusal.filter(|_| pre) {
            events.refused(refusal);
        }
        let answer = answer?;
        let last = answer.last.map(kinds::log_id);
        Ok(VoteResponse::new(kinds::vote(answer.vote), last, answer.granted))
    }
}

fn unreachable(why: &str) -> RPCError<Kinds> {
    RPCError::Unreachable(Unreachable::from_string(why))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn malformed(error: WireError) -> RPCError<Kinds> {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl RaftNetworkV2<Kinds> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Kinds>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Kinds>, RPCError<Kinds>> {
        let (kind, deadline) = if rpc.entries.is_empty() {
            (MessageKind::Heartbeat, option.hard_ttl())
        } else {
            (MessageKind::Append, APPEND_TIME)
        };
        let append = Append {
            vote: plain_vote(&rpc.vote),
            prev: rpc.prev_log_id.as_ref().map(plain_id),
            entries: rpc.entries.iter().map(kinds::plain_entry).collect(),
            commit: rpc.leader_commit.as_ref().map(plain_id),
        };
        let answer = self.call(kind, RPCTypes::AppendEntries, append.encode(), deadline).await?;
        Ok(match AppendAnswer::decode(answer).map_err(malformed)? {
            AppendAnswer::Success => AppendEntriesResponse::Success,
            AppendAnswer::Partial(id) => {
                AppendEntriesResponse::PartialSuccess(id.map(kinds::log_id))
            }
            AppendAnswer::Conflict => AppendEntriesResponse::Conflict,
            AppendAnswer::HigherVote(vote) => AppendEntriesResponse::HigherVote(kinds::vote(vote)),
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Kinds>,
        option: RPCOption,
    ) -> Result<VoteResponse<Kinds>, RPCError<Kinds>> {
        self.ask(MessageKind::Vote, rpc, &option).await
    }

    /// The real question: openraft would take silence for consent.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Kinds>,
        option: RPCOption,
    ) -> Result<VoteResponse<Kinds>, RPCError<Kinds>> {
        self.ask(MessageKind::PreVote, rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Kinds>, StreamingError<Kinds>> {
        let send = transfer::send(&self.shared, self.target, vote, snapshot.snapshot);
        tokio::select! {
            sent = send => sent.map(SnapshotResponse::new).map_err(|why| {
                tracing::warn!(seat = self.seat, %why, "a snapshot was not delivered");
                StreamingError::Unreachable(Unreachable::from_string(why))
            }),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Kinds>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Kinds>, RPCError<Kinds>> {
        let transfer = Transfer {
            from: plain_vote(req.from_leader()),
            to: *req.to_node_id(),
            last: req.last_log_id().map(plain_id),
        };
        let payload = transfer.encode();
        let kind = MessageKind::TransferLeader;
        let answer = self.call(kind, RPCTypes::TransferLeader, payload, option.hard_ttl()).await?;
        Ok(match TransferAnswer::decode(answer).map_err(malformed)? {
            TransferAnswer::Ok => Ok(()),
            TransferAnswer::VoteChanged(vote) => Err(TransferLeaderError::VoteChanged {
                expected: *req.from_leader(),
                actual: kinds::vote(vote),
            }),
            TransferAnswer::LogBehind(id) => Err(TransferLeaderError::LogNotFlushed {
                expected: req.last_log_id().copied(),
                actual: id.map(kinds::log_id),
            }),
        })
    }
}
