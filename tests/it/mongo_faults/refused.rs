//! Databases that a server cannot start with: it ends at once, with a code for what to do and
//! words that say it, and without the password.

use super::talk::by_way_of;
use crate::harness::Cluster;
use crate::support::place::Place;
use crate::support::scripted::{Script, ScriptedServer};
use std::net::SocketAddr;
use std::time::Duration;

/// What is given for a wrong configuration: sysexits' `EX_CONFIG`.
pub const CONFIG: i32 = 78;
/// What is given for something that is not there: sysexits' `EX_UNAVAILABLE`.
const UNAVAILABLE: i32 = 69;
/// Contract: a database that is not there is waited for 10 s; the rest is for the machine.
const ENDS: Duration = Duration::from_secs(20);
const PASSWORD: &str = "xyzzy-4711";

/// Starts a server on a database at `address` and waits until it ends: its exit code, and
/// what it says about why.
fn refused(address: SocketAddr) -> (Option<i32>, String) {
    let url = by_way_of(&format!("mongodb://bob:{PASSWORD}@somewhere/west"), address);
    let mut cluster = Cluster::setup().store(1, &url).of(1);
    cluster.up(1);
    let code = cluster.node(1).ended(ENDS).code();
    let log = cluster.node(1).wrote("log");
    for said in [&log, &cluster.node(1).wrote("out")] {
        assert!(!said.contains(PASSWORD), "the password is said: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let said = log.lines().rev().find(|line| line.starts_with("rustchat: "));
    (code, said.unwrap_or_else(|| panic!("no reason in {log}")).to_owned())
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let server = ScriptedServer::start(Script::NobodyIsLetIn);
    let (code, said) = refused(server.address());
    assert_eq!(code, Some(CONFIG), "{said}");
    assert!(said.contains("user or password") && said.contains("--store"), "{said}");
}

#[test]
fn an_old_version_is_said_to_be_too_old() {
    let server = ScriptedServer::start(Script::OldVersion);
    let (code, said) = refused(server.address());
    assert_eq!(code, Some(CONFIG), "{said}");
    assert!(said.contains("too old") && said.contains("4.4"), "{said}");
}

/// One that does not listen, and one that takes connections and says nothing.
#[test]
fn a_database_that_cannot_be_reached_at_the_first_start_is_named() {
    let place = Place::take();
    let nobody: SocketAddr = (place.host(9), 27017).into();
    let listener = std::net::TcpListener::bind((place.host(8), 27017)).unwrap();
    let silent = listener.local_addr().unwrap();
    for address in [nobody, silent] {
        let (code, said) = refused(address);
        assert_eq!(code, Some(UNAVAILABLE), "{said}");
        assert!(said.contains(&address.to_string()), "{address} is not named: {said}");
    }
}

/// Who is told to stop while the database does not answer stops, and that is no failure.
#[test]
fn a_server_that_waits_for_its_database_can_be_stopped() {
    let place = Place::take();
    let silent = std::net::TcpListener::bind((place.host(8), 27017)).unwrap();
    let url = format!("mongodb://{}/west", silent.local_addr().unwrap());
    let mut cluster = Cluster::setup().store(1, &url).of(1);
    cluster.up(1);
    let connection = silent.accept().unwrap();
    cluster.signal(1, "TERM");
    let ended = cluster.node(1).ended(ENDS);
    assert!(ended.success(), "{ended}: {}", cluster.node(1).wrote("log"));
    drop(connection);
}

/// It takes no write at the first start.
#[test]
fn a_full_database_at_the_first_start_is_said_to_be_full() {
    // Whoever may come in without a password: the script knows none.
    let server = ScriptedServer::start(Script::DiskFull);
    let url = format!("mongodb://{}/west", server.address());
    let mut cluster = Cluster::setup().store(1, &url).of(1);
    cluster.up(1);
    let code = cluster.node(1).ended(ENDS).code();
    let log = cluster.node(1).wrote("log");
    assert_eq!(code, Some(UNAVAILABLE), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
}
