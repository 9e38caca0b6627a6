//! Secrets: made, changed, read.

use authz::{Action, Actor, Create, Denied, List, Permit, Read, Update};
use domain::{
    Annotations, Invalid, KubernetesSecret, Labels, Payload, ResourceVersion, Revision, SecretPath,
    SecretType, Timestamp,
};
use store::{ChangeKind, Commit, Head, Key, Precondition, ProjectRecord, Removal, VersionState};

use crate::bindings::check_actor;
use crate::draft::Draft;
use crate::{ATTEMPTS, Rebinding, SecretView, Vault, VaultError, persist};

/// The most versions that may be kept of a secret.
pub const MAX_KEEP_VERSIONS: u32 = 100;

/// A secret to be made.
pub struct NewSecret<'a> {
    /// Its first version, or its type.
    pub first: First,
    /// Its labels.
    pub labels: Labels,
    /// What its client keeps beside it.
    pub annotations: Annotations,
    /// A further identity, which its client chose; see [`Vault::permit_by_id`].
    pub alias: Option<String>,
    /// How many versions are kept of it, where it says so itself: 1 to [`MAX_KEEP_VERSIONS`].
    pub keep_versions: Option<u32>,
    /// The projects that it is bound to.
    pub bindings: Option<Rebinding<'a>>,
}

impl NewSecret<'_> {
    /// A secret that begins with this, and has nothing else.
    pub fn of(first: First) -> Self {
        let (labels, annotations) = (Labels::default(), Annotations::default());
        Self { first, labels, annotations, alias: None, keep_versions: None, bindings: None }
    }
}

/// What a secret begins with.
pub enum First {
    /// Nothing: the secret is listed, and neither readable nor projected until it has a version.
    Nothing(SecretType),
    /// A version, which also decides the type.
    Version(Payload),
}

impl First {
    const fn secret_type(&self) -> SecretType {
        match self {
            Self::Nothing(kind) => *kind,
            Self::Version(payload) => payload.secret_type(),
        }
    }
}

/// What changes in a secret.
pub struct SecretChange<'a> {
    /// A new version, if there is to be one.
    pub payload: PayloadChange<'a>,
    /// What becomes of the labels, if they change.
    pub labels: Option<Relabel<'a>>,
    /// What becomes of the annotations, if they change.
    pub annotations: Option<Reannotate<'a>>,
    /// How many versions are kept from now on, if that changes.
    pub keep_versions: Option<Option<u32>>,
    /// The projects that it is bound to, if they change.
    pub bindings: Option<Rebinding<'a>>,
    /// The resource version that the caller has seen, where it insists.
    pub expected: Option<ResourceVersion>,
}

impl<'a> SecretChange<'a> {
    /// A change of the payload, or of nothing yet.
    pub const fn of(payload: PayloadChange<'a>) -> Self {
        Self {
            payload,
            labels: None,
            annotations: None,
            keep_versions: None,
            bindings: None,
            expected: None,
        }
    }
}

/// From the labels that there are to those that are wanted.
pub type Relabel<'a> = &'a dyn Fn(&Labels) -> Result<Labels, Invalid>;

/// From the annotations that there are to those that are wanted.
pub type Reannotate<'a> = &'a dyn Fn(&Annotations) -> Result<Annotations, Invalid>;

/// How many secrets one act gives new versions: what fits into a commit.
pub const MAX_TOGETHER: usize = 12;

/// Where a new version comes from.
#[derive(Clone, Copy)]
pub enum PayloadChange<'a> {
    /// There is none.
    Keep,
    /// There is none, and the caller speaks of a secret of a type that passes.
    Check(&'a dyn Fn(SecretType) -> Result<(), Invalid>),
    /// The caller brings it, for a secret of that type.
    New(&'a dyn Fn(SecretType) -> Result<Payload, Invalid>),
    /// The current version is changed.
    Patch(&'a dyn Fn(&Payload) -> Result<Payload, Invalid>),
    /// An earlier version becomes the newest one too.
    RollBack(u64),
}

/// One version in the clear.
pub struct Revealed {
    /// The content.
    pub payload: Payload,
    /// Which version it is.
    pub version: u64,
    /// The secret it belongs to.
    pub secret: SecretView,
}

impl Vault {
    /// Makes a secret with its first version.
    ///
    /// # Errors
    /// When the project does not exist or the name is taken.
    pub fn create_secret(
        &self,
        permit: &Permit<Create, SecretPath>,
        new: &NewSecret<'_>,
    ) -> Result<SecretView, VaultError> {
        check_keep(new.keep_versions)?;
        check_alias(new.alias.as_deref())?;
        persist(|| self.try_create(permit, new))
    }

    /// Writes a new version, new metadata, or both.
    ///
    /// # Errors
    /// When there is no such secret, the payload is of another type, or it changed since the
    /// resource version that the caller insists on.
    pub fn update_secret(
        &self,
        permit: &Permit<Update, SecretPath>,
        wanted: &SecretChange<'_>,
    ) -> Result<SecretView, VaultError> {
        check_keep(wanted.keep_versions.flatten())?;
        let (mut view, kept) = persist(|| self.try_update(permit, wanted))?;
        // The update stands, whatever becomes of this: what is left over goes with the next one.
        if view.head.versions.len() > kept
            && let Err(error) = self.prune_further(permit, &mut view)
        {
            tracing::debug!(%error, "not all versions went that are kept no longer");
        }
        Ok(view)
    }

    /// Gives several secrets a new version each, in one commit: all of them, or none.
    ///
    /// # Errors
    /// As [`Vault::update_secret`], and when they are more than [`MAX_TOGETHER`] or do not fit into
    /// one commit.
    pub fn update_secrets(
        &self,
        changes: &[(Permit<Update, SecretPath>, Payload)],
    ) -> Result<Vec<SecretView>, VaultError> {
        let Some((first, _)) = changes.first() else { return Ok(Vec::new()) };
        if changes.len() > MAX_TOGETHER {
            let fix = format!("must be at most {MAX_TOGETHER} secrets at once");
            return Err(Invalid::new("data", fix).into());
        }
        for (permit, _) in changes {
            check_actor([permit.basis()], first.actor())?;
        }
        let mut views = persist(|| self.try_update_all(first.basis(), changes))?;
        for ((permit, _), view) in changes.iter().zip(&mut views) {
            if let Err(error) = self.prune_further(permit, view) {
                tracing::debug!(%error, "not all versions went that are kept no longer");
            }
        }
        Ok(views)
    }

    fn try_update_all(
        &self,
        basis: authz::Basis,
        changes: &[(Permit<Update, SecretPath>, Payload)],
    ) -> Result<Vec<SecretView>, VaultError> {
        let (mut commit, mut heads) = (Commit::default(), Vec::new());
        for (permit, payload) in changes {
            let mut draft = self.draft(permit, None)?;
            check_type(&draft.head, payload)?;
            let now = self.clock.now();
            self.add_version(&mut draft, payload, permit.actor().name(), now)?;
            // One of each: the others go by themselves, so that all fit together.
            let kept = self.kept_versions(&draft.head)?;
            draft.prune(kept.max(draft.head.versions.len().saturating_sub(1)));
            draft.head.updated_at = now;
            let (own, head) = self.complete(draft, ChangeKind::Modified)?;
            commit.append(own);
            heads.push(head);
        }
        let resource_version = self.wire(self.commit(commit, basis)?);
        Ok(heads.into_iter().map(|head| SecretView { head, resource_version }).collect())
    }

    /// A secret's type, for whoever may do anything with it.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn secret_type<A: Action>(
        &self,
        permit: &Permit<A, SecretPath>,
    ) -> Result<SecretType, VaultError> {
        Ok(self.permitted_head(permit)?.0.kind)
    }

    /// The right to do something with the living secret of an identity, its own or its alias. What
    /// is not there looks like what may not be seen.
    ///
    /// # Errors
    /// [`VaultError::NotPermitted`]; or when the store cannot be read.
    pub fn permit_by_id<A: Action>(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Permit<A, SecretPath>, VaultError> {
        let nowhere = VaultError::NotPermitted(Denied::NotVisible);
        let Some(stored) = self.engine.read(&Key::secret_id(id))? else { return Err(nowhere) };
        let path = store::decode_secret_path(&stored.value).map_err(|_| VaultError::Damaged)?;
        let permit = self.permit::<A>(actor, path)?;
        // The index lies in the clear; the head is sealed.
        let head = match self.permitted_head(&permit) {
            Ok((head, _)) => head,
            Err(VaultError::NotFound) => return Err(nowhere),
            Err(error) => return Err(error),
        };
        let is_it = head.alias.as_deref() == Some(id) || head.uid.to_string() == id;
        if is_it { Ok(permit) } else { Err(nowhere) }
    }

    /// A secret's metadata.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn secret(&self, permit: &Permit<List, SecretPath>) -> Result<SecretView, VaultError> {
        let (head, revision) = self.permitted_head(permit)?;
        Ok(SecretView { head, resource_version: self.wire(revision) })
    }

    /// One version in the clear: the current one, or the one named.
    ///
    /// # Errors
    /// When there is no such secret or no such live version.
    pub fn reveal(
        &self,
        permit: &Permit<Read, SecretPath>,
        version: Option<u64>,
    ) -> Result<Revealed, VaultError> {
        for _ in 0..ATTEMPTS {
            let (head, revision) = self.permitted_head(permit)?;
            let number = match version {
                None => head.current().map(|version| version.number),
                Some(number) => live_version(&head, number),
            };
            let number = number.ok_or(VaultError::VersionNotFound)?;
            // A version that is pruned between the two reads is gone: look again.
            if let Some(payload) = self.read_payload(head.uid, number, head.kind)? {
                if permit.actor().identity().is_some() {
                    self.note_read(head.uid);
                }
                let secret = SecretView { head, resource_version: self.wire(revision) };
                return Ok(Revealed { payload, version: number, secret });
            }
        }
        Err(VaultError::Damaged)
    }

    /// The keys that a secret has in Kubernetes, sorted; of its current version, and without its
    /// values.
    ///
    /// # Errors
    /// When there is no such secret or it has no live version.
    pub fn data_keys<A: Action>(
        &self,
        permit: &Permit<A, SecretPath>,
    ) -> Result<Vec<String>, VaultError> {
        for _ in 0..ATTEMPTS {
            let (head, _) = self.permitted_head(permit)?;
            let number = head.current().map(|version| version.number);
            let number = number.ok_or(VaultError::VersionNotFound)?;
            // As when it is revealed.
            if let Some(payload) = self.read_payload(head.uid, number, head.kind)? {
                let secret = KubernetesSecret::from_payload(payload, &head.path.name);
                return Ok(secret.data.into_keys().collect());
            }
        }
        Err(VaultError::Damaged)
    }

    /// A secret's head, if the permit holds for the secret that has the name by now.
    pub(crate) fn permitted_head<A: Action>(
        &self,
        permit: &Permit<A, SecretPath>,
    ) -> Result<(Head, Revision), VaultError> {
        let found = self.head(permit.resource())?;
        if permit.covers(found.0.uid) { Ok(found) } else { Err(VaultError::RightsChanged) }
    }

    pub(crate) fn head(&self, path: &SecretPath) -> Result<(Head, Revision), VaultError> {
        self.read_record(&Key::head(path), Head::decode)?.ok_or(VaultError::NotFound)
    }

    fn try_create(
        &self,
        permit: &Permit<Create, SecretPath>,
        new: &NewSecret<'_>,
    ) -> Result<SecretView, VaultError> {
        let path = permit.resource();
        let (_, project_at) = self.open_project(path)?;
        if self.engine.read(&Key::head(path))?.is_some() {
            return Err(VaultError::AlreadyExists);
        }
        if let Some(alias) = &new.alias
            && self.engine.read(&Key::secret_id(alias))?.is_some()
        {
            return Err(VaultError::IdTaken);
        }
        let (now, by) = (self.clock.now(), permit.actor().name());
        let owner = permit.actor().subject().map_or_else(|| by.clone(), |own| own.to_string());
        let mut draft = Draft::of_new(self.new_head(path, new, now, owner)?);
        draft.commit.require(Precondition::ChangedAt(Key::project(&path.project), project_at));
        if let First::Version(payload) = &new.first {
            self.add_version(&mut draft, payload, by, now)?;
        }
        if let Some(bindings) = &new.bindings {
            self.rebind(&mut draft, bindings, permit.actor(), now)?;
        }
        self.write(draft, ChangeKind::Added, permit.basis())
    }

    fn new_head(
        &self,
        path: &SecretPath,
        new: &NewSecret<'_>,
        now: Timestamp,
        owner: String,
    ) -> Result<Head, VaultError> {
        Ok(Head {
            uid: self.make_uid()?,
            alias: new.alias.clone(),
            path: path.clone(),
            kind: new.first.secret_type(),
            owner,
            labels: new.labels.clone(),
            annotations: new.annotations.clone(),
            bindings: Vec::new(),
            keep_versions: new.keep_versions,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            versions: Vec::new(),
        })
    }

    /// Updates a secret in one commit; says how many versions are kept of it, which it may yet have more than.
    pub(crate) fn try_update(
        &self,
        permit: &Permit<Update, SecretPath>,
        wanted: &SecretChange<'_>,
    ) -> Result<(SecretView, usize), VaultError> {
        let mut draft = self.draft(permit, wanted.expected)?;
        let (now, by) = (self.clock.now(), permit.actor().name());
        if let Some(relabel) = wanted.labels {
            draft.head.labels = relabel(&draft.head.labels)?;
        }
        if let Some(reannotate) = wanted.annotations {
            draft.head.annotations = reannotate(&draft.head.annotations)?;
        }
        if let Some(keep) = wanted.keep_versions {
            draft.head.keep_versions = keep;
        }
        if let Some(payload) = self.next_payload(&draft.head, wanted.payload)? {
            self.add_version(&mut draft, &payload, by, now)?;
        }
        if let Some(bindings) = &wanted.bindings {
            self.rebind(&mut draft, bindings, permit.actor(), now)?;
        }
        let kept = self.kept_versions(&draft.head)?;
        draft.prune(kept);
        draft.head.updated_at = now;
        Ok((self.write(draft, ChangeKind::Modified, permit.basis())?, kept))
    }

    /// One commit may be too small to let all versions go that are kept no longer. It rests on the
    /// update that it belongs to, so that an answer never shows someone else's.
    pub(crate) fn prune_further(
        &self,
        permit: &Permit<Update, SecretPath>,
        view: &mut SecretView,
    ) -> Result<(), VaultError> {
        while view.head.versions.len() > self.kept_versions(&view.head)? {
            *view = persist(|| {
                let mut draft = self.draft(permit, Some(view.resource_version))?;
                draft.prune(self.kept_versions(&draft.head)?);
                self.write(draft, ChangeKind::Modified, permit.basis())
            })?;
        }
        Ok(())
    }

    fn next_payload(
        &self,
        head: &Head,
        change: PayloadChange<'_>,
    ) -> Result<Option<Payload>, VaultError> {
        let payload = match change {
            PayloadChange::Keep => return Ok(None),
            PayloadChange::Check(check) => {
                check(head.kind)?;
                return Ok(None);
            }
            PayloadChange::New(make) => make(head.kind)?,
            PayloadChange::Patch(patch) => {
                let current = head.current().map(|version| version.number);
                patch(&self.stored_payload(head, current)?)?
            }
            PayloadChange::RollBack(number) => {
                self.stored_payload(head, live_version(head, number))?
            }
        };
        check_type(head, &payload)?;
        Ok(Some(payload))
    }

    fn stored_payload(&self, head: &Head, number: Option<u64>) -> Result<Payload, VaultError> {
        let number = number.ok_or(VaultError::VersionNotFound)?;
        // Gone between two reads: the head has changed, and the act is tried again on the new one.
        self.read_payload(head.uid, number, head.kind)?.ok_or(VaultError::Busy)
    }

    /// How many versions are kept: as the secret says, else its project, else the daemon.
    fn kept_versions(&self, head: &Head) -> Result<usize, VaultError> {
        let own = match head.keep_versions {
            Some(keep) => Some(keep),
            None => self.project_record(&head.path.project)?.0.keep_versions,
        };
        let keep = own.unwrap_or(self.settings.keep_versions);
        Ok(usize::try_from(keep).unwrap_or(usize::MAX).max(1))
    }

    /// The project of a secret that is to come into being; none that is being removed.
    pub(crate) fn open_project(
        &self,
        path: &SecretPath,
    ) -> Result<(ProjectRecord, Revision), VaultError> {
        let (project, revision) = self.project_record(&path.project)?;
        if project.removal != Removal::None {
            Err(VaultError::NotFound)
        } else {
            Ok((project, revision))
        }
    }
}

fn check_type(head: &Head, payload: &Payload) -> Result<(), Invalid> {
    if payload.secret_type() == head.kind {
        return Ok(());
    }
    let fix = format!("must stay {}: a secret does not change its type", head.kind);
    Err(Invalid::new("spec.type", fix))
}

/// The longest alias, in bytes.
const MAX_ALIAS_BYTES: usize = 256;

fn check_alias(alias: Option<&str>) -> Result<(), Invalid> {
    let Some(alias) = alias else { return Ok(()) };
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    if alias.is_empty() || alias.len() > MAX_ALIAS_BYTES || !alias.chars().all(is_safe) {
        let fix = format!(
            "must be 1 to {MAX_ALIAS_BYTES} letters, digits, `-`, `_`, `.` or `+` of ASCII"
        );
        return Err(Invalid::new("id", fix));
    }
    Ok(())
}

fn live_version(head: &Head, number: u64) -> Option<u64> {
    head.version(number)
        .filter(|version| version.state == VersionState::Live)
        .map(|version| version.number)
}

pub(crate) fn check_keep(keep: Option<u32>) -> Result<(), Invalid> {
    match keep {
        Some(keep) if !(1..=MAX_KEEP_VERSIONS).contains(&keep) => Err(Invalid::new(
            "spec.keepVersions",
            format!("must be a whole number from 1 to {MAX_KEEP_VERSIONS}"),
        )),
        _ => Ok(()),
    }
}
