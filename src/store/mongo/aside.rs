//! Moves a node's data aside within its database, so that it can join its cluster anew; and
//! removes databases that were made for a measurement. It must not know what data is.

use super::db::Db;
use super::fields::{self, NODE, Reading, flag};
use super::{Place, database_name, owner};
use crate::store::StoreError;
use mongodb::bson::doc;

/// What collections that were moved aside begin with.
const ASIDE: &str = "aside_";

/// Gives every collection of the node another name, the node's own last: a process that ends
/// in between leaves data that no server starts with. Says what the names begin with; `None`
/// where there was nothing.
///
/// # Errors
/// As [`super::open`].
pub async fn move_aside(place: &Place) -> Result<Option<String>, StoreError> {
    let db = Db::new(Db::parse(&place.url).await?, &database_name(place))?;
    if db.one(NODE, doc! {}, doc! {}).await?.is_none() {
        return Ok(None);
    }
    let node = owner::claim(&db, place.seat, place.cluster).await?;
    let epoch = Reading { collection: NODE, document: &node }.number("epoch")?;
    let prefix = format!("{ASIDE}{epoch}_");
    let mut names = db.collections().await?;
    names.retain(|name| !name.starts_with(ASIDE) && !name.starts_with("system."));
    // "log" before "node": without its log the node's promises cannot be kept, and it is refused.
    names.sort_by_key(|name| name == NODE);
    for name in names {
        db.rename(&name, &format!("{prefix}{name}")).await?;
    }
    Ok(Some(format!("{}.{prefix}", db.name())))
}

/// Whether a node may be made in the database: there is none, and nothing of another program
/// that would get into its way.
///
/// # Errors
/// As [`super::open`].
pub async fn is_empty(place: &Place) -> Result<bool, StoreError> {
    let db = Db::new(Db::parse(&place.url).await?, &database_name(place))?;
    let names = db.collections().await?;
    Ok(names.iter().all(|name| name.starts_with(ASIDE) || name.starts_with("system.")))
}

/// Documents copied at a time.
const COPY: usize = 500;

/// Copies every collection of the node, before something is done that cannot be undone. Says
/// what the names of the copies begin with.
///
/// # Errors
/// As [`super::open`]; `NotOurs` where there is nothing.
pub async fn copy_aside(place: &Place) -> Result<String, StoreError> {
    let db = Db::new(Db::parse(&place.url).await?, &database_name(place))?;
    let Some(found) = db.one(NODE, doc! {}, doc! {}).await? else {
        return Err(StoreError::NotOurs(format!("database {} holds no rustchat data", db.name())));
    };
    let seat = owner::identity(&found)?.seat;
    let node = owner::claim(&db, seat, place.cluster).await?;
    let epoch = Reading { collection: NODE, document: &node }.number("epoch")?;
    let prefix = format!("{ASIDE}{epoch}_");
    let mut names = db.collections().await?;
    names.retain(|name| !name.starts_with(ASIDE) && !name.starts_with("system."));
    for name in names {
        let (mut filter, to) = (doc! {}, format!("{prefix}{name}"));
        loop {
            let page = db.page(&name, filter, doc! { "_id": 1 }, COPY).await?;
            let Some(last) = page.last() else { break };
            filter = doc! { "_id": { "$gt": last.get("_id").cloned() } };
            db.insert(&to, page).await?;
        }
    }
    // Who opens it next need not wait for this process to fall silent.
    let own = doc! { "_id": owner::ID, "epoch": fields::int(epoch) };
    db.modify(NODE, own, doc! { "$set": { "released": true } }).await?;
    Ok(format!("{}.{prefix}", db.name()))
}

/// Removes a node's database, unless a process uses it.
///
/// # Errors
/// As [`super::open`].
pub async fn remove(place: &Place) -> Result<(), StoreError> {
    let db = Db::new(Db::parse(&place.url).await?, &database_name(place))?;
    let node = db.one(NODE, doc! {}, doc! {}).await?;
    if node.is_none_or(|node| flag(&node, "released")) {
        return db.remove().await;
    }
    owner::claim(&db, place.seat, place.cluster).await?;
    db.remove().await
}
