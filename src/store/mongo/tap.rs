//! For tests: a process that ends between two commands. After a number of writes no command
//! goes out any more, as if the process had been killed there.

use crate::store::StoreError;
use mongodb::bson::Document;
use std::sync::Mutex;

/// Counts writes, and may stop them.
#[derive(Debug, Default)]
pub(in crate::store) struct Tap {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    left: Option<u64>,
    seen: Vec<String>,
}

const WRITES: [&str; 4] = ["insert", "update", "delete", "findAndModify"];

impl Tap {
    /// Lets `count` writes through, then nothing.
    pub(in crate::store) fn kill_after(&self, count: u64) {
        self.state.lock().unwrap().left = Some(count);
    }

    /// Writes let through so far, each as its command and collection.
    pub(in crate::store) fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Whether a command may go out.
    pub(super) fn pass(&self, command: &Document) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap();
        let Some((name, collection)) = command.iter().next() else { return Ok(()) };
        let write = WRITES.contains(&name.as_str()) && !is_beat(command);
        match &mut state.left {
            Some(0) => return Err(StoreError::Unavailable("killed".to_owned())),
            Some(left) if write => *left -= 1,
            _ => {}
        }
        if write {
            state.writes += 1;
            let line = format!("{name} {}", collection.as_str().unwrap_or_default());
            state.seen.push(line);
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
