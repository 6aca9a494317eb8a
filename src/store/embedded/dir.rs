//! The data directory: its lock, the identity file, and moving it aside. It must
//! not know what lies in `log/` and `state/`.
//!
//! ```text
//! identity   whose data this is; written last when a directory is made
//! lock       held by the process that uses the directory
//! guard      what this node promised to remember (guard.rs)
//! log/       the Raft log (log.rs)
//! state/     the applied state (state.rs)
//! ```

use crate::chat::ids::{ClusterId, DeviceId};
use crate::store::{Identity, StoreError};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const IDENTITY: &str = "identity";
const LOCK: &str = "lock";
/// The guard's file.
pub(super) const GUARD: &str = "guard";
/// The log's directory.
pub(super) const LOG: &str = "log";
/// The state's directory.
pub(super) const STATE: &str = "state";
const TITLE: &str = "rustchat data directory, format 1";

/// A data directory that was moved out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    /// Where it is now.
    pub to: PathBuf,
    /// Whose data it holds, where that can still be read.
    pub identity: Option<Identity>,
}

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub(in crate::store) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a process that is being started may still have
        // a copy of it. Where it fails, that closing unlocks.
        drop(self.0.unlock());
    }
}

/// What a directory holds.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing, or what an interrupted creation left.
    Nothing,
    /// A node's data.
    Data(Identity),
}

/// The error for data that is less, or other, than what was promised.
pub(super) fn corrupt(dir: &Path, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!(
        "{}: {what}. This node must not vote with it. `rustchat serve --rejoin` moves the \
         directory aside and fetches everything from the other servers",
        dir.display()
    ))
}

/// The error for data that another process uses.
pub(super) fn in_use(dir: &Path) -> StoreError {
    StoreError::NotOurs(format!(
        "{} is used by another rustchat process: stop that one, or name another directory with \
         --data",
        dir.display()
    ))
}

/// Locks the directory, which is made if it is not there.
pub(super) fn lock(dir: &Path) -> Result<Lock, StoreError> {
    fs::create_dir_all(dir)?;
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(in_use(dir)),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Syncs a directory, so that names made or removed in it survive a loss of power.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Looks what the directory holds, without changing anything.
pub(super) fn look(dir: &Path) -> Result<Found, StoreError> {
    let text = match fs::read_to_string(dir.join(IDENTITY)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let interrupted = is_empty(&dir.join(LOG))? && is_empty(&dir.join(STATE))?;
            if interrupted {
                return Ok(Found::Nothing);
            }
            return Err(corrupt(dir, "there is data, but no identity file"));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(corrupt(dir, "the identity file is damaged"));
        }
        Err(error) => return Err(error.into()),
    };
    let identity = parse(&text).ok_or_else(|| corrupt(dir, "the identity file is damaged"))?;
    for (name, is_there) in [(GUARD, dir.join(GUARD).is_file()), (LOG, dir.join(LOG).is_dir())] {
        if !is_there {
            return Err(corrupt(dir, format_args!("`{name}` is missing")));
        }
    }
    Ok(Found::Data(identity))
}

fn is_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes what is missing of the directories.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    for name in [LOG, STATE] {
        fs::create_dir_all(dir.join(name))?;
    }
    sync(dir)?;
    dir.parent().map_or(Ok(()), |parent| {
        // The parent of a relative path of one part is the empty path.
        sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    })
}

/// Writes the identity file, durably and all or nothing.
pub(super) fn save(dir: &Path, identity: &Identity) -> io::Result<()> {
    let (new, path) = (dir.join("identity.new"), dir.join(IDENTITY));
    let mut file = File::create(&new)?;
    file.write_all(print(identity).as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync(dir)
}

fn print(identity: &Identity) -> String {
    let cluster = identity.cluster.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let text = format!(
        "{TITLE}\ncluster = {cluster}\ngeneration = {}\nseat = {}\nraft_id = {}\n\
         incarnation = {}\n",
        identity.generation,
        identity.seat,
        identity.raft_id,
        DeviceId(identity.incarnation),
    );
    let sum = crc32fast::hash(text.as_bytes());
    format!("{text}checksum = {sum:08x}\n")
}

fn parse(text: &str) -> Option<Identity> {
    let (body, sum) = text.split_at(text.find("checksum = ")?);
    let sum = sum.strip_prefix("checksum = ")?.trim_end();
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(" = ");
    let cluster = match value("cluster")? {
        "-" => None,
        id => Some(ClusterId::parse(id)?),
    };
    Some(Identity {
        cluster,
        generation: value("generation")?.parse().ok()?,
        seat: value("seat")?.parse().ok()?,
        raft_id: value("raft_id")?.parse().ok()?,
        incarnation: DeviceId::parse(value("incarnation")?)?.0,
    })
}

/// Says whether the data is that of this seat and cluster.
pub(super) fn is_ours(
    dir: &Path,
    identity: &Identity,
    seat: u32,
    cluster: Option<ClusterId>,
) -> Result<(), StoreError> {
    let dir = dir.display();
    if identity.seat != seat {
        return Err(StoreError::NotOurs(format!(
            "{dir} holds the data of seat {}, but this is seat {seat}: name this seat's own \
             directory with --data, or the right seat with --node",
            identity.seat
        )));
    }
    match (identity.cluster, cluster) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(StoreError::NotOurs(format!(
            "{dir} holds the data of cluster {theirs}, but nodes.conf says {ours}: name another \
             directory with --data, or correct `cluster_id` in nodes.conf"
        ))),
        _ => Ok(()),
    }
}

/// Copies a directory for a look at it. Large files that are never written again are linked
/// where the file system can.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let fixed = from.file_name().is_some_and(|name| name == "tables" || name == "blobs");
    for file in fs::read_dir(from)? {
        let file = file?;
        let (from, to) = (file.path(), to.join(file.file_name()));
        if file.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else if !fixed || fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// Moves a damaged directory out of the way, to `DIR.damaged-N`. The caller then opens `DIR`
/// anew; with the old identity it can ask to rejoin under the next Raft id.
///
/// # Errors
/// `NotOurs` where a process uses the directory, `Io` where it cannot be moved.
pub fn move_aside(dir: &Path) -> Result<MovedAside, StoreError> {
    let lock = lock(dir)?;
    let text = fs::read_to_string(dir.join(IDENTITY));
    let identity = text.ok().and_then(|text| parse(&text));
    let mut number = 1_u32;
    let to = loop {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let to = PathBuf::from(name);
        if !to.try_exists()? {
            break to;
        }
        number += 1;
    };
    fs::rename(dir, &to)?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync(parent)?;
    }
    drop(lock);
    Ok(MovedAside { to, identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: Some(ClusterId([7; 16])),
            generation: 3,
            seat: 2,
            raft_id: 1002,
            incarnation: [9; 16],
        }
    }

    #[test]
    fn an_identity_reads_what_it_writes_and_no_other_byte() {
        for identity in [identity(), Identity::fresh(5)] {
            let text = print(&identity);
            assert_eq!(parse(&text), Some(identity));
            for at in 0..text.len() - 1 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let Ok(bad) = String::from_utf8(bytes) else { continue };
                assert_eq!(parse(&bad), None, "byte {at}");
                assert_eq!(parse(&text[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn a_directory_is_for_one_process_one_seat_and_one_cluster() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let held = lock(&dir).unwrap();
        assert!(matches!(lock(&dir), Err(StoreError::NotOurs(_))));
        drop(held);
        drop(lock(&dir).unwrap());
        let (mine, other) = (Some(ClusterId([7; 16])), Some(ClusterId([8; 16])));
        assert!(is_ours(&dir, &identity(), 2, mine).is_ok());
        assert!(is_ours(&dir, &identity(), 2, None).is_ok());
        assert!(matches!(is_ours(&dir, &identity(), 2, other), Err(StoreError::NotOurs(_))));
        assert!(matches!(is_ours(&dir, &identity(), 1, mine), Err(StoreError::NotOurs(_))));
    }

    #[test]
    fn what_is_missing_is_noticed_and_an_interrupted_start_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        assert!(matches!(look(dir), Ok(Found::Nothing)));
        make(dir).unwrap();
        assert!(matches!(look(dir), Ok(Found::Nothing)));
        save(dir, &identity()).unwrap();
        assert!(matches!(look(dir), Err(StoreError::Corrupt(_))), "no guard");
        fs::write(dir.join(GUARD), "").unwrap();
        assert!(matches!(look(dir), Ok(Found::Data(found)) if found == identity()));
        fs::write(dir.join(LOG).join("r-1.wal"), "").unwrap();
        fs::remove_file(dir.join(IDENTITY)).unwrap();
        assert!(matches!(look(dir), Err(StoreError::Corrupt(_))), "no identity");
    }

    #[test]
    fn a_directory_moved_aside_keeps_its_identity() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        for number in 1..3 {
            make(&dir).unwrap();
            save(&dir, &identity()).unwrap();
            let moved = move_aside(&dir).unwrap();
            assert_eq!(moved.identity, Some(identity()));
            assert_eq!(moved.to, temp.path().join(format!("data.damaged-{number}")));
            assert!(!dir.exists() && moved.to.join(IDENTITY).exists());
        }
    }
}
