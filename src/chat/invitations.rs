//! Who may register: anybody, whoever has an invitation, or nobody. An invitation is checked and
//! used up in the same step as the registration, so that no two users come in by one.

use super::command::Register;
use super::refusal::Refusal;
use super::state::State;
use super::write::{Invitation, Registration};
use crate::limits;

impl State {
    /// Forgets invitations that are worth nothing any more.
    pub(super) fn expire_invitations(&mut self, at_ms: u64) {
        self.meta.invitations.retain(|invitation| invitation.expires_at_ms > at_ms);
    }

    pub(super) fn invite(&mut self, at_ms: u64, invitation: Invitation) {
        let all = &mut self.meta.invitations;
        let known = all.iter().any(|other| other.code_hash == invitation.code_hash);
        let open = all.iter().filter(|other| !other.used).count();
        if !known && open < limits::INVITATIONS && invitation.expires_at_ms > at_ms {
            all.push(Invitation { used: false, ..invitation });
        }
    }

    /// Lets a new user in, who must have been found to be new.
    pub(super) fn admit(&mut self, r: &Register) -> Result<(), Refusal> {
        self.may_register(r.invite)?;
        if self.meta.registration == Registration::Invite {
            self.use_up(r.invite);
        }
        Ok(())
    }

    fn use_up(&mut self, code: Option<[u8; 32]>) {
        let all = &mut self.meta.invitations;
        if let Some(used) = all.iter_mut().find(|other| Some(other.code_hash) == code) {
            used.used = true;
        }
        // As many used ones are kept as may be open, those that stay longest.
        let mut used: Vec<u64> =
            all.iter().filter(|other| other.used).map(|other| other.expires_at_ms).collect();
        if used.len() > limits::INVITATIONS {
            used.sort_unstable();
            let first = used.first().copied();
            let gone =
                all.iter().position(|other| other.used && Some(other.expires_at_ms) == first);
            if let Some(gone) = gone {
                all.remove(gone);
            }
        }
    }

    /// Whether somebody may register who has the code with this hash.
    ///
    /// # Errors
    /// Why not.
    pub fn may_register(&self, invite: Option<[u8; 32]>) -> Result<(), Refusal> {
        let open =
            |hash| self.meta.invitations.iter().any(|other| other.code_hash == hash && !other.used);
        match (self.meta.registration, invite) {
            (Registration::Open, _) => Ok(()),
            (Registration::Closed, _) => Err(Refusal::RegistrationClosed),
            (Registration::Invite, None) => Err(Refusal::InvitationNeeded),
            (Registration::Invite, Some(hash)) if open(hash) => Ok(()),
            (Registration::Invite, Some(_)) => Err(Refusal::InvitationInvalid),
        }
    }
}
