//! The outbox: own messages that have no outcome yet. A message is in the file
//! before it is on the network, so that whoever starts next with the device can
//! finish it. It must not know connections, sessions or when to sync.
//!
//! The numbers it gives are the device's own for ever. After a power failure the
//! newest records may be missing although the cluster has their messages, so a file
//! that was not closed by this boot of the machine is *unsettled*: it gives no
//! number before the server has said how far the device had come.

use super::outbox_file::{self as file, Record};
use super::{ClientError, Outgoing};
use crate::chat::command::Target;
use crate::chat::message::Body;
use crate::limits;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Own messages without an outcome, in order of their numbers.
#[derive(Debug)]
pub struct Outbox {
    /// Where the records are; `None` keeps them in memory.
    file: Option<(PathBuf, File)>,
    /// Bytes in the file.
    length: u64,
    /// Written since the last sync.
    dirty: bool,
    /// Without an outcome; the first has number `done + 1`.
    pending: VecDeque<Outgoing>,
    /// Bytes of their bodies.
    bytes: usize,
    /// How many of `pending`, from the front, the driver has taken.
    taken: usize,
    /// Every number up to this one has its outcome.
    done: u64,
    /// The last number of earlier processes, until the server has said how many it knows.
    inherited: Option<u64>,
    settled: bool,
}

impl Outbox {
    /// An outbox in memory. `fresh` says that no other process ever used the device.
    #[must_use]
    pub const fn memory(fresh: bool) -> Self {
        Self {
            file: None,
            length: 0,
            dirty: false,
            pending: VecDeque::new(),
            bytes: 0,
            taken: 0,
            done: 0,
            inherited: Some(0),
            settled: fresh,
        }
    }

    /// Opens the outbox of a device. Damage is cut; what was readable before it is kept.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut outbox = Self::memory(true);
        if let Some(found) = file::read(path)? {
            outbox.done = found.done;
            outbox.bytes = found.pending.iter().map(|m| m.body.data.len()).sum();
            outbox.pending = found.pending;
            outbox.settled = found.trusted;
        }
        outbox.inherited = Some(outbox.last());
        outbox.rewrite(path)?;
        Ok(outbox)
    }

    /// The number of the newest message.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.done + self.pending.len() as u64
    }

    /// Every number up to this one has its outcome.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Messages without an outcome.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.len() as u64
    }

    /// True where a message finds room, and its number is known.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.settled
            && self.pending() < limits::OUTBOX_MESSAGES
            && self.bytes < limits::OUTBOX_BYTES
    }

    /// Takes messages in and writes them; returns the number of the first.
    ///
    /// # Errors
    /// The file cannot be written: nothing was taken in.
    pub fn append(&mut self, to: Target, bodies: Vec<Body>) -> io::Result<u64> {
        let first = self.last() + 1;
        let numbered = (first..).zip(bodies);
        let messages: Vec<_> =
            numbered.map(|(number, body)| Outgoing { number, to, body }).collect();
        if self.file.is_some() {
            let mut out = Vec::new();
            messages.iter().for_each(|m| file::put(&mut out, &Record::Message(m.clone())));
            self.write(&out)?;
        }
        self.bytes += messages.iter().map(|m| m.body.data.len()).sum::<usize>();
        self.pending.extend(messages);
        Ok(first)
    }

    /// The messages that came since the last call, at first also those of earlier processes.
    pub fn take(&mut self) -> Vec<Outgoing> {
        let fresh = self.pending.range(self.taken.min(self.pending.len())..).cloned().collect();
        self.taken = self.pending.len();
        fresh
    }

    /// Every number up to `upto` has its outcome.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn confirm(&mut self, upto: u64) -> io::Result<()> {
        let before = self.done;
        while self.done < upto
            && let Some(message) = self.pending.pop_front()
        {
            self.bytes -= message.body.data.len();
            self.taken = self.taken.saturating_sub(1);
            self.done += 1;
        }
        if self.done == before || self.file.is_none() {
            return Ok(());
        }
        if self.length > limits::OUTBOX_FILE
            && self.bytes < limits::OUTBOX_BYTES / 8
            && let Some((path, _)) = self.file.take()
        {
            return self.rewrite(&path);
        }
        let mut out = Vec::new();
        file::put(&mut out, &Record::Done(self.done));
        self.write(&out)
    }

    /// The server knows `last` numbers of this device.
    ///
    /// # Errors
    /// The server knows other messages under numbers that were given here, or fewer than it
    /// confirmed: the device's directory or the cluster's data is a copy from an earlier time.
    pub fn settle(&mut self, last: u64) -> Result<(), ClientError> {
        if last < self.done {
            return Err(ClientError::State(format!(
                "the cluster confirmed {} messages of this device and now knows {last}: \
                 its data was restored from an earlier time",
                self.done
            )));
        }
        let lost = self.inherited.take().is_some_and(|known| known == self.last());
        if last > self.last() && !lost {
            return Err(ClientError::State(format!(
                "the cluster knows {last} messages of this device, its outbox only {}: \
                 the device's directory is a copy from an earlier time, or used twice",
                self.last()
            )));
        }
        if last > self.last() {
            // Records were lost in a power failure; all of these have an outcome already.
            self.pending.clear();
            self.bytes = 0;
            self.taken = 0;
            self.done = last;
        }
        if !std::mem::replace(&mut self.settled, true)
            && let Some((path, _)) = self.file.take()
        {
            self.rewrite(&path).map_err(|why| ClientError::State(why.to_string()))?;
        }
        Ok(())
    }

    /// A handle to sync with, if something was written since the last call.
    pub fn to_sync(&mut self) -> Option<File> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.file.as_ref().and_then(|(_, file)| file.try_clone().ok())
    }

    /// Notes that the file is whole, and syncs it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(&mut self) -> io::Result<()> {
        let Some((path, _)) = self.file.take() else { return Ok(()) };
        self.rewrite(&path)?;
        if self.settled {
            let mut out = Vec::new();
            file::put(&mut out, &Record::Closed);
            self.write(&out)?;
        }
        if let Some((_, file)) = &self.file {
            file.sync_data()?;
        }
        Ok(())
    }

    /// Numbers what has no outcome from the one after `done` on: the cluster knows no more of the
    /// device, for it was restored from a backup, or the device is another one now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn renumber(&mut self, done: u64) -> io::Result<()> {
        self.done = done;
        for (message, number) in self.pending.iter_mut().zip(done + 1..) {
            message.number = number;
        }
        self.inherited = Some(self.last());
        self.settled = true;
        let file = self.file.take();
        file.map_or(Ok(()), |(path, _)| self.rewrite(&path))
    }

    /// Starts over as another device.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restart(&mut self) -> io::Result<()> {
        let file = self.file.take();
        *self = Self::memory(true);
        file.map_or(Ok(()), |(path, _)| self.rewrite(&path))
    }

    /// Writes a new file with only what is pending, and puts it in the old one's place.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let file = file::create(path, self.done, self.settled, &self.pending)?;
        self.length = file.metadata()?.len();
        self.dirty = false;
        self.file = Some((path.to_path_buf(), file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((_, file)) = &mut self.file else { return Ok(()) };
        if let Err(why) = file.write_all(bytes) {
            // Half a record would hide those after it.
            file.set_len(self.length)?;
            return Err(why);
        }
        self.length += bytes.len() as u64;
        self.dirty = true;
        Ok(())
    }
}
