//! Where a right holds.

use domain::{Invalid, OrgName, ProjectName, ProjectPath, SecretName, SecretPath, SecretUri, Uid};

use crate::Role;

/// A resource, as a node of the tree store, organization, project, secret.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// An organization.
    Organization(&'a OrgName),
    /// A project.
    Project(&'a ProjectPath),
    /// A secret by its name, whether it exists or not; with its identity where that is known.
    Secret(&'a SecretPath, Option<Uid>),
    /// The store itself.
    WholeStore,
}

impl Place<'_> {
    /// The project that it is, or lies in.
    pub const fn project(&self) -> Option<&ProjectPath> {
        match self {
            Self::Organization(_) | Self::WholeStore => None,
            Self::Project(path) => Some(path),
            Self::Secret(path, _) => Some(&path.project),
        }
    }

    const fn org(&self) -> Option<&OrgName> {
        match self {
            Self::Organization(org) => Some(org),
            Self::Project(path) => Some(&path.org),
            Self::Secret(path, _) => Some(&path.project.org),
            Self::WholeStore => None,
        }
    }
}

/// Where a role holds: at a node of that tree and everywhere below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One secret, and all those whose names go on behind its name and a `/`.
    Below(SecretPath),
    /// An organization and all its projects.
    Org(OrgName),
    /// A project.
    Project(ProjectPath),
    /// One secret and no other that ever has its name. What an owner gives away is of this kind: a
    /// name is not theirs, and neither is what lies below it.
    Secret(SecretPath, Uid),
    /// The whole store.
    WholeStore,
}

impl Scope {
    /// The node that a URI names. When its first segment names no organization, it is a project of
    /// the default one.
    ///
    /// # Errors
    /// When a segment is no name of its kind.
    pub fn from_uri(uri: &SecretUri, is_org: impl Fn(&OrgName) -> bool) -> Result<Self, Invalid> {
        let wrong = |wrong: Invalid| Invalid::new("uri", wrong.fix);
        let Some((first, rest)) = uri.segments().split_first() else { return Ok(Self::WholeStore) };
        let named = OrgName::parse(first).map_err(wrong)?;
        let default_org = OrgName::default_org();
        let (org, below) = match named == default_org || is_org(&named) {
            true => (named, rest),
            false => (default_org, uri.segments()),
        };
        let Some((project, name)) = below.split_first() else { return Ok(Self::Org(org)) };
        let project = ProjectPath { org, project: ProjectName::parse(project).map_err(wrong)? };
        if name.is_empty() {
            return Ok(Self::Project(project));
        }
        let name = SecretName::parse(&name.join("/")).map_err(wrong)?;
        Ok(Self::Below(SecretPath { project, name }))
    }

    /// The URI of the node, with its organization.
    pub fn to_uri(&self, cluster: &str) -> SecretUri {
        let names: Vec<&str> = match self {
            Self::Below(path) | Self::Secret(path, _) => {
                let (org, project) = (path.project.org.as_str(), path.project.project.as_str());
                [org, project].into_iter().chain(path.name.as_str().split('/')).collect()
            }
            Self::Org(org) => vec![org.as_str()],
            Self::Project(path) => vec![path.org.as_str(), path.project.as_str()],
            Self::WholeStore => Vec::new(),
        };
        SecretUri::new(cluster, names)
    }

    /// The node itself; a prefix of names is the secret of that name.
    pub const fn place(&self) -> Place<'_> {
        match self {
            Self::Below(path) => Place::Secret(path, None),
            Self::Secret(path, uid) => Place::Secret(path, Some(*uid)),
            Self::Org(org) => Place::Organization(org),
            Self::Project(path) => Place::Project(path),
            Self::WholeStore => Place::WholeStore,
        }
    }

    /// The project that it is or lies in.
    pub const fn project(&self) -> Option<&ProjectPath> {
        match self {
            Self::Below(path) | Self::Secret(path, _) => Some(&path.project),
            Self::Project(path) => Some(path),
            Self::Org(_) | Self::WholeStore => None,
        }
    }

    /// Whether a place is the node or lies below it.
    pub fn reaches(&self, place: &Place<'_>) -> bool {
        match self {
            Self::WholeStore => true,
            Self::Org(mine) => place.org() == Some(mine),
            Self::Project(mine) => place.project() == Some(mine),
            Self::Below(mine) => match place {
                Place::Secret(path, _) => path.project == mine.project && is_below(path, mine),
                _ => false,
            },
            Self::Secret(_, mine) => matches!(place, Place::Secret(_, Some(uid)) if uid == mine),
        }
    }

    /// Whether the node is the project, lies above it, or lies in it.
    pub(crate) fn touches(&self, project: &ProjectPath) -> bool {
        self.reaches(&Place::Project(project)) || self.project() == Some(project)
    }
}

fn is_below(path: &SecretPath, prefix: &SecretPath) -> bool {
    match path.name.as_str().strip_prefix(prefix.name.as_str()) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// A role and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    role: Role,
    scope: Scope,
}

impl Right {
    /// A role at a node. A global role holds in the whole store only.
    ///
    /// # Errors
    /// When role and node do not go together.
    pub fn new(role: Role, scope: Scope) -> Result<Self, Invalid> {
        if role.is_global() && scope != Scope::WholeStore {
            let fix = format!("must be left out or be the whole store: {role} holds everywhere");
            return Err(Invalid::new("projects", fix));
        }
        Ok(Self { role, scope })
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where it holds.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(uri: &str) -> Scope {
        let uri = SecretUri::parse(uri).unwrap();
        Scope::from_uri(&uri, |org| org.as_str() == "acme").unwrap()
    }

    fn secret(project: &ProjectPath, name: &str) -> SecretPath {
        SecretPath { project: project.clone(), name: SecretName::parse(name).unwrap() }
    }

    #[test]
    fn a_global_role_holds_in_the_whole_store_only() {
        let project = scope("secret://c/ml");
        for role in Role::ALL {
            assert!(Right::new(role, Scope::WholeStore).is_ok(), "{role}");
            for narrow in [&project, &scope("secret://c/acme"), &scope("secret://c/ml/a")] {
                assert_eq!(Right::new(role, narrow.clone()).is_ok(), !role.is_global(), "{role}");
            }
        }
    }

    #[test]
    fn a_uri_without_an_organization_means_the_default_one() {
        assert_eq!(scope("secret://c"), Scope::WholeStore);
        assert!(matches!(scope("secret://c/acme"), Scope::Org(_)));
        assert!(matches!(scope("secret://c/default"), Scope::Org(_)));
        assert_eq!(scope("secret://c/ml"), scope("secret://c/default/ml"));
        assert_eq!(scope("secret://c/alice/key"), scope("secret://c/default/alice/key"));
        assert_ne!(scope("secret://c/acme/ml"), scope("secret://c/default/ml"));
        for uri in ["secret://c", "secret://c/acme", "secret://c/acme/ml/a/b%20c"] {
            assert_eq!(scope(uri).to_uri("c").to_string(), uri);
        }
    }

    #[test]
    fn a_right_ends_at_a_slash() {
        let Scope::Project(ml) = scope("secret://c/ml") else { panic!() };
        let prefix = scope("secret://c/ml/team");
        for (name, reached) in [
            ("team", true),
            ("team/hf", true),
            ("team/a/b", true),
            ("team2", false),
            ("tea", false),
            ("Team/hf", false),
            ("a/team", false),
        ] {
            assert_eq!(prefix.reaches(&Place::Secret(&secret(&ml, name), None)), reached, "{name}");
        }
        assert!(!prefix.reaches(&Place::Project(&ml)));
        let Scope::Project(other) = scope("secret://c/ml2") else { panic!() };
        assert!(!prefix.reaches(&Place::Secret(&secret(&other, "team"), None)));
        assert!(prefix.touches(&ml) && !prefix.touches(&other));
    }

    #[test]
    fn an_organization_reaches_its_projects_and_no_others() {
        let acme = scope("secret://c/acme");
        let (Scope::Project(inside), Scope::Project(outside)) =
            (scope("secret://c/acme/ml"), scope("secret://c/ml"))
        else {
            panic!()
        };
        assert!(acme.reaches(&Place::Project(&inside)));
        assert!(acme.reaches(&Place::Secret(&secret(&inside, "a"), None)));
        assert!(acme.touches(&inside) && !acme.touches(&outside));
        assert!(!acme.reaches(&Place::Project(&outside)));
        assert!(!acme.reaches(&Place::WholeStore));
    }
}
