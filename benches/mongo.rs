//! What a MongoDB server takes from its driver, without rustchat: the commands that servers with
//! the MongoDB store send for a stream of messages, in the same portions and order, and nothing
//! else. Beside `rustchat bench stream --store mongodb://…` it says what the rest costs.
//! `cargo bench --bench mongo -- --uri mongodb://…`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that fails may panic, and prints what it measured"
)]

mod shapes;
#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod town;

use clap::Parser;
use futures::future::{try_join, try_join_all};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use rustchat::limits;
use shapes::{Documents, int};
use std::process::ExitCode;
use std::time::Instant;
use tokio::sync::mpsc;
use town::{MESSAGES, Town, runtime};

/// Documents in one command, as in the store.
const DOCUMENTS: usize = 500;
/// Bytes of rows in one flush, as in the store.
const FLUSH: usize = 4 << 20;
/// People who write.
const SENDERS: usize = 1;

type Result<T> = std::result::Result<T, mongodb::error::Error>;

/// Writes a stream of messages to MongoDB as servers with the MongoDB store do, by the driver
/// alone, and prints one JSON object.
#[derive(Debug, Parser)]
struct Args {
    /// The server
    #[arg(long, env = "MONGODB_URI", value_name = "URI")]
    uri: Option<String>,
    /// Messages in all; they come in entries of 512
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    messages: usize,
    /// Databases that get all of them at once, one for each server of a cluster
    #[arg(long, value_name = "N", default_value_t = 3)]
    servers: usize,
    /// The documents of messages alone: without the log, and whatever else makes them count
    #[arg(long)]
    only_messages: bool,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A database that stands for one server.
struct Place {
    database: Database,
}

impl Place {
    async fn command(&self, command: Document) -> Result<()> {
        let reply = self.database.run_command(command).await?;
        assert!(!reply.contains_key("writeErrors"), "{reply}");
        assert!(!reply.contains_key("writeConcernError"), "{reply}");
        Ok(())
    }

    async fn insert(&self, collection: &str, documents: &[Document]) -> Result<()> {
        for chunk in documents.chunks(DOCUMENTS) {
            let command = doc! {
                "insert": collection, "documents": chunk.to_vec(), "ordered": false,
                "writeConcern": durable(),
            };
            self.command(command).await?;
        }
        Ok(())
    }

    /// Sets fields of the one document of a collection, as its owner.
    async fn set(&self, collection: &str, fields: &Document) -> Result<()> {
        let own = doc! { "_id": collection, "epoch": int(1) };
        let statement = doc! { "q": own, "u": { "$set": fields } };
        self.update(collection, statement).await
    }

    async fn update(&self, collection: &str, statement: Document) -> Result<()> {
        let command = doc! {
            "update": collection, "updates": [statement], "ordered": false,
            "writeConcern": durable(),
        };
        self.command(command).await
    }

    /// The collections and indexes as the store makes them.
    async fn prepare(&self) -> Result<()> {
        for only in ["node", "applied"] {
            self.insert(only, &[doc! { "_id": only, "epoch": int(1) }]).await?;
        }
        let keys = [
            ("number", doc! { "device": 1, "group": 1, "number": 1 }, true),
            ("entry", doc! { "entry": 1 }, false),
            ("unread", doc! { "to": 1, "read": 1 }, false),
        ];
        for (name, key, unique) in keys {
            let index = doc! { "name": name, "key": key, "unique": unique };
            let create = doc! { "createIndexes": "messages", "indexes": [index] };
            self.command(create).await?;
        }
        Ok(())
    }

    /// Entries that go into the log together, then how far it reaches.
    async fn append(&self, entries: &[Documents]) -> Result<()> {
        let documents: Vec<_> = entries.iter().map(|entry| entry.log.clone()).collect();
        self.insert("log", &documents).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        self.set("node", &doc! { "last": last.last.clone() }).await
    }

    /// The state after entries: messages and hashes, then the mark, then the small documents.
    async fn flush(&self, entries: &[Documents]) -> Result<()> {
        let Some(last) = entries.last() else { return Ok(()) };
        let hashes: Vec<_> = entries.iter().map(|entry| entry.hash.clone()).collect();
        try_join(self.messages(entries), self.insert("hashes", &hashes)).await?;
        self.set("applied", &last.applied).await?;
        let small = last.small.iter().map(|(collection, document)| {
            let older = doc! {
                "_id": document.get("_id").cloned(),
                "entry": { "$lte": document.get("entry").cloned() },
            };
            self.update(collection, doc! { "q": older, "u": document, "upsert": true })
        });
        try_join_all(small).await.map(drop)
    }

    async fn messages(&self, entries: &[Documents]) -> Result<()> {
        let all: Vec<_> = entries.iter().flat_map(|entry| entry.messages.clone()).collect();
        self.insert("messages", &all).await
    }

    /// All entries: the log in one task, and the state behind it in another, as far as the log is.
    /// When the log was complete, in seconds since `begin`.
    async fn stream(&self, all: &[Documents], begin: Instant) -> Result<f64> {
        let (tell, mut told) = mpsc::channel(all.len().max(1));
        let log = async move {
            let mut durable = 0;
            for group in all.chunks(limits::ENTRIES_IN_FLIGHT) {
                self.append(group).await?;
                durable += group.len();
                tell.send(durable).await.unwrap();
            }
            Ok(begin.elapsed().as_secs_f64())
        };
        let state = async {
            let mut done = 0;
            while let Some(mut durable) = told.recv().await {
                while let Ok(more) = told.try_recv() {
                    durable = more;
                }
                while done < durable {
                    let count = portion(&all[done..durable]);
                    self.flush(&all[done..done + count]).await?;
                    done += count;
                }
            }
            Ok(())
        };
        try_join(log, state).await.map(|(logged_s, ())| logged_s)
    }
}

/// What every write of the store waits for.
fn durable() -> Document {
    doc! { "w": "majority", "j": true }
}

/// How many of these entries one flush takes.
fn portion(entries: &[Documents]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.bytes;
        bytes <= FLUSH
    });
    fit.count().max(1)
}

async fn measure(uri: &str, args: &Args) -> Result<serde_json::Value> {
    let client = Client::with_uri_str(uri).await?;
    let (mut town, _) = Town::founded(SENDERS);
    let entries: Vec<_> =
        (0..args.messages.div_ceil(MESSAGES)).map(|_| shapes::of(&town.talk())).collect();
    let run = std::process::id();
    let place = |number| Place { database: client.database(&format!("driver_{run}_{number}")) };
    let places: Vec<_> = (1..=args.servers).map(place).collect();
    try_join_all(places.iter().map(Place::prepare)).await?;
    let begin = Instant::now();
    let logged_s = if args.only_messages {
        try_join_all(places.iter().map(|place| place.messages(&entries))).await?;
        None
    } else {
        let logged = try_join_all(places.iter().map(|place| place.stream(&entries, begin))).await?;
        logged.into_iter().reduce(f64::max)
    };
    let took_s = begin.elapsed().as_secs_f64();
    for place in &places {
        let stored = place.database.collection::<Document>("messages");
        let count = stored.count_documents(doc! {}).await?;
        assert_eq!(count, (entries.len() * MESSAGES) as u64, "all of them are there");
        place.database.drop().await?;
    }
    let messages = u32::try_from(entries.len() * MESSAGES).unwrap();
    Ok(serde_json::json!({
        "system": "mongodb driver", "messages": messages, "servers": args.servers,
        "only_messages": args.only_messages, "logged_s": logged_s, "took_s": took_s,
        "messages_per_s": f64::from(messages) / took_s,
    }))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(uri) = &args.uri else {
        // No failure: a plain `cargo bench` comes here too.
        eprintln!("mongo: left out, for no server is named: set MONGODB_URI, or -- --uri URI");
        return ExitCode::SUCCESS;
    };
    match runtime().block_on(measure(uri, &args)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("mongo: {why}");
            ExitCode::from(69)
        }
    }
}
