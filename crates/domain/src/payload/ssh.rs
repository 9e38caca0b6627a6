//! SSH logins.

use super::fields::text;
use super::{Fields, key_pair};
use crate::Invalid;

const MAX_USERNAME_BYTES: usize = 256;
const MAX_PASSWORD_BYTES: usize = 4096;

/// Checks the fields: a user name, and either a password or both halves of a key pair.
pub(super) fn check(fields: &Fields) -> Result<(), Invalid> {
    text("username", fields.required("username")?, MAX_USERNAME_BYTES)?;
    let refuse = |field: &str, fix: &str| Err(Invalid::new(field, fix));
    let value = |name| fields.value(name);
    match (value("password"), value("privateKey"), value("publicKey")) {
        (Some(password), None, None) => text("password", password, MAX_PASSWORD_BYTES).map(drop),
        (None, Some(private), Some(public)) => key_pair::check(private, public),
        (None, None, None) => refuse("password", "must be given, or else privateKey and publicKey"),
        (Some(_), ..) => refuse(
            "password",
            "must be left out beside a key pair: drop it, or drop privateKey and publicKey",
        ),
        (None, Some(_), None) => refuse(
            "publicKey",
            "must be given beside privateKey; `ssh-keygen -y` prints the public half of a private key",
        ),
        (None, None, Some(_)) => {
            refuse("privateKey", "must be given beside publicKey, which is of no use alone")
        }
    }
}
