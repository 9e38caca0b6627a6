//! Secrets: made, changed, read.

use authz::{Action, Create, List, Permit, Read, Update};
use domain::{
    Invalid, KubernetesSecret, Labels, Payload, ResourceVersion, Revision, SecretPath, SecretType,
    Timestamp,
};
use store::{ChangeKind, Head, Key, Precondition, ProjectRecord, VersionState};

use crate::draft::Draft;
use crate::{ATTEMPTS, Rebinding, SecretView, Vault, VaultError, persist};

/// The most versions that may be kept of a secret.
pub const MAX_KEEP_VERSIONS: u32 = 100;

/// A secret to be made.
pub struct NewSecret<'a> {
    /// Its first version, which also decides its type.
    pub payload: Payload,
    /// Its labels.
    pub labels: Labels,
    /// How many versions are kept of it, where it says so itself: 1 to [`MAX_KEEP_VERSIONS`].
    pub keep_versions: Option<u32>,
    /// The projects that it is bound to.
    pub bindings: Option<Rebinding<'a>>,
}

/// What changes in a secret.
pub struct SecretChange<'a> {
    /// A new version, if there is to be one.
    pub payload: PayloadChange<'a>,
    /// What becomes of the labels, if they change.
    pub labels: Option<Relabel<'a>>,
    /// How many versions are kept from now on, if that changes.
    pub keep_versions: Option<Option<u32>>,
    /// The projects that it is bound to, if they change.
    pub bindings: Option<Rebinding<'a>>,
    /// The resource version that the caller has seen, where it insists.
    pub expected: Option<ResourceVersion>,
}

/// From the labels that there are to those that are wanted.
pub type Relabel<'a> = &'a dyn Fn(&Labels) -> Result<Labels, Invalid>;

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
        let mut view = persist(|| self.try_update(permit, wanted))?;
        // The update stands, whatever becomes of this: what is left over goes with the next one.
        if let Err(error) = self.prune_further(permit, &mut view) {
            tracing::debug!(%error, "not all versions went that are kept no longer");
        }
        Ok(view)
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
        let (now, by) = (self.clock.now(), permit.actor().name());
        let owner = permit.actor().subject().map_or_else(|| by.clone(), |own| own.to_string());
        let mut draft = Draft::of_new(self.new_head(path, new, now, owner)?);
        draft.commit.require(Precondition::ChangedAt(Key::project(&path.project), project_at));
        self.add_version(&mut draft, &new.payload, by, now)?;
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
            path: path.clone(),
            kind: new.payload.secret_type(),
            owner,
            labels: new.labels.clone(),
            bindings: Vec::new(),
            keep_versions: new.keep_versions,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            versions: Vec::new(),
        })
    }

    pub(crate) fn try_update(
        &self,
        permit: &Permit<Update, SecretPath>,
        wanted: &SecretChange<'_>,
    ) -> Result<SecretView, VaultError> {
        let mut draft = self.draft(permit, wanted.expected)?;
        let (now, by) = (self.clock.now(), permit.actor().name());
        if let Some(relabel) = wanted.labels {
            draft.head.labels = relabel(&draft.head.labels)?;
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
        draft.prune(self.kept_versions(&draft.head)?);
        draft.head.updated_at = now;
        self.write(draft, ChangeKind::Modified, permit.basis())
    }

    /// One commit may be too small to let all versions go that are kept no longer. It rests on the
    /// update that it belongs to, so that an answer never shows someone else's.
    pub(crate) fn prune_further(
        &self,
        permit: &Permit<Update, SecretPath>,
        view: &mut SecretView,
    ) -> Result<(), VaultError> {
        while view.head.versions.len() > self.kept_versions(&view.head)? {
            let mut draft = self.draft(permit, Some(view.resource_version))?;
            draft.prune(self.kept_versions(&draft.head)?);
            *view = self.write(draft, ChangeKind::Modified, permit.basis())?;
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
        if payload.secret_type() != head.kind {
            let fix = format!("must stay {}: a secret does not change its type", head.kind);
            return Err(Invalid::new("spec.type", fix).into());
        }
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
        if project.deleting { Err(VaultError::NotFound) } else { Ok((project, revision)) }
    }
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
