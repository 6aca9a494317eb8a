//! What other servers ask of this node, handed to openraft, the queue of proposals
//! or the reader. It must not know how messages travel.

use super::batch::Proposals;
use super::events::{Note, reason, words};
use super::kinds::{self, plain_id, plain_vote};
use super::members::Admissions;
use super::mesh::Handler;
use super::orders;
use super::read::Reader;
use super::shared::{Leader, Raft, Shared, seat_of};
use super::transfer::Receiver;
use super::types::{Cause, EventKind};
use crate::wire::WireError;
use crate::wire::peer::MessageKind;
use crate::wire::raft::{
    self, Append, AppendAnswer, AskVote, Forward, Order, Ordered, SnapshotDone, SnapshotOffer,
    SnapshotRows, Transfer, TransferAnswer, VoteAnswer,
};
use async_trait::async_trait;
use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    VoteRequest,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// A node that has not begun to talk Raft is given this long to begin.
const START_TIME: Duration = Duration::from_millis(300);

/// The handler that the mesh is given.
pub struct Inbound {
    shared: Arc<Shared>,
    proposals: Proposals,
    reader: Reader,
    admissions: Admissions,
    receiver: Mutex<Receiver>,
    /// Somebody talks Raft to a node that has not begun to.
    knocked: Arc<Notify>,
}

/// Why there is no answer: the other side waits for its deadline, as if we were not there.
enum Silence {
    NotReady,
    Malformed(WireError),
    Stopped,
    /// Another process may have taken the data over: it is not for this one to speak.
    Taken,
}

impl From<WireError> for Silence {
    fn from(error: WireError) -> Self {
        Self::Malformed(error)
    }
}

type Answer = Result<Bytes, Silence>;

impl Inbound {
    /// Hands what it is asked to the parts of the node.
    pub fn new(
        shared: Arc<Shared>,
        proposals: Proposals,
        reader: Reader,
        admissions: Admissions,
        knocked: Arc<Notify>,
    ) -> Self {
        let receiver = Mutex::default();
        Self { shared, proposals, reader, admissions, receiver, knocked }
    }

    async fn raft(&self) -> Result<&Raft, Silence> {
        if let Some(raft) = self.shared.raft() {
            return Ok(raft);
        }
        self.knocked.notify_one();
        let raft = tokio::time::timeout(START_TIME, self.shared.wait_for_raft()).await;
        raft.ok().flatten().ok_or(Silence::NotReady)
    }

    async fn append(&self, from: u32, payload: Bytes) -> Answer {
        let append = Append::decode(payload)?;
        let raft = self.raft().await?;
        let commit = append.commit;
        let last = append.entries.last().map(|e| e.id).or(append.prev);
        let answer = raft
            .append_entries(AppendEntriesRequest {
                vote: kinds::vote(append.vote),
                prev_log_id: append.prev.map(kinds::log_id),
                entries: append.entries.into_iter().map(kinds::entry).collect(),
                leader_commit: commit.map(kinds::log_id),
            })
            .await
            .map_err(|_| Silence::Stopped)?;
        let answer = match answer {
            AppendEntriesResponse::Success => AppendAnswer::Success,
            AppendEntriesResponse::PartialSuccess(id) => {
                AppendAnswer::Partial(id.as_ref().map(plain_id))
            }
            AppendEntriesResponse::Conflict => AppendAnswer::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendAnswer::HigherVote(plain_vote(&vote)),
        };
        if !matches!(answer, AppendAnswer::HigherVote(_)) {
            self.shared.hear_leader();
        }
        // What is committed can never be truncated: only that may be held against this node.
        if let (AppendAnswer::Success, Some(last), Some(commit)) = (&answer, last, commit) {
            self.shared.store.note_acknowledged(from, last.index.min(commit.index));
        }
        Ok(answer.encode())
    }

    async fn vote(&self, from: u32, kind: MessageKind, payload: Bytes) -> Answer {
        let ask = AskVote::decode(payload)?;
        let raft = self.raft().await?;
        if ask.transfer {
            self.shared.note_hand_over(ask.vote.term.saturating_sub(1));
        }
        let mut request = VoteRequest::new(kinds::vote(ask.vote), ask.last.map(kinds::log_id));
        request.leadership_transfer = ask.transfer;
        let (answer, event) = match kind {
            MessageKind::PreVote => (raft.pre_vote(request).await, EventKind::PreVoted),
            _ => (raft.vote(request).await, EventKind::Voted),
        };
        let answer = answer.map_err(|_| Silence::Stopped)?;
        let answer = VoteAnswer {
            vote: plain_vote(&answer.vote),
            granted: answer.vote_granted,
            last: answer.last_log_id.as_ref().map(plain_id),
        };
        let refusal = reason(&ask, &answer);
        let text = format!("asked by node {from}: {}", words(refusal));
        let note = Note::new(ask.vote.term, event).peer(from).granted(answer.granted);
        self.shared.events.note(note.cause(refusal).text(text));
        Ok(answer.encode())
    }

    async fn transfer(&self, from: u32, payload: Bytes) -> Answer {
        let transfer = Transfer::decode(payload)?;
        let raft = self.raft().await?;
        // All followers hear of it.
        let (term, shared) = (transfer.from.term, &self.shared);
        shared.note_hand_over(term);
        let note = Note::new(term, EventKind::Transfer).peer(from);
        if transfer.to == shared.raft_id() {
            let text = format!("node {from} hands leadership over to this node");
            shared.events.note(note.text(text));
            shared.events.campaign(term + 1, Cause::Transfer, "asked to lead");
        } else {
            let to = seat_of(transfer.to);
            shared
                .events
                .note(note.text(format!("node {from} hands leadership over to node {to}")));
        }
        let last = transfer.last.map(kinds::log_id);
        let request = TransferLeaderRequest::new(kinds::vote(transfer.from), transfer.to, last);
        let answer = raft.handle_transfer_leader(request).await.map_err(|_| Silence::Stopped)?;
        Ok(match answer {
            Ok(()) => TransferAnswer::Ok,
            Err(TransferLeaderError::VoteChanged { actual, .. }) => {
                TransferAnswer::VoteChanged(plain_vote(&actual))
            }
            Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
                TransferAnswer::LogBehind(actual.as_ref().map(plain_id))
            }
        }
        .encode())
    }

    async fn forward(&self, payload: Bytes) -> Answer {
        let forward = Forward::decode(payload)?;
        if !matches!(self.shared.leader(), Leader::Me | Leader::Soon) {
            return Ok(raft::encode_taken(false));
        }
        for (item, messages) in forward.items {
            if !self.proposals.wait_and_submit(item, messages as usize).await {
                return Err(Silence::Stopped);
            }
        }
        Ok(raft::encode_taken(true))
    }

    async fn offered(&self, from: u32, payload: Bytes) -> Answer {
        let offer = SnapshotOffer::decode(payload)?;
        self.raft().await?;
        // One that leads no longer must not break off its successor's transfer.
        if self.shared.store.vote().is_some_and(|vote| vote.term > offer.vote.term) {
            return Err(Silence::NotReady);
        }
        let mark = self.shared.store.mark();
        Ok(self.receiver.lock().await.offered(from, offer, &mark).encode())
    }

    async fn rows(&self, from: u32, payload: Bytes) -> Answer {
        let rows = SnapshotRows::decode(payload)?;
        let raft = self.raft().await?;
        let (store, halt) = (self.shared.store.as_ref(), &self.shared.halt);
        let page = self.receiver.lock().await.page(store, halt, from, rows).await;
        let done = match page {
            Ok(None) => SnapshotDone::default(),
            Err(error) => SnapshotDone { vote: None, error: Some(error) },
            Ok(Some((vote, snapshot))) => {
                let done = raft.install_full_snapshot(vote, snapshot).await;
                let done = done.map_err(|_| Silence::Stopped)?;
                SnapshotDone { vote: Some(plain_vote(&done.vote)), error: None }
            }
        };
        Ok(done.encode())
    }

    /// What was found out, if this process may still speak for the data now.
    async fn answer(&self, from: u32, kind: MessageKind, payload: Bytes) -> Answer {
        let answer = self.find_out(from, kind, payload).await?;
        if self.shared.store.holds() { Ok(answer) } else { Err(Silence::Taken) }
    }

    async fn find_out(&self, from: u32, kind: MessageKind, payload: Bytes) -> Answer {
        match kind {
            MessageKind::Append | MessageKind::Heartbeat => self.append(from, payload).await,
            MessageKind::Vote | MessageKind::PreVote => self.vote(from, kind, payload).await,
            MessageKind::TransferLeader => self.transfer(from, payload).await,
            MessageKind::ReadIndex => {
                Ok(raft::encode_read_answer(self.reader.index_if_leading().await))
            }
            MessageKind::Forward => self.forward(payload).await,
            MessageKind::SnapshotOffer => self.offered(from, payload).await,
            MessageKind::SnapshotRows => self.rows(from, payload).await,
            MessageKind::SnapshotDone => Err(Silence::NotReady),
            MessageKind::Order => {
                let ordered = Ordered::decode(payload)?;
                let answer = match ordered.order {
                    Order::Drain(seat, on) if seat == self.shared.config.seat => {
                        orders::drain(&self.shared, on, ordered.dry_run).await
                    }
                    _ => self.admissions.order(ordered).await,
                };
                Ok(answer.encode())
            }
            MessageKind::Admit => {
                let member = raft::decode_admit(payload)?;
                Ok(self.admissions.ask(member).await.encode())
            }
        }
    }
}

#[async_trait]
impl Handler for Inbound {
    async fn on_message(&self, from: u32, kind: MessageKind, payload: Bytes) -> Option<Bytes> {
        match self.answer(from, kind, payload).await {
            Ok(answer) => Some(answer),
            Err(Silence::Malformed(error)) => {
                tracing::warn!(from, ?kind, %error, "a message of node {from} cannot be read");
                None
            }
            Err(Silence::Taken) => {
                tracing::debug!(from, ?kind, "no answer: another process may have the data");
                None
            }
            Err(Silence::NotReady | Silence::Stopped) => None,
        }
    }
}
