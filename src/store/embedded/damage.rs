//! Damages the files of a closed store in every way we know, opens it again, and
//! expects all that was acknowledged or a refusal: never silently less.

use super::dir::{GUARD, LOG, STATE};
use super::{Embedded, recover};
use crate::store::record::{LogEntry, LogId, Vote};
use crate::store::samples::{Sample, append, entry, take};
use crate::store::{Store, StoreError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// So small that the log of a test has several files.
const CHUNK: usize = 6000;

pub(super) fn open(dir: &Path) -> Result<Embedded, StoreError> {
    recover::open(dir, 1, None, CHUNK)
}

/// What a store held when it was closed.
#[derive(Clone, Debug, PartialEq)]
struct Promise {
    vote: Option<Vote>,
    entries: Vec<LogEntry>,
}

async fn promise(store: &Embedded) -> Promise {
    Promise { vote: store.vote(), entries: store.read(0, u64::MAX).await.unwrap() }
}

/// A closed store whose log has several files, and votes in each of them.
async fn filled(dir: &Path) -> Promise {
    let store = open(dir).unwrap();
    let mut index = 0;
    for term in 1..=8 {
        let vote = Vote { term, node: 1 + term % 3, committed: term % 2 == 0 };
        store.save_vote(vote).await.unwrap();
        for _ in 0..12 {
            let next = index + 4;
            append(&store, (index..next).map(|i| entry(term, i)).collect()).await.unwrap();
            index = next;
        }
        if term % 3 == 0 {
            index -= 3;
            store.truncate(index).await.unwrap();
        }
    }
    let promise = promise(&store).await;
    store.close().await.unwrap();
    assert!(chunks(dir).len() >= 4, "{} files", chunks(dir).len());
    promise
}

fn chunks(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join(LOG)).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// Offsets at which the records of a chunk end.
fn boundaries(path: &Path) -> Vec<u64> {
    use raft_log::codeq::OffsetSize as _;
    use raft_log::{Dump, DumpApi as _};
    let config = super::records::config(path.parent().unwrap(), CHUNK).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut ends = vec![0];
    Dump::<super::records::Records>::new(config)
        .unwrap()
        .write_with(|chunk, _, record| {
            if raft_log::chunked_wal::Config::chunk_file_name(chunk) == name {
                ends.push(record.unwrap().0.end().0);
            }
            Ok(())
        })
        .unwrap();
    ends
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    AllData,
    Refused,
}

/// Opens the store and says what became of it; panics where it opened with less.
async fn outcome(dir: &Path, promise: &Promise, what: &str) -> Outcome {
    match open(dir) {
        Ok(store) => {
            assert_eq!(self::promise(&store).await, *promise, "{what}: opened with less");
            append(&store, vec![entry(99, promise.entries.len() as u64)]).await.unwrap();
            Outcome::AllData
        }
        Err(StoreError::Corrupt(message)) => {
            assert!(message.contains("rustchat serve --rejoin"), "{what}: {message}");
            // A refusal is for ever: trying again must not help.
            let second = open(dir).map(|_| "opened");
            assert!(matches!(second, Err(StoreError::Corrupt(_))), "{what}: then {second:?}");
            Outcome::Refused
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

type Damage = (&'static str, Outcome, fn(&Path));

fn newest(dir: &Path) -> PathBuf {
    chunks(dir).pop().unwrap()
}

/// The middle record of the newest chunk: where it starts.
fn middle(path: &Path) -> usize {
    let ends = boundaries(path);
    ends[ends.len() / 2] as usize
}

/// The last record but those after it: where it starts.
fn last_record(path: &Path) -> usize {
    let ends = boundaries(path);
    ends[ends.len() - 2] as usize
}

/// Every row of the table in the study of the log, and the files around it.
const TABLE: &[Damage] = &[
    ("nothing", Outcome::AllData, |_| ()),
    ("older chunk: a bit", Outcome::Refused, |dir| edit(&chunks(dir)[1], |b| b[700] ^= 4)),
    ("older chunk: 512 bytes zero", Outcome::Refused, |dir| {
        edit(&chunks(dir)[1], |b| b[1024..1536].fill(0));
    }),
    ("older chunk: tail cut", Outcome::Refused, |dir| {
        edit(&chunks(dir)[1], |b| b.truncate(b.len() - 20));
    }),
    ("older chunk: cut at a record", Outcome::Refused, |dir| {
        let at = middle(&chunks(dir)[1]);
        edit(&chunks(dir)[1], |b| b.truncate(at));
    }),
    ("older chunk: tail zeroed", Outcome::Refused, |dir| {
        edit(&chunks(dir)[1], |b| {
            let n = b.len();
            b[n - 300..].fill(0);
        });
    }),
    ("older chunk: empty", Outcome::Refused, |dir| edit(&chunks(dir)[1], Vec::clear)),
    ("oldest chunk: empty", Outcome::Refused, |dir| edit(&chunks(dir)[0], Vec::clear)),
    ("last chunk but one: empty", Outcome::Refused, |dir| {
        let all = chunks(dir);
        edit(&all[all.len() - 2], Vec::clear);
    }),
    ("newest: a payload bit", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at + 30] ^= 1);
    }),
    ("newest: a type bit", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at + 3] ^= 2);
    }),
    ("newest: 512 bytes zero", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at..at + 512].fill(0));
    }),
    ("newest: length + 64", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at + 23] ^= 64);
    }),
    ("newest: length past the end", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at + 20] ^= 64);
    }),
    ("newest: zeroed from a record on", Outcome::Refused, |dir| {
        let at = middle(&newest(dir));
        edit(&newest(dir), |b| b[at..].fill(0));
    }),
    ("newest: zeroed from within a record on", Outcome::Refused, |dir| {
        let at = middle(&newest(dir)) + 9;
        edit(&newest(dir), |b| b[at..].fill(0));
    }),
    ("newest: all zero", Outcome::Refused, |dir| edit(&newest(dir), |b| b.fill(0))),
    ("newest: empty", Outcome::Refused, |dir| edit(&newest(dir), Vec::clear)),
    ("last record: a payload bit", Outcome::Refused, |dir| {
        let at = last_record(&newest(dir));
        edit(&newest(dir), |b| b[at + 26] ^= 1);
    }),
    ("last record: a length bit", Outcome::Refused, |dir| {
        let at = last_record(&newest(dir));
        edit(&newest(dir), |b| b[at + 20] ^= 1);
    }),
    ("tail cut in a record", Outcome::Refused, |dir| {
        edit(&newest(dir), |b| b.truncate(b.len() - 3));
    }),
    ("tail cut to half the file", Outcome::Refused, |dir| {
        edit(&newest(dir), |b| b.truncate(b.len() / 2));
    }),
    ("tail cut at a record", Outcome::Refused, |dir| {
        let at = last_record(&newest(dir));
        edit(&newest(dir), |b| b.truncate(at));
    }),
    ("garbage appended", Outcome::AllData, |dir| {
        edit(&newest(dir), |b| b.extend((0..4096_u32).map(|n| (n * 7 + 1) as u8)));
    }),
    ("zeros appended", Outcome::AllData, |dir| edit(&newest(dir), |b| b.extend([0; 4096]))),
    ("newest chunk deleted", Outcome::Refused, |dir| fs::remove_file(newest(dir)).unwrap()),
    ("first chunk deleted", Outcome::Refused, |dir| fs::remove_file(&chunks(dir)[0]).unwrap()),
    ("middle chunk deleted", Outcome::Refused, |dir| fs::remove_file(&chunks(dir)[2]).unwrap()),
    ("all chunks deleted", Outcome::Refused, |dir| {
        chunks(dir).iter().for_each(|path| fs::remove_file(path).unwrap());
    }),
    ("log deleted", Outcome::Refused, |dir| fs::remove_dir_all(dir.join(LOG)).unwrap()),
    ("guard deleted", Outcome::Refused, |dir| fs::remove_file(dir.join(GUARD)).unwrap()),
    ("guard zeroed", Outcome::Refused, |dir| edit(&dir.join(GUARD), |b| b.fill(0))),
    ("identity deleted", Outcome::Refused, |dir| fs::remove_file(dir.join("identity")).unwrap()),
    ("identity damaged", Outcome::Refused, |dir| edit(&dir.join("identity"), |b| b[60] ^= 1)),
];

#[tokio::test]
async fn every_known_damage_is_refused_or_harmless() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    let promise = filled(&whole).await;
    for (number, (what, expected, damage)) in TABLE.iter().enumerate() {
        let dir = temp.path().join(number.to_string());
        copy(&whole, &dir);
        damage(&dir);
        assert_eq!(outcome(&dir, &promise, what).await, *expected, "{what}");
    }
}

/// One random damage; says what it did.
fn damage_at_random(dir: &Path, rng: &mut StdRng) -> String {
    let files = chunks(dir);
    let path = &files[rng.random_range(0..files.len())];
    let length = fs::metadata(path).unwrap().len();
    let at = rng.random_range(0..length);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    match rng.random_range(0..6) {
        0 => {
            let bit = rng.random_range(0..8);
            edit(path, |b| b[at as usize] ^= 1 << bit);
            format!("bit {bit} of byte {at} of {name}")
        }
        1 => {
            let to = (at + rng.random_range(1..2000)).min(length);
            edit(path, |b| b[at as usize..to as usize].fill(0));
            format!("{at}..{to} of {name} zeroed")
        }
        2 => {
            OpenOptions::new().write(true).open(path).unwrap().set_len(at).unwrap();
            format!("{name} cut at {at}")
        }
        3 => {
            let ends = boundaries(path);
            let at = ends[rng.random_range(0..ends.len() - 1)];
            OpenOptions::new().write(true).open(path).unwrap().set_len(at).unwrap();
            format!("{name} cut at the record at {at}")
        }
        4 => {
            edit(path, |b| b[at as usize..].iter_mut().for_each(|b| *b = rng.random()));
            format!("garbage from {at} of {name} on")
        }
        _ => {
            fs::remove_file(path).unwrap();
            format!("{name} deleted")
        }
    }
}

#[tokio::test]
async fn random_damage_is_refused_or_harmless() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    let promise = filled(&whole).await;
    let first = seed();
    let mut refused = 0;
    for seed in first..first + 150 {
        let dir = temp.path().join("damaged");
        copy(&whole, &dir);
        let what = damage_at_random(&dir, &mut StdRng::seed_from_u64(seed));
        let what = format!("{what} (again: SEED={seed})");
        refused += u32::from(outcome(&dir, &promise, &what).await == Outcome::Refused);
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(refused > 100, "most damage is noticed, {refused} of 150");
}

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// With a guard that lags behind, as after a crash, a damaged tail is cut: what the guard
/// promises stays, and what stays is a prefix.
#[tokio::test]
async fn a_torn_tail_behind_the_guard_is_cut() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    let store = open(&whole).unwrap();
    append(&store, (0..30).map(|i| entry(1, i)).collect()).await.unwrap();
    store.close().await.unwrap();
    let guard = fs::read(whole.join(GUARD)).unwrap();
    let store = open(&whole).unwrap();
    append(&store, (30..60).map(|i| entry(1, i)).collect()).await.unwrap();
    let all = promise(&store).await.entries;
    store.close().await.unwrap();
    fs::write(whole.join(GUARD), guard).unwrap();
    let (mut cut, first) = (0, seed());
    for seed in first..first + 60 {
        let dir = temp.path().join("torn");
        copy(&whole, &dir);
        let path = newest(&dir);
        let what = damage_at_random(&dir, &mut StdRng::seed_from_u64(seed));
        match open(&dir) {
            Ok(store) => {
                let kept = promise(&store).await.entries;
                assert!(kept.len() >= 30 && all.starts_with(&kept), "{what}, SEED={seed}");
                append(&store, vec![entry(1, kept.len() as u64)]).await.unwrap();
                cut += u32::from(kept.len() < all.len());
            }
            Err(StoreError::Corrupt(_)) => (),
            Err(other) => panic!("{what}, SEED={seed}: {other} ({})", path.display()),
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(cut > 10, "some tails are cut, {cut} of 60");
}

#[tokio::test]
async fn log_and_state_must_fit_together() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, early) = (temp.path().join("whole"), temp.path().join("early"));
    let mut sample = Sample::new();
    let store = open(&whole).unwrap();
    take(&store, sample.found()).await.unwrap();
    store.close().await.unwrap();
    copy(&whole, &early);
    let store = open(&whole).unwrap();
    for _ in 0..20 {
        take(&store, sample.send(&["hello"])).await.unwrap();
    }
    store.close().await.unwrap();
    let mix = |name: &str, log_of: &Path, state_of: &Path| {
        let dir = temp.path().join(name);
        copy(log_of, &dir);
        fs::remove_dir_all(dir.join(STATE)).unwrap();
        copy(&state_of.join(STATE), &dir.join(STATE));
        open(&dir)
    };
    let ahead = mix("ahead", &early, &whole);
    assert!(matches!(ahead, Err(StoreError::Corrupt(m)) if m.contains("the state has applied")));
    let behind = mix("behind", &whole, &early).unwrap();
    assert_eq!(behind.mark().applied, Some(LogId { term: 1, index: 0 }), "the log brings the rest");
    let store = open(&whole).unwrap();
    store.purge(LogId { term: 1, index: 10 }).await.unwrap();
    store.close().await.unwrap();
    let purged = mix("purged", &whole, &early);
    assert!(matches!(purged, Err(StoreError::Corrupt(m)) if m.contains("was purged to")));
    // A snapshot was installed, but the process died before the log was purged.
    let store = open(&early).unwrap();
    store.begin_import(true).await.unwrap();
    store.install(sample.mark.clone(), sample.rows()).await.unwrap();
    store.close().await.unwrap();
    let store = open(&early).unwrap();
    assert_eq!(store.bounds().last, sample.mark.applied);
    append(&store, vec![entry(1, 21)]).await.unwrap();
}

/// After a write that failed nothing is written any more, and nobody is told otherwise.
#[tokio::test]
async fn a_failed_write_is_the_last_one() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).unwrap();
    append(&store, vec![entry(1, 0)]).await.unwrap();
    // The next file of the log can then not be made.
    fs::remove_dir_all(temp.path().join(LOG)).unwrap();
    let mut index = 1;
    let error = loop {
        match append(&store, vec![entry(1, index)]).await {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
        assert!(index < 1000, "no write fails");
    };
    assert!(matches!(error, StoreError::Io(_)), "{error}");
    fs::create_dir_all(temp.path().join(LOG)).unwrap();
    let vote = Vote { term: 2, node: 1, committed: false };
    assert!(matches!(store.save_vote(vote).await, Err(StoreError::Io(_))));
    assert!(matches!(append(&store, vec![entry(1, index + 1)]).await, Err(StoreError::Io(_))));
    assert!(matches!(store.truncate(0).await, Err(StoreError::Io(_))));
    let mut sample = Sample::new();
    let step = sample.found();
    assert!(matches!(
        store.commit(step.mark, step.writes, step.rows).await,
        Err(StoreError::Io(_))
    ));
    assert!(matches!(store.close().await, Err(StoreError::Io(_))));
}

#[tokio::test]
async fn a_directory_is_refused_to_strangers() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).unwrap();
    let second = open(temp.path());
    assert!(
        matches!(second, Err(StoreError::NotOurs(m)) if m.contains("another rustchat process"))
    );
    store.close().await.unwrap();
    let seat = recover::open(temp.path(), 2, None, CHUNK);
    assert!(matches!(seat, Err(StoreError::NotOurs(m)) if m.contains("seat 1")));
    let two = temp.path().join("two");
    drop(open(&two).unwrap());
    fs::copy(two.join(GUARD), temp.path().join(GUARD)).unwrap();
    assert!(matches!(open(temp.path()), Err(StoreError::Corrupt(_))), "another's guard");
    let mut file = File::create(temp.path().join("identity")).unwrap();
    file.write_all(b"nonsense").unwrap();
    assert!(matches!(open(temp.path()), Err(StoreError::Corrupt(_))));
}
