//! Commands to the database: each write with the write concern that a promise needs, and
//! each asked again, under the same ids, for a bounded time where its outcome is unknown. It
//! must not know what the documents mean.

use super::fields::{self, DUPLICATE};
use crate::limits::{STORE_ATTEMPT, STORE_PATIENCE};
use crate::store::StoreError;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Database};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// The wait before something is asked again, at first; it doubles up to the longest.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_millis(500);
/// Documents in one command.
const DOCUMENTS: usize = 500;
/// Bytes of documents in one command; the server takes 48 MB.
const BYTES: usize = 12 << 20;

/// The driver itself gives up a little earlier than a question: it knows why.
const DRIVER: Duration = Duration::from_millis(1500);

/// The server's code for a collection that is not there.
const NO_SUCH_COLLECTION: i32 = 26;

/// A database.
pub(super) struct Db {
    client: Client,
    database: Database,
    /// Where it is, for people.
    hosts: String,
    #[cfg(test)]
    pub(super) tap: super::tap::Tap,
}

/// Why an attempt came to nothing.
enum Trouble {
    /// The outcome is unknown, or it may work later: ask again.
    Again(String),
    /// Asking again is of no use.
    Final(StoreError),
}

/// What an update came to.
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Documents that matched, or were made.
    pub matched: u64,
    /// Statements that would have made a document which is there, and does not match.
    pub there: Vec<usize>,
}

/// Says where a database is, without the password.
fn shown(options: &ClientOptions) -> String {
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}

impl Db {
    /// Reads the URL, makes no connection yet. `name` is the database's name where the URL has
    /// none.
    ///
    /// # Errors
    /// `NotOurs` where the URL makes no sense.
    pub(super) async fn parse(url: &str) -> Result<ClientOptions, StoreError> {
        let wrong = |e: Error| StoreError::NotOurs(format!("--store: {}", text(&e)));
        let mut options = ClientOptions::parse(url).await.map_err(wrong)?;
        options.app_name.get_or_insert_with(|| "rustchat".to_owned());
        options.connect_timeout.get_or_insert(DRIVER);
        options.server_selection_timeout.get_or_insert(DRIVER);
        options.read_concern.get_or_insert_with(ReadConcern::majority);
        Ok(options)
    }

    /// The database that the options name, else `name`.
    ///
    /// # Errors
    /// `NotOurs` where the options make no sense.
    pub(super) fn new(options: ClientOptions, name: &str) -> Result<Self, StoreError> {
        let name = options.default_database.clone().unwrap_or_else(|| name.to_owned());
        let hosts = shown(&options);
        tracing::debug!(hosts, database = name, "the database");
        let client = Client::with_options(options)
            .map_err(|e| StoreError::NotOurs(format!("--store: {}", text(&e))))?;
        let database = client.database(&name);
        Ok(Self {
            client,
            database,
            hosts,
            #[cfg(test)]
            tap: super::tap::Tap::default(),
        })
    }

    /// The database's name.
    pub(super) fn name(&self) -> &str {
        self.database.name()
    }

    /// Asks until there is an answer, for at most [`STORE_PATIENCE`].
    async fn persistently<T, F>(&self, attempt: impl Fn() -> F + Send) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Trouble>> + Send,
        T: Send,
    {
        let (start, mut wait) = (Instant::now(), AGAIN);
        loop {
            let left = STORE_PATIENCE.saturating_sub(start.elapsed());
            let answer = timeout(left.min(STORE_ATTEMPT), attempt()).await;
            let why = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Trouble::Final(error))) => return Err(error),
                Ok(Err(Trouble::Again(why))) => why,
                Err(_) => "it does not answer".to_owned(),
            };
            if start.elapsed() + wait >= STORE_PATIENCE {
                let place = format!("database {} at {}", self.name(), self.hosts);
                return Err(StoreError::Unavailable(format!("{why} ({place})")));
            }
            tracing::debug!(why, "the database is asked again");
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Runs a command, until there is an answer.
    pub(super) async fn command(&self, command: &Document) -> Result<Document, StoreError> {
        let raw = RawDocumentBuf::try_from(command).map_err(unencodable)?;
        #[cfg(test)]
        self.tap.awake(command).await;
        self.persistently(|| async {
            #[cfg(test)]
            self.tap.pass(command).map_err(Trouble::Final)?;
            let reply = self.database.run_raw_command(raw.clone()).await.map_err(trouble)?;
            match reply.get_document("writeConcernError") {
                Ok(error) => Err(Trouble::Again(said(error))),
                Err(_) => checked(reply),
            }
        })
        .await
    }

    /// The names of all collections.
    pub(super) async fn collections(&self) -> Result<Vec<String>, StoreError> {
        let list = || async { self.database.list_collection_names().await.map_err(trouble) };
        self.persistently(list).await
    }

    /// Gives a collection another name.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let full = |name: &str| format!("{}.{name}", self.name());
        let command = doc! {
            "renameCollection": full(from), "to": full(to), "writeConcern": fields::durable(),
        };
        let admin = self.client.database("admin");
        let rename = || async {
            match admin.run_command(command.clone()).await {
                Ok(_) => Ok(()),
                // An earlier attempt, whose answer was lost, has renamed it.
                Err(error) if code(&error) == Some(NO_SUCH_COLLECTION) => Ok(()),
                Err(error) => Err(trouble(error)),
            }
        };
        self.persistently(rename).await
    }

    /// Deletes the whole database.
    pub(super) async fn remove(&self) -> Result<(), StoreError> {
        self.persistently(|| async { self.database.drop().await.map_err(trouble) }).await
    }

    /// Inserts documents; returns the places of those whose `_id` was there already.
    pub(super) async fn insert(
        &self,
        collection: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<usize>, StoreError> {
        let mut there = Vec::new();
        let mut first = 0;
        for chunk in chunks(documents)? {
            let count = chunk.len();
            let command = doc! {
                "insert": collection, "documents": chunk, "ordered": false,
                "writeConcern": fields::durable(),
            };
            let reply = self.command(&command).await?;
            there.extend(duplicates(&reply).into_iter().map(|at| first + at));
            first += count;
        }
        Ok(there)
    }

    /// Updates documents by statements `{q, u, upsert, multi}`.
    pub(super) async fn update(
        &self,
        collection: &str,
        statements: Vec<Document>,
    ) -> Result<Updated, StoreError> {
        let mut updated = Updated::default();
        let mut first = 0;
        for chunk in chunks(statements)? {
            let count = chunk.len();
            let command = doc! {
                "update": collection, "updates": chunk, "ordered": false,
                "writeConcern": fields::durable(),
            };
            let reply = self.command(&command).await?;
            updated.matched += fields::number(&reply, "n").unwrap_or(0);
            updated.there.extend(duplicates(&reply).into_iter().map(|at| first + at));
            first += count;
        }
        Ok(updated)
    }

    /// Deletes what `filter` matches.
    pub(super) async fn delete(
        &self,
        collection: &str,
        filter: Document,
    ) -> Result<(), StoreError> {
        let command = doc! {
            "delete": collection, "deletes": [{"q": filter, "limit": 0}],
            "writeConcern": fields::durable(),
        };
        self.command(&command).await.map(drop)
    }

    /// Changes the one document that `filter` matches; what it is afterwards, if one matched.
    pub(super) async fn modify(
        &self,
        collection: &str,
        filter: Document,
        update: Document,
    ) -> Result<Option<Document>, StoreError> {
        let command = doc! {
            "findAndModify": collection, "query": filter, "update": update, "new": true,
            "writeConcern": fields::durable(),
        };
        let reply = self.command(&command).await?;
        Ok(reply.get_document("value").ok().cloned())
    }

    /// Documents that `filter` matches, in the order of `sort`, up to and with the first that
    /// `until` makes a check for says yes to; with it whether one did.
    pub(super) async fn find_until<U>(
        &self,
        collection: &str,
        filter: Document,
        sort: Document,
        until: impl Fn() -> U + Send + Sync,
    ) -> Result<(Vec<Document>, bool), StoreError>
    where
        U: FnMut(&Document) -> bool + Send,
    {
        let collection = self.database.collection::<Document>(collection);
        self.persistently(|| async {
            let (mut found, mut until) = (Vec::new(), until());
            let cursor = collection.find(filter.clone()).sort(sort.clone()).await;
            let mut cursor = cursor.map_err(trouble)?;
            while let Some(document) = cursor.try_next().await.map_err(trouble)? {
                let last = until(&document);
                found.push(document);
                if last {
                    return Ok((found, true));
                }
            }
            Ok((found, false))
        })
        .await
    }

    /// All documents that `filter` matches, in the order of `sort`.
    pub(super) async fn find(
        &self,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Vec<Document>, StoreError> {
        let found = self.find_until(collection, filter, sort, || |_: &Document| false).await?;
        Ok(found.0)
    }

    /// The first `count` documents that `filter` matches, in the order of `sort`.
    pub(super) async fn page(
        &self,
        collection: &str,
        filter: Document,
        sort: Document,
        count: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let until = || {
            let mut seen = 0;
            move |_: &Document| {
                seen += 1;
                seen >= count
            }
        };
        Ok(self.find_until(collection, filter, sort, until).await?.0)
    }

    /// The first document that `filter` matches.
    pub(super) async fn one(
        &self,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Option<Document>, StoreError> {
        let collection = self.database.collection::<Document>(collection);
        let find = || async {
            let found = collection.find_one(filter.clone()).sort(sort.clone()).await;
            found.map_err(trouble)
        };
        self.persistently(find).await
    }
}

/// Documents in portions that a command can take.
fn chunks(documents: Vec<Document>) -> Result<Vec<Vec<Document>>, StoreError> {
    let (mut all, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for document in documents {
        let size = RawDocumentBuf::try_from(&document).map_err(unencodable)?.as_bytes().len();
        if chunk.len() >= DOCUMENTS || (bytes + size > BYTES && !chunk.is_empty()) {
            all.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += size;
        chunk.push(document);
    }
    if !chunk.is_empty() {
        all.push(chunk);
    }
    Ok(all)
}

fn unencodable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a document cannot be encoded: {error}"))
}

/// Places of the documents or statements that were refused because the `_id` is there.
fn duplicates(reply: &Document) -> Vec<usize> {
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let places = errors.iter().filter_map(Bson::as_document);
    let places = places.filter_map(|error| fields::number(error, "index"));
    places.filter_map(|at| usize::try_from(at).ok()).collect()
}

/// Refuses a reply with errors other than duplicate ids.
fn checked(reply: Document) -> Result<Document, Trouble> {
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let mut errors = errors.iter().filter_map(Bson::as_document);
    match errors.find(|error| fields::number(error, "code") != Some(DUPLICATE)) {
        Some(error) => Err(Trouble::Again(said(error))),
        None => Ok(reply),
    }
}

fn said(error: &Document) -> String {
    let code = fields::number(error, "code").unwrap_or(0);
    let message = error.get_str("errmsg").unwrap_or("no reason was given");
    format!("it refuses a write: {message} (code {code})")
}

/// Sorts an error of the driver by what to do.
fn trouble(error: Error) -> Trouble {
    let why = text(&error);
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => Trouble::Final(refused(&why)),
        // 13: not allowed, 18: authentication failed.
        ErrorKind::Command(command) if matches!(command.code, 13 | 18) => {
            Trouble::Final(refused(&why))
        }
        ErrorKind::IncompatibleServer { .. } => Trouble::Final(incompatible(&why)),
        ErrorKind::ServerSelection { message, .. } if message.contains("reports wire version") => {
            Trouble::Final(incompatible(&why))
        }
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => {
            Trouble::Final(StoreError::NotOurs(format!("--store: {why}")))
        }
        _ => Trouble::Again(why),
    }
}

fn refused(why: &str) -> StoreError {
    StoreError::NotOurs(format!(
        "the database refuses this user or password: {why}; check the URL given with --store or \
         in nodes.conf, and the user's rights on the database"
    ))
}

fn incompatible(why: &str) -> StoreError {
    StoreError::NotOurs(format!("the database is too old: {why} Use MongoDB 4.4 or newer"))
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// What happened, without the driver's own wrapping.
fn text(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => format!("{} (code {})", command.message, command.code),
        kind => kind.to_string(),
    }
}
