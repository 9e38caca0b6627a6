//! The real daemon in a process of its own, and connections to it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use ureq::Agent;

/// A daemon with an empty store on the disk of the target directory and one project, `bench`. It is
/// killed when dropped.
pub struct Daemon {
    child: Child,
    secrets: String,
    token: String,
    _home: TempDir,
}

impl Daemon {
    /// Starts the binary of the same build.
    ///
    /// # Panics
    /// When there is none, or it does not serve.
    pub fn start() -> Self {
        let tresor = binary();
        let home = tempfile::tempdir_in(tresor.with_file_name("")).expect("a directory is made");
        let command = |verb: &str| {
            let mut command = Command::new(&tresor);
            // Nothing from the environment changes how the daemon runs.
            command.env_clear().env("TRESOR_LOG", "warn").arg(verb);
            command.arg("--data-dir").arg(home.path().join("data"));
            command.arg("--root-key-file").arg(home.path().join("key"));
            command
        };
        let made = command("init").output().expect("init runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let token = String::from_utf8(made.stdout).expect("a token is text").trim().to_owned();
        let mut serve = command("serve");
        let mut child = serve
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("serve runs");
        let projects = format!("{}/tresor/v1/orgs/default/projects", address(&mut child));
        let daemon =
            Self { child, secrets: format!("{projects}/bench/secrets"), token, _home: home };
        let mut connection = daemon.connect();
        connection.send("POST", &projects, r#"{"metadata":{"name":"bench"}}"#);
        daemon
    }

    /// A connection that is opened when it is first used, and kept.
    pub fn connect(&self) -> Connection {
        Connection {
            agent: Agent::new_with_defaults(),
            secrets: self.secrets.clone(),
            authorization: format!("Bearer {}", self.token),
        }
    }
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
    let serving = lines.filter_map(|line| line.strip_prefix("serving ").map(str::to_owned));
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
