//! How every projection stands, as its worker last reported it.

use std::collections::BTreeMap;

use authz::{List, Permit};
use domain::{Placement, ProjectPath, ProjectionStatus, Uid};
use parking_lot::RwLock;

use crate::Vault;

/// By secret and place. In memory only: after a restart the worker reports anew.
pub(crate) type Table = RwLock<BTreeMap<(Uid, Placement), ProjectionStatus>>;

impl Vault {
    /// The projections of a project's secrets, by secret and place.
    pub fn projections(&self, permit: &Permit<List, ProjectPath>) -> Vec<ProjectionStatus> {
        let table = self.projections.read();
        let of_project = |status: &&ProjectionStatus| status.secret.project == *permit.resource();
        let mut statuses: Vec<_> = table.values().filter(of_project).cloned().collect();
        statuses.sort_by(|a, b| (&a.secret, &a.placement).cmp(&(&b.secret, &b.placement)));
        statuses
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
