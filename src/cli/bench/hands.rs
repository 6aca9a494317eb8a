//! What a benchmark may do to its own servers. It must not know when that is done.

use crate::bench::Hands;
use crate::cli::operate::{self, Answer, args::AdminArgs};
use crate::demo::servers::Servers;
use anyhow::bail;
use async_trait::async_trait;
use serde_json::json;
use std::path::Path;

#[async_trait]
impl Hands for Servers {
    fn kill(&mut self, seat: u32) -> anyhow::Result<()> {
        self.kill(seat)
    }

    fn restart(&mut self, seat: u32) -> anyhow::Result<()> {
        self.restart(seat)
    }

    async fn transfer(&mut self, to: u32) -> anyhow::Result<()> {
        let admin = AdminArgs { admin: Vec::new(), nodes: Some(self.conf()) };
        match operate::give(&admin, &json!({ "order": "transfer", "seat": to })).await {
            Ok(Answer::Done(_)) => Ok(()),
            Ok(Answer::Failed(failure)) | Err(failure) => Err(failure.error),
            Ok(Answer::Nobody(why) | Answer::Confirm { text: why, .. }) => bail!(why),
        }
    }

    fn disk_bytes(&self, seat: u32) -> anyhow::Result<u64> {
        Ok(bytes(&self.data(seat))?)
    }
}

/// Bytes of all files below a directory; one that goes while they are counted has none.
fn bytes(dir: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(data) if data.is_dir() => sum += bytes(&entry.path())?,
            Ok(data) => sum += data.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}
