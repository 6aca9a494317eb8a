//! `rustchat logout`: this machine is no device of the user any more. It must not know what a
//! device's directory holds.

use super::args::LogoutArgs;
use super::{log_in, say};
use crate::cli::connect::{client_config, state_dir};
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::client::ClientError;
use crate::client::device::{Device, Found};

/// Revokes the user's devices of this machine and removes their directories.
///
/// # Errors
/// 5 where a chat runs or messages wait to be sent, 75 where no server answers in time: then the
/// device that was not revoked stays as it is.
pub async fn logout(args: &LogoutArgs) -> Outcome {
    let mut config = client_config(&args.connect)?;
    // The token alone: who is not logged in need not be for this.
    config.account.password = None;
    let (state, name) = (state_dir(&args.connect)?, config.account.name.clone());
    let found = Device::look(&state, &name)?;
    may_go(&found, args.force, &name)?;
    if found.is_empty() {
        say(&format!("{name} is not logged in here"))?;
        return Ok(End::Done);
    }
    loop {
        let all = Device::look(&state, &name)?;
        for unknown in all.iter().filter(|device| !device.known) {
            Device::remove(&unknown.dir)?;
        }
        if all.iter().all(|device| !device.known) {
            break;
        }
        match log_in(config.clone(), false).await {
            Ok(client) => client.log_out().await?,
            // It was revoked before, so its token is gone now.
            Err(failure) if is_password_needed(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    say(&format!("{name} is logged out here"))?;
    Ok(End::Done)
}

fn is_password_needed(failure: &Failure) -> bool {
    matches!(failure.error.downcast_ref(), Some(ClientError::PasswordNeeded))
}

fn may_go(found: &[Found], force: bool, name: &str) -> Result<(), Failure> {
    if found.iter().any(|device| device.held) {
        let text = format!("a chat of {name} runs here: end it first");
        return Err(Failure::text(Kind::Refused, text));
    }
    let unsent: u64 = found.iter().map(|device| device.unsent).sum();
    if unsent > 0 && !force {
        return Err(Failure::text(
            Kind::Refused,
            format!(
                "{unsent} messages of {name} are not sent yet: open the chat once more while a \
                 server answers, or lose them with --force"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::command::Target;
    use crate::chat::ids::ConversationId;
    use crate::chat::message::Body;

    #[test]
    fn a_device_that_is_in_use_or_has_unsent_messages_stays() {
        let state = tempfile::tempdir().unwrap();
        let look = || Device::look(state.path(), "alice").unwrap();
        assert_eq!(look(), []);
        let (device, mut outbox) = Device::take(state.path(), "alice", None).unwrap();
        let why = may_go(&look(), true, "alice").unwrap_err();
        assert_eq!(why.kind, Kind::Refused);
        assert!(why.to_string().contains("a chat of alice runs here"), "{why}");
        let to = Target::Conversation(ConversationId(1));
        outbox.append(to, vec![Body::text("not sent")]).unwrap();
        drop((device, outbox));
        let why = may_go(&look(), false, "alice").unwrap_err();
        assert!(why.to_string().starts_with("1 messages of alice are not sent yet"), "{why}");
        assert!(may_go(&look(), true, "alice").is_ok());
        let dir = look().remove(0).dir;
        Device::remove(&dir).unwrap();
        assert!(!dir.exists() && look().is_empty());
    }
}
