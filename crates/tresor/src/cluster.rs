//! A throw-away Kubernetes: etcd and kube-apiserver on free loopback ports, below one directory.
//!
//! `tresor demo` shows itself against it, and the tests want the real thing rather than a fake. It
//! is no cluster to run anything on: no scheduler, no nodes, no controllers, and etcd forgets what
//! it wrote when the machine stops. Only the standard library is used, so that the file can be
//! included by tests of crates that must not depend on the binary.

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where the three programs are.
#[derive(Clone, Debug)]
pub struct Assets {
    etcd: PathBuf,
    kube_apiserver: PathBuf,
    kubectl: PathBuf,
}

impl Assets {
    /// Looks where envtest looks (`KUBEBUILDER_ASSETS`, then `/usr/local/kubebuilder/bin`), then in
    /// the cache that `tests/setup/kubernetes.sh` fills.
    ///
    /// A directory that `KUBEBUILDER_ASSETS` names is the only one asked: who sets it wants that
    /// version and no other.
    pub fn find() -> Option<Self> {
        if let Some(named) = env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty()) {
            return Self::below(Path::new(&named));
        }
        Self::below(Path::new("/usr/local/kubebuilder/bin")).or_else(Self::cached)
    }

    /// The version that sorts last in the cache.
    fn cached() -> Option<Self> {
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(env::var_os("HOME")?).join(".cache"),
        };
        let mut found: Vec<PathBuf> = fs::read_dir(cache.join("tresor-tests"))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|dir| {
                dir.file_name().is_some_and(|n| n.to_string_lossy().starts_with("kubernetes-"))
            })
            .collect();
        found.sort();
        found.iter().rev().find_map(|dir| Self::below(dir))
    }

    fn below(dir: &Path) -> Option<Self> {
        let program = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
        Some(Self {
            etcd: program("etcd")?,
            kube_apiserver: program("kube-apiserver")?,
            kubectl: program("kubectl")?,
        })
    }
}

/// A running etcd and kube-apiserver; both end when it is dropped, or when this process dies.
pub struct Cluster {
    assets: Assets,
    dir: PathBuf,
    etcd_port: u16,
    api_port: u16,
    api_server: Option<Supervised>,
    // Declared last, so that it is dropped last: the API server waits for etcd when it is stopped.
    _etcd: Supervised,
}

impl Cluster {
    /// Starts both below `dir`, which must exist, and waits until the API server is ready.
    ///
    /// # Errors
    /// When a program cannot be started or does not become ready within a minute; the message ends
    /// with the last lines that it logged.
    pub fn start(assets: &Assets, dir: &Path) -> io::Result<Self> {
        let [etcd_port, peer_port, api_port] = free_ports()?;
        let etcd = start_etcd(assets, dir, etcd_port, peer_port)?;
        let mut cluster = Self {
            assets: assets.clone(),
            dir: dir.to_owned(),
            etcd_port,
            api_port,
            api_server: None,
            _etcd: etcd,
        };
        cluster.write_credentials()?;
        cluster.start_api_server()?;
        Ok(cluster)
    }

    /// Starts the API server, again if it was stopped, on the same port and with the same data.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready within a minute.
    pub fn start_api_server(&mut self) -> io::Result<()> {
        let port = |name: &str, port: u16| format!("--{name}={port}");
        let file = |name: &str, file: &str| format!("--{name}={}", self.dir.join(file).display());
        let mut command = Command::new("sh");
        supervise(&mut command, &self.assets.kube_apiserver)
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .args(["--bind-address=127.0.0.1", "--service-cluster-ip-range=10.0.0.0/24"])
            .arg(port("secure-port", self.api_port))
            .arg(file("cert-dir", "certs"))
            // The server makes this key itself before it first reads it, so nobody has to commit
            // or generate one. It signs tokens that no one on this server asks for.
            .arg(file("service-account-key-file", "certs/apiserver.key"))
            .arg(file("service-account-signing-key-file", "certs/apiserver.key"))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(file("token-auth-file", "tokens.csv"))
            .arg("--authorization-mode=RBAC")
            // Without controllers no namespace ever gets the service account that this wants.
            .arg("--disable-admission-plugins=ServiceAccount");
        self.api_server = Some(Supervised::start(command, &self.dir.join("kube-apiserver.log"))?);
        self.wait_until_ready()
    }

    /// Stops the API server at once; etcd keeps its data.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// The kubeconfig of the administrator, who is in the group `system:masters`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The kubeconfig of the user `limited`, who has no rights until a role binding gives some.
    pub fn limited_kubeconfig(&self) -> PathBuf {
        self.dir.join("limited.kubeconfig")
    }

    /// Runs `kubectl` as the administrator and waits for it.
    ///
    /// # Errors
    /// When it cannot be started; a command that fails is in the output's status.
    pub fn kubectl(&self, args: &[&str]) -> io::Result<Output> {
        self.kubectl_command(args).output()
    }

    /// `kubectl` as the administrator, to be run.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.assets.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            // Its discovery cache would otherwise go below the user's home.
            .arg("--cache-dir")
            .arg(self.dir.join("kubectl-cache"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let probe = ["get", "--raw", "/readyz", "--request-timeout=2s"];
            if self.kubectl(&probe)?.status.success() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        self.api_server = None;
        Err(not_ready("kube-apiserver", &self.dir.join("kube-apiserver.log")))
    }

    fn write_credentials(&self) -> io::Result<()> {
        let admin = token()?;
        let limited = token()?;
        let tokens = format!("{admin},admin,1,system:masters\n{limited},limited,2\n");
        write_private(&self.dir.join("tokens.csv"), &tokens)?;
        write_private(&self.kubeconfig(), &self.kubeconfig_text("admin", &admin))?;
        write_private(&self.limited_kubeconfig(), &self.kubeconfig_text("limited", &limited))
    }

    fn kubeconfig_text(&self, user: &str, token: &str) -> String {
        format!(
            "apiVersion: v1
kind: Config
current-context: throw-away
clusters:
- name: throw-away
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {authority}
users:
- name: {user}
  user:
    token: {token}
contexts:
- name: throw-away
  context:
    cluster: throw-away
    user: {user}
",
            port = self.api_port,
            authority = self.dir.join("certs/apiserver.crt").display(),
        )
    }
}

/// A program whose parent is a shell that waits for our end of a pipe to close: it dies with us
/// even when we are killed, which a `Drop` alone cannot promise.
struct Supervised {
    shell: Child,
    pipe: Option<ChildStdin>,
}

/// What the shell does; `$0` is the program.
const SUPERVISE: &str = r#""$0" "$@" & child=$!; cat >/dev/null; kill -9 "$child"; wait "$child""#;

fn supervise<'a>(shell: &'a mut Command, program: &Path) -> &'a mut Command {
    shell.args(["-c", SUPERVISE]).arg(program)
}

impl Supervised {
    fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut shell =
            command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.pipe = None;
        // The shell ends as soon as it has killed and reaped the program; a failure to wait leaves
        // nothing that could be done better here.
        let _ended = self.shell.wait();
    }
}

fn start_etcd(assets: &Assets, dir: &Path, port: u16, peer_port: u16) -> io::Result<Supervised> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let log = dir.join("etcd.log");
    let mut command = Command::new("sh");
    supervise(&mut command, &assets.etcd)
        .arg("--data-dir")
        .arg(dir.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")]);
    if knows_unsafe_no_fsync(assets)? {
        command.arg("--unsafe-no-fsync");
    }
    let etcd = Supervised::start(command, &log)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(etcd);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(not_ready("etcd", &log))
}

/// The flag came with etcd 3.5, and saves most of the start.
fn knows_unsafe_no_fsync(assets: &Assets) -> io::Result<bool> {
    let help = Command::new(&assets.etcd).arg("--help").stdin(Stdio::null()).output()?;
    let mentions = |text: &[u8]| String::from_utf8_lossy(text).contains("unsafe-no-fsync");
    Ok(mentions(&help.stdout) || mentions(&help.stderr))
}

/// Ports that were free a moment ago. Held all at once, so that they differ.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// 128 random bits in hexadecimal: other users of the machine can reach the loopback port.
fn token() -> io::Result<String> {
    use std::io::Read;
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

fn not_ready(program: &str, log: &Path) -> io::Error {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut tail: Vec<&str> = text.lines().rev().take(10).collect();
    tail.reverse();
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("{program} did not become ready; it logged last:\n{}", tail.join("\n")),
    )
}
