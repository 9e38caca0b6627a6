//! Where each secret that a workload names appears in Kubernetes, for whoever may use it.

use std::collections::BTreeMap;

use authz::{Actor, Permit, Scope, Use};
use domain::{
    DataKey, Invalid, Namespace, OrgName, ProjectName, ProjectPath, ProjectionMode, ProjectionRule,
    ProjectionState, SecretPath, SecretType, kubernetes_name,
};
use vault::{Vault, VaultError};

use crate::render::members::shown;
use crate::render::workload::{Named, Place, Reference, Wants, Workload};

/// A workload all of whose references lead somewhere.
pub struct Resolved {
    /// The workload.
    pub workload: Workload<Place>,
    /// The namespace that its secrets are in; none when it names none.
    pub namespace: Option<Namespace>,
    /// The project that it belongs to.
    pub home: ProjectPath,
    /// The secrets that it names.
    pub secrets: Vec<SecretPath>,
    /// The references that do not lead to the secret itself, as far as is known.
    pub astray: Vec<Astray>,
}

/// How many secrets the audit log names one by one.
const MAX_NAMED: usize = 16;

impl Resolved {
    /// What the audit log says of the secrets; nothing where none is named.
    pub fn refers_to(&self, vault: &Vault) -> Option<String> {
        let named: Vec<_> =
            self.secrets.iter().take(MAX_NAMED).map(|path| vault.secret_uri(path)).collect();
        let named = Some(named.join(" ")).filter(|named| !named.is_empty())?;
        Some(match self.secrets.len().saturating_sub(MAX_NAMED) {
            0 => format!("refers to {named}"),
            more => format!("refers to {named} and {more} more"),
        })
    }
}

/// A reference to a Kubernetes Secret that does not hold exactly what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Astray {
    /// Where the secret is named: a JSON path.
    pub field: String,
    /// How the secret stands there; none while no worker has told.
    pub state: Option<ProjectionState>,
}

/// Why a reference leads nowhere.
#[derive(Debug)]
pub enum Unresolved {
    /// It has to be another one. `denied`: what it names is there, and the actor may not see it; it
    /// is said like what is not there.
    Reference {
        /// Which one, and what to do.
        invalid: Invalid,
        /// For the audit log alone.
        denied: bool,
    },
    /// The vault refuses, or cannot answer.
    Vault(VaultError),
}

impl From<VaultError> for Unresolved {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

/// Finds out where each reference of a workload leads. The project is the one that is named here,
/// else the one that the workload names, else that of its first URI, else `default/default`.
///
/// All secrets have to appear in one namespace, the workload's: Kubernetes looks nowhere else. It is
/// the first of the project's rules that shows all of them.
///
/// # Errors
/// When a secret or a key is not there, or the actor may not use it; when no rule shows it.
pub fn resolve(
    vault: &Vault,
    actor: &Actor,
    named: Option<&ProjectPath>,
    workload: Workload,
) -> Result<Resolved, Unresolved> {
    let home = home(vault, named, &workload)?;
    let mut found: BTreeMap<Named, Found> = BTreeMap::new();
    for reference in workload.references() {
        if !found.contains_key(&reference.secret) {
            found.insert(reference.secret.clone(), look(vault, actor, &home, reference)?);
        }
        if let Some(found) = found.get(&reference.secret) {
            found.check(reference)?;
        }
    }
    let all = || workload.references().filter_map(|r| Some((r, found.get(&r.secret)?)));
    let namespace = match all().next() {
        None => None,
        Some((_, first)) => Some(common_namespace(&home, &first.rules, all)?),
    };
    let secrets = found.values().map(|found| found.path().clone()).collect();
    let mut astray = Vec::new();
    let workload = workload.try_map(|reference| {
        let there = found.get(&reference.secret).zip(namespace.as_ref());
        let place = there.and_then(|(found, namespace)| {
            let place = found.place(&reference, namespace, &home)?;
            Some((found, namespace, place))
        });
        let (found, namespace, place) = place.ok_or_else(|| not_projected(&reference, &home))?;
        let state = vault.projection_state(&found.permit, (namespace, &place.secret))?;
        if state != Some(ProjectionState::Synced) {
            astray.push(Astray { field: reference.field, state });
        }
        Ok::<_, Unresolved>(place)
    })?;
    Ok(Resolved { workload, namespace, home, secrets, astray })
}

/// A secret that the actor may use.
struct Found {
    permit: Permit<Use, SecretPath>,
    kind: SecretType,
    rules: Vec<ProjectionRule>,
    keys: Vec<String>,
}

fn home(
    vault: &Vault,
    named: Option<&ProjectPath>,
    workload: &Workload,
) -> Result<ProjectPath, Unresolved> {
    if let Some(home) = named.or(workload.home.as_ref()) {
        return Ok(home.clone());
    }
    if let Some(first) = workload.references().find(|r| matches!(r.secret, Named::Uri(_))) {
        return Ok(path(vault, &default_home()?, first)?.project);
    }
    default_home()
}

fn default_home() -> Result<ProjectPath, Unresolved> {
    let project = ProjectName::parse("default").map_err(VaultError::Invalid)?;
    Ok(ProjectPath { org: OrgName::default_org(), project })
}

/// The secret that a reference names, whether it is there or not.
fn path(
    vault: &Vault,
    home: &ProjectPath,
    reference: &Reference,
) -> Result<SecretPath, Unresolved> {
    let uri = match &reference.secret {
        Named::Name(name) => return Ok(SecretPath { project: home.clone(), name: name.clone() }),
        Named::Uri(uri) => uri,
    };
    let scope = vault.scope_of(uri).map_err(|error| match error {
        VaultError::Invalid(wrong) => refused(reference, wrong.fix),
        other => other.into(),
    })?;
    match scope {
        Scope::Below(path) => Ok(path),
        _ => Err(refused(reference, "must name a secret: secret://CLUSTER/ORG/PROJECT/NAME")),
    }
}

fn look(
    vault: &Vault,
    actor: &Actor,
    home: &ProjectPath,
    reference: &Reference,
) -> Result<Found, Unresolved> {
    let path = path(vault, home, reference)?;
    let found = vault.permit_use(actor, home, &path).and_then(|permit| see(vault, home, permit));
    found.map_err(|error| match error {
        VaultError::NotFound | VaultError::VersionNotFound => {
            missing(&path, home, reference, false)
        }
        VaultError::NotPermitted(authz::Denied::NotVisible) => {
            missing(&path, home, reference, true)
        }
        other => other.into(),
    })
}

fn see(
    vault: &Vault,
    home: &ProjectPath,
    permit: Permit<Use, SecretPath>,
) -> Result<Found, VaultError> {
    let usable = vault.usable(&permit, home)?;
    let keys = vault.data_keys(&permit)?;
    Ok(Found { permit, kind: usable.kind, rules: usable.rules, keys })
}

impl Found {
    const fn path(&self) -> &SecretPath {
        self.permit.resource()
    }

    /// Whether it has what a reference wants of it.
    fn check(&self, reference: &Reference) -> Result<(), Unresolved> {
        match &reference.wants {
            Wants::Logins if self.kind != SecretType::Registry => {
                Err(refused(reference, "must name a secret of type registry"))
            }
            Wants::Value if self.value().is_none() => Err(refused(
                reference,
                "must name a secret of one value, such as one of type variable",
            )),
            Wants::Entry { field, key } if !self.keys.iter().any(|known| known == key.as_str()) => {
                let (key, secret) = (shown(key.as_str()), shown(self.path().name.as_str()));
                let fix = format!("must be a key of the secret `{secret}`, which has no `{key}`");
                Err(Unresolved::Reference { invalid: Invalid::new(field, fix), denied: false })
            }
            _ => Ok(()),
        }
    }

    /// The key of its only value, which logins are not.
    fn value(&self) -> Option<&String> {
        match self.keys.as_slice() {
            [only] if self.kind != SecretType::Registry => Some(only),
            _ => None,
        }
    }

    /// Where a reference to it leads in a namespace, if it appears there: in a Kubernetes Secret of
    /// its own, or else among the project's variables.
    fn place(
        &self,
        reference: &Reference,
        namespace: &Namespace,
        home: &ProjectPath,
    ) -> Option<Place> {
        let rule = |mode: ProjectionMode| {
            self.rules.iter().find(|rule| rule.mode == mode && rule.namespace == *namespace)
        };
        if let Some(each) = rule(ProjectionMode::Each) {
            // In a pattern `{project}` is the project whose rule it is, as for the worker.
            let name = self.path().name.clone();
            let path = SecretPath { project: home.clone(), name };
            let secret = kubernetes_name(&each.name_pattern.apply(&path));
            let key = match &reference.wants {
                Wants::All | Wants::Logins => None,
                Wants::Entry { key, .. } => Some(key.as_str().to_owned()),
                Wants::Value => Some(self.value()?.clone()),
            };
            return Some(Place { secret, key });
        }
        let merged = rule(ProjectionMode::Merged).filter(|_| self.kind == SecretType::Variable)?;
        let secret = kubernetes_name(&merged.name_pattern.apply_to_project(home));
        // The others' entries are no business of this one's reader.
        let key = DataKey::for_name(&self.path().name).as_str().to_owned();
        Some(Place { secret, key: Some(key) })
    }
}

/// The first namespace of the project's rules in which all that is referred to appears.
fn common_namespace<'a, I: Iterator<Item = (&'a Reference, &'a Found)>>(
    home: &ProjectPath,
    rules: &[ProjectionRule],
    all: impl Fn() -> I,
) -> Result<Namespace, Unresolved> {
    let mut astray = None;
    for rule in rules {
        let place = |(r, found): &(&Reference, &Found)| found.place(r, &rule.namespace, home);
        match all().find(|each| place(each).is_none()) {
            None => return Ok(rule.namespace.clone()),
            Some((reference, _)) => {
                astray.get_or_insert(reference);
            }
        }
    }
    let first = astray.or_else(|| all().next().map(|(reference, _)| reference));
    Err(first.map_or(Unresolved::Vault(VaultError::NotFound), |first| not_projected(first, home)))
}

fn not_projected(reference: &Reference, home: &ProjectPath) -> Unresolved {
    let fix = match reference.wants {
        Wants::Logins | Wants::All => "mode `each`",
        Wants::Entry { .. } | Wants::Value => "mode `each`, or `merged` for variables",
    };
    let home = shown(&home.to_string());
    let fix = format!(
        "must appear in one namespace with all the others: have an administrator give the project `{home}` a projection rule of {fix}"
    );
    refused(reference, fix)
}

/// What is not there, and what the actor may not see, alike.
fn missing(
    path: &SecretPath,
    home: &ProjectPath,
    reference: &Reference,
    denied: bool,
) -> Unresolved {
    let (name, home) = (shown(path.name.as_str()), shown(&home.to_string()));
    let fix = format!(
        "must be a secret of the project `{home}`, or bound to it, that you may use: there is no `{name}`"
    );
    Unresolved::Reference { invalid: Invalid::new(&reference.field, fix), denied }
}

fn refused(reference: &Reference, fix: impl Into<String>) -> Unresolved {
    Unresolved::Reference { invalid: Invalid::new(&reference.field, fix), denied: false }
}
