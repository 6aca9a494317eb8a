//! Why a node or a cluster is not well: the closed list of codes that `status`, `dash`, the probes
//! and alerts use, each with its words. It must not know how one is found.

/// One code. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Two nodes lead in the same term: a fault of the program.
    SplitView,
    /// Two nodes have another state at the same log index.
    Diverged,
    /// Fewer voters answer than a majority.
    NoQuorum,
    /// Nobody leads.
    NoLeader,
    /// A voter does not answer.
    VoterDown,
    /// It belongs to another cluster than the rest.
    ClusterMismatch,
    /// It belongs to another generation of the cluster.
    GenerationMismatch,
    /// It answers, but is no member.
    Stray,
    /// Its database does not answer.
    StorageUnavailable,
    /// Its disk is full.
    DiskFull,
    /// Its disk is nearly full.
    DiskLow,
    /// Its disk takes long to sync.
    SlowDisk,
    /// It hears some of the others and not all.
    PartialPartition,
    /// It lacks entries that the leader has committed.
    Lagging,
    /// It has committed entries that it has not applied.
    ApplyBacklog,
    /// Another cluster told another history than before.
    LinkStopped,
    /// Another cluster cannot be reached.
    LinkDown,
    /// The leader changes often.
    Flapping,
    /// Its certificate ends soon, or has ended.
    CertExpiring,
    /// Its clock differs from the others'.
    ClockSkew,
    /// It runs another version of the program.
    VersionSkew,
    /// It is no voter yet.
    Learner,
    /// It was told to take no new clients.
    Draining,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::SplitView,
        Self::Diverged,
        Self::NoQuorum,
        Self::NoLeader,
        Self::VoterDown,
        Self::ClusterMismatch,
        Self::GenerationMismatch,
        Self::Stray,
        Self::StorageUnavailable,
        Self::DiskFull,
        Self::DiskLow,
        Self::SlowDisk,
        Self::PartialPartition,
        Self::Lagging,
        Self::ApplyBacklog,
        Self::LinkStopped,
        Self::LinkDown,
        Self::Flapping,
        Self::CertExpiring,
        Self::ClockSkew,
        Self::VersionSkew,
        Self::Learner,
        Self::Draining,
    ];

    /// As it is written; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SplitView => "split_view",
            Self::Diverged => "diverged",
            Self::NoQuorum => "no_quorum",
            Self::NoLeader => "no_leader",
            Self::VoterDown => "voter_down",
            Self::ClusterMismatch => "cluster_mismatch",
            Self::GenerationMismatch => "generation_mismatch",
            Self::Stray => "stray",
            Self::StorageUnavailable => "storage_unavailable",
            Self::DiskFull => "disk_full",
            Self::DiskLow => "disk_low",
            Self::SlowDisk => "slow_disk",
            Self::PartialPartition => "partial_partition",
            Self::Lagging => "lagging",
            Self::ApplyBacklog => "apply_backlog",
            Self::LinkStopped => "link_stopped",
            Self::LinkDown => "link_down",
            Self::Flapping => "flapping",
            Self::CertExpiring => "cert_expiring",
            Self::ClockSkew => "clock_skew",
            Self::VersionSkew => "version_skew",
            Self::Learner => "learner",
            Self::Draining => "draining",
        }
    }

    /// What it means and what to do about it, for a person.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::SplitView => "two nodes lead in one term: stop one and report it",
            Self::Diverged => "two nodes differ at one log index: compare `store check --dump`",
            Self::NoQuorum => "writes wait: start the missing nodes, or see `recover plan`",
            Self::NoLeader => "writes wait until one is elected",
            Self::VoterDown => "start it, or look why it cannot be reached",
            Self::ClusterMismatch => "compare cluster_id in nodes.conf and the data directories",
            Self::GenerationMismatch => "it missed a recovery: start it with --rejoin",
            Self::Stray => "it is no member: add it with `member add`, or stop it",
            Self::StorageUnavailable => "look at its database; it comes back by itself",
            Self::DiskFull => "free space on its data disk",
            Self::DiskLow => "its data disk is nearly full",
            Self::SlowDisk => "its data disk syncs slowly: move leadership off it",
            Self::PartialPartition => "it cannot reach a node that we reach: look at the network",
            Self::Lagging => "it is catching up, or too slow",
            Self::ApplyBacklog => "it applies slower than entries are committed",
            Self::LinkStopped => "ask that cluster's operator, then `link resume`",
            Self::LinkDown => "another cluster cannot be reached: `link list` says why",
            Self::Flapping => "the leader changes often: look at disks and network",
            Self::CertExpiring => "bring it a new key: `keys node SEAT --renew`",
            Self::ClockSkew => "set its clock",
            Self::VersionSkew => "an upgrade is not finished",
            Self::Learner => "it votes once it has caught up and was promoted",
            Self::Draining => "it was drained: `undrain` takes it back",
        }
    }

    /// The reason with this code.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}
