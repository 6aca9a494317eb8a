//! A snapshot that is received. Its messages come in pages: into place where the history only
//! grows, beside it where they replace it. Then one write makes the snapshot count, and what
//! remains to be done can be done again from what the database holds. It must not know where
//! a snapshot comes from.

use super::applied::{self, Install};
use super::documents::Directory;
use super::exports;
use super::fields::{EXPORTS, HASHES, INCOMING, INCOMING_EXPORTS, INCOMING_STATE, MESSAGES, SMALL};
use super::flush::{self, Flush};
use super::messages;
use crate::chat::write::{Kind, Write};
use crate::store::StoreError;
use crate::store::record::{Mark, Row};
use crate::store::tables::unreadable;
use crate::wire::stored;
use mongodb::bson::{Bson, Document, doc};
use std::sync::{Mutex, PoisonError};

/// Messages copied at a time.
const COPY: usize = 2000;

/// Where the messages of a snapshot that is being received go.
#[derive(Debug)]
pub(super) struct Importing(Mutex<Install>);

impl Default for Importing {
    fn default() -> Self {
        Self(Mutex::new(Install::InPlace))
    }
}

impl Importing {
    fn get(&self) -> Install {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, install: Install) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = install;
    }
}

impl Flush {
    /// Deletes documents, if this process still owns them.
    async fn clear(&self, collection: &str, filter: Document) -> Result<(), StoreError> {
        self.lease.confirm(&self.db).await?;
        self.db.delete(collection, filter).await
    }

    /// Deletes what an unfinished snapshot left.
    pub(super) async fn forget_import(&self) -> Result<(), StoreError> {
        for collection in [MESSAGES, EXPORTS] {
            self.clear(collection, doc! { "imported": true }).await?;
        }
        self.clear(INCOMING, doc! {}).await?;
        self.clear(INCOMING_EXPORTS, doc! {}).await
    }

    /// See [`crate::store::Store::begin_import`].
    pub(super) async fn begin_import(
        &self,
        importing: &Importing,
        all: bool,
    ) -> Result<(), StoreError> {
        self.state.persist().await?;
        let _quiet = self.names.lock().await;
        applied::set(&self.db, &self.lease, doc! { "importing": true }).await?;
        self.forget_import().await?;
        // Nobody is told anything before there are messages.
        let empty = self.db.one(MESSAGES, doc! {}, doc! {}).await?.is_none();
        importing.set(if all && !empty { Install::Replace } else { Install::InPlace });
        Ok(())
    }

    /// See [`crate::store::Store::import`].
    pub(super) async fn import(
        &self,
        importing: &Importing,
        rows: &[Row],
    ) -> Result<(), StoreError> {
        let mut documents = flush::messages_in(rows.iter(), &Directory::default())?;
        for document in &mut documents {
            // The names come with the state, at the end.
            ["from", "to", "read"].iter().for_each(|field| drop(document.remove(field)));
            document.insert("imported", true);
        }
        let mut told = exports::documents_in(rows.iter())?;
        told.iter_mut().for_each(|document| drop(document.insert("imported", true)));
        let (messages, exports) = match importing.get() {
            Install::InPlace => (MESSAGES, EXPORTS),
            Install::Replace => (INCOMING, INCOMING_EXPORTS),
        };
        self.db.insert(messages, documents).await?;
        self.db.insert(exports, told).await.map(drop)
    }

    /// See [`crate::store::Store::install`].
    pub(super) async fn install(
        &self,
        importing: &Importing,
        mark: Mark,
        state: &[Row],
    ) -> Result<(), StoreError> {
        self.state.persist().await?;
        let mut names = self.names.lock().await;
        let install = importing.get();
        self.clear(INCOMING_STATE, doc! {}).await?;
        self.db.insert(INCOMING_STATE, applied::numbered(state)).await?;
        let mut fields = applied::flush_fields(&mark, &[]);
        fields.insert("importing", false);
        fields.insert(
            "install",
            match install {
                Install::InPlace => "in_place",
                Install::Replace => "replace",
            },
        );
        applied::set(&self.db, &self.lease, fields).await?;
        *names = self.finish_install(install, &mark).await?;
        importing.set(Install::InPlace);
        self.state.replaced(mark);
        Ok(())
    }

    /// Does what a snapshot that counts has to do, from the beginning.
    pub(super) async fn finish_install(
        &self,
        install: Install,
        mark: &Mark,
    ) -> Result<Directory, StoreError> {
        let staged = self.db.find(INCOMING_STATE, doc! {}, doc! { "_id": 1 }).await?;
        let rows = applied::rows(INCOMING_STATE, &staged)?;
        let mut names = Directory::default();
        let mut cursors = Vec::new();
        for row in &rows {
            let write = stored::write_of(row).map_err(unreadable)?;
            names.learn(&write);
            if matches!(write, Write::Mark(_)) {
                cursors.push(write);
            }
        }
        for collection in SMALL {
            self.clear(collection, doc! {}).await?;
        }
        let entry = mark.applied.map_or(0, |id| id.index);
        self.write_small(&rows, entry, &mut names).await?;
        match install {
            Install::Replace => self.replace_messages(&names).await?,
            Install::InPlace => {
                self.name_messages(&names).await?;
                self.place_exports().await?;
            }
        }
        // Only now all of them are there.
        names.forget_marked();
        self.mark_read(&cursors, &mut names).await?;
        if let Some(hash) = flush::hash_document(mark) {
            let same = doc! { "_id": hash.get("_id").cloned() };
            let statement = doc! { "q": same, "u": hash, "upsert": true };
            self.db.update(HASHES, vec![statement]).await?;
        }
        applied::set(&self.db, &self.lease, doc! { "install": Bson::Null }).await?;
        for collection in [INCOMING, INCOMING_EXPORTS, INCOMING_STATE] {
            self.clear(collection, doc! {}).await?;
        }
        Ok(names)
    }

    /// Gives imported messages the names that people look for.
    async fn name_messages(&self, names: &Directory) -> Result<(), StoreError> {
        let mut statements = Vec::new();
        for (room, kind, members) in names.rooms() {
            for member in members {
                let theirs = doc! {
                    "conversation": room.to_string(), "imported": true,
                    "from_id": member.to_string(),
                };
                let mut fields = doc! {
                    "from": names.name(*member), "to": names.recipients(room, *member),
                };
                if kind == Kind::Direct {
                    fields.insert("read", false);
                }
                let named = doc! { "$set": fields, "$unset": { "imported": "" } };
                statements.push(doc! { "q": theirs, "u": named, "multi": true });
            }
        }
        self.db.update(MESSAGES, statements).await.map(drop)
    }

    /// Imported exports are like all others.
    async fn place_exports(&self) -> Result<(), StoreError> {
        let placed = doc! { "$unset": { "imported": "" } };
        let statement = doc! { "q": { "imported": true }, "u": placed, "multi": true };
        self.db.update(EXPORTS, vec![statement]).await.map(drop)
    }

    /// Replaces all messages and exports by those of the snapshot.
    async fn replace_messages(&self, names: &Directory) -> Result<(), StoreError> {
        for collection in [MESSAGES, EXPORTS, HASHES] {
            self.clear(collection, doc! {}).await?;
        }
        self.copy(INCOMING, MESSAGES, |document| named(document, names)).await?;
        let placed = |mut document: Document| {
            document.remove("imported");
            Ok(document)
        };
        self.copy(INCOMING_EXPORTS, EXPORTS, placed).await
    }

    async fn copy(
        &self,
        from: &str,
        to: &str,
        change: impl Fn(Document) -> Result<Document, StoreError> + Send + Sync,
    ) -> Result<(), StoreError> {
        let mut filter = doc! {};
        loop {
            let page = self.db.page(from, filter, doc! { "_id": 1 }, COPY).await?;
            let Some(last) = page.last() else { return Ok(()) };
            filter = doc! { "_id": { "$gt": last.get("_id").cloned() } };
            let changed: Result<Vec<Document>, StoreError> =
                page.into_iter().map(&change).collect();
            self.db.insert(to, changed?).await?;
        }
    }
}

fn named(mut document: Document, names: &Directory) -> Result<Document, StoreError> {
    let place = messages::place(&document)?;
    document.remove("imported");
    messages::address(&mut document, place.conversation, place.sender, names);
    Ok(document)
}
