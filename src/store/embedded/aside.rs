//! A copy of a data directory, made before something is done to it that cannot be undone. It
//! must not know what is done.

use super::dir;
use crate::store::StoreError;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Copies a stopped server's directory to `DIR.before-recovery-N`, durably. Files that are never
/// written again are linked where the file system can.
///
/// # Errors
/// `NotOurs` where a process uses the directory, `Io` where it cannot be copied.
pub fn copy_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let lock = dir::lock(dir)?;
    let mut number = 1_u32;
    let to = loop {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".before-recovery-{number}"));
        let to = PathBuf::from(name);
        if !to.try_exists()? {
            break to;
        }
        number += 1;
    };
    dir::copy(dir, &to)?;
    sync_all(&to)?;
    if let Some(parent) = to.parent() {
        dir::sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    drop(lock);
    Ok(to)
}

fn sync_all(dir: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_type()?.is_dir() {
            sync_all(&file.path())?;
        } else {
            File::open(file.path())?.sync_all()?;
        }
    }
    dir::sync(dir)
}
