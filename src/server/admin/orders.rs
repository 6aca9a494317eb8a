//! What an operator wants, as JSON. Only programs on this machine may want anything: there are no
//! accounts of operators yet. It must not know how an order is carried out.

use super::caller::Operator;
use super::desk::Desk;
use super::reply::answer;
use crate::wire::raft::{Member, Order, OrderAnswer, Ordered};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

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
pub async fn take(State(desk): State<Desk>, _: Operator, Json(wanted): Json<Wanted>) -> Response {
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
