//! What is asked over HTTP, without a socket.

use super::desk::{Desk, Now};
use super::routes::routes;
use crate::client::security::Security;
use crate::server::pulse::Pulse;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tower::ServiceExt as _;

const HERE: &str = "127.0.0.1";

struct Asked {
    desk: Desk,
    _ends: (watch::Sender<Now>, watch::Sender<Pulse>),
}

/// A server that waits for its database, or has none yet.
fn desk(waiting: bool, beat: Instant) -> Asked {
    let status = crate::wire::statement::Status {
        seat: 2,
        role: "down".into(),
        ready: Some(false),
        reasons: vec!["storage_unavailable".into()],
        why: "the database is away".into(),
        ..Default::default()
    };
    let now = if waiting { Now::Waiting(watch::channel(status).1) } else { Now::Starting };
    let pulse = Pulse { at: Some(beat), ..Pulse::default() };
    let ((say, now), (beat, beats)) = (watch::channel(now), watch::channel(pulse));
    // Nothing listens there.
    Asked { desk: Desk::new(now, beats, "127.0.0.1:1".into(), Security::PLAIN), _ends: (say, beat) }
}

async fn ask(asked: &Asked, peer: &str, request: Request<Body>) -> (StatusCode, String) {
    let peer: IpAddr = peer.parse().unwrap();
    let answer = routes(asked.desk.clone(), peer).oneshot(request).await.unwrap();
    let code = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn order(host: &str, body: &str) -> Request<Body> {
    let request = Request::post("/v1/orders").header("host", host);
    request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn a_server_that_waits_for_its_database_lives_and_is_not_ready() {
    let asked = desk(true, Instant::now());
    let (code, text) = ask(&asked, HERE, get("/livez")).await;
    assert_eq!((code, text.as_str()), (StatusCode::OK, "[+]raft_loop ok\n"));
    let (code, text) = ask(&asked, HERE, get("/readyz")).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("[-]storage the database is away\n"), "{text}");
    assert!(text.contains("[-]leader none\n"), "{text}");
    let (_, text) = ask(&asked, HERE, get("/readyz?local&exclude=storage,voter")).await;
    assert!(!text.contains("leader") && !text.contains("storage"), "{text}");
    let (code, _) = ask(&asked, HERE, get("/readyz?local&exclude=storage,voter")).await;
    assert_eq!(code, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_shows_no_sign_of_life_is_not_alive() {
    let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
    let asked = desk(true, long_ago);
    let (code, text) = ask(&asked, HERE, get("/livez")).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.starts_with("[-]raft_loop still for 6"), "{text}");
}

#[tokio::test]
async fn the_cluster_is_told_also_when_nobody_answers() {
    let (code, text) = ask(&desk(false, Instant::now()), HERE, get("/v1/status")).await;
    assert_eq!(code, StatusCode::OK);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["verdict"], "unreachable");
    assert_eq!(json["nodes"][0]["error_code"], "conn_refused");
}

#[tokio::test]
async fn orders_are_taken_from_this_machine_alone_and_from_no_browser() {
    let asked = desk(true, Instant::now());
    let good = r#"{"order":"remove","seat":3}"#;
    let cases = [
        ("10.0.0.9", "127.0.0.1:7301", good, StatusCode::FORBIDDEN),
        (HERE, "evil.example", good, StatusCode::FORBIDDEN),
        (HERE, "127.0.0.1:7301", r#"{"order":"remove"}"#, StatusCode::BAD_REQUEST),
        (HERE, "127.0.0.1:7301", r#"{"order":"fly"}"#, StatusCode::UNPROCESSABLE_ENTITY),
        (HERE, "localhost:7301", good, StatusCode::SERVICE_UNAVAILABLE),
    ];
    for (peer, host, body, expected) in cases {
        let (code, text) = ask(&asked, peer, order(host, body)).await;
        assert_eq!(code, expected, "{peer} {host} {body}: {text}");
    }
    let plain = Request::post("/v1/orders").header("host", HERE).body(Body::from(good)).unwrap();
    let (code, _) = ask(&asked, HERE, plain).await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form of a page cannot say JSON");
}
