//! A server's database, read with the driver alone, as a person with a shell would. It must
//! not know what documents are in it.

use super::node::Node;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use tokio::runtime::Runtime;

/// A database.
pub struct Documents {
    runtime: Runtime,
    database: mongodb::Database,
}

impl Documents {
    /// Those of a server that keeps its data in a database.
    pub fn of(node: &Node) -> Self {
        let url = node.store().unwrap_or_else(|| panic!("server {} has no database", node.seat));
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Client::with_uri_str(url)).unwrap();
        let database = client.default_database().expect("the URL names a database");
        Self { runtime, database }
    }

    /// Those that `filter` matches, in order of `_id`.
    pub fn find(&self, collection: &str, filter: Document) -> Vec<Document> {
        use futures::TryStreamExt as _;
        let collection = self.database.collection::<Document>(collection);
        self.runtime.block_on(async {
            let found = collection.find(filter).sort(doc! { "_id": 1 }).await.unwrap();
            found.try_collect().await.unwrap()
        })
    }

    /// The only one of its collection.
    #[track_caller]
    pub fn only(&self, collection: &str) -> Document {
        let mut all = self.find(collection, doc! {});
        assert_eq!(all.len(), 1, "{collection}: {all:?}");
        all.remove(0)
    }

    /// The names of all collections, in order.
    pub fn collections(&self) -> Vec<String> {
        let mut names = self.runtime.block_on(async {
            let names = self.database.list_collection_names().await;
            names.unwrap()
        });
        names.sort();
        names
    }

    /// Empties a collection.
    pub fn empty(&self, collection: &str) {
        let collection = self.database.collection::<Document>(collection);
        self.runtime.block_on(async { collection.delete_many(doc! {}).await }).unwrap();
    }

    /// Drops all of it.
    pub fn drop_all(&self) {
        self.runtime.block_on(async { self.database.drop().await }).unwrap();
    }
}
