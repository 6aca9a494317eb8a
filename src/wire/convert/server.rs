//! What servers say.

use super::chat::{kind, kind_number, outcome_fields, refusal};
use super::{
    all, bytes, bytes_or_empty, cluster, cluster_or_zero, clusters_from, clusters_to, device, each,
    fixed, fixed_or_zero, group, need, range, user,
};
use crate::chat::event::Outcome;
use crate::chat::ids::{ConversationId, Group, Position};
use crate::wire::message::{
    Ack, ClusterState, ConversationInfo, DeviceCertificate, DeviceInfo, Member, OutcomeRun, Ready,
    ServerMsg, Welcome, Where,
};
use crate::wire::pb::server_frame::Frame;
use crate::wire::{WireError, pb};

impl From<&ServerMsg> for pb::ServerFrame {
    fn from(message: &ServerMsg) -> Self {
        Self { frame: Some(message.into()) }
    }
}

impl From<&ServerMsg> for Frame {
    fn from(message: &ServerMsg) -> Self {
        match message {
            ServerMsg::Welcome(w) => Self::Welcome(w.into()),
            ServerMsg::Redirect(to) => Self::Redirect(pb::Redirect { to: Some(to.into()) }),
            ServerMsg::Where(w) => Self::Where(w.into()),
            ServerMsg::Status(status) => Self::Status(status.as_ref().into()),
            ServerMsg::Refused { request, refusal, text } => Self::Refused(pb::Refused {
                request: *request,
                code: refusal.code(),
                text: text.clone(),
            }),
            ServerMsg::Authenticated { user, name, token } => {
                Self::Authenticated(pb::Authenticated {
                    user: Some(user.into()),
                    name: name.clone(),
                    token: token.clone(),
                })
            }
            ServerMsg::Ready(ready) => Self::Ready(ready.into()),
            ServerMsg::Conversations(list) => {
                Self::Conversations(pb::Conversations { conversations: each(list) })
            }
            ServerMsg::Push { runs, index } => {
                Self::Push(pb::Runs { runs: each(runs), index: *index })
            }
            ServerMsg::Ack(ack) => Self::Ack(ack.into()),
            ServerMsg::Marked(marks) => Self::Marked(pb::Marked { marks: each(marks) }),
            ServerMsg::History { request, conversation, from, to, runs } => {
                Self::History(pb::History {
                    request: *request,
                    conversation: conversation.0,
                    from: *from,
                    to: *to,
                    runs: each(runs),
                })
            }
            ServerMsg::Found { request, user, name, conversation } => Self::Found(pb::Found {
                request: *request,
                user: Some(user.into()),
                name: name.clone(),
                conversation: conversation.map_or(0, |id| id.0),
            }),
            ServerMsg::Devices { request, devices } => {
                Self::DeviceList(pb::DeviceList { request: *request, devices: each(devices) })
            }
            ServerMsg::Certified { request, certificate } => Self::Certified(pb::Certified {
                request: *request,
                certificate: Some(certificate.into()),
            }),
            ServerMsg::Visiting => Self::Visiting(pb::Visiting {}),
            ServerMsg::Done { request } => Self::Done(pb::Done { request: *request }),
            ServerMsg::Busy { retry_after_ms } => {
                Self::Busy(pb::Busy { retry_after_ms: *retry_after_ms })
            }
            ServerMsg::GoAway { retry_after_ms, text } => Self::GoAway(pb::GoAway {
                code: 0,
                text: text.clone(),
                retry_after_ms: *retry_after_ms,
            }),
            ServerMsg::Pong(token) => Self::Pong(pb::Pong { token: *token }),
            ServerMsg::Cluster(state) => Self::Cluster(state.into()),
        }
    }
}

impl TryFrom<pb::ServerFrame> for ServerMsg {
    type Error = WireError;

    fn try_from(frame: pb::ServerFrame) -> Result<Self, WireError> {
        Ok(match frame.frame.ok_or(WireError::Unknown("server message"))? {
            Frame::Welcome(w) => Self::Welcome(w.try_into()?),
            Frame::Redirect(r) => Self::Redirect(need(r.to, "server address")?.try_into()?),
            Frame::Where(w) => Self::Where(w.try_into()?),
            Frame::Status(status) => Self::Status(Box::new(status.try_into()?)),
            Frame::Refused(r) => {
                Self::Refused { request: r.request, refusal: refusal(r.code)?, text: r.text }
            }
            Frame::Authenticated(a) => {
                Self::Authenticated { user: user(a.user)?, name: a.name, token: a.token }
            }
            Frame::Ready(ready) => Self::Ready(ready.try_into()?),
            Frame::Conversations(c) => Self::Conversations(all(c.conversations)?),
            Frame::Push(runs) => Self::Push { runs: all(runs.runs)?, index: runs.index },
            Frame::Ack(ack) => Self::Ack(ack.try_into()?),
            Frame::Marked(m) => Self::Marked(all(m.marks)?),
            Frame::History(h) => Self::History {
                request: h.request,
                conversation: ConversationId(h.conversation),
                from: h.from,
                to: h.to,
                runs: all(h.runs)?,
            },
            Frame::Found(f) => Self::Found {
                request: f.request,
                user: user(f.user)?,
                name: f.name,
                conversation: (f.conversation != 0).then_some(ConversationId(f.conversation)),
            },
            Frame::DeviceList(l) => Self::Devices { request: l.request, devices: all(l.devices)? },
            Frame::Certified(c) => Self::Certified {
                request: c.request,
                certificate: need(c.certificate, "certificate")?.try_into()?,
            },
            Frame::Visiting(_) => Self::Visiting,
            Frame::Done(d) => Self::Done { request: d.request },
            Frame::Busy(b) => Self::Busy { retry_after_ms: b.retry_after_ms },
            Frame::GoAway(g) => Self::GoAway { retry_after_ms: g.retry_after_ms, text: g.text },
            Frame::Pong(p) => Self::Pong(p.token),
            Frame::Cluster(state) => Self::Cluster(state.into()),
        })
    }
}

impl From<&DeviceCertificate> for pb::DeviceCertificate {
    fn from(c: &DeviceCertificate) -> Self {
        Self {
            cluster: bytes(&c.cluster.0),
            user: Some((&c.user).into()),
            device: bytes(&c.device.0),
            key: bytes(&c.key),
            until_ms: c.until_ms,
            seat: c.seat,
            signature: c.signature.clone(),
        }
    }
}

impl TryFrom<pb::DeviceCertificate> for DeviceCertificate {
    type Error = WireError;

    fn try_from(c: pb::DeviceCertificate) -> Result<Self, WireError> {
        Ok(Self {
            cluster: cluster(&c.cluster)?,
            user: user(c.user)?,
            device: device(&c.device)?,
            key: fixed(&c.key, "device key")?,
            until_ms: c.until_ms,
            seat: c.seat,
            signature: c.signature,
        })
    }
}

impl From<&DeviceInfo> for pb::DeviceInfo {
    fn from(d: &DeviceInfo) -> Self {
        Self {
            id: bytes(&d.id.0),
            added_at_ms: d.added_at_ms,
            seen_at_ms: d.seen_at_ms,
            revoked: d.revoked,
            own: d.own,
        }
    }
}

impl TryFrom<pb::DeviceInfo> for DeviceInfo {
    type Error = WireError;

    fn try_from(d: pb::DeviceInfo) -> Result<Self, WireError> {
        Ok(Self {
            id: device(&d.id)?,
            added_at_ms: d.added_at_ms,
            seen_at_ms: d.seen_at_ms,
            revoked: d.revoked,
            own: d.own,
        })
    }
}

impl From<&Welcome> for pb::Welcome {
    fn from(w: &Welcome) -> Self {
        Self {
            version: w.version,
            features: w.features,
            cluster: bytes_or_empty(&w.cluster.0),
            cluster_name: w.cluster_name.clone(),
            generation: w.generation,
            seat: w.seat,
            servers: each(&w.servers),
            state: Some((&w.state).into()),
            began_ms: w.began_ms,
            former: clusters_to(&w.former),
            challenge: bytes_or_empty(&w.challenge),
        }
    }
}

impl TryFrom<pb::Welcome> for Welcome {
    type Error = WireError;

    fn try_from(w: pb::Welcome) -> Result<Self, WireError> {
        Ok(Self {
            version: w.version,
            features: w.features,
            cluster: cluster_or_zero(&w.cluster)?,
            cluster_name: w.cluster_name,
            generation: w.generation,
            seat: w.seat,
            servers: all(w.servers)?,
            state: w.state.unwrap_or_default().into(),
            began_ms: w.began_ms,
            former: clusters_from(&w.former)?,
            challenge: fixed_or_zero(&w.challenge, "challenge")?,
        })
    }
}

impl From<&ClusterState> for pb::Cluster {
    fn from(s: &ClusterState) -> Self {
        Self { leader_seat: s.leader.unwrap_or(0), term: s.term, live: s.live, voters: s.voters }
    }
}

impl From<pb::Cluster> for ClusterState {
    fn from(s: pb::Cluster) -> Self {
        let leader = (s.leader_seat != 0).then_some(s.leader_seat);
        Self { leader, term: s.term, live: s.live, voters: s.voters }
    }
}

impl From<&Where> for pb::Where {
    fn from(w: &Where) -> Self {
        Self {
            cluster: bytes_or_empty(&w.cluster.0),
            cluster_name: w.cluster_name.clone(),
            leader: w.leader.as_ref().map(Into::into),
            servers: each(&w.servers),
            term: w.term,
            generation: w.generation,
        }
    }
}

impl TryFrom<pb::Where> for Where {
    type Error = WireError;

    fn try_from(w: pb::Where) -> Result<Self, WireError> {
        Ok(Self {
            cluster: cluster_or_zero(&w.cluster)?,
            cluster_name: w.cluster_name,
            leader: w.leader.map(TryInto::try_into).transpose()?,
            servers: all(w.servers)?,
            term: w.term,
            generation: w.generation,
        })
    }
}

impl From<&Ready> for pb::Ready {
    fn from(r: &Ready) -> Self {
        let state = |(group, last_number): &(Group, u64)| pb::SendState {
            group: u32::from(*group),
            last_number: *last_number,
        };
        Self {
            sends: r.sends.iter().map(state).collect(),
            window: r.window,
            window_bytes: r.window_bytes,
            cursor: Some((&r.cursor).into()),
        }
    }
}

impl TryFrom<pb::Ready> for Ready {
    type Error = WireError;

    fn try_from(r: pb::Ready) -> Result<Self, WireError> {
        let sends = r.sends.iter().map(|s| Ok((group(s.group)?, s.last_number)));
        Ok(Self {
            sends: sends.collect::<Result<_, WireError>>()?,
            window: r.window,
            window_bytes: r.window_bytes,
            cursor: r.cursor.unwrap_or_default().try_into()?,
        })
    }
}

impl From<&OutcomeRun> for pb::Outcome {
    fn from(o: &OutcomeRun) -> Self {
        let (conversation, first_seq, at_ms, refusal) = outcome_fields(o.outcome);
        Self {
            first_number: o.first_number,
            count: o.count,
            conversation,
            first_seq,
            at_ms,
            refusal,
        }
    }
}

impl TryFrom<pb::Outcome> for OutcomeRun {
    type Error = WireError;

    fn try_from(o: pb::Outcome) -> Result<Self, WireError> {
        range(o.first_number, u64::from(o.count), "send number")?;
        let outcome = if o.refusal == 0 {
            range(o.first_seq, u64::from(o.count), "seq")?;
            let conversation = ConversationId(o.conversation);
            Outcome::Committed { conversation, first_seq: o.first_seq, at_ms: o.at_ms }
        } else {
            Outcome::Refused(refusal(o.refusal)?)
        };
        Ok(Self { first_number: o.first_number, count: o.count, outcome })
    }
}

impl From<&Ack> for pb::Ack {
    fn from(a: &Ack) -> Self {
        Self {
            group: u32::from(a.group),
            upto: a.upto,
            outcomes: each(&a.outcomes),
            expected: a.expected.unwrap_or(0),
            position: Some((&Position { group: a.group, index: a.index }).into()),
        }
    }
}

impl TryFrom<pb::Ack> for Ack {
    type Error = WireError;

    fn try_from(a: pb::Ack) -> Result<Self, WireError> {
        Ok(Self {
            group: group(a.group)?,
            upto: a.upto,
            outcomes: all(a.outcomes)?,
            expected: (a.expected != 0).then_some(a.expected),
            index: a.position.map_or(0, |p| p.index),
        })
    }
}

impl From<&Member> for pb::Member {
    fn from(m: &Member) -> Self {
        Self {
            user: Some((&m.user).into()),
            name: m.name.clone(),
            delivered: m.delivered,
            read: m.read,
        }
    }
}

impl TryFrom<pb::Member> for Member {
    type Error = WireError;

    fn try_from(m: pb::Member) -> Result<Self, WireError> {
        Ok(Self { user: user(m.user)?, name: m.name, delivered: m.delivered, read: m.read })
    }
}

impl From<&ConversationInfo> for pb::Conversation {
    fn from(c: &ConversationInfo) -> Self {
        Self {
            id: c.id.0,
            kind: kind_number(c.kind),
            members: each(&c.members),
            last_seq: c.last_seq,
            title: c.title.clone(),
        }
    }
}

impl TryFrom<pb::Conversation> for ConversationInfo {
    type Error = WireError;

    fn try_from(c: pb::Conversation) -> Result<Self, WireError> {
        Ok(Self {
            id: ConversationId(c.id),
            kind: kind(c.kind)?,
            members: all(c.members)?,
            last_seq: c.last_seq,
            title: c.title,
        })
    }
}
