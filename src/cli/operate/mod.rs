//! Commands that run a cluster: members, leader, drain, health. Questions go to every server;
//! orders go to the admin address of one server on this machine, which takes them where they
//! belong. It must not know how an order is carried out.

pub mod args;

mod http;
mod links;
mod registration;
mod show;

pub use links::link;
pub use registration::{invite, registration};
pub use show::{health, leader_show, member_list};

use super::connect::{nodes_file, targets};
use super::outcome::{End, Failure, Kind, Outcome};
use crate::chat::text::printable;
use crate::client::status::ask_all;
use crate::config;
use crate::report::Row;
use crate::tls::Fingerprint;
use args::{AdminArgs, DrainArgs, LeaderCommand, MemberCommand, OrderArgs};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Where a server of one without a `nodes.conf` takes orders.
const DEFAULT_ADMIN: &str = "127.0.0.1:7301";
/// How often to look whether a server is drained.
const LOOK: Duration = Duration::from_millis(200);
/// One server's answer to such a look.
const PATIENCE: Duration = Duration::from_secs(2);

/// `rustchat member`.
///
/// # Errors
/// See [`order`].
pub async fn member(command: &MemberCommand) -> Outcome {
    match command {
        MemberCommand::List { target, json } => member_list(target, *json).await,
        MemberCommand::Add { seat, host, client, peer, order: how } => {
            let wanted = json!({
                "order": "add", "seat": seat, "host": host, "client": client, "peer": peer,
            });
            order(how, wanted).await
        }
        MemberCommand::Promote { seat, order: how } => {
            order(how, json!({ "order": "promote", "seat": seat })).await
        }
        MemberCommand::Remove { seat, yes, order: how } => {
            if !yes && !how.dry_run {
                confirm(*seat)?;
            }
            order(how, json!({ "order": "remove", "seat": seat })).await
        }
    }
}

/// `rustchat leader`.
///
/// # Errors
/// See [`order`].
pub async fn leader(command: &LeaderCommand) -> Outcome {
    match command {
        LeaderCommand::Show { target } => leader_show(target).await,
        LeaderCommand::Transfer { seat, order: how } => {
            order(how, json!({ "order": "transfer", "seat": seat })).await
        }
        LeaderCommand::StepDown { order: how } => order(how, json!({ "order": "transfer" })).await,
    }
}

/// `rustchat drain` and `rustchat undrain`.
///
/// # Errors
/// See [`order`]; also when it is not drained in time.
pub async fn drain(args: &DrainArgs, on: bool) -> Outcome {
    let word = if on { "drain" } else { "undrain" };
    let end = order(&args.order, json!({ "order": word, "seat": args.seat })).await?;
    if !(on && args.wait) || args.order.dry_run {
        return Ok(end);
    }
    let (nodes, trust) = (args.order.admin.nodes.clone(), args.trust.clone());
    let target = crate::cli::args::TargetArgs { nodes, node: Vec::new(), trust };
    let security = target.security()?;
    let until = Instant::now() + args.timeout;
    loop {
        let rows = ask_all(targets(&target)?, PATIENCE, None, security).await;
        let own = rows.iter().filter_map(Row::fresh).find(|s| s.seat == args.seat);
        let left = match own {
            Some(s) if s.draining && s.sessions == 0 && s.role != "leader" => {
                say(&format!("node {} has no clients and does not lead: it may stop", args.seat))?;
                return Ok(End::Done);
            }
            Some(s) => format!("it is {} with {} clients", s.role, s.sessions),
            None => "it does not answer".to_owned(),
        };
        if Instant::now() > until {
            let text = format!("node {} is not drained yet: {left}", args.seat);
            return Err(Failure::text(Kind::Again, text));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives an order and says what became of it.
///
/// # Errors
/// It was refused, cannot be done now, its outcome is not known, or no server takes orders.
pub async fn order(how: &OrderArgs, mut wanted: Value) -> Outcome {
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.insert("dry_run".to_owned(), how.dry_run.into());
    }
    tell(give(&how.admin, &wanted).await?)
}

fn tell(answer: Answer) -> Outcome {
    match answer {
        Answer::Done(text) => {
            say(&text)?;
            Ok(End::Done)
        }
        Answer::Failed(failure) => Err(failure),
        Answer::Confirm { text, key } => {
            Err(Failure::text(Kind::Auth, format!("{text} has the key {key}")))
        }
        Answer::Nobody(why) => {
            complain(&why);
            Ok(End::NoAnswer)
        }
    }
}

/// What became of an order.
pub enum Answer {
    /// It is done; in words.
    Done(String),
    /// It is not, or nobody knows.
    Failed(Failure),
    /// Not before a person has compared this key.
    Confirm {
        /// Whose it is.
        text: String,
        /// The key.
        key: Fingerprint,
    },
    /// No server took it.
    Nobody(String),
}

/// Gives an order to the first server that takes orders.
///
/// # Errors
/// A `nodes.conf` with mistakes.
pub async fn give(admin: &AdminArgs, wanted: &Value) -> Result<Answer, Failure> {
    give_to("/v1/orders", admin, wanted).await
}

/// Posts what is wanted to a path of the first server that takes orders.
///
/// # Errors
/// A `nodes.conf` with mistakes.
async fn give_to(path: &str, admin: &AdminArgs, wanted: &Value) -> Result<Answer, Failure> {
    let mut why = Vec::new();
    for address in addresses(admin)? {
        match http::post(&address, path, wanted).await {
            Ok(answer) => return Ok(read(&answer)),
            // Nothing was sent: another one can take it.
            Err(http::Error::Connect(error)) => why.push(format!("{address}: {error}")),
            Err(http::Error::Refused(error)) => {
                let text = format!("{address} does not take this order: {error}");
                return Ok(Answer::Failed(Failure::text(Kind::Usage, text)));
            }
            Err(http::Error::After(error)) => {
                let text = format!("{address}: {error}; whether it was done is not known");
                return Ok(Answer::Failed(Failure::text(Kind::Again, text)));
            }
        }
    }
    let why = why.join("; ");
    Ok(Answer::Nobody(format!(
        "no server on this machine takes orders ({why}); run this where a server runs, or name \
         its admin address with --admin"
    )))
}

fn read(answer: &Value) -> Answer {
    let text = answer["text"].as_str().unwrap_or("no reason given").to_owned();
    let key = answer["fingerprint"].as_str().and_then(|key| key.parse().ok());
    let kind = match answer["result"].as_str() {
        Some("done") => return Answer::Done(text),
        Some("confirm") if let Some(key) = key => return Answer::Confirm { text, key },
        Some("refused") => Kind::Refused,
        Some("not_now" | "unknown") => Kind::Again,
        Some("forbidden") => Kind::Auth,
        _ => Kind::Usage,
    };
    Answer::Failed(Failure::text(kind, text))
}

/// Where servers on this machine may take orders.
fn addresses(args: &AdminArgs) -> Result<Vec<String>, Failure> {
    if !args.admin.is_empty() {
        return Ok(args.admin.clone());
    }
    let Some(file) = nodes_file(args.nodes.as_deref()) else {
        return Ok(vec![DEFAULT_ADMIN.to_owned()]);
    };
    let nodes = config::read(&file)?;
    let address = |node: &config::Node| {
        let ip: IpAddr = node.listen.parse().ok().filter(IpAddr::is_loopback)?;
        Some(SocketAddr::new(ip, node.admin?).to_string())
    };
    let other = |node: &config::Node| Some(format!("127.0.0.1:{}", node.admin?));
    let mut all: Vec<String> =
        nodes.nodes.iter().filter_map(|node| address(node).or_else(|| other(node))).collect();
    all.dedup();
    if all.is_empty() {
        let text = "no server in nodes.conf has an admin port: add admin = 7301, or use --admin";
        return Err(Failure::config(text));
    }
    Ok(all)
}

/// Asks whether it is meant.
fn confirm(seat: u32) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("to remove a member without being asked, add --yes"));
    }
    let mut out = io::stderr().lock();
    write!(out, "Type n{seat} to take node {seat} out of the cluster: ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.trim() == format!("n{seat}") {
        return Ok(());
    }
    Err(Failure::text(Kind::Refused, "that is not its name: nothing was done"))
}

/// Prints lines, some of whose words are others'.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in text.lines() {
        match writeln!(out, "{}", printable(line)) {
            Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return Err(why.into()),
            _ => {}
        }
    }
    Ok(())
}

fn complain(text: &str) {
    // Where standard error is gone, there is nobody left to tell.
    drop(writeln!(io::stderr().lock(), "rustchat: {}", printable(text)));
}
