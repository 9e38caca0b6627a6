//! `GET /secrets/`: the Kubernetes Secrets that Tresor makes, without their values.

use std::collections::{BTreeMap, BTreeSet};

use authz::List;
use domain::{
    DataKey, Namespace, ProjectionMode, ProjectionRule, SecretPath, SecretType, Timestamp,
    kubernetes_name,
};
use http::StatusCode;
use serde::Serialize;
use vault::{ListQuery, ProjectView, SecretView, VaultError};

use super::{home_rule, not_found, only_parameters};
use crate::{Answer, Context, Request, Trouble, listing};

/// A Kubernetes Secret, in the platform's order of members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Item {
    // Sorted by these two.
    #[serde(skip)]
    place: (String, String),
    name: String,
    namespace: String,
    #[serde(rename = "type")]
    kind: &'static str,
    data_keys: Vec<String>,
    creation_timestamp: String,
}

/// All of them, or those of a namespace, by namespace and name.
pub(super) fn all(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    only_parameters(request, &["namespace"])?;
    let items = items(context, &Sought { namespace: request.parameter("namespace"), name: None })?;
    Ok(Answer::json(StatusCode::OK, &items))
}

/// One of them: in the platform's namespace, where the request names no other.
pub(super) fn one(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    only_parameters(request, &["namespace"])?;
    let (name, home) = (request.name("name"), &context.settings.blueprints_namespace);
    let namespace = request.parameter("namespace").unwrap_or(home.as_str());
    if let Ok(name) = domain::SecretName::parse(name) {
        context
            .is_about(&SecretPath { project: context.settings.blueprints_project.clone(), name });
    }
    let sought = Sought { namespace: Some(namespace), name: Some(name) };
    match items(context, &sought)?.into_iter().next() {
        Some(item) => Ok(Answer::json(StatusCode::OK, &item)),
        None => Err(not_found().into()),
    }
}

/// Which of them.
struct Sought<'a> {
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

impl Sought<'_> {
    fn is_in(&self, namespace: &Namespace) -> bool {
        self.namespace.is_none_or(|sought| sought == namespace.as_str())
    }

    fn is_named(&self, name: &str) -> bool {
        self.name.is_none_or(|sought| sought == name)
    }
}

fn items(context: &Context<'_>, sought: &Sought<'_>) -> Result<Vec<Item>, Trouble> {
    let mut items = BTreeSet::new();
    for project in context.vault.projects(context.actor()?)?.items {
        let rules = rules(context, &project);
        let rules: Vec<_> = rules.iter().filter(|rule| sought.is_in(&rule.namespace)).collect();
        if rules.is_empty() {
            continue;
        }
        let secrets = match listing::secrets(context, &project.path, ListQuery::default()) {
            Ok(secrets) => secrets,
            // Removed since, or nothing of it is for this actor to see.
            Err(trouble) if trouble.is_absent() => continue,
            Err(trouble) => return Err(trouble),
        };
        let mut keys = Keys::new(|path: &SecretPath| data_keys(context, path));
        for rule in rules {
            items.extend(match rule.mode {
                ProjectionMode::Each => each(&mut keys, &project, (rule, sought), &secrets)?,
                ProjectionMode::Merged => {
                    let merged = merged(&project, rule, &secrets);
                    merged.into_iter().filter(|item| sought.is_named(&item.name)).collect()
                }
            });
        }
    }
    Ok(items.into_iter().collect())
}

/// The rules of a project; those of the platform's own one, as it would be made.
fn rules(context: &Context<'_>, project: &ProjectView) -> Vec<ProjectionRule> {
    let is_home = project.path == context.settings.blueprints_project;
    if !is_home || !project.rules.is_empty() {
        return project.rules.clone();
    }
    vec![home_rule(context)]
}

fn each<F: FnMut(&SecretPath) -> Result<Vec<String>, Trouble>>(
    keys: &mut Keys<F>,
    project: &ProjectView,
    (rule, sought): (&ProjectionRule, &Sought<'_>),
    secrets: &[SecretView],
) -> Result<Vec<Item>, Trouble> {
    let mut items = Vec::new();
    for view in secrets {
        let path = SecretPath { project: project.path.clone(), name: view.head.path.name.clone() };
        let name = rule.name_pattern.apply(&path);
        if !sought.is_named(&kubernetes_name(&name)) {
            continue;
        }
        let Some(data_keys) = keys.of(&view.head.path)? else { continue };
        let kind = view.head.kind.kubernetes_type();
        items.push(item(rule, &name, kind, data_keys, view.head.created_at));
    }
    Ok(items)
}

/// The keys of secrets. Each payload is opened once, however many rules show it.
struct Keys<F> {
    look: F,
    known: BTreeMap<SecretPath, Option<Vec<String>>>,
}

impl<F: FnMut(&SecretPath) -> Result<Vec<String>, Trouble>> Keys<F> {
    const fn new(look: F) -> Self {
        Self { look, known: BTreeMap::new() }
    }

    /// None of a secret that is gone or out of sight since it was listed.
    fn of(&mut self, path: &SecretPath) -> Result<Option<Vec<String>>, Trouble> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let found = match (self.look)(path) {
            Ok(keys) => Some(keys),
            Err(trouble) if trouble.is_absent() => None,
            Err(trouble) => return Err(trouble),
        };
        self.known.insert(path.clone(), found.clone());
        Ok(found)
    }
}

/// A secret without a live version has no keys.
fn data_keys(context: &Context<'_>, path: &SecretPath) -> Result<Vec<String>, Trouble> {
    let permit = context.vault.permit::<List>(context.actor()?, path.clone())?;
    match context.vault.data_keys(&permit) {
        Err(VaultError::VersionNotFound) => Ok(Vec::new()),
        found => Ok(found?),
    }
}

/// One Secret for all variables; none while there are none.
fn merged(project: &ProjectView, rule: &ProjectionRule, secrets: &[SecretView]) -> Option<Item> {
    let entries = secrets
        .iter()
        .filter(|view| view.head.kind == SecretType::Variable && view.head.current().is_some());
    let keys: BTreeSet<String> =
        entries.map(|view| DataKey::for_name(&view.head.path.name).as_str().to_owned()).collect();
    if keys.is_empty() {
        return None;
    }
    let name = rule.name_pattern.apply_to_project(&project.path);
    let kind = SecretType::Variable.kubernetes_type();
    Some(item(rule, &name, kind, keys.into_iter().collect(), project.created_at))
}

fn item(
    rule: &ProjectionRule,
    name: &str,
    kind: &'static str,
    data_keys: Vec<String>,
    created_at: Timestamp,
) -> Item {
    let (name, namespace) = (kubernetes_name(name), rule.namespace.to_string());
    let place = (namespace.clone(), name.clone());
    Item { place, name, namespace, kind, data_keys, creation_timestamp: shown(created_at) }
}

/// `2025-07-11 07:00 AM UTC`.
fn shown(at: Timestamp) -> String {
    let millis = i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%d %I:%M %p UTC").to_string()
}

#[cfg(test)]
mod tests {
    use domain::{OrgName, ProjectName, ProjectPath, SecretName};

    use super::*;

    fn secret(name: &str) -> SecretPath {
        let (org, project) = (OrgName::default_org(), ProjectName::parse("ml").unwrap());
        let project = ProjectPath { org, project };
        SecretPath { project, name: SecretName::parse(name).unwrap() }
    }

    #[test]
    fn each_secret_is_looked_at_once_however_many_rules_show_it() {
        let mut looks = 0;
        let mut keys = Keys::new(|path: &SecretPath| {
            looks += 1;
            match path.name.as_str() {
                "gone" => Err(VaultError::NotFound.into()),
                name => Ok(vec![name.to_owned()]),
            }
        });
        for _ in 0..3 {
            assert_eq!(keys.of(&secret("hf")).ok().flatten(), Some(vec!["hf".to_owned()]));
            assert!(keys.of(&secret("gone")).is_ok_and(|keys| keys.is_none()));
        }
        assert_eq!(looks, 2);
    }

    #[test]
    fn times_are_shown_as_the_platform_shows_them() {
        for (millis, text) in [
            (1_752_217_200_000, "2025-07-11 07:00 AM UTC"),
            (1_743_160_345_999, "2025-03-28 11:12 AM UTC"),
            (1_743_163_200_000, "2025-03-28 12:00 PM UTC"),
            (0, "1970-01-01 12:00 AM UTC"),
        ] {
            assert_eq!(shown(Timestamp::from_unix_millis(millis)), text);
        }
    }
}
