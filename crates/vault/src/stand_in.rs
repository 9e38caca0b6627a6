//! Tokens that stand for another one, for a while.
//!
//! A client that exchanges its long-lived token for a short one must not come out with more than it
//! brought, nor keep it when the long one is revoked. So the short one is no token of its own: it is
//! a JWT whose `jti` is the long one's, signed and not stored. Whether that one still is valid, whose
//! it is and what it leaves of their rights is looked up each time.

use authz::Actor;
use domain::Timestamp;
use zeroize::Zeroizing;

use crate::Vault;

/// A token that stands for another one.
pub struct StandIn {
    /// The token itself.
    pub text: Zeroizing<String>,
    /// For how many seconds it is good, 1 or more.
    pub seconds: u64,
}

impl Vault {
    /// A token that stands for the one that was shown: it can do what that one can, ends with it,
    /// and no later than that. Nothing is stored. None for who shows no token, or one that ends
    /// within this second.
    pub fn make_stand_in(&self, actor: &Actor, expires: Timestamp) -> Option<StandIn> {
        let shown = actor.token()?;
        let token = self.rights.token(shown.id)?;
        let now = self.clock.now();
        let expires = shown.expires.map_or(expires, |own| own.min(expires));
        // As a JWT writes it, in whole seconds; what is left of this one is not promised.
        let seconds =
            (expires.unix_millis() / 1000).saturating_sub(now.unix_millis().div_ceil(1000));
        if seconds == 0 {
            return None;
        }
        Some(StandIn { text: self.make_jwt(shown.id, &token.record.holder, now, expires), seconds })
    }
}
