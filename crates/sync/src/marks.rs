//! The label and annotations by which a Secret of ours is known.

use std::collections::BTreeMap;

use domain::{Placement, ProjectPath, ResourceVersion, SecretPath, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::claim::Owner;

/// The label that the watches select by.
pub(crate) const LABEL: &str = domain::MANAGED_BY;
/// The label's value, and the field manager.
pub(crate) const MANAGER: &str = "tresor";

/// By this a Secret's owner in the cluster hands it over: its value is the source URI of the one
/// secret, or project, that may take it.
pub(crate) const ADOPT: &str = "tresor.dev/adopt";

const SOURCE: &str = "tresor.dev/source";
const UID: &str = "tresor.dev/uid";
const VERSION: &str = "tresor.dev/version";
const ENTRIES: &str = "tresor.dev/entries";
const RESOURCE_VERSION: &str = "tresor.dev/resource-version";
const PROJECT: &str = "tresor.dev/project";
const PLACEMENT: &str = "tresor.dev/placement";
const STORE: &str = "tresor.dev/store";
/// The keys of the labels that came from us, so that those which no rule gives any more are found.
const LABELS: &str = "tresor.dev/labels";
const ALL: [&str; 9] =
    [SOURCE, UID, VERSION, ENTRIES, RESOURCE_VERSION, PROJECT, PLACEMENT, STORE, LABELS];

const SCHEME: &str = "secret://";
/// What RFC 3986 section 2.3 leaves unencoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As above; the slashes of a name are its segments.
const NAME: &AsciiSet = &SEGMENT.remove(b'/');

/// Our annotations on one object, and the labels that they name. Of what we expect they are all
/// there; of what is found in the cluster, as many as somebody left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    annotations: BTreeMap<&'static str, String>,
    labels: BTreeMap<String, String>,
}

/// What a copy shows.
pub(crate) enum Origin<'a> {
    /// The entries of a project.
    Project {
        /// The project.
        path: &'a ProjectPath,
        /// Its identity.
        uid: Uid,
        /// How many entries there are.
        entries: usize,
        /// When one of them last changed; none when there is none.
        changed_at: Option<ResourceVersion>,
    },
    /// One secret.
    Secret {
        /// The secret.
        path: &'a SecretPath,
        /// Its identity.
        uid: Uid,
        /// The version in the copy.
        version: u64,
        /// When the secret last changed.
        changed_at: ResourceVersion,
        /// The project whose rule made the copy.
        by: &'a ProjectPath,
    },
}

impl Marks {
    /// The annotations that a copy in that place must have.
    pub(crate) fn expected(origin: &Origin<'_>, placement: &Placement, store: &str) -> Self {
        let mut marks = BTreeMap::from([(PLACEMENT, place(placement)), (STORE, store.to_owned())]);
        match origin {
            Origin::Project { path, uid, entries, changed_at } => {
                marks.insert(SOURCE, project_uri(&placement.cluster, path));
                marks.insert(UID, uid.to_string());
                marks.insert(ENTRIES, entries.to_string());
                marks.insert(PROJECT, project_path(path));
                marks.extend(changed_at.map(|at| (RESOURCE_VERSION, at.to_string())));
            }
            Origin::Secret { path, uid, version, changed_at, by } => {
                marks.insert(SOURCE, source_uri(&placement.cluster, path));
                marks.insert(UID, uid.to_string());
                marks.insert(VERSION, version.to_string());
                marks.insert(RESOURCE_VERSION, changed_at.to_string());
                marks.insert(PROJECT, project_path(by));
            }
        }
        Self { annotations: marks, labels: BTreeMap::new() }
    }

    /// The same, with labels that a rule gives.
    #[must_use]
    pub(crate) fn labelled(mut self, labels: &BTreeMap<String, String>) -> Self {
        if !labels.is_empty() {
            let keys: Vec<_> = labels.keys().map(String::as_str).collect();
            self.annotations.insert(LABELS, keys.join(","));
        }
        self.labels.clone_from(labels);
        self
    }

    /// Whether these are the labels that a rule gives.
    pub(crate) fn has_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels == *labels
    }

    /// Those of an object's annotations and labels that are ours.
    pub(crate) fn found(meta: &ObjectMeta) -> Self {
        let Some(found) = &meta.annotations else { return Self::default() };
        let annotations = ALL.iter().filter_map(|k| Some((*k, found.get(*k)?.clone()))).collect();
        let labels = meta.labels.iter().flatten();
        let ours = found.get(LABELS).map(String::as_str).unwrap_or_default();
        let labels = labels.filter(|(key, _)| is_listed(ours, key));
        let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { annotations, labels }
    }

    /// Makes our annotations and labels exactly these, and leaves the others. A hand-over has been
    /// accepted by then.
    pub(crate) fn write_to(&self, meta: &mut ObjectMeta) {
        let annotations = meta.annotations.get_or_insert_default();
        let before = annotations.remove(LABELS).unwrap_or_default();
        annotations.retain(|key, _| key != ADOPT && !ALL.contains(&key.as_str()));
        let ours = self.annotations.iter();
        annotations.extend(ours.map(|(key, value)| ((*key).to_owned(), value.clone())));
        let labels = meta.labels.get_or_insert_default();
        labels.retain(|key, _| !is_listed(&before, key));
        labels.extend(self.labels.clone());
        labels.insert(LABEL.to_owned(), MANAGER.to_owned());
    }

    /// Whose copy the object is, if the object was made by this store for this very place.
    ///
    /// The place is what tells our object from a copy that somebody made of it: `kubectl get -o
    /// yaml`, a new name, `kubectl apply`, and all annotations came along. A merged copy and a
    /// secret's are told apart by the source. One whose source was tampered with is repaired where
    /// something is wanted; elsewhere no secret's tombstone mistakes it for that secret's copy,
    /// since a project's uid is no secret's.
    pub(crate) fn owner(&self, placement: &Placement, store: &str) -> Option<Owner> {
        let made_here = self.is(STORE, store) && self.is(PLACEMENT, &place(placement));
        if !made_here {
            return None;
        }
        let uid = Uid::parse(self.annotations.get(UID)?).ok()?;
        Some(if self.shows_a_project() { Owner::Project(uid) } else { Owner::Secret(uid) })
    }

    /// Whether a rule of that project made the object.
    pub(crate) fn is_by(&self, project: &ProjectPath) -> bool {
        self.is(PROJECT, &project_path(project))
    }

    /// The URI of what the object shows.
    pub(crate) fn source(&self) -> &str {
        self.annotations.get(SOURCE).map(String::as_str).unwrap_or_default()
    }

    /// The resource version that the object's content had when it was written.
    pub(crate) fn resource_version(&self) -> Option<ResourceVersion> {
        ResourceVersion::parse(self.annotations.get(RESOURCE_VERSION)?).ok()
    }

    /// How many entries a merged copy had when it was written.
    pub(crate) fn entries(&self) -> usize {
        self.annotations.get(ENTRIES).and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// `secret://CLUSTER/ORG/PROJECT` and nothing below it.
    fn shows_a_project(&self) -> bool {
        self.source().strip_prefix(SCHEME).is_some_and(|path| path.split('/').count() == 3)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.annotations.get(key).is_some_and(|found| found == value)
    }
}

fn is_listed(list: &str, key: &str) -> bool {
    list.split(',').any(|listed| listed == key)
}

fn place(placement: &Placement) -> String {
    format!("{}/{}", placement.namespace, placement.name)
}

fn project_uri(cluster: &str, project: &ProjectPath) -> String {
    format!("{SCHEME}{}/{}", utf8_percent_encode(cluster, SEGMENT), project_path(project))
}

fn source_uri(cluster: &str, secret: &SecretPath) -> String {
    let name = utf8_percent_encode(secret.name.as_str(), NAME);
    format!("{}/{name}", project_uri(cluster, &secret.project))
}

fn project_path(project: &ProjectPath) -> String {
    format!(
        "{}/{}",
        utf8_percent_encode(project.org.as_str(), SEGMENT),
        utf8_percent_encode(project.project.as_str(), SEGMENT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Incarnation, Namespace, OrgName, ProjectName, Revision, SecretName};

    const ID: Uid = Uid::from_bytes([7; 16]);

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn placement(name: &str) -> Placement {
        let namespace = Namespace::parse("ns").unwrap();
        Placement { cluster: "c 1".to_owned(), namespace, name: name.to_owned() }
    }

    fn rv() -> ResourceVersion {
        ResourceVersion::new(Incarnation::new(0), Revision::new(12))
    }

    fn marks() -> Marks {
        let path =
            SecretPath { project: project("m l"), name: SecretName::parse("a/\u{e4} b").unwrap() };
        let by = project("borrower");
        let origin = Origin::Secret { path: &path, uid: ID, version: 3, changed_at: rv(), by: &by };
        Marks::expected(&origin, &placement("copy"), "store-1")
    }

    fn merged() -> Marks {
        let path = project("m l");
        let origin = Origin::Project { path: &path, uid: ID, entries: 2, changed_at: Some(rv()) };
        Marks::expected(&origin, &placement("copy"), "store-1")
    }

    fn written(marks: &Marks) -> Vec<String> {
        let mut meta = ObjectMeta::default();
        marks.write_to(&mut meta);
        let annotations = meta.annotations.unwrap_or_default();
        annotations.into_iter().map(|(k, v)| format!("{k}: {v}")).collect()
    }

    fn annotated(annotations: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() }
    }

    #[test]
    fn the_annotations_say_where_a_copy_comes_from() {
        assert_eq!(
            written(&marks()),
            [
                "tresor.dev/placement: ns/copy",
                "tresor.dev/project: default/borrower",
                "tresor.dev/resource-version: 12",
                "tresor.dev/source: secret://c%201/default/m%20l/a/%C3%A4%20b",
                "tresor.dev/store: store-1",
                "tresor.dev/uid: 07070707070707070707070707070707",
                "tresor.dev/version: 3",
            ]
        );
    }

    #[test]
    fn the_annotations_of_a_merged_copy_name_the_project() {
        assert_eq!(
            written(&merged()),
            [
                "tresor.dev/entries: 2",
                "tresor.dev/placement: ns/copy",
                "tresor.dev/project: default/m%20l",
                "tresor.dev/resource-version: 12",
                "tresor.dev/source: secret://c%201/default/m%20l",
                "tresor.dev/store: store-1",
                "tresor.dev/uid: 07070707070707070707070707070707",
            ]
        );
        assert_eq!((merged().entries(), marks().entries()), (2, 0));
    }

    #[test]
    fn writing_leaves_foreign_annotations_and_nothing_else() {
        let before = ["theirs", ADOPT, ENTRIES].map(|key| (key.to_owned(), "x".to_owned()));
        let mut meta = annotated(before.into());
        marks().write_to(&mut meta);
        let annotations = meta.annotations.clone().unwrap();
        assert_eq!(annotations.get("theirs").map(String::as_str), Some("x"));
        assert!(!annotations.contains_key(ADOPT) && !annotations.contains_key(ENTRIES));
        assert_eq!(Marks::found(&meta), marks());
    }

    #[test]
    fn labels_that_no_rule_gives_any_more_go_and_those_of_others_stay() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let mut meta =
            ObjectMeta { labels: Some(pairs(&[("theirs", "x")])), ..annotated(pairs(&[])) };
        let first = marks().labelled(&pairs(&[("a", "1"), ("b", "2")]));
        first.write_to(&mut meta);
        let ours = pairs(&[("a", "1"), (LABEL, MANAGER), ("b", "2"), ("theirs", "x")]);
        assert_eq!(meta.labels.clone().unwrap(), ours);
        assert_eq!(meta.annotations.as_ref().unwrap()[LABELS], "a,b");
        assert_eq!(Marks::found(&meta), first);
        // Somebody changed one of ours: that shows.
        let mut drifted = meta.clone();
        drifted.labels.as_mut().unwrap().insert("a".to_owned(), "9".to_owned());
        assert_ne!(Marks::found(&drifted), first);
        marks().labelled(&pairs(&[("b", "3")])).write_to(&mut meta);
        let left = pairs(&[(LABEL, MANAGER), ("b", "3"), ("theirs", "x")]);
        assert_eq!(meta.labels.clone().unwrap(), left);
        marks().write_to(&mut meta);
        assert!(!meta.annotations.as_ref().unwrap().contains_key(LABELS));
        assert_eq!(meta.labels.unwrap(), pairs(&[(LABEL, MANAGER), ("theirs", "x")]));
    }

    #[test]
    fn an_object_is_ours_only_in_the_place_it_was_made_for_and_by_the_store_that_made_it() {
        for (marks, owner) in [(marks(), Owner::Secret(ID)), (merged(), Owner::Project(ID))] {
            assert_eq!(marks.owner(&placement("copy"), "store-1"), Some(owner));
            assert_eq!(marks.owner(&placement("copied"), "store-1"), None);
            assert_eq!(marks.owner(&placement("copy"), "store-2"), None);
            for lost in [UID, PLACEMENT, STORE] {
                let mut marks = marks.clone();
                marks.annotations.remove(lost);
                assert_eq!(marks.owner(&placement("copy"), "store-1"), None);
            }
        }
    }

    #[test]
    fn a_tampered_source_never_makes_a_merged_copy_of_a_project_that_exists() {
        let mut marks = marks();
        for source in ["", "secret://c", "secret://c/o/p/n", "secret://c/o/p/", "http://c/o/p"] {
            marks.annotations.insert(SOURCE, source.to_owned());
            assert_eq!(marks.owner(&placement("copy"), "store-1"), Some(Owner::Secret(ID)));
        }
    }

    proptest::proptest! {
        /// However a secret or a project is called.
        #[test]
        fn what_is_written_is_read_as_it_was_meant(
            name in "[a-zA-Z0-9%:\u{e4}_.-]{1,9}(/[a-zA-Z0-9 %?#]{1,9}){0,3}",
            of in "[a-z0-9\u{df}]([a-zA-Z0-9 %:_.-]{0,9}[a-z0-9])?",
        ) {
            let (name, of) = (SecretName::parse(&name), ProjectName::parse(&of));
            proptest::prop_assume!(name.is_ok() && of.is_ok());
            let by = ProjectPath { org: OrgName::default_org(), project: of.unwrap() };
            let path = SecretPath { project: by.clone(), name: name.unwrap() };
            let (at, changed_at) = (placement("copy"), rv());
            let read = |origin: Origin<'_>| {
                let mut meta = ObjectMeta::default();
                let marks = Marks::expected(&origin, &at, "s");
                marks.write_to(&mut meta);
                let found = Marks::found(&meta);
                assert!(found == marks && found.is_by(&by));
                found.owner(&at, "s")
            };
            let secret = Origin::Secret { path: &path, uid: ID, version: 1, changed_at, by: &by };
            proptest::prop_assert_eq!(read(secret), Some(Owner::Secret(ID)));
            let project = Origin::Project { path: &by, uid: ID, entries: 0, changed_at: None };
            proptest::prop_assert_eq!(read(project), Some(Owner::Project(ID)));
        }
    }

    #[test]
    fn the_project_of_the_rule_is_read_whole() {
        assert!(marks().is_by(&project("borrower")) && !marks().is_by(&project("m l")));
        assert!(merged().is_by(&project("m l")) && !merged().is_by(&project("m")));
        assert!(!Marks::default().is_by(&project("m l")));
    }

    #[test]
    fn foreign_annotations_are_not_kept() {
        let foreign = BTreeMap::from([("a".to_owned(), "value".to_owned())]);
        assert_eq!(Marks::found(&annotated(foreign)), Marks::default());
    }
}
