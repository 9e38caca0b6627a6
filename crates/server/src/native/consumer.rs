//! `/tresor/v1/consumers`: the clusters, nodes and workspaces that refer to secrets. They are made
//! over the interfaces of the platforms that have them.

use api::{ConsumerBody, ConsumerList, ConsumerMetadata, ListMetadata, ReferenceBody};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use vault::{ConsumerKind, ConsumerView, ReferenceView, Vault};

use crate::answer::{Failure, json};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::NoQuery;

/// All of them, as far as the caller may see what they refer to.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let list = app
        .act(caller, |vault, actor| {
            let resource_version = vault.resource_version().to_string();
            let mut items = Vec::new();
            for kind in ConsumerKind::ALL {
                let mut found = vault.consumers(actor, kind)?;
                // Every project could be one; those that refer to secrets are.
                found.retain(|view| kind != ConsumerKind::Workspace || !view.references.is_empty());
                items.extend(found.iter().map(|view| body(vault, view)));
            }
            let metadata = ListMetadata { resource_version, continue_: None };
            Ok(ConsumerList { metadata, items })
        })
        .await?;
    Ok(json(StatusCode::OK, &list))
}

fn body(vault: &Vault, view: &ConsumerView) -> ConsumerBody {
    ConsumerBody {
        kind: view.kind.as_str().to_owned(),
        metadata: ConsumerMetadata {
            name: view.name.clone(),
            uid: view.uid.to_string(),
            resource_version: view.resource_version.to_string(),
            creation_timestamp: view.created_at.to_rfc3339(),
            created_by: view.created_by.clone(),
        },
        references: view.references.iter().map(|found| reference(vault, found)).collect(),
    }
}

fn reference(vault: &Vault, found: &ReferenceView) -> ReferenceBody {
    ReferenceBody {
        role: found.role.as_str().to_owned(),
        uri: vault.secret_uri(&found.path),
        uid: found.uid.to_string(),
        resource_version: found.resource_version.to_string(),
    }
}
