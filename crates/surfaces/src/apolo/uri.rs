//! URIs, in the form that a client knows.

use authz::Scope;
use domain::ProjectPath;
use vault::Vault;

use crate::Request;

/// The clients' first version that knows organizations.
const KNOWS_ORGANIZATIONS: u32 = 22;
/// What clients of Neu.ro call themselves.
const PROGRAMS: [&str; 4] = ["neurocli", "neuromation", "neurosdk", "pyneuro"];

/// A URI in the form that the client of a request knows: older ones know none with an organization.
pub(super) fn shown(vault: &Vault, request: &Request, uri: &str) -> String {
    match request.user_agent.as_deref().is_some_and(is_old) {
        true => without_organization(vault, uri).unwrap_or_else(|| uri.to_owned()),
        false => uri.to_owned(),
    }
}

/// The URI of a job, in the form that the client of a request knows: long, and the project it is of.
pub(super) fn shown_job(
    vault: &Vault,
    request: &Request,
    (long, home): (&str, &ProjectPath),
) -> String {
    // The same form as the project's own.
    let project = vault.uri_of(&Scope::Project(home.clone()));
    match shown(vault, request, &project) == project {
        true => long.to_owned(),
        false => long.replacen(&format!("/{}/", home.org), "/", 1),
    }
}

/// The short form, where it means the same.
fn without_organization(vault: &Vault, uri: &str) -> Option<String> {
    let (cluster, rest) = uri.strip_prefix("secret://")?.split_once('/')?;
    let below = rest.strip_prefix("default/")?;
    let short = format!("secret://{cluster}/{below}");
    let same = vault.scope_of(&short).ok()? == vault.scope_of(uri).ok()?;
    same.then_some(short)
}

fn is_old(user_agent: &str) -> bool {
    let product = user_agent.split_ascii_whitespace().next().unwrap_or_default();
    let Some((program, version)) = product.split_once('/') else { return false };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    PROGRAMS.iter().any(|known| program.eq_ignore_ascii_case(known))
        && major.is_some_and(|major| major < KNOWS_ORGANIZATIONS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn old_clients_are_told_by_what_they_call_themselves() {
        for agent in
            ["NeuroCLI/20.12.7 (linux)", "NeuroCLI/21.7.28 (darwin)", "neurocli/21", "PyNeuro/20.1"]
        {
            assert!(is_old(agent), "{agent}");
        }
        for agent in [
            "NeuroCLI/22.1.0 (linux)",
            "ApoloCLI/26.9.0 (linux)",
            "ApoloCLI/2.0",
            "NeuroCLI",
            "NeuroCLI/",
            "NeuroCLI/x",
            "curl/8 NeuroCLI/20.1",
            "",
        ] {
            assert!(!is_old(agent), "{agent}");
        }
    }

    proptest! {
        #[test]
        fn no_name_of_a_client_is_too_strange(agent in any::<String>()) {
            let _ = is_old(&agent);
        }
    }
}
