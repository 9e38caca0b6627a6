//! The paths of the native API: the server's routes and the OpenAPI document are made of these.

/// The OpenAPI document.
pub const OPENAPI: &str = "/tresor/v1/openapi.json";

/// The OpenAPI document of a platform's interface.
pub fn surface_document(surface: &str) -> String {
    format!("/tresor/v1/openapi/{surface}.json")
}

/// Who is asking.
pub const WHOAMI: &str = "/tresor/v1/whoami";
/// Signs in.
pub const LOGIN: &str = "/tresor/v1/login";
/// Signs out.
pub const LOGOUT: &str = "/tresor/v1/logout";
/// Users.
pub const USERS: &str = "/tresor/v1/users";
/// One user.
pub const USER: &str = "/tresor/v1/users/{principal}";
/// A user's password.
pub const PASSWORD: &str = "/tresor/v1/users/{principal}/password";
/// Machine accounts.
pub const MACHINE_ACCOUNTS: &str = "/tresor/v1/machine-accounts";
/// One machine account.
pub const MACHINE_ACCOUNT: &str = "/tresor/v1/machine-accounts/{principal}";
/// Groups.
pub const GROUPS: &str = "/tresor/v1/groups";
/// One group.
pub const GROUP: &str = "/tresor/v1/groups/{principal}";
/// Grants.
pub const GRANTS: &str = "/tresor/v1/grants";
/// One grant.
pub const GRANT: &str = "/tresor/v1/grants/{id}";
/// Whether someone may do something.
pub const ACCESS_REVIEWS: &str = "/tresor/v1/access-reviews";
/// The audit log.
pub const AUDIT: &str = "/tresor/v1/audit";
/// Organizations.
pub const ORGS: &str = "/tresor/v1/orgs";
/// One organization.
pub const ORG: &str = "/tresor/v1/orgs/{org}";
/// A project's members.
pub const MEMBERS: &str = "/tresor/v1/orgs/{org}/projects/{project}/members";
/// One member of a project.
pub const MEMBER: &str = "/tresor/v1/orgs/{org}/projects/{project}/members/{subject}";
/// Who may do what with a secret.
pub const ACCESS: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/access";
/// Tokens.
pub const TOKENS: &str = "/tresor/v1/tokens";
/// One token.
pub const TOKEN: &str = "/tresor/v1/tokens/{id}";
/// Secrets of several projects.
pub const ALL_SECRETS: &str = "/tresor/v1/secrets";
/// Projects.
pub const PROJECTS: &str = "/tresor/v1/orgs/{org}/projects";
/// One project.
pub const PROJECT: &str = "/tresor/v1/orgs/{org}/projects/{project}";
/// A project's projections.
pub const PROJECTIONS: &str = "/tresor/v1/orgs/{org}/projects/{project}/projections";
/// What is bound to a project.
pub const BOUND_SECRETS: &str = "/tresor/v1/orgs/{org}/projects/{project}/bindings";
/// One secret that is bound to a project.
pub const BOUND_SECRET: &str = "/tresor/v1/orgs/{org}/projects/{project}/bindings/{uid}";
/// A project's deleted secrets.
pub const DELETED_SECRETS: &str = "/tresor/v1/orgs/{org}/projects/{project}/deleted-secrets";
/// One deleted secret.
pub const DELETED_SECRET: &str = "/tresor/v1/orgs/{org}/projects/{project}/deleted-secrets/{uid}";
/// A project's secrets.
pub const SECRETS: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets";
/// One secret.
pub const SECRET: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}";
/// A secret's value.
pub const DATA: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/data";
/// A secret's history.
pub const VERSIONS: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/versions";
/// A secret's bindings.
pub const BINDINGS: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/bindings";
/// One binding of a secret.
pub const BINDING: &str =
    "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/bindings/{bound_org}/{bound_project}";
/// Makes an earlier version the newest one too.
pub const ROLL_BACK: &str =
    "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/actions/rollback";
/// Deletes versions.
pub const DELETE_VERSIONS: &str =
    "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/actions/delete";
/// Undeletes versions, or a secret.
pub const UNDELETE: &str =
    "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/actions/undelete";
/// Destroys versions.
pub const DESTROY: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/actions/destroy";
/// Purges a deleted secret.
pub const PURGE: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}/actions/purge";
/// Makes a manifest of a workload that refers to secrets.
pub const RENDER: &str = "/tresor/v1/render";
/// The clusters, nodes and workspaces that refer to secrets.
pub const CONSUMERS: &str = "/tresor/v1/consumers";
/// Which store it is, and whether it was put back.
pub const STORE: &str = "/tresor/v1/store";
/// Makes the data files as small as they can be.
pub const COMPACT: &str = "/tresor/v1/store/actions/compact";
/// Opens every record of the store, and follows every reference.
pub const VERIFY: &str = "/tresor/v1/store/actions/verify";
/// A backup of the store.
pub const BACKUP: &str = "/tresor/v1/store/backup";
/// How the worker that projects stands.
pub const SYNC: &str = "/tresor/v1/sync";
/// Lets the worker delete what its brake holds back.
pub const RELEASE_BRAKE: &str = "/tresor/v1/sync/actions/release-brake";
/// The keys of the store.
pub const KEYS: &str = "/tresor/v1/keys";
/// The last change of keys.
pub const ROTATION: &str = "/tresor/v1/keys/rotation";
/// Changes the keys.
pub const ROTATE: &str = "/tresor/v1/keys/actions/rotate";
/// Has a change of keys stop where it is.
pub const PAUSE_ROTATION: &str = "/tresor/v1/keys/actions/pause-rotation";
/// Has a change of keys go on.
pub const RESUME_ROTATION: &str = "/tresor/v1/keys/actions/resume-rotation";
/// Whether the daemon lives.
pub const HEALTHZ: &str = "/healthz";
/// Whether the daemon takes requests.
pub const READYZ: &str = "/readyz";
/// Metrics.
pub const METRICS: &str = "/metrics";
