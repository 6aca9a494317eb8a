//! A device: a directory of one user on this machine, held by one process at a
//! time. It has the device's id, its token, its key, its outbox and what `--tail` has
//! printed. It must not know connections or what the token proves.
//!
//! ```text
//! <state>/<user>/known.json         the cluster used last, and its servers
//! <state>/<user>/devices/<n>/       lock  device.json  token  key  certificate  outbox  have.json
//! ```

use super::ClientError;
use super::key::DeviceKey;
use super::outbox::Outbox;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId};
use crate::limits;
use crate::wire::client::{decode_server, encode_server};
use crate::wire::message::{DeviceCertificate, ServerMsg};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A device that this process holds.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The cluster that knows it, once there is one.
    pub cluster: Option<ClusterId>,
    /// The generation of it in which the device was last used; `None`: the first one.
    pub generation: Option<u64>,
    /// What proves who it is.
    pub token: Option<Bytes>,
    /// Its key pair; none where one could not be made.
    pub key: Option<DeviceKey>,
    /// What its cluster says of it, for other clusters.
    pub certificate: Option<DeviceCertificate>,
    /// Highest seq that was printed, per conversation.
    pub have: BTreeMap<ConversationId, u64>,
    place: Option<Place>,
    /// The directory goes when the device is released.
    doomed: bool,
    /// Why it did not.
    left: Option<io::Error>,
}

/// The directory; dropping it frees the lock.
#[derive(Debug)]
struct Place {
    dir: PathBuf,
    #[expect(dead_code, reason = "holds the lock")]
    lock: File,
}

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its directory.
    pub dir: PathBuf,
    /// A process has it; nothing else is known then.
    pub held: bool,
    /// It has a token.
    pub known: bool,
    /// Messages without an outcome.
    pub unsent: u64,
}

/// The cluster that the user used last, kept for the next process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The cluster's id, in hexadecimal.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// `host:port` of its servers.
    pub servers: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    device: String,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    cluster_name: Option<String>,
    #[serde(default)]
    generation: Option<u64>,
}

impl Device {
    /// A device without a directory; it ends with the process.
    #[must_use]
    pub fn memory(id: Option<DeviceId>) -> (Self, Outbox) {
        let device = Self {
            id: id.unwrap_or_else(random),
            cluster: None,
            generation: None,
            token: None,
            key: DeviceKey::generate().ok(),
            certificate: None,
            have: BTreeMap::new(),
            place: None,
            doomed: false,
            left: None,
        };
        (device, Outbox::memory(id.is_none()))
    }

    /// Takes a device of `user` below `state` that nobody holds: the first with unfinished
    /// messages, else the first, else a new one; of `cluster` (a name), if one is given.
    ///
    /// # Errors
    /// The directories cannot be used, or every device is held.
    pub fn take(
        state: &Path,
        user: &str,
        cluster: Option<&str>,
    ) -> Result<(Self, Outbox), ClientError> {
        let devices = state.join(user).join("devices");
        let failed = |why: io::Error| ClientError::State(format!("{}: {why}", devices.display()));
        private_dir(&devices).map_err(failed)?;
        let mut free: Option<(Self, Outbox)> = None;
        for n in 1..=limits::DEVICES {
            let dir = devices.join(n.to_string());
            let new = !dir.exists();
            if new && free.is_some() {
                break;
            }
            let Some(found) = Self::open(&dir, cluster).map_err(failed)? else { continue };
            if found.1.pending() > 0 {
                return Ok(found);
            }
            // Of a cluster that is named, one that it knows.
            let known = |device: &Self| device.cluster.is_some();
            let better = cluster.is_some() && known(&found.0);
            free = free.filter(|free| !better || known(&free.0)).or(Some(found));
            if new {
                break;
            }
        }
        free.ok_or_else(|| {
            ClientError::State(format!("{}: every device is in use", devices.display()))
        })
    }

    /// Opens a device; `None` if another process holds it or another cluster knows it.
    fn open(dir: &Path, cluster: Option<&str>) -> io::Result<Option<(Self, Outbox)>> {
        private_dir(dir)?;
        let lock = dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(why)) => return Err(why),
        }
        let identity = read_json::<Identity>(&dir.join("device.json"))?;
        let name = identity.as_ref().and_then(|i| i.cluster_name.as_deref());
        if cluster.is_some() && name.is_some() && cluster != name {
            return Ok(None);
        }
        let id = identity.as_ref().and_then(|i| DeviceId::parse(&i.device));
        let mut device = Self {
            id: id.unwrap_or_else(random),
            generation: identity.as_ref().and_then(|i| i.generation),
            cluster: identity.and_then(|i| ClusterId::parse(&i.cluster?)),
            token: read_token(&dir.join("token"))?,
            key: Some(read_key(&dir.join("key"))?),
            certificate: read(&dir.join("certificate"))?.and_then(parse_certificate),
            have: read_have(&dir.join("have.json"))?,
            place: Some(Place { dir: dir.to_path_buf(), lock }),
            doomed: false,
            left: None,
        };
        let outbox = dir.join("outbox");
        if id.is_none() {
            // Numbers belong to an id: without it the old messages cannot be finished.
            device.token = None;
            device.have.clear();
            if outbox.exists() {
                fs::rename(&outbox, dir.join("outbox.orphaned"))?;
            }
            device.save_identity(None)?;
        }
        Ok(Some((device, Outbox::open(&outbox)?)))
    }

    /// Remembers which cluster knows the device, in which of its generations.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bind(&mut self, cluster: ClusterId, generation: u64, name: &str) -> io::Result<()> {
        self.cluster = Some(cluster);
        self.generation = Some(generation);
        self.save_identity(Some(name))
    }

    /// Becomes another device, which no cluster knows.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn renew(&mut self) -> io::Result<()> {
        self.id = random();
        self.renew_key()?;
        self.certificate = None;
        self.cluster = None;
        self.generation = None;
        self.set_token(None)?;
        self.save_have(BTreeMap::new())?;
        self.save_identity(None)
    }

    fn renew_key(&mut self) -> io::Result<()> {
        let key = DeviceKey::generate()?;
        if let Some(place) = &self.place {
            replace(&place.dir.join("key"), key.kept(), Keep::Synced)?;
        }
        self.key = Some(key);
        Ok(())
    }

    /// Keeps the token, readable for this user alone, or forgets it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_token(&mut self, token: Option<Bytes>) -> io::Result<()> {
        if let Some(place) = &self.place {
            let file = place.dir.join("token");
            match &token {
                Some(token) => replace(&file, &hex(token), Keep::Synced)?,
                None if file.exists() => fs::remove_file(file)?,
                None => {}
            }
        }
        self.token = token;
        Ok(())
    }

    /// What its cluster says of it, where that is of this device as it is now.
    #[must_use]
    pub fn valid_certificate(&self) -> Option<&DeviceCertificate> {
        let key = self.key.as_ref().map(DeviceKey::public);
        self.certificate.as_ref().filter(|said| {
            Some(said.cluster) == self.cluster && said.device == self.id && Some(said.key) == key
        })
    }

    /// True for one that outlives the process.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.place.is_some()
    }

    /// Keeps what its cluster says of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_certificate(&mut self, certificate: DeviceCertificate) -> io::Result<()> {
        if let Some(place) = &self.place {
            let said = ServerMsg::Certified { request: 0, certificate: certificate.clone() };
            let file = place.dir.join("certificate");
            replace(&file, &encode_server(&said), Keep::Written)?;
        }
        self.certificate = Some(certificate);
        Ok(())
    }

    /// Remembers what was printed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_have(&mut self, have: BTreeMap<ConversationId, u64>) -> io::Result<()> {
        self.have = have;
        let Some(place) = &self.place else { return Ok(()) };
        let rows: BTreeMap<String, u64> =
            self.have.iter().map(|(id, seq)| (id.to_string(), *seq)).collect();
        replace(&place.dir.join("have.json"), &json(&rows), Keep::Written)
    }

    /// Lets another process take the device.
    pub fn release(&mut self) {
        // The lock is held until its files are gone.
        if let Some(place) = self.place.take()
            && self.doomed
        {
            self.left = fs::remove_dir_all(&place.dir).err();
        }
    }

    /// Whether its directory goes when it is released.
    pub const fn doom(&mut self, doomed: bool) {
        self.doomed = doomed;
    }

    /// Why its directory is there still, although it was to go.
    #[must_use]
    pub const fn left(&self) -> Option<&io::Error> {
        self.left.as_ref()
    }

    /// Removes a device that nobody holds.
    ///
    /// # Errors
    /// Somebody holds it, or it cannot be removed.
    pub fn remove(dir: &Path) -> Result<(), ClientError> {
        let failed = |why: String| ClientError::State(format!("{}: {why}", dir.display()));
        let found = Self::open(dir, None).map_err(|why| failed(why.to_string()))?;
        let (mut device, _) = found.ok_or_else(|| failed("it is in use".to_owned()))?;
        device.doom(true);
        device.release();
        device.left().map_or(Ok(()), |why| Err(failed(why.to_string())))
    }

    /// The devices of `user` below `state`, without taking any.
    ///
    /// # Errors
    /// The directories cannot be read.
    pub fn look(state: &Path, user: &str) -> Result<Vec<Found>, ClientError> {
        let devices = state.join(user).join("devices");
        let failed = |why: io::Error| ClientError::State(format!("{}: {why}", devices.display()));
        let mut all = Vec::new();
        let dirs = (1..=limits::DEVICES).map(|n| devices.join(n.to_string()));
        for dir in dirs.filter(|dir| dir.is_dir()) {
            let found = Self::open(&dir, None).map_err(failed)?;
            all.push(match found {
                None => Found { dir, held: true, known: true, unsent: 0 },
                Some((device, outbox)) => {
                    let (known, unsent) = (device.token.is_some(), outbox.pending());
                    Found { dir, held: false, known, unsent }
                }
            });
        }
        Ok(all)
    }

    fn save_identity(&self, cluster_name: Option<&str>) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let identity = Identity {
            device: self.id.to_string(),
            cluster: self.cluster.map(|c| c.to_string()),
            cluster_name: cluster_name.map(str::to_owned),
            generation: self.generation,
        };
        replace(&place.dir.join("device.json"), &json(&identity), Keep::Synced)
    }
}

impl Known {
    /// What `user` used last, if anything; a damaged file is nothing.
    #[must_use]
    pub fn load(state: &Path, user: &str) -> Option<Self> {
        read_json(&state.join(user).join("known.json")).ok().flatten()
    }

    /// Keeps it for the next process.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, state: &Path, user: &str) -> io::Result<()> {
        replace(&state.join(user).join("known.json"), &json(self), Keep::Written)
    }
}

fn random() -> DeviceId {
    DeviceId(rand::random())
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

/// Reads a small file of ours; one that is damaged counts as missing.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    Ok(read(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn read_token(path: &Path) -> io::Result<Option<Bytes>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let digits = text.trim_ascii();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let token: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    Ok(token.filter(|t| !t.is_empty()).map(Bytes::from))
}

/// The key that is kept, else a new one, which is kept before anybody hears of it.
fn read_key(path: &Path) -> io::Result<DeviceKey> {
    if let Some(key) = read(path)?.and_then(|kept| DeviceKey::read(&kept)) {
        return Ok(key);
    }
    let key = DeviceKey::generate()?;
    replace(path, key.kept(), Keep::Synced)?;
    Ok(key)
}

/// One that cannot be read counts as missing.
fn parse_certificate(bytes: Vec<u8>) -> Option<DeviceCertificate> {
    match decode_server(bytes.into()).ok()? {
        ServerMsg::Certified { certificate, .. } => Some(certificate),
        _ => None,
    }
}

fn read_have(path: &Path) -> io::Result<BTreeMap<ConversationId, u64>> {
    let rows = read_json::<BTreeMap<String, u64>>(path)?.unwrap_or_default();
    let parse = |id: &str| u64::from_str_radix(id, 16).ok().map(ConversationId);
    Ok(rows.iter().filter_map(|(id, seq)| Some((parse(id)?, *seq))).collect())
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Writes a small file of ours, which is there whole or not at all and survives a power failure.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    private_dir(path.parent().unwrap_or(Path::new(".")))?;
    replace(path, &json(value), Keep::Synced)
}

/// What a file must survive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The end of the process.
    Written,
    /// A power failure.
    Synced,
}

/// Writes a file that is there whole or not at all, readable for this user alone.
fn replace(path: &Path, bytes: &[u8], keep: Keep) -> io::Result<()> {
    // A name of its own: other processes of the user write the same file, and must not take
    // this one away half-written.
    let new =
        path.with_extension(format!("{}-{:08x}.tmp", std::process::id(), rand::random::<u32>()));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    if keep == Keep::Synced {
        file.sync_data()?;
    }
    fs::rename(new, path)
}

fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
