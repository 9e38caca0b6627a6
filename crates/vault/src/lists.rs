//! Lists of secrets: filtered, sorted, in pages.
//!
//! What a request costs is bounded by what it looks at, not by what it returns: a page may come
//! early, short or empty, with a `continue` that goes on behind what was looked at.

use authz::{Actor, List, PartOfProject, Permit, decide};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{
    Decoder, Encoder, Incarnation, Invalid, LabelSelector, Malformed, ProjectPath, ResourceVersion,
    Revision, SecretType, Timestamp,
};
use sha2::{Digest, Sha256};
use store::{Head, Key, KeyRange, Stored};

use crate::{ListPage, SecretView, Vault, VaultError};

// The bounds are small in tests, so that tests reach them.

/// How many records one request looks at, at most.
pub const MAX_LOOKED: usize = if cfg!(test) { 40 } else { 5_000 };
/// How many records are sorted by something else than their name, at most.
pub const MAX_SORTED: usize = if cfg!(test) { 60 } else { 10_000 };
const SCAN: usize = if cfg!(test) { 7 } else { 256 };
const CURSOR_FORMAT: u8 = 1;
const MAX_CURSOR_CHARS: usize = 8192;

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// When the secret was made.
    Created,
    /// Organization, project and name.
    #[default]
    Name,
    /// The type's name.
    Type,
    /// When the secret last changed.
    Updated,
}

/// Which secrets are listed, and how.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Those that are deleted instead of those that live.
    pub deleted: bool,
    /// Their labels.
    pub selector: LabelSelector,
    /// Their type.
    pub kind: Option<SecretType>,
    /// What their names begin with.
    pub name_prefix: String,
    /// What their names contain.
    pub name_contains: String,
    /// Those that nobody has read since.
    pub unused_since: Option<Since>,
    /// Those whose current version is from before.
    pub older_than: Option<Since>,
    /// Those that are due for another value, by their label, or those that are not.
    pub rotation_due: Option<bool>,
    /// What they are sorted by.
    pub sort: Sort,
    /// Whether the largest comes first.
    pub descending: bool,
    /// How many there are on a page, from 1 up.
    pub limit: usize,
    /// Where the page before ended.
    pub continue_: Option<String>,
}

/// An instant, and how it was asked for: as a time, or as an age, which moves on while pages are
/// turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// As it was written.
    pub text: String,
    /// When that is.
    pub at: Timestamp,
}

impl ListQuery {
    /// Whether a secret is one of those, apart from how long it was not used or changed.
    pub fn selects(&self, head: &Head) -> bool {
        let name = head.path.name.as_str();
        self.kind.is_none_or(|kind| kind == head.kind)
            && name.starts_with(&self.name_prefix)
            && name.contains(&self.name_contains)
            && self.selector.matches(&head.labels)
    }

    /// Whether something is left out of what [`ListQuery::range`] spans.
    fn is_filtered(&self) -> bool {
        self.kind.is_some()
            || self.unused_since.is_some()
            || self.older_than.is_some()
            || self.rotation_due.is_some()
            || !self.name_contains.is_empty()
            || !self.selector.is_empty()
            || (self.deleted && !self.name_prefix.is_empty())
    }

    fn range(&self, project: &ProjectPath) -> KeyRange {
        match self.deleted {
            true => KeyRange::deleted_heads(project),
            false => KeyRange::heads_from(project, &self.name_prefix),
        }
    }

    /// Which list this is: a `continue` goes on in its own only.
    fn fingerprint(&self, ranges: &[KeyRange]) -> [u8; 8] {
        let mut out = Encoder::default();
        for range in ranges {
            out.bytes(range.start.as_bytes());
        }
        out.text(&self.selector.to_string()).text(self.kind.map_or("", SecretType::as_str));
        out.text(&self.name_prefix).text(&self.name_contains);
        for since in [&self.unused_since, &self.older_than] {
            out.text(since.as_ref().map_or("", |since| &since.text));
        }
        out.u8(self.rotation_due.map_or(2, u8::from));
        out.u8(self.sort as u8).u8(u8::from(self.descending));
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(out.finish()).into();
        [a, b, c, d, e, f, g, h]
    }
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    list: [u8; 8],
    first: ResourceVersion,
    sort_key: Vec<u8>,
    after: Vec<u8>,
}

impl Cursor {
    fn write(&self) -> String {
        let mut out = Encoder::default();
        out.u8(CURSOR_FORMAT).raw(&self.list).u32(self.first.incarnation().get());
        out.u64(self.first.revision().get()).bytes(&self.sort_key).bytes(&self.after);
        URL_SAFE_NO_PAD.encode(out.finish())
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_CURSOR_CHARS {
            return Err(Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        let mut input = Decoder::new(&bytes);
        if input.u8()? != CURSOR_FORMAT {
            return Err(Malformed);
        }
        let list = input.array()?;
        let number = input.u32()?;
        let incarnation = Incarnation::new(number);
        if incarnation.get() != number {
            return Err(Malformed);
        }
        let revision = Some(input.u64()?).filter(|number| *number <= Revision::MAX.get());
        let first = ResourceVersion::new(incarnation, Revision::new(revision.ok_or(Malformed)?));
        let (sort_key, after) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
        input.finish()?;
        Ok(Self { list, first, sort_key, after })
    }
}

/// What a page is made from.
struct Listing<'a> {
    query: &'a ListQuery,
    ranges: Vec<KeyRange>,
    list: [u8; 8],
    first: ResourceVersion,
    cursor: Option<Cursor>,
    actor: Option<Actor>,
    /// Whether the actor may list all there is in the projects, or only some of it.
    whole: bool,
}

impl Vault {
    /// A page of the secrets of some projects. Its resource version is that of the list's first
    /// page: who watches from there misses nothing.
    ///
    /// # Errors
    /// When a project does not exist, `continue` belongs to another list or is too old, or there
    /// are too many records to sort.
    pub fn secrets(
        &self,
        permits: &[Permit<List, PartOfProject>],
        query: &ListQuery,
    ) -> Result<ListPage<SecretView>, VaultError> {
        self.secrets_as(permits, query, &|view| view)
    }

    /// As [`Vault::secrets`], each of them as it is to be shown: what is not shown of a secret is then let go
    /// before the next one is read.
    ///
    /// # Errors
    /// As [`Vault::secrets`].
    pub fn secrets_as<T>(
        &self,
        permits: &[Permit<List, PartOfProject>],
        query: &ListQuery,
        show: &dyn Fn(SecretView) -> T,
    ) -> Result<ListPage<T>, VaultError> {
        if query.limit == 0 {
            return Err(Invalid::new("limit", "must be at least 1").into());
        }
        for permit in permits {
            self.project_record(&permit.resource().0)?;
        }
        let listing = self.listing(permits, query)?;
        if query.sort == Sort::Name && !query.descending {
            self.walk(&listing, show)
        } else {
            self.sorted(&listing, show)
        }
    }

    fn listing<'a>(
        &self,
        permits: &[Permit<List, PartOfProject>],
        query: &'a ListQuery,
    ) -> Result<Listing<'a>, VaultError> {
        let mut ranges: Vec<_> = permits.iter().map(|p| query.range(&p.resource().0)).collect();
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        ranges.dedup();
        let list = query.fingerprint(&ranges);
        let cursor = query.continue_.as_deref().map(|text| read_cursor(text, list, &ranges));
        let cursor = cursor.transpose()?;
        let first = match &cursor {
            None => self.resource_version(),
            Some(cursor) => {
                self.check_kept(cursor.first)?;
                cursor.first
            }
        };
        let now = self.clock.now();
        let whole = permits.iter().all(|permit| {
            decide::<List, _>(permit.actor(), permit.resource().0.clone(), now).is_ok()
        });
        let actor = permits.first().map(|permit| permit.actor().clone());
        Ok(Listing { query, ranges, list, first, cursor, actor, whole })
    }

    /// In the order of the keys, looking only at what a page needs.
    fn walk<T>(
        &self,
        listing: &Listing<'_>,
        show: &dyn Fn(SecretView) -> T,
    ) -> Result<ListPage<T>, VaultError> {
        let query = listing.query;
        // A whole page at once: what grows is copied and wiped again and again.
        let mut items = Vec::with_capacity(query.limit.min(SCAN));
        let mut looked = 0;
        let mut ranges = listing.rest().into_iter();
        while let Some(mut range) = ranges.next() {
            let mut more = true;
            while more {
                let wanted = query.limit - items.len();
                let scan = if query.is_filtered() || !listing.whole {
                    SCAN
                } else {
                    wanted.min(MAX_LOOKED)
                };
                let page = self.engine.scan(&range, scan)?;
                more = page.more;
                let (mut records, mut last) = (page.records.into_iter(), None);
                while let Some((key, stored)) = records.next() {
                    looked += 1;
                    let view = self.list_view(&key, &stored)?;
                    if self.is_listed(listing, &view.head) {
                        items.push(show(view));
                    }
                    if items.len() == query.limit || looked == MAX_LOOKED {
                        let goes_on = more || records.len() > 0 || self.holds_any(ranges)?;
                        let next = goes_on.then(|| listing.cursor_after(&key, &[]));
                        return Ok(listing.page(items, next));
                    }
                    last = Some(key);
                }
                if let Some(key) = last {
                    range = range.after(&key);
                }
            }
        }
        Ok(listing.page(items, None))
    }

    fn holds_any(&self, mut ranges: impl Iterator<Item = KeyRange>) -> Result<bool, VaultError> {
        ranges.try_fold(false, |found, range| {
            Ok(found || !self.engine.scan(&range, 1)?.records.is_empty())
        })
    }

    /// In another order: all of it is looked at, so all of it has to be little enough.
    fn sorted<T>(
        &self,
        listing: &Listing<'_>,
        show: &dyn Fn(SecretView) -> T,
    ) -> Result<ListPage<T>, VaultError> {
        let query = listing.query;
        let mut found = Vec::new();
        let mut looked = 0;
        for range in &listing.ranges {
            self.each(range, |key, stored| {
                looked += 1;
                if looked > MAX_SORTED {
                    return Err(too_many_to_sort().into());
                }
                let view = self.list_view(key, stored)?;
                if self.is_listed(listing, &view.head) {
                    found.push((sort_key(query.sort, &view.head), key.clone(), view));
                }
                Ok(())
            })?;
        }
        found.sort_by(|(a, ak, _), (b, bk, _)| (a, ak).cmp(&(b, bk)));
        if query.descending {
            found.reverse();
        }
        if let Some(cursor) = &listing.cursor {
            let at = (cursor.sort_key.as_slice(), cursor.after.as_slice());
            found.retain(|(sort, key, _)| {
                let here = (sort.as_slice(), key.as_bytes());
                if query.descending { here < at } else { here > at }
            });
        }
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more);
        let next = next.map(|(sort, key, _)| listing.cursor_after(key, sort));
        Ok(listing.page(found.into_iter().map(|(_, _, view)| show(view)).collect(), next))
    }

    fn is_listed(&self, listing: &Listing<'_>, head: &Head) -> bool {
        let may = || listing.actor.as_ref().is_some_and(|actor| self.may_list(actor, head));
        listing.query.selects(head)
            && (listing.whole || may())
            && self.is_stale_enough(listing.query, head)
    }

    fn is_stale_enough(&self, query: &ListQuery, head: &Head) -> bool {
        let written = || head.current().map_or(head.created_at, |version| version.created_at);
        let unused = |since: &Since| {
            let used = self.last_read(head.uid).unwrap_or(head.created_at);
            used < since.at
        };
        query.unused_since.as_ref().is_none_or(unused)
            && query.older_than.as_ref().is_none_or(|since| written() < since.at)
            && query.rotation_due.is_none_or(|due| due == self.is_rotation_due(head))
    }

    /// When a secret's value is to be replaced, by its label.
    pub fn rotates_at(&self, head: &Head) -> Option<Timestamp> {
        let current = head.current()?.created_at;
        head.labels.rotate_after().map(|age| age.after(current))
    }

    fn is_rotation_due(&self, head: &Head) -> bool {
        self.rotates_at(head).is_some_and(|due| due <= self.clock.now())
    }

    fn list_view(&self, key: &Key, stored: &Stored) -> Result<SecretView, VaultError> {
        let head = self.open_record(key, &stored.value, Head::decode)?;
        Ok(SecretView { head, resource_version: self.wire(stored.changed_at) })
    }
}

impl Listing<'_> {
    /// The ranges that are not behind the cursor.
    fn rest(&self) -> Vec<KeyRange> {
        let Some(cursor) = &self.cursor else { return self.ranges.clone() };
        let after = Key::from_bytes(cursor.after.clone());
        let ahead = self.ranges.iter().filter(|range| range.end > after);
        ahead
            .map(|range| if range.start > after { range.clone() } else { range.after(&after) })
            .collect()
    }

    fn cursor_after(&self, key: &Key, sort_key: &[u8]) -> String {
        let (list, first) = (self.list, self.first);
        Cursor { list, first, sort_key: sort_key.to_vec(), after: key.as_bytes().to_vec() }.write()
    }

    fn page<T>(&self, items: Vec<T>, next: Option<String>) -> ListPage<T> {
        ListPage { items, resource_version: self.first, next }
    }
}

fn read_cursor(text: &str, list: [u8; 8], ranges: &[KeyRange]) -> Result<Cursor, Invalid> {
    let wrong = |fix| Invalid::new("continue", fix);
    let cursor = Cursor::read(text)
        .map_err(|Malformed| wrong("must be a value that a list returned, unchanged"))?;
    let after = Key::from_bytes(cursor.after.clone());
    let inside = ranges.iter().any(|range| range.start <= after && after < range.end);
    if cursor.list != list || !inside {
        return Err(wrong(
            "must come from a list of the same projects with the same filters and sort",
        ));
    }
    Ok(cursor)
}

fn sort_key(sort: Sort, head: &Head) -> Vec<u8> {
    match sort {
        Sort::Created => head.created_at.unix_millis().to_be_bytes().to_vec(),
        Sort::Name => Vec::new(),
        Sort::Type => head.kind.as_str().as_bytes().to_vec(),
        Sort::Updated => head.updated_at.unix_millis().to_be_bytes().to_vec(),
    }
}

fn too_many_to_sort() -> Invalid {
    let fix = format!(
        "must be left out for more than {MAX_SORTED} secrets; narrow the list with namePrefix or projects, or sort by name"
    );
    Invalid::new("sort", fix)
}

/// A cursor that is read is the one that would be written.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_cursor(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let cursor = Cursor::read(text);
    if let Ok(cursor) = &cursor {
        assert!(cursor.write() == text, "a cursor has a second spelling");
    }
    cursor.is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_and_every_other_text_is_refused_or_canonical(
            list in any::<[u8; 8]>(), revision in 0..Revision::MAX.get(), sort_key in proptest::collection::vec(any::<u8>(), 0..9),
            after in proptest::collection::vec(any::<u8>(), 0..40), noise in "[A-Za-z0-9_-]{0,60}",
        ) {
            let first = ResourceVersion::new(Incarnation::new(2), Revision::new(revision));
            let cursor = Cursor { list, first, sort_key, after };
            prop_assert_eq!(Cursor::read(&cursor.write()), Ok(cursor));
            if let Ok(read) = Cursor::read(&noise) {
                prop_assert_eq!(read.write(), noise);
            }
        }
    }
}
