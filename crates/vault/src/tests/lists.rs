//! Lists, held against what was written.

use domain::{LabelSelector, RegistryLogin};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

const HOMES: [&str; 3] = ["a", "ab", "b"];
const NAMES: [&str; 5] = ["hf", "hf/token", "s3", "xhf", "z"];

/// A store, and what a list of everything in it would show.
struct Shelf {
    running: Running,
    living: Vec<SecretView>,
    deleted: Vec<SecretView>,
}

fn variable() -> Payload {
    Payload::variable(Plaintext::new(b"1".to_vec())).unwrap()
}

fn registry() -> Payload {
    let text = |text: &str| Plaintext::new(text.as_bytes().to_vec());
    let (server, username, password) = ("nvcr.io".to_owned(), text("u"), text("p"));
    Payload::registry(vec![RegistryLogin { server, username, password, email: None }]).unwrap()
}

/// Three projects, with each name alive and deleted before (once or twice), in three types, with
/// three sets of labels, made and changed at different times and some at the same one.
fn shelf() -> (Home, Shelf) {
    let home = Home::new();
    let running = home.start();
    let mut shelf = Shelf { running, living: Vec::new(), deleted: Vec::new() };
    HOMES.iter().for_each(|name| shelf.running.make_project(name, Vec::new()));
    for round in 0..39u64 {
        let path = secret_in(HOMES[round as usize % 3], NAMES[(round as usize * 7 / 3) % 5]);
        let running = &shelf.running;
        if let Ok(gone) = running.vault.delete_secret(&running.may(path.clone()), None) {
            shelf.living.retain(|view| view.head.uid != gone.head.uid);
            shelf.deleted.push(gone);
        }
        home.clock.pass_millis(round % 2);
        let payload = match round % 4 {
            0 => variable(),
            1 => registry(),
            _ => payload("1"),
        };
        let labels = match round % 3 {
            0 => labels_of(&[]),
            1 => labels_of(&[("team", "red")]),
            _ => labels_of(&[("team", "blue"), ("tier", "gold")]),
        };
        let new = NewSecret { labels, ..first_of(First::Version(payload)) };
        let mut view = running.vault.create_secret(&running.may(path.clone()), &new).unwrap();
        if round % 5 == 0 {
            home.clock.pass_millis(3);
            view = running.vault.update_secret(&running.may(path), &nothing()).unwrap();
        }
        shelf.living.push(view);
    }
    assert!(shelf.living.len() > 10 && shelf.deleted.len() > 10);
    (home, shelf)
}

impl Shelf {
    fn permits(&self, homes: &[&str]) -> Vec<Permit<List, PartOfProject>> {
        homes.iter().map(|name| self.running.may(PartOfProject(project(name)))).collect()
    }

    fn page(&self, homes: &[&str], query: &ListQuery) -> Result<ListPage<SecretView>, VaultError> {
        self.running.vault.secrets(&self.permits(homes), query)
    }

    /// All pages of a list, one after the other.
    fn all(&self, homes: &[&str], query: &ListQuery) -> Vec<SecretView> {
        let (mut query, mut all, mut first) = (query.clone(), Vec::new(), None);
        loop {
            let page = self.page(homes, &query).unwrap();
            assert!(page.items.len() <= query.limit);
            assert_eq!(*first.get_or_insert(page.resource_version), page.resource_version);
            all.extend(page.items);
            query.continue_ = page.next;
            if query.continue_.is_none() {
                return all;
            }
        }
    }

    /// The same list, without any cleverness.
    fn expected(&self, homes: &[&str], query: &ListQuery) -> Vec<SecretView> {
        let all = if query.deleted { &self.deleted } else { &self.living };
        let selected = |view: &&SecretView| {
            let head = &view.head;
            let name = head.path.name.as_str();
            homes.contains(&head.path.project.project.as_str())
                && (query.kind.is_none() || query.kind == Some(head.kind))
                && name.starts_with(&query.name_prefix)
                && name.contains(&query.name_contains)
                && query.selector.matches(&head.labels)
        };
        let mut selected: Vec<_> = all.iter().filter(selected).cloned().collect();
        selected.sort_by_cached_key(|view| {
            let head = &view.head;
            let (time, kind) = match query.sort {
                Sort::Name => (0, ""),
                Sort::Created => (head.created_at.unix_millis(), ""),
                Sort::Updated => (head.updated_at.unix_millis(), ""),
                Sort::Type => (0, head.kind.as_str()),
            };
            (time, kind, head.path.clone(), head.uid)
        });
        if query.descending {
            selected.reverse();
        }
        selected
    }
}

fn shown(views: &[SecretView]) -> Vec<(String, Uid, ResourceVersion, usize)> {
    let line = |view: &SecretView| {
        (view.head.path.to_string(), view.head.uid, view.resource_version, view.head.versions.len())
    };
    views.iter().map(line).collect()
}

fn query() -> impl Strategy<Value = ListQuery> {
    let selectors = vec!["", "team", "!team", "team=red", "team in (blue,green),tier", "none=x"];
    let kinds =
        [None, Some(SecretType::Opaque), Some(SecretType::Registry), Some(SecretType::Variable)];
    let sorts = [Sort::Name, Sort::Created, Sort::Updated, Sort::Type];
    (
        any::<bool>(),
        proptest::sample::select(selectors),
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(vec!["", "", "h", "hf", "hf/", "none"]),
        proptest::sample::select(vec!["", "", "f", "/", "none"]),
        proptest::sample::select(sorts.to_vec()),
        any::<bool>(),
        prop_oneof![1usize..6, Just(1000)],
    )
        .prop_map(|(deleted, selector, kind, prefix, contains, sort, descending, limit)| {
            ListQuery {
                deleted,
                selector: LabelSelector::parse(selector).unwrap(),
                kind,
                name_prefix: prefix.to_owned(),
                name_contains: contains.to_owned(),
                unused_since: None,
                older_than: None,
                rotation_due: None,
                sort,
                descending,
                limit,
                continue_: None,
            }
        })
}

fn homes() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(HOMES.to_vec(), 0..=3).prop_shuffle()
}

fn all_by_name(limit: usize) -> ListQuery {
    ListQuery { limit, ..ListQuery::default() }
}

fn is_invalid(error: &VaultError, field: &str) -> bool {
    matches!(error, VaultError::Invalid(wrong) if wrong.field == field)
}

#[test]
fn the_pages_of_a_list_are_exactly_what_it_selects_in_its_order() {
    let (_home, shelf) = shelf();
    let mut runner = TestRunner::deterministic();
    let checked = runner.run(&(homes(), query()), |(homes, query)| {
        prop_assert_eq!(shown(&shelf.all(&homes, &query)), shown(&shelf.expected(&homes, &query)));
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn pages_of_every_size_are_the_same_list() {
    let (_home, shelf) = shelf();
    for (deleted, sort, descending) in [
        (false, Sort::Name, false),
        (false, Sort::Name, true),
        (false, Sort::Updated, true),
        (true, Sort::Name, false),
        (true, Sort::Type, false),
    ] {
        let query = ListQuery { deleted, sort, descending, ..all_by_name(1000) };
        let whole = shown(&shelf.expected(&HOMES, &query));
        for limit in 1..=whole.len() + 1 {
            let query = ListQuery { limit, ..query.clone() };
            assert_eq!(shown(&shelf.all(&HOMES, &query)), whole, "{limit} {query:?}");
        }
    }
}

#[test]
fn a_page_of_nothing_is_refused_and_a_project_named_twice_is_listed_once() {
    let (_home, shelf) = shelf();
    for sort in [Sort::Name, Sort::Created] {
        let none = ListQuery { sort, ..all_by_name(0) };
        refused!(shelf.page(&HOMES, &none), wrong if is_invalid(wrong, "limit"));
        let query = ListQuery { sort, ..all_by_name(2) };
        let twice = shown(&shelf.all(&["a", "b", "a"], &query));
        assert_eq!(twice, shown(&shelf.expected(&["a", "b"], &query)));
    }
}

#[test]
fn a_list_of_a_project_that_does_not_exist_is_refused() {
    let (_home, shelf) = shelf();
    refused!(shelf.page(&["a", "nowhere"], &all_by_name(5)), VaultError::NotFound);
}

/// What changes between two pages may be missed by the list, and is found by who watches from its
/// resource version.
#[test]
fn a_change_between_two_pages_is_found_after_the_first_page_s_resource_version() {
    let (_home, shelf) = shelf();
    let running = &shelf.running;
    let first = shelf.page(&["a"], &all_by_name(2)).unwrap();
    let new =
        running.vault.create_secret(&running.may(secret_in("a", "a")), &new_secret("1")).unwrap();
    let gone = first.items[0].head.path.clone();
    let gone = running.vault.delete_secret(&running.may(gone), None).unwrap();
    let query = ListQuery { continue_: first.next, ..all_by_name(1000) };
    let second = shelf.page(&["a"], &query).unwrap();
    assert_eq!(second.resource_version, first.resource_version);
    assert!(second.items.iter().all(|view| view.head.uid != new.head.uid));
    let page = running.vault.changes_after(&running.worker(), first.resource_version).unwrap();
    let told: Vec<_> = page.changes.iter().map(|c| (c.view.head.uid, c.kind)).collect();
    assert_eq!(told, [(new.head.uid, ChangeKind::Added), (gone.head.uid, ChangeKind::Deleted)]);
}

#[test]
fn a_list_that_goes_on_behind_what_the_log_still_knows_is_gone() {
    let home = Home::with(Settings::default(), 6);
    let running = home.start();
    running.make_project("ml", Vec::new());
    running.create("a", "1").unwrap();
    running.create("b", "1").unwrap();
    let permits = [running.may(PartOfProject(project("ml")))];
    let next = running.vault.secrets(&permits, &all_by_name(1)).unwrap().next;
    let query = ListQuery { continue_: next, ..all_by_name(1) };
    assert_eq!(running.vault.secrets(&permits, &query).unwrap().items.len(), 1);
    for round in 0..12 {
        running.update("a", &round.to_string()).unwrap();
    }
    refused!(running.vault.secrets(&permits, &query), VaultError::Gone { ahead: false, .. });
}

#[test]
fn a_continue_of_another_list_is_refused_by_its_field() {
    let (_home, shelf) = shelf();
    let query = ListQuery { name_prefix: "h".to_owned(), ..all_by_name(1) };
    let next = shelf.page(&["a", "b"], &query).unwrap().next;
    assert!(next.is_some());
    let query = ListQuery { continue_: next, ..query };
    shelf.page(&["b", "a"], &query).unwrap();
    shelf.page(&["a", "b"], &ListQuery { limit: 7, ..query.clone() }).unwrap();
    for other in [&["a"][..], &["a", "ab"], &["a", "ab", "b"], &[]] {
        refused!(shelf.page(other, &query), wrong if is_invalid(wrong, "continue"));
    }
    for other in [
        ListQuery { deleted: true, ..query.clone() },
        ListQuery { selector: LabelSelector::parse("team").unwrap(), ..query.clone() },
        ListQuery { kind: Some(SecretType::Opaque), ..query.clone() },
        ListQuery { name_prefix: String::new(), ..query.clone() },
        ListQuery { name_contains: "f".to_owned(), ..query.clone() },
        ListQuery { sort: Sort::Updated, ..query.clone() },
        ListQuery { descending: true, ..query.clone() },
    ] {
        refused!(shelf.page(&["a", "b"], &other), wrong if is_invalid(wrong, "continue"));
    }
}

/// The text of a `continue`, taken apart and put together again with other bytes.
fn forge(text: &str, at: usize, byte: u8) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= byte;
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn a_forged_continue_leads_nowhere_outside_its_list_and_is_refused_or_gone() {
    let (_home, shelf) = shelf();
    let mut runner = TestRunner::deterministic();
    let input = (query(), 0usize..200, 1u8.., "[A-Za-z0-9_-]{0,80}");
    let checked = runner.run(&input, |(query, at, byte, noise)| {
        let page = shelf.page(&["ab"], &ListQuery { limit: 1, ..query.clone() }).unwrap();
        let forged = page.next.map_or(noise.clone(), |next| forge(&next, at, byte));
        for text in [forged, noise] {
            let query = ListQuery { continue_: Some(text), ..query.clone() };
            match shelf.page(&["ab"], &query) {
                Ok(page) => {
                    let mut heads = page.items.iter().map(|view| &view.head);
                    let inside = heads.all(|h| h.path.project == project("ab") && query.selects(h));
                    prop_assert!(inside);
                }
                Err(VaultError::Invalid(wrong)) => prop_assert_eq!(wrong.field, "continue"),
                Err(VaultError::Gone { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        Ok(())
    });
    checked.unwrap();
}

/// A store with many secrets, the last of which is the only one with a label.
fn crowd(count: usize) -> (Home, Running) {
    let (home, running) = Running::with_project();
    for number in 0..count {
        let labels = labels_of(if number + 1 == count { &[("last", "")] } else { &[] });
        let new = NewSecret { labels, ..new_secret("1") };
        let path = secret(&format!("s{number:03}"));
        running.vault.create_secret(&running.may(path), &new).unwrap();
    }
    (home, running)
}

#[test]
fn a_page_looks_at_so_many_records_and_no_more() {
    let (_home, running) = crowd(2 * MAX_LOOKED + 1);
    let permits = [running.may(PartOfProject(project("ml")))];
    let selector = LabelSelector::parse("last").unwrap();
    let mut query = ListQuery { selector, ..all_by_name(5) };
    for _ in 0..2 {
        let page = running.vault.secrets(&permits, &query).unwrap();
        assert!(page.items.is_empty() && page.next.is_some());
        query.continue_ = page.next;
    }
    let page = running.vault.secrets(&permits, &query).unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    let page = running.vault.secrets(&permits, &all_by_name(1000)).unwrap();
    assert_eq!(page.items.len(), MAX_LOOKED);
}

#[test]
fn too_many_to_sort_is_said_by_its_field() {
    let (_home, running) = crowd(MAX_SORTED);
    let permits = [running.may(PartOfProject(project("ml")))];
    let query = ListQuery { sort: Sort::Created, ..all_by_name(3) };
    assert_eq!(running.vault.secrets(&permits, &query).unwrap().items.len(), 3);
    running.create("one more", "1").unwrap();
    refused!(running.vault.secrets(&permits, &query), wrong if is_invalid(wrong, "sort"));
    let narrow = ListQuery { name_prefix: "s00".to_owned(), ..query };
    assert_eq!(running.vault.secrets(&permits, &narrow).unwrap().items.len(), 3);
}
