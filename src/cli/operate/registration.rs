//! Who may register: the policy, and invitations, whose codes are made here and shown once. It must
//! not know how a server carries it out.

use super::args::{InviteArgs, RegistrationArgs};
use super::{Answer, give_to, say, tell};
use crate::cli::outcome::{End, Failure, Outcome};
use crate::config::units::show_duration;
use crate::limits;
use crate::wire::invitation;
use rand::Rng;
use serde_json::json;

/// Letters and digits that cannot be taken for one another.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Groups of five: more than a hundred bits.
const GROUPS: usize = 5;

/// `rustchat registration`.
///
/// # Errors
/// As an order.
pub async fn registration(args: &RegistrationArgs) -> Outcome {
    let wanted = json!({ "registration": args.policy.word() });
    tell(give_to("/v1/registration", &args.admin, &wanted).await?)
}

/// `rustchat invite`.
///
/// # Errors
/// As an order; 64 where it would be valid for too long.
pub async fn invite(args: &InviteArgs) -> Outcome {
    let valid_s = args.valid.as_secs();
    if valid_s == 0 || args.valid > limits::INVITATION_TIME {
        return Err(Failure::usage("--valid: from 1s to 365d"));
    }
    let code = new_code();
    let hash = blake3::Hash::from_bytes(invitation::hash(&code)).to_hex().to_string();
    let wanted = json!({ "code_hash": hash, "valid_s": valid_s });
    match give_to("/v1/invitations", &args.admin, &wanted).await? {
        Answer::Done(_) => {
            say(&code)?;
            let valid = show_duration(args.valid);
            super::complain(&format!(
                "this invitation lets one user register within {valid}; it is shown this once"
            ));
            Ok(End::Done)
        }
        answer => tell(answer),
    }
}

fn new_code() -> String {
    let mut rng = rand::rng();
    let mut letter = || char::from(LETTERS[rng.random_range(0..LETTERS.len())]);
    let groups: Vec<String> = (0..GROUPS).map(|_| (0..5).map(|_| letter()).collect()).collect();
    groups.join("-")
}
