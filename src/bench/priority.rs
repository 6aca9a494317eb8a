//! Threads whose work is neither the servers' cost nor that of whoever is measured. It must not
//! know what they do.

/// On Linux priorities belong to threads, so this one alone yields to all others.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
