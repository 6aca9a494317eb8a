//! `rustchat demo`: three servers on this machine and a chat to try. Everything
//! that it starts and writes is gone when it ends, however it ends.

mod guide;
pub mod servers;

use crate::chat::name::UserName;
use crate::chat::text::printable;
use crate::cli::args::DemoArgs;
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::cli::signals::Signals;
use crate::client::security::Security;
use crate::client::status::status;
use crate::client::{Account, ClientConfig, Finding};
use crate::ui::chat::{ChatOptions, Ended};
use anyhow::{Context, bail};
use servers::Servers;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Servers of the demo: one may die.
const SERVERS: u32 = 3;
/// The welcome, with places for names and commands.
const WELCOME: &str = include_str!("../../assets/demo.txt");
/// A leader is there long before this, or something is wrong.
const LEADER_TIME: Duration = Duration::from_secs(30);
/// How often the servers are asked.
const ASK: Duration = Duration::from_millis(100);

/// Runs the demo until the user leaves or a signal ends it.
///
/// # Errors
/// The servers cannot be started, or find no leader.
pub async fn run(args: &DemoArgs) -> Outcome {
    let user = UserName::fold(&args.user)
        .map_err(|why| Failure::usage(format!("--user {:?}: {why}", args.user)))?;
    let mut signals = Signals::new()?;
    let mut servers =
        Servers::start(SERVERS, args.keep).map_err(|why| Failure::new(Kind::Io, why))?;
    let ended = tokio::select! {
        ended = Box::pin(show(&mut servers, user.as_str())) => ended,
        () = signals.next() => Ok(()),
    };
    if args.keep {
        say(&format!("kept in {}", servers.dir().display()));
    }
    ended.map(|()| End::Done).map_err(|why| Failure::new(Kind::Unavailable, why))
}

async fn show(servers: &mut Servers, user: &str) -> anyhow::Result<()> {
    say(&format!("starting {} servers in {}", SERVERS, servers.dir().display()));
    wait_for_leader(servers).await?;
    let guest = if user == "bob" { "carol" } else { "bob" };
    let guide = if user == "guide" { "host" } else { "guide" };
    let second = command_for(servers, guest)?;
    let dash = dash_command(servers)?;
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        print(&format!("{}\n{second}\n{dash}\n", command_for(servers, user)?))?;
        say("the servers run until this is stopped with Ctrl-C or SIGTERM");
        return watch(servers).await;
    }
    let config = client_config(servers, user)?;
    guide::register(&config).await.with_context(|| format!("registering {user}"))?;
    let text = WELCOME
        .replace("{user}", user)
        .replace("{second}", &script(servers, guest, &second)?)
        .replace("{dash}", &script(servers, "dash", &dash)?)
        .replace("{servers}", &servers.processes());
    guide::welcome(&config, guide, user, &text).await.context("writing the welcome")?;
    say(&format!("for a second terminal:\n{second}"));
    let chat = Box::pin(crate::ui::chat::run(config, ChatOptions::default()));
    match chat.await? {
        Ended::Quit { .. } => Ok(()),
        Ended::Failed(why) => bail!(why),
    }
}

/// Says on standard error how far the servers are, until one leads.
async fn wait_for_leader(servers: &mut Servers) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut up = BTreeSet::new();
    let mut ask = tokio::time::interval(ASK);
    while start.elapsed() < LEADER_TIME {
        ask.tick().await;
        servers.check()?;
        for address in &servers.addresses {
            let Ok(now) = status(address, ASK * 5, Security::of(servers.key)).await else {
                continue;
            };
            if up.insert(now.seat) {
                say(&format!("server {} is up", now.seat));
            }
            if let (Some(leader), true) = (now.leader, now.cluster_name == servers::CLUSTER) {
                let after = start.elapsed().as_secs_f64();
                say(&format!("server {leader} leads in term {}, after {after:.1} s", now.term));
                return Ok(());
            }
        }
    }
    bail!("no leader within {} s; {} servers answer", LEADER_TIME.as_secs(), up.len())
}

/// Lets the servers run for as long as at least one does.
async fn watch(servers: &mut Servers) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    while servers.running() > 0 {
        look.tick().await;
    }
    bail!("all servers have ended")
}

fn client_config(servers: &Servers, user: &str) -> anyhow::Result<ClientConfig> {
    let password = std::fs::read_to_string(password_file(servers, user)?)?;
    Ok(ClientConfig {
        finding: Finding {
            servers: servers.addresses.clone(),
            cluster: None,
            home: None,
            discovery_port: servers.discovery,
            ask: vec![SocketAddr::from(([127, 255, 255, 255], servers.discovery))],
            security: Security::of(servers.key),
            from: None,
        },
        account: Account {
            name: user.into(),
            password: Some(password),
            register: true,
            invite: None,
        },
        state_dir: Some(servers.dir().join("state")),
        device: None,
    })
}

/// The command with which somebody else joins in a second terminal. It leaves nothing outside
/// of the demo's directory.
fn command_for(servers: &Servers, user: &str) -> anyhow::Result<String> {
    let server = servers.addresses.first().context("no servers")?;
    Ok(format!(
        "{} chat --user {user} --register --server {server} --discovery {} \
         --password-file {} --state {}",
        quoted(&program()?),
        servers.discovery,
        quoted(&password_file(servers, user)?),
        quoted(&servers.dir().join("state")),
    ))
}

fn dash_command(servers: &Servers) -> anyhow::Result<String> {
    let conf = servers.dir().join("nodes.conf");
    Ok(format!("{} dash --nodes {}", quoted(&program()?), quoted(&conf)))
}

/// Puts a long command into a short one, which fits a line of the screen.
fn script(servers: &Servers, name: &str, command: &str) -> anyhow::Result<String> {
    let file = servers.dir().join(name);
    write_private(&file, &format!("exec {command}\n"))?;
    Ok(format!("sh {}", quoted(&file)))
}

/// A path as a word for the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program")
}

/// The file with the user's password, made where it is not there; only we can read it.
fn password_file(servers: &Servers, user: &str) -> anyhow::Result<PathBuf> {
    let file = servers.dir().join(format!("{user}.password"));
    if !file.exists() {
        write_private(&file, &format!("{:032x}", rand::random::<u128>()))?;
    }
    Ok(file)
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// Progress, for a person.
fn say(line: &str) {
    // Where standard error is gone, there is nobody to tell.
    drop(writeln!(std::io::stderr().lock(), "demo: {}", printable(line)));
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
