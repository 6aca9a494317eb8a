//! The guard's file: two slots, written in turn, each with a sequence number and
//! a checksum, so that a torn write leaves the other one. It must not know when it
//! is written.

use crate::chat::ids::ClusterId;
use crate::store::Identity;
use crate::store::record::{LogId, Vote};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a slot: a page, so that writing one never touches the other.
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"rcguard1";
/// Seats whose acknowledgements fit, more than a cluster has.
const SEATS: usize = 64;

/// What the log must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The cluster, once founded.
    pub(super) cluster: Option<ClusterId>,
    /// Its generation.
    pub(super) generation: u64,
    /// Of the directory.
    pub(super) incarnation: [u8; 16],
    /// The vote saved last.
    pub(super) vote: Option<Vote>,
    /// Index of the first entry, where the log ever had one.
    pub(super) start: Option<u64>,
    /// The last entry purged.
    pub(super) purged: Option<LogId>,
    /// The last entry known to be on disk.
    pub(super) last: Option<LogId>,
    /// The highest index acknowledged to, or by, each seat.
    pub(super) acknowledged: BTreeMap<u32, u64>,
}

impl Marks {
    /// The marks of a log that is empty.
    pub(super) fn fresh(identity: &Identity) -> Self {
        let mut marks = Self::default();
        marks.set_identity(identity);
        marks
    }

    /// Takes over what the identity says.
    pub(super) const fn set_identity(&mut self, identity: &Identity) {
        self.cluster = identity.cluster;
        self.generation = identity.generation;
        self.incarnation = identity.incarnation;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        option(out, self.cluster.as_ref(), |out, id| out.extend(id.0));
        out.extend(self.generation.to_be_bytes());
        out.extend(self.incarnation);
        option(out, self.vote.as_ref(), |out, vote| {
            out.extend(vote.term.to_be_bytes());
            out.extend(vote.node.to_be_bytes());
            out.push(u8::from(vote.committed));
        });
        option(out, self.start.as_ref(), |out, index| out.extend(index.to_be_bytes()));
        for id in [&self.purged, &self.last] {
            option(out, id.as_ref(), |out, id| {
                out.extend(id.term.to_be_bytes());
                out.extend(id.index.to_be_bytes());
            });
        }
        let seats = self.acknowledged.len().min(SEATS);
        out.extend((seats as u64).to_be_bytes());
        for (seat, index) in self.acknowledged.iter().take(SEATS) {
            out.extend(u64::from(*seat).to_be_bytes());
            out.extend(index.to_be_bytes());
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut marks = Self {
            cluster: read_option(input, |input| take(input).map(ClusterId))?,
            generation: number(input)?,
            incarnation: take(input)?,
            vote: read_option(input, |input| {
                let (term, node) = (number(input)?, number(input)?);
                Some(Vote { term, node, committed: take::<1>(input)? == [1] })
            })?,
            start: read_option(input, number)?,
            purged: read_option(input, log_id)?,
            last: read_option(input, log_id)?,
            acknowledged: BTreeMap::new(),
        };
        for _ in 0..number(input)? {
            let (seat, index) = (u32::try_from(number(input)?).ok()?, number(input)?);
            marks.acknowledged.insert(seat, index);
        }
        Some(marks)
    }
}

fn option<T>(out: &mut Vec<u8>, value: Option<&T>, encode: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        encode(out, value);
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*part)
}

fn number(input: &mut &[u8]) -> Option<u64> {
    take(input).map(u64::from_be_bytes)
}

fn log_id(input: &mut &[u8]) -> Option<LogId> {
    Some(LogId { term: number(input)?, index: number(input)? })
}

fn read_option<T>(
    input: &mut &[u8],
    decode: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Option<Option<T>> {
    match take::<1>(input)? {
        [0] => Some(None),
        [1] => decode(input).map(Some),
        _ => None,
    }
}

/// The file with its two slots.
pub(super) struct SlotFile {
    file: File,
    sequence: u64,
}

impl SlotFile {
    /// Makes the file with `marks` in it; the caller syncs the directory.
    pub(super) fn create(path: &Path, marks: &Marks) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        file.set_len(2 * SLOT as u64)?;
        let mut slots = Self { file, sequence: 0 };
        slots.write(marks)?;
        slots.file.sync_all()?;
        Ok(slots)
    }

    /// Opens the file and reads the newer slot; `None` where neither can be read.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Marks)>> {
        let Some((sequence, marks)) = Self::read(path)? else { return Ok(None) };
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Some((Self { file, sequence }, marks)))
    }

    /// Reads the newer slot.
    pub(super) fn read(path: &Path) -> io::Result<Option<(u64, Marks)>> {
        let bytes = std::fs::read(path)?;
        Ok(bytes.chunks(SLOT).take(2).filter_map(read_slot).max_by_key(|(sequence, _)| *sequence))
    }

    /// Writes the marks into the older slot and syncs it.
    pub(super) fn write(&mut self, marks: &Marks) -> io::Result<()> {
        self.sequence += 1;
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend(MAGIC);
        slot.extend(self.sequence.to_be_bytes());
        marks.encode(&mut slot);
        slot.resize(SLOT - 4, 0);
        slot.extend(crc32fast::hash(&slot).to_be_bytes());
        self.file.write_all_at(&slot, (self.sequence % 2) * SLOT as u64)?;
        self.file.sync_data()
    }
}

fn read_slot(slot: &[u8]) -> Option<(u64, Marks)> {
    let (mut body, sum) = slot.split_last_chunk::<4>()?;
    if slot.len() != SLOT || u32::from_be_bytes(*sum) != crc32fast::hash(body) {
        return None;
    }
    if take(&mut body)? != *MAGIC {
        return None;
    }
    Some((number(&mut body)?, Marks::decode(&mut body)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{self, fuzz};
    use bytes::Bytes;
    use rand::Rng;
    use rand::rngs::StdRng;

    fn marks(n: u64) -> Marks {
        Marks {
            cluster: Some(ClusterId([1; 16])),
            generation: 2,
            incarnation: [3; 16],
            vote: Some(Vote { term: n, node: 1001, committed: n.is_multiple_of(2) }),
            start: Some(5),
            purged: (n > 3).then_some(LogId { term: 1, index: 4 }),
            last: Some(LogId { term: n, index: 10 + n }),
            acknowledged: [(1, n), (3, n + 1)].into(),
        }
    }

    #[test]
    fn the_newer_slot_wins_and_a_torn_one_leaves_the_other() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("guard");
        let mut file = SlotFile::create(&path, &Marks::default()).unwrap();
        for n in 1..8 {
            file.write(&marks(n)).unwrap();
            assert_eq!(SlotFile::open(&path).unwrap().unwrap().1, marks(n));
        }
        let good = std::fs::read(&path).unwrap();
        // The last write has sequence 8 and lies in slot 0.
        for at in [0, 9, 100, SLOT - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(SlotFile::open(&path).unwrap().unwrap().1, marks(6), "byte {at}");
            bad[SLOT + at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            assert!(SlotFile::open(&path).unwrap().is_none(), "byte {at} of both");
        }
        for cut in [0, 1, SLOT - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(SlotFile::open(&path).unwrap().is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_much() {
        let whole = |rng: &mut StdRng| {
            let mut body = rng.random::<u64>().to_be_bytes().to_vec();
            marks(rng.random()).encode(&mut body);
            Bytes::from(body)
        };
        fuzz("no_bytes_make_it_panic_or_hold_much", |rng| {
            let bytes = fuzz::bytes(rng, whole);
            let mut read = None;
            let held = fuzz::most_held(|| {
                read = number(&mut &bytes[..]).and_then(|_| Marks::decode(&mut &bytes[8..]));
                drop(read_slot(&bytes));
            });
            assert!(held <= 8 * (bytes.len() as u64 + 512), "{held} bytes for {}", bytes.len());
            if let Some(marks) = read.filter(|marks| marks.acknowledged.len() <= SEATS) {
                let mut again = Vec::new();
                marks.encode(&mut again);
                assert_eq!(Marks::decode(&mut &again[..]), Some(marks));
            }
        });
    }
}
