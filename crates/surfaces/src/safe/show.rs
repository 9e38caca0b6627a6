//! What the platform's views have in common.

use domain::{OrgName, ProjectName, ProjectPath, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use vault::SecretView;

use crate::{Context, Trouble};

/// `YYYY-MM-DDTHH:MM:SS`, in UTC without saying so.
pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339().chars().take(19).collect()
}

/// A list, whole.
pub(super) fn list<T: Serialize>(items: &[T]) -> Value {
    json!({ "totalCount": items.len(), "items": items })
}

/// An object with further members.
pub(super) fn with(body: Value, more: Value) -> Value {
    match (body, more) {
        (Value::Object(mut members), Value::Object(more)) => {
            members.extend(more);
            Value::Object(members)
        }
        (body, _) => body,
    }
}

/// The identity of an owner, `KIND:UID`.
pub(super) fn user_id(owner: &str) -> &str {
    owner.split_once(':').map_or("", |(_, uid)| uid)
}

/// The name of a secret's owner, as people know them.
pub(super) fn user_name(context: &Context<'_>, view: &SecretView) -> String {
    let name = context.vault.owner_name(&view.head);
    name.strip_prefix("user:").map_or(name.clone(), str::to_owned)
}

/// The project that is a workspace, or would be one: neither the home of the secrets, nor a user's
/// own.
pub(super) fn workspace(context: &Context<'_>, id: &str) -> Option<ProjectPath> {
    let project = ProjectName::parse(id).ok()?;
    let path = ProjectPath { org: OrgName::default_org(), project };
    is_workspace(context, &path).then_some(path)
}

/// Whether a project is a workspace, or would be one.
pub(super) fn is_workspace(context: &Context<'_>, path: &ProjectPath) -> bool {
    path.org == OrgName::default_org()
        && *path != context.settings.safe_project
        && !context.vault.is_personal(path)
}

/// Names for the audit log: the first ten, and how many more.
pub(super) fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let mut shown: Vec<_> = names.take(SHOWN).map(str::to_owned).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// An identity in a path, without white space around it.
pub(super) fn id<'a>(text: &'a str, what: &str) -> Result<&'a str, Trouble> {
    let id = text.trim();
    if id.is_empty() { Err(super::reply::bad(&format!("the {what} is empty"))) } else { Ok(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_platform() {
        let at = Timestamp::from_unix_millis(1_758_935_968_999);
        assert_eq!(time(at), "2025-09-27T01:19:28");
        assert_eq!(time(Timestamp::from_unix_millis(0)), "1970-01-01T00:00:00");
    }
}
