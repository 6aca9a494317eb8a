//! `rustchat passwd`: another password. It must not know how passwords are kept.

use super::args::PasswdArgs;
use super::{log_in, say};
use crate::chat::refusal::Refusal;
use crate::cli::connect::{ask, client_config, password_from};
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::client::{ClientError, NewPassword};

/// Changes the password; the other devices are logged out unless they shall be kept.
///
/// # Errors
/// 77 where the old password is wrong, 75 where no server answers in time.
pub async fn passwd(args: &PasswdArgs) -> Outcome {
    let mut config = client_config(&args.connect)?;
    let name = config.account.name.clone();
    let old = match config.account.password.take() {
        Some(old) => old,
        None => ask(format!("Password of {name}: "), None).await?,
    };
    let new = match &args.new_password_file {
        Some(file) => password_from(file)?,
        None => ask(format!("New password of {name}: "), Some("Once more: ")).await?,
    };
    // A device without a token logs in with it.
    config.account.password = Some(old.clone());
    let client = log_in(config, false).await?;
    let wanted = NewPassword { old, new, keep_devices: args.keep_devices };
    let result = client.change_password(wanted).await;
    client.close().await;
    match result {
        Ok(()) => {}
        Err(ClientError::Refused(Refusal::BadCredentials)) => {
            return Err(Failure::text(Kind::Auth, "the old password is wrong"));
        }
        Err(why) => return Err(why.into()),
    }
    let others = if args.keep_devices { "stay logged in" } else { "are logged out" };
    say(&format!("{name} has another password; all other devices {others}"))?;
    Ok(End::Done)
}
