//! A store, and the state at one applied index, as the bytes of a backup: a piece at a time, so
//! that memory does not grow with the history, and the store goes on meanwhile. It must not know
//! where the bytes go.

use super::BackupError;
use super::file::{Kind, Writer, encode_rows};
use super::manifest::{self, Counts, FORMAT, Head};
use crate::chat::ids::ConversationId;
use crate::chat::write::{Meta, Write};
use crate::limits;
use crate::store::Store;
use crate::store::record::{Mark, Row, Table};
use crate::wire::stored;
use bytes::Bytes;
use futures::Stream;
use std::io;
use std::sync::Arc;

/// What is not in the store.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Milliseconds of UNIX time.
    pub at_ms: u64,
    /// Of a stopped server.
    pub offline: bool,
    /// Nobody asked a majority.
    pub stale: bool,
}

/// The bytes of a backup, in order.
pub struct Source {
    store: Arc<dyn Store>,
    writer: Writer,
    counts: Counts,
    /// What it begins with.
    head: Head,
    step: Step,
    state: std::vec::IntoIter<Row>,
}

enum Step {
    Head,
    History(Option<(u64, ConversationId)>),
    State,
    Ended,
}

impl Source {
    /// The backup of `state` at `mark`, with the history below it.
    ///
    /// # Errors
    /// There is no cluster yet.
    pub fn new(
        store: Arc<dyn Store>,
        mark: &Mark,
        state: Vec<Row>,
        about: &About,
    ) -> Result<Self, BackupError> {
        let nothing = || BackupError::Refused("there is no cluster yet: nothing to back up".into());
        let applied = mark.applied.ok_or_else(nothing)?;
        let meta = state.iter().find(|row| row.table == Table::Meta).and_then(meta_of);
        let meta = meta.ok_or_else(nothing)?;
        let head = Head {
            applied: applied.into(),
            at_ms: about.at_ms,
            cluster: meta.cluster.to_string(),
            cluster_name: meta.name,
            format: FORMAT,
            generation: meta.generation,
            hash: manifest::hex(&mark.hash),
            members: manifest::members(mark),
            offline: about.offline,
            seat: store.identity().seat,
            stale: about.stale,
            store: store.kind().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Self {
            store,
            writer: Writer::new(),
            counts: Counts::default(),
            head,
            step: Step::Head,
            state: state.into_iter(),
        })
    }

    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// The store cannot be read: the backup is of no use then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        match self.step {
            Step::Head => {
                self.step = Step::History(None);
                let head = json(&self.head)?;
                Ok(Some(self.writer.piece(Kind::Head, &head)))
            }
            Step::History(after) => {
                let upto = self.head.applied.index;
                let page = self.store.export(after, upto, limits::SNAPSHOT_PAGE).await?;
                let Some((rows, place)) = page else {
                    self.step = Step::State;
                    return Ok(Some(self.state_piece()?));
                };
                self.step = Step::History(Some(place));
                rows.iter().try_for_each(|row| count(&mut self.counts, row))?;
                Ok(Some(self.writer.piece(Kind::Rows, &encode_rows(rows))))
            }
            Step::State => Ok(Some(self.state_piece()?)),
            Step::Ended => Ok(None),
        }
    }

    /// A page of the small state, or the counts.
    fn state_piece(&mut self) -> Result<Bytes, BackupError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < limits::SNAPSHOT_PAGE {
            let Some(row) = self.state.next() else { break };
            count(&mut self.counts, &row)?;
            bytes += row.key.len() + row.value.len();
            rows.push(row);
        }
        if rows.is_empty() {
            self.step = Step::Ended;
            self.counts.pieces = self.writer.pieces;
            let counts = json(&self.counts)?;
            return Ok(self.writer.piece(Kind::Counts, &counts));
        }
        Ok(self.writer.piece(Kind::Rows, &encode_rows(rows)))
    }

    /// The same as a stream; it ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::unfold(Some(self), |source| async {
            let mut source = source?;
            match source.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(source))),
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(%error, "a backup ends early");
                    Some((Err(io::Error::other(error)), None))
                }
            }
        })
    }
}

fn json(document: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(io::Error::other)
}

/// The cluster that a row of its table describes, once it is founded.
pub fn meta_of(row: &Row) -> Option<Meta> {
    match stored::write_of(row) {
        Ok(Write::Meta(meta)) if meta.generation > 0 => Some(meta),
        _ => None,
    }
}

/// Counts a row.
///
/// # Errors
/// A row of history cannot be read.
pub fn count(counts: &mut Counts, row: &Row) -> Result<(), BackupError> {
    match row.table {
        Table::History => {
            let (runs, _) = stored::decode_runs(row.value.clone()).map_err(super::damaged)?;
            counts.messages += runs.iter().map(crate::chat::message::Run::count).sum::<u64>();
            counts.history_rows += 1;
        }
        Table::SentIndex | Table::HistoryIndex | Table::Exports => counts.history_rows += 1,
        table => {
            counts.state_rows += 1;
            counts.users += u64::from(table == Table::Users);
            counts.devices += u64::from(table == Table::Devices);
            counts.conversations += u64::from(table == Table::Conversations);
        }
    }
    Ok(())
}
