//! The tail of the state's journal after a loss of power. `fjall` writes its journal
//! without a sync, so what was written last may be there in part, pages out of order:
//! it drops some such tails and refuses others. Here the newest journal is cut behind
//! its last whole batch; what is missing then comes again from the log. It must not
//! know what the rows mean.

use crate::store::StoreError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Ends a batch; the last byte is the version of the format.
const TRAILER: [u8; 4] = *b"FJL\x03";
/// No row is as long as that.
const LONGEST: usize = 64 << 20;

/// Cuts a torn tail off the newest journal in `dir`.
///
/// # Errors
/// `Corrupt` where an older journal is damaged: what follows it must not be applied.
pub(super) fn cut_torn_tail(dir: &Path) -> Result<(), StoreError> {
    let journals = journals(dir)?;
    let Some((newest, older)) = journals.split_last() else { return Ok(()) };
    for path in older {
        if let (_, false) = whole_batches(path)? {
            return Err(StoreError::Corrupt(format!(
                "{} is damaged; bring this node back with `rustchat serve --rejoin`",
                path.display()
            )));
        }
    }
    if let (good, false) = whole_batches(newest)? {
        tracing::warn!(
            path = %newest.display(), keep = good,
            "the state's journal ends in a torn write, which is cut; the log has what it held"
        );
        let file = OpenOptions::new().write(true).open(newest)?;
        file.set_len(good)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The journals, oldest first.
fn journals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let files = match fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for file in files {
        let path = file?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|e| e == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Where the last whole batch ends, and whether only zeros follow: a journal's file is made
/// longer than what is in it.
fn whole_batches(path: &Path) -> io::Result<(u64, bool)> {
    let mut input = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut good, mut buffer) = (0, Vec::new());
    while let Some(length) = batch(&mut input, &mut buffer)? {
        good += length;
    }
    input.seek(SeekFrom::Start(good))?;
    let zeros = vec![0; 1 << 16];
    buffer.resize(zeros.len(), 0);
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok((good, true));
        }
        if buffer.get(..read) != zeros.get(..read) {
            return Ok((good, false));
        }
    }
}

/// Length of the batch that begins here; `None` where no whole one does.
fn batch(input: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
    buffer.clear();
    // Tag 1, number of rows, age.
    if !take(input, buffer, 13)? || buffer.first() != Some(&1) {
        return Ok(None);
    }
    let Some(mut rows) = number(buffer, 1, 4) else { return Ok(None) };
    let (mut length, mut sum) = (13, Xxh3::new());
    loop {
        buffer.clear();
        if !take(input, buffer, 1)? {
            return Ok(None);
        }
        let there = match buffer.first() {
            Some(2) if rows > 0 => take_row(input, buffer)?,
            Some(4) if rows > 0 => take(input, buffer, 8)?,
            Some(3) if rows == 0 => {
                let there = take(input, buffer, 12)?;
                let right = number(buffer, 1, 8) == Some(sum.digest() as usize)
                    && buffer.get(9..) == Some(&TRAILER);
                return Ok((there && right).then_some(length + 13));
            }
            _ => false,
        };
        if !there {
            return Ok(None);
        }
        rows -= 1;
        sum.update(buffer);
        length += buffer.len() as u64;
    }
}

/// Reads a row behind its tag: kind, compression, keyspace, lengths of key, value and value as
/// it is stored, key, value.
fn take_row(input: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    if !take(input, buffer, 20)? {
        return Ok(false);
    }
    match (number(buffer, 11, 2), number(buffer, 17, 4)) {
        (Some(key), Some(value)) if value <= LONGEST => take(input, buffer, key + value),
        _ => Ok(false),
    }
}

/// Reads `count` bytes more; false where the file ends before.
fn take(input: &mut impl Read, buffer: &mut Vec<u8>, count: usize) -> io::Result<bool> {
    let read = input.take(count as u64).read_to_end(buffer)?;
    Ok(read == count)
}

/// A little-endian number of `bytes` bytes.
fn number(buffer: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let part = buffer.get(at..at + bytes)?;
    Some(part.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::super::damage::{copy, open};
    use super::super::dir::STATE;
    use super::*;
    use crate::chat::write::Write;
    use crate::store::Store;
    use crate::store::record::Mark;
    use crate::store::samples::{Sample, take, texts};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const ENTRIES: usize = 40;

    /// The state after each entry.
    async fn filled(dir: &Path) -> (Sample, Vec<(Mark, Vec<Write>)>) {
        let store = open(dir).unwrap();
        let mut sample = Sample::new();
        let mut states = vec![(Mark::default(), Vec::new())];
        for n in 0..ENTRIES {
            let text = "long ".repeat(n * 40);
            let step = if n == 0 { sample.found() } else { sample.send(&[&text]) };
            take(&store, step).await.unwrap();
            states.push((sample.mark.clone(), store.load().await.unwrap()));
        }
        store.close().await.unwrap();
        // Most of the file is only there to be filled; without it, it is copied faster.
        let path = journals(&dir.join(STATE)).unwrap().pop().unwrap();
        let (good, _) = whole_batches(&path).unwrap();
        OpenOptions::new().write(true).open(path).unwrap().set_len(good + 8192).unwrap();
        (sample, states)
    }

    /// Damages the used part of the journal as a loss of power may, or worse.
    fn damage(dir: &Path, rng: &mut StdRng) -> String {
        let path = journals(&dir.join(STATE)).unwrap().pop().unwrap();
        let (good, whole) = whole_batches(&path).unwrap();
        assert!(whole && good > 10_000, "{good} bytes");
        let mut bytes = fs::read(&path).unwrap();
        let at = rng.random_range(0..good as usize);
        let what = match rng.random_range(0..4) {
            0 => {
                bytes[at] ^= 1 << rng.random_range(0..8);
                "bit"
            }
            1 => {
                bytes[at..].fill(0);
                "zero from"
            }
            2 => {
                let page = at & !4095;
                bytes[page..page + 4096].fill(0);
                "page"
            }
            _ => {
                bytes.truncate(at);
                "cut"
            }
        };
        fs::write(&path, bytes).unwrap();
        format!("{what} at {at} of {good}")
    }

    #[tokio::test]
    async fn a_torn_journal_is_cut_and_the_log_brings_the_rest() {
        let temp = tempfile::tempdir().unwrap();
        let whole = temp.path().join("whole");
        let (sample, states) = filled(&whole).await;
        let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        let mut refused = 0;
        for seed in first..first + 40 {
            let dir = temp.path().join("torn");
            copy(&whole, &dir);
            let what = damage(&dir, &mut StdRng::seed_from_u64(seed));
            let store = match open(&dir) {
                Ok(store) => store,
                Err(StoreError::Corrupt(_)) => {
                    refused += 1;
                    fs::remove_dir_all(&dir).unwrap();
                    continue;
                }
                Err(other) => panic!("{what} (SEED={seed}): {other}"),
            };
            let mark = store.mark();
            let at = states.iter().position(|(known, _)| *known == mark);
            let at = at.unwrap_or_else(|| panic!("{what} (SEED={seed}): {mark:?}"));
            assert_eq!(store.load().await.unwrap(), states[at].1, "{what} (SEED={seed})");
            // The log still has every entry from there on: applied again, all is as before.
            assert_eq!(store.read(at as u64, u64::MAX).await.unwrap().len(), ENTRIES - at);
            let mut again = Sample::new();
            for n in 0..ENTRIES {
                let text = "long ".repeat(n * 40);
                let step = if n == 0 { again.found() } else { again.send(&[&text]) };
                store.commit(step.mark, step.writes, step.rows).await.unwrap();
            }
            assert_eq!(store.mark(), sample.mark);
            let page = store.history(sample.conversation(), 1, u64::MAX, 1 << 24).await.unwrap();
            assert_eq!(texts(page).len(), ENTRIES - 1, "{what} (SEED={seed})");
            store.close().await.unwrap();
            fs::remove_dir_all(&dir).unwrap();
        }
        assert_eq!(refused, 0, "nothing was written out of the journal yet, so all can be cut");
    }
}
