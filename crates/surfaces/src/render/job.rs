//! Jobs of Apolo: the body that its client posts, or the `container` in it.

use std::collections::BTreeMap;

use domain::{Invalid, OrgName, ProjectName, ProjectPath};
use serde_json::Value;

use crate::render::environment::{Names, Paths};
use crate::render::members::{Members, warnings};
use crate::render::name::{image, label};
use crate::render::words::words;
use crate::render::workload::{Kind, Mount, Reference, SharedMemory, Wants, Workload};

/// What is the container's: beside a `container` it would not be looked at, and the job would run without it.
const CONTAINER: [&str; 8] =
    ["image", "entrypoint", "command", "env", "secret_env", "secret_volumes", "http", "resources"];
/// A year, in minutes.
const MAX_MINUTES: u32 = 366 * 24 * 60;
/// The most of anything that is counted.
const MANY: u32 = 1_000_000;

/// Reads a job.
pub(crate) fn read(body: Members<'_>) -> Result<Workload, Invalid> {
    let home = home(&body)?;
    let name = match body.text("name")? {
        Some(chosen) => label("job-", "name", chosen)?,
        None => "job".to_owned(),
    };
    let minutes = body.number("max_run_time_minutes", 1, MAX_MINUTES)?;
    let container = body.object("container")?;
    let twice =
        CONTAINER.into_iter().find(|name| container.is_some() && body.value(name).is_some());
    if let Some(name) = twice {
        return Err(Invalid::new(body.at(name), "belongs into `container`, since the job has one"));
    }
    let outer = container.as_ref().map(|_| body.unused()).unwrap_or_default();
    let container = container.unwrap_or(body);
    let image = image(container.at("image"), container.required("image")?)?;
    let mut names = Names::default();
    let secret_env = secret_env(&container, &mut names)?;
    let env = container
        .text_map("env")?
        .into_iter()
        .map(|(field, variable, value)| Ok((names.take(&field, variable)?, value.to_owned())));
    let env = env.collect::<Result<_, Invalid>>()?;
    let line = |name: &str| match container.text(name)? {
        Some(line) => words(&container.at(name), line),
        None => Ok(Vec::new()),
    };
    let (command, args) = (line("entrypoint")?, line("command")?);
    let (port, unused_http) = match container.object("http")? {
        Some(http) => (http.port("port")?, http.unused()),
        None => (None, Vec::new()),
    };
    let mut paths = Paths::default();
    let resources = resources(&container, &mut paths)?;
    let mounts = mounts(&container, &mut paths)?;
    let unused = [outer, container.unused(), unused_http, resources.unused].concat();
    Ok(Workload {
        home,
        warnings: warnings(unused),
        name,
        kind: Kind::Job { seconds: minutes.map(|minutes| u64::from(minutes) * 60) },
        image,
        command,
        args,
        pull: None,
        secret_env,
        env,
        mounts,
        port,
        shared_memory: resources.shared_memory,
        requests: resources.quantities.clone(),
        limits: resources.quantities,
        probes: Vec::new(),
    })
}

/// The project that the body names; older clients name none.
fn home(body: &Members<'_>) -> Result<Option<ProjectPath>, Invalid> {
    let org = body.text("org_name")?.map_or(Ok(OrgName::default_org()), OrgName::parse);
    let org = org.map_err(|wrong| Invalid::new("org_name", wrong.fix))?;
    let Some(project) = body.text("project_name")? else { return Ok(None) };
    let project = ProjectName::parse(project);
    let project = project.map_err(|wrong| Invalid::new("project_name", wrong.fix))?;
    Ok(Some(ProjectPath { org, project }))
}

fn secret_env(
    container: &Members<'_>,
    names: &mut Names,
) -> Result<Vec<(String, Reference)>, Invalid> {
    let entries = container.text_map("secret_env")?.into_iter().map(|(field, variable, uri)| {
        let variable = names.take(&field, variable)?;
        Ok((variable, Reference::to_uri(field, uri, Wants::Value)?))
    });
    entries.collect()
}

fn mounts(container: &Members<'_>, paths: &mut Paths) -> Result<Vec<Mount<Reference>>, Invalid> {
    let entries = container.objects("secret_volumes")?.into_iter().map(|entry| {
        let path = paths.take(&entry.at("dst_path"), entry.required("dst_path")?)?;
        let uri = entry.required("src_secret_uri")?;
        let secret = Reference::to_uri(entry.at("src_secret_uri"), uri, Wants::Value)?;
        entry.done()?;
        Ok(Mount { secret, path, is_file: true })
    });
    entries.collect()
}

#[derive(Default)]
struct Resources {
    quantities: BTreeMap<&'static str, String>,
    shared_memory: Option<SharedMemory>,
    unused: Vec<String>,
}

fn resources(container: &Members<'_>, paths: &mut Paths) -> Result<Resources, Invalid> {
    let Some(sent) = container.object("resources")? else { return Ok(Resources::default()) };
    let mut quantities = BTreeMap::new();
    if let Some(cores) = sent.value("cpu") {
        let cores = cores.as_f64().filter(|cores| (0.001..=1e6).contains(cores));
        let fix = || Invalid::new(sent.at("cpu"), "must be a number of cores, at least 0.001");
        quantities.insert("cpu", format!("{:.0}m", cores.ok_or_else(fix)? * 1000.0));
    }
    if let Some(mebibytes) = sent.number("memory_mb", 1, u32::MAX)? {
        quantities.insert("memory", format!("{mebibytes}Mi"));
    }
    if let Some(bytes) = sent.value("memory") {
        let fix = || Invalid::new(sent.at("memory"), "must be a whole number of bytes");
        let bytes = bytes.as_u64().filter(|bytes| i64::try_from(*bytes).is_ok_and(|b| b > 0));
        quantities.insert("memory", bytes.ok_or_else(fix)?.to_string());
    }
    for (member, resource) in
        [("gpu", "nvidia.com/gpu"), ("nvidia_gpu", "nvidia.com/gpu"), ("amd_gpu", "amd.com/gpu")]
    {
        if let Some(count) = sent.number(member, 0, MANY)?.filter(|count| *count > 0) {
            quantities.insert(resource, count.to_string());
        }
    }
    let shared_memory = match sent.value("shm").map(Value::as_bool) {
        None | Some(Some(false)) => None,
        Some(Some(true)) => {
            paths.take(&sent.at("shm"), SharedMemory::PATH)?;
            Some(SharedMemory { mebibytes: None })
        }
        Some(None) => return Err(Invalid::new(sent.at("shm"), "must be true or false")),
    };
    Ok(Resources { quantities, shared_memory, unused: sent.unused() })
}
