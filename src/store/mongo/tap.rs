//! For tests: a process that ends between two commands. After a number of writes no command
//! goes out any more, as if the process had been killed there.

use crate::store::StoreError;
use mongodb::bson::Document;
use std::sync::Mutex;
use tokio::sync::watch;

/// Counts writes, and may stop them.
#[derive(Debug, Default)]
pub(in crate::store) struct Tap {
    left: Mutex<Option<u64>>,
    stalled: watch::Sender<Stall>,
}

/// What does not go out, as if the process had been stopped just before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Stall {
    #[default]
    Nothing,
    Everything,
    Deletes,
}

const WRITES: [&str; 4] = ["insert", "update", "delete", "findAndModify"];

impl Tap {
    /// Lets `count` writes through, then nothing.
    pub(in crate::store) fn kill_after(&self, count: u64) {
        *self.left.lock().unwrap() = Some(count);
    }

    /// Holds commands back until it says otherwise.
    pub(in crate::store) fn stall(&self, stall: Stall) {
        self.stalled.send_replace(stall);
    }

    /// Resolves when a command is not held back.
    pub(super) async fn awake(&self, command: &Document) {
        let delete = command.contains_key("delete");
        let goes = |stall: &Stall| match stall {
            Stall::Nothing => true,
            Stall::Everything => false,
            Stall::Deletes => !delete,
        };
        // The sender lives as long as `self`.
        drop(self.stalled.subscribe().wait_for(goes).await);
    }

    /// Whether a command may go out.
    pub(super) fn pass(&self, command: &Document) -> Result<(), StoreError> {
        let Some((name, _)) = command.iter().next() else { return Ok(()) };
        let write = WRITES.contains(&name.as_str()) && !is_beat(command);
        match &mut *self.left.lock().unwrap() {
            Some(0) => return Err(StoreError::Unavailable("killed".to_owned())),
            Some(left) if write => *left -= 1,
            _ => {}
        }
        Ok(())
    }
}

/// Beats come by a clock and change nothing that is remembered.
fn is_beat(command: &Document) -> bool {
    let updates = command.get_array("updates").ok();
    let first = updates.and_then(|all| all.first()).and_then(|u| u.as_document());
    first.and_then(|u| u.get_document("u").ok()).is_some_and(|u| u.contains_key("$inc"))
}
