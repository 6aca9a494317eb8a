//! Where keys lie: a directory that the operator makes once and hands out in parts.
//! It must not know what the keys are for.

use super::authority::{CERTIFICATE_TAG, KEY_TAG};
use super::{Authority, Fingerprint, KeysError, VALID_DAYS};
use pem::Pem;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const PRIVATE: &str = "cluster.key";
const CERTIFICATE: &str = "cluster.crt";

/// The file of the node at `seat`.
#[must_use]
pub fn node_file(dir: &Path, seat: u32) -> PathBuf {
    dir.join(format!("node-{seat}.pem"))
}

/// Makes the authority of the cluster of this name in `dir`, which is made too.
///
/// # Errors
/// [`KeysError::Exists`] where there is one; the directory cannot be written.
pub fn make_keys(dir: &Path, cluster: &str, now: SystemTime) -> Result<Fingerprint, KeysError> {
    make_dir(dir)?;
    let authority = Authority::make(cluster, now)?;
    // The key first: with a certificate and no key nothing could ever be made.
    write_new(&dir.join(PRIVATE), &authority.private_key())?;
    write_new(&dir.join(CERTIFICATE), &authority.certificate())?;
    Ok(authority.fingerprint())
}

/// Makes a key for the node at `seat`; `renew`: also where it has one, which this one replaces.
///
/// # Errors
/// [`KeysError::Missing`] where `dir` has no authority, [`KeysError::Exists`] where the node has a
/// key.
pub fn make_node(
    dir: &Path,
    seat: u32,
    renew: bool,
    now: SystemTime,
) -> Result<PathBuf, KeysError> {
    let (key, certificate) = (dir.join(PRIVATE), dir.join(CERTIFICATE));
    let bad = |why: String| KeysError::Bad { file: key.clone(), why };
    let authority = Authority::new(part(&certificate, CERTIFICATE_TAG)?, part(&key, KEY_TAG)?)
        .map_err(|error| bad(error.to_string()))?;
    let file = node_file(dir, seat);
    let text = authority.node(seat, now, VALID_DAYS)?;
    if !renew {
        write_new(&file, &text)?;
        return Ok(file);
    }
    let io = |error| KeysError::Io { file: file.clone(), error };
    let next = dir.join(format!("node-{seat}.new"));
    fs::remove_file(&next).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(io(error)),
    })?;
    write_new(&next, &text)?;
    fs::rename(&next, &file).map_err(io)?;
    Ok(file)
}

/// The authority whose keys lie in `dir`: of its certificate, else of any node's file.
///
/// # Errors
/// [`KeysError::Missing`] where there are none; what is wrong with them.
pub fn authority_of(dir: &Path) -> Result<Fingerprint, KeysError> {
    let certificate = dir.join(CERTIFICATE);
    let file = if certificate.is_file() { certificate } else { any_node(dir)? };
    let parts = pem::parse_many(read(&file)?).unwrap_or_default();
    let last = parts.iter().rfind(|part| part.tag() == CERTIFICATE_TAG);
    let found = last.and_then(|part| Fingerprint::of_certificate(&part.contents().into()));
    found.ok_or_else(|| KeysError::Bad { file, why: "it holds no certificate".to_owned() })
}

fn any_node(dir: &Path) -> Result<PathBuf, KeysError> {
    let missing = || KeysError::Missing(dir.join(CERTIFICATE));
    let entries = fs::read_dir(dir).map_err(|_| missing())?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "pem"))
        .collect();
    files.sort();
    files.into_iter().next().ok_or_else(missing)
}

fn part(file: &Path, tag: &str) -> Result<Vec<u8>, KeysError> {
    let bad = |why: &str| KeysError::Bad { file: file.to_path_buf(), why: why.to_owned() };
    let parts = pem::parse_many(read(file)?).map_err(|error| bad(&error.to_string()))?;
    let found = parts.into_iter().find(|part| part.tag() == tag);
    found.map(Pem::into_contents).ok_or_else(|| bad(&format!("it holds no {tag}")))
}

pub(super) fn read(file: &Path) -> Result<String, KeysError> {
    fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => KeysError::Missing(file.to_path_buf()),
        _ => KeysError::Io { file: file.to_path_buf(), error },
    })
}

fn make_dir(dir: &Path) -> Result<(), KeysError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| KeysError::Io { file: dir.to_path_buf(), error })
}

/// It is there whole or not at all, and only its owner can read it.
fn write_new(file: &Path, text: &str) -> Result<(), KeysError> {
    let part = file.with_extension("part");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&part).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        // Unlike a rename it takes nothing's place.
        fs::hard_link(&part, file)
    });
    let removed = fs::remove_file(&part);
    written.and(removed).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => KeysError::Exists(file.to_path_buf()),
        _ => KeysError::Io { file: file.to_path_buf(), error },
    })
}
