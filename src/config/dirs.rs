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
/// `$XDG_DATA_HOME/rustchat/CLUSTER/SEAT` where that is the custom.
///
/// # Errors
/// The user has no home directory.
pub fn data(cluster: &str, seat: u32) -> Result<PathBuf, ConfigError> {
    Ok(project("--data")?.data_dir().join(cluster).join(seat.to_string()))
}
