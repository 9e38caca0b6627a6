//! `tresor demo`: the main job, shown with a real daemon and, where the programs are found, a real
//! Kubernetes API server. Everything lives in one temporary directory that is gone at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use api::{
    ProjectSpec, ProjectWrite, ProjectWriteMetadata, RotateAction, RuleBody, SecretWrite,
    UniqueMap, WireText,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use domain::{DataKey, KubernetesSecret, Payload, Plaintext, SecretName};

use crate::cluster::{Assets, Cluster};
use crate::failure::{Failure, chain};
use crate::serve::start_throw_away;
use crate::settings::Settings;

const PROJECT: &str = "demo";
const SECRET: &str = "huggingface-token";
const KEY: &str = "HF_TOKEN";
const FIRST: &str = "hf_DemoTokenThatIsNotReal000000001";
const SECOND: &str = "hf_DemoTokenThatIsNotReal000000002";
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows everything, and cleans up.
pub(crate) async fn demo() -> Result<(), Failure> {
    let home = tempfile::Builder::new().prefix("tresor-demo-").tempdir();
    let home = home.map_err(|error| Failure::new(format!("no temporary directory: {error}")))?;
    say(&format!(
        "Everything below happens in {}, which is gone at the end.",
        home.path().display()
    ))?;
    let cluster = start_cluster(home.path()).await?;
    let started = Instant::now();
    let settings = Settings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        kubeconfig: cluster.as_ref().map(Cluster::kubeconfig),
        cluster_name: "demo".to_owned(),
        ..Settings::default()
    };
    let (daemon, token) = start_throw_away(home.path(), &settings).await?;
    let client = Client::new(&daemon.url(), &token).map_err(failed)?;
    step("Start", &format!("a new store, serving {} after {}", daemon.url(), since(started)))?;
    let shown = Demo { home: home.path(), client, cluster };
    let result = shown.run().await;
    drop(shown);
    daemon.stop().await?;
    result?;
    home.close().map_err(|error| Failure::new(format!("not everything was removed: {error}")))?;
    step("Clean up", "daemon, cluster and directory are gone")
}

struct Demo<'a> {
    home: &'a Path,
    client: Client,
    cluster: Option<Cluster>,
}

impl Demo<'_> {
    async fn run(&self) -> Result<(), Failure> {
        self.store().await?;
        self.search()?;
        match &self.cluster {
            Some(cluster) => self.projected(cluster).await?,
            None => without_cluster()?,
        }
        self.history().await?;
        if let Some(cluster) = &self.cluster {
            self.delete(cluster).await?;
            // The name is free for another one, while the deleted one keeps its history.
            self.put(FIRST).await?;
        }
        self.rotate().await
    }

    async fn store(&self) -> Result<(), Failure> {
        let rule = RuleBody {
            mode: "each".to_owned(),
            namespace: PROJECT.to_owned(),
            name_pattern: None,
            labels: Default::default(),
            secret_labels: false,
        };
        let project = ProjectWrite {
            metadata: ProjectWriteMetadata {
                name: Some(PROJECT.to_owned()),
                resource_version: None,
            },
            spec: ProjectSpec { projection_rules: vec![rule], keep_versions: None },
        };
        self.client.create_project(&project).await.map_err(failed)?;
        let started = Instant::now();
        let made = self.put(FIRST).await?;
        step(
            "Store",
            &format!(
                "PUT /tresor/v1/orgs/default/projects/{PROJECT}/secrets/{SECRET}\n\
                 version 1 at resourceVersion {made}, durable after {}",
                since(started)
            ),
        )
    }

    async fn put(&self, value: &str) -> Result<String, Failure> {
        let values = BTreeMap::from([(KEY.to_owned(), WireText::new(value.to_owned()))]);
        let secret = SecretWrite { string_data: Some(UniqueMap(values)), ..SecretWrite::default() };
        let made = self.client.put_secret(PROJECT, SECRET, &secret).await.map_err(failed)?;
        Ok(made.metadata.resource_version)
    }

    /// Searches every byte on the disk, with a search that is known to find things.
    fn search(&self) -> Result<(), Failure> {
        let data = self.home.join("data");
        let encoded = STANDARD.encode(FIRST);
        let names = grep(SECRET, &data)?;
        if !grep(FIRST, &data)?.is_empty() || !grep(&encoded, &data)?.is_empty() {
            return Err(Failure::new("the value was found in the data directory"));
        }
        if names.is_empty() {
            return Err(Failure::new("the search finds nothing at all, so it proves nothing"));
        }
        let data = data.display();
        step(
            "Rest",
            &format!(
                "$ grep -rlF {FIRST} {data}\n\
                 $ grep -rlF {encoded} {data}\n\
                 $ grep -rlF {SECRET} {data}\n{names}\n\
                 only the secret's name is found on the disk, neither its value nor the value's base64"
            ),
        )
    }

    async fn projected(&self, cluster: &Cluster) -> Result<(), Failure> {
        self.wait(cluster, FIRST).await?;
        let started = Instant::now();
        self.put(SECOND).await?;
        self.wait(cluster, SECOND).await?;
        let columns = "custom-columns=NAME:.metadata.name,TYPE:.type,VALUE:.data.HF_TOKEN,SOURCE:.metadata.annotations.tresor\\.dev/source";
        let get = ["get", "secret", SECRET, "-n", PROJECT, "-o", columns];
        let table = kubectl(cluster, &get)?;
        step(
            "Project",
            &format!(
                "a new value is in Kubernetes {} after the PUT began (kubectl's own time included)\n\
                 $ kubectl get secret {SECRET} -n {PROJECT}\n{table}\n\
                 $ ... | base64 -d\n{SECOND}",
                since(started)
            ),
        )?;
        let patch = r#"{"stringData":{"HF_TOKEN":"tampered"}}"#;
        let patched = kubectl(cluster, &["patch", "secret", SECRET, "-n", PROJECT, "-p", patch])?;
        let started = Instant::now();
        self.wait(cluster, SECOND).await?;
        step(
            "Tamper",
            &format!(
                "$ kubectl patch secret {SECRET} -n {PROJECT} -p '{patch}'\n{patched}\n\
                 repaired: Tresor's value is back when kubectl looks again, {} later",
                since(started)
            ),
        )
    }

    async fn history(&self) -> Result<(), Failure> {
        if self.cluster.is_none() {
            self.put(SECOND).await?;
        }
        let first = self.client.secret_data(PROJECT, SECRET, Some(1)).await.map_err(failed)?;
        let now = self.client.secret_data(PROJECT, SECRET, None).await.map_err(failed)?;
        let version = now.version;
        let (first, now) = (value(first), value(now));
        if first != FIRST || now != SECOND {
            return Err(Failure::new("the history does not hold what was stored"));
        }
        step(
            "History",
            &format!(
                "GET .../secrets/{SECRET}/data            version {version}: {now}\n\
                 GET .../secrets/{SECRET}/data?version=1  version 1: {first}"
            ),
        )
    }

    /// New keys for everything, while the daemon serves; the older ones are gone afterwards.
    async fn rotate(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let began = self.client.rotate(&RotateAction { reseal: true, new_root: None }).await;
        let mut rotation = began.map_err(failed)?;
        while rotation.state != "done" {
            pause(started).await?;
            let asked = self.client.rotation().await.map_err(failed)?;
            rotation = asked.ok_or_else(|| Failure::new("the daemon knows of no rotation"))?;
        }
        let took = since(started);
        let read = self.client.secret_data(PROJECT, SECRET, Some(1)).await.map_err(failed)?;
        if value(read) != FIRST {
            return Err(Failure::new("the history does not open under the new keys"));
        }
        let keys = self.client.keys().await.map_err(failed)?;
        let shown: Vec<_> = keys
            .keks
            .iter()
            .map(|kek| format!("KEK {}: {} data keys", kek.id, kek.records))
            .collect();
        step(
            "Rotate",
            &format!(
                "$ tresor rotate-keys --reseal\n\
                 {} records are under new keys after {took}, and the older keys are destroyed:\n\
                 {}\n\
                 GET .../secrets/{SECRET}/data?version=1  version 1: {FIRST}",
                rotation.done,
                shown.join(", ")
            ),
        )
    }

    async fn delete(&self, cluster: &Cluster) -> Result<(), Failure> {
        let started = Instant::now();
        self.client.delete_secret(PROJECT, SECRET).await.map_err(failed)?;
        let get = ["get", "secret", SECRET, "-n", PROJECT, "--ignore-not-found", "-o", "name"];
        while !kubectl(cluster, &get)?.is_empty() {
            pause(started).await?;
        }
        step(
            "Delete",
            &format!(
                "DELETE .../secrets/{SECRET}\n\
                 the Kubernetes Secret is gone {} later; the name is free for a new secret",
                since(started)
            ),
        )
    }

    /// Waits until the Kubernetes Secret holds exactly that value.
    async fn wait(&self, cluster: &Cluster, value: &str) -> Result<(), Failure> {
        let started = Instant::now();
        let expected = STANDARD.encode(value);
        let get = [
            "get",
            "secret",
            SECRET,
            "-n",
            PROJECT,
            "--ignore-not-found",
            "-o",
            "jsonpath={.data.HF_TOKEN}",
        ];
        while kubectl(cluster, &get)? != expected {
            pause(started).await?;
        }
        Ok(())
    }
}

fn value(data: api::SecretData) -> String {
    let encoded = data.data.and_then(|mut values| values.remove(KEY));
    // EXPOSE: the demonstration's own value, made up above, is shown.
    let bytes = encoded.and_then(|text| STANDARD.decode(text.expose()).ok());
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

async fn start_cluster(home: &Path) -> Result<Option<Cluster>, Failure> {
    let Some(assets) = Assets::find() else { return Ok(None) };
    let started = Instant::now();
    let dir = home.join("cluster");
    let start = move || {
        fs::create_dir(&dir)?;
        Cluster::start(&assets, &dir)
    };
    let cluster = tokio::task::spawn_blocking(start).await;
    let cluster = cluster.map_err(|_| Failure::new("the cluster could not be started"))?;
    let cluster = cluster
        .map_err(|error| Failure::new(format!("kube-apiserver or etcd did not start: {error}")))?;
    let ready = since(started);
    let created = kubectl(&cluster, &["create", "namespace", PROJECT])?;
    step(
        "Cluster",
        &format!(
            "etcd and kube-apiserver are ready after {ready}\n\
             $ kubectl create namespace {PROJECT}\n{created}"
        ),
    )?;
    Ok(Some(cluster))
}

/// The object that would be applied, with the length of each value in its place.
fn without_cluster() -> Result<(), Failure> {
    let key = DataKey::parse(KEY).map_err(|wrong| Failure::new(wrong.to_string()))?;
    let value = Plaintext::new(FIRST.as_bytes().to_vec());
    let payload = Payload::opaque(BTreeMap::from([(key, value)]));
    let name = SecretName::parse(SECRET).map_err(|wrong| Failure::new(wrong.to_string()))?;
    let payload = payload.map_err(|wrong| Failure::new(wrong.to_string()))?;
    let secret = KubernetesSecret::from_payload(payload, &name);
    let data: Vec<_> = secret
        .data
        .iter()
        .map(|(key, value)| format!("  {key}: <{} bytes>", value.len()))
        .collect();
    step(
        "Project",
        &format!(
            "no kube-apiserver and etcd found, so this is what would be applied:\n\
             apiVersion: v1\nkind: Secret\nmetadata:\n  name: {SECRET}\n  namespace: {PROJECT}\n\
             \x20 labels:\n    app.kubernetes.io/managed-by: tresor\ntype: {}\ndata:\n{}\n\
             To see it happen, get both with this one command (about ten minutes) and run the\n\
             demo again:\n\
             $ tests/setup/kubernetes.sh",
            secret.type_,
            data.join("\n")
        ),
    )
}

/// The files that hold a text.
fn grep(text: &str, dir: &Path) -> Result<String, Failure> {
    let output = Command::new("grep").args(["-rlF", text]).arg(dir).output();
    let output = output.map_err(|error| Failure::new(format!("grep cannot be run: {error}")))?;
    match output.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        _ => Err(Failure::new("grep could not read the data directory")),
    }
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> Result<String, Failure> {
    let output = cluster.kubectl(args);
    let output = output.map_err(|error| Failure::new(format!("kubectl cannot be run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        return Err(Failure::new(format!("kubectl failed: {said}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

async fn pause(since: Instant) -> Result<(), Failure> {
    if since.elapsed() > PATIENCE {
        return Err(Failure::new("the Kubernetes Secret did not follow within 30 s"));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(())
}

fn since(started: Instant) -> String {
    let elapsed = started.elapsed();
    if elapsed < Duration::from_secs(1) {
        format!("{} ms", elapsed.as_millis())
    } else {
        format!("{:.1} s", elapsed.as_secs_f64())
    }
}

/// A step's name in the margin, and what it shows beside it.
fn step(name: &str, text: &str) -> Result<(), Failure> {
    let shown: Vec<_> = text
        .lines()
        .enumerate()
        .map(|(index, line)| format!("{:<11}{line}", if index == 0 { name } else { "" }))
        .collect();
    say(&format!("\n{}", shown.join("\n")))
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| Failure::new(format!("standard output cannot be written: {error}")))
}

fn failed(error: client::ClientError) -> Failure {
    Failure::new(chain(&error))
}
