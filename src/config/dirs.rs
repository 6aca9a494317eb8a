//! Where this user's files are, by the conventions of the system (XDG on Linux).

use super::ConfigError;
use directories::ProjectDirs;
use std::path::PathBuf;

fn project(option: &'static str) -> Result<ProjectDirs, ConfigError> {
    ProjectDirs::from("", "", "rustchat").ok_or(ConfigError::NoHome(option))
}

/// Where devices, outboxes and logs are: `$XDG_STATE_HOME/rustchat` where that is the custom.
///
/// # Errors
/// The user has no home directory.
pub fn state() -> Result<PathBuf, ConfigError> {
    let dirs = project("XDG_STATE_HOME")?;
    Ok(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_path_buf())
}

/// Where a server of `cluster` on `seat` keeps its data unless told otherwise:
/// `$XDG_DATA_HOME/rustchat/CLUSTER/SEAT` where that is the custom, and for a service of systemd
/// `$STATE_DIRECTORY/CLUSTER/SEAT`. That is below what systemd made, so that it can be moved aside.
///
/// # Errors
/// The user has no home directory.
pub fn data(cluster: &str, seat: u32) -> Result<PathBuf, ConfigError> {
    // Systemd separates several directories by colons; the first one is meant.
    let service = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    let base = match service.split(':').next().unwrap_or("") {
        "" => project("--data")?.data_dir().to_path_buf(),
        dir => PathBuf::from(dir),
    };
    Ok(base.join(cluster).join(seat.to_string()))
}
