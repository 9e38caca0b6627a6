//! How every projection stands, as its worker last reported it.

use std::collections::{BTreeMap, BTreeSet};

use authz::{List, Permit, Use};
use domain::{
    Namespace, Placement, ProjectPath, ProjectionState, ProjectionStatus, SecretPath, Uid,
};
use parking_lot::RwLock;

use crate::{Vault, VaultError};

/// By secret and place. In memory only: after a restart the worker reports anew.
pub(crate) type Table = RwLock<BTreeMap<(Uid, Placement), ProjectionStatus>>;

impl Vault {
    /// The projections of a project's secrets, wherever they are, and of the secrets that are bound
    /// to it, in the namespaces of its rules; by secret and place.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn projections(
        &self,
        permit: &Permit<List, ProjectPath>,
    ) -> Result<Vec<ProjectionStatus>, VaultError> {
        let project = permit.resource();
        let (record, _) = self.project_record(project)?;
        let bound: BTreeSet<_> = self.bound_paths(project)?.into_iter().collect();
        let table = self.projections.read();
        let concerns = |status: &&ProjectionStatus| {
            let here = record.rules.iter().any(|r| r.namespace == status.placement.namespace);
            status.secret.project == *project || (here && bound.contains(&status.secret))
        };
        let mut statuses: Vec<_> = table.values().filter(concerns).cloned().collect();
        statuses.sort_by(|a, b| (&a.secret, &a.placement).cmp(&(&b.secret, &b.placement)));
        Ok(statuses)
    }

    /// How a secret stands under a name in a namespace, for whoever refers to it there; none while
    /// no worker has told.
    ///
    /// # Errors
    /// When there is no such secret any more.
    pub fn projection_state(
        &self,
        permit: &Permit<Use, SecretPath>,
        (namespace, name): (&Namespace, &str),
    ) -> Result<Option<ProjectionState>, VaultError> {
        let (head, _) = self.permitted_head(permit)?;
        let cluster = self.settings.cluster.clone();
        let placement = Placement { cluster, namespace: namespace.clone(), name: name.to_owned() };
        let table = self.projections.read();
        Ok(table.get(&(head.uid, placement)).map(|status| status.state))
    }

    /// Takes a worker's report of one projection.
    pub fn report_projection(&self, status: ProjectionStatus) {
        let key = (status.uid, status.placement.clone());
        self.projections.write().insert(key, status);
    }

    /// Takes a worker's report that a projection is no more.
    pub fn forget_projection(&self, uid: Uid, placement: &Placement) {
        self.projections.write().remove(&(uid, placement.clone()));
    }
}
