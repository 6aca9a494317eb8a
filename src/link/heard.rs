//! What a stranger says about itself, checked and cut before it may enter the log. It must not know
//! how it was heard.

use crate::chat::command::Hear;
use crate::chat::ids::ClusterId;
use crate::chat::text::printable;
use crate::limits;
use crate::tls::Fingerprint;

/// A cluster that was heard; `None` where it is none, or its address cannot be one.
#[must_use]
pub fn heard(cluster: ClusterId, name: &str, key: Fingerprint, address: &str) -> Option<Hear> {
    if cluster == ClusterId::default() || !is_address(address) {
        return None;
    }
    Some(Hear { cluster, name: cut(name), key: key.into(), address: address.to_owned() })
}

/// `host:port`, as it may be connected to.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let is_port = digits && port.parse::<u16>().is_ok_and(|port| port > 0);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:%".contains(&b);
    let is_host = !host.is_empty() && host.len() <= limits::HOST_NAME && host.bytes().all(allowed);
    is_port && is_host
}

/// A name that is fit for the log and for a terminal.
fn cut(name: &str) -> String {
    let name = printable(name);
    let fits = |end: &usize| *end <= limits::HEARD_NAME;
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(fits).last().unwrap_or(0);
    name.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::wire::random;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["10.0.0.1:7101", "chat.example:1", "[::1]:65535", "a-b.c:7101"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}:7101", "a".repeat(limits::HOST_NAME + 1));
        for bad in ["", "host", ":7101", "host:", "host:0", "host:65536", "host:+1", "a b:1", &long]
        {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(!is_address("a\u{1b}[2J:7101") && !is_address("user@host:7101"));
    }

    #[test]
    fn whatever_strangers_say_stays_in_bounds() {
        seeds(300, |rng| {
            let (name, address) = (random::text(rng).repeat(9), random::text(rng));
            let address = format!("{address}:7101");
            let cluster = random::cluster(rng);
            let Some(hear) = heard(cluster, &name, KEY.into(), &address) else {
                assert!(!is_address(&address) || cluster == ClusterId::default());
                return;
            };
            assert!(hear.name.len() <= limits::HEARD_NAME && hear.address == address);
        });
        let id = ClusterId([1; 16]);
        let hear = |name: &str| heard(id, name, KEY.into(), "a:1").unwrap().name;
        assert_eq!(hear("east"), "east");
        assert_eq!(hear(&"é".repeat(100)).chars().count(), limits::HEARD_NAME / 2);
        assert!(!hear("a\u{1b}[2Jb\n").contains(['\u{1b}', '\n']));
        assert_eq!(heard(ClusterId::default(), "east", KEY.into(), "a:1"), None, "no cluster yet");
    }
}
