//! A workload, as far as a manifest is made of it.

use std::collections::BTreeMap;

use domain::{DataKey, Invalid, ProjectPath, SecretName, SecretUri};
use serde_json::{Map, Value};

use crate::render::members::Members;
use crate::render::{job, recipe, run};

/// The most references to secrets in one workload: each is looked up.
pub(crate) const MAX_REFERENCES: usize = 256;

/// A workload that was read and checked. `R` is what stands where it refers to a secret: first a
/// [`Reference`], then the [`Place`] that it leads to.
#[derive(Clone, Debug)]
pub struct Workload<R = Reference> {
    /// The project that it says itself that it belongs to.
    pub home: Option<ProjectPath>,
    /// What it says that the manifest leaves out.
    pub warnings: Vec<String>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) pull: Option<R>,
    /// Comes before `env`, whose values may refer to it as `$(NAME)`.
    pub(crate) secret_env: Vec<(String, R)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount<R>>,
    pub(crate) port: Option<u16>,
    pub(crate) shared_memory: Option<SharedMemory>,
    pub(crate) requests: BTreeMap<&'static str, String>,
    pub(crate) limits: BTreeMap<&'static str, String>,
    /// By the name of the pod's field.
    pub(crate) probes: Vec<(&'static str, Probe)>,
}

/// What a workload becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Job, and how long it may run.
    Job { seconds: Option<u64> },
    /// A Deployment, with a Service before it.
    Service { replicas: u32, port: u16 },
}

/// A secret as files.
#[derive(Clone, Debug)]
pub(crate) struct Mount<R> {
    pub(crate) secret: R,
    pub(crate) path: String,
    /// Whether the path is that of one file, and not of a directory.
    pub(crate) is_file: bool,
}

/// Memory that the container's processes share, at `/dev/shm`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedMemory {
    pub(crate) mebibytes: Option<u32>,
}

impl SharedMemory {
    /// Where it is.
    pub(crate) const PATH: &str = "/dev/shm";
}

/// How the kubelet asks whether a container is well.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) path: String,
    pub(crate) port: u16,
    pub(crate) scheme: Option<&'static str>,
    /// By the name of the probe's field.
    pub(crate) numbers: Vec<(&'static str, u32)>,
}

/// A secret that a workload names.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Where: a JSON path.
    pub field: String,
    /// By which name.
    pub secret: Named,
    /// What of it.
    pub wants: Wants,
}

/// How a secret is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// By its name in the project.
    Name(SecretName),
    /// By its URI, which was checked.
    Uri(String),
}

/// What a workload wants of a secret.
#[derive(Clone, Debug)]
pub enum Wants {
    /// All of it, as files.
    All,
    /// Logins to registries.
    Logins,
    /// One value, by its key.
    Entry {
        /// Where the key is named.
        field: String,
        /// The key.
        key: DataKey,
    },
    /// The one value that it has.
    Value,
}

/// Where a secret is found in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the Kubernetes Secret.
    pub secret: String,
    /// The key in it, where not all of it is meant.
    pub key: Option<String>,
}

impl Workload {
    /// Reads a workload: a recipe of AI Blueprints, a run of the Digital Hub, or a job of Apolo. Its
    /// members tell which.
    ///
    /// # Errors
    /// Names the member at fault and repeats no text that was sent.
    pub fn read(sent: &Map<String, Value>) -> Result<Self, Invalid> {
        let members = Members::new(sent);
        let has = |name: &str| sent.contains_key(name);
        if has("deployment_group") || has("pre_filled_samples") {
            let group =
                if has("deployment_group") { "deployment_group" } else { "pre_filled_samples" };
            let fix = "must be left out: send each of its recipes by itself, with the values of other deployments filled in";
            return Err(Invalid::new(group, fix));
        }
        let workload = if has("recipe_mode") {
            recipe::read(members)
        } else if run::is_one(sent) {
            run::read(members)
        } else if has("image") || has("container") {
            job::read(members)
        } else {
            let fix = "must be a recipe (recipe_mode), a run (secrets and an image) or a job (image or container)";
            Err(Invalid::new("body", fix))
        }?;
        workload.check()?;
        Ok(workload)
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.references().count() > MAX_REFERENCES {
            let fix = format!("must refer to secrets at most {MAX_REFERENCES} times");
            return Err(Invalid::new("body", fix));
        }
        Ok(())
    }
}

impl<R> Workload<R> {
    /// Every reference to a secret.
    pub fn references(&self) -> impl Iterator<Item = &R> {
        let env = self.secret_env.iter().map(|(_, reference)| reference);
        let mounts = self.mounts.iter().map(|mount| &mount.secret);
        self.pull.iter().chain(env).chain(mounts)
    }

    /// The same workload with something else in the place of each reference.
    ///
    /// # Errors
    /// The first that `replace` meets.
    pub fn try_map<S, E>(
        self,
        mut replace: impl FnMut(R) -> Result<S, E>,
    ) -> Result<Workload<S>, E> {
        let pull = self.pull.map(&mut replace).transpose()?;
        let env = self.secret_env.into_iter().map(|(name, r)| Ok((name, replace(r)?)));
        let secret_env = env.collect::<Result<_, E>>()?;
        let mounts = self.mounts.into_iter().map(|mount| {
            let Mount { secret, path, is_file } = mount;
            Ok(Mount { secret: replace(secret)?, path, is_file })
        });
        let mounts = mounts.collect::<Result<_, E>>()?;
        Ok(Workload {
            home: self.home,
            warnings: self.warnings,
            name: self.name,
            kind: self.kind,
            image: self.image,
            command: self.command,
            args: self.args,
            pull,
            secret_env,
            env: self.env,
            mounts,
            port: self.port,
            shared_memory: self.shared_memory,
            requests: self.requests,
            limits: self.limits,
            probes: self.probes,
        })
    }
}

impl Reference {
    /// A reference by a name in the project.
    pub(crate) fn to_name(field: String, name: &str, wants: Wants) -> Result<Self, Invalid> {
        let name = SecretName::parse(name).map_err(|wrong| Invalid::new(&field, wrong.fix))?;
        Ok(Self { field, secret: Named::Name(name), wants })
    }

    /// A reference by a URI.
    pub(crate) fn to_uri(field: String, uri: &str, wants: Wants) -> Result<Self, Invalid> {
        let uri = SecretUri::parse(uri).map_err(|wrong| Invalid::new(&field, wrong.fix))?;
        Ok(Self { field, secret: Named::Uri(uri.to_string()), wants })
    }
}
