//! Servers for the demo and the benchmark: real `serve` processes on free loopback
//! ports, in a directory of their own. They end with this process, however it ends: each
//! stops when its standard input closes. It must not know who chats.

use crate::config::StoreUrl;
use crate::tls::{self, Fingerprint};
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The name of their cluster.
pub const CLUSTER: &str = "demo";
/// A server that was asked to stop has this long.
const STOP_TIME: Duration = Duration::from_secs(4);
/// Between two looks whether a server has stopped.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// The servers and their directory; both go when this is dropped.
pub struct Servers {
    children: Vec<(u32, Child)>,
    /// The store of each, in the order of seats.
    stores: Vec<StoreUrl>,
    dir: PathBuf,
    keep: bool,
    /// Where clients reach them, as `host:port`, in the order of seats.
    pub addresses: Vec<String>,
    /// UDP port on which their leader answers.
    pub discovery: u16,
    /// The key of their cluster; `None`: they use no TLS.
    pub key: Option<Fingerprint>,
    layout: Layout,
}

/// What a cluster is like.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Its name.
    pub cluster: String,
    /// Without TLS.
    pub plain: bool,
    /// The UDP port on which its leader answers; `None`: a free one. Several clusters may share
    /// one: then they hear each other.
    pub discovery: Option<u16>,
    /// It trusts every other cluster that it hears.
    pub trust_new_links: bool,
    /// Its servers take orders: each has an admin port, which `nodes.conf` names.
    pub admin: bool,
}

impl Servers {
    /// Starts `count` of them in a new directory, which is kept at the end if `keep`.
    ///
    /// # Errors
    /// The directory, the ports or the processes cannot be had.
    pub fn start(count: u32, keep: bool) -> anyhow::Result<Self> {
        let layout = Layout { cluster: CLUSTER.to_owned(), ..Layout::default() };
        Self::start_as(&layout, &vec![StoreUrl::Embedded; count as usize], keep)
    }

    /// Starts one for each store, as the layout says, in a new directory, which is kept at the end
    /// if `keep`; with keys of their own, unless they are plain.
    ///
    /// # Errors
    /// The directory, the ports or the processes cannot be had.
    pub fn start_as(layout: &Layout, stores: &[StoreUrl], keep: bool) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rustchat-demo-{:08x}", rand::random::<u32>()));
        create_private(&dir).with_context(|| format!("the directory {}", dir.display()))?;
        let mut servers = Self {
            children: Vec::new(),
            stores: stores.to_vec(),
            dir,
            keep,
            addresses: Vec::new(),
            discovery: 0,
            key: None,
            layout: layout.clone(),
        };
        let count = u32::try_from(stores.len())?;
        servers.configure(count).context("choosing free ports")?;
        if !layout.plain {
            servers.key = Some(servers.make_keys(count).context("making keys")?);
        }
        for (seat, store) in (1..=count).zip(stores) {
            let child = servers.spawn(seat, store)?;
            servers.children.push((seat, child));
        }
        Ok(servers)
    }

    /// Ends a server as `kill -9` does; returns when its process is gone.
    ///
    /// # Errors
    /// There is no such server, or it cannot be killed.
    pub fn kill(&mut self, seat: u32) -> anyhow::Result<()> {
        let child = self.child(seat)?;
        child.kill().with_context(|| format!("killing server {seat}"))?;
        child.wait().with_context(|| format!("waiting for server {seat}"))?;
        Ok(())
    }

    /// Starts a server again that has ended, with the data and the ports that it had.
    ///
    /// # Errors
    /// There is no such server, it still runs, or it cannot be started.
    pub fn restart(&mut self, seat: u32) -> anyhow::Result<()> {
        if self.child(seat)?.try_wait()?.is_none() {
            bail!("server {seat} still runs");
        }
        let place = usize::try_from(seat)?.checked_sub(1);
        let store = place.and_then(|place| self.stores.get(place)).cloned();
        let child = self.spawn(seat, &store.unwrap_or_default())?;
        *self.child(seat)? = child;
        Ok(())
    }

    fn child(&mut self, seat: u32) -> anyhow::Result<&mut Child> {
        let child = self.children.iter_mut().find(|(of, _)| *of == seat);
        child.map(|(_, child)| child).with_context(|| format!("there is no server {seat}"))
    }

    /// The `nodes.conf` of all.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("nodes.conf")
    }

    /// Where a server keeps its data.
    pub fn data(&self, seat: u32) -> PathBuf {
        self.dir.join(format!("server-{seat}"))
    }

    /// Where everything of the demo is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fails if a server has ended, with the last lines that it wrote.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for (seat, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(log(&self.dir, *seat)).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(5).collect();
                let last: Vec<_> = lines.into_iter().rev().collect();
                bail!("server {seat} ended ({status}):\n{}", last.join("\n"));
            }
        }
        Ok(())
    }

    /// The process of each server, in the order of seats, for somebody who wants to kill one.
    pub fn processes(&self) -> String {
        let each = self.children.iter().map(|(_, child)| child.id().to_string());
        each.collect::<Vec<_>>().join(", ")
    }

    /// How many have not ended.
    pub fn running(&mut self) -> usize {
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        self.children.iter_mut().filter_map(|(_, child)| running(child).then_some(())).count()
    }

    /// Finds free ports and writes a `nodes.conf`. The ports are all held until it is written.
    fn configure(&mut self, count: u32) -> anyhow::Result<()> {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        self.discovery = self.layout.discovery.unwrap_or(udp.local_addr()?.port());
        let name = &self.layout.cluster;
        let mut text = format!("cluster = \"{name}\"\ndiscovery = {}\n", self.discovery);
        let mut held = Vec::new();
        for seat in 1..=count {
            let [client, peer] =
                [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
            let [client_port, peer_port] = [client.local_addr()?.port(), peer.local_addr()?.port()];
            write!(
                text,
                "[[node]]\nid = {seat}\nhost = \"127.0.0.1\"\n\
                 client = {client_port}\npeer = {peer_port}\n"
            )?;
            self.addresses.push(format!("127.0.0.1:{client_port}"));
            held.extend([client, peer]);
            if self.layout.admin {
                let admin = TcpListener::bind("127.0.0.1:0")?;
                writeln!(text, "admin = {}", admin.local_addr()?.port())?;
                held.push(admin);
            }
        }
        fs::write(self.conf(), text)?;
        Ok(())
    }

    fn make_keys(&self, count: u32) -> anyhow::Result<Fingerprint> {
        let (dir, now) = (self.dir.join("keys"), SystemTime::now());
        let key = tls::make_keys(&dir, &self.layout.cluster, now)?;
        for seat in 1..=count {
            tls::make_node(&dir, seat, false, now)?;
        }
        Ok(key)
    }

    fn spawn(&self, seat: u32, store: &StoreUrl) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        // Neither this machine's server nor this user's settings are meant for these.
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("RUSTCHAT_");
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| ours(name) && name != "RUSTCHAT_LOG")
        {
            command.env_remove(name);
        }
        command.env_remove("NOTIFY_SOCKET").env("RUSTCHAT_CONFIG", "/dev/null");
        command.args(["serve", "--until-stdin-closes", "--node", &seat.to_string(), "--nodes"]);
        command.arg(self.conf()).arg("--data").arg(self.data(seat));
        if self.key.is_none() {
            command.arg("--insecure-plain");
        }
        if self.layout.trust_new_links {
            command.env("RUSTCHAT_TRUST_NEW_LINKS", "true");
        }
        if let StoreUrl::Mongo(url) = store {
            command.arg("--store").arg(url);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // A server that is started again goes on with its log.
        let log = log(&self.dir, seat);
        command.stderr(OpenOptions::new().create(true).append(true).open(log)?);
        // A signal from the terminal is for the demo, which then stops its servers in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().with_context(|| format!("starting server {seat}"))
    }

    fn stop(&mut self) {
        for (_, child) in &mut self.children {
            drop(child.stdin.take());
        }
        let deadline = Instant::now() + STOP_TIME;
        for (_, child) in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::park_timeout(STOP_LOOK);
            }
            // An error says that it has ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
        self.children.clear();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
        if !self.keep {
            // What cannot be removed stays in the directory for temporary files.
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

fn log(dir: &Path, seat: u32) -> PathBuf {
    dir.join(format!("server-{seat}.log"))
}

/// Makes a directory that nobody else can read: it will hold passwords.
fn create_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cat` ends as a server does when its standard input closes; `tail -f` does not.
    fn stand_ins() -> Servers {
        let dir = std::env::temp_dir().join(format!("rustchat-demo-{:08x}", rand::random::<u32>()));
        create_private(&dir).unwrap();
        let spawn = |name: &str, word: &str| {
            let mut command = Command::new(name);
            command.arg(word).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
        };
        let children = vec![(1, spawn("cat", "-")), (2, spawn("tail", "-f"))];
        Servers {
            children,
            stores: Vec::new(),
            dir,
            keep: false,
            addresses: Vec::new(),
            discovery: 0,
            key: None,
            layout: Layout::default(),
        }
    }

    #[test]
    fn a_server_is_killed_and_one_that_runs_is_not_started_again() {
        let mut servers = stand_ins();
        assert!(servers.restart(1).is_err(), "it runs");
        servers.kill(2).unwrap();
        assert_eq!(servers.running(), 1);
        assert!(servers.kill(3).is_err() && servers.restart(3).is_err(), "there is none");
    }

    #[test]
    fn a_panic_stops_the_servers_and_removes_their_directory() {
        let mut servers = stand_ins();
        assert_eq!(servers.running(), 2);
        let (dir, pids) = (servers.dir.clone(), servers.processes());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _servers = servers;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(!dir.exists(), "{}", dir.display());
        for pid in pids.split(", ") {
            assert!(!Path::new("/proc").join(pid).exists(), "{pid} still runs");
        }
    }
}
