//! The parameters of queries, each known and given once: one that is misspelt must not pass for one
//! that is there.

use std::cmp::Ordering;

use domain::Invalid;

use super::item::Item;
use crate::{Request, Trouble};

/// The most items of one page that a client may ask for.
const MAX_LIMIT: usize = 1000;
/// Far beyond what a list holds.
const MAX_OFFSET: usize = 1_000_000_000;

/// What a list is sorted by: whatever items show but their values.
#[derive(Clone, Copy)]
enum Field {
    Id,
    Key,
    Name,
    Type,
    UpdatedAt,
}

/// How a list is asked for.
pub(super) struct Listing {
    field: Field,
    descending: bool,
    limit: Option<usize>,
    offset: usize,
}

impl Listing {
    /// Reads `sort`, `desc`, `limit` and `offset`.
    ///
    /// # Errors
    /// By the parameter at fault.
    pub(super) fn read(request: &Request) -> Result<Self, Trouble> {
        check(request, &["sort", "desc", "limit", "offset"])?;
        let field = match request.parameter("sort") {
            None | Some("name") => Field::Name,
            Some("_id") => Field::Id,
            Some("_key") => Field::Key,
            Some("_type") => Field::Type,
            Some("_updated_at") => Field::UpdatedAt,
            Some(_) => {
                let fix = "must be name, _id, _key, _type or _updated_at";
                return Err(Invalid::new("sort", fix).into());
            }
        };
        let limit = number(request, "limit", 1, MAX_LIMIT)?;
        let offset = number(request, "offset", 0, MAX_OFFSET)?.unwrap_or(0);
        Ok(Self { field, descending: flag(request, "desc")?, limit, offset })
    }

    /// The items that are asked for, in their order.
    pub(super) fn apply<'a>(&self, mut items: Vec<Item<'a>>) -> Vec<Item<'a>> {
        items.sort_by(|a, b| {
            let order = self.compare(a, b);
            if self.descending { order.reverse() } else { order }
        });
        let limit = self.limit.unwrap_or(usize::MAX);
        items.into_iter().skip(self.offset).take(limit).collect()
    }

    /// What is equal is in the order of names, of which no two are equal.
    fn compare(&self, a: &Item<'_>, b: &Item<'_>) -> Ordering {
        let order = match self.field {
            Field::Id => a.id.cmp(&b.id),
            Field::Key => a.key.cmp(&b.key),
            Field::Name => Ordering::Equal,
            Field::Type => a.kind.cmp(b.kind),
            Field::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        };
        order.then_with(|| a.name.cmp(b.name))
    }
}

/// Whether the value is asked for in clear.
///
/// # Errors
/// When the query says something else.
pub(super) fn decrypt(request: &Request) -> Result<bool, Trouble> {
    check(request, &["decrypt"])?;
    flag(request, "decrypt")
}

/// Refuses any parameter.
///
/// # Errors
/// When there is one.
pub(super) fn none(request: &Request) -> Result<(), Trouble> {
    check(request, &[])
}

fn check(request: &Request, known: &[&str]) -> Result<(), Trouble> {
    let Some(pairs) = &request.query else {
        return Err(Invalid::new("query", "must be percent-encoded UTF-8").into());
    };
    for (index, (name, _)) in pairs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let fix = match known {
                [] => "must be left out".to_owned(),
                known => format!("may hold {} and nothing else", known.join(", ")),
            };
            return Err(Invalid::new("query", fix).into());
        }
        if pairs.iter().take(index).any(|(other, _)| other == name) {
            return Err(Invalid::new(name.as_str(), "must be given once").into());
        }
    }
    Ok(())
}

fn flag(request: &Request, name: &str) -> Result<bool, Trouble> {
    match request.parameter(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Invalid::new(name, "must be true or false").into()),
    }
}

fn number(
    request: &Request,
    name: &str,
    least: usize,
    most: usize,
) -> Result<Option<usize>, Trouble> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Invalid::new(name, format!("must be a number from {least} to {most}")).into()),
    }
}
