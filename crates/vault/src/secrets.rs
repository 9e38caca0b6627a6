//! Secrets: written, read, listed, removed.

use authz::{Create, Delete, List, Permit, Read, Update};
use crypto::PayloadContext;
use domain::{
    Invalid, Labels, Payload, ProjectPath, ResourceVersion, Retired, Revision, SecretPath,
    Timestamp,
};
use store::{
    Change, ChangeKind, ChangedObject, Commit, Head, Key, KeyRange, Precondition, VersionInfo,
    VersionState, encode_tombstone,
};

use crate::{ATTEMPTS, KEEP_VERSIONS, ListPage, SecretView, Vault, VaultError, persist};

/// A secret to be made.
pub struct NewSecret {
    /// Its first version, which also decides its type.
    pub payload: Payload,
    /// Its labels.
    pub labels: Labels,
}

/// What changes in a secret.
pub struct SecretChange {
    /// A new version, if there is to be one.
    pub payload: Option<Payload>,
    /// New labels in place of the old, if they change.
    pub labels: Option<Labels>,
    /// The resource version that the caller has seen, where it insists.
    pub expected: Option<ResourceVersion>,
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
        new: &NewSecret,
    ) -> Result<SecretView, VaultError> {
        persist(|| self.try_create(permit, new))
    }

    /// Writes a new version, new labels, or both.
    ///
    /// # Errors
    /// When there is no such secret, the payload is of another type, or it changed since the
    /// resource version that the caller insists on.
    pub fn update_secret(
        &self,
        permit: &Permit<Update, SecretPath>,
        wanted: &SecretChange,
    ) -> Result<SecretView, VaultError> {
        persist(|| self.try_update(permit, wanted))
    }

    /// A secret's metadata.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn secret(&self, permit: &Permit<List, SecretPath>) -> Result<SecretView, VaultError> {
        let (head, revision) = self.head(permit.resource())?;
        Ok(SecretView { head, resource_version: self.wire(revision) })
    }

    /// A page of a project's secrets, by name, behind the name `after`.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn secrets(
        &self,
        permit: &Permit<List, ProjectPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage<SecretView>, VaultError> {
        let project = permit.resource();
        self.project_record(project)?;
        let mut range = KeyRange::heads(project);
        if let Some(after) = after {
            let name = domain::SecretName::parse(after).map_err(|wrong| {
                Invalid::new(
                    "continue",
                    format!("must be a value that a list returned ({})", wrong.fix),
                )
            })?;
            range = range.after(&Key::head(&SecretPath { project: project.clone(), name }));
        }
        let page = self.engine.scan(&range, limit)?;
        let mut items = Vec::with_capacity(page.records.len());
        for (key, stored) in page.records {
            let head = self.open_record(&key, &stored.value, Head::decode)?;
            items.push(SecretView { head, resource_version: self.wire(stored.changed_at) });
        }
        let last = items.last().map(|last| last.head.path.name.as_str().to_owned());
        let next = last.filter(|_| page.more);
        Ok(ListPage { items, resource_version: self.wire(page.at), next })
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
            let (head, revision) = self.head(permit.resource())?;
            let found = match version {
                None => head.current(),
                Some(number) => {
                    head.version(number).filter(|version| version.state == VersionState::Live)
                }
            };
            let number = found.ok_or(VaultError::VersionNotFound)?.number;
            // A version that is pruned between the two reads is gone: look again.
            if let Some(payload) = self.read_payload(head.uid, number, head.kind)? {
                let secret = SecretView { head, resource_version: self.wire(revision) };
                return Ok(Revealed { payload, version: number, secret });
            }
        }
        Err(VaultError::Damaged)
    }

    /// Removes a secret from its project. Its versions stay, sealed, under its identity; a new
    /// secret of the same name is another one.
    ///
    /// # Errors
    /// When there is no such secret, or it changed since the resource version that the caller
    /// insists on.
    pub fn delete_secret(
        &self,
        permit: &Permit<Delete, SecretPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<(), VaultError> {
        persist(|| self.try_delete(permit, expected))
    }

    pub(crate) fn head(&self, path: &SecretPath) -> Result<(Head, Revision), VaultError> {
        self.read_record(&Key::head(path), Head::decode)?.ok_or(VaultError::NotFound)
    }

    fn try_create(
        &self,
        permit: &Permit<Create, SecretPath>,
        new: &NewSecret,
    ) -> Result<SecretView, VaultError> {
        let path = permit.resource();
        let (project, project_at) = self.project_record(&path.project)?;
        if project.deleting {
            return Err(VaultError::NotFound);
        }
        if self.engine.read(&Key::head(path))?.is_some() {
            return Err(VaultError::AlreadyExists);
        }
        let now = self.clock.now();
        let mut head = Head {
            uid: self.make_uid()?,
            path: path.clone(),
            kind: new.payload.secret_type(),
            owner: permit.actor().name(),
            labels: new.labels.clone(),
            bindings: Vec::new(),
            keep_versions: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            versions: Vec::new(),
        };
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(Key::head(path)));
        commit.require(Precondition::ChangedAt(Key::project(&path.project), project_at));
        self.add_version(&mut commit, &mut head, &new.payload, permit.actor().name(), now)?;
        let revision = self.write_head(commit, &head, ChangeKind::Added, permit.basis())?;
        Ok(SecretView { head, resource_version: self.wire(revision) })
    }

    fn try_update(
        &self,
        permit: &Permit<Update, SecretPath>,
        wanted: &SecretChange,
    ) -> Result<SecretView, VaultError> {
        let (mut head, revision) = self.unchanged_head(permit.resource(), wanted.expected)?;
        let now = self.clock.now();
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(Key::head(permit.resource()), revision));
        if let Some(labels) = &wanted.labels {
            head.labels = labels.clone();
        }
        if let Some(payload) = &wanted.payload {
            if payload.secret_type() != head.kind {
                let fix = format!("must stay {}: a secret does not change its type", head.kind);
                return Err(Invalid::new("spec.type", fix).into());
            }
            self.add_version(&mut commit, &mut head, payload, permit.actor().name(), now)?;
        }
        head.updated_at = now;
        let revision = self.write_head(commit, &head, ChangeKind::Modified, permit.basis())?;
        Ok(SecretView { head, resource_version: self.wire(revision) })
    }

    fn try_delete(
        &self,
        permit: &Permit<Delete, SecretPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<(), VaultError> {
        let path = permit.resource();
        let (head, revision) = self.unchanged_head(path, expected)?;
        let (key, kept) = (Key::head(path), Key::deleted_head(head.uid));
        let retired = Retired::Secret { path: path.clone(), uid: head.uid };
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), revision));
        commit.remove(key);
        commit.put(kept.clone(), self.seal_record(&kept, &head.encode())?);
        commit.put(Key::tombstone(head.uid), encode_tombstone(&retired));
        commit.tell(change(ChangeKind::Deleted, &head));
        self.commit(commit, permit.basis()).map(|_| ())
    }

    fn unchanged_head(
        &self,
        path: &SecretPath,
        expected: Option<ResourceVersion>,
    ) -> Result<(Head, Revision), VaultError> {
        let (head, revision) = self.head(path)?;
        let current = self.wire(revision);
        if expected.is_some_and(|expected| expected != current) {
            return Err(VaultError::Stale { current });
        }
        Ok((head, revision))
    }

    /// Seals a payload as the next version; the oldest ones that are no longer kept go with it.
    fn add_version(
        &self,
        commit: &mut Commit,
        head: &mut Head,
        payload: &Payload,
        created_by: String,
        created_at: Timestamp,
    ) -> Result<(), VaultError> {
        let number = head.next_number();
        let context = PayloadContext { uid: head.uid, version: number, kind: head.kind };
        let sealed = self.seal_version(&context, payload)?;
        commit.put(Key::wrapped_key(head.uid, number), sealed.wrapped_key.into_bytes());
        commit.put(Key::payload(head.uid, number), sealed.payload.into_bytes());
        head.versions.push(VersionInfo {
            number,
            state: VersionState::Live,
            created_at,
            created_by,
        });
        let surplus = head.versions.len().saturating_sub(KEEP_VERSIONS);
        for version in head.versions.drain(..surplus) {
            commit.remove(Key::wrapped_key(head.uid, version.number));
            commit.remove(Key::payload(head.uid, version.number));
        }
        Ok(())
    }

    fn write_head(
        &self,
        mut commit: Commit,
        head: &Head,
        kind: ChangeKind,
        basis: Option<authz::Basis>,
    ) -> Result<Revision, VaultError> {
        let key = Key::head(&head.path);
        commit.put(key.clone(), self.seal_record(&key, &head.encode())?);
        commit.tell(change(kind, head));
        self.commit(commit, basis)
    }
}

fn change(kind: ChangeKind, head: &Head) -> Vec<u8> {
    Change { kind, object: ChangedObject::Secret(head.path.clone()), uid: head.uid }.encode()
}
