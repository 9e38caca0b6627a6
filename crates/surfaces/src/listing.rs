//! What an actor may list, whole.

use authz::{List, PartOfProject, decide};
use domain::{Invalid, ProjectPath};
use vault::{ListQuery, MAX_LOOKED, MAX_SORTED, SecretView};

use crate::{Context, Trouble};

/// How many secrets are read at once.
const PAGE: usize = 1000;

/// The secrets of a project that the actor may list, by name.
///
/// # Errors
/// When there is no such project, or nothing of it may be listed, which look alike; or when there
/// are more than are put into one answer.
pub(crate) fn secrets(
    context: &Context<'_>,
    project: &ProjectPath,
    query: ListQuery,
) -> Result<Vec<SecretView>, Trouble> {
    let part = PartOfProject(project.clone());
    let permit = [decide::<List, _>(context.actor()?, part, context.now())?];
    let mut query = ListQuery { limit: PAGE, ..query };
    let (mut found, mut looked) = (Vec::new(), 0);
    loop {
        let page = context.vault.secrets(&permit, &query)?;
        looked = looked_at(looked, page.items.len(), page.next.is_some())?;
        found.extend(page.items);
        match page.next {
            Some(next) => query.continue_ = Some(next),
            None => return Ok(found),
        }
    }
}

/// How many secrets were looked at, with one more page: a short one that goes on ended because it
/// had looked at as many as a page may, whatever it found.
fn looked_at(before: usize, found: usize, goes_on: bool) -> Result<usize, Invalid> {
    let looked = before + if goes_on && found < PAGE { MAX_LOOKED } else { found };
    if looked > MAX_SORTED {
        let fix = format!(
            "must have at most {MAX_SORTED} secrets: list them page by page with Tresor's own API, GET /tresor/v1/orgs/ORG/projects/PROJECT/secrets?limit=N"
        );
        return Err(Invalid::new("project", fix));
    }
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_put_into_one_answer_is_refused_with_what_to_do() {
        let full = (0..10).try_fold(0, |looked, _| looked_at(looked, PAGE, true)).unwrap();
        assert_eq!(full, MAX_SORTED);
        assert!(looked_at(full, 0, false).is_ok());
        let refused = looked_at(full, 1, false).unwrap_err();
        assert!(refused.fix.contains("page by page"), "{refused}");
        // What a filter leaves out costs as much.
        let empty = (0..3).try_fold(0, |looked, _| looked_at(looked, 0, true));
        assert!(empty.is_err());
    }
}
