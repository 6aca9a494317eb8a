//! What can be asked over HTTP, and the answers. It must not know what the checks mean.

use super::desk::Desk;
use super::{accounts, backup, links, metrics, orders, reply};
use crate::client::status::ask_all;
use crate::clock::now_ms;
use crate::limits;
use crate::report::health::{self, Check};
use crate::report::{document, judge};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;

/// Everything, for one connection of `peer`.
pub fn routes(desk: Desk, peer: IpAddr) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/backup", get(backup::send))
        .route("/v1/orders", post(orders::take))
        .route("/v1/registration", post(accounts::registration))
        .route("/v1/invitations", post(accounts::invite))
        .route("/v1/links", post(links::take))
        .layer(axum::extract::DefaultBodyLimit::max(limits::ADMIN_BODY))
        .layer(Extension(peer))
        .with_state(desk)
}

#[derive(Deserialize)]
struct Wanted {
    /// Checks to leave out, with commas between.
    #[serde(default)]
    exclude: String,
    /// Only what concerns this node alone, so that all of them are not taken out at once.
    local: Option<String>,
}

async fn livez(State(desk): State<Desk>) -> Response {
    probe(&health::live(desk.silent()))
}

async fn readyz(State(desk): State<Desk>, Query(wanted): Query<Wanted>) -> Response {
    let mut checks = health::live(desk.silent());
    match desk.statement(None) {
        Some(status) => checks.extend(health::ready(&status)),
        None => checks.push(Check::new("storage", false, "it is being opened")),
    }
    let left_out: Vec<&str> = wanted.exclude.split(',').collect();
    let is_far = |check: &Check| wanted.local.is_some() && check.name == "leader";
    checks.retain(|check| !left_out.contains(&check.name) && !is_far(check));
    probe(&checks)
}

fn probe(checks: &[Check]) -> Response {
    let ok = checks.iter().all(|check| check.ok);
    let code = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, health::lines(checks)).into_response()
}

async fn metrics(State(desk): State<Desk>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match metrics::text(&desk) {
        Some(text) => (kind, text).into_response(),
        None => (StatusCode::NOT_FOUND, "this process keeps no metrics\n").into_response(),
    }
}

/// The cluster as this node's operator would see it: every node is asked itself.
async fn status(State(desk): State<Desk>) -> Response {
    let targets = vec![desk.client().to_owned()];
    let rows = ask_all(targets, limits::ADMIN_ASKS, None, desk.security()).await;
    let judgement = judge::judge(&rows);
    let from = desk.statement(None).map(|status| status.seat);
    reply::document(StatusCode::OK, &document::document(&rows, &judgement, now_ms(), from))
}

#[derive(Deserialize)]
struct After {
    /// The id of the last event that is known.
    #[serde(default)]
    after: u64,
}

/// This node's events, oldest first.
async fn events(State(desk): State<Desk>, Query(after): Query<After>) -> Response {
    let events = desk.statement(Some(after.after)).map(|status| status.events).unwrap_or_default();
    let events: Vec<_> = events.iter().map(document::event).collect();
    reply::document(StatusCode::OK, &json!({ "events": events, "schema": 1 }))
}
