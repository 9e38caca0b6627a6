//! Every operation of the served document, asked by every kind of actor: the statuses are a golden
//! table. And what an actor may not see looks like what is not there.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{
    Actor, Answer, GROUPS, MACHINES, ORGS, Operator, PASSWORD, TOKENS, USERS, WHOAMI, member,
    opaque, project, secret, secrets, user,
};
use crate::harness::{Fresh, fresh_with, wait_until};

const DOCUMENT: &str = "/tresor/v1/openapi.json";
const CLUSTER: &str = "secret://default";
const SAFE_SECRETS: &str = "/api/v1/secrets";

/// The columns of the table, with who stands behind them.
const ACTORS: [(&str, &str); 22] = [
    ("anon", "nobody: no credential"),
    ("strng", "a user with nothing but a personal project"),
    ("view", "viewer of the project"),
    ("contr", "contributor of the project"),
    ("write", "writer of the project"),
    ("manag", "manager of the project"),
    ("owner", "owner of the project"),
    (
        "maker",
        "owner of the secret: made it as a contributor, and is no member any more, but one of makers",
    ),
    ("gread", "grantee: the secret's owner gave read on it"),
    ("gwrit", "grantee: the secret's owner gave write on it"),
    ("gmana", "grantee: the secret's owner gave manage on it"),
    ("bownr", "contributor of a project that the secret is bound to, for its owner"),
    ("bmemb", "contributor of a project that the secret is bound to, for all members"),
    ("roadm", "readonly-admin"),
    ("audit", "auditor"),
    ("admin", "administrator"),
    ("expir", "an administrator's token that has expired"),
    ("revok", "an administrator's token that was revoked"),
    ("narpr", "the project owner's token, narrowed to another project"),
    ("narac", "the project owner's token, narrowed to the action list"),
    ("disab", "an administrator who is shut out"),
    ("oper", "the operator, on the socket"),
];

/// Someone who asks.
pub(crate) struct Who {
    pub(crate) column: &'static str,
    /// The user whose rights they have; whose personal project is theirs.
    account: &'static str,
    /// What a token that they make must be narrowed to.
    narrowing: Value,
    voice: Voice,
}

enum Voice {
    Network(Actor),
    Socket(Operator),
}

impl Who {
    pub(crate) fn send(&self, request: &Request) -> Answer {
        let headers = request.media_type.iter().map(|media| ("Content-Type", media.as_str()));
        let headers: Vec<_> = headers.collect();
        let (method, path, body) = (&*request.method, &*request.path, &*request.body);
        match &self.voice {
            Voice::Network(actor) => actor.send(method, path, &headers, body),
            Voice::Socket(operator) => operator.send(method, path, &headers, body),
        }
    }
}

/// What is asked for: the names in the path, a query, a body.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    names: BTreeMap<&'static str, String>,
    query: &'static str,
    query_text: String,
    body: Option<Value>,
}

fn ask() -> Asked {
    Asked::default()
}

impl Asked {
    fn at(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.names.insert(name, text.into());
        self
    }

    fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    fn query(mut self, name: &'static str, text: String) -> Self {
        (self.query, self.query_text) = (name, text);
        self
    }
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    media_type: Option<String>,
    body: Vec<u8>,
}

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) template: String,
    media_type: Option<String>,
}

impl Operation {
    pub(crate) fn request(&self, asked: &Asked) -> Request {
        let mut path = self.template.clone();
        let usual = [("org", "default"), ("project", "ml")];
        let usual = usual.map(|(name, text)| (name, text.to_owned()));
        for (name, text) in asked.names.iter().map(|(n, t)| (*n, t.clone())).chain(usual) {
            path = path.replace(&format!("{{{name}}}"), &text);
        }
        assert!(!path.contains('{'), "{path}: a row fills each name of its path");
        if !asked.query.is_empty() {
            write!(path, "?{}={}", asked.query, asked.query_text).unwrap();
        }
        let body = asked.body.as_ref().map(|body| body.to_string().into_bytes());
        let media_type = self.media_type.clone().filter(|_| body.is_some());
        Request { method: self.method.clone(), path, media_type, body: body.unwrap_or_default() }
    }
}

/// A store in which everyone has their place, and things to act on that are made anew when an act
/// has used them up.
pub(crate) struct World {
    root: Actor,
    maker: Actor,
    pub(crate) operations: BTreeMap<String, Operation>,
    things: RefCell<BTreeMap<&'static str, String>>,
    pools: RefCell<BTreeMap<&'static str, Vec<String>>>,
    count: Cell<usize>,
    pub(crate) fresh: Fresh,
}

impl World {
    fn unique(&self, stem: &str) -> String {
        self.count.set(self.count.get() + 1);
        format!("{stem}{}", self.count.get())
    }

    /// To be asked while no change of keys is under way, so that each actor meets the same.
    fn between_rotations(&self) -> Asked {
        wait_until("no rotation is under way", || {
            let rotation = self.root.get("/tresor/v1/keys/rotation");
            rotation.status == 404 || rotation.json()["state"] == "done"
        });
        ask()
    }

    /// A thing that is there until an act succeeds.
    fn once(&self, what: &'static str, make: impl FnOnce() -> String) -> String {
        let there = self.things.borrow().get(what).cloned();
        there.unwrap_or_else(|| {
            let made = make();
            self.things.borrow_mut().insert(what, made.clone());
            made
        })
    }

    pub(crate) fn spoil(&self) {
        self.things.borrow_mut().clear();
    }

    /// A secret with one version, and with all of those who have to do with it.
    pub(crate) fn secret(&self) -> String {
        self.once("secret", || self.new_secret())
    }

    fn new_secret(&self) -> String {
        self.new_of("s", &opaque("v"))
    }

    /// A secret of the type that platforms of single values have, and of those who have to do with
    /// it.
    fn variable(&self) -> String {
        self.once("variable", || {
            let body = json!({ "spec": { "type": "variable" }, "stringData": { "value": "v" } });
            self.new_of("v", &body)
        })
    }

    /// The same secret, as Chariot names it: what its clients call a setting of the project.
    fn setting(&self) -> Asked {
        let name = self.variable();
        let id = self.once("setting", || {
            let list = self.root.get(&format!("{SETTINGS}/")).expect(200).json();
            let items = list["data"].as_array().unwrap().iter();
            let found = items.into_iter().find(|item| item["name"] == name.as_str()).unwrap();
            found["_id"].as_str().unwrap().to_owned()
        });
        of_ml().at("type", "Custom").at("id", id)
    }

    fn uid_of_variable(&self) -> String {
        let name = self.variable();
        self.once("uid of variable", || {
            let found = self.root.get(&secret("ml", &name)).expect(200).json();
            found["metadata"]["uid"].as_str().unwrap().to_owned()
        })
    }

    fn new_of(&self, stem: &'static str, body: &Value) -> String {
        let name = self.pooled(stem, |maker, name| {
            maker.put(&secret("ml", name), body).expect(201);
        });
        self.give_all(&format!("{CLUSTER}/ml/{name}"));
        self.bind_elsewhere("ml", &name);
        name
    }

    /// One of the secrets that the maker made in advance, as a contributor of the project.
    fn pooled(&self, stem: &'static str, make: impl Fn(&Actor, &str)) -> String {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(stem).or_default();
        if pool.is_empty() {
            self.root.make_member("ml", "user:maker", "contributor");
            for _ in 0..16 {
                let name = self.unique(stem);
                make(&self.maker, &name);
                pool.push(name);
            }
            self.root.delete(&member("ml", "user:maker")).expect(204);
        }
        pool.pop().unwrap()
    }

    /// The grants that a secret's owner gave.
    fn give_all(&self, uri: &str) {
        for role in ["read", "write", "manage"] {
            self.maker.give(&format!("user:g{role}"), role, uri);
        }
    }

    /// Binds a secret to the projects that are there for that, and to no others.
    fn bind_elsewhere(&self, project: &str, name: &str) {
        let bindings = json!([
            { "project": "team-o", "kind": "owner" },
            { "project": "team-m", "kind": "members" },
        ]);
        let bound = json!({ "spec": { "bindings": bindings } });
        self.root.patch(&secret(project, name), &bound).expect(200);
    }

    /// A secret of Primus-SaFE's that its owner made in the workspace `ml`, with those who have to do
    /// with it.
    fn common(&self) -> String {
        self.once("common", || self.new_common())
    }

    /// The same, in other workspaces.
    fn common_elsewhere(&self) -> String {
        self.once("common elsewhere", || {
            let name = self.new_common();
            self.bind_elsewhere("safe", &name);
            name
        })
    }

    fn new_common(&self) -> String {
        let name = self.pooled("c", |maker, name| {
            maker.post(SAFE_SECRETS, &image(name, &["ml"])).expect(200);
        });
        self.give_all(&format!("{CLUSTER}/safe/{name}"));
        name
    }

    /// A cluster of Primus-SaFE's.
    fn cluster(&self) -> String {
        self.once("cluster", || {
            let name = self.unique("cluster");
            self.root.post("/api/v1/clusters", &json!({ "name": name })).expect(200);
            name
        })
    }

    /// A node of Primus-SaFE's.
    fn node(&self) -> String {
        self.once("node", || {
            let name = self.unique("node");
            self.root.post("/api/v1/nodes", &node(&name, &self.host())).expect(200);
            name
        })
    }

    /// A secret that nodes are reached with.
    fn host(&self) -> String {
        self.once("host", || {
            let name = self.unique("h");
            let params = json!([{ "username": "root", "password": "p" }]);
            let body = json!({ "name": name, "type": "ssh", "params": params });
            self.root.post(SAFE_SECRETS, &body).expect(200);
            name
        })
    }

    /// The name of a deleted secret; its identity is the thing `uid`.
    fn deleted(&self) -> (String, String) {
        let name = self.once("deleted", || {
            let name = self.new_secret();
            self.root.delete(&secret("ml", &name)).expect(204);
            name
        });
        let uid = self.once("uid of deleted", || {
            let list = format!("{}/deleted-secrets?namePrefix={name}", project("ml"));
            let found = self.root.get(&list).expect(200).json();
            let items = found["items"].as_array().unwrap();
            let is_it = |item: &&Value| item["metadata"]["name"] == name.as_str();
            let metadata = &items.iter().find(is_it).unwrap()["metadata"];
            metadata["uid"].as_str().unwrap().to_owned()
        });
        (name, uid)
    }

    /// A secret whose second version is there and whose first one is deleted.
    fn with_a_deleted_version(&self) -> String {
        self.once("partly deleted", || {
            let name = self.new_secret();
            let path = secret("ml", &name);
            self.root.put(&path, &opaque("w")).expect(200);
            let first = json!({ "versions": [1] });
            self.root.post(&format!("{path}/actions/delete"), &first).expect(200);
            name
        })
    }

    /// The identity of a secret of elsewhere that is bound to the project.
    fn bound_here(&self) -> String {
        self.once("bound here", || {
            let name = self.unique("there");
            let body = json!({
                "metadata": { "name": name },
                "spec": { "bindings": [{ "project": "ml", "kind": "members" }] },
                "stringData": { "value": "v" },
            });
            let made = self.root.post(&secrets("elsewhere"), &body).expect(201).json();
            made["metadata"]["uid"].as_str().unwrap().to_owned()
        })
    }

    /// An empty project with the same members.
    fn project(&self) -> String {
        self.once("project", || {
            let name = self.unique("p");
            self.root.make_project(&name);
            for role in ["viewer", "contributor", "writer", "manager", "owner"] {
                self.root.make_member(&name, &format!("user:{role}"), role);
            }
            name
        })
    }

    fn made(&self, what: &'static str, collection: &str) -> String {
        self.once(what, || {
            let name = self.unique(what);
            self.root.post(collection, &json!({ "metadata": { "name": name } })).expect(201);
            name
        })
    }

    fn user(&self) -> String {
        self.made("u", USERS)
    }

    fn machine(&self) -> String {
        self.made("m", MACHINES)
    }

    fn group(&self) -> String {
        self.made("g", GROUPS)
    }

    fn uri(&self) -> String {
        format!("{CLUSTER}/ml/{}", self.secret())
    }

    /// A workload that refers to the secret, in a project whose rules show it.
    fn workload(&self, home: &str) -> Asked {
        let name = self.secret();
        let rules = json!({ "projectionRules": [{ "mode": "each", "namespace": home }] });
        self.root.patch(&project(home), &json!({ "spec": rules })).expect(200);
        let secret = json!({ "envvar_name": "KEY", "secret_name": name, "secret_key": "value" });
        let recipe = json!({
            "recipe_mode": "job",
            "deployment_name": "one",
            "recipe_image_uri": "busybox",
            "recipe_environment_secrets": [secret],
        });
        ask().query("project", home.into()).with(recipe)
    }

    /// A viewer of the project beyond those of the table.
    fn member(&self) -> String {
        self.once("member", || {
            let subject = format!("machine:{}", self.machine());
            self.root.make_member("ml", &subject, "viewer");
            subject
        })
    }

    fn grant(&self) -> String {
        self.once("grant", || {
            let subject = format!("machine:{}", self.machine());
            self.root.give(&subject, "viewer", &format!("{CLUSTER}/ml"))
        })
    }

    fn token(&self) -> String {
        self.once("token", || {
            let machine = json!({ "machineAccount": self.machine() });
            self.root.mint(&machine).1
        })
    }
}

/// A valid request of an operation; in brackets, which one, where one does not show all.
pub(crate) type Row = (&'static str, fn(&World, &Who) -> Asked);

pub(crate) const ROWS: &[Row] = &[
    ("listSecrets", |_, _| ask()),
    ("listAllSecrets", |_, _| ask()),
    ("listAllSecrets (of the project)", |_, _| ask().query("project", "ml".into())),
    ("createSecret", |w, _| {
        let name = w.unique("new");
        ask().with(json!({ "metadata": { "name": name }, "stringData": { "value": "v" } }))
    }),
    ("readSecret", |w, _| ask().at("name", w.secret())),
    ("putSecret (a new one)", |w, _| ask().at("name", w.unique("put")).with(opaque("v"))),
    ("putSecret (one that exists)", |w, _| ask().at("name", w.secret()).with(opaque("v2"))),
    ("patchSecret", |w, _| ask().at("name", w.secret()).with(opaque("v3"))),
    ("deleteSecret", |w, _| ask().at("name", w.secret())),
    ("readSecretData", |w, _| ask().at("name", w.secret())),
    ("listVersions", |w, _| ask().at("name", w.secret())),
    ("rollBackSecret", |w, _| ask().at("name", w.secret()).with(json!({ "version": 1 }))),
    ("deleteVersions", |w, _| ask().at("name", w.secret()).with(json!({ "versions": [1] }))),
    ("destroyVersions", |w, _| ask().at("name", w.secret()).with(json!({ "versions": [1] }))),
    ("undelete (a version)", |w, _| {
        ask().at("name", w.with_a_deleted_version()).with(json!({ "versions": [1] }))
    }),
    ("undelete (a secret)", |w, _| ask().at("name", w.deleted().0).with(json!({}))),
    ("purgeSecret", |w, _| ask().at("name", w.deleted().0).with(json!({}))),
    ("listDeletedSecrets", |_, _| ask()),
    ("readDeletedSecret", |w, _| ask().at("uid", w.deleted().1)),
    ("listBindings", |w, _| ask().at("name", w.secret())),
    ("bindSecret (to one's own project)", |w, who| {
        ask().at("name", w.secret()).with(json!({ "project": who.account }))
    }),
    ("unbindSecret", |w, _| {
        ask().at("name", w.secret()).at("bound_org", "default").at("bound_project", "team-m")
    }),
    ("listBoundSecrets", |w, _| {
        w.bound_here();
        ask()
    }),
    ("listBoundSecrets (of team-m)", |w, _| {
        w.secret();
        ask().at("project", "team-m")
    }),
    ("unbindFromProject", |w, _| ask().at("uid", w.bound_here())),
    ("readAccess", |w, _| ask().at("name", w.secret())),
    ("reviewAccess (of oneself)", |w, _| {
        ask().with(json!({ "uri": w.uri(), "action": "use", "project": "team-m" }))
    }),
    ("reviewAccess (of another)", |w, _| {
        ask().with(json!({ "uri": w.uri(), "action": "read", "subject": "user:gread" }))
    }),
    ("listProjects", |_, _| ask()),
    ("createProject", |w, _| ask().with(json!({ "metadata": { "name": w.unique("q") } }))),
    ("readProject", |_, _| ask()),
    ("replaceProject", |_, _| ask().with(json!({ "spec": {} }))),
    ("patchProject", |_, _| ask().with(json!({ "spec": { "keepVersions": 9 } }))),
    ("deleteProject", |w, _| ask().at("project", w.project())),
    ("listProjections", |_, _| ask()),
    ("renderManifest (in the project)", |w, _| w.workload("ml")),
    ("renderManifest (in team-o)", |w, _| w.workload("team-o")),
    ("renderManifest (in team-m)", |w, _| w.workload("team-m")),
    ("renderManifest (without secrets)", |_, _| {
        ask().with(json!({ "image": "busybox", "command": "true" }))
    }),
    ("listMembers", |_, _| ask()),
    ("putMember", |w, _| {
        ask().at("subject", format!("user:{}", w.user())).with(json!({ "role": "viewer" }))
    }),
    ("deleteMember", |w, _| ask().at("subject", w.member())),
    ("listGrants (one's own)", |_, _| ask()),
    ("listGrants (of the project)", |_, _| ask().query("uri", format!("{CLUSTER}/ml"))),
    ("listGrants (of the secret)", |w, _| ask().query("uri", w.uri())),
    ("createGrant (on the secret)", |w, _| {
        ask().with(json!({ "subject": "group:friends", "uri": w.uri(), "role": "read" }))
    }),
    ("createGrant (on the project)", |w, _| {
        let subject = format!("user:{}", w.user());
        ask().with(json!({ "subject": subject, "uri": format!("{CLUSTER}/ml"), "role": "viewer" }))
    }),
    ("createGrant (on the store)", |w, _| {
        let subject = format!("user:{}", w.user());
        ask().with(json!({ "subject": subject, "uri": CLUSTER, "role": "viewer" }))
    }),
    ("deleteGrant (on the project)", |w, _| ask().at("id", w.grant())),
    ("listOrganizations", |_, _| ask()),
    ("createOrganization", |w, _| ask().with(json!({ "metadata": { "name": w.unique("o") } }))),
    ("deleteOrganization", |w, _| ask().at("org", w.made("org", ORGS))),
    ("whoAmI", |_, _| ask()),
    ("login", |_, _| ask().with(json!({ "username": "stranger", "password": PASSWORD }))),
    ("logout", |_, _| ask()),
    ("listTokens", |_, _| ask()),
    ("createToken (one's own)", |_, who| {
        let mut body = json!({ "description": "mine" });
        if !who.narrowing.is_null() {
            body["narrowing"] = who.narrowing.clone();
        }
        ask().with(body)
    }),
    ("createToken (nobody's)", |_, _| {
        ask().with(json!({ "rights": [{ "role": "viewer", "projects": ["ml"] }] }))
    }),
    ("revokeToken (another's)", |w, _| ask().at("id", w.token())),
    ("createUser", |w, _| ask().with(json!({ "metadata": { "name": w.unique("nu") } }))),
    ("listUsers", |_, _| ask()),
    ("readUser (another)", |w, _| ask().at("principal", w.user())),
    ("readUser (oneself)", |_, who| ask().at("principal", who.account)),
    ("patchUser", |w, _| {
        ask().at("principal", w.user()).with(json!({ "spec": { "disabled": true } }))
    }),
    ("deleteUser", |w, _| ask().at("principal", w.user())),
    ("setPassword (another's)", |w, _| {
        ask().at("principal", w.user()).with(json!({ "password": PASSWORD }))
    }),
    ("createMachineAccount", |w, _| ask().with(json!({ "metadata": { "name": w.unique("nm") } }))),
    ("listMachineAccounts", |_, _| ask()),
    ("readMachineAccount", |w, _| ask().at("principal", w.machine())),
    ("patchMachineAccount", |w, _| {
        ask().at("principal", w.machine()).with(json!({ "spec": { "disabled": true } }))
    }),
    ("deleteMachineAccount", |w, _| ask().at("principal", w.machine())),
    ("createGroup", |w, _| ask().with(json!({ "metadata": { "name": w.unique("ng") } }))),
    ("listGroups", |_, _| ask()),
    ("readGroup", |w, _| ask().at("principal", w.group())),
    ("patchGroup", |w, _| {
        ask().at("principal", w.group()).with(json!({ "spec": { "members": ["user:stranger"] } }))
    }),
    ("deleteGroup", |w, _| ask().at("principal", w.group())),
    ("readAudit", |_, _| ask().query("limit", "1".into())),
    ("listConsumers", |_, _| ask()),
    ("readKeys", |_, _| ask()),
    ("pauseRotation", |w, _| w.between_rotations()),
    ("resumeRotation", |w, _| w.between_rotations()),
    ("rotateKeys", |w, _| w.between_rotations().with(json!({}))),
    ("readRotation", |_, _| ask()),
    ("readStoreStatus", |_, _| ask()),
    ("backUpStore", |_, _| ask()),
    ("compactStore", |_, _| ask()),
    ("verifyStore", |_, _| ask()),
    ("readSyncStatus", |_, _| ask()),
    ("releaseBrake", |_, _| ask()),
    ("isAlive", |_, _| ask()),
    ("isReady", |_, _| ask()),
];

/// What asks and changes nothing that another row or actor would miss.
const HARMLESS: [&str; 6] =
    ["blueprints.login", "chariot.login", "login", "renderManifest", "reviewAccess", "safe.login"];
/// What ends the token that is shown.
const LOGOUTS: [&str; 2] = ["logout", "safe.logout"];

pub(crate) fn operation(row: &str) -> &str {
    row.split(" (").next().unwrap()
}

pub(crate) fn world() -> (World, Vec<Who>) {
    world_with(&[])
}

/// The world of a daemon with further arguments.
fn world_with(arguments: &[&str]) -> (World, Vec<Who>) {
    let fresh = fresh_with(|serve| {
        serve.args(arguments);
    });
    let root = fresh.admin.again();
    for name in ["elsewhere", "team-o", "team-m", "makers"] {
        root.make_project(name);
    }
    root.post(GROUPS, &json!({ "metadata": { "name": "friends" } })).expect(201);
    let in_project = |project: &str, name: &str, role: &str| {
        let actor = root.make_user(name);
        root.make_member(project, &format!("user:{name}"), role);
        actor
    };
    let global = |name: &str, role: &str| {
        let actor = root.make_user(name);
        root.give(&format!("user:{name}"), role, CLUSTER);
        actor
    };
    let maker = in_project("makers", "maker", "contributor");
    let owner = in_project("ml", "owner", "owner");
    let admin = global("admin", "admin");
    let expired = admin.mint(&json!({ "expiresInSeconds": 1 })).0;
    let (revoked, id) = admin.mint(&json!({}));
    root.delete(&format!("{TOKENS}/{id}")).expect(204);
    let disabled = global("disabled", "admin");
    root.patch(&user("disabled"), &json!({ "spec": { "disabled": true } })).expect(200);
    let to_project = json!({ "projects": ["default/owner"] });
    let to_action = json!({ "actions": ["list"] });
    let narrowed = |narrowing: &Value| owner.mint(&json!({ "narrowing": narrowing })).0;
    let (narrow_place, narrow_action) = (narrowed(&to_project), narrowed(&to_action));
    wait_until("a token has expired", || expired.get(WHOAMI).status == 401);

    let who = |column, account, narrowing: &Value, actor| Who {
        column,
        account,
        narrowing: narrowing.clone(),
        voice: Voice::Network(actor),
    };
    let none = &Value::Null;
    let actors = vec![
        who("anon", "stranger", none, fresh.daemon.anonymous()),
        who("strng", "stranger", none, root.make_user("stranger")),
        who("view", "viewer", none, in_project("ml", "viewer", "viewer")),
        who("contr", "contributor", none, in_project("ml", "contributor", "contributor")),
        who("write", "writer", none, in_project("ml", "writer", "writer")),
        who("manag", "manager", none, in_project("ml", "manager", "manager")),
        who("owner", "owner", none, owner),
        who("maker", "maker", none, maker.again()),
        who("gread", "gread", none, root.make_user("gread")),
        who("gwrit", "gwrite", none, root.make_user("gwrite")),
        who("gmana", "gmanage", none, root.make_user("gmanage")),
        who("bownr", "bowner", none, in_project("team-o", "bowner", "contributor")),
        who("bmemb", "bmember", none, in_project("team-m", "bmember", "contributor")),
        who("roadm", "roadmin", none, global("roadmin", "readonly-admin")),
        who("audit", "auditor", none, global("auditor", "auditor")),
        who("admin", "admin", none, admin),
        who("expir", "admin", none, expired),
        who("revok", "admin", none, revoked),
        who("narpr", "owner", &to_project, narrow_place),
        who("narac", "owner", &to_action, narrow_action),
        who("disab", "disabled", none, disabled),
        Who {
            column: "oper",
            account: "admin",
            narrowing: Value::Null,
            voice: Voice::Socket(Operator::of(&fresh.home.data)),
        },
    ];
    let columns: Vec<_> = actors.iter().map(|who| who.column).collect();
    assert_eq!(columns, ACTORS.map(|(column, _)| column));
    let mut operations = operations(&root.get(DOCUMENT).expect(200).json());
    operations.extend(surface_operations());
    let world = World {
        root,
        maker,
        operations,
        things: RefCell::default(),
        pools: RefCell::default(),
        count: Cell::default(),
        fresh,
    };
    (world, actors)
}

fn operations(document: &Value) -> BTreeMap<String, Operation> {
    let mut operations = BTreeMap::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            let content = operation["requestBody"]["content"].as_object();
            let media_type = content.and_then(|content| content.keys().next().cloned());
            let (method, template) = (method.to_uppercase(), template.clone());
            operations.insert(id.to_owned(), Operation { method, template, media_type });
        }
    }
    operations
}

/// The routes of surfaces; those that differ in a slash at the end are one.
fn surface_operations() -> impl Iterator<Item = (String, Operation)> {
    let surfaces = surfaces::surfaces().iter();
    surfaces.flat_map(|surface| surface.routes.iter().map(move |route| (surface, route))).map(
        |(surface, route)| {
            let (method, template) = (route.method.to_string(), route.path.to_owned());
            let media_type = Some("application/json".to_owned());
            let id = format!("{}.{}", surface.name, route.operation);
            (id, Operation { method, template, media_type })
        },
    )
}

/// The same actor with a token that is made to be used up.
pub(crate) fn with_a_token_to_lose(who: &Who) -> Option<Actor> {
    let Voice::Network(actor) = &who.voice else { return None };
    let mut wanted = json!({});
    if !who.narrowing.is_null() {
        wanted["narrowing"] = who.narrowing.clone();
    }
    let minted = actor.post(TOKENS, &wanted);
    let token = minted.json()["token"].as_str().map(str::to_owned)?;
    Some(Actor::new(actor.address, &token))
}

fn status(world: &World, who: &Who, (name, row): &Row) -> u16 {
    // There is always a secret that those who have to do with one have to do with.
    world.secret();
    let operation_id = operation(name);
    let operation = &world.operations[operation_id];
    let request = operation.request(&row(world, who));
    let to_lose = LOGOUTS.contains(&operation_id).then(|| with_a_token_to_lose(who)).flatten();
    let answer = match to_lose {
        Some(actor) => actor.send("POST", &request.path, &[], b""),
        None => who.send(&request),
    };
    let changes = operation.method != "GET" && !HARMLESS.contains(&operation_id);
    if changes && answer.status < 300 {
        world.spoil();
    }
    answer.status
}

/// If you're here because this failed: someone may do something that they could not, or may not do
/// what they could. See DESIGN.md section 6 for who should. When the change was meant, run the test
/// again with `TRESOR_BLESS=1`, look at the difference, and commit the table.
#[test]
fn every_operation_answers_every_kind_of_actor_as_the_table_says() {
    let (world, actors) = world();
    let documented = world.operations.keys().map(String::as_str);
    let documented: BTreeSet<&str> = documented.filter(|id| !id.contains('.')).collect();
    let rows: BTreeSet<&str> = ROWS.iter().map(|(name, _)| operation(name)).collect();
    assert_eq!(rows, documented, "each operation of the document has a row, and each row has one");

    is_golden("matrix.txt", &table(&world, &actors, ROWS));
}

/// Requests of surfaces; in brackets, which one, where one does not show all.
const SURFACE_ROWS: &[Row] = &[
    ("blueprints.login", |_, _| {
        ask().with(json!({ "username": "stranger", "password": PASSWORD }))
    }),
    ("blueprints.listSecrets", |_, _| ask()),
    ("blueprints.readSecret", |w, _| ask().at("name", w.secret())),
    ("blueprints.changeSecrets (create)", |w, _| {
        let name = w.unique("new");
        ask().with(blueprint(json!({
            "name": name, "action": "create", "type": "opaque", "data": { "k": "v" },
        })))
    }),
    ("blueprints.changeSecrets (update)", |w, _| {
        ask().with(blueprint(json!({
            "name": w.secret(), "action": "update", "type": "opaque", "data": { "k": "v" },
        })))
    }),
    ("blueprints.changeSecrets (delete)", |w, _| {
        ask().with(blueprint(json!({ "name": w.secret(), "action": "delete" })))
    }),
    ("chariot.login", |_, _| ask()),
    ("chariot.listSettings", |_, _| of_ml()),
    ("chariot.listSettings (of an org)", |w, _| of("organization", &w.made("org", ORGS))),
    ("chariot.listSettings (of a user)", |_, _| of("user", "gread")),
    ("chariot.createSetting", |w, _| of_ml().with(setting(&w.unique("new")))),
    ("chariot.readSetting", |w, _| w.setting()),
    ("chariot.readSetting (in clear)", |w, _| w.setting().query("decrypt", "true".into())),
    ("chariot.updateSetting", |w, _| w.setting().with(json!({ "value": "v" }))),
    ("chariot.deleteSetting", |w, _| w.setting()),
    ("chariot.showPage", |_, _| ask()),
    ("chariot.showScript", |_, _| ask()),
    ("chariot.showDocument", |_, _| ask()),
    ("digitalhub.listProjects", |_, _| ask()),
    ("digitalhub.createProject", |w, _| {
        ask().with(json!({ "kind": "project", "name": w.unique("q") }))
    }),
    ("digitalhub.getProject", |_, _| ask()),
    ("digitalhub.updateProject", |_, _| {
        ask().with(json!({ "kind": "project", "metadata": { "description": "d" } }))
    }),
    ("digitalhub.deleteProject", |w, _| ask().at("project", w.project())),
    ("digitalhub.deleteProject (with all)", |w, _| {
        ask().at("project", w.project()).query("cascade", "true".into())
    }),
    ("digitalhub.listSecrets", |_, _| ask()),
    ("digitalhub.createSecret", |w, _| ask().with(entity(&w.unique("new")))),
    ("digitalhub.deleteSecretByName", |w, _| ask().query("name", w.variable())),
    ("digitalhub.readSecretData", |w, _| ask().query("keys", w.variable())),
    ("digitalhub.writeSecretData", |w, _| ask().with(json!({ w.variable(): "v" }))),
    ("digitalhub.getSecret", |w, _| ask().at("id", w.uid_of_variable())),
    ("digitalhub.updateSecret", |w, _| {
        let name = w.variable();
        ask().at("id", w.uid_of_variable()).with(entity(&name))
    }),
    ("digitalhub.deleteSecret", |w, _| ask().at("id", w.uid_of_variable())),
    ("digitalhub.getAccount", |_, _| ask()),
    ("digitalhub.getConfiguration", |_, _| ask()),
    ("apolo.ping", |_, _| ask()),
    ("apolo.securedPing", |_, _| ask()),
    ("apolo.config", |_, _| ask()),
    ("apolo.addSecret (a new one)", |w, _| ask().with(apolo(&w.unique("new")))),
    ("apolo.addSecret (one that exists)", |w, _| ask().with(apolo(&w.variable()))),
    ("apolo.listSecrets", |_, _| in_ml(ask())),
    ("apolo.getSecret", |w, _| in_ml(ask().at("key", w.variable()))),
    ("apolo.removeSecret", |w, _| in_ml(ask().at("key", w.variable()))),
    ("apolo.listPermissions (one's own)", |_, who| ask().at("user", who.account)),
    ("apolo.listPermissions (another's)", |_, _| ask().at("user", "gread")),
    ("apolo.share (the secret)", |w, _| {
        let uri = format!("{CLUSTER}/default/ml/{}", w.variable());
        ask().at("user", w.user()).with(json!([{ "uri": uri, "action": "read" }]))
    }),
    ("apolo.share (the project)", |w, _| {
        let uri = format!("{CLUSTER}/default/ml");
        ask().at("user", w.user()).with(json!([{ "uri": uri, "action": "read" }]))
    }),
    ("apolo.revoke", |w, _| {
        let uri = format!("{CLUSTER}/default/ml/{}", w.variable());
        ask().at("user", "gread").query("uri", uri)
    }),
    ("apolo.listShared", |_, who| ask().at("user", who.account)),
    ("apolo.listRoles", |_, who| ask().at("user", who.account)),
    ("apolo.addRole", |w, _| ask().with(json!({ "name": w.unique("role") }))),
    ("apolo.removeRole", |w, _| ask().at("user", w.unique("role"))),
    ("apolo.runJob", |w, _| {
        let uri = format!("{CLUSTER}/default/ml/{}", w.variable());
        ask().with(json!({
            "org_name": "default", "project_name": "ml", "cluster_name": "default",
            "image": "busybox", "command": "true", "secret_env": { "A": uri },
        }))
    }),
    ("safe.login", |_, _| ask().with(json!({ "name": "stranger", "password": PASSWORD }))),
    ("safe.logout", |_, _| ask()),
    ("safe.listSecrets", |_, _| ask()),
    ("safe.listSecrets (of a workspace)", |_, _| ask().query("workspaceId", "ml".into())),
    ("safe.createSecret (in a workspace)", |w, _| ask().with(image(&w.unique("new"), &["ml"]))),
    ("safe.createSecret (in none)", |w, _| ask().with(image(&w.unique("new"), &[]))),
    ("safe.createSecret (in no such one)", |w, _| ask().with(image(&w.unique("new"), &["absent"]))),
    ("safe.getSecret", |w, _| ask().at("id", w.common())),
    ("safe.getSecret (of elsewhere)", |w, _| ask().at("id", w.common_elsewhere())),
    ("safe.updateSecret (its params)", |w, _| {
        ask().at("id", w.common()).with(json!({ "params": image("", &[])["params"] }))
    }),
    ("safe.updateSecret (makers too)", |w, _| {
        ask().at("id", w.common()).with(json!({ "workspaceIds": ["ml", "makers"] }))
    }),
    ("safe.updateSecret (another too)", |w, _| {
        ask().at("id", w.common()).with(json!({ "workspaceIds": ["ml", "team-m"] }))
    }),
    ("safe.updateSecret (out of all)", |w, _| {
        ask().at("id", w.common()).with(json!({ "workspaceIds": [] }))
    }),
    ("safe.updateSecret (of elsewhere)", |w, _| {
        ask().at("id", w.common_elsewhere()).with(json!({ "labels": {} }))
    }),
    ("safe.deleteSecret", |w, _| ask().at("id", w.common())),
    ("safe.deleteSecret (of elsewhere)", |w, _| ask().at("id", w.common_elsewhere())),
    ("safe.listWorkspaces", |_, _| ask()),
    ("safe.createWorkspace", |w, _| {
        ask().with(json!({ "name": w.unique("w"), "clusterId": w.cluster() }))
    }),
    ("safe.getWorkspace", |_, _| ask().at("id", "ml")),
    ("safe.getWorkspace (one's own)", |_, who| ask().at("id", who.account)),
    ("safe.updateWorkspace", |_, _| ask().at("id", "ml").with(json!({ "description": "d" }))),
    ("safe.updateWorkspace (images)", |w, _| {
        ask().at("id", "ml").with(json!({ "imageSecretIds": [w.common()] }))
    }),
    ("safe.updateWorkspace (another's)", |w, _| {
        ask().at("id", "ml").with(json!({ "imageSecretIds": [w.common_elsewhere()] }))
    }),
    ("safe.updateWorkspace (managers)", |w, _| {
        let others = ["manager", &w.user()].map(str::to_owned);
        ask().at("id", "ml").with(json!({ "managers": others }))
    }),
    ("safe.deleteWorkspace", |w, _| ask().at("id", w.project())),
    ("safe.listClusters", |_, _| ask()),
    ("safe.createCluster", |w, _| ask().with(json!({ "name": w.unique("cluster") }))),
    ("safe.getCluster", |w, _| ask().at("id", w.cluster())),
    ("safe.updateCluster", |w, _| {
        ask().at("id", w.cluster()).with(json!({ "imageSecretId": w.common() }))
    }),
    ("safe.deleteCluster", |w, _| ask().at("id", w.cluster())),
    ("safe.listNodes", |_, _| ask()),
    ("safe.createNode", |w, _| ask().with(node(&w.unique("node"), &w.host()))),
    ("safe.getNode", |w, _| ask().at("id", w.node())),
    ("safe.deleteNode", |w, _| ask().at("id", w.node())),
    ("safe.listUsers", |_, _| ask()),
    ("safe.createUser", |w, _| {
        ask().with(json!({ "name": w.unique("nu"), "password": PASSWORD, "workspaces": ["ml"] }))
    }),
    ("safe.getUser (oneself)", |_, _| ask().at("id", "self")),
    ("safe.getUser (another)", |w, _| ask().at("id", w.user())),
    ("safe.updateUser", |w, _| {
        let roles = ["default", "system-admin-readonly"];
        ask().at("id", w.user()).with(json!({ "roles": roles, "workspaces": ["ml"] }))
    }),
    ("safe.updateUser (their password)", |w, _| {
        ask().at("id", w.user()).with(json!({ "password": PASSWORD }))
    }),
    ("safe.deleteUser", |w, _| ask().at("id", w.user())),
];

fn image(name: &str, workspaces: &[&str]) -> Value {
    let params = json!([{ "server": "registry.example", "username": "u", "password": "cA==" }]);
    json!({ "name": name, "type": "image", "params": params, "workspaceIds": workspaces })
}

fn node(name: &str, ssh: &str) -> Value {
    json!({ "privateIP": "10.0.0.1", "hostname": name, "sshSecretId": ssh })
}

const SETTINGS: &str = "/api/identity/v2/settings/project/ml";

fn of(owner_type: &str, owner: &str) -> Asked {
    ask().at("owner_type", owner_type).at("owner_id", owner)
}

fn of_ml() -> Asked {
    of("project", "ml")
}

fn setting(name: &str) -> Value {
    json!({ "name": name, "_type": "secret/Custom", "value": "v" })
}

fn entity(name: &str) -> Value {
    let path = format!("secret://{name}");
    let spec = json!({ "path": path, "provider": "kubernetes" });
    json!({ "kind": "secret", "name": name, "project": "ml", "spec": spec })
}

fn apolo(key: &str) -> Value {
    json!({ "key": key, "value": "dg==", "org_name": "default", "project_name": "ml" })
}

fn in_ml(asked: Asked) -> Asked {
    asked.query("org_name", "default&project_name=ml".into())
}

fn blueprint(operation: Value) -> Value {
    json!({ "secrets_payload": [operation] })
}

/// As above, for the routes of the platforms' surfaces.
#[test]
fn every_route_of_a_surface_answers_every_kind_of_actor_as_the_table_says() {
    let (world, actors) = world_with(&["--blueprints-project", "default/ml"]);
    let routes = world.operations.keys().map(String::as_str);
    let routes: BTreeSet<&str> = routes.filter(|id| id.contains('.')).collect();
    let rows: BTreeSet<&str> = SURFACE_ROWS.iter().map(|(name, _)| operation(name)).collect();
    assert_eq!(rows, routes, "each route of a surface has a row, and each row has one");
    is_golden("surfaces.txt", &table(&world, &actors, SURFACE_ROWS));
    // Whatever it is called, it is in the audit log under that name.
    let log = world.fresh.home.data.join("audit/audit.jsonl");
    for operation in routes {
        let action = format!("\"action\":\"{operation}\"");
        wait_until("the audit log has each operation", || {
            std::fs::read_to_string(&log).unwrap().contains(&action)
        });
    }
}

fn table(world: &World, actors: &[Who], rows: &[Row]) -> String {
    let mut table = String::from("# Who is answered what: made by tests/it/matrix.rs.\n#\n");
    for (column, about) in ACTORS {
        writeln!(table, "# {column:<5}  {about}").unwrap();
    }
    let header = ACTORS.map(|(column, _)| format!("{column:>5}")).join(" ");
    writeln!(table, "\n{:<34} {header}", "").unwrap();
    for row in rows {
        world.spoil();
        let cells = actors.iter().map(|who| format!("{:>5}", status(world, who, row)));
        writeln!(table, "{:<34} {}", row.0, cells.collect::<Vec<_>>().join(" ")).unwrap();
    }
    table
}

#[track_caller]
fn is_golden(name: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/golden").join(name);
    if std::env::var_os("TRESOR_BLESS").is_some() {
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let mut differences = String::new();
    let (mut old, mut new) = (kept.lines(), made.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => break,
            (old, new) if old == new => {}
            (old, new) => {
                let [old, new] = [old, new].map(Option::unwrap_or_default);
                writeln!(differences, "- {old}\n+ {new}").unwrap();
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{name} differs from what the daemon does. If that is meant, run the test again with \
         TRESOR_BLESS=1, look at what changed, and commit it.\n{differences}"
    );
}

/// What Primus-SaFE shows not to everyone, by paths that name no project.
const SAFE_HIDES: [&str; 2] = ["/api/v1/secrets/{id}", "/api/v1/users/{id}"];

/// Who may create learns that a name is taken, or could take it: there is no way around it. This
/// list may only shrink.
const TOLD_BY_CREATING: [&str; 3] =
    ["createSecret", "putSecret (a new one)", "putSecret (one that exists)"];

#[test]
fn what_an_actor_may_not_see_looks_like_what_is_not_there() {
    let (world, actors) = world();
    let actor = |column: &str| actors.iter().find(|who| who.column == column).unwrap();
    let (stranger, contributor) = (actor("strng"), actor("contr"));
    let mut compared = 0;
    for (name, row) in ROWS.iter().chain(SURFACE_ROWS) {
        let operation = &world.operations[operation(name)];
        if SAFE_HIDES.contains(&&*operation.template) {
            for who in [stranger, contributor] {
                world.spoil();
                let there = row(&world, who);
                // Everyone sees themselves.
                if there.names["id"] == "self" {
                    continue;
                }
                compared += 1;
                is_the_same(name, who, operation, &there, &there.clone().at("id", "nothing"));
            }
        }
        let Some(place) = ["project", "owner_id"]
            .into_iter()
            .find(|name| operation.template.contains(&format!("{{{name}}}")))
        else {
            continue;
        };
        world.spoil();
        // Everything that the stranger could name: in a project that is there and one that is not,
        // by a name that is there and one that is not.
        let there = row(&world, stranger);
        let mut others = vec![there.clone().at(place, "absent")];
        others.extend(without_names(&there));
        for absent in &others {
            compared += 1;
            is_the_same(name, stranger, operation, &there, absent);
        }
        if TOLD_BY_CREATING.contains(name) {
            continue;
        }
        let there = row(&world, contributor);
        for absent in without_names(&there) {
            compared += 1;
            is_the_same(name, contributor, operation, &there, &absent);
        }
    }
    assert!(compared > 70, "only {compared} comparisons were made");
}

/// The same, of something that is not there: each name of a secret, a version or a binding on its
/// own.
fn without_names(asked: &Asked) -> Vec<Asked> {
    let nowhere = [
        ("name", "nothing"),
        ("uid", "0190aaaabbbb7ccc8ddd000000000001"),
        ("id", "0190aaaabbbb7ccc8ddd000000000001"),
        ("subject", "user:nobody-1"),
        ("bound_project", "absent"),
    ];
    let named = nowhere.into_iter().filter(|(name, _)| asked.names.contains_key(name));
    named.map(|(name, absent)| asked.clone().at(name, absent)).collect()
}

#[track_caller]
fn is_the_same(row: &str, who: &Who, operation: &Operation, there: &Asked, absent: &Asked) {
    let [there, absent] = [there, absent].map(|asked| operation.request(asked));
    let [one, other] = [&there, &absent].map(|request| who.send(request));
    let whom = format!("{row} as {}: {} and {}", who.column, there.path, absent.path);
    assert_eq!(one.status, other.status, "{whom}");
    // Some refusals repeat the last name that was asked for.
    let [said, wanted] = [(&one, &there), (&other, &absent)].map(|(answer, request)| {
        let name = request.path.rsplit('/').next().unwrap_or_default();
        answer.text().replace(&format!("\\\"{name}\\\""), "NAME")
    });
    assert_eq!(said, wanted, "{whom}");
    assert_eq!(one.header("etag"), other.header("etag"), "{whom}");
}
