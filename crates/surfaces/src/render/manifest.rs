//! A workload as Kubernetes takes it.

use domain::Namespace;
use serde_json::{Map, Value, json};

use crate::render::workload::{Kind, Mount, Place, Probe, SharedMemory, Workload};

/// The label by which a Deployment and a Service find the pods.
const LABEL: &str = "app.kubernetes.io/name";
/// The volume of shared memory.
const SHARED_MEMORY: &str = "shared-memory";

impl Workload<Place> {
    /// A `List` of what `kubectl apply` is to make. Text such as `$(HF_TOKEN)` stays as it is: the
    /// kubelet puts the value in its place, where the container runs.
    pub fn manifest(&self, namespace: Option<&Namespace>) -> Value {
        let metadata = self.metadata(namespace);
        let pod = self.pod();
        let items = match self.kind {
            Kind::Job { seconds } => {
                let mut spec = json!({ "template": pod });
                put(&mut spec, "activeDeadlineSeconds", seconds.map(Value::from));
                vec![object("batch/v1", "Job", &metadata, &spec)]
            }
            Kind::Service { replicas, port } => {
                let selector = json!({ LABEL: self.name });
                let deployment = json!({
                    "replicas": replicas,
                    "selector": { "matchLabels": selector },
                    "template": pod,
                });
                let ports = json!([{ "name": "http", "port": port, "targetPort": self.port }]);
                let service = json!({ "selector": selector, "ports": ports });
                vec![
                    object("apps/v1", "Deployment", &metadata, &deployment),
                    object("v1", "Service", &metadata, &service),
                ]
            }
        };
        json!({ "apiVersion": "v1", "kind": "List", "items": items })
    }

    fn metadata(&self, namespace: Option<&Namespace>) -> Value {
        let mut metadata = json!({ "name": self.name, "labels": { LABEL: self.name } });
        put(&mut metadata, "namespace", namespace.map(|namespace| namespace.as_str().into()));
        metadata
    }

    fn pod(&self) -> Value {
        let mut spec = json!({ "containers": [self.container()] });
        let login = self.pull.as_ref().map(|place| json!([{ "name": place.secret }]));
        put(&mut spec, "imagePullSecrets", login);
        put(&mut spec, "volumes", list(self.volumes()));
        // A Deployment restarts its containers; a Job's pod must say that it does not.
        let never = matches!(self.kind, Kind::Job { .. }).then(|| "Never".into());
        put(&mut spec, "restartPolicy", never);
        json!({ "metadata": { "labels": { LABEL: self.name } }, "spec": spec })
    }

    fn container(&self) -> Value {
        let mut container = json!({ "name": "main", "image": self.image });
        let texts = |texts: &[String]| list(texts.iter().map(|text| json!(text)).collect());
        put(&mut container, "command", texts(&self.command));
        put(&mut container, "args", texts(&self.args));
        put(&mut container, "env", list(self.env()));
        put(&mut container, "ports", self.port.map(|port| json!([{ "containerPort": port }])));
        let mut resources = json!({});
        for (name, quantities) in [("requests", &self.requests), ("limits", &self.limits)] {
            put(&mut resources, name, (!quantities.is_empty()).then(|| json!(quantities)));
        }
        put(&mut container, "resources", Some(resources).filter(|some| *some != json!({})));
        put(&mut container, "volumeMounts", list(self.volume_mounts()));
        for (field, params) in &self.probes {
            put(&mut container, field, Some(probe(params)));
        }
        container
    }

    /// Secrets first, since the value of a variable sees only those before it.
    fn env(&self) -> Vec<Value> {
        let secrets = self.secret_env.iter().map(|(name, place)| {
            let from = json!({ "name": place.secret, "key": place.key });
            json!({ "name": name, "valueFrom": { "secretKeyRef": from } })
        });
        let plain = self.env.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        secrets.chain(plain).collect()
    }

    fn volumes(&self) -> Vec<Value> {
        let secrets = self.mounts.iter().enumerate().map(|(index, mount)| {
            let mut secret = json!({ "secretName": mount.secret.secret });
            let one = |key: &String| json!([{ "key": key, "path": key }]);
            put(&mut secret, "items", mount.secret.key.as_ref().map(one));
            json!({ "name": volume(index), "secret": secret })
        });
        let memory = self.shared_memory.map(|SharedMemory { mebibytes }| {
            let mut directory = json!({ "medium": "Memory" });
            put(&mut directory, "sizeLimit", mebibytes.map(|size| format!("{size}Mi").into()));
            json!({ "name": SHARED_MEMORY, "emptyDir": directory })
        });
        secrets.chain(memory).collect()
    }

    fn volume_mounts(&self) -> Vec<Value> {
        let secrets = self.mounts.iter().enumerate().map(|(index, mount)| {
            let Mount { secret, path, is_file } = mount;
            let mut mount = json!({ "name": volume(index), "mountPath": path, "readOnly": true });
            let file = secret.key.as_ref().filter(|_| *is_file);
            put(&mut mount, "subPath", file.map(|key| json!(key)));
            mount
        });
        let memory = json!({ "name": SHARED_MEMORY, "mountPath": SharedMemory::PATH });
        secrets.chain(self.shared_memory.map(|_| memory)).collect()
    }
}

fn probe(probe: &Probe) -> Value {
    let mut get = json!({ "path": probe.path, "port": probe.port });
    put(&mut get, "scheme", probe.scheme.map(Value::from));
    let mut made = json!({ "httpGet": get });
    for (field, number) in &probe.numbers {
        put(&mut made, field, Some((*number).into()));
    }
    made
}

fn volume(index: usize) -> String {
    format!("secret-{index}")
}

fn object(version: &str, kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })
}

/// A list, if there is anything in it.
fn list(items: Vec<Value>) -> Option<Value> {
    (!items.is_empty()).then_some(Value::Array(items))
}

/// Sets a member of an object, if there is something to set.
fn put(object: &mut Value, name: &str, value: Option<Value>) {
    let members: Option<&mut Map<String, Value>> = object.as_object_mut();
    if let (Some(members), Some(value)) = (members, value) {
        members.insert(name.to_owned(), value);
    }
}
