//! Databases of a test's own, on the server that the tests use.

use super::{Mongo, Place, open_with};
use crate::store::StoreError;
use crate::store::mongo::db::Db;
use crate::store::mongo::fields::NODE;
use crate::support::mongod;
use mongodb::bson::Document;
pub(in crate::store) use mongodb::bson::doc;
use mongodb::options::ClientOptions;

/// A database of a test's own; dropped by the server's end, or by the next run's name.
pub(in crate::store) struct Database {
    /// Where it is.
    pub(in crate::store) url: String,
}

impl Database {
    /// An empty one.
    pub(in crate::store) fn fresh() -> Self {
        Self { url: mongod::fresh_database("store") }
    }

    /// The place of a node's data.
    pub(in crate::store) fn place(&self, seat: u32) -> Place {
        Place { url: self.url.clone(), cluster_name: "test".into(), cluster: None, seat }
    }

    /// Opens the store of a node.
    pub(in crate::store) async fn open(&self, seat: u32) -> Result<Mongo, StoreError> {
        super::open(&self.place(seat)).await
    }

    /// Says that the process that holds it has ended, as a later one finds out by itself where
    /// it can look for that process.
    pub(in crate::store) async fn declare_free(&self) {
        let client = mongodb::Client::with_uri_str(&self.url).await.unwrap();
        let node = client.default_database().unwrap().collection::<Document>(NODE);
        node.update_one(doc! {}, doc! { "$set": { "released": true } }).await.unwrap();
    }

    /// Deletes a document, or changes fields of it, as somebody with a shell might.
    pub(in crate::store) async fn edit(
        &self,
        collection: &str,
        filter: Document,
        change: Option<Document>,
    ) {
        let client = mongodb::Client::with_uri_str(&self.url).await.unwrap();
        let collection = client.default_database().unwrap().collection::<Document>(collection);
        let count = match change {
            Some(fields) => {
                let update = doc! { "$set": fields };
                collection.update_one(filter, update).await.unwrap().modified_count
            }
            None => collection.delete_one(filter).await.unwrap().deleted_count,
        };
        assert_eq!(count, 1);
    }

    /// Opens it with other options.
    pub(in crate::store) async fn open_with(
        &self,
        change: impl FnOnce(&mut ClientOptions),
    ) -> Result<Mongo, StoreError> {
        let mut options = Db::parse(&self.url).await?;
        change(&mut options);
        open_with(options, &self.place(1)).await
    }
}
