//! A backup over HTTP, for who could read the server's data anyhow. It must not know what a
//! backup looks like.

use super::caller::{Caller, turned_away};
use super::desk::Desk;
use crate::server::backup::{BackupError, stream};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What may be asked of it.
#[derive(Deserialize)]
pub struct Wanted {
    /// What this server has, where no majority can say whether that is all.
    stale: Option<String>,
}

/// Sends it while it is made.
pub async fn send(
    State(desk): State<Desk>,
    Extension(peer): Extension<IpAddr>,
    Extension(caller): Extension<Caller>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    if let Some(why) = turned_away(peer, &headers) {
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let asks = caller.clone();
    if !spawn_blocking(move || asks.is_ours()).await.unwrap_or(false) {
        let why = "a backup is for the user that this server runs as, or root";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let Some(shared) = desk.node() else {
        let why = "this server does not run now";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let stale = wanted.stale.is_some_and(|stale| stale != "0");
    match stream(&shared.node, Arc::clone(&shared.store), stale).await {
        Ok(source) => {
            tracing::info!(stale, "a backup is sent");
            caller.takes_long();
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, Body::from_stream(source.into_stream())).into_response()
        }
        Err(error) => (code(&error), error.to_string()).into_response(),
    }
}

const fn code(error: &BackupError) -> StatusCode {
    match error {
        BackupError::NoQuorum => StatusCode::SERVICE_UNAVAILABLE,
        BackupError::Refused(_) => StatusCode::CONFLICT,
        BackupError::Damaged(_) | BackupError::Io(_) | BackupError::Store(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
