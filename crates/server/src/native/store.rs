//! `/tresor/v1/store`

use api::{RollbackWitness, StoreStatus};
use authz::{List, WholeStore, decide};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use vault::Suspicion;

use crate::answer::{Failure, json};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::NoQuery;

/// Which store it is, how far it has come, and whether it was put back; for those who may list
/// everything.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let status = app
        .act(caller, |vault, actor| {
            decide::<List, _>(actor, WholeStore, vault.clock().now())?;
            Ok(StoreStatus {
                store_id: vault.store_id(),
                resource_version: vault.resource_version().to_string(),
                rollback: vault.rollback().into_iter().map(witness).collect(),
            })
        })
        .await?;
    Ok(json(StatusCode::OK, &status))
}

fn witness(suspicion: Suspicion) -> RollbackWitness {
    RollbackWitness {
        witness: suspicion.witness.as_str().to_owned(),
        resource_version: suspicion.resource_version.to_string(),
        at: suspicion.at.to_rfc3339(),
    }
}
