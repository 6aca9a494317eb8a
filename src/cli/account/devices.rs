//! `rustchat devices`: which devices a user has, and revoking one. It must not know how the list
//! came about.

use super::args::DevicesArgs;
use super::{log_in, say};
use crate::cli::connect::client_config;
use crate::cli::outcome::{End, Failure, Outcome};
use crate::cli::talk::rfc3339;
use crate::client::DeviceInfo;
use serde_json::{Value, json};

/// Digits of an id that people are shown.
const SHORT: usize = 12;

/// Lists the devices, or revokes one.
///
/// # Errors
/// 64 where no device or several are meant, 77 where the login is refused, 75 where no server
/// answers in time.
pub async fn devices(args: &DevicesArgs) -> Outcome {
    let client = log_in(client_config(&args.connect)?, true).await?;
    let result = async {
        let all = client.devices().await?;
        match &args.revoke {
            None => show(&all, args.json),
            Some(prefix) => match choose(&all, prefix)? {
                device if device.revoked => {
                    say(&format!("{} is revoked already", short(device)))?;
                    Ok(End::Done)
                }
                device => {
                    client.revoke(device.id).await?;
                    say(&format!("{} is revoked", short(device)))?;
                    Ok(End::Done)
                }
            },
        }
    };
    let result = result.await;
    client.close().await;
    result
}

/// The device whose id begins so.
fn choose<'a>(all: &'a [DeviceInfo], prefix: &str) -> Result<&'a DeviceInfo, Failure> {
    let prefix = prefix.to_ascii_lowercase();
    let meant = |d: &&DeviceInfo| !prefix.is_empty() && d.id.to_string().starts_with(&prefix);
    let mut meant = all.iter().filter(meant);
    match (meant.next(), meant.next()) {
        (None, _) => Err(Failure::usage(format!("no device of yours begins with {prefix:?}"))),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several devices begin with {prefix:?}: write more of it")))
        }
        (Some(one), None) if one.own => {
            Err(Failure::usage("that is the device you are on: use `rustchat logout`"))
        }
        (Some(one), None) => Ok(one),
    }
}

fn short(device: &DeviceInfo) -> String {
    device.id.to_string().chars().take(SHORT).collect()
}

fn show(all: &[DeviceInfo], as_json: bool) -> Outcome {
    if as_json {
        let devices: Vec<_> = all.iter().map(row).collect();
        let document = json!({ "devices": devices, "schema": 1 });
        say(&serde_json::to_string_pretty(&document).map_err(std::io::Error::from)?)?;
        return Ok(End::Done);
    }
    say(&format!("{:<14}{:<26}{:<26}STATE", "DEVICE", "ADDED", "LAST LOGIN"))?;
    for device in all {
        let state = match (device.own, device.revoked) {
            (true, _) => "this one",
            (_, true) => "revoked",
            _ => "",
        };
        let (added, seen) = (at(device.added_at_ms), at(device.seen_at_ms));
        let line = format!("{:<14}{added:<26}{seen:<26}{state}", short(device));
        say(line.trim_end())?;
    }
    Ok(End::Done)
}

fn row(device: &DeviceInfo) -> Value {
    let at = |ms: u64| if ms == 0 { Value::Null } else { rfc3339(ms).into() };
    json!({
        "added": at(device.added_at_ms),
        "id": device.id.to_string(),
        "last_login": at(device.seen_at_ms),
        "revoked": device.revoked,
        "this": device.own,
    })
}

fn at(ms: u64) -> String {
    if ms == 0 { "-".to_owned() } else { rfc3339(ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ids::DeviceId;

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_means_one_device() {
        let device = |first: u8, own| DeviceInfo {
            id: DeviceId([first; 16]),
            added_at_ms: 1,
            seen_at_ms: 0,
            revoked: false,
            own,
        };
        let all = [device(0xa1, false), device(0xa2, false), device(0xb0, true)];
        assert_eq!(choose(&all, "A1").ok().map(|d| d.id), Some(all[0].id));
        for (prefix, why) in
            [("", "no device"), ("c", "no device"), ("a", "several"), ("b", "logout")]
        {
            let failure = choose(&all, prefix).unwrap_err().to_string();
            assert!(failure.contains(why), "{prefix}: {failure}");
        }
    }
}
