//! Bindings: further projects in which a secret may be used and is projected.

use authz::{Actor, Administer, Basis, Create, List, Permit, Share, Use};
use domain::{
    BindingKind, Invalid, ProjectPath, ResourceVersion, Retired, SecretPath, Timestamp, Uid,
};
use store::{Binding, ChangeKind, Key, KeyRange, Precondition, Removal};

use crate::draft::Draft;
use crate::{BoundView, SecretView, Vault, VaultError, persist};

/// The most projects that one secret is bound to.
pub const MAX_BINDINGS: usize = 32;

/// The right to share a secret.
pub enum Sharing {
    /// One that is being made, by who makes it and will own it.
    Make(Permit<Create, SecretPath>),
    /// One that exists.
    Share(Permit<Share, SecretPath>),
}

impl Sharing {
    fn basis(&self) -> Basis {
        match self {
            Self::Make(permit) => permit.basis(),
            Self::Share(permit) => permit.basis(),
        }
    }

    /// Whether it is the right to share what a draft changes.
    fn covers(&self, draft: &Draft) -> bool {
        let head = &draft.head;
        match self {
            Self::Make(permit) => draft.is_new() && *permit.resource() == head.path,
            Self::Share(permit) => *permit.resource() == head.path && permit.covers(head.uid),
        }
    }
}

/// The right to bind a secret to a project. Both kinds want the right to share the secret, since
/// its value appears where the other project's rules say.
pub enum BindingPermit {
    /// The sharer may use secrets in the project.
    Owner(Sharing, Permit<Use, ProjectPath>),
    /// The sharer administers the project.
    Members(Sharing, Permit<Administer, ProjectPath>),
}

/// The right to end a binding: of who shares the secret, and of who administers the project.
pub enum UnbindingPermit {
    /// Who shares the secret.
    Secret(Permit<Share, SecretPath>),
    /// Who administers the project.
    Project(Permit<Administer, ProjectPath>),
}

impl BindingPermit {
    fn bases(&self) -> [Basis; 2] {
        match self {
            Self::Owner(share, to) => [share.basis(), to.basis()],
            Self::Members(share, to) => [share.basis(), to.basis()],
        }
    }
}

impl UnbindingPermit {
    fn bases(&self) -> [Basis; 1] {
        match self {
            Self::Secret(share) => [share.basis()],
            Self::Project(administer) => [administer.basis()],
        }
    }
}

/// Projects, and how a secret is bound to each.
pub type Targets = Vec<(ProjectPath, BindingKind)>;

/// A change of a secret's bindings. What is to be, and the rights to each step there, since which
/// steps there are is known only when the secret is read.
#[derive(Clone, Copy)]
pub struct Rebinding<'a> {
    /// From the bindings that there are to those that are wanted.
    pub wanted: &'a dyn Fn(&[Binding]) -> Targets,
    /// The right to make one.
    pub may_bind: &'a dyn Fn(&ProjectPath, BindingKind) -> Result<BindingPermit, VaultError>,
    /// The right to end one.
    pub may_unbind: &'a dyn Fn(&ProjectPath) -> Result<UnbindingPermit, VaultError>,
}

impl Vault {
    /// Changes a secret's bindings and nothing else.
    ///
    /// # Errors
    /// When there is no such secret or project, a right is missing, or it changed since the
    /// resource version that the caller insists on.
    pub fn rebind_secret(
        &self,
        permit: &Permit<List, SecretPath>,
        rebinding: &Rebinding<'_>,
        expected: Option<ResourceVersion>,
    ) -> Result<SecretView, VaultError> {
        persist(|| {
            let mut draft = self.draft(permit, expected)?;
            let (before, now) = (draft.head.bindings.clone(), self.clock.now());
            self.rebind(&mut draft, rebinding, permit.actor(), now)?;
            if draft.head.bindings == before {
                return self.secret(permit);
            }
            draft.head.updated_at = now;
            self.write(draft, ChangeKind::Modified, permit.basis())
        })
    }

    /// The secrets of other projects that are bound to a project, by their home and name.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn bound_secrets(
        &self,
        permit: &Permit<List, ProjectPath>,
    ) -> Result<Vec<BoundView>, VaultError> {
        let project = permit.resource();
        self.project_record(project)?;
        let mut bound = Vec::new();
        for path in self.bound_paths(project)? {
            let head = match self.head(&path) {
                Ok((head, _)) => head,
                // Deleted since the index was read.
                Err(VaultError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let (uid, kind) = (head.uid, head.kind);
            if let Some(binding) = head.bindings.into_iter().find(|b| b.project == *project) {
                bound.push(BoundView { path, uid, kind, binding });
            }
        }
        bound.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(bound)
    }

    /// Ends the binding of a secret to a project, by who administers that: the secret may be none
    /// that they can see at its home.
    ///
    /// # Errors
    /// When no secret of that identity is bound to the project.
    pub fn unbind_from_project(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        uid: Uid,
    ) -> Result<(), VaultError> {
        let project = permit.resource();
        persist(|| {
            let found = self.read_record(&Key::binding(project, uid), store::decode_secret_path)?;
            let (path, _) = found.ok_or(VaultError::NotFound)?;
            let mut draft = self.draft_of(&path, self.head(&path)?, None)?;
            if draft.head.uid != uid {
                return Err(VaultError::Busy);
            }
            draft.head.bindings.retain(|binding| binding.project != *project);
            self.unbind(&mut draft, project)?;
            draft.head.updated_at = self.clock.now();
            self.write(draft, ChangeKind::Modified, permit.basis()).map(|_| ())
        })
    }

    pub(crate) fn bound_paths(&self, to: &ProjectPath) -> Result<Vec<SecretPath>, VaultError> {
        let mut paths = Vec::new();
        self.each(&KeyRange::bindings(to), |key, stored| {
            paths.push(self.open_record(key, &stored.value, store::decode_secret_path)?);
            Ok(())
        })?;
        Ok(paths)
    }

    /// Puts the steps from the bindings that there are to those that are wanted into a draft.
    pub(crate) fn rebind(
        &self,
        draft: &mut Draft,
        rebinding: &Rebinding<'_>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let wanted = (rebinding.wanted)(&draft.head.bindings);
        check(&wanted, &draft.head.path)?;
        let is_kept = |old: &Binding| wanted.iter().any(|(to, kind)| is(old, to, *kind));
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut draft.head.bindings).into_iter().partition(is_kept);
        for old in &ended {
            let permit = (rebinding.may_unbind)(&old.project)?;
            check_unbinding(&permit, draft, &old.project)?;
            check_actor(permit.bases(), actor)?;
            // A binding that only changes its kind keeps its projections.
            if !wanted.iter().any(|(to, _)| *to == old.project) {
                self.unbind(draft, &old.project)?;
            }
        }
        let fresh = wanted.iter().filter(|(to, kind)| !kept.iter().any(|old| is(old, to, *kind)));
        let mut bindings = kept.clone();
        for (project, kind) in fresh {
            let permit = (rebinding.may_bind)(project, *kind)?;
            check_binding(&permit, draft, project, *kind)?;
            check_actor(permit.bases(), actor)?;
            self.bind(draft, project)?;
            bindings.push(Binding {
                project: project.clone(),
                kind: *kind,
                opened: false,
                created_by: actor.name(),
                created_at: now,
            });
        }
        bindings.sort_by(|a, b| a.project.cmp(&b.project));
        draft.head.bindings = bindings;
        Ok(())
    }

    fn bind(&self, draft: &mut Draft, project: &ProjectPath) -> Result<(), VaultError> {
        let revision = match self.project_record(project) {
            Ok((record, revision)) if record.removal == Removal::None => revision,
            Ok(_) | Err(VaultError::NotFound) => return Err(unusable().into()),
            Err(error) => return Err(error),
        };
        draft.commit.require(Precondition::ChangedAt(Key::project(project), revision));
        self.index_binding(draft, project)
    }

    /// Puts a binding into the index of the project.
    pub(crate) fn index_binding(
        &self,
        draft: &mut Draft,
        project: &ProjectPath,
    ) -> Result<(), VaultError> {
        let key = Key::binding(project, draft.head.uid);
        let path = store::encode_secret_path(&draft.head.path);
        draft.commit.put(key.clone(), self.seal_record(&key, &path)?);
        Ok(())
    }

    pub(crate) fn unbind(
        &self,
        draft: &mut Draft,
        project: &ProjectPath,
    ) -> Result<(), VaultError> {
        draft.commit.remove(Key::binding(project, draft.head.uid));
        let (path, uid) = (draft.head.path.clone(), draft.head.uid);
        let retired = Retired::Binding { path, uid, project: project.clone() };
        self.entomb(&mut draft.commit, self.make_uid()?, &retired);
        Ok(())
    }
}

fn is(binding: &Binding, project: &ProjectPath, kind: BindingKind) -> bool {
    binding.project == *project && binding.kind == kind
}

/// What is said of a project that does not exist and of one that the actor may not use, alike.
pub fn unusable() -> Invalid {
    Invalid::new("project", "must be a project in which you may use secrets")
}

fn check(wanted: &[(ProjectPath, BindingKind)], home: &SecretPath) -> Result<(), Invalid> {
    let refuse = |fix: String| Err(Invalid::new("spec.bindings", fix));
    if wanted.len() > MAX_BINDINGS {
        return refuse(format!("must be at most {MAX_BINDINGS} bindings"));
    }
    if wanted.iter().any(|(project, _)| *project == home.project) {
        return refuse("must not name the secret's own project, where it is usable anyway".into());
    }
    let mut projects: Vec<_> = wanted.iter().map(|(project, _)| project).collect();
    projects.sort();
    if projects.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return refuse("must name each project once".into());
    }
    Ok(())
}

/// A commit requires one actor's rights to be unchanged, so all of its permits are that actor's.
pub(crate) fn check_actor<const N: usize>(
    bases: [Basis; N],
    actor: &Actor,
) -> Result<(), VaultError> {
    let same = bases.into_iter().all(|basis| basis == actor.basis());
    if same { Ok(()) } else { Err(VaultError::RightsChanged) }
}

/// A permit is about what it was decided on, and nothing else.
fn check_binding(
    permit: &BindingPermit,
    draft: &Draft,
    project: &ProjectPath,
    kind: BindingKind,
) -> Result<(), VaultError> {
    let fits = match (permit, kind) {
        (BindingPermit::Owner(share, to), BindingKind::Owner) => {
            share.covers(draft) && to.resource() == project
        }
        (BindingPermit::Members(share, to), BindingKind::Members) => {
            share.covers(draft) && to.resource() == project
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(VaultError::NotFound) }
}

fn check_unbinding(
    permit: &UnbindingPermit,
    draft: &Draft,
    project: &ProjectPath,
) -> Result<(), VaultError> {
    let fits = match permit {
        UnbindingPermit::Secret(share) => {
            *share.resource() == draft.head.path && share.covers(draft.head.uid)
        }
        UnbindingPermit::Project(administer) => administer.resource() == project,
    };
    if fits { Ok(()) } else { Err(VaultError::NotFound) }
}
