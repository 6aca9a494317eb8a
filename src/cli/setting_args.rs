//! The options that are a server's settings too, as clap reads them, and how they
//! come to the layers of `config::settings`. It must not know what they do.

use crate::config::settings::{Sources, check};
use clap::Args;
use std::path::PathBuf;

/// What ends the help of every command that takes them.
pub const AFTER_HELP: &str = "\
Every setting is also a key of the configuration file and a variable, such as RUSTCHAT_DATA or \
RUSTCHAT_LOG__LEVEL. Flags win over the environment, that over the file, that over nodes.conf and \
the defaults. `rustchat config show --origin` says what holds and why.";

/// A server's settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingArgs {
    /// The configuration file [env: RUSTCHAT_CONFIG] [default: /etc/rustchat/rustchat.toml if it
    /// is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which [[node]] of nodes.conf this server is; found by its own addresses if not given
    #[arg(long, value_name = "SEAT", value_parser = checked("node"))]
    pub node: Option<String>,
    /// The servers of the cluster [env: RUSTCHAT_NODES] [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE")]
    pub nodes: Option<String>,
    /// Where this server keeps its data [default: the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// `embedded`, or the URL of a database: mongodb://… [default: as nodes.conf says]
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// A file with that URL in its first line, which others shall not see
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub store_file: Option<String>,
    /// The directory with this server's key [default: `keys` beside nodes.conf; of a cluster of
    /// one beside its data]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<String>,
    /// Use no TLS at all: whoever is on the network can read and change everything
    #[arg(long)]
    pub insecure_plain: bool,
    /// Where to listen for probes and metrics, or `off` [default: nodes.conf's port, on this
    /// machine alone]
    #[arg(long, value_name = "ADDRESS", value_parser = checked("admin"))]
    pub admin: Option<String>,
    /// Servers of other clusters, where the network does not tell, with commas between
    #[arg(long, value_name = "HOST:PORT,…", value_parser = checked("links"))]
    pub links: Option<String>,
    /// Trust other clusters that are heard for the first time: for networks with no strangers
    #[arg(long)]
    pub trust_new_links: bool,
    /// An orderly end takes at most this long [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = checked("shutdown_grace"))]
    pub shutdown_grace: Option<String>,
    /// Log bytes that bring a snapshot [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = checked("snapshot_log_bytes"))]
    pub snapshot_log_bytes: Option<String>,
    /// off, error, warn, info, debug, trace, or filters like warn,rustchat::raft=debug
    /// [env: RUSTCHAT_LOG] [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = checked("log.level"))]
    pub log_level: Option<String>,
    /// text, json, or auto: text for a terminal, else JSON [default: auto]
    #[arg(long, value_name = "FORMAT", value_parser = checked("log.format"))]
    pub log_format: Option<String>,
    /// Log to files in this directory too, one a day
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<String>,
    /// Days of log files to keep [default: 14]
    #[arg(long, value_name = "DAYS", value_parser = checked("log.keep"))]
    pub log_keep: Option<String>,
}

/// A text that is a value for `key`.
fn checked(
    key: &'static str,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| check(key, text).map(|()| text.to_owned())
}

impl SettingArgs {
    /// These flags, over this process's environment.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let plain = self.insecure_plain.then(|| "true".to_owned());
        let trust_new = self.trust_new_links.then(|| "true".to_owned());
        let all = [
            ("node", &self.node),
            ("nodes", &self.nodes),
            ("data", &self.data),
            ("store", &self.store),
            ("store_file", &self.store_file),
            ("keys", &self.keys),
            ("insecure_plain", &plain),
            ("admin", &self.admin),
            ("links", &self.links),
            ("trust_new_links", &trust_new),
            ("shutdown_grace", &self.shutdown_grace),
            ("snapshot_log_bytes", &self.snapshot_log_bytes),
            ("log.level", &self.log_level),
            ("log.format", &self.log_format),
            ("log.dir", &self.log_dir),
            ("log.keep", &self.log_keep),
        ];
        let given = all.into_iter().filter_map(|(key, text)| Some((key, text.clone()?)));
        // What is no UTF-8 is told where it is read.
        let text = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Sources {
            file: self.config.clone(),
            flags: given.collect(),
            environment: environment.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::KEYS;
    use clap::{Command, FromArgMatches};

    #[test]
    fn every_key_has_its_flag() {
        let command = SettingArgs::augment_args(Command::new("x"));
        for key in KEYS {
            let flag = key.replace(['.', '_'], "-");
            let known = command.get_arguments().any(|a| a.get_long() == Some(flag.as_str()));
            assert!(known, "--{flag}");
        }
        let words = ["x", "--insecure-plain", "--log-keep", "3", "--config", "f"];
        let matches = command.try_get_matches_from(words).unwrap();
        let sources = SettingArgs::from_arg_matches(&matches).unwrap().sources();
        assert_eq!(sources.file, Some("f".into()));
        let flags = [("insecure_plain", "true".to_owned()), ("log.keep", "3".to_owned())];
        assert_eq!(sources.flags, flags);
    }
}
