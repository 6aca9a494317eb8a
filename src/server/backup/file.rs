//! The pieces of a backup. Each ends with a checksum over itself and the checksum before it, so
//! that a damaged, missing, repeated or moved piece shows, and the last one proves them all. It
//! must not know what rows mean.
//!
//! ```text
//! "rustchat backup 1\n"
//! kind (1 byte), length (4, big-endian), payload, BLAKE3 (32)   for each piece:
//!   1 head (JSON) · 2 rows (a page of a snapshot) … · 3 counts (JSON), the last
//! ```

use super::{BackupError, damaged};
use crate::limits;
use crate::store::record::Row;
use crate::wire::raft::SnapshotRows;
use bytes::{BufMut, Bytes, BytesMut};
use std::io::{ErrorKind, Read};

const TITLE: &[u8] = b"rustchat backup 1\n";
const SUM: usize = 32;
const KEY: &str = "rustchat 2026 backup file v1";

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is backed up.
    Head = 1,
    /// Some of it.
    Rows = 2,
    /// How much it was.
    Counts = 3,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Head, Self::Rows, Self::Counts].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The checksum so far.
struct Chain([u8; SUM]);

impl Chain {
    fn new() -> Self {
        Self(blake3::derive_key(KEY, TITLE))
    }

    fn next(&mut self, kind: u8, payload: &[u8]) -> [u8; SUM] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind]);
        hasher.update(&(payload.len() as u64).to_be_bytes());
        hasher.update(payload);
        self.0 = *hasher.finalize().as_bytes();
        self.0
    }
}

/// Makes pieces.
pub struct Writer {
    chain: Chain,
    /// Pieces made.
    pub pieces: u64,
}

impl Writer {
    /// Nothing is written yet.
    pub fn new() -> Self {
        Self { chain: Chain::new(), pieces: 0 }
    }

    /// The next piece; the first one with the title before it.
    pub fn piece(&mut self, kind: Kind, payload: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(TITLE.len() + payload.len() + SUM + 5);
        if self.pieces == 0 {
            out.put_slice(TITLE);
        }
        self.pieces += 1;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.put_u8(kind as u8);
        out.put_u32(length);
        out.put_slice(payload);
        out.put_slice(&self.chain.next(kind as u8, payload));
        out.freeze()
    }
}

/// Rows as a payload.
pub fn encode_rows(rows: Vec<Row>) -> Bytes {
    SnapshotRows { rows, ..SnapshotRows::default() }.encode()
}

/// The rows in a payload.
///
/// # Errors
/// It holds something else.
pub fn decode_rows(payload: Bytes) -> Result<Vec<Row>, BackupError> {
    SnapshotRows::decode(payload).map(|page| page.rows).map_err(damaged)
}

/// Reads pieces, each only when its checksum is right.
pub struct Reader<R> {
    from: R,
    chain: Chain,
    /// Pieces read.
    pub pieces: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the title.
    ///
    /// # Errors
    /// It is no backup, or cannot be read.
    pub fn new(from: R) -> Result<Self, BackupError> {
        let mut reader = Self { from, chain: Chain::new(), pieces: 0 };
        let title = reader.take::<{ TITLE.len() }>()?;
        if title != TITLE {
            return Err(damaged("it does not begin as a backup of format 1"));
        }
        Ok(reader)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => error.into(),
        })
    }

    /// The next piece.
    ///
    /// # Errors
    /// It is damaged, is not there, or cannot be read.
    pub fn piece(&mut self) -> Result<(Kind, Bytes), BackupError> {
        let number = self.pieces;
        let wrong = |what: &str| damaged(format_args!("piece {number} {what}"));
        let [kind] = self.take()?;
        let length = u32::from_be_bytes(self.take()?) as usize;
        let kind = Kind::from_number(kind).ok_or_else(|| wrong("is of no known kind"))?;
        if length > limits::BACKUP_PIECE {
            return Err(wrong("is too long"));
        }
        // Grows with what is there, not with what a damaged length promises.
        let mut payload = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut payload)?;
        if payload.len() < length {
            return Err(damaged("it ends too early"));
        }
        let sum = self.take::<SUM>()?;
        if sum != self.chain.next(kind as u8, &payload) {
            return Err(wrong("has another checksum"));
        }
        self.pieces += 1;
        Ok((kind, payload.into()))
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// Something does, or it cannot be read.
    pub fn end(&mut self) -> Result<(), BackupError> {
        let mut more = [0; 1];
        match self.from.read(&mut more)? {
            0 => Ok(()),
            _ => Err(damaged("something follows its end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{self, fuzz};
    use crate::wire::{random, stored};
    use rand::rngs::StdRng;

    fn whole(rng: &mut StdRng) -> Bytes {
        let rows = stored::rows(7, &random::write(rng));
        let mut writer = Writer::new();
        let pieces = [
            (Kind::Head, Bytes::from_static(b"{}")),
            (Kind::Rows, encode_rows(rows)),
            (Kind::Counts, Bytes::from_static(b"{}")),
        ];
        pieces.iter().flat_map(|(kind, payload)| writer.piece(*kind, payload)).collect()
    }

    /// Reads to the end; how many pieces there were.
    fn read(bytes: &[u8]) -> Result<u64, BackupError> {
        let mut reader = Reader::new(bytes)?;
        loop {
            match reader.piece()? {
                (Kind::Head, _) => {}
                (Kind::Rows, payload) => drop(decode_rows(payload)?),
                (Kind::Counts, _) => return reader.end().map(|()| reader.pieces),
            }
        }
    }

    #[test]
    fn no_bytes_make_a_backup_that_was_none() {
        fuzz("no_bytes_make_a_backup_that_was_none", |rng| {
            let good = whole(rng);
            assert_eq!(read(&good).unwrap(), 3);
            let bytes = fuzz::bytes(rng, |_| good.clone());
            let mut found = None;
            let held = fuzz::most_held(|| found = Some(read(&bytes)));
            assert!(held <= 64 * (bytes.len() as u64 + 4096), "{held} bytes for {}", bytes.len());
            assert!(bytes == good || !matches!(found, Some(Ok(_))), "damage went unnoticed");
        });
    }
}
