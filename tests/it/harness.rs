//! The daemon as its operator meets it: a directory, a command line, two streams, signals.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::Actor;

/// Nothing that is waited for takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether every crash point is wanted rather than a selection.
pub(crate) fn long() -> bool {
    std::env::var_os("TRESOR_TESTS_LONG").is_some()
}

/// Says that a test did not run, which is a failure where everything must run.
#[track_caller]
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("TRESOR_TESTS_COMPLETE").is_none(), "cannot run: {reason}");
    eprintln!("SKIPPED: {reason}");
}

/// `tresor` with nothing from the environment of whoever runs the tests.
pub(crate) fn tresor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tresor"));
    clean(command.args(arguments));
    command
}

/// Takes out of a command's environment what would change how the daemon runs.
pub(crate) fn clean(command: &mut Command) {
    let ours = |name: &str| {
        name.starts_with("TRESOR_")
            || matches!(name, "CREDENTIALS_DIRECTORY" | "KUBECONFIG" | "RUST_LOG")
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(ours) {
            command.env_remove(name);
        }
    }
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one line of an error, as the command line promises it.
    #[track_caller]
    pub(crate) fn one_error_line(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(line.starts_with("tresor: ") && !line.contains('\n'), "{self:?}");
        line
    }
}

/// Runs a command that ends by itself; one that does not is killed, and has no code.
pub(crate) fn run(command: &mut Command) -> Ended {
    let mut child = spawn(command);
    let streams = Streams::of(&mut child);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return streams.ended(status.code());
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return streams.ended(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn spawn(command: &mut Command) -> Child {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

/// A data directory and its root key.
pub(crate) struct Home {
    _dir: Option<TempDir>,
    pub(crate) data: PathBuf,
    pub(crate) key: PathBuf,
}

impl Home {
    /// A place where nothing was made yet.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, key) = (dir.path().join("data"), dir.path().join("root.key"));
        Self { _dir: Some(dir), data, key }
    }

    /// A place elsewhere, which is not removed.
    pub(crate) fn at(data: PathBuf, key: PathBuf) -> Self {
        Self { _dir: None, data, key }
    }

    /// A copy of the data directory, under the same root key.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::empty();
        copy_tree(&self.data, &copy.data);
        fs::copy(&self.key, &copy.key).unwrap();
        copy
    }

    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = tresor(&[verb, "--data-dir"]);
        command.arg(&self.data).arg("--root-key-file").arg(&self.key);
        command
    }

    pub(crate) fn serve(&self) -> Command {
        let mut command = self.command("serve");
        command.args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// Makes the store; the administrator's token.
    #[track_caller]
    pub(crate) fn init(&self) -> String {
        let ended = run(&mut self.command("init"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let token = ended.stdout.strip_suffix('\n').unwrap().to_owned();
        assert!(token.starts_with("tresor_") && !token.contains(char::is_whitespace));
        token
    }

    /// Every file's content, by its path in the data directory. `LOCK` is left out, which every
    /// start may touch.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.data, &mut files);
        files.retain(|path, _| !path.ends_with("LOCK"));
        files
    }
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if entry.file_type().unwrap().is_file() {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A running daemon. It is killed when it goes out of scope.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    streams: Streams,
}

impl Daemon {
    /// Starts a daemon and waits until it serves.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|ended| panic!("it did not start: {ended:?}"))
    }

    /// Starts a daemon; how it ended when it did not come to serve.
    pub(crate) fn try_start(command: &mut Command) -> Result<Self, Ended> {
        let mut child = spawn(command);
        let streams = Streams::of(&mut child);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = ready_address(&streams.stdout.lock().unwrap());
            if let Some(address) = ready {
                return Ok(Self { child, address, streams });
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Err(streams.ended(status.code()));
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err(streams.ended(None));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn actor(&self, token: &str) -> Actor {
        Actor::new(self.address, token)
    }

    pub(crate) fn anonymous(&self) -> Actor {
        Actor::anonymous(self.address)
    }

    /// What it has said so far, on both streams.
    pub(crate) fn said(&self) -> String {
        let (out, err) = (self.streams.stdout.lock().unwrap(), self.streams.stderr.lock().unwrap());
        format!("{out}{err}")
    }

    /// Asks it to stop, as Kubernetes and systemd do.
    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        let mut code = None;
        wait_until("the daemon ends", || match self.child.try_wait().unwrap() {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        std::mem::take(&mut self.streams).ended(code)
    }

    /// Stops it in order.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Kills it where it stands.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::take(&mut self.streams).ended(None)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready_address(stdout: &str) -> Option<SocketAddr> {
    let prefixes = ["serving http://", "export TRESOR_ADDR=http://"];
    let whole_lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let address = |line: &str| {
        let found = prefixes.iter().find_map(|prefix| line.strip_prefix(prefix));
        found.and_then(|address| address.trim().parse().ok())
    };
    whole_lines.into_iter().find_map(address)
}

/// What a process says, collected as it comes so that it never waits for a reader.
#[derive(Default)]
struct Streams {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Streams {
    fn of(child: &mut Child) -> Self {
        let mut streams = Self::default();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        streams.readers.push(follow(stdout, streams.stdout.clone()));
        streams.readers.push(follow(stderr, streams.stderr.clone()));
        streams
    }

    fn ended(self, code: Option<i32>) -> Ended {
        for reader in self.readers {
            reader.join().unwrap();
        }
        let text = |stream: &Mutex<String>| stream.lock().unwrap().clone();
        Ended { code, stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

fn follow(stream: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).unwrap() > 0 {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// A daemon on a fresh store, and its administrator.
pub(crate) struct Fresh {
    pub(crate) home: Home,
    pub(crate) daemon: Daemon,
    pub(crate) admin: Actor,
}

/// Starts a daemon on a fresh store that has the project `ml`.
#[track_caller]
pub(crate) fn fresh() -> Fresh {
    fresh_with(|_| {})
}

/// As [`fresh`], with a say in how the daemon is run.
#[track_caller]
pub(crate) fn fresh_with(adjust: impl Fn(&mut Command)) -> Fresh {
    let home = Home::empty();
    let token = home.init();
    let mut serve = home.serve();
    adjust(&mut serve);
    let daemon = Daemon::start(&mut serve);
    let admin = daemon.actor(&token);
    admin.make_project("ml");
    Fresh { home, daemon, admin }
}
