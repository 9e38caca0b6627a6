//! Pages of lists, in the form of the platform's web framework.

use std::cmp::Ordering;

use domain::Invalid;
use serde_json::{Value, json};

use crate::{Request, Trouble};

const DEFAULT_SIZE: u64 = 25;
const MAX_SIZE: u64 = 1000;
/// The most criteria of one sort, more than there are fields.
const MAX_SORTS: usize = 8;

/// Which page of which order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paging {
    page: u64,
    size: u64,
    /// What is sorted by, the first one most; and whether the largest comes first.
    sorts: Vec<(Field, bool)>,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Created,
    Name,
    Updated,
}

/// An entity on its way to a page: what it is sorted by, and what it is made of.
pub(super) struct Row<T> {
    /// Its name.
    pub(super) name: String,
    /// When it was made, as text that sorts by time.
    pub(super) created: String,
    /// When it last changed, likewise.
    pub(super) updated: String,
    /// What it is made of.
    pub(super) of: T,
}

impl Paging {
    /// Reads `page`, `size` and `sort` of a query.
    ///
    /// # Errors
    /// Says which parameter breaks which rule.
    pub(super) fn read(request: &Request) -> Result<Self, Trouble> {
        check_query(request)?;
        let number = |name: &str, default: u64, least: u64, most: u64| match request.parameter(name)
        {
            None => Ok(default),
            Some(text) => {
                let number = whole_number(text).filter(|number| (least..=most).contains(number));
                let fix = || format!("must be a whole number from {least} to {most}");
                number.ok_or_else(|| Invalid::new(name, fix()))
            }
        };
        let page = number("page", 0, 0, u64::from(u32::MAX))?;
        let size = number("size", DEFAULT_SIZE, 1, MAX_SIZE)?;
        if request.parameters("sort").count() > MAX_SORTS {
            return Err(Invalid::new("sort", format!("must be at most {MAX_SORTS}")).into());
        }
        let texts = request.parameters("sort").filter(|text| !text.is_empty());
        let sorts = texts.map(sort).collect::<Result<_, _>>()?;
        Ok(Self { page, size, sorts })
    }

    /// The page, as it is answered.
    pub(super) fn answer<T>(&self, mut rows: Vec<Row<T>>, write: impl Fn(&T) -> Value) -> Value {
        rows.sort_by(|a, b| self.compare(a, b));
        let total = rows.len() as u64;
        let (page, size) = (self.page, self.size);
        let pages = total.div_ceil(size);
        let (first, most) = (in_memory(page.saturating_mul(size)), in_memory(size));
        let content: Vec<Value> =
            rows.iter().skip(first).take(most).map(|row| write(&row.of)).collect();
        let sort = json!({ "empty": false, "sorted": true, "unsorted": false });
        json!({
            "empty": content.is_empty(),
            "numberOfElements": content.len(),
            "content": content,
            "pageable": {
                "pageNumber": page, "pageSize": size, "sort": sort,
                "offset": page.saturating_mul(size), "paged": true, "unpaged": false,
            },
            "last": page.saturating_add(1) >= pages,
            "totalElements": total,
            "totalPages": pages,
            "size": size,
            "number": page,
            "sort": sort,
            "first": page == 0,
        })
    }

    /// Names decide where nothing else does, so that each entity is on one page.
    fn compare<T>(&self, a: &Row<T>, b: &Row<T>) -> Ordering {
        let by = |(field, descending): &(Field, bool)| {
            let order = field.of(a).cmp(field.of(b));
            if *descending { order.reverse() } else { order }
        };
        let order = self.sorts.iter().map(by).find(|order| order.is_ne());
        order.unwrap_or_else(|| a.name.cmp(&b.name))
    }
}

impl Field {
    fn of<T>(self, row: &Row<T>) -> &str {
        match self {
            Self::Created => &row.created,
            Self::Name => &row.name,
            Self::Updated => &row.updated,
        }
    }
}

/// A query that cannot be read must not pass for none.
///
/// # Errors
/// When it cannot be read.
pub(super) fn check_query(request: &Request) -> Result<(), Invalid> {
    let wrong = || Invalid::new("query", "must be percent-encoded UTF-8");
    request.query.as_ref().map(|_| ()).ok_or_else(wrong)
}

/// Digits only: neither a sign nor a blank.
fn whole_number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// `FIELD` or `FIELD,ASC` or `FIELD,DESC`.
fn sort(text: &str) -> Result<(Field, bool), Invalid> {
    let wrong = || {
        let fix = "must be name, created or updated, and perhaps `,ASC` or `,DESC`";
        Invalid::new("sort", fix)
    };
    let (field, order) = text.split_once(',').unwrap_or((text, "ASC"));
    let field = match field {
        "created" => Field::Created,
        "name" => Field::Name,
        "updated" => Field::Updated,
        _ => return Err(wrong()),
    };
    if order.eq_ignore_ascii_case("asc") {
        Ok((field, false))
    } else if order.eq_ignore_ascii_case("desc") {
        Ok((field, true))
    } else {
        Err(wrong())
    }
}

fn in_memory(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Paging, String> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let query = Some(query.iter().map(pair).collect());
        let request = Request { query, ..Request::of_json(b"") };
        Paging::read(&request).map_err(|trouble| match trouble {
            Trouble::Invalid(invalid) => invalid.field,
            _ => "something else".to_owned(),
        })
    }

    fn page(paging: &Paging, rows: &[(&str, &str)]) -> Vec<String> {
        let row = |(name, created): &(&str, &str)| Row {
            name: (*name).to_owned(),
            created: (*created).to_owned(),
            updated: String::new(),
            of: (*name).to_owned(),
        };
        let page = paging.answer(rows.iter().map(row).collect(), |name| json!(name));
        let content = page["content"].as_array().unwrap().iter();
        content.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_query_is_refused_by_the_parameter_at_fault() {
        assert_eq!(asked(&[]).unwrap(), Paging { page: 0, size: 25, sorts: Vec::new() });
        assert!(asked(&[("size", "1000"), ("page", "4294967295"), ("sort", "")]).is_ok());
        for (name, value) in [
            ("page", "-1"),
            ("page", "+1"),
            ("page", ""),
            ("page", "x"),
            ("page", "99999999999999999999"),
            ("size", "0"),
            ("size", "1001"),
            ("sort", "path"),
            ("sort", "name,UP"),
            ("sort", "name,ASC,DESC"),
        ] {
            assert_eq!(asked(&[(name, value)]).unwrap_err(), name, "{value}");
        }
    }

    #[test]
    fn names_decide_where_nothing_else_does() {
        let rows = [("b", "1"), ("c", "2"), ("a", "1")];
        for (sort, order) in [
            ("name,DESC", ["c", "b", "a"]),
            ("created,ASC", ["a", "b", "c"]),
            ("created,desc", ["c", "a", "b"]),
            ("updated", ["a", "b", "c"]),
        ] {
            assert_eq!(page(&asked(&[("sort", sort)]).unwrap(), &rows), order, "{sort}");
        }
    }

    proptest! {
        #[test]
        fn every_entity_is_on_one_page(count in 0usize..60, size in 1u64..30) {
            let names: Vec<String> = (0..count).map(|n| format!("{n:03}")).collect();
            let rows: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
            let pages = (count as u64).div_ceil(size);
            let paging = |page| Paging { page, size, sorts: Vec::new() };
            let all: Vec<_> = (0..pages).flat_map(|number| page(&paging(number), &rows)).collect();
            prop_assert_eq!(all, names.clone());
            prop_assert!(page(&paging(pages), &rows).is_empty());
        }

        #[test]
        fn no_query_is_too_strange_to_be_read(name in "(page|size|sort)", value in "\\PC{0,20}") {
            if let Ok(paging) = asked(&[(&name, &value)]) {
                prop_assert!((1..=MAX_SIZE).contains(&paging.size));
            }
        }
    }
}
