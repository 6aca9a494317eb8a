//! Brings what an operator wants into the log, and waits until this server has applied it. It must
//! not know what is wanted.

use super::desk::Desk;
use super::reply::answer;
use crate::chat::command::Command;
use crate::chat::state::State as Chat;
use crate::server::shared::Shared;
use crate::wire::log;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A command that has not been applied after this time is submitted again.
const RESUBMIT: Duration = Duration::from_secs(1);
/// One that was not even queued, after this time.
const HOLD: Duration = Duration::from_millis(100);
/// It is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether it has been applied.
const LOOK: Duration = Duration::from_millis(20);

/// The node, once it knows all that was committed when it was asked.
///
/// # Errors
/// What to answer instead.
pub async fn node(desk: &Desk) -> Result<Arc<Shared>, Response> {
    let not_now = |text| answer(StatusCode::SERVICE_UNAVAILABLE, "not_now", text);
    let shared = desk.node().ok_or_else(|| not_now("this server does not run now"))?;
    match shared.node.read_barrier().await {
        Ok(_) => Ok(shared),
        Err(_) => Err(not_now("no majority answered in time")),
    }
}

/// Brings commands into the log; `outcome` says what the state shows of them.
pub async fn settle(
    shared: &Shared,
    commands: &[Command],
    outcome: impl Fn(&Chat) -> Option<Result<(), String>>,
    text: &str,
) -> Response {
    match applied(shared, commands, outcome).await {
        Some(Ok(())) => answer(StatusCode::OK, "done", text),
        Some(Err(why)) => answer(StatusCode::CONFLICT, "refused", &why),
        None => {
            let text = "it was not committed in time, and may still be";
            answer(StatusCode::GATEWAY_TIMEOUT, "unknown", text)
        }
    }
}

async fn applied(
    shared: &Shared,
    commands: &[Command],
    outcome: impl Fn(&Chat) -> Option<Result<(), String>>,
) -> Option<Result<(), String>> {
    let end = Instant::now() + PATIENCE;
    let mut submit_at = Instant::now();
    loop {
        if let Some(outcome) = shared.setup.state.read(|r| outcome(&r.state)) {
            return Some(outcome);
        }
        let now = Instant::now();
        if now >= end {
            return None;
        }
        if now >= submit_at {
            let submit = |command| shared.node.submit(log::encode_command(command), 1);
            let queued = commands.iter().try_for_each(submit);
            submit_at = now + if queued.is_ok() { RESUBMIT } else { HOLD };
        }
        tokio::time::sleep(LOOK).await;
    }
}
