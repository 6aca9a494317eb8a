//! Threads whose work is neither the servers' cost nor that of whoever is measured. It must not
//! know what they do.

/// On Linux priorities belong to threads, so this one alone yields to all others.
pub fn lower_priority() {
    lower(19);
}

/// The same by half: what it does shall take little longer where something else is busy too.
pub fn lower_by_half() {
    lower(10);
}

fn lower(_by: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, _by) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
