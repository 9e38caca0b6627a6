//! The use cases of Tresor: the one place where keys and records meet.
//!
//! Every public act takes a [`authz::Permit`], which names the actor, the action and the resource,
//! so that nothing here can be called on anything that was not decided on. The exceptions:
//! [`Vault::authenticate`] and [`Vault::sign_in`], which make the actor; what is an actor's own, its
//! tokens, its password and its grants; what an identity is called ([`Vault::project_of`] and its
//! like), which tells nothing by itself; [`Vault::create_operator_token`], for whoever already holds
//! the root key and the data directory; what decides about each thing by itself, as
//! [`Vault::projects`], [`Vault::revoke_grant`] and [`Vault::review`]; [`Vault::purge_expired`] and
//! its like, which do what the settings say; the worker's reports, which carry nothing out; and
//! health.
//!
//! Calls block on the disk and belong on a thread that may.

mod access;
mod bindings;
mod common;
mod consumers;
mod draft;
mod error;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grants;
mod history;
mod keys;
mod lists;
mod orgs;
mod principals;
mod projections;
mod projects;
mod removal;
mod rights;
mod rotation;
mod sealing;
mod secrets;
mod sign_in;
mod stand_in;
mod throttle;
mod tokens;
mod usage;
mod verify;
mod views;
mod watch;
mod whole_store;
mod witness;
mod workloads;
mod workspaces;
mod wraps;

use std::sync::Arc;

use authz::Basis;
use crypto::Keyring;
use domain::{Clock, Incarnation, ProjectPath, ResourceVersion, Revision, RuleTemplate, Uid};
use parking_lot::Mutex;
use store::{Commit, CommitError, Engine, KeyRange, OrgRecord, PrincipalRecord};

use keys::VaultCommitError;

pub use access::{AccessPermit, Review, Reviewed};
pub use bindings::{
    BindingPermit, MAX_BINDINGS, Rebinding, Sharing, Targets, UnbindingPermit, unusable,
};
pub use common::{CommonHome, HomeLabels};
pub use consumers::{ConsumerChange, ConsumerView, NewConsumer, ReferenceRole, ReferenceView};
pub use error::VaultError;
pub use feed::{FeedChange, FeedPage, FeedSnapshot, ProjectFeed, SecretFeed};
pub use grants::{GrantPermit, NewGrant, RightsChange};
pub use history::Versions;
pub use lists::{ListQuery, MAX_LOOKED, MAX_SORTED, Since, Sort};
pub use principals::{Member, NewPrincipal, PrincipalChange};
pub use projects::{NewProject, ProjectChange};
pub use rotation::{KekView, KeysView, NewRoot, NewRotation, Pace, RotationView, SlotView};
pub use secrets::{
    First, MAX_KEEP_VERSIONS, MAX_TOGETHER, NewSecret, PayloadChange, Reannotate, Relabel,
    Revealed, SecretChange,
};
pub use sign_in::{Attempt, SignedIn};
pub use stand_in::StandIn;
pub use tokens::{MintedToken, NewHolder, NewToken};
pub use verify::{Finding, Verification};
pub use views::{
    AccessView, BoundView, GrantView, ListPage, OrgView, PrincipalView, ProjectView, SecretView,
    TokenView,
};
pub use watch::{Happening, Happenings};
pub use whole_store::next_incarnation;
pub use witness::{Suspicion, Witness};
pub use workloads::UsableSecret;
pub use workspaces::{WorkspaceChange, WorkspaceChanged};

pub use store::{
    Binding, ChangeKind, CompactionState, CompactionView, ConsumerKind, Head, PrincipalKind,
    RotationReason, RotationState, VersionInfo, VersionState,
};

/// What the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the cluster is called in URIs.
    pub cluster: String,
    /// How many versions of a secret are kept, where neither it nor its project says: 1 to
    /// [`MAX_KEEP_VERSIONS`].
    pub keep_versions: u32,
    /// How long a deleted secret can be undeleted, in seconds; 0 purges it at once.
    pub purge_after_seconds: u64,
    /// The rules of each user's personal project, when it is made.
    pub personal_rules: Vec<RuleTemplate>,
    /// The rules of a project that is made with [`Vault::create_own_project`].
    pub own_project_rules: Vec<RuleTemplate>,
    /// Whether users who are no administrators may make such projects.
    pub users_create_projects: bool,
    /// Projects that no user makes: what lies in them is not for whoever comes first to own.
    pub reserved_projects: Vec<ProjectPath>,
    /// Where secrets are made on account of the projects that they are bound to, if anywhere.
    pub common_home: Option<CommonHome>,
    /// After how many uses keys are changed without being asked.
    pub rotate_after_uses: u64,
    /// After how many seconds keys are changed without being asked; 0 is never.
    pub rotate_after_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let cluster = "default".to_owned();
        Self {
            cluster,
            keep_versions: 10,
            purge_after_seconds: 30 * 24 * 3600,
            personal_rules: Vec::new(),
            own_project_rules: Vec::new(),
            users_create_projects: false,
            reserved_projects: Vec::new(),
            common_home: None,
            rotate_after_uses: crypto::MAX_USES / 2,
            rotate_after_seconds: 0,
        }
    }
}

/// How often an act is tried against others that change the same records, before it gives up.
const ATTEMPTS: usize = 16;

/// A store and the keys to it.
pub struct Vault {
    engine: Arc<dyn Engine>,
    keys: keys::Keys,
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    rights: rights::Rights,
    /// Rights change rarely, in the store and then in the table: one at a time, so that both have
    /// the same order, and nobody is the last administrator twice.
    rights_writes: Mutex<()>,
    sign_in: sign_in::SignIn,
    hashing: sign_in::Hashing,
    usage: usage::Usage,
    projections: projections::Table,
    recent: watch::Recent,
    suspicions: witness::Suspicions,
    settings: Settings,
}

impl Vault {
    /// Opens the vault: records the keyring in a new store, and refuses a store that was written
    /// with a later one. A change of keys that was begun is gone on with by
    /// [`Vault::run_rotation`].
    ///
    /// # Errors
    /// When keyring and store do not go together, or a token does not open.
    pub fn open(
        engine: Arc<dyn Engine>,
        incarnation: Incarnation,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, VaultError> {
        let keys = keys::Keys::open(engine.as_ref(), keyring)?;
        let vault = Self {
            engine,
            keys,
            incarnation,
            clock,
            rights: rights::Rights::default(),
            rights_writes: Mutex::new(()),
            sign_in: sign_in::SignIn::new()?,
            hashing: sign_in::Hashing::default(),
            usage: usage::Usage::default(),
            projections: projections::Table::default(),
            recent: watch::Recent::default(),
            suspicions: witness::Suspicions::default(),
            settings,
        };
        vault.load_rights()?;
        Ok(vault)
    }

    fn load_rights(&self) -> Result<(), VaultError> {
        let mut orgs = Vec::new();
        self.each(&KeyRange::orgs(), |key, stored| {
            let name = key.org_name().ok_or(VaultError::Damaged)?;
            let record = self.open_record(key, &stored.value, OrgRecord::decode)?;
            orgs.push((name, record, stored.changed_at));
            Ok(())
        })?;
        let principals = self.all_records(KeyRange::principals(), PrincipalRecord::decode)?;
        self.rights.load(self.token_records()?, principals, orgs);
        Ok(())
    }

    /// The store's last resource version.
    pub fn resource_version(&self) -> ResourceVersion {
        self.wire(self.engine.revision())
    }

    /// The store's identity, in hexadecimal.
    pub fn store_id(&self) -> String {
        self.keyring().store_id().to_string()
    }

    /// The clock that the vault goes by.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Signs a statement of the audit log, under the key whose public half
    /// [`Vault::audit_key`] names.
    pub fn sign_audit(&self, message: &[u8]) -> [u8; 64] {
        self.keyring().sign_audit(message)
    }

    /// The public key that the audit log verifies with.
    pub fn audit_key(&self) -> crypto::PublicKey {
        self.keyring().audit_key()
    }

    /// The store's identity, as bytes.
    pub fn store_bytes(&self) -> [u8; 16] {
        *self.keyring().store_id().as_bytes()
    }

    /// Why the store takes no writes, if it does not.
    pub fn failure(&self) -> Option<store::StoreError> {
        self.engine.failure()
    }

    fn wire(&self, revision: Revision) -> ResourceVersion {
        ResourceVersion::new(self.incarnation, revision)
    }

    fn make_uid(&self) -> Result<Uid, VaultError> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|_| VaultError::NoRandomness)?;
        Ok(Uid::from_parts(self.clock.now(), random))
    }

    /// Commits what an actor asked for: with the actor's rights and the keyring as they were when
    /// it was decided and sealed.
    fn commit(&self, mut commit: Commit, basis: Basis) -> Result<Revision, VaultError> {
        let own = commit.preconditions.len();
        tokens::require_grounds(&mut commit, &basis);
        let grounds = commit.preconditions.len();
        self.commit_sealed(commit).map_err(|error| match error {
            VaultCommitError::Commit(CommitError::Conflict { index }) if index >= grounds => {
                VaultError::KeyringGeneration
            }
            VaultCommitError::Commit(CommitError::Conflict { index }) if index >= own => {
                VaultError::RightsChanged
            }
            VaultCommitError::Commit(other) => other.into(),
            VaultCommitError::Vault(error) => error,
        })
    }
}

/// Tries an act again while others change the records that it rests on. Each attempt reads anew,
/// so an act that insists on a resource version finds it stale and says so.
fn persist<T>(mut attempt: impl FnMut() -> Result<T, VaultError>) -> Result<T, VaultError> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(VaultError::Busy) => {}
            done => return done,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests;
