//! How a server comes to its store: at its start, and again when a database that
//! did not answer is back. It must not know what is kept there.

use super::config::{ServeError, ServerConfig, StoreSpec};
use crate::store::embedded::{self, Embedded};
use crate::store::mongo::{self, Mongo, Place};
use crate::store::{Store, StoreError};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Opens the store. `again`: this process had it open before.
///
/// # Errors
/// [`ServeError::Unavailable`] where it may be tried again; others are for good.
pub async fn open(config: &ServerConfig, again: bool) -> Result<Arc<dyn Store>, ServeError> {
    match &config.store {
        StoreSpec::Open(store) => {
            // One that cannot be written to is not back.
            store.persist().await?;
            Ok(Arc::clone(store))
        }
        StoreSpec::Embedded => {
            let mut config = config.clone();
            // What was joined with since then is not moved aside.
            config.rejoin &= !again;
            // Away from the tasks that must not wait for the disk.
            let opened = spawn_blocking(move || open_embedded(&config)).await;
            let failed = |why| ServeError::Failed(format!("opening the store: {why}"));
            Ok(Arc::new(opened.map_err(failed)??))
        }
        StoreSpec::Mongo(url) => Ok(Arc::new(open_mongo(config, url, again).await?)),
    }
}

async fn open_mongo(config: &ServerConfig, url: &str, again: bool) -> Result<Mongo, StoreError> {
    let place = Place {
        url: url.to_owned(),
        cluster_name: config.cluster_name.clone(),
        cluster: config.cluster,
        seat: config.seat,
    };
    if config.rejoin
        && !again
        && let Some(to) = mongo::move_aside(&place).await?
    {
        tracing::warn!(to, "moved the old data aside; joining anew");
    }
    mongo::open(&place).await
}

/// To rejoin, what is there is moved aside first: it must not be trusted with a vote.
fn open_embedded(config: &ServerConfig) -> Result<Embedded, StoreError> {
    let dir = &config.data;
    if config.rejoin && dir.try_exists()? {
        let moved = embedded::move_aside(dir)?;
        tracing::warn!(to = %moved.to.display(), "moved the old data aside; joining anew");
    }
    embedded::open_with(dir, config.seat, config.cluster, config.log_file_bytes)
}
