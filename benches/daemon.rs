//! The real daemon in a process of its own, and connections to it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ureq::Agent;

use crate::{Lines, Wire};

/// Where the secrets are that are measured.
pub const SECRETS: &str = "/tresor/v1/orgs/default/projects/bench/secrets";

/// A daemon with an empty store on the disk of the target directory and one project, `bench`. It is
/// killed when dropped.
pub struct Daemon {
    child: Child,
    address: String,
    token: String,
    home: TempDir,
    kubeconfig: Option<PathBuf>,
    cache_mib: Option<u32>,
}

/// How a daemon is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// In order.
    Clean,
    /// With no time for anything.
    Kill,
}

impl Daemon {
    /// Starts the binary of the same build.
    ///
    /// # Panics
    /// When there is none, or it does not serve.
    pub fn start() -> Self {
        Self::start_on(None, "{}")
    }

    /// Starts it beside a cluster; `spec` is its project's, with the rules by which it projects.
    ///
    /// # Panics
    /// As [`Daemon::start`].
    pub fn start_projecting(kubeconfig: &Path, spec: &str) -> Self {
        Self::start_on(Some(kubeconfig.to_owned()), spec)
    }

    fn start_on(kubeconfig: Option<PathBuf>, spec: &str) -> Self {
        let home = tempfile::tempdir_in(binary().with_file_name("")).expect("a directory is made");
        let made = command(home.path(), "init").output().expect("init runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let token = String::from_utf8(made.stdout).expect("a token is text").trim().to_owned();
        let (child, address) = serve(home.path(), kubeconfig.as_deref(), None);
        let daemon = Self { child, address, token, home, kubeconfig, cache_mib: None };
        let projects = SECRETS.strip_suffix("/bench/secrets").expect("a project's secrets");
        let project = format!(r#"{{"metadata":{{"name":"bench"}},"spec":{spec}}}"#);
        daemon.wire().call("POST", projects, &project);
        daemon
    }

    /// Gives the store so much memory from the next start on.
    pub fn set_cache_mib(&mut self, mebibytes: u32) {
        self.cache_mib = Some(mebibytes);
    }

    /// Starts the daemon on the store that it has left.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_again(&mut self) {
        let (home, kubeconfig) = (self.home.path(), self.kubeconfig.as_deref());
        (self.child, self.address) = serve(home, kubeconfig, self.cache_mib);
    }

    /// Stops the daemon, and waits for its end.
    ///
    /// # Panics
    /// When it has ended already, or not as it should.
    pub fn stop(&mut self, how: Stop) {
        let signal = match how {
            Stop::Clean => Signal::TERM,
            Stop::Kill => Signal::KILL,
        };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has a number"), signal).expect("it runs");
        let ended = self.child.wait().expect("it is a child");
        assert_eq!(ended.success(), matches!(how, Stop::Clean), "{ended}");
    }

    /// A connection that is opened when it is first used, and kept.
    pub fn connect(&self) -> Connection {
        Connection {
            agent: Agent::new_with_defaults(),
            secrets: format!("http://{}{SECRETS}", self.address),
            authorization: format!("Bearer {}", self.token),
        }
    }

    /// A connection that costs next to nothing.
    ///
    /// # Panics
    /// When the daemon does not listen.
    pub fn wire(&self) -> Wire {
        Wire::open(&self.address, &self.token)
    }

    /// The lines of a watch from a resource version.
    ///
    /// # Panics
    /// When it is refused.
    pub fn watch(&self, from: &str) -> Lines {
        let path = format!("{SECRETS}?watch=true&resourceVersion={from}");
        Lines::open(&self.address, &self.token, &path)
    }

    /// How much memory the daemon has, in KiB.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("proc(5) says so")
    }

    /// How much of the disk the store takes, and how much the audit log.
    pub fn disk_bytes(&self) -> (u64, u64) {
        let (data, audit) = (self.home.path().join("data"), self.home.path().join("data/audit"));
        let (all, audit) = (allotted(&data), allotted(&audit));
        (all - audit, audit)
    }
}

/// The bytes that the disk has allotted to a directory. What is removed meanwhile counts no more.
fn allotted(path: &Path) -> u64 {
    let own = fs::symlink_metadata(path).map_or(0, |metadata| metadata.blocks() * 512);
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    own + inside.map(|entry| allotted(&entry.path())).sum::<u64>()
}

fn command(home: &Path, verb: &str) -> Command {
    let mut command = Command::new(binary());
    // Nothing from the environment changes how the daemon runs.
    command.env_clear().env("TRESOR_LOG", "warn").arg(verb);
    command.arg("--data-dir").arg(home.join("data"));
    command.arg("--root-key-file").arg(home.join("key"));
    command
}

fn serve(home: &Path, kubeconfig: Option<&Path>, cache_mib: Option<u32>) -> (Child, String) {
    let mut serve = command(home, "serve");
    serve.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    if let Some(kubeconfig) = kubeconfig {
        serve.arg("--kubeconfig").arg(kubeconfig);
    }
    if let Some(mebibytes) = cache_mib {
        serve.arg("--cache-mib").arg(mebibytes.to_string());
    }
    let mut child = serve.spawn().expect("serve runs");
    let address = address(&mut child);
    (child, address)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do then.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// `tresor` in the directory above this binary's own.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a process has a binary");
    let tresor = own.ancestors().nth(2).expect("it lies in deps/").join("tresor");
    assert!(tresor.exists(), "{} is not there: cargo build -p tresor", tresor.display());
    tresor
}

/// The address that the daemon prints when it is ready.
fn address(child: &mut Child) -> String {
    let stdout = child.stdout.take().expect("it is piped");
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let serving = lines.filter_map(|line| line.strip_prefix("serving http://").map(str::to_owned));
    serving.into_iter().next().expect("the daemon does not serve")
}

/// One client of the daemon.
pub struct Connection {
    agent: Agent,
    secrets: String,
    authorization: String,
}

impl Connection {
    /// Writes a secret's next version with a value of 1 KiB.
    ///
    /// # Panics
    /// When it is refused.
    pub fn put(&mut self, name: &str) -> String {
        let body = format!(r#"{{"stringData":{{"v":"{}"}}}}"#, "x".repeat(1024));
        self.send("PUT", &format!("{}/{name}", self.secrets), &body)
    }

    /// Reads a secret's value.
    ///
    /// # Panics
    /// When it is refused.
    pub fn value(&mut self, name: &str) -> String {
        self.get(&format!("{}/{name}/data", self.secrets))
    }

    /// Lists the secrets, at most one.
    ///
    /// # Panics
    /// When it is refused.
    pub fn list(&mut self) -> String {
        self.get(&format!("{}?limit=1", self.secrets))
    }

    /// The lines of a watch from a resource version, until it breaks off.
    ///
    /// # Panics
    /// When it is refused.
    pub fn watch(&mut self, from: &str) -> impl Iterator<Item = String> + Send + use<> {
        let url = format!("{}?watch=true&resourceVersion={from}", self.secrets);
        BufReader::new(self.open(&url)).lines().map_while(Result::ok)
    }

    fn get(&mut self, url: &str) -> String {
        let mut text = String::new();
        self.open(url).read_to_string(&mut text).expect("an answer has a body");
        text
    }

    fn open(&mut self, url: &str) -> impl Read + Send + use<> {
        let request = self.agent.get(url).header("Authorization", &self.authorization);
        request.call().expect("the daemon answers").into_body().into_reader()
    }

    fn send(&mut self, method: &str, url: &str, body: &str) -> String {
        let request = match method {
            "POST" => self.agent.post(url),
            _ => self.agent.put(url),
        };
        let request = request.header("Authorization", &self.authorization);
        let mut answer = request
            .header("Content-Type", "application/json")
            .send(body)
            .expect("the daemon answers");
        answer.body_mut().read_to_string().expect("an answer has a body")
    }
}
