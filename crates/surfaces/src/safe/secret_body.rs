//! What is sent to make or change a secret.

use std::collections::BTreeMap;

use domain::{Invalid, Labels, SecretName, is_dns_subdomain};

use super::body::Body;
use super::params::{self, Kind, Params};
use super::reply::{bad, unprocessable};
use crate::{Request, Trouble};

/// The longest name: it is also the value of a label.
const MAX_NAME: usize = 63;
/// What the platform's own labels begin with; nobody else sets those.
pub(super) const RESERVED: [&str; 2] = ["primus-safe.", "primus-safe/"];

/// Whether a label is the platform's own.
pub(super) fn is_reserved(key: &str) -> bool {
    RESERVED.iter().any(|prefix| key.starts_with(prefix))
}

/// A secret to be made, as far as it is looked at before anybody's rights are.
pub(super) struct New {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) params: Params,
    pub(super) workspaces: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl New {
    pub(super) fn read(request: &Request) -> Result<Self, Trouble> {
        let mut body = Body::read(request, false)?;
        let (name, kind) = (body.text("name")?, body.text("type")?);
        let params = body.take("params").map(params::read).transpose()?.unwrap_or_default();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (Some(name), Some(kind), false) = (given(name), given(kind), params.is_empty()) else {
            return Err(bad("the name, type and params of request are required"));
        };
        let workspaces = body.texts("workspaceIds")?.unwrap_or_default();
        let labels = body.map("labels")?.unwrap_or_default();
        Ok(Self { name, kind, params, workspaces: unique(workspaces), labels })
    }

    /// The name, as one of Kubernetes.
    pub(super) fn checked_name(&self) -> Result<SecretName, Trouble> {
        let is_one = self.name.len() <= MAX_NAME && is_dns_subdomain(&self.name);
        let name = SecretName::parse(&self.name).ok().filter(|_| is_one);
        name.ok_or_else(|| {
            let fix = "must be a lower-case RFC 1123 subdomain of at most 63 characters: letters, digits, `-` and `.`, starting and ending with a letter or digit";
            unprocessable(&Invalid::new("metadata.name", fix))
        })
    }

    /// The type.
    pub(super) fn checked_kind(&self) -> Result<Kind, Trouble> {
        let unknown = || bad("the secret type is not supported: it must be ssh, image or general");
        Kind::parse(&self.kind).ok_or_else(unknown)
    }
}

/// What changes in a secret; null and what is left out changes nothing.
pub(super) struct Change {
    pub(super) params: Option<Params>,
    pub(super) workspaces: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

impl Change {
    pub(super) fn read(request: &Request) -> Result<Self, Trouble> {
        let mut body = Body::read(request, true)?;
        Ok(Self {
            params: body.take("params").map(params::read).transpose()?,
            workspaces: body.texts("workspaceIds")?.map(unique),
            labels: body.map("labels")?,
        })
    }
}

fn unique(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// Labels as they were sent, without what is the platform's own.
pub(super) fn labels(sent: &BTreeMap<String, String>) -> Result<Labels, Invalid> {
    let sent = sent.iter().filter(|(key, _)| !is_reserved(key));
    Labels::parse(sent.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Reads a body as a creation and as a change.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    let change = Change::read(request).map(|_| ());
    let new = New::read(request)?;
    let kind = new.checked_kind()?;
    params::payload(kind, &new.params)?;
    new.checked_name()?;
    labels(&new.labels).map_err(|wrong| unprocessable(&wrong))?;
    change
}
