//! A plan: what one stopped server says of itself, as a file that can be carried to where
//! the plans of all survivors are compared. It must not know which server is chosen.

use crate::chat::text::printable_json;
use crate::cli::outcome::{Failure, Kind};
use crate::raft::rescue;
use crate::store::StoreError;
use crate::store::check::{Survey, Where};
use crate::store::record::LogId;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The format of the file.
const SCHEMA: u32 = 1;

/// Place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct At {
    /// First, for it decides: an entry of a later term replaced those of earlier ones.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it is.
    pub host: String,
    /// Its seat.
    pub id: String,
    /// Its Raft id.
    pub raft_id: u64,
    /// Whether it votes.
    pub voter: bool,
}

/// What a stopped server says of itself. Keys are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The last entry in the state.
    pub applied: Option<At>,
    /// When the plan was made, RFC 3339 in UTC.
    pub at: String,
    /// The cluster's id.
    pub cluster: String,
    /// Its name.
    pub cluster_name: String,
    /// The last entry known to be committed.
    pub commit: Option<At>,
    /// The cluster's generation.
    pub generation: u64,
    /// The server's seat.
    pub id: String,
    /// Of its data: tells it from a copy.
    pub incarnation: String,
    /// The last entry of the log.
    pub last: Option<At>,
    /// The members of the cluster, as this server knows them.
    pub members: Vec<Place>,
    /// The server's Raft id.
    pub raft_id: u64,
    /// The format of this document.
    pub schema: u32,
    /// The last entry that only the state has.
    pub snapshot: Option<At>,
    /// `embedded` or `mongodb`.
    pub store: String,
    /// The last term it voted in.
    pub term: u64,
    /// The voters' Raft ids; two sets while they change.
    pub voters: Vec<Vec<u64>>,
}

/// Plans that were compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// All of them.
    pub plans: Vec<Plan>,
    /// The format of this document.
    pub schema: u32,
}

impl From<LogId> for At {
    fn from(id: LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of term {}", self.index, self.term)
    }
}

impl Plan {
    /// What `survey` of `place` says, at a time.
    ///
    /// # Errors
    /// It is broken, or belongs to no cluster yet.
    pub fn of(place: &Where, survey: &Survey, at: String) -> Result<Self, Failure> {
        if let Some(broken) = &survey.broken {
            let text =
                format!("this server's data is damaged and cannot be gone on with: {broken}");
            return Err(Failure::text(Kind::Data, text));
        }
        let identity = &survey.identity;
        let Some(cluster) = identity.cluster else {
            let text = "this server belongs to no cluster yet: there is nothing to recover";
            return Err(Failure::text(Kind::Refused, text));
        };
        let membership = rescue::membership(survey.entries.iter(), &survey.mark)?;
        let voters = membership.configs;
        let member = |m: crate::wire::raft::Member| Place {
            host: m.host,
            id: m.seat.to_string(),
            raft_id: m.raft_id,
            voter: voters.iter().any(|set| set.contains(&m.raft_id)),
        };
        let members = membership.members.into_iter().map(member).collect();
        Ok(Self {
            applied: survey.mark.applied.map(Into::into),
            at,
            cluster: cluster.to_string(),
            cluster_name: survey.meta.name.clone(),
            commit: survey.committed.max(survey.mark.applied).map(Into::into),
            generation: identity.generation.max(survey.meta.generation),
            id: identity.seat.to_string(),
            incarnation: identity.incarnation.iter().map(|byte| format!("{byte:02x}")).collect(),
            last: survey.bounds.last.map(Into::into),
            members,
            raft_id: identity.raft_id,
            schema: SCHEMA,
            snapshot: survey.bounds.purged.map(Into::into),
            store: match place {
                Where::Directory(_) => "embedded".to_owned(),
                Where::Database(_) => "mongodb".to_owned(),
            },
            term: survey.vote.map_or(0, |vote| vote.term),
            voters,
        })
    }

    /// The server's seat as a number.
    ///
    /// # Errors
    /// It is none.
    pub fn seat(&self) -> Result<u32, Failure> {
        let wrong = |_| Failure::text(Kind::Data, format!("the seat {:?} is no number", self.id));
        self.id.parse().map_err(wrong)
    }

    /// Entries that are not known to be committed.
    #[must_use]
    pub fn uncommitted(&self) -> u64 {
        let next = |at: Option<At>| at.map_or(0, |at| at.index + 1);
        next(self.last).saturating_sub(next(self.commit))
    }

    /// The same data, whenever the plan was made.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Self { at: String::new(), ..self.clone() } == Self { at: String::new(), ..other.clone() }
    }
}

/// Reads the plans in a file: one, or merged ones.
///
/// # Errors
/// It cannot be read, or is no plan.
pub fn read(path: &Path) -> Result<Vec<Plan>, Failure> {
    let bytes = fs::read(path)
        .map_err(|why| Failure::text(Kind::Io, format!("{}: {why}", path.display())))?;
    let plans = match serde_json::from_slice::<Merged>(&bytes) {
        Ok(merged) => merged.plans,
        Err(_) => vec![serde_json::from_slice::<Plan>(&bytes).map_err(|why| {
            Failure::text(Kind::Data, format!("{} is no plan: {why}", path.display()))
        })?],
    };
    match plans.iter().find(|plan| plan.schema != SCHEMA) {
        None => Ok(plans),
        Some(plan) => Err(Failure::text(
            Kind::Data,
            format!("{} has format {}: run the newer program", path.display(), plan.schema),
        )),
    }
}

/// Writes a document into a new file, durably.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn write(path: &Path, document: &impl Serialize) -> Result<(), Failure> {
    let failed = |why: std::io::Error| {
        let kind = match why.kind() {
            std::io::ErrorKind::AlreadyExists => Kind::Refused,
            _ => Kind::Io,
        };
        Failure::text(kind, format!("{}: {why}", path.display()))
    };
    let text =
        serde_json::to_string_pretty(document).map_err(|why| Failure::text(Kind::Bug, why))?;
    let mut file = OpenOptions::new().create_new(true).write(true).open(path).map_err(failed)?;
    file.write_all(printable_json(&text).as_bytes()).map_err(failed)?;
    file.write_all(b"\n").map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Compared plans, as a document.
#[must_use]
pub fn merged(plans: Vec<Plan>) -> Merged {
    Merged { plans, schema: SCHEMA }
}

impl From<rescue::RescueError> for Failure {
    fn from(error: rescue::RescueError) -> Self {
        match error {
            rescue::RescueError::Store(StoreError::NotOurs(text))
            | rescue::RescueError::Refused(text) => Self::text(Kind::Refused, text),
            rescue::RescueError::Store(error) => error.into(),
        }
    }
}
