//! The label and annotations by which a Secret of ours is known.

use std::collections::BTreeMap;

use domain::{Placement, ProjectPath, ResourceVersion, SecretPath, Uid};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The label that the watches select by.
pub(crate) const LABEL: &str = "app.kubernetes.io/managed-by";
/// The label's value, and the field manager.
pub(crate) const MANAGER: &str = "tresor";

const SOURCE: &str = "tresor.dev/source";
const UID: &str = "tresor.dev/uid";
const VERSION: &str = "tresor.dev/version";
const RESOURCE_VERSION: &str = "tresor.dev/resource-version";
const PLACEMENT: &str = "tresor.dev/placement";
const STORE: &str = "tresor.dev/store";
const ALL: [&str; 6] = [SOURCE, UID, VERSION, RESOURCE_VERSION, PLACEMENT, STORE];

const SCHEME: &str = "secret://";
/// What RFC 3986 section 2.3 leaves unencoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As above; the slashes of a name are its segments.
const NAME: &AsciiSet = &SEGMENT.remove(b'/');

/// Our annotations on one object. Of what we expect they are all there; of what is found in the
/// cluster, as many as somebody left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<&'static str, String>);

/// Which secret, at which point, a copy shows.
pub(crate) struct Origin<'a> {
    /// The secret.
    pub(crate) path: &'a SecretPath,
    /// Its identity.
    pub(crate) uid: Uid,
    /// The version in the copy.
    pub(crate) version: u64,
    /// When the secret last changed.
    pub(crate) changed_at: ResourceVersion,
}

impl Marks {
    /// The annotations that a copy in that place must have.
    pub(crate) fn expected(origin: &Origin<'_>, placement: &Placement, store: &str) -> Self {
        Self(BTreeMap::from([
            (SOURCE, source_uri(&placement.cluster, origin.path)),
            (UID, origin.uid.to_string()),
            (VERSION, origin.version.to_string()),
            (RESOURCE_VERSION, origin.changed_at.to_string()),
            (PLACEMENT, place(placement)),
            (STORE, store.to_owned()),
        ]))
    }

    /// Those of an object's annotations that are ours.
    pub(crate) fn found(annotations: &BTreeMap<String, String>) -> Self {
        Self(ALL.iter().filter_map(|k| Some((*k, annotations.get(*k)?.clone()))).collect())
    }

    /// The annotations to write.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|(key, value)| ((*key).to_owned(), value.clone()))
    }

    /// The secret that the object shows, if the object was made by this store for this very place.
    ///
    /// The place is what tells our object from a copy that somebody made of it: `kubectl get -o
    /// yaml`, a new name, `kubectl apply`, and all annotations came along.
    pub(crate) fn owner(&self, placement: &Placement, store: &str) -> Option<Uid> {
        let made_here = self.is(STORE, store) && self.is(PLACEMENT, &place(placement));
        if !made_here {
            return None;
        }
        Uid::parse(self.0.get(UID)?).ok()
    }

    /// Whether the object's secret is at home in that project.
    pub(crate) fn is_from(&self, project: &ProjectPath) -> bool {
        // The cluster is left out: it may have got another name since.
        self.0
            .get(SOURCE)
            .and_then(|source| source.strip_prefix(SCHEME)?.split_once('/'))
            .is_some_and(|(_, path)| path.starts_with(&format!("{}/", project_path(project))))
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|found| found == value)
    }
}

fn place(placement: &Placement) -> String {
    format!("{}/{}", placement.namespace, placement.name)
}

fn source_uri(cluster: &str, secret: &SecretPath) -> String {
    format!(
        "{SCHEME}{}/{}/{}",
        utf8_percent_encode(cluster, SEGMENT),
        project_path(&secret.project),
        utf8_percent_encode(secret.name.as_str(), NAME)
    )
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

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn placement(name: &str) -> Placement {
        let namespace = Namespace::parse("ns").unwrap();
        Placement { cluster: "c 1".to_owned(), namespace, name: name.to_owned() }
    }

    fn marks() -> Marks {
        let path =
            SecretPath { project: project("m l"), name: SecretName::parse("a/\u{e4} b").unwrap() };
        let origin = Origin {
            path: &path,
            uid: Uid::from_bytes([7; 16]),
            version: 3,
            changed_at: ResourceVersion::new(Incarnation::new(0), Revision::new(12)),
        };
        Marks::expected(&origin, &placement("copy"), "store-1")
    }

    #[test]
    fn the_annotations_say_where_a_copy_comes_from() {
        let written: Vec<String> = marks().iter().map(|(k, v)| format!("{k}: {v}")).collect();
        assert_eq!(
            written,
            [
                "tresor.dev/placement: ns/copy",
                "tresor.dev/resource-version: 12",
                "tresor.dev/source: secret://c%201/default/m%20l/a/%C3%A4%20b",
                "tresor.dev/store: store-1",
                "tresor.dev/uid: 07070707070707070707070707070707",
                "tresor.dev/version: 3",
            ]
        );
    }

    #[test]
    fn an_object_is_ours_only_in_the_place_it_was_made_for_and_by_the_store_that_made_it() {
        let uid = Some(Uid::from_bytes([7; 16]));
        assert_eq!(marks().owner(&placement("copy"), "store-1"), uid);
        assert_eq!(marks().owner(&placement("copied"), "store-1"), None);
        assert_eq!(marks().owner(&placement("copy"), "store-2"), None);
        for lost in [UID, PLACEMENT, STORE] {
            let mut annotations: BTreeMap<String, String> = marks().iter().collect();
            annotations.remove(lost);
            assert_eq!(Marks::found(&annotations).owner(&placement("copy"), "store-1"), None);
        }
    }

    #[test]
    fn the_home_project_is_read_whole() {
        assert!(marks().is_from(&project("m l")));
        assert!(!marks().is_from(&project("m")));
        assert!(!marks().is_from(&project("m%20l")));
        assert!(!Marks::default().is_from(&project("m l")));
    }

    #[test]
    fn foreign_annotations_are_not_kept() {
        let foreign = BTreeMap::from([("a".to_owned(), "value".to_owned())]);
        assert_eq!(Marks::found(&foreign), Marks::default());
    }
}
