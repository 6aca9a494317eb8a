//! Where the servers of a cluster keep their data: the same scenarios run over every store.
//! It must not know what a scenario asserts.

use super::cluster::{Cluster, Setup};
use crate::support::mongod::fresh_database;

/// Which stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stores {
    /// Each server has its data directory.
    #[default]
    Embedded,
    /// Each server has a database of its own.
    Mongo,
    /// The first server has a database, the others have data directories.
    Mixed,
}

impl Stores {
    /// For other than default servers.
    pub fn setup(self) -> Setup {
        Cluster::setup().kept_in(self)
    }

    /// `n` servers, none of them started.
    pub fn of(self, n: u32) -> Cluster {
        self.setup().of(n)
    }

    /// `n` servers that run, not necessarily with a leader yet.
    pub fn start(self, n: u32) -> Cluster {
        self.setup().start(n)
    }

    /// An empty database for the server on a seat, if it is to have one.
    pub fn fresh(self, seat: u32) -> Option<String> {
        let wanted = match self {
            Self::Embedded => false,
            Self::Mongo => true,
            Self::Mixed => seat == 1,
        };
        wanted.then(|| fresh_database(&format!("it_{seat}")))
    }
}

/// Makes a test of each scenario and each store.
macro_rules! over_every_store {
    ($($scenario:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $scenario() { super::$scenario(crate::harness::Stores::Embedded) })*
        }
        mod mongodb {
            $(#[test] fn $scenario() { super::$scenario(crate::harness::Stores::Mongo) })*
        }
    };
}
pub(crate) use over_every_store;
