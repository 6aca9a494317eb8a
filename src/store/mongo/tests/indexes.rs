//! Every query that the store makes is backed by an index: by the fields that indexes have,
//! and by what the server says where it explains its plans.

use super::commands::watched;
use crate::chat::ids::Group;
use crate::store::Store;
use crate::store::mongo::testing::Database;
use crate::store::samples::{EAST, Sample, append, device, take};
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;

/// Commands that search nothing.
const OTHERS: [&str; 4] = ["insert", "createIndexes", "listIndexes", "getMore"];
/// What a plan says that reads a whole collection.
const SCAN: &str = "COLLSCAN";

/// Something that is looked for.
#[derive(Clone, Debug)]
struct Query {
    collection: String,
    filter: Document,
    sort: Document,
}

impl Query {
    fn new(collection: &str, filter: &Document, sort: Option<&Document>) -> Self {
        let sort = sort.cloned().unwrap_or_default();
        Self { collection: collection.to_owned(), filter: filter.clone(), sort }
    }

    /// Two of one shape have the same plan.
    fn shape(&self) -> String {
        let fields: Vec<_> = self.filter.keys().collect();
        format!("{}: {fields:?} {}", self.collection, self.sort)
    }

    /// Whether an index with these fields finds it, in the order that is asked for: all its
    /// fields are asked for, or what is asked for are its first ones.
    fn backed_by(&self, index: &[String]) -> bool {
        let first = index.iter().take_while(|field| self.filter.contains_key(field)).count();
        let finds = first == index.len() || first == self.filter.len();
        finds && self.sort.keys().zip(index).all(|(by, field)| by == field)
    }
}

/// What a command looks for.
fn queries(command: &Document) -> Vec<Query> {
    let (name, collection) = command.iter().next().unwrap();
    let collection = collection.as_str().unwrap_or_default();
    let part = |field: &str| command.get_document(field).cloned().unwrap_or_default();
    let each = |field: &str| {
        let all = command.get_array(field).unwrap().iter();
        let all = all.map(|one| one.as_document().unwrap().get_document("q").unwrap());
        all.map(|filter| Query::new(collection, filter, None)).collect()
    };
    match name.as_str() {
        "find" => vec![Query::new(collection, &part("filter"), Some(&part("sort")))],
        "findAndModify" => vec![Query::new(collection, &part("query"), None)],
        "update" => each("updates"),
        "delete" => each("deletes"),
        other => {
            assert!(OTHERS.contains(&other), "what does it look for? {command}");
            vec![]
        }
    }
}

/// All that a store does, in several lives.
async fn live(database: &Database) -> BTreeMap<String, Query> {
    let mut all = BTreeMap::new();
    let mut sample = Sample::new();
    for all_anew in [true, false] {
        let first = sample.mark.applied.is_none();
        let (store, commands) = watched(database).await;
        if first {
            take(&store, sample.found()).await.unwrap();
            take(&store, sample.link()).await.unwrap();
        }
        take(&store, sample.send(&["one", "two", "three"])).await.unwrap();
        take(&store, sample.read_by_bob(2)).await.unwrap();
        take(&store, sample.tell(&["four", "five"])).await.unwrap();
        store.persist().await.unwrap();
        assert!(!store.exports(EAST, 2, 1000).await.unwrap().is_empty());
        let room = sample.conversation();
        assert!(!store.history(room, 2, 3, 1000).await.unwrap().is_empty());
        assert!(store.sent_index(device(1), Group::default(), 2).await.unwrap().is_some());
        let last = sample.mark.applied.unwrap();
        assert!(store.hash_at(last.index - 1).await.unwrap().is_some());
        let exported = store.export(None, u64::MAX, 1 << 20).await.unwrap().unwrap().0;
        store.load().await.unwrap();

        // An entry in place of one that an earlier process left, a cut, a purge, a snapshot.
        let step = sample.clone().send(&["cut off"]);
        let index = step.entry.id.index;
        leave_entry(database, index).await;
        append(&store, vec![step.entry]).await.unwrap();
        store.truncate(index).await.unwrap();
        store.purge(last).await.unwrap();
        let rows = if all_anew { exported } else { sample.tell(&["by snapshot"]).rows };
        store.begin_import(all_anew).await.unwrap();
        store.import(rows).await.unwrap();
        store.install(sample.mark.clone(), sample.rows()).await.unwrap();
        store.save_vote(Default::default()).await.unwrap();
        store.begin_import(false).await.unwrap();
        store.close().await.unwrap();
        let commands = commands.lock().unwrap();
        let found = commands.iter().flat_map(queries);
        all.extend(found.map(|query| (query.shape(), query)));
    }
    all
}

/// Leaves an entry above the log's end, as a process does that ends while it writes.
async fn leave_entry(database: &Database, index: u64) {
    let client = mongodb::Client::with_uri_str(&database.url).await.unwrap();
    let log = client.default_database().unwrap().collection::<Document>("log");
    let entry = doc! { "_id": index.cast_signed(), "epoch": 1_i64, "term": 1_i64 };
    log.insert_one(entry).await.unwrap();
}

/// The fields of every index of a collection, in their order.
async fn indexes(database: &mongodb::Database, collection: &str) -> Vec<Vec<String>> {
    let collection = database.collection::<Document>(collection);
    let found: Vec<_> = collection.list_indexes().await.unwrap().try_collect().await.unwrap();
    found.into_iter().map(|index| index.keys.keys().cloned().collect()).collect()
}

/// The plan for a query; `None` of a server that explains nothing.
async fn plan(database: &mongodb::Database, query: &Query) -> Option<Document> {
    let Query { collection, filter, sort } = query;
    let find = doc! { "find": collection, "filter": filter.clone(), "sort": sort.clone() };
    let explain = doc! { "explain": find, "verbosity": "queryPlanner" };
    let answer = match database.run_command(explain).await {
        Ok(answer) => answer,
        Err(why) => {
            // 59: it does not know the command.
            assert!(why.to_string().contains("59"), "{why}");
            return None;
        }
    };
    let planner = answer.get_document("queryPlanner").ok()?;
    planner.get_document("winningPlan").ok().cloned()
}

fn scans(plan: &Document) -> bool {
    Bson::Document(plan.clone()).to_string().contains(SCAN)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_backed_by_an_index() {
    let database = Database::fresh();
    let queries = live(&database).await;
    let client = mongodb::Client::with_uri_str(&database.url).await.unwrap();
    let database = client.default_database().unwrap();
    let mut seen = Vec::new();
    for (shape, query) in &queries {
        // Who asks for everything, in no order, gets it without an index.
        if query.filter.is_empty() && query.sort.is_empty() {
            continue;
        }
        seen.push(query.collection.as_str());
        let indexes = indexes(&database, &query.collection).await;
        assert!(indexes.iter().any(|index| query.backed_by(index)), "{shape} by {indexes:?}");
        if let Some(plan) = plan(&database, query).await {
            assert!(!scans(&plan), "{shape}: {plan}");
        }
    }
    assert!(queries.values().any(|q| q.collection == "log" && q.filter.contains_key("epoch")));
    for collection in ["messages", "exports", "log", "hashes", "node", "applied", "cursors"] {
        assert!(seen.contains(&collection), "{collection} is not among {seen:?}");
    }

    // What people ask for.
    let unread = Query::new("messages", &doc! { "to": "bob", "read": false }, None);
    let messages = indexes(&database, "messages").await;
    assert!(messages.iter().any(|index| unread.backed_by(index)), "{messages:?}");
    // And one that has no index, for comparison.
    let other = Query::new("messages", &doc! { "text": "one" }, None);
    assert!(!messages.iter().any(|index| other.backed_by(index)), "{messages:?}");
    let told = plan(&database, &other).await;
    assert!(told.is_none_or(|plan| scans(&plan)), "a plan without an index is a scan");
}
