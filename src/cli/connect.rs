//! From the options of a command to what the client library needs: names,
//! addresses, passwords. It must not connect.

use super::args::{ConnectArgs, SeekArgs, TargetArgs, TrustArgs};
use super::effective::keys_beside;
use super::outcome::{Failure, Kind};
use crate::chat::name::UserName;
use crate::chat::text::printable;
use crate::client::security::{Pins, Security};
use crate::client::{Account, ClientConfig, ClientError, Finding, status};
use crate::config;
use crate::tls::{self, Fingerprint, KeysError};
use crate::wire::message::place;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The client's configuration; the password only if a file gives it. Where a device has a token
/// none is needed, so a person is asked later, by [`ask_password`], when the client says
/// [`crate::client::ClientError::PasswordNeeded`].
///
/// # Errors
/// Bad names and addresses, and a password file that cannot be read.
pub fn client_config(args: &ConnectArgs) -> Result<ClientConfig, Failure> {
    let (name, home) = match args.user.split_once('@') {
        Some((name, cluster)) => (name, Some(cluster.to_owned())),
        None => (args.user.as_str(), None),
    };
    let name = UserName::fold(name)
        .map_err(|why| Failure::usage(format!("--user {name:?}: {why}")))?
        .to_string();
    let password = args.password_file.as_deref().map(password_from).transpose()?;
    let invite = args.invite.clone();
    Ok(ClientConfig {
        finding: finding(args, home)?,
        account: Account { name, password, register: args.register, invite },
        state_dir: Some(state_dir(args)?),
        device: None,
    })
}

/// Where the client keeps its devices and its logs.
///
/// # Errors
/// The user has no home directory and `--state` was not given.
pub fn state_dir(args: &ConnectArgs) -> Result<PathBuf, Failure> {
    match &args.state {
        Some(dir) => Ok(dir.clone()),
        None => Ok(config::dirs::state()?),
    }
}

fn finding(args: &ConnectArgs, home: Option<String>) -> Result<Finding, Failure> {
    args.server.iter().try_for_each(|server| check_server(server))?;
    let security = Security { trust_new: args.trust_new, ..args.trust.security() };
    Ok(Finding {
        servers: args.server.clone(),
        cluster: args.cluster.clone(),
        home,
        discovery_port: args.discovery,
        ask: vec![],
        security,
        from: None,
    })
}

fn check_server(server: &str) -> Result<(), Failure> {
    let wrong = |why: String| Failure::usage(format!("--server {server:?}: {why}"));
    if server.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(wrong("write it as HOST:PORT, for example 127.0.0.1:7101".into()));
    }
    server.to_socket_addrs().map(drop).map_err(|why| wrong(why.to_string()))
}

impl TrustArgs {
    /// What was said.
    #[must_use]
    pub const fn security(&self) -> Security {
        Security { plain: self.insecure_plain, expected: self.fingerprint, trust_new: false }
    }

    /// The same for operators: where nobody says which cluster is meant, it is the one whose keys
    /// lie beside `nodes.conf`.
    ///
    /// # Errors
    /// Keys that are there and damaged.
    pub fn of_operator(&self, nodes: Option<&Path>) -> Result<Security, Failure> {
        let given = self.security();
        let Some(file) = nodes_file(nodes).filter(|_| !given.plain && given.expected.is_none())
        else {
            return Ok(given);
        };
        match tls::authority_of(&keys_beside(&file)) {
            Ok(key) => Ok(given.expecting(Some(key))),
            Err(KeysError::Missing(_)) => Ok(given),
            Err(why) => Err(why.into()),
        }
    }
}

/// A person compares the key of a cluster that is new here, and says whether it is the right one;
/// then the client expects it.
///
/// # Errors
/// There is nobody to ask, or the person says no.
pub async fn ask_about(
    finding: &mut Finding,
    server: &str,
    key: Fingerprint,
) -> Result<(), Failure> {
    let new = || ClientError::NewCluster { server: server.to_owned(), key };
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(new().into());
    }
    let question = format!(
        "The cluster at {} is new here. Its key is\n\n    {key}\n\n\
         Compare it with what its operator sees in `rustchat keys show`.\n\
         Is it the same (yes/no)? ",
        printable(server)
    );
    let asked = tokio::task::spawn_blocking(move || {
        io::stderr().lock().write_all(question.as_bytes())?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        io::Result::Ok(answer)
    });
    let answer = asked.await.map_err(io::Error::other)??;
    match answer.trim() {
        "yes" => {
            finding.security.expected = Some(key);
            Ok(())
        }
        _ => Err(Failure::text(Kind::Auth, "not the right cluster: nothing was told to it")),
    }
}

/// The first line of a file.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn password_from(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|why| Failure::config(format!("password file {}: {why}", file.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::config(format!(
            "password file {}: its first line must be the password",
            file.display()
        ))),
    }
}

/// Asks for the password of a user on the terminal, twice if it is a new one.
///
/// # Errors
/// See [`ask`].
pub async fn ask_password(account: &mut Account) -> Result<(), Failure> {
    let question = format!("Password of {}: ", account.name);
    let password = ask(question, account.register.then_some("Once more: ")).await?;
    account.password = Some(password);
    Ok(())
}

/// Asks for a password on the terminal; with `again`, a second time, and both must be the same.
///
/// # Errors
/// There is no terminal, it cannot be read, or the two passwords differ.
pub async fn ask(question: String, again: Option<&'static str>) -> Result<String, Failure> {
    // Standard input may carry the messages to send; the question goes to the terminal itself.
    if !(io::stdin().is_terminal() || io::stderr().is_terminal()) {
        let text = "a password is needed: use --password-file, or a terminal";
        return Err(Failure::text(Kind::Auth, text));
    }
    let asked = tokio::task::spawn_blocking(move || {
        let password = rpassword::prompt_password(question)?;
        let same = match again {
            Some(again) => rpassword::prompt_password(again)? == password,
            None => true,
        };
        io::Result::Ok(same.then_some(password))
    });
    let password = asked.await.map_err(io::Error::other)??;
    password.ok_or_else(|| Failure::usage("the two passwords differ"))
}

impl TargetArgs {
    /// Whom to trust.
    ///
    /// # Errors
    /// Keys that are there and damaged.
    pub fn security(&self) -> Result<Security, Failure> {
        self.trust.of_operator(self.nodes.as_deref())
    }
}

/// The servers that `status` and `dash` ask, as `host:port` of their client ports: those of
/// `--node`, else of `--nodes`, else of `./nodes.conf`, else the default address.
///
/// # Errors
/// A `nodes.conf` with mistakes.
pub fn targets(args: &TargetArgs) -> Result<Vec<String>, Failure> {
    if !args.node.is_empty() {
        return Ok(args.node.clone());
    }
    let Some(file) = nodes_file(args.nodes.as_deref()) else {
        let port = config::SINGLE_CLIENT_PORT;
        return Ok(vec![SocketAddr::from((IpAddr::from([127, 0, 0, 1]), port)).to_string()]);
    };
    let nodes = config::read(&file)?;
    Ok(nodes.nodes.iter().map(|n| place(&n.host, n.client)).collect())
}

/// The servers to look at, as [`targets`] has them; where none is named, neither by an option nor
/// by a file, those of the cluster that answers on the network.
///
/// # Errors
/// A `nodes.conf` with mistakes; several clusters answer, or not the one that was named.
pub async fn find_targets(
    args: &TargetArgs,
    seek: &SeekArgs,
) -> Result<(Vec<String>, Security), Failure> {
    let security = args.security()?;
    if !args.node.is_empty() || nodes_file(args.nodes.as_deref()).is_some() {
        return Ok((targets(args)?, security));
    }
    let security = security.expecting(known_key(seek.cluster.as_deref()));
    let found = status::discover(seek.discovery, seek.cluster.as_deref(), security).await?;
    if !found.is_empty() {
        return Ok((found, security));
    }
    match &seek.cluster {
        None => Ok((targets(args)?, security)),
        Some(name) => {
            let text = format!(
                "the cluster {name} does not answer on the network (only a leader does): name a \
                 server with --node, or a file with --nodes"
            );
            Err(Failure::text(Kind::Unavailable, text))
        }
    }
}

/// The key that this user's clients know a cluster of this name by, if there is one.
fn known_key(cluster: Option<&str>) -> Option<Fingerprint> {
    let state = std::env::var_os("RUSTCHAT_STATE").map(PathBuf::from);
    let state = state.or_else(|| config::dirs::state().ok())?;
    let pins = Pins::load(Some(&state)).ok()?;
    pins.named(cluster?).next()
}

/// The `nodes.conf` to use: the one given, else the one in the current directory.
#[must_use]
pub fn nodes_file(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_path_buf).or_else(|| {
        let here = PathBuf::from("nodes.conf");
        here.is_file().then_some(here)
    })
}
