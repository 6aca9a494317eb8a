//! What an operator wants, as JSON. Only programs on this machine may want anything: there are no
//! accounts of operators yet. It must not know how an order is carried out.

use super::caller::turned_away;
use super::desk::Desk;
use super::routes;
use crate::wire::raft::{Member, Order, OrderAnswer, Ordered};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;

/// An order as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    order: Kind,
    seat: Option<u32>,
    host: Option<String>,
    client: Option<u16>,
    peer: Option<u16>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Add,
    Promote,
    Remove,
    Transfer,
    Drain,
    Undrain,
}

/// Takes an order and says what became of it.
pub async fn take(
    State(desk): State<Desk>,
    Extension(peer): Extension<IpAddr>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Response {
    if let Some(why) = turned_away(peer, &headers) {
        return answer(StatusCode::FORBIDDEN, "forbidden", why);
    }
    let ordered = match ordered(wanted) {
        Ok(ordered) => ordered,
        Err(text) => return answer(StatusCode::BAD_REQUEST, "malformed", &text),
    };
    let Some(shared) = desk.node() else {
        let text = "this server does not run now";
        return answer(StatusCode::SERVICE_UNAVAILABLE, "not_now", text);
    };
    match shared.node.order(ordered).await {
        OrderAnswer::Done(text) => answer(StatusCode::OK, "done", &text),
        OrderAnswer::Refused(text) => answer(StatusCode::CONFLICT, "refused", &text),
        OrderAnswer::NotNow(text) => answer(StatusCode::SERVICE_UNAVAILABLE, "not_now", &text),
        OrderAnswer::Unknown(text) => answer(StatusCode::GATEWAY_TIMEOUT, "unknown", &text),
        OrderAnswer::Leader(_) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, "not_now", "the leader has changed")
        }
    }
}

/// An answer in words, and the same as a word for programs.
pub(super) fn answer(code: StatusCode, result: &str, text: &str) -> Response {
    routes::json(code, &json!({ "result": result, "text": text }))
}

fn ordered(wanted: Wanted) -> Result<Ordered, String> {
    let seat = || wanted.seat.ok_or_else(|| "no seat".to_owned());
    let order = match wanted.order {
        Kind::Add => Order::Add(Member {
            seat: seat()?,
            host: wanted.host.clone().filter(|host| !host.is_empty()).ok_or("no host")?,
            peer: wanted.peer.ok_or("no peer port")?,
            client: wanted.client.ok_or("no client port")?,
            ..Member::default()
        }),
        Kind::Promote => Order::Promote(seat()?),
        Kind::Remove => Order::Remove(seat()?),
        Kind::Transfer => Order::Transfer(wanted.seat),
        Kind::Drain => Order::Drain(seat()?, true),
        Kind::Undrain => Order::Drain(seat()?, false),
    };
    Ok(Ordered { order, dry_run: wanted.dry_run })
}
