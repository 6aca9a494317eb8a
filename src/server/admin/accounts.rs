//! Who may register, as an operator wants it: the policy, and invitations. Only programs on this
//! machine may want anything. What is wanted goes through the log and is answered when this server
//! has applied it. It must not know who registers.

use super::caller::Operator;
use super::desk::Desk;
use super::reply::answer;
use super::settle::{node, settle};
use crate::chat::command::Command;
use crate::chat::state::State as Chat;
use crate::chat::write::{Invitation, Registration};
use crate::clock::now_ms;
use crate::limits;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::time::Duration;

/// A policy as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    registration: Word,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Open,
    Invite,
    Closed,
}

/// An invitation as it is written; its code stays with whoever made it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// BLAKE3 of the code, in hexadecimal digits.
    code_hash: String,
    valid_s: u64,
}

/// Sets who may register.
pub async fn registration(
    State(desk): State<Desk>,
    _: Operator,
    Json(policy): Json<Policy>,
) -> Response {
    let (wanted, text) = match policy.registration {
        Word::Open => (Registration::Open, "anybody may register"),
        Word::Invite => (Registration::Invite, "new users need an invitation"),
        Word::Closed => (Registration::Closed, "nobody may register"),
    };
    let is_so = move |chat: &Chat| (chat.meta().registration == wanted).then_some(Ok(()));
    match node(&desk).await {
        Ok(shared) => settle(&shared, &[Command::SetRegistration(wanted)], is_so, text).await,
        Err(answer) => answer,
    }
}

/// Makes an invitation.
pub async fn invite(State(desk): State<Desk>, _: Operator, Json(wanted): Json<Wanted>) -> Response {
    let hash = blake3::Hash::from_hex(&wanted.code_hash).map(|hash| *hash.as_bytes());
    let valid = Duration::from_secs(wanted.valid_s);
    let (Ok(code_hash), true) = (hash, !valid.is_zero() && valid <= limits::INVITATION_TIME) else {
        let text = "an invitation has a hash, and is valid for 1 s to 365 days";
        return answer(StatusCode::BAD_REQUEST, "malformed", text);
    };
    let expires_at_ms = now_ms() + wanted.valid_s * 1000;
    let invitation = Invitation { code_hash, expires_at_ms, used: false };
    let is_there = move |chat: &Chat| {
        let all = &chat.meta().invitations;
        if all.iter().any(|other| other.code_hash == code_hash) {
            return Some(Ok(()));
        }
        let open = all.iter().filter(|other| !other.used).count();
        (open >= limits::INVITATIONS).then(|| {
            Err(format!("{} invitations are not used yet: that is the limit", limits::INVITATIONS))
        })
    };
    let text = "the invitation is valid";
    match node(&desk).await {
        Ok(shared) => settle(&shared, &[Command::Invite(invitation)], is_there, text).await,
        Err(answer) => answer,
    }
}
