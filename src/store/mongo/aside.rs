//! Moves a node's data aside within its database, so that it can join its cluster anew; and
//! removes databases that were made for a measurement. It must not know what data is.

use super::db::Db;
use super::fields::{NODE, Reading, flag};
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
