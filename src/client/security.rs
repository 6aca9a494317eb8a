//! Whom a client trusts: the clusters whose keys it remembers, as ssh remembers
//! hosts, and what it does about one that is new. It must not know connections.
//!
//! `<state>/clusters.json` has a row for each cluster that was ever used from here.

use super::ClientError;
use crate::chat::ids::ClusterId;
use crate::tls::Fingerprint;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How connections of a client are secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// No TLS at all: only for servers that were told so too.
    pub plain: bool,
    /// The cluster's key, where it is known: servers of no other one are talked to.
    pub expected: Option<Fingerprint>,
    /// A cluster on another machine that is new here is taken for what it says.
    pub trust_new: bool,
}

impl Security {
    /// TLS with servers of this cluster alone; without one, of any.
    #[must_use]
    pub const fn of(expected: Option<Fingerprint>) -> Self {
        Self { plain: false, expected, trust_new: false }
    }

    /// No TLS.
    pub const PLAIN: Self = Self { plain: true, expected: None, trust_new: false };

    /// The same for servers of this cluster alone, where one is given.
    #[must_use]
    pub fn expecting(self, expected: Option<Fingerprint>) -> Self {
        Self { expected: expected.or(self.expected), ..self }
    }
}

/// A cluster whose key is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its id, in hexadecimal.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// The fingerprint of its authority.
    pub key: Fingerprint,
}

/// The clusters whose keys are remembered.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    file: Option<PathBuf>,
    pins: Vec<Pin>,
}

impl Pins {
    /// Those of a state directory; without one they are forgotten at the end of the process.
    ///
    /// # Errors
    /// The file is there and cannot be read: then nobody is trusted.
    pub fn load(state: Option<&Path>) -> Result<Self, ClientError> {
        let Some(state) = state else { return Ok(Self::default()) };
        let file = state.join("clusters.json");
        let wrong = |why: String| ClientError::State(format!("{}: {why}", file.display()));
        let pins = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|why| wrong(why.to_string()))?,
            Err(why) if why.kind() == ErrorKind::NotFound => Vec::new(),
            Err(why) => return Err(wrong(why.to_string())),
        };
        Ok(Self { file: Some(file), pins })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Pin] {
        &self.pins
    }

    /// The key of this cluster.
    #[must_use]
    pub fn of(&self, cluster: ClusterId) -> Option<Fingerprint> {
        let id = cluster.to_string();
        self.pins.iter().find(|pin| pin.cluster == id).map(|pin| pin.key)
    }

    /// The key that a cluster of this id or name should have instead of `key`; `None` where `key`
    /// is right, or nothing is known of such a cluster.
    #[must_use]
    pub fn instead_of(
        &self,
        cluster: ClusterId,
        name: &str,
        key: Option<Fingerprint>,
    ) -> Option<Fingerprint> {
        if let Some(pinned) = self.of(cluster) {
            return Some(pinned).filter(|pinned| Some(*pinned) != key);
        }
        let mut named = self.named(name);
        let first = named.next()?;
        let right = Some(first) == key || named.any(|other| Some(other) == key);
        (!right).then_some(first)
    }

    /// The keys of the clusters of this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Fingerprint> {
        self.pins.iter().filter(move |pin| pin.name == name).map(|pin| pin.key)
    }

    /// True if some cluster has this key.
    #[must_use]
    pub fn has(&self, key: Fingerprint) -> bool {
        self.pins.iter().any(|pin| pin.key == key)
    }

    /// Remembers the key of a cluster; one that is known already stays.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, cluster: ClusterId, name: &str, key: Fingerprint) -> io::Result<()> {
        let pin = Pin { cluster: cluster.to_string(), name: name.to_owned(), key };
        let Some(file) = &self.file else {
            if self.of(cluster).is_none() {
                self.pins.push(pin);
            }
            return Ok(());
        };
        // Another process may have written since.
        let state = file.parent().unwrap_or(Path::new("."));
        self.pins = Self::load(Some(state)).map_err(io::Error::other)?.pins;
        match self.pins.iter_mut().find(|known| known.cluster == pin.cluster) {
            Some(known) if known.name == pin.name => return Ok(()),
            Some(known) => known.name = pin.name,
            None => self.pins.push(pin),
        }
        self.save()
    }

    /// Forgets the clusters of this name, id or key; says how many there were.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&mut self, which: &str) -> io::Result<usize> {
        let before = self.pins.len();
        self.pins.retain(|pin| {
            pin.name != which && pin.cluster != which && pin.key.to_string() != which
        });
        self.save()?;
        Ok(before - self.pins.len())
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        super::device::write_json(file, &self.pins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Fingerprint {
        Fingerprint::of_key(&[n; 32])
    }

    #[test]
    fn a_key_once_remembered_stays_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (west, east) = (ClusterId([1; 16]), ClusterId([2; 16]));
        let mut pins = Pins::load(Some(dir.path())).unwrap();
        pins.add(west, "west", key(1)).unwrap();
        let mut other = Pins::load(Some(dir.path())).unwrap();
        other.add(east, "east", key(2)).unwrap();
        pins.add(west, "west", key(3)).unwrap();
        let mut pins = Pins::load(Some(dir.path())).unwrap();
        assert_eq!((pins.of(west), pins.of(east)), (Some(key(1)), Some(key(2))));
        let new = ClusterId([3; 16]);
        for (id, name, shown, expected) in [
            (west, "west", Some(1), None),
            (west, "other", Some(3), Some(1)),
            (west, "west", None, Some(1)),
            // Another id does not make it another cluster.
            (new, "west", Some(3), Some(1)),
            (new, "west", None, Some(1)),
            (new, "west", Some(1), None),
            (new, "north", Some(3), None),
        ] {
            let instead = pins.instead_of(id, name, shown.map(key));
            assert_eq!(instead, expected.map(key), "{name} {shown:?}");
        }
        assert!(pins.has(key(2)) && !pins.has(key(3)));
        assert_eq!(pins.forget("west").unwrap(), 1);
        assert_eq!(Pins::load(Some(dir.path())).unwrap().of(west), None);
        std::fs::write(dir.path().join("clusters.json"), "[{").unwrap();
        assert!(Pins::load(Some(dir.path())).is_err(), "a damaged file trusts nobody");
    }
}
