//! Every setting of the daemon, in one table: its flag, environment variable, key in the
//! configuration file, default and reference all come from here.
//!
//! `CONFIG.md` is the reference, made from the table and compared by a test.

mod file;
mod merge;
#[cfg(test)]
mod reference;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use domain::{Invalid, Namespace, NamespacePattern, OrgName, ProjectName, ProjectPath};
use sync::LeaseName;

use crate::logging;

pub(crate) use merge::{Loaded, Origin, Sources};

/// What a daemon goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The directory that holds keyring and store.
    pub data_dir: Option<PathBuf>,
    /// The file that holds the root key.
    pub root_key_file: Option<PathBuf>,
    /// The file that holds the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether an address other than loopback is listened on without TLS.
    pub insecure_plain_http: bool,
    /// The cluster to project into.
    pub kubeconfig: Option<PathBuf>,
    /// Whether to project into the cluster that the daemon runs in.
    pub in_cluster: bool,
    /// What that cluster is called.
    pub cluster_name: String,
    /// The log levels, where they are not those of the command.
    pub log: Option<String>,
    /// What a line of the log looks like.
    pub log_format: LogFormat,
    /// How many versions of a secret are kept.
    pub keep_versions: u32,
    /// How much of the store is kept in memory.
    pub cache_mib: u32,
    /// After how many days a deleted secret is purged; 0 is at once.
    pub purge_after_days: u32,
    /// After how many uses the encryption keys are changed without being asked.
    pub rotate_keys_after_uses: u32,
    /// After how many days; 0 is never.
    pub rotate_keys_after_days: u32,
    /// How many seconds a watch lasts at most.
    pub max_watch_seconds: u32,
    /// How many seconds pass between two bookmarks of a watch.
    pub bookmark_seconds: u32,
    /// How many connections are open at once.
    pub max_connections: u32,
    /// How many requests are served at once.
    pub max_requests: u32,
    /// The address for `/metrics` alone.
    pub metrics_listen: Option<SocketAddr>,
    /// The Kubernetes Lease that the sync worker's leader holds.
    pub lease: Option<LeaseName>,
    /// How many Kubernetes Secrets the sync worker deletes without being told so; 0 is none.
    pub max_deletions: u32,
    /// The socket on which the operator may do everything.
    pub operator_socket: PathOrNone,
    /// Where the audit log is written.
    pub audit_file: PathOrNone,
    /// Whether it goes to the standard output as well.
    pub audit_stdout: bool,
    /// How large one of its files grows.
    pub audit_max_file_mib: u32,
    /// How many of its older files are kept; 0 is all.
    pub audit_keep_files: u32,
    /// How long a record may take to be written.
    pub audit_deadline_ms: u32,
    /// The platforms whose interfaces are answered.
    pub surfaces: Surfaces,
    /// Where clients reach the daemon, when they cannot say so.
    pub public_url: Option<Url>,
    /// Who may make projects over the platforms' interfaces.
    pub create_projects: Makers,
    /// Where AI Blueprints' secrets live.
    pub blueprints_project: Home,
    /// The namespace in which they appear.
    pub blueprints_namespace: InNamespace,
    /// The project of an organization's own secrets, for Chariot's clients.
    pub chariot_organization_project: InProject,
    /// The namespace of projects that Digital Hub's clients make.
    pub digitalhub_namespace: Option<Namespaces>,
    /// The namespaces of users' own projects, for Apolo's clients.
    pub apolo_namespace: Option<Namespaces>,
    /// Where Primus-SaFE's secrets live.
    pub safe_project: Home,
    /// The namespace in which they appear.
    pub safe_namespace: InNamespace,
    /// Who makes secrets there that are for no workspace.
    pub safe_cluster_wide: ClusterWide,
}

/// The platforms whose interfaces are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surfaces(pub Vec<String>);

impl FromStr for Surfaces {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let known = |name: &str| surfaces::surfaces().iter().any(|surface| surface.name == name);
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().all(|name| known(name)) { Ok(Self(names)) } else { Err(()) }
    }
}

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub String);

impl FromStr for Url {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = |rest: &str| {
            !rest.is_empty() && !rest.contains(|c: char| c.is_control() || "?# \"".contains(c))
        };
        if rest.is_some_and(fits) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

/// Who may make projects over the platforms' interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Makers {
    /// Administrators.
    #[default]
    Administrators,
    /// All users.
    Users,
}

impl FromStr for Makers {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "administrators" => Ok(Self::Administrators),
            "users" => Ok(Self::Users),
            _ => Err(()),
        }
    }
}

/// Who makes secrets that are for no workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterWide {
    /// Administrators.
    #[default]
    Administrators,
    /// Everyone.
    Everyone,
}

impl FromStr for ClusterWide {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "administrators" => Ok(Self::Administrators),
            "everyone" => Ok(Self::Everyone),
            _ => Err(()),
        }
    }
}

/// A project, `ORG/PROJECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(pub ProjectPath);

impl Default for Home {
    fn default() -> Self {
        let org = OrgName::default_org();
        let project = ProjectName::parse("default").expect("a segment without anything in it");
        Self(ProjectPath { org, project })
    }
}

impl FromStr for Home {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (org, project) = text.split_once('/').unwrap_or(("default", text));
        let (org, project) = (OrgName::parse(org)?, ProjectName::parse(project)?);
        Ok(Self(ProjectPath { org, project }))
    }
}

/// A namespace of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InNamespace(pub Namespace);

impl Default for InNamespace {
    fn default() -> Self {
        Self(Namespace::parse("default").expect("a label of letters"))
    }
}

impl FromStr for InNamespace {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Namespace::parse(text).map(Self)
    }
}

/// A project's name, in any organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProject(pub ProjectName);

impl Default for InProject {
    fn default() -> Self {
        Self(ProjectName::parse("organization").expect("a segment of letters"))
    }
}

impl FromStr for InProject {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        ProjectName::parse(text).map(Self)
    }
}

/// The namespaces of several projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces(pub NamespacePattern);

impl FromStr for Namespaces {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        NamespacePattern::parse(text).map(Self)
    }
}

/// Where something is put that may also be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathOrNone {
    /// There; a relative path begins at the data directory.
    At(PathBuf),
    /// Nowhere.
    None,
}

impl PathOrNone {
    /// The path, for a daemon with that data directory.
    pub(crate) fn below(&self, data_dir: &std::path::Path) -> Option<PathBuf> {
        match self {
            Self::At(path) => Some(data_dir.join(path)),
            Self::None => None,
        }
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// Text for people.
    #[default]
    Text,
}

/// One row of the table.
pub(crate) struct Setting {
    /// The key in the file and, behind two hyphens, the flag.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) form: Form,
    /// As it would stand in a flag; nothing when the setting has no default.
    pub(crate) default: Option<&'static str>,
    /// Something other than the default, for messages and the reference.
    pub(crate) example: &'static str,
    /// Whether SIGHUP applies a change; else it needs a restart.
    pub(crate) live: bool,
    store: fn(&mut Settings, &str) -> bool,
}

/// What a setting takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Address,
    /// What it takes, and what stands for it in a help text; its type checks it.
    As(&'static str, &'static str),
    Flag,
    Lease,
    Levels,
    LogFormat,
    Number(u32, u32),
    Path,
    Text,
}

macro_rules! row {
    ($field:ident, $name:literal, $form:expr, $default:expr, $example:literal, $store:ident, $about:literal) => {
        Setting {
            name: $name,
            about: $about,
            form: $form,
            default: $default,
            example: $example,
            live: matches!($form, Form::Levels),
            store: |settings, text| $store(&mut settings.$field, text),
        }
    };
}

/// Every platform there is.
const ALL_SURFACES: &str = "apolo,blueprints,chariot,digitalhub,safe";

use Form::{Address, As, Flag, Lease, Levels, Number, Path, Text};

#[rustfmt::skip]
pub(crate) static TABLE: [Setting; 39] = [
    row!(data_dir, "data-dir", Path, None, "/var/lib/tresor", set_some,
        "The directory that holds keyring and store; `tresor init` makes it."),
    row!(root_key_file, "root-key-file", Path, None, "/etc/tresor/root-key", set_some,
        "The file that holds the root key: 32 bytes in base64 or hexadecimal, mode 0600."),
    row!(passphrase_file, "passphrase-file", Path, None, "/etc/tresor/passphrase", set_some,
        "The file that holds the passphrase: one line, mode 0600."),
    row!(listen, "listen", Address, Some("127.0.0.1:8220"), "127.0.0.1:8221", set,
        "The address to listen on; port 0 takes a free one."),
    row!(insecure_plain_http, "insecure-plain-http", Flag, Some("false"), "true", set,
        "Listen on an address other than loopback although values then travel in the clear."),
    row!(kubeconfig, "kubeconfig", Path, None, "/etc/tresor/kubeconfig", set_some,
        "The cluster to project into; never ~/.kube/config unless it is named here."),
    row!(in_cluster, "in-cluster", Flag, Some("false"), "true", set,
        "Project into the cluster that this daemon runs in, with its pod's service account."),
    row!(cluster_name, "cluster-name", Text, Some("default"), "west", set,
        "What that cluster is called in the status of projections."),
    row!(log, "log", Levels, None, "info,sync=debug", set_some,
        "What is logged; without it `info` and, for other commands than `serve`, `error`."),
    row!(log_format, "log-format", Form::LogFormat, Some("text"), "json", set,
        "What a line of the log looks like."),
    row!(cache_mib, "cache-mib", Number(4, 65_536), Some("16"), "256", set,
        "About how much of the store is kept in memory, in MiB: more where values are large, and as much again while files are compacted."),
    row!(keep_versions, "keep-versions", Number(1, 100), Some("10"), "20", set,
        "How many versions of a secret are kept, where neither it nor its project says."),
    row!(purge_after_days, "purge-after-days", Number(0, 36_500), Some("30"), "7", set,
        "After how many days a deleted secret is purged; 0 is at once."),
    row!(rotate_keys_after_uses, "rotate-keys-after-uses", Number(1_000, 1 << 30), Some("1073741824"), "100000000", set,
        "After how many uses of the encryption keys they are changed without being asked; the default is half of what they may take."),
    row!(rotate_keys_after_days, "rotate-keys-after-days", Number(0, 36_500), Some("0"), "90", set,
        "After how many days the encryption keys are changed without being asked; 0 is never."),
    row!(max_watch_seconds, "max-watch-seconds", Number(1, 86_400), Some("3600"), "600", set,
        "How many seconds a watch lasts at most."),
    row!(bookmark_seconds, "bookmark-seconds", Number(1, 3_600), Some("30"), "60", set,
        "How often a watch is told how far it has come, in seconds."),
    row!(max_connections, "max-connections", Number(16, 65_536), Some("2048"), "4096", set,
        "How many connections are served at once; more wait."),
    row!(max_requests, "max-requests", Number(1, 65_536), Some("256"), "512", set,
        "How many requests are served at once, watches not counted; more wait a moment."),
    row!(metrics_listen, "metrics-listen", Address, None, "127.0.0.1:9220", set_some,
        "An address for /metrics, which is then served nowhere else; it may be any, since no value is in metrics."),
    row!(lease, "lease", Lease, None, "tresor/sync", set_some,
        "The Kubernetes Lease by which several sync workers choose their leader."),
    row!(max_deletions, "max-deletions", Number(0, 100_000), Some("100"), "20", set,
        "The sync worker holds its deletions back while there are more to make, until an administrator releases its brake; 0 holds back all."),
    row!(operator_socket, "operator-socket", Path, Some("operator.sock"), "/run/tresor/operator.sock", set,
        "The unix socket on which the daemon's own user and root may do everything without a token, below the data directory unless the path is absolute; `none` for no socket."),
    row!(audit_file, "audit-file", Path, Some("audit/audit.jsonl"), "/var/log/tresor/audit.jsonl", set,
        "The file of the audit log, a relative path begins at the data directory; or `none`."),
    row!(audit_stdout, "audit-stdout", Flag, Some("false"), "true", set,
        "Write the audit log to standard output as well."),
    row!(audit_max_file_mib, "audit-max-file-mib", Number(1, 65_536), Some("64"), "256", set,
        "How many MiB a file of the audit log grows to before the next one is begun."),
    row!(audit_keep_files, "audit-keep-files", Number(0, 10_000), Some("0"), "30", set,
        "How many older files of the audit log are kept; 0 keeps all."),
    row!(audit_deadline_ms, "audit-deadline-ms", Number(50, 60_000), Some("1000"), "500", set,
        "Within how many milliseconds a record of the audit log must be written, or its request fails."),
    row!(surfaces, "surfaces", As("platforms: names with commas between them, or none", "PLATFORMS"), Some(ALL_SURFACES), "none", set,
        "The platforms whose interfaces are answered; what is left out answers 404."),
    row!(public_url, "public-url", As("a URL that begins with http:// or https://", "URL"), None, "https://tresor.example.org", set_some,
        "Where clients reach this daemon, for the addresses that it tells Apolo's clients; without it, where they believe to have reached it, over http."),
    row!(create_projects, "create-projects", As("administrators or users", "WHO"), Some("administrators"), "users", set,
        "Who may make projects over the platforms' interfaces; a user owns what they make."),
    row!(blueprints_project, "blueprints-project", As("ORG/PROJECT", "ORG/PROJECT"), Some("default/default"), "acme/blueprints", set,
        "Where AI Blueprints' secrets live; an administrator's first secret makes the project."),
    row!(blueprints_namespace, "blueprints-namespace", As("a namespace of Kubernetes", "NAMESPACE"), Some("default"), "blueprints", set,
        "The namespace in which they appear, when the project is made."),
    row!(chariot_organization_project, "chariot-organization-project", As("a project's name", "PROJECT"), Some("organization"), "shared", set,
        "The project, in each organization, of the secrets that are the organization's own to Chariot's clients; its administrator's first one makes it."),
    row!(digitalhub_namespace, "digitalhub-namespace", As("a namespace of Kubernetes, in which {org} and {project} may stand", "NAMESPACE"), None, "digitalhub", set_some,
        "The namespace of projects that are made over Digital Hub's interface: `proj-secrets-PROJECT` appears there."),
    row!(apolo_namespace, "apolo-namespace", As("a namespace of Kubernetes, in which {org} and {project} may stand", "NAMESPACE"), None, "platform--{org}--{project}", set_some,
        "The namespaces of users' own projects: `project--ORG--PROJECT--secrets` appears there."),
    row!(safe_project, "safe-project", As("ORG/PROJECT", "ORG/PROJECT"), Some("default/safe"), "acme/safe", set,
        "Where Primus-SaFE's secrets live; the first of them makes the project."),
    row!(safe_namespace, "safe-namespace", As("a namespace of Kubernetes", "NAMESPACE"), Some("primus-safe"), "safe", set,
        "The namespace in which they appear, when the project is made."),
    row!(safe_cluster_wide, "safe-cluster-wide", As("administrators or everyone", "WHO"), Some("administrators"), "everyone", set,
        "Who makes secrets there that are for no workspace."),
];

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self {
            data_dir: None,
            root_key_file: None,
            passphrase_file: None,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            insecure_plain_http: false,
            kubeconfig: None,
            in_cluster: false,
            cluster_name: String::new(),
            log: None,
            log_format: LogFormat::Text,
            cache_mib: 0,
            keep_versions: 0,
            purge_after_days: 0,
            rotate_keys_after_uses: 0,
            rotate_keys_after_days: 0,
            max_watch_seconds: 0,
            bookmark_seconds: 0,
            max_connections: 0,
            max_requests: 0,
            metrics_listen: None,
            lease: None,
            max_deletions: 0,
            operator_socket: PathOrNone::None,
            audit_file: PathOrNone::None,
            audit_stdout: false,
            audit_max_file_mib: 0,
            audit_keep_files: 0,
            audit_deadline_ms: 0,
            surfaces: Surfaces::default(),
            public_url: None,
            create_projects: Makers::default(),
            blueprints_project: Home::default(),
            blueprints_namespace: InNamespace::default(),
            chariot_organization_project: InProject::default(),
            digitalhub_namespace: None,
            apolo_namespace: None,
            safe_project: Home::default(),
            safe_namespace: InNamespace::default(),
            safe_cluster_wide: ClusterWide::default(),
        };
        for setting in &TABLE {
            let fits = setting.default.is_none_or(|text| setting.store(&mut settings, text));
            debug_assert!(fits, "{}", setting.name);
        }
        settings
    }
}

impl Setting {
    /// The row of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|setting| setting.name == name)
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("TRESOR_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Takes a text over, when it is one that the setting takes.
    fn store(&self, settings: &mut Settings, text: &str) -> bool {
        self.form.accepts(text) && (self.store)(settings, text)
    }

    /// What would be right.
    fn takes(&self) -> String {
        format!("it takes {}, such as {}", self.form.takes(), self.example)
    }
}

impl Form {
    pub(crate) fn takes(self) -> String {
        match self {
            Address => "an IP address with a port".to_owned(),
            As(takes, _) => takes.to_owned(),
            Flag => "true or false".to_owned(),
            Lease => "NAMESPACE/NAME of a Kubernetes Lease".to_owned(),
            Levels => "log levels: LEVEL or TARGET=LEVEL, with commas between them".to_owned(),
            Self::LogFormat => "text or json".to_owned(),
            Number(least, most) => format!("a number from {least} to {most}"),
            Path => "a path".to_owned(),
            Text => "a name of 1 to 253 characters".to_owned(),
        }
    }

    /// What stands for the value in a help text.
    pub(crate) const fn placeholder(self) -> &'static str {
        match self {
            Address => "ADDRESS",
            As(_, placeholder) => placeholder,
            Flag => "BOOL",
            Lease => "NAMESPACE/NAME",
            Levels => "LEVELS",
            Self::LogFormat => "FORMAT",
            Number(..) => "NUMBER",
            Path => "PATH",
            Text => "NAME",
        }
    }

    /// What the type alone does not check.
    fn accepts(self, text: &str) -> bool {
        match self {
            Number(least, most) => text.parse().is_ok_and(|n: u32| (least..=most).contains(&n)),
            Levels => logging::levels(text).is_some(),
            Path => !text.is_empty(),
            Text => (1..=253).contains(&text.len()) && !text.contains(char::is_control),
            As(..) | Address | Flag | Lease | Self::LogFormat => true,
        }
    }
}

impl FromStr for PathOrNone {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "none" { Self::None } else { Self::At(PathBuf::from(text)) })
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

fn set<T: FromStr>(field: &mut T, text: &str) -> bool {
    text.parse().map(|value| *field = value).is_ok()
}

fn set_some<T: FromStr>(field: &mut Option<T>, text: &str) -> bool {
    text.parse().map(|value| *field = Some(value)).is_ok()
}
