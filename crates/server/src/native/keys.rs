//! `/tresor/v1/keys`

use api::{
    KekBody, KeysBody, MetadataKeyBody, NewRootBody, RootKeyBody, RotateAction, RotationBody,
};
use authz::{Administer, List, Permit, WholeStore, decide};
use axum::extract::State;
use axum::response::Response;
use domain::Invalid;
use http::StatusCode;
use vault::{KeysView, NewRoot, NewRotation, RotationView, Vault, VaultError};

use crate::answer::{Failure, json};
use crate::app::{App, Refused};
use crate::caller::{Caller, Peer};
use crate::extract::{Json, NoQuery};

/// The keys, and how many records are under each; for those who may list everything.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let source = app.root_key_source();
    let keys = app
        .act(caller, |vault, actor| {
            let permit = decide::<List, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.keys(&permit)?)
        })
        .await?;
    let root_key_source = source.map(|source| source.to_string());
    Ok(json(StatusCode::OK, &KeysBody { root_key_source, ..keys_body(&keys) }))
}

/// The last change of keys, and how far it has come; for those who may list everything.
pub(super) async fn rotation(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let rotation = app
        .act(caller, |vault, actor| {
            let permit = decide::<List, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.rotation_status(&permit)?.ok_or(VaultError::NotFound)?)
        })
        .await?;
    Ok(json(StatusCode::OK, &rotation_body(&rotation)))
}

/// Begins a change of keys; an administrator's act.
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(wanted): Json<RotateAction>,
) -> Result<Response, Failure> {
    let by_socket = matches!(caller.peer, Peer::Operator);
    let begun = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            let new_root = wanted.new_root.as_ref().map(|new| new_root(new, by_socket));
            let wanted = NewRotation { reseal: wanted.reseal, new_root: new_root.transpose()? };
            let begun = vault.begin_rotation(&permit, &wanted)?;
            tracing::info!(actor = actor.name(), kek = begun.kek, "the keys are being changed");
            Ok(begun)
        })
        .await?;
    Ok(json(StatusCode::ACCEPTED, &rotation_body(&begun)))
}

/// Has a change of keys stop where it is; an administrator's act.
pub(super) async fn pause(
    state: State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    change(state, caller, Vault::pause_rotation).await
}

/// Has a change of keys go on; an administrator's act.
pub(super) async fn resume(
    state: State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    change(state, caller, Vault::resume_rotation).await
}

async fn change(
    State(app): State<App>,
    caller: Caller,
    act: fn(&Vault, &Permit<Administer, WholeStore>) -> Result<RotationView, VaultError>,
) -> Result<Response, Failure> {
    let rotation = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(act(vault, &permit)?)
        })
        .await?;
    Ok(json(StatusCode::OK, &rotation_body(&rotation)))
}

/// A root key that came with a request. Who could read it on its way would have all keys, so it
/// comes by the socket of this machine or not at all.
fn new_root(new: &NewRootBody, by_socket: bool) -> Result<NewRoot, Refused> {
    if !by_socket {
        let fix = "is taken on the operator's socket only: run the command on the daemon's machine";
        return Err(Invalid::new("newRoot", fix).into());
    }
    match (&new.key, &new.passphrase) {
        // EXPOSE: the new root key is read to make its slot.
        (Some(key), None) => Ok(NewRoot::parse_key(key.expose())?),
        // EXPOSE: as above.
        (None, Some(passphrase)) => Ok(NewRoot::parse_passphrase(passphrase.expose())?),
        _ => Err(Invalid::new("newRoot", "must have either key or passphrase").into()),
    }
}

/// The keys of a store on the wire.
pub fn keys_body(keys: &KeysView) -> KeysBody {
    let kek = |kek: &vault::KekView| KekBody {
        id: kek.id,
        creation_timestamp: kek.created_at.to_rfc3339(),
        current: kek.is_current,
        records: kek.records,
    };
    let slot = |slot: &vault::SlotView| RootKeyBody {
        slot: slot.id,
        kind: if slot.is_passphrase { "passphrase" } else { "key" }.to_owned(),
        creation_timestamp: slot.created_at.to_rfc3339(),
    };
    let metadata_key = |(id, records): &(u32, u64)| MetadataKeyBody { id: *id, records: *records };
    KeysBody {
        generation: keys.generation,
        keks: keys.keks.iter().map(kek).collect(),
        metadata_keys: keys.metadata_keys.iter().map(metadata_key).collect(),
        uses: keys.uses,
        rotate_after_uses: keys.rotate_after_uses,
        root_key_source: None,
        root_keys: keys.slots.iter().map(slot).collect(),
        rotation: keys.rotation.as_ref().map(rotation_body),
    }
}

/// A change of keys on the wire.
pub fn rotation_body(rotation: &RotationView) -> RotationBody {
    RotationBody {
        kek: rotation.kek,
        reseal: rotation.reseal,
        state: rotation.state.as_str().to_owned(),
        reason: rotation.reason.as_str().to_owned(),
        start_timestamp: rotation.started_at.to_rfc3339(),
        completion_timestamp: rotation.finished_at.map(domain::Timestamp::to_rfc3339),
        total: rotation.total,
        done: rotation.done,
        stuck: rotation.stuck,
    }
}
