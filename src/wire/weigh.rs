//! How many values an encoded message has, before any memory is taken for them: a value of no
//! bytes costs two to send and fifty times as many to hold. It must not know what they mean.

use super::WireError;
use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Field numbers from the message inwards, and how many values there may be in all.
pub type Bound = (&'static [u32], usize, &'static str);

/// Checks that a message has no more values than each bound says.
///
/// # Errors
/// [`WireError::Field`] with the name of what there is too much of.
pub fn check(message: &[u8], bounds: &[Bound]) -> Result<(), WireError> {
    match bounds.iter().find(|(path, most, _)| count(message, path) > *most) {
        Some((_, _, name)) => Err(WireError::Field(name)),
        None => Ok(()),
    }
}

/// The values at the end of a path. What cannot be read ends the count, as it ends the reading.
fn count(mut bytes: &[u8], path: &[u32]) -> usize {
    let Some((field, inner)) = path.split_first() else { return 1 };
    let mut found = 0;
    while bytes.has_remaining() {
        let Ok((number, kind)) = decode_key(&mut bytes) else { break };
        if kind != WireType::LengthDelimited {
            if skip_field(kind, number, &mut bytes, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        }
        let length = decode_varint(&mut bytes).ok().and_then(|n| usize::try_from(n).ok());
        let Some((value, rest)) = length.and_then(|n| bytes.split_at_checked(n)) else { break };
        bytes = rest;
        if number == *field {
            found += count(value, inner);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::wire::message::ClientMsg;
    use crate::wire::{client, random};

    #[test]
    fn what_is_counted_is_what_is_there() {
        seeds(500, |rng| {
            let message = random::client_msg(rng);
            let bytes = client::encode_client(&message);
            let (runs, bodies) = match &message {
                ClientMsg::Send { runs, .. } => {
                    (runs.len(), runs.iter().map(|run| run.bodies.len()).sum())
                }
                _ => (0, 0),
            };
            assert_eq!((count(&bytes, &[6, 1]), count(&bytes, &[6, 1, 5])), (runs, bodies));
        });
    }

    #[test]
    fn what_cannot_be_read_ends_the_count() {
        let two = [0x0a, 0, 0x0a, 0];
        assert_eq!(count(&two, &[1]), 2);
        assert_eq!(count(&[&two[..], &[0x0a, 9, 1]].concat(), &[1]), 2);
        assert_eq!(check(&two, &[(&[1], 1, "values")]), Err(WireError::Field("values")));
        assert_eq!(check(&two, &[(&[1], 2, "values"), (&[2], 0, "others")]), Ok(()));
    }
}
