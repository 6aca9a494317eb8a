//! SIGHUP: what has changed in the configuration since the server started, what of
//! it is applied, and what waits for a restart. It must not read files.

use super::effective::{Effective, Row};
use crate::config::ConfigError;
use crate::telemetry::Log;
use std::collections::BTreeMap;

/// The settings that a running server takes over; all others need a restart.
const LIVE: [&str; 1] = ["log.level"];

/// One value that is not what the server runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    key: String,
    /// Without secrets.
    from: String,
    to: String,
}

/// Logs what is new, applies what can be, and names what needs a restart. `running` is what the
/// server runs with, before and after.
pub fn apply(running: &mut Effective, read: Result<Effective, Vec<ConfigError>>, log: &Log) {
    let new = match read {
        Ok(new) => new,
        Err(wrong) => {
            for why in wrong {
                tracing::error!(%why, "the configuration is wrong: everything stays as it was");
            }
            return;
        }
    };
    let mut restart = Vec::new();
    let changes = changes(running, &new);
    for Change { key, from, to } in &changes {
        if LIVE.contains(&key.as_str()) {
            tracing::info!(key, from, to, "changed, and applied");
        } else {
            tracing::warn!(key, from, to, "changed, but not applied: it needs a restart");
            restart.push(key.as_str());
        }
    }
    if let Err(why) = log.set_level(&new.settings.log.level.value) {
        tracing::error!(why, "the log level stays as it was");
    } else {
        running.settings.log.level = new.settings.log.level;
    }
    for warning in &new.settings.warnings {
        tracing::warn!("{warning}");
    }
    let (changed, restart) = (changes.len(), restart.join(", "));
    tracing::info!(changed, restart, "the configuration was read again");
}

fn changes(old: &Effective, new: &Effective) -> Vec<Change> {
    let settings = old.rows().into_iter().zip(new.rows());
    let settings = settings.filter(|(a, b)| a.whole != b.whole);
    let settings = settings.map(|(Row { key, shown: from, .. }, Row { shown: to, .. })| Change {
        key,
        from,
        to,
    });
    let mut changes: Vec<_> = settings.collect();
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (old.nodes_rows().into_iter().collect(), new.nodes_rows().into_iter().collect());
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let of = |rows: &BTreeMap<String, String>| {
            rows.get(key).cloned().unwrap_or_else(|| "none".to_owned())
        };
        let (from, to) = (of(&before), of(&after));
        if from != to {
            changes.push(Change { key: format!("nodes.conf: {key}"), from, to });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Sources;
    use std::path::Path;

    fn load(dir: &Path, own: &str, nodes: &str) -> Effective {
        let (file, conf) = (dir.join("own.toml"), dir.join("nodes.conf"));
        std::fs::write(&file, format!("node = 1\nnodes = \"nodes.conf\"\n{own}")).unwrap();
        std::fs::write(conf, nodes).unwrap();
        let sources = Sources { file: Some(file), ..Sources::default() };
        Effective::load(&sources).unwrap()
    }

    #[test]
    fn every_difference_has_its_name_and_secrets_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = include_str!("../../nodes.conf");
        let store = |password: &str| format!("store = \"mongodb://u:{password}@h/\"\n");
        let old = load(dir.path(), &store("first"), nodes);
        assert_eq!(changes(&old, &old), []);
        let moved =
            nodes.replace("7202", "7999").replace("id = 3 ", "id = 4 ").replace("id = 3", "id = 4");
        let own = format!("{}admin = \"off\"\n[log]\nlevel = \"debug\"\n", store("second"));
        let new = load(dir.path(), &own, &moved);
        let all = changes(&old, &new);
        let keys: Vec<_> = all.iter().map(|change| change.key.as_str()).collect();
        for key in
            ["store", "admin", "log.level", "nodes.conf: node 2 peer", "nodes.conf: node 4 host"]
        {
            assert!(keys.contains(&key), "{key} is not in {keys:?}");
        }
        assert!(!keys.contains(&"nodes.conf: node 1 host"), "{keys:?}");
        let shown = format!("{all:?}");
        assert!(!shown.contains("first") && !shown.contains("second"), "{shown}");
    }
}
