//! From the vault's views to the wire's bodies.

use api::{
    BindingBody, ListMetadata, NarrowingBody, ProjectBody, ProjectMetadata, ProjectSpec,
    ProjectionBody, RightBody, SecretBody, SecretMetadata, SecretSpec, SecretStatus, TokenBody,
    VersionBody,
};
use authz::{Narrowing, Right, Scope};
use domain::{ProjectPath, ProjectionStatus};
use vault::{Binding, ListPage, ProjectView, SecretView, TokenView, Vault};

pub(super) fn project(view: &ProjectView) -> ProjectBody {
    ProjectBody {
        metadata: ProjectMetadata {
            name: view.path.project.to_string(),
            organization: view.path.org.to_string(),
            uid: view.uid.to_string(),
            resource_version: view.resource_version.to_string(),
            creation_timestamp: view.created_at.to_rfc3339(),
            created_by: view.created_by.clone(),
        },
        spec: ProjectSpec {
            projection_rules: view.rules.iter().map(Into::into).collect(),
            keep_versions: view.keep_versions,
        },
    }
}

pub(super) fn projection(status: &ProjectionStatus) -> ProjectionBody {
    let (version, resource_version) = status.synced.unzip();
    ProjectionBody {
        secret: status.secret.name.to_string(),
        uid: status.uid.to_string(),
        cluster: status.placement.cluster.clone(),
        namespace: status.placement.namespace.to_string(),
        name: status.placement.name.clone(),
        state: status.state.to_string(),
        version,
        resource_version: resource_version.map(|version| version.to_string()),
        since: status.since.to_rfc3339(),
        message: status.message.clone(),
    }
}

/// A secret as it is now.
pub(crate) fn secret(view: &SecretView, vault: &Vault) -> SecretBody {
    let mut body = event(view, vault);
    let head = &view.head;
    let purged_at = head.deleted_at.map(|at| vault.purged_at(at));
    body.metadata.purge_timestamp = purged_at.map(domain::Timestamp::to_rfc3339);
    body.status.last_read_timestamp = vault.last_read(head.uid).map(domain::Timestamp::to_rfc3339);
    body.status.rotate_timestamp = vault.rotates_at(head).map(domain::Timestamp::to_rfc3339);
    body
}

/// A secret as a change left it.
pub(crate) fn event(view: &SecretView, vault: &Vault) -> SecretBody {
    let head = &view.head;
    SecretBody {
        metadata: SecretMetadata {
            name: head.path.name.to_string(),
            project: head.path.project.project.to_string(),
            organization: head.path.project.org.to_string(),
            uid: head.uid.to_string(),
            labels: head.labels.as_map().clone(),
            resource_version: view.resource_version.to_string(),
            creation_timestamp: head.created_at.to_rfc3339(),
            update_timestamp: head.updated_at.to_rfc3339(),
            owner: vault.owner_name(head),
            deletion_timestamp: head.deleted_at.map(domain::Timestamp::to_rfc3339),
            purge_timestamp: None,
        },
        spec: SecretSpec {
            kind: head.kind.to_string(),
            bindings: head.bindings.iter().map(binding).collect(),
            keep_versions: head.keep_versions,
        },
        status: SecretStatus {
            current_version: head.current().map(|version| version.number),
            last_read_timestamp: None,
            rotate_timestamp: None,
        },
    }
}

pub(super) fn binding(binding: &Binding) -> BindingBody {
    BindingBody {
        project: binding.project.to_string(),
        kind: binding.kind.as_str().to_owned(),
        created_by: binding.created_by.clone(),
        creation_timestamp: binding.created_at.to_rfc3339(),
    }
}

pub(super) fn versions(view: &SecretView) -> Vec<VersionBody> {
    let show = |version: &vault::VersionInfo| VersionBody {
        version: version.number,
        state: version.state.as_str().to_owned(),
        creation_timestamp: version.created_at.to_rfc3339(),
        created_by: version.created_by.to_string(),
    };
    view.head.versions.iter().map(show).collect()
}

pub(super) fn token(view: &TokenView) -> TokenBody {
    TokenBody {
        id: view.id.to_string(),
        description: view.description.clone(),
        rights: rights(&view.rights),
        principal: view.principal.clone(),
        narrowing: narrowing(&view.narrowing),
        creation_timestamp: view.created_at.to_rfc3339(),
        created_by: view.created_by.clone(),
        expires: view.expires.map(domain::Timestamp::to_rfc3339),
        last_used_timestamp: view.last_used_at.map(domain::Timestamp::to_rfc3339),
    }
}

/// What a token leaves; nothing when it leaves all.
pub(super) fn narrowing(narrowing: &Narrowing) -> Option<NarrowingBody> {
    let texts = |projects: &Vec<ProjectPath>| projects.iter().map(ToString::to_string).collect();
    let projects = narrowing.projects.as_ref().map(texts);
    let actions = narrowing.actions.map(|actions| actions.iter().map(|a| a.to_string()).collect());
    let is_narrowed = projects.is_some() || actions.is_some();
    is_narrowed.then_some(NarrowingBody { projects, actions })
}

/// Rights by role, each with the projects it holds in.
pub(super) fn rights(rights: &[Right]) -> Vec<RightBody> {
    let mut shown: Vec<RightBody> = Vec::new();
    for right in rights {
        let project = match right.scope() {
            Scope::Project(path) => Some(path.to_string()),
            _ => None,
        };
        let role = right.role().as_str();
        match shown.iter_mut().find(|body| body.role == role) {
            Some(body) => body.projects.extend(project),
            None => shown
                .push(RightBody { role: role.to_owned(), projects: project.into_iter().collect() }),
        }
    }
    shown
}

pub(super) fn list_metadata<T>(page: &ListPage<T>) -> ListMetadata {
    ListMetadata {
        resource_version: page.resource_version.to_string(),
        continue_: page.next.clone(),
    }
}
