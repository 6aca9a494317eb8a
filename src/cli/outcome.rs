//! How a command ends, in words; only `main` knows the numbers. It must not
//! know any part of the program.

use crate::chat::text::printable;
use std::fmt;

/// What every command returns.
pub type Outcome = Result<End, Failure>;

/// A command that did what it was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is well.
    Done,
    /// It works, but something is missing or a check failed.
    Degraded,
    /// There is no leader or no majority.
    NotServing,
    /// No node answered.
    NoAnswer,
}

/// What kind of failure it is: what the caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A safety check refused.
    Refused,
    /// The command was typed wrongly.
    Usage,
    /// Data on disk, or given, is damaged.
    Data,
    /// A leader or a majority is needed and there is none.
    Unavailable,
    /// A mistake in the program.
    Bug,
    /// A write, a sync or a read failed.
    Io,
    /// Try again: a time ran out or the leader moved; the outcome may be unknown.
    Again,
    /// The user or the password was refused.
    Auth,
    /// The configuration is wrong.
    Config,
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// For a person: what happened and what to do, with its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure of `kind` with its reason.
    pub fn new(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: error.into() }
    }

    /// The command was typed wrongly.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::text(Kind::Usage, text)
    }

    /// The configuration is wrong.
    pub fn config(text: impl fmt::Display) -> Self {
        Self::text(Kind::Config, text)
    }

    /// A failure of `kind`, described by `text`.
    pub fn text(kind: Kind, text: impl fmt::Display) -> Self {
        Self { kind, error: anyhow::Error::msg(text.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Kind::Io, error)
    }
}

impl From<crate::client::ClientError> for Failure {
    fn from(error: crate::client::ClientError) -> Self {
        use crate::client::ClientError as E;
        let kind = match &error {
            E::Refused(_) | E::PasswordNeeded => Kind::Auth,
            E::NoCertificate { .. } | E::NoGuest { .. } | E::GoHome { .. } => Kind::Auth,
            E::NewCluster { .. } | E::KeyChanged { .. } | E::NoKey { .. } => Kind::Auth,
            E::ChooseCluster(_) | E::ChooseKey { .. } => Kind::Usage,
            E::State(_) => Kind::Io,
            E::Closed => Kind::Bug,
            E::Timeout => Kind::Again,
        };
        // Of one line, also where a cluster's name has two.
        Self::text(kind, printable(&error.to_string()))
    }
}

impl From<crate::tls::KeysError> for Failure {
    fn from(error: crate::tls::KeysError) -> Self {
        use crate::tls::KeysError as E;
        let kind = match &error {
            E::Missing(_) | E::Bad { .. } => Kind::Config,
            E::Exists(_) => Kind::Usage,
            E::Io { .. } => Kind::Io,
            E::Failed(_) => Kind::Bug,
        };
        Self::new(kind, error)
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(kind_of(&error), error)
    }
}

/// Several at once: a line each.
impl From<Vec<crate::config::ConfigError>> for Failure {
    fn from(errors: Vec<crate::config::ConfigError>) -> Self {
        let typed = errors.iter().all(|error| kind_of(error) == Kind::Usage);
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let kind = if typed { Kind::Usage } else { Kind::Config };
        Self::text(kind, lines.join("\n"))
    }
}

fn kind_of(error: &crate::config::ConfigError) -> Kind {
    use crate::config::{ConfigError, settings::Origin};
    match error {
        ConfigError::Setting { origin: Origin::Flag(_), .. } => Kind::Usage,
        _ => Kind::Config,
    }
}
