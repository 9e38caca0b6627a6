//! The OpenAPI document of the native API, made of the wire types and one table of operations.

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, License, OpenApi,
    OpenApiBuilder, Paths, Ref, RefOr, Required, ResponseBuilder,
};

use crate::{KeysBody, RotateAction, RotationBody, paths, *};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const PROBLEM: &str = "application/problem+json";
const LINES: &str = "application/jsonl";
const BEARER: &str = "token";
const TYPES: [&str; 6] = ["opaque", "registry", "variable", "ssh", "s3", "document"];
/// The operations of a table are about one of these.
const TAGS: [(&str, &str); 7] = [
    ("secrets", "Secrets, their values and their history"),
    ("bindings", "Where a secret is used beside its home"),
    ("projects", "Projects, and where their secrets appear"),
    ("tokens", "Signing in, and tokens"),
    ("people", "Users, machine accounts, groups and organizations"),
    ("rights", "Who may do what, and who did"),
    ("daemon", "The daemon itself"),
];

/// The document.
pub fn openapi() -> OpenApi {
    let mut table = Table { paths: Paths::new(), schemas: Vec::new() };
    about_secrets(&mut table);
    about_history(&mut table);
    about_bindings(&mut table);
    about_projects(&mut table);
    about_tokens(&mut table);
    about_people(&mut table);
    about_rights(&mut table);
    about_the_daemon(&mut table);
    table.learn::<Problem>();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token as Tresor made it: `tresor_` and 72 more characters."))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(table.schemas)
        .security_scheme(BEARER, SecurityScheme::Http(scheme));
    let info = InfoBuilder::new()
        .title("Tresor")
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(License::new("Apache-2.0")))
        .description(Some("A secrets daemon for AI platforms on Kubernetes: its native API. Each platform's interface that is switched on has a document of its own, `/tresor/v1/openapi/SURFACE.json`, such as `/tresor/v1/openapi/apolo.json`."));
    let tags = TAGS.map(|(name, about)| {
        utoipa::openapi::tag::TagBuilder::new().name(name).description(Some(about)).build()
    });
    OpenApiBuilder::new()
        .info(info.build())
        .paths(table.paths)
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new(BEARER, Vec::<String>::new())]))
        .tags(Some(tags))
        .build()
}

fn about_secrets(table: &mut Table) {
    let filters = || {
        [
            text("labelSelector", "Kubernetes label selector, such as `app=vllm,tier in (a,b)`"),
            one_of("type", "Only secrets of this type", &TYPES),
            text("namePrefix", "Only secrets whose names begin so"),
            text("nameContains", "Only secrets whose names contain this"),
        ]
    };
    let listing = || {
        [
            number("limit", "Secrets on a page, at most 1000; 100 when left out"),
            text("continue", "As the page before returned it"),
            one_of("sort", "What the list is sorted by", &["name", "created", "updated", "type"]),
            one_of("order", "Smallest or largest first", &["asc", "desc"]),
            text(
                "unusedSince",
                "Only secrets that nobody has read since: a time (RFC 3339), or an age such as `90d`",
            ),
            text("olderThan", "Only secrets whose value is older: a time, or an age such as `90d`"),
            flag(
                "rotationDue",
                "Only secrets that are due by their label `tresor.io/rotate-after`",
            ),
        ]
    };
    let watching = || {
        [
            flag(
                "watch",
                "Stream changes as JSON lines instead of a list; then without limit, continue, sort and order",
            ),
            text(
                "resourceVersion",
                "Where a watch begins: what a list, a line or a bookmark named. Left out, with what there is. 410 when no longer known",
            ),
            number("timeoutSeconds", "How long a watch lasts at most"),
        ]
    };
    let projects = ParameterBuilder::from(text(
        "project",
        "A project, `PROJECT` or `ORG/PROJECT`; may be repeated. All that the caller may list when left out",
    ));
    let repeated = ArrayBuilder::new().items(RefOr::T(string())).build();
    let projects = projects.schema(Some(repeated)).build();
    table
        .get(
            paths::SECRETS,
            "listSecrets",
            "A project's secrets, without values; or a watch on them",
        )
        .tag("secrets")
        .query(filters())
        .query(listing())
        .query(watching())
        .lists_or_watches();
    table
        .get(
            paths::ALL_SECRETS,
            "listAllSecrets",
            "The secrets of several projects; or a watch on them",
        )
        .tag("secrets")
        .query([projects])
        .query(filters())
        .query(listing())
        .query(watching())
        .lists_or_watches();
    table
        .post(paths::SECRETS, "createSecret", "Makes a secret")
        .tag("secrets")
        .takes::<SecretWrite>(JSON)
        .answers_tagged::<SecretBody>("201", "It is made");
    table
        .get(paths::SECRET, "readSecret", "A secret's metadata")
        .tag("secrets")
        .answers_tagged::<SecretBody>("200", "The secret, without its value");
    table
        .put(
            paths::SECRET,
            "putSecret",
            "Makes a secret, or replaces its labels and gives it a new version",
        )
        .tag("secrets")
        .if_match()
        .takes::<SecretWrite>(JSON)
        .also::<SecretBody>("200", "It has a new version")
        .answers_tagged::<SecretBody>("201", "It is made");
    table
        .patch(paths::SECRET, "patchSecret", "Changes what is sent and keeps the rest (RFC 7396)")
        .tag("secrets")
        .if_match()
        .takes::<SecretPatch>(MERGE_PATCH)
        .answers_tagged::<SecretBody>("200", "It is changed");
    table
        .delete(
            paths::SECRET,
            "deleteSecret",
            "Deletes a secret; it can be undeleted until it is purged",
        )
        .tag("secrets")
        .if_match()
        .done("It is deleted, and goes from every cluster");
    table
        .get(paths::DATA, "readSecretData", "A version in the clear")
        .tag("secrets")
        .query([number("version", "Which version; the newest live one when left out")])
        .answers_tagged::<SecretData>("200", "The value");
    table
        .get(paths::VERSIONS, "listVersions", "A secret's history")
        .tag("secrets")
        .answers::<VersionList>("200", "The versions that are kept, oldest first");
}

fn about_history(table: &mut Table) {
    table
        .post(paths::ROLL_BACK, "rollBackSecret", "Makes an earlier version the newest one too")
        .tag("secrets")
        .if_match()
        .takes::<RollbackAction>(JSON)
        .answers_tagged::<SecretBody>("200", "It has a new version");
    table
        .post(
            paths::DELETE_VERSIONS,
            "deleteVersions",
            "Makes versions unreadable until they are undeleted",
        )
        .tag("secrets")
        .if_match()
        .takes::<VersionsAction>(JSON)
        .answers_tagged::<SecretBody>("200", "They are deleted");
    table
        .post(paths::UNDELETE, "undelete", "Brings back deleted versions, or a deleted secret")
        .tag("secrets")
        .if_match()
        .takes::<UndeleteAction>(JSON)
        .answers_tagged::<SecretBody>("200", "They are back");
    table
        .post(paths::DESTROY, "destroyVersions", "Destroys versions for good; their numbers stay")
        .tag("secrets")
        .if_match()
        .takes::<VersionsAction>(JSON)
        .answers_tagged::<SecretBody>("200", "They are destroyed");
    table
        .post(paths::PURGE, "purgeSecret", "Removes a deleted secret for good")
        .tag("secrets")
        .takes::<PurgeAction>(JSON)
        .done("It is gone");
    table
        .get(paths::DELETED_SECRETS, "listDeletedSecrets", "A project's deleted secrets")
        .tag("secrets")
        .query([
            text("labelSelector", "Kubernetes label selector"),
            one_of("type", "Only secrets of this type", &TYPES),
            text("namePrefix", "Only secrets whose names begin so"),
            text("nameContains", "Only secrets whose names contain this"),
            number("limit", "Secrets on a page, at most 1000; 100 when left out"),
            text("continue", "As the page before returned it"),
            one_of("sort", "What the list is sorted by", &["name", "created", "updated", "type"]),
            one_of("order", "Smallest or largest first", &["asc", "desc"]),
            text(
                "unusedSince",
                "Only secrets that nobody has read since: a time (RFC 3339), or an age such as `90d`",
            ),
            text("olderThan", "Only secrets whose value is older: a time, or an age such as `90d`"),
            flag("rotationDue", "Only secrets that are due by their label `tresor.io/rotate-after`"),
        ])
        .answers::<SecretList>("200", "A page of them");
    table
        .get(paths::DELETED_SECRET, "readDeletedSecret", "A deleted secret's metadata")
        .tag("secrets")
        .answers_tagged::<SecretBody>("200", "The deleted secret");
}

fn about_bindings(table: &mut Table) {
    table
        .get(paths::BINDINGS, "listBindings", "A secret's bindings")
        .tag("bindings")
        .answers::<BindingList>("200", "The bindings, by project");
    table
        .post(paths::BINDINGS, "bindSecret", "Binds a secret to one more project, or changes how")
        .tag("bindings")
        .if_match()
        .takes::<BindingWrite>(JSON)
        .answers_tagged::<SecretBody>("200", "It is bound");
    table
        .delete(paths::BINDING, "unbindSecret", "Ends a binding")
        .tag("bindings")
        .if_match()
        .done("It is ended, and the copies that it made go");
    table
        .get(
            paths::BOUND_SECRETS,
            "listBoundSecrets",
            "The secrets of other projects that are bound to this one",
        )
        .tag("bindings")
        .answers::<BoundSecretList>("200", "The secrets, by home and name");
    table
        .delete(
            paths::BOUND_SECRET,
            "unbindFromProject",
            "Ends a binding, by who administers the project",
        )
        .tag("bindings")
        .done("It is ended, and the copies that it made go");
}

fn about_projects(table: &mut Table) {
    table
        .get(paths::PROJECTS, "listProjects", "The projects that the caller may list")
        .tag("projects")
        .answers::<ProjectList>("200", "The projects, by name");
    table
        .post(paths::PROJECTS, "createProject", "Makes a project; an administrator's act")
        .tag("projects")
        .takes::<ProjectWrite>(JSON)
        .answers_tagged::<ProjectBody>("201", "It is made");
    table
        .get(paths::PROJECT, "readProject", "One project")
        .tag("projects")
        .answers_tagged::<ProjectBody>("200", "The project");
    table
        .put(
            paths::PROJECT,
            "replaceProject",
            "Replaces a project's settings; an administrator's act",
        )
        .tag("projects")
        .if_match()
        .takes::<ProjectWrite>(JSON)
        .answers_tagged::<ProjectBody>("200", "It is changed");
    table
        .patch(paths::PROJECT, "patchProject", "Changes what is sent and keeps the rest (RFC 7396)")
        .tag("projects")
        .if_match()
        .takes::<ProjectPatch>(MERGE_PATCH)
        .answers_tagged::<ProjectBody>("200", "It is changed");
    table
        .delete(paths::PROJECT, "deleteProject", "Removes a project that nothing uses")
        .tag("projects")
        .if_match()
        .done("It is gone");
    table
        .get(paths::PROJECTIONS, "listProjections", "How the project's projections stand")
        .tag("projects")
        .answers::<ProjectionList>("200", "The projections, by secret and place");
    table
        .post(
            paths::RENDER,
            "renderManifest",
            "Makes a Kubernetes manifest of a workload that refers to secrets, and changes nothing",
        )
        .tag("projects")
        .query([text(
            "project",
            "The workload's project, `PROJECT` or `ORG/PROJECT`; when left out, the one that it names, else `default`",
        )])
        .takes::<WorkloadBody>(JSON)
        .answers::<Rendered>("200", "The manifest, which holds no value");
}

fn about_tokens(table: &mut Table) {
    table
        .get(paths::WHOAMI, "whoAmI", "Who is asking")
        .tag("tokens")
        .answers::<WhoAmI>("200", "The token and its rights");
    table
        .post(paths::LOGIN, "login", "Signs a user in, by name and password")
        .tag("tokens")
        .takes::<LoginWrite>(JSON)
        .also::<LoginBody>("201", "A token, shown this once")
        .without_a_token();
    table
        .post(paths::LOGOUT, "logout", "Ends the token that is used")
        .tag("tokens")
        .done("It opens nothing any more");
    table
        .get(paths::TOKENS, "listTokens", "The caller's tokens; for an administrator, all")
        .tag("tokens")
        .answers::<TokenList>("200", "The tokens, oldest first");
    table
        .post(
            paths::TOKENS,
            "createToken",
            "Makes a token of who asks; or, as an administrator, another one",
        )
        .tag("tokens")
        .takes::<TokenWrite>(JSON)
        .answers::<TokenMinted>("201", "The token, shown this once");
    table
        .delete(
            paths::TOKEN,
            "revokeToken",
            "Ends a token of who asks; or, as an administrator, any",
        )
        .tag("tokens")
        .done("It opens nothing any more");
}

fn about_people(table: &mut Table) {
    let tag = "people";
    table
        .post(paths::USERS, "createUser", "Makes a user, with a project of the same name")
        .tag(tag)
        .takes::<UserWrite>(JSON)
        .answers::<PrincipalBody>("201", "It is made");
    table
        .post(paths::MACHINE_ACCOUNTS, "createMachineAccount", "Makes a machine account")
        .tag(tag)
        .takes::<MachineAccountWrite>(JSON)
        .answers::<PrincipalBody>("201", "It is made");
    table
        .post(paths::GROUPS, "createGroup", "Makes a group")
        .tag(tag)
        .takes::<GroupWrite>(JSON)
        .answers::<PrincipalBody>("201", "It is made");
    for (path, id, about) in [
        (paths::USERS, "listUsers", "All users"),
        (paths::MACHINE_ACCOUNTS, "listMachineAccounts", "All machine accounts"),
        (paths::GROUPS, "listGroups", "All groups"),
    ] {
        table.get(path, id, about).tag(tag).answers::<PrincipalList>("200", "They, by name");
    }
    for (path, id, about) in [
        (paths::USER, "readUser", "A user"),
        (paths::MACHINE_ACCOUNT, "readMachineAccount", "A machine account"),
        (paths::GROUP, "readGroup", "A group"),
    ] {
        table.get(path, id, about).tag(tag).answers::<PrincipalBody>("200", about);
    }
    for (path, id, about) in [
        (paths::USER, "patchUser", "Shuts a user out, or lets it in again"),
        (paths::MACHINE_ACCOUNT, "patchMachineAccount", "The same for a machine account"),
    ] {
        let operation = table.patch(path, id, about).tag(tag).takes::<AccountPatch>(MERGE_PATCH);
        operation.answers::<PrincipalBody>("200", "As it is now");
    }
    table
        .patch(paths::GROUP, "patchGroup", "Replaces a group's members")
        .tag(tag)
        .takes::<GroupPatch>(MERGE_PATCH)
        .answers::<PrincipalBody>("200", "As it is now");
    for (path, id, about) in [
        (paths::USER, "deleteUser", "Removes a user with its tokens and grants"),
        (paths::MACHINE_ACCOUNT, "deleteMachineAccount", "Removes a machine account likewise"),
        (paths::GROUP, "deleteGroup", "Removes a group with its grants"),
    ] {
        table.delete(path, id, about).tag(tag).done("It is gone");
    }
    table
        .put(paths::PASSWORD, "setPassword", "Sets a user's password, and ends their sessions")
        .tag(tag)
        .takes::<PasswordWrite>(JSON)
        .done("It is set");
    table
        .get(paths::ORGS, "listOrganizations", "The organizations that the caller may see")
        .tag(tag)
        .answers::<OrgList>("200", "They, by name");
    table
        .post(paths::ORGS, "createOrganization", "Makes an organization")
        .tag(tag)
        .takes::<OrgWrite>(JSON)
        .answers::<OrgBody>("201", "It is made");
    table
        .delete(paths::ORG, "deleteOrganization", "Removes an organization that has no projects")
        .tag(tag)
        .done("It is gone");
}

fn about_rights(table: &mut Table) {
    let tag = "rights";
    table
        .get(paths::GRANTS, "listGrants", "What was granted at a place; or to who asks")
        .tag(tag)
        .query([
            text("uri", "A place, `secret://CLUSTER/ORG/PROJECT/NAME` or less; the caller's own grants when left out"),
            flag("below", "Also what was granted below it"),
        ])
        .answers::<GrantList>("200", "They");
    table
        .post(paths::GRANTS, "createGrant", "Gives a role at a place and below it")
        .tag(tag)
        .takes::<GrantWrite>(JSON)
        .answers::<GrantBody>("201", "It is given");
    table.delete(paths::GRANT, "deleteGrant", "Takes a grant back").tag(tag).done("It is gone");
    table
        .get(paths::MEMBERS, "listMembers", "A project's members, and their roles")
        .tag(tag)
        .answers::<GrantList>("200", "They");
    table
        .put(paths::MEMBER, "putMember", "Makes someone a member, or gives them another role")
        .tag(tag)
        .takes::<MemberWrite>(JSON)
        .answers::<GrantBody>("200", "They are");
    table.delete(paths::MEMBER, "deleteMember", "Ends a membership").tag(tag).done("It is ended");
    table
        .get(paths::ACCESS, "readAccess", "Who may do what with a secret, and why")
        .tag(tag)
        .answers::<AccessList>("200", "Everyone who may do anything with it");
    table
        .post(paths::ACCESS_REVIEWS, "reviewAccess", "Whether someone may do something, and why")
        .tag(tag)
        .takes::<AccessReview>(JSON)
        .answers::<AccessReviewed>("200", "The answer");
    table
        .get(paths::AUDIT, "readAudit", "The audit log, JSON lines as they were written")
        .tag(tag)
        .query([
            number("after", "Only records behind this sequence number"),
            number("limit", "How many records at most; 1000 when left out"),
        ])
        .streams("Each line is a record; see AUDIT.md");
}

fn about_the_daemon(table: &mut Table) {
    table
        .get(
            paths::CONSUMERS,
            "listConsumers",
            "The clusters, nodes and workspaces that refer to secrets, and each secret's last change",
        )
        .tag("daemon")
        .answers::<ConsumerList>("200", "All of them, as far as the caller may see them");
    table
        .get(paths::STORE, "readStoreStatus", "Which store it is, and whether it was put back")
        .tag("daemon")
        .answers::<StoreStatus>("200", "How it stands");
    table
        .post(
            paths::COMPACT,
            "compactStore",
            "Makes the data files as small as they can be; an administrator's act",
        )
        .tag("daemon")
        .answers::<CompactionBody>(
            "202",
            "It is under way; the store's status shows how it stands",
        );
    table
        .post(
            paths::VERIFY,
            "verifyStore",
            "Opens every record and follows every reference; an administrator's act",
        )
        .tag("daemon")
        .answers::<VerificationBody>("200", "What was looked at, and what is wrong");
    table
        .get(
            paths::BACKUP,
            "backUpStore",
            "A backup of the store as it is at one moment, sealed; an administrator's act",
        )
        .tag("daemon")
        .query([text(
            "since",
            "Only what was written since this resource version, to go on top of a backup of that one",
        )])
        .downloads("It is whole when it ends as STORE.md says; `tresor verify` looks");
    table
        .get(paths::SYNC, "readSyncStatus", "How the worker that projects into Kubernetes stands")
        .tag("daemon")
        .answers::<SyncStatus>("200", "How it stands");
    table
        .post(
            paths::RELEASE_BRAKE,
            "releaseBrake",
            "Lets the worker delete what its brake holds back now; an administrator's act",
        )
        .tag("daemon")
        .done("It goes on");
    about_keys(table);
    table.get(paths::HEALTHZ, "isAlive", "Whether the daemon lives").tag("daemon").open_to_all();
    table
        .get(paths::READYZ, "isReady", "Whether the daemon takes requests")
        .tag("daemon")
        .open_to_all();
}

fn about_keys(table: &mut Table) {
    let tag = "daemon";
    table
        .get(paths::KEYS, "readKeys", "The keys of the store, and how many records are under each")
        .tag(tag)
        .answers::<KeysBody>("200", "Nothing of it is secret");
    table
        .get(paths::ROTATION, "readRotation", "The last change of keys, and how far it has come")
        .tag(tag)
        .answers::<RotationBody>("200", "How it stands");
    table
        .post(paths::ROTATE, "rotateKeys", "Changes the keys; an administrator's act")
        .tag(tag)
        .takes::<RotateAction>(JSON)
        .answers::<RotationBody>("202", "New records are under new keys; older ones follow");
    table
        .post(
            paths::PAUSE_ROTATION,
            "pauseRotation",
            "Has a change of keys stop where it is; an administrator's act",
        )
        .tag(tag)
        .answers::<RotationBody>("200", "It is paused");
    table
        .post(
            paths::RESUME_ROTATION,
            "resumeRotation",
            "Has a change of keys go on; an administrator's act",
        )
        .tag(tag)
        .answers::<RotationBody>("200", "It goes on");
}

/// The document while it is made.
struct Table {
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Table {
    fn get(&mut self, path: &'static str, id: &str, summary: &str) -> Entry<'_> {
        self.entry(HttpMethod::Get, path, id, summary)
    }

    fn post(&mut self, path: &'static str, id: &str, summary: &str) -> Entry<'_> {
        self.entry(HttpMethod::Post, path, id, summary)
    }

    fn put(&mut self, path: &'static str, id: &str, summary: &str) -> Entry<'_> {
        self.entry(HttpMethod::Put, path, id, summary)
    }

    fn patch(&mut self, path: &'static str, id: &str, summary: &str) -> Entry<'_> {
        self.entry(HttpMethod::Patch, path, id, summary)
    }

    fn delete(&mut self, path: &'static str, id: &str, summary: &str) -> Entry<'_> {
        self.entry(HttpMethod::Delete, path, id, summary)
    }

    fn entry(
        &mut self,
        method: HttpMethod,
        path: &'static str,
        id: &str,
        summary: &str,
    ) -> Entry<'_> {
        let operation = OperationBuilder::new()
            .operation_id(Some(id))
            .summary(Some(summary))
            .response("default", problem());
        let mut entry = Entry { table: self, method, path, operation };
        for name in names(path) {
            entry = entry.parameter(in_path(name));
        }
        entry
    }

    /// Takes a type and all that it is made of into the components.
    fn learn<T: ToSchema>(&mut self) {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
    }
}

/// One operation while it is made.
struct Entry<'a> {
    table: &'a mut Table,
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
}

impl Entry<'_> {
    fn tag(mut self, tag: &str) -> Self {
        self.operation = self.operation.tag(tag);
        self
    }

    fn parameter(mut self, parameter: Parameter) -> Self {
        self.operation = self.operation.parameter(parameter);
        self
    }

    fn query<const N: usize>(self, parameters: [Parameter; N]) -> Self {
        parameters.into_iter().fold(self, Self::parameter)
    }

    fn if_match(self) -> Self {
        let about = "The ETag that the caller has seen; 409 when the resource has changed since";
        let header = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(matching("^\"[0-9]+\"$")));
        self.parameter(header.build())
    }

    fn takes<T: ToSchema>(mut self, media_type: &str) -> Self {
        self.table.learn::<T>();
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content(media_type, ContentBuilder::new().schema(Some(reference::<T>())).build());
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    fn also<T: ToSchema>(mut self, status: &str, about: &str) -> Self {
        self.table.learn::<T>();
        let content = ContentBuilder::new().schema(Some(reference::<T>())).build();
        let response = ResponseBuilder::new().description(about).content(JSON, content);
        self.operation = self.operation.response(status, response.build());
        self
    }

    fn answers<T: ToSchema>(self, status: &str, about: &str) {
        self.also::<T>(status, about).finish();
    }

    /// An answer about one version of a resource, which its `ETag` names.
    fn answers_tagged<T: ToSchema>(mut self, status: &str, about: &str) {
        self.table.learn::<T>();
        let content = ContentBuilder::new().schema(Some(reference::<T>())).build();
        let tag = HeaderBuilder::new().schema(Some(string())).build();
        let response =
            ResponseBuilder::new().description(about).content(JSON, content).header("ETag", tag);
        self.operation = self.operation.response(status, response.build());
        self.finish();
    }

    fn lists_or_watches(mut self) {
        self.table.learn::<SecretList>();
        self.table.learn::<WatchLine>();
        let list = ContentBuilder::new().schema(Some(reference::<SecretList>())).build();
        let about = "Each line is a WatchLine.";
        let lines = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
        let lines = ContentBuilder::new().schema(Some(lines.build())).build();
        let response = ResponseBuilder::new()
            .description("A page of the list; or, with `watch=true`, JSON lines")
            .content(JSON, list)
            .content(LINES, lines);
        self.operation = self.operation.response("200", response.build());
        self.finish();
    }

    fn streams(mut self, about: &str) {
        let line = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
        let content = ContentBuilder::new().schema(Some(line.build())).build();
        let response = ResponseBuilder::new().description("JSON lines").content(LINES, content);
        self.operation = self.operation.response("200", response.build());
        self.finish();
    }

    fn downloads(mut self, about: &str) {
        let content = ContentBuilder::new().build();
        let response =
            ResponseBuilder::new().description(about).content("application/octet-stream", content);
        self.operation = self.operation.response("200", response.build());
        self.finish();
    }

    fn done(mut self, about: &str) {
        let response = ResponseBuilder::new().description(about).build();
        self.operation = self.operation.response("204", response);
        self.finish();
    }

    fn without_a_token(mut self) {
        let nobody: [SecurityRequirement; 0] = [];
        self.operation = self.operation.securities(Some(nobody));
        self.finish();
    }

    fn open_to_all(mut self) {
        let status = ObjectBuilder::new().property("status", string()).required("status").build();
        let content = ContentBuilder::new().schema(Some(status)).build();
        let response = ResponseBuilder::new().description("It does").content(JSON, content).build();
        let nobody: [SecurityRequirement; 0] = [];
        self.operation = self.operation.response("200", response).securities(Some(nobody));
        self.finish();
    }

    fn finish(self) {
        let operation: Operation = self.operation.build();
        self.table.paths.add_path_operation(self.path, vec![self.method], operation);
    }
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn problem() -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(reference::<Problem>())).build();
    let about = "A problem document (RFC 9457) that names the field and the fix";
    ResponseBuilder::new().description(about).content(PROBLEM, content).build()
}

/// The names in a path's braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn in_path(name: &str) -> Parameter {
    let about = match name {
        "org" | "bound_org" => "The organization; `default` unless there are others",
        "project" | "bound_project" => "The project",
        "name" => "The secret's name; a slash or colon in it travels percent-encoded",
        "uid" => "The secret's identity",
        "id" => "The identity of the token or the grant",
        "principal" => "The name of the user, the machine account or the group",
        "subject" => "Who: `user:NAME`, `machine:NAME` or `group:NAME`",
        _ => "A name",
    };
    let schema = match name {
        "uid" | "id" => matching("^[0-9a-f]{32}$"),
        "principal" => matching("^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"),
        "subject" => matching("^(user|machine|group):[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"),
        _ => ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(512))
            .build()
            .into(),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

fn text(name: &str, about: &str) -> Parameter {
    in_query(name, about, string())
}

fn number(name: &str, about: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(1));
    in_query(name, about, schema.build().into())
}

fn flag(name: &str, about: &str) -> Parameter {
    in_query(name, about, ObjectBuilder::new().schema_type(Type::Boolean).build().into())
}

fn one_of(name: &str, about: &str, values: &[&str]) -> Parameter {
    let values = values.iter().map(|value| json!(value));
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values));
    in_query(name, about, schema.build().into())
}

fn in_query(name: &str, about: &str, schema: Schema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

fn matching(pattern: &str) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build().into()
}

fn string() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If you're here because this failed: the contract changed. When that was meant, run the test
    /// again with `TRESOR_BLESS=1` and commit the document.
    #[test]
    fn the_committed_document_is_what_the_code_makes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let made = openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("TRESOR_BLESS").is_some() {
            std::fs::write(file, &made).unwrap();
        }
        assert!(std::fs::read_to_string(file).unwrap_or_default() == made, "{file} differs");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = openapi();
        let mut ids: Vec<String> = Vec::new();
        for item in document.paths.paths.values() {
            for operation in [&item.get, &item.put, &item.post, &item.patch, &item.delete] {
                ids.extend(operation.iter().filter_map(|found| found.operation_id.clone()));
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), count > 30), (count, true));
    }
}
