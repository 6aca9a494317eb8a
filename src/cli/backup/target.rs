//! The file that a backup becomes: there whole, or not at all. It must not know where the bytes
//! come from.

use crate::cli::outcome::{Failure, Kind};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written beside the one it will be.
pub struct Target {
    to: PathBuf,
    part: PathBuf,
    file: File,
    kept: bool,
}

impl Target {
    /// Begins; readable for this user alone.
    ///
    /// # Errors
    /// `Refused` where the file is there already, `Io` where it cannot be written.
    pub fn new(to: &Path) -> Result<Self, Failure> {
        refuse_to_overwrite(to)?;
        let mut part = to.as_os_str().to_owned();
        part.push(format!(".{:016x}.part", rand::random::<u64>()));
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        // Never a file that somebody else has put there.
        options.create_new(true).write(true).mode(0o600);
        let file = options.open(&part).map_err(|why| failed(&part, why))?;
        Ok(Self { to: to.to_owned(), part, file, kept: false })
    }

    /// Where it is for now.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// `Io` where it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|why| failed(&self.part, why))
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `Io` where that fails.
    pub fn sync(&self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|why| failed(&self.part, why))
    }

    /// Gives it its name, durably.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn keep(mut self) -> Result<(), Failure> {
        // Unlike a rename, a link overwrites nothing, whoever was faster.
        match fs::hard_link(&self.part, &self.to) {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::text(Kind::Refused, is_there(&self.to)));
            }
            // A file system without links.
            Err(_) => {
                refuse_to_overwrite(&self.to)?;
                fs::rename(&self.part, &self.to).map_err(|why| failed(&self.to, why))?;
                self.kept = true;
            }
        }
        let parent = self.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(|why| failed(parent, why))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.kept {
            // Half a backup is of no use to anybody.
            drop(fs::remove_file(&self.part));
        }
    }
}

fn refuse_to_overwrite(path: &Path) -> Result<(), Failure> {
    if path.try_exists().map_err(|why| failed(path, why))? {
        return Err(Failure::text(Kind::Refused, is_there(path)));
    }
    Ok(())
}

fn is_there(path: &Path) -> String {
    format!("{} is there already and is not overwritten", path.display())
}

fn failed(path: &Path, why: io::Error) -> Failure {
    Failure::text(Kind::Io, format!("{}: {why}", path.display()))
}
