//! `.../secrets/{name}/bindings`, and what is bound to a project.

use api::{BindingList, BindingWrite, BoundSecretBody, BoundSecretList};
use authz::{Actor, Administer, Create, List, Share, Use, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{BindingKind, Invalid, ProjectPath, SecretPath};
use http::StatusCode;
use vault::{
    Binding, BindingPermit, Rebinding, Sharing, Targets, UnbindingPermit, Vault, VaultError,
    unusable,
};

use super::{secret, show};
use crate::answer::{Failure, json, no_content};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::{BoundTo, IfMatch, InProject, Json, NoQuery, OfSecret, ProjectAndUid};

/// The secrets of other projects that are bound to this one.
pub(super) async fn of_project(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
) -> Result<Response, Failure> {
    let bound = app
        .act(caller, move |vault, actor| {
            let permit = decide::<List, _>(actor, path.clone(), vault.clock().now())?;
            Ok(vault.bound_secrets(&permit)?)
        })
        .await?;
    let show = |view: &vault::BoundView| BoundSecretBody {
        name: view.path.name.to_string(),
        project: view.path.project.to_string(),
        uid: view.uid.to_string(),
        kind: view.kind.to_string(),
        binding: show::binding(&view.binding),
    };
    let items = bound.iter().map(show).collect();
    Ok(json(StatusCode::OK, &BoundSecretList { items }))
}

/// A secret's bindings.
pub(super) async fn of_secret(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let view = secret::look(&app, &caller, path)?;
    let items = view.head.bindings.iter().map(show::binding).collect();
    Ok(json(StatusCode::OK, &BindingList { items }))
}

/// Binds a secret to one more project, or changes how.
pub(super) async fn bind(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<BindingWrite>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let rights = Rights { vault, actor, secret: &path, making: false };
        let permit = vault.permit::<List>(actor, path.clone())?;
        let (project, kind) = body.check()?;
        let wanted = |old: &[Binding]| {
            let others = old.iter().filter(|binding| binding.project != project);
            let others = others.map(|binding| (binding.project.clone(), binding.kind));
            others.chain([(project.clone(), kind)]).collect::<Targets>()
        };
        let rebinding = Rebinding {
            wanted: &wanted,
            may_bind: &|project, kind| rights.to_bind(project, kind, "project"),
            may_unbind: &|project| rights.to_unbind(project),
        };
        let bound = vault.rebind_secret(&permit, &rebinding, if_match.and(None)?);
        let view = bound.map_err(in_this_body)?;
        Ok(secret::answer(StatusCode::OK, vault, &view))
    });
    Ok(answered.await?)
}

/// The vault speaks of the list that a secret's body holds; this body holds one project.
fn in_this_body(error: VaultError) -> VaultError {
    match error {
        VaultError::Invalid(wrong) => VaultError::Invalid(Invalid::new("project", wrong.fix)),
        other => other,
    }
}

/// Ends a binding.
pub(super) async fn unbind(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    BoundTo(path, project): BoundTo,
    if_match: IfMatch,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let rights = Rights { vault, actor, secret: &path, making: false };
        let permit = vault.permit::<List>(actor, path.clone())?;
        let wanted = |old: &[Binding]| {
            let others = old.iter().filter(|binding| binding.project != project);
            others.map(|binding| (binding.project.clone(), binding.kind)).collect::<Targets>()
        };
        let rebinding = Rebinding {
            wanted: &wanted,
            may_bind: &|project, kind| rights.to_bind(project, kind, "project"),
            may_unbind: &|project| rights.to_unbind(project),
        };
        if !vault.secret(&permit)?.head.bindings.iter().any(|binding| binding.project == project) {
            return Err(VaultError::NotFound.into());
        }
        Ok(vault.rebind_secret(&permit, &rebinding, if_match.and(None)?)?)
    })
    .await?;
    Ok(no_content())
}

/// Ends a binding to a project, by who administers that.
pub(super) async fn unbind_from_project(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    ProjectAndUid(project, uid): ProjectAndUid,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Administer, _>(actor, project.clone(), vault.clock().now())?;
        Ok(vault.unbind_from_project(&permit, uid)?)
    })
    .await?;
    Ok(no_content())
}

/// What an actor may do about the bindings of a secret.
pub(super) struct Rights<'a> {
    pub(super) vault: &'a Vault,
    pub(super) actor: &'a Actor,
    pub(super) secret: &'a SecretPath,
    /// Whether the secret is being made.
    pub(super) making: bool,
}

impl Rights<'_> {
    /// The right to bind; `field` names the project where it was sent.
    pub(super) fn to_bind(
        &self,
        project: &ProjectPath,
        kind: BindingKind,
        field: &str,
    ) -> Result<BindingPermit, VaultError> {
        let share = self.to_share()?;
        let now = self.vault.clock().now();
        // Whether there is no such project, or one that is none of theirs, is not told.
        let unusable = |_| VaultError::Invalid(Invalid::new(field, unusable().fix));
        match kind {
            BindingKind::Owner => {
                let permit = decide::<Use, _>(self.actor, project.clone(), now);
                Ok(BindingPermit::Owner(share, permit.map_err(unusable)?))
            }
            BindingKind::Members => {
                let permit = decide::<Administer, _>(self.actor, project.clone(), now);
                let permit = permit.map_err(|_| {
                    let fix =
                        "must be a project that you administer, for a binding of the kind members";
                    VaultError::Invalid(Invalid::new(field, fix))
                });
                Ok(BindingPermit::Members(share, permit?))
            }
        }
    }

    /// The right to share the secret. Who makes one will own it, and may share it from the start.
    fn to_share(&self) -> Result<Sharing, VaultError> {
        match self.vault.permit::<Share>(self.actor, self.secret.clone()) {
            Ok(share) => Ok(Sharing::Share(share)),
            Err(VaultError::NotPermitted(denied)) if self.making => {
                let now = self.vault.clock().now();
                let create = decide::<Create, _>(self.actor, self.secret.clone(), now);
                create.map(Sharing::Make).map_err(|_| VaultError::NotPermitted(denied))
            }
            Err(error) => Err(error),
        }
    }

    /// The right to end a binding.
    pub(super) fn to_unbind(&self, project: &ProjectPath) -> Result<UnbindingPermit, VaultError> {
        match self.vault.permit::<Share>(self.actor, self.secret.clone()) {
            Ok(share) => Ok(UnbindingPermit::Secret(share)),
            Err(VaultError::NotPermitted(denied)) => {
                let now = self.vault.clock().now();
                let administer = decide::<Administer, _>(self.actor, project.clone(), now);
                administer
                    .map(UnbindingPermit::Project)
                    .map_err(|_| VaultError::NotPermitted(denied))
            }
            Err(error) => Err(error),
        }
    }
}
