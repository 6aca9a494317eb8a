//! The MongoDB that the tests run on: the one in `MONGODB_URI`, else a `mongod` in PATH,
//! else a stand-in that is built here. `RUSTCHAT_TEST_MONGO` = `mongod`, `java` or
//! `ferretdb` says which. README.md beside this file says what a stand-in cannot show.

use super::place::Place;
use super::signal::signal;
use super::wait::wait_until;
use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Which kind of server it must be.
const FORCED: &str = "RUSTCHAT_TEST_MONGO";
/// Where a server is that somebody else runs.
const GIVEN: &str = "MONGODB_URI";
/// The usual one, on an address of the server's own.
const PORT: u16 = 27017;
/// For a server that starts, on a machine that has much to do.
const START: Duration = Duration::from_secs(60);
/// For a server that closes its files.
const STOP: Duration = Duration::from_secs(20);
/// Runs a server as long as its own standard input is open: also when a test process is
/// killed, nothing of it is left. Arguments: log file, directory to remove at the end (or
/// nothing), and the command. It prints the server's process id.
const KEEPER: &str = r#"
log=$1 remove=$2
shift 2
exec 3<&0
"$@" <&3 >>"$log" 2>&1 &
echo $!
cat <&3 >/dev/null
kill $! 2>/dev/null
wait $!
[ -z "$remove" ] || rm -rf "$remove"
"#;

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That of `MONGODB_URI`, which somebody else runs.
    Given,
    /// A real one that was started here.
    Mongod,
    /// The stand-in on mongo-java-server.
    Java,
    /// The stand-in on FerretDB.
    Ferret,
}

/// The server that all tests of this process share, without a database.
pub fn mongo_uri() -> &'static str {
    &shared().uri
}

/// What the server is that all tests of this process share.
pub fn mongo_kind() -> Kind {
    shared().kind
}

/// The URI of a database on the shared server that nobody else uses.
pub fn fresh_database(what: &str) -> String {
    in_database(mongo_uri(), &fresh_name(what))
}

/// A name for a database that nobody else uses.
pub fn fresh_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test_{what}_{}_{count}_{now}", std::process::id())
}

/// The same server with a database in its URI; the options stay.
pub fn in_database(uri: &str, name: &str) -> String {
    let (server, options) = uri.split_once('?').unwrap_or((uri, ""));
    let (scheme, hosts) = server.split_once("://").unwrap_or(("mongodb", server));
    let hosts = hosts.split('/').next().unwrap_or("");
    let options = if options.is_empty() { String::new() } else { format!("?{options}") };
    format!("{scheme}://{hosts}/{name}{options}")
}

/// The server that the tests of this process share.
struct Shared {
    uri: String,
    kind: Kind,
    /// Kept for as long as the process lives; its keeper ends it then and removes its data.
    _kept: Option<(Place, Running)>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match (forced()?, std::env::var(GIVEN)) {
        (None, Ok(uri)) => Ok(Shared { uri, kind: Kind::Given, _kept: None }),
        (forced, _) => {
            let kind = forced.unwrap_or_else(own_kind);
            let home = TempDir::new().map_err(|why| why.to_string())?.keep();
            let place = Place::take();
            let address = (place.host(1), PORT).into();
            let running = run(kind, address, &home, true)?;
            Ok(Shared { uri: uri(address), kind, _kept: Some((place, running)) })
        }
    });
    shared.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// A server of a test's own, which can end and come back.
pub struct Server {
    kind: Kind,
    address: SocketAddr,
    _place: Place,
    home: TempDir,
    running: Option<Running>,
}

impl Server {
    /// A fresh one that runs: a stand-in or a real one, but never that of `MONGODB_URI`.
    pub fn private() -> Self {
        let kind = forced().map(|forced| forced.unwrap_or_else(own_kind));
        let kind = kind.unwrap_or_else(|why| panic!("{why}"));
        let place = Place::take();
        let address = (place.host(1), PORT).into();
        let home = TempDir::new().unwrap();
        let mut server = Self { kind, address, _place: place, home, running: None };
        server.start();
        server
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens, in all its lives.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for the driver, without a database.
    pub fn uri(&self) -> String {
        uri(self.address)
    }

    /// Starts it again, on its old address and with its old data.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let running = run(self.kind, self.address, self.home.path(), false);
        self.running = Some(running.unwrap_or_else(|why| panic!("{why}")));
    }

    /// Ends it in an orderly way, and waits for that.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end();
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// Another signal, like `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.running.as_ref().map(|running| running.pid).expect("it is down"), name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server's process and who keeps it.
struct Running {
    pid: u32,
    keeper: Child,
    /// While it is open, the server runs.
    stdin: Option<ChildStdin>,
}

impl Running {
    fn end(&mut self) {
        self.stdin = None;
        let what = "the MongoDB server ends";
        wait_until(STOP, what, || self.keeper.try_wait().unwrap());
    }

    fn kill(&mut self) {
        // One that has ended by itself is not there any more.
        if alive(self.pid) {
            signal(self.pid, "KILL");
        }
        self.end();
    }
}

fn uri(address: SocketAddr) -> String {
    format!("mongodb://{address}")
}

fn forced() -> Result<Option<Kind>, String> {
    match std::env::var(FORCED).as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("mongod") => Ok(Some(Kind::Mongod)),
        Ok("java") => Ok(Some(Kind::Java)),
        Ok("ferretdb") => Ok(Some(Kind::Ferret)),
        Ok(other) => Err(format!("{FORCED}={other}: mongod, java or ferretdb")),
    }
}

fn own_kind() -> Kind {
    if in_path("mongod") { Kind::Mongod } else { Kind::Java }
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn support() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support")
}

/// Builds a stand-in if there is none yet, or an old one.
fn build(which: &str) -> Result<PathBuf, String> {
    let output = Command::new(support().join("build")).arg(which).stdin(Stdio::null()).output();
    let output = output.map_err(|why| format!("tests/support/build: {why}"))?;
    if output.status.success() {
        return Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/support"));
    }
    Err(format!(
        "these tests need a MongoDB. Any of these is enough: a `mongod` in PATH; JDK 17 and Maven, \
         for the stand-in; {GIVEN}=mongodb://… of a server that runs. The stand-in could not be \
         built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The command that listens on `address` and keeps its data in `home`.
fn command(kind: Kind, address: SocketAddr, home: &Path) -> Result<Vec<String>, String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let data = home.join("data");
    let mut words = match kind {
        Kind::Given => return Err(format!("{GIVEN} is not ours to start")),
        Kind::Mongod => {
            if !in_path("mongod") {
                return Err(format!("{FORCED} asks for a `mongod`, and none is in PATH"));
            }
            std::fs::create_dir_all(&data).map_err(|why| why.to_string())?;
            let small = "mongod --nounixsocket --wiredTigerCacheSizeGB 0.25 --bind_ip";
            let mut words: Vec<_> = small.split(' ').map(str::to_owned).collect();
            let port = address.port().to_string();
            words.extend([address.ip().to_string(), "--port".to_owned(), port]);
            words.extend(["--dbpath".to_owned(), text(data)]);
            return Ok(words);
        }
        Kind::Java => {
            let jar = build("java")?.join("mongo-java/mongo-java.jar");
            let quick = "java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -jar";
            let mut words: Vec<_> = quick.split(' ').map(str::to_owned).collect();
            words.push(text(jar));
            words
        }
        Kind::Ferret => vec![text(build("ferretdb")?.join("ferretdb/ferretdb"))],
    };
    words.extend([address.to_string(), text(data)]);
    Ok(words)
}

/// Starts a server and waits until it listens.
fn run(kind: Kind, address: SocketAddr, home: &Path, remove: bool) -> Result<Running, String> {
    let command = command(kind, address, home)?;
    let log = home.join("log");
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "sh"]).arg(&log);
    keeper.arg(if remove { home } else { Path::new("") }).args(command);
    // In a group of its own: what ends the tests from a terminal leaves it its last duty.
    keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut keeper = keeper.spawn().map_err(|why| format!("sh: {why}"))?;
    let stdin = keeper.stdin.take();
    let mut line = String::new();
    let stdout = keeper.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line).map_err(|why| why.to_string())?;
    let pid = line.trim().parse().map_err(|_| format!("no process id but {line:?}"))?;
    let mut running = Running { pid, keeper, stdin };
    let listens = wait_until(START, "the MongoDB server listens", || {
        let reached = TcpStream::connect(address).is_ok();
        (reached || !alive(pid)).then_some(reached)
    });
    if listens && alive(pid) {
        return Ok(running);
    }
    let said = read_to_string(&log).unwrap_or_default();
    running.end();
    Err(format!("the MongoDB server ({kind:?}) ended at once:\n{said}"))
}

/// Whether a process is there and has not ended.
fn alive(pid: u32) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
