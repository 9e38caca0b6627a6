//! The daemon that a command asks.

use client::{Client, ClientError};
use zeroize::Zeroizing;

use crate::failure::{Failure, chain};

/// Where a daemon is looked for when `TRESOR_ADDR` does not say.
const ADDRESS: &str = "http://127.0.0.1:8220";

/// The daemon that `TRESOR_ADDR` and `TRESOR_TOKEN` name.
pub(crate) fn connect() -> Result<Client, Failure> {
    let address = variable("TRESOR_ADDR").unwrap_or_else(|| ADDRESS.to_owned());
    let token = variable("TRESOR_TOKEN").map(Zeroizing::new);
    let token = token.ok_or_else(|| Failure::usage("TRESOR_TOKEN must hold a token"))?;
    Client::new(&address, &token).map_err(failed)
}

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn failed(error: ClientError) -> Failure {
    match error {
        ClientError::Setting(_) => {
            Failure::usage(format!("{error}; see TRESOR_ADDR and TRESOR_TOKEN"))
        }
        _ => Failure::new(chain(&error)),
    }
}
