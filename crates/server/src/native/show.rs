//! From the vault's views to the wire's bodies.

use api::{
    BindingBody, ListMetadata, ProjectBody, ProjectMetadata, ProjectSpec, ProjectionBody,
    RightBody, SecretBody, SecretMetadata, SecretSpec, SecretStatus, TokenBody, VersionBody,
};
use authz::{Right, Scope};
use domain::ProjectionStatus;
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

/// A secret; with the vault, that also says when a deleted one will be purged.
pub(crate) fn secret(view: &SecretView, vault: Option<&Vault>) -> SecretBody {
    let head = &view.head;
    let purged_at = vault.zip(head.deleted_at).map(|(vault, at)| vault.purged_at(at));
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
            owner: head.owner.clone(),
            deletion_timestamp: head.deleted_at.map(domain::Timestamp::to_rfc3339),
            purge_timestamp: purged_at.map(domain::Timestamp::to_rfc3339),
        },
        spec: SecretSpec {
            kind: head.kind.to_string(),
            bindings: head.bindings.iter().map(binding).collect(),
            keep_versions: head.keep_versions,
        },
        status: SecretStatus { current_version: head.current().map(|version| version.number) },
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
        created_by: version.created_by.clone(),
    };
    view.head.versions.iter().map(show).collect()
}

pub(super) fn token(view: &TokenView) -> TokenBody {
    TokenBody {
        id: view.id.to_string(),
        description: view.description.clone(),
        rights: rights(&view.rights),
        creation_timestamp: view.created_at.to_rfc3339(),
        created_by: view.created_by.clone(),
        expires: view.expires.map(domain::Timestamp::to_rfc3339),
    }
}

/// Rights by role, each with the projects it holds in.
pub(super) fn rights(rights: &[Right]) -> Vec<RightBody> {
    let mut shown: Vec<RightBody> = Vec::new();
    for right in rights {
        let project = match right.scope() {
            Scope::WholeStore => None,
            Scope::Project(path) => Some(path.to_string()),
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
