//! What an actor may list, whole.

use authz::{List, PartOfProject, decide};
use domain::ProjectPath;
use vault::{ListQuery, SecretView};

use crate::{Context, Trouble};

/// How many secrets are read at once.
const PAGE: usize = 1000;

/// The secrets of a project that the actor may list, by name.
///
/// # Errors
/// When there is no such project, or nothing of it may be listed, which look alike.
pub(crate) fn secrets(
    context: &Context<'_>,
    project: &ProjectPath,
    query: ListQuery,
) -> Result<Vec<SecretView>, Trouble> {
    let part = PartOfProject(project.clone());
    let permit = [decide::<List, _>(context.actor()?, part, context.now())?];
    let mut query = ListQuery { limit: PAGE, ..query };
    let mut found = Vec::new();
    loop {
        let page = context.vault.secrets(&permit, &query)?;
        found.extend(page.items);
        match page.next {
            Some(next) => query.continue_ = Some(next),
            None => return Ok(found),
        }
    }
}
