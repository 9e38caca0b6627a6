//! Clusters, nodes and workspaces: what refers to secrets without being a workload.
//!
//! A cluster or a node is reached with an ssh secret, which is not deleted as long as they refer to
//! it. What a cluster or a workspace pulls images with goes with the secret, in the same commit: a
//! reference is to one life of a secret, and deleting it ends that life. No reference is ever
//! rewritten because its secret changed: what it shows of it is read when it is shown.

use authz::{Actor, Administer, Basis, List, Permit, Use, WholeStore, decide};
use domain::{
    Annotations, Invalid, ProjectPath, ResourceVersion, SecretPath, SecretType, Timestamp, Uid,
    is_dns_subdomain,
};
use store::{
    Change, ChangeKind, ChangedObject, Commit, ConsumerKind, ConsumerRecord, Holding, Key,
    KeyRange, Precondition, Removal, SecretRef, Stored,
};

use crate::bindings::check_actor;
use crate::draft::Draft;
use crate::{Reannotate, Vault, VaultError, persist};

/// The longest name of a cluster or a node: a Kubernetes name.
const MAX_NAME_BYTES: usize = 253;
/// The most users of a secret that a refusal names.
const NAMED: usize = 10;

/// What a secret is to what refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceRole {
    /// It pulls images with it.
    Image,
    /// It is reached with it.
    Ssh,
}

impl ReferenceRole {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Ssh => "ssh",
        }
    }

    /// The type that the secret must have.
    const fn secret_type(self) -> SecretType {
        match self {
            Self::Image => SecretType::Registry,
            Self::Ssh => SecretType::Ssh,
        }
    }
}

/// A cluster or a node to be registered.
pub struct NewConsumer<'a> {
    /// A cluster or a node.
    pub kind: ConsumerKind,
    /// Its name.
    pub name: &'a str,
    /// What its client keeps beside it.
    pub annotations: Annotations,
    /// The secret that it is reached with.
    pub ssh: Option<Permit<Use, SecretPath>>,
    /// The secret that it pulls images with.
    pub image: Option<Permit<Use, SecretPath>>,
}

/// What changes in a cluster or a node.
#[derive(Default)]
pub struct ConsumerChange<'a> {
    /// What becomes of what its client keeps beside it, if that changes.
    pub annotations: Option<Reannotate<'a>>,
    /// The secret that it pulls images with from now on, or none, if that changes.
    pub image: Option<Option<Permit<Use, SecretPath>>>,
}

/// A cluster, a node or a workspace.
#[derive(Clone, Debug)]
pub struct ConsumerView {
    /// What it is.
    pub kind: ConsumerKind,
    /// Its name; a workspace's is its project's.
    pub name: String,
    /// Its identity.
    pub uid: Uid,
    /// The identity of who registered it, `KIND:UID`.
    pub owner: String,
    /// Who registered it.
    pub created_by: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// What clients keep beside it.
    pub annotations: Annotations,
    /// The secrets that it refers to.
    pub references: Vec<ReferenceView>,
    /// Its own last change.
    pub resource_version: ResourceVersion,
}

impl ConsumerView {
    /// The secrets that it refers to as one thing.
    pub fn secrets(&self, role: ReferenceRole) -> impl Iterator<Item = &ReferenceView> {
        self.references.iter().filter(move |reference| reference.role == role)
    }
}

/// A reference to a secret, as the secret is now.
#[derive(Clone, Debug)]
pub struct ReferenceView {
    /// What the secret is to it.
    pub role: ReferenceRole,
    /// The secret.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// The secret's last change.
    pub resource_version: ResourceVersion,
}

/// The place of a cluster or a node.
type Place<'a> = (ConsumerKind, &'a str);

impl Vault {
    /// Registers a cluster or a node.
    ///
    /// # Errors
    /// When there is one of that name, or a secret is none of the type that it is to be.
    pub fn create_consumer(
        &self,
        permit: &Permit<Administer, WholeStore>,
        new: &NewConsumer<'_>,
    ) -> Result<ConsumerView, VaultError> {
        if new.kind == ConsumerKind::Workspace {
            return Err(Invalid::new("kind", "must be cluster or node").into());
        }
        if new.name.len() > MAX_NAME_BYTES || !is_dns_subdomain(new.name) {
            let fix = "must be a Kubernetes name: lower-case letters, digits, `-` and `.`, at most 253 characters, starting and ending with a letter or digit";
            return Err(Invalid::new("name", fix).into());
        }
        for secret in [&new.ssh, &new.image].into_iter().flatten() {
            check_actor([secret.basis()], permit.actor())?;
        }
        persist(|| self.try_create_consumer(permit, new))
    }

    fn try_create_consumer(
        &self,
        permit: &Permit<Administer, WholeStore>,
        new: &NewConsumer<'_>,
    ) -> Result<ConsumerView, VaultError> {
        let place = (new.kind, new.name);
        let key = Key::consumer(new.kind, new.name);
        if self.engine.read(&key)?.is_some() {
            return Err(VaultError::AlreadyExists);
        }
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(key));
        let ssh = new.ssh.as_ref().map(|secret| self.hold(&mut commit, secret, place));
        let image = new.image.as_ref().map(|secret| {
            self.refer(&mut commit, secret, ReferenceRole::Image).map(|(reference, _)| reference)
        });
        let (by, subject) = (permit.actor().name(), permit.actor().subject());
        let record = ConsumerRecord {
            uid: self.make_uid()?,
            created_at: self.clock.now(),
            owner: subject.map_or_else(|| by.clone(), |subject| subject.to_string()),
            created_by: by,
            annotations: new.annotations.clone(),
            ssh: ssh.transpose()?,
            image: image.transpose()?,
        };
        self.write_consumer(commit, place, record, ChangeKind::Added, permit.basis())
    }

    /// Changes a cluster or a node.
    ///
    /// # Errors
    /// When there is none of that name, or the secret is none of the type that it is to be.
    pub fn change_consumer(
        &self,
        permit: &Permit<Administer, WholeStore>,
        place: Place<'_>,
        wanted: &ConsumerChange<'_>,
    ) -> Result<ConsumerView, VaultError> {
        if let Some(Some(secret)) = &wanted.image {
            check_actor([secret.basis()], permit.actor())?;
        }
        persist(|| {
            let (mut record, mut commit) = self.consumer_to_change(place)?;
            if let Some(reannotate) = wanted.annotations {
                record.annotations = reannotate(&record.annotations)?;
            }
            if let Some(image) = &wanted.image {
                let image = image.as_ref().map(|secret| {
                    let found = self.refer(&mut commit, secret, ReferenceRole::Image);
                    found.map(|(reference, _)| reference)
                });
                record.image = image.transpose()?;
            }
            self.write_consumer(commit, place, record, ChangeKind::Modified, permit.basis())
        })
    }

    /// Takes a cluster or a node off the register; it refers to nothing any more. `check` looks at it
    /// as it is when it goes.
    ///
    /// # Errors
    /// When there is none of that name, or the check fails.
    pub fn delete_consumer(
        &self,
        permit: &Permit<Administer, WholeStore>,
        place: Place<'_>,
        check: &dyn Fn(&Annotations) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        persist(|| {
            let (record, mut commit) = self.consumer_to_change(place)?;
            check(&record.annotations)?;
            if let Some(held) = &record.ssh {
                self.let_go(&mut commit, held.uid, place)?;
            }
            commit.remove(Key::consumer(place.0, place.1));
            commit.tell(event(ChangeKind::Deleted, record.uid));
            self.commit(commit, permit.basis()).map(|_| ())
        })
    }

    /// One cluster, node or workspace, as far as the actor may see it: what it refers to is for who
    /// lists everything, and in a workspace for who lists its secrets.
    ///
    /// # Errors
    /// When there is none of that name, or it may not be seen.
    pub fn consumer(&self, actor: &Actor, place: Place<'_>) -> Result<ConsumerView, VaultError> {
        let (kind, name) = place;
        if kind == ConsumerKind::Workspace {
            return self.workspace_named(actor, name);
        }
        let key = Key::consumer(kind, name);
        let stored = self.engine.read(&key)?.ok_or(VaultError::NotFound)?;
        self.consumer_view(&key, &stored, self.sees_references(actor))
    }

    /// All clusters, nodes or workspaces, by name, as [`Vault::consumer`] shows them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn consumers(
        &self,
        actor: &Actor,
        kind: ConsumerKind,
    ) -> Result<Vec<ConsumerView>, VaultError> {
        if kind == ConsumerKind::Workspace {
            return self.workspaces(actor);
        }
        let (mut found, sees) = (Vec::new(), self.sees_references(actor));
        self.each(&KeyRange::consumers(kind), |key, stored| {
            found.push(self.consumer_view(key, stored, sees)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn sees_references(&self, actor: &Actor) -> bool {
        decide::<List, _>(actor, WholeStore, self.clock.now()).is_ok()
    }

    fn consumer_view(
        &self,
        key: &Key,
        stored: &Stored,
        sees_references: bool,
    ) -> Result<ConsumerView, VaultError> {
        let (kind, name) = key.consumer_name().ok_or(VaultError::Damaged)?;
        let record = self.open_record(key, &stored.value, ConsumerRecord::decode)?;
        let mut references = Vec::new();
        for (role, reference) in
            [(ReferenceRole::Ssh, &record.ssh), (ReferenceRole::Image, &record.image)]
        {
            if let Some(reference) = reference.as_ref().filter(|_| sees_references) {
                references.extend(self.reference_view(role, reference)?);
            }
        }
        Ok(ConsumerView {
            kind,
            name: name.to_owned(),
            uid: record.uid,
            owner: record.owner,
            created_by: record.created_by,
            created_at: record.created_at,
            annotations: record.annotations,
            references,
            resource_version: self.wire(stored.changed_at),
        })
    }

    /// What a reference leads to, if it still leads anywhere.
    fn reference_view(
        &self,
        role: ReferenceRole,
        reference: &SecretRef,
    ) -> Result<Option<ReferenceView>, VaultError> {
        let (head, revision) = match self.head(&reference.path) {
            Ok(found) => found,
            Err(VaultError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let same = head.uid == reference.uid && self.holding(head.uid)?.0.life == reference.life;
        let (path, uid, resource_version) = (head.path, head.uid, self.wire(revision));
        Ok(same.then_some(ReferenceView { role, path, uid, resource_version }))
    }

    fn consumer_to_change(
        &self,
        (kind, name): Place<'_>,
    ) -> Result<(ConsumerRecord, Commit), VaultError> {
        let key = Key::consumer(kind, name);
        let found = self.read_record(&key, ConsumerRecord::decode)?;
        let (record, revision) = found.ok_or(VaultError::NotFound)?;
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key, revision));
        Ok((record, commit))
    }

    fn write_consumer(
        &self,
        mut commit: Commit,
        (kind, name): Place<'_>,
        record: ConsumerRecord,
        change: ChangeKind,
        basis: Basis,
    ) -> Result<ConsumerView, VaultError> {
        let key = Key::consumer(kind, name);
        let value = self.seal_record(&key, &record.encode())?;
        commit.put(key.clone(), value.clone()).tell(event(change, record.uid));
        let revision = self.commit(commit, basis)?;
        let stored = Stored { value, changed_at: revision, written_at: revision };
        self.consumer_view(&key, &stored, true)
    }

    /// A reference to the secret that the permit is for, good as long as that lives.
    fn refer(
        &self,
        commit: &mut Commit,
        permit: &Permit<Use, SecretPath>,
        role: ReferenceRole,
    ) -> Result<(SecretRef, Holding), VaultError> {
        let (head, revision) = self.permitted_head(permit)?;
        if head.kind != role.secret_type() {
            let field = format!("{}SecretId", role.as_str());
            let fix = format!("must be a secret of type {}", role.secret_type());
            return Err(Invalid::new(field, fix).into());
        }
        let (project, project_at) = self.project_record(&head.path.project)?;
        if project.removal != Removal::None {
            return Err(VaultError::NotFound);
        }
        let (holding, unchanged) = self.holding(head.uid)?;
        commit.require(Precondition::ChangedAt(Key::project(&head.path.project), project_at));
        commit.require(Precondition::ChangedAt(Key::head(&head.path), revision));
        // Without one the secret's end would not be told from its beginning.
        if matches!(unchanged, Precondition::Absent(_)) {
            commit.put(Key::holding(head.uid), holding.encode());
        }
        commit.require(unchanged);
        let (path, uid, life) = (head.path, head.uid, holding.life);
        Ok((SecretRef { path, uid, life }, holding))
    }

    /// A reference that also keeps the secret from being deleted.
    fn hold(
        &self,
        commit: &mut Commit,
        permit: &Permit<Use, SecretPath>,
        (kind, name): Place<'_>,
    ) -> Result<SecretRef, VaultError> {
        let (reference, holding) = self.refer(commit, permit, ReferenceRole::Ssh)?;
        let holders = holding.holders.saturating_add(1);
        let more = Holding { holders, ..holding };
        let key = Key::holding(reference.uid);
        commit.writes.retain(|(written, _)| *written != key);
        commit.put(key, more.encode());
        commit.put(Key::holder(reference.uid, kind, name), Vec::new());
        Ok(reference)
    }

    fn let_go(
        &self,
        commit: &mut Commit,
        secret: Uid,
        (kind, name): Place<'_>,
    ) -> Result<(), VaultError> {
        let (holding, unchanged) = self.holding(secret)?;
        let fewer = Holding { holders: holding.holders.saturating_sub(1), ..holding };
        commit.require(unchanged).put(Key::holding(secret), fewer.encode());
        commit.remove(Key::holder(secret, kind, name));
        Ok(())
    }

    /// How a secret stands with those that refer to it, and that it still does.
    fn holding(&self, secret: Uid) -> Result<(Holding, Precondition), VaultError> {
        let key = Key::holding(secret);
        match self.engine.read(&key)? {
            None => Ok((Holding::default(), Precondition::Absent(key))),
            Some(stored) => {
                let holding = Holding::decode(&stored.value).map_err(|_| VaultError::Damaged)?;
                Ok((holding, Precondition::WrittenAt(key, stored.written_at)))
            }
        }
    }

    fn check_unheld(&self, secret: Uid, holding: &Holding) -> Result<(), VaultError> {
        match holding.holders {
            0 => Ok(()),
            holders => Err(VaultError::InUse { users: self.holders(secret, holders)? }),
        }
    }

    /// Who holds secrets of a project, if anybody does.
    pub(crate) fn holders_in(&self, project: &ProjectPath) -> Result<Option<String>, VaultError> {
        let mut found = None;
        self.each(&KeyRange::heads(project), |key, stored| {
            if found.is_none() {
                let head = self.open_record(key, &stored.value, store::Head::decode)?;
                match self.check_unheld(head.uid, &self.holding(head.uid)?.0) {
                    Err(VaultError::InUse { users }) => found = Some(users),
                    other => other?,
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn holders(&self, secret: Uid, count: u32) -> Result<String, VaultError> {
        let page = self.engine.scan(&KeyRange::holders(secret), NAMED)?;
        let named = page.records.iter().filter_map(|(key, _)| key.consumer_name());
        let mut named: Vec<_> =
            named.map(|(kind, name)| format!("{} {name}", kind.as_str())).collect();
        let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(named.len());
        if more > 0 {
            named.push(format!("{more} more"));
        }
        Ok(named.join(", "))
    }

    /// Ends, with the life of a secret, what refers to it. One that is held does not end.
    pub(crate) fn end_references(&self, draft: &mut Draft) -> Result<(), VaultError> {
        let uid = draft.head.uid;
        let (holding, unchanged) = self.holding(uid)?;
        self.check_unheld(uid, &holding)?;
        let was_referred_to = !matches!(unchanged, Precondition::Absent(_));
        draft.commit.require(unchanged);
        if was_referred_to {
            let ended = Holding { life: holding.life.saturating_add(1), ..holding };
            draft.commit.put(Key::holding(uid), ended.encode());
        }
        Ok(())
    }
}

fn event(kind: ChangeKind, uid: Uid) -> Vec<u8> {
    Change { kind, object: ChangedObject::Consumer, uid, view: None }.encode()
}
