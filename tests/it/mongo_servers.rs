//! The servers that the MongoDB tests run against do what those tests believe: they answer
//! the real driver, come back with what they acknowledged, and fail where they are told to.

use crate::support::mongod::{
    Kind, Server, fresh_database, fresh_name, in_database, mongo_kind, mongo_uri,
};
use crate::support::scripted::{Script, ScriptedServer};
use crate::support::tcp_proxy::{Flow, From, TcpProxy, Trap};
use crate::support::wait::wait_until;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Client, Database};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// For a server or a proxy that is there.
const SOON: Duration = Duration::from_secs(20);

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// A database at an address; the driver gives up on a server that is not there after 2 s.
async fn database(address: SocketAddr, name: &str) -> Database {
    let uri = format!("mongodb://{address}/?serverSelectionTimeoutMS=2000&connectTimeoutMS=2000");
    Client::with_uri_str(uri).await.unwrap().database(name)
}

async fn insert(database: &Database, id: &str) -> Result<Document, Error> {
    let command = doc! {
        "insert": "letters",
        "documents": [{ "_id": id, "n": 1_i64 }],
        "writeConcern": { "w": "majority", "j": true },
    };
    database.run_command(command).await
}

/// Straight from the server, whatever is between it and others.
async fn ids(database: &Database) -> Vec<String> {
    let reply = database.run_command(doc! { "find": "letters", "sort": { "_id": 1 } }).await;
    let reply = reply.unwrap();
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let id = |found: &mongodb::bson::Bson| {
        found.as_document().unwrap().get_str("_id").unwrap().to_owned()
    };
    batch.iter().map(id).collect()
}

#[test]
fn the_shared_server_answers_the_driver() {
    let uri = fresh_database("answers");
    assert!(uri.contains(mongo_uri().split('?').next().unwrap().trim_end_matches('/')));
    block_on(async {
        let client = Client::with_uri_str(&uri).await.unwrap();
        let database = client.default_database().expect("the URI names a database");
        database.run_command(doc! { "ping": 1 }).await.unwrap();
        insert(&database, "a").await.unwrap();
        assert_eq!(ids(&database).await, ["a"]);
        let build = database.run_command(doc! { "buildInfo": 1 }).await.unwrap();
        let ferret = build.contains_key("ferretdbVersion");
        assert_eq!(ferret, mongo_kind() == Kind::Ferret, "{build}");
        database.drop().await.unwrap();
    });
}

#[test]
fn a_database_goes_into_any_uri() {
    for (uri, wanted) in [
        ("mongodb://a:1", "mongodb://a:1/x"),
        ("mongodb://a:1/", "mongodb://a:1/x"),
        ("mongodb://u:p@a,b:2/admin?replicaSet=r", "mongodb://u:p@a,b:2/x?replicaSet=r"),
        ("mongodb+srv://a?w=1", "mongodb+srv://a/x?w=1"),
    ] {
        assert_eq!(in_database(uri, "x"), wanted);
    }
    assert_ne!(fresh_name("n"), fresh_name("n"));
}

#[test]
fn a_private_server_comes_back_with_what_it_acknowledged() {
    let mut server = Server::private();
    assert_ne!(server.kind(), Kind::Given);
    assert_eq!(server.uri(), format!("mongodb://{}", server.address()));
    block_on(async {
        let database = database(server.address(), "kept").await;
        insert(&database, "before the stop").await.unwrap();
        server.stop();
        let why = insert(&database, "nowhere").await.unwrap_err();
        assert!(
            matches!(*why.kind, ErrorKind::ServerSelection { .. } | ErrorKind::Io(_)),
            "{why:?}"
        );
        server.start();
        insert(&database, "before the kill").await.unwrap();
        server.kill();
        server.start();
        // A connection from before is only found to be dead when it is used.
        let why = insert(&database, "into nothing").await.unwrap_err();
        assert!(matches!(*why.kind, ErrorKind::Io(_)), "{why:?}");
        assert_eq!(ids(&database).await, ["before the kill", "before the stop"]);

        server.signal("STOP");
        let stalled = insert(&database, "late");
        let stalled = tokio::time::timeout(Duration::from_millis(300), stalled).await;
        assert!(stalled.is_err(), "a server that stands still has answered");
        server.signal("CONT");
        insert(&database, "later").await.unwrap();
    });
}

/// Each of them ends in its way, and what comes after it works.
#[test]
fn connections_through_the_proxy_break_as_asked() {
    let server = Server::private();
    let proxy = TcpProxy::start(server.address());
    block_on(async {
        let direct = database(server.address(), "broken").await;
        let proxied = database(proxy.address(), "broken").await;
        insert(&proxied, "open").await.unwrap();
        assert!(proxy.connections() > 0);

        proxy.set(Flow::Cut);
        wait_until(SOON, "connections are cut", || (proxy.connections() == 0).then_some(()));
        insert(&proxied, "cut").await.unwrap_err();

        proxy.set(Flow::Slow(Duration::from_millis(50)));
        let start = Instant::now();
        insert(&proxied, "slow").await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(100), "both directions are slow");

        proxy.set_from(From::Server, Flow::Swallow);
        let unheard = insert(&proxied, "unheard");
        assert!(tokio::time::timeout(Duration::from_secs(2), unheard).await.is_err());
        proxy.set(Flow::Open);
        wait_until(SOON, "what was swallowed has arrived", || {
            let there = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(ids(&direct))
            });
            there.contains(&"unheard".to_owned()).then_some(())
        });
        assert_eq!(ids(&direct).await, ["open", "slow", "unheard"]);
    });
}

/// The same for cuts in the middle of something; the connection is all that is gone.
#[test]
fn a_trap_cuts_a_question_or_its_answer() {
    let server = Server::private();
    let proxy = TcpProxy::start(server.address());
    block_on(async {
        let direct = database(server.address(), "trapped").await;
        let proxied = database(proxy.address(), "trapped").await;
        insert(&proxied, "a").await.unwrap();

        proxy.trap(Trap::Question(b"letters".to_vec()), 1, Flow::Open);
        insert(&proxied, "b, the one that passes").await.unwrap();
        assert_eq!(proxy.sprung(), 0);
        let why = insert(&proxied, "c, half a question").await.unwrap_err();
        assert!(matches!(*why.kind, ErrorKind::Io(_)), "{why:?}");
        assert_eq!(proxy.sprung(), 1);
        insert(&proxied, "d").await.unwrap();

        proxy.trap(Trap::Answer(b"letters".to_vec()), 0, Flow::Cut);
        insert(&proxied, "e, without an answer").await.unwrap_err();
        assert_eq!(proxy.sprung(), 2);
        insert(&proxied, "f, while it is cut").await.unwrap_err();
        proxy.set(Flow::Open);

        // The driver says more than what it is asked to: whose bytes they are is not known.
        proxy.trap(Trap::Bytes(From::Client, 20), 0, Flow::Open);
        while proxy.sprung() < 3 {
            drop(insert(&proxied, "g, maybe").await);
        }
        let mut found = ids(&direct).await;
        found.retain(|id| id != "g, maybe");
        assert_eq!(found, ["a", "b, the one that passes", "d", "e, without an answer"]);
    });
}

/// What the driver makes of servers that refuse.
#[test]
fn a_scripted_server_provokes_the_drivers_errors() {
    block_on(async {
        let error = async |script, person: &str| {
            let server = ScriptedServer::start(script);
            let options = "serverSelectionTimeoutMS=1000";
            let uri = format!("mongodb://{person}{}/?{options}", server.address());
            let client = Client::with_uri_str(uri).await.unwrap();
            insert(&client.database("any"), "a").await.unwrap_err()
        };
        let wrong = error(Script::NobodyIsLetIn, "bob:secret@").await;
        assert!(matches!(*wrong.kind, ErrorKind::Authentication { .. }), "{wrong:?}");
        let none = error(Script::NobodyIsLetIn, "").await;
        assert_eq!(code(&none), Some(13), "{none:?}");
        let old = error(Script::OldVersion, "").await;
        assert!(matches!(*old.kind, ErrorKind::ServerSelection { .. }), "{old:?}");
        assert!(old.to_string().contains("wire version 6"), "{old}");
        let stepped_down = error(Script::NotPrimary, "").await;
        assert_eq!(code(&stepped_down), Some(10107), "{stepped_down:?}");
        let full = error(Script::DiskFull, "").await;
        assert_eq!(code(&full), Some(14031), "{full:?}");
    });
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(why) => Some(why.code),
        _ => None,
    }
}
