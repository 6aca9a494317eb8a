//! `rustchat chat` with a screen: log file, password, and what is said when the
//! screen is gone. It must not know what the screen shows.

use super::args::ChatArgs;
use super::connect::{ask_about, ask_password, client_config, state_dir};
use super::outcome::{End, Failure, Kind, Outcome};
use crate::client::{ClientConfig, ClientError};
use crate::telemetry;
use crate::ui::chat::{self, ChatOptions, Ended};
use std::io::{self, IsTerminal, Write};

/// Shows the chat until the user leaves.
pub async fn run(args: &ChatArgs) -> Outcome {
    if args.json {
        return Err(Failure::usage("--json goes with --send or --tail"));
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::usage("no terminal; without one use --send TO or --tail"));
    }
    let config = client_config(&args.connect)?;
    // Held until the end: dropping it writes what still waits for the file.
    let _log = telemetry::to_file(&state_dir(&args.connect)?, "chat");
    let theme = if args.plain { Some("plain".to_owned()) } else { args.theme.clone() };
    show(config, ChatOptions { theme }).await
}

/// Shows the chat; a password is asked for when the device turns out to need one.
async fn show(mut config: ClientConfig, options: ChatOptions) -> Outcome {
    loop {
        let ended = Box::pin(chat::run(config.clone(), options.clone())).await;
        match ended.map_err(|why| Failure::new(Kind::Io, why))? {
            Ended::Quit { unsent } => {
                tell_unsent(unsent, &config.account.name);
                return Ok(End::Done);
            }
            Ended::Failed(ClientError::PasswordNeeded) if config.account.password.is_none() => {
                ask_password(&mut config.account).await?;
            }
            Ended::Failed(ClientError::NewCluster { server, key }) => {
                ask_about(&mut config.finding, &server, key).await?;
            }
            Ended::Failed(why) => return Err(why.into()),
        }
    }
}

fn tell_unsent(unsent: u64, name: &str) {
    if unsent > 0 {
        let text = format!("{unsent} messages are not sent yet; they go out when {name} is back");
        // Where standard error is gone, there is nobody to tell.
        drop(writeln!(io::stderr().lock(), "rustchat: {text}"));
    }
}
