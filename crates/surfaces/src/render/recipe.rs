//! Recipes of AI Blueprints, by their published schema.

use std::collections::BTreeMap;

use domain::{DataKey, Invalid};
use serde_json::Value;

use crate::render::environment::{Names, Paths};
use crate::render::members::{Members, warnings};
use crate::render::name::{image, label};
use crate::render::workload::{Kind, Mount, Probe, Reference, SharedMemory, Wants, Workload};

/// The port of a service that names none.
const HTTP: u16 = 80;
/// The most of anything that is counted.
const MANY: u32 = 1_000_000;
/// Probes: the recipe's member, the pod's field, and whether one success has to be enough.
const PROBES: [(&str, &str, bool); 3] = [
    ("recipe_liveness_probe_params", "livenessProbe", true),
    ("recipe_readiness_probe_params", "readinessProbe", false),
    ("recipe_startup_probe_params", "startupProbe", true),
];
/// The numbers of a probe: the recipe's member, the probe's field, and the least that it may be.
const PROBE_NUMBERS: [(&str, &str, u32); 5] = [
    ("failure_threshold", "failureThreshold", 1),
    ("initial_delay_seconds", "initialDelaySeconds", 0),
    ("period_seconds", "periodSeconds", 1),
    ("success_threshold", "successThreshold", 1),
    ("timeout_seconds", "timeoutSeconds", 1),
];

/// Reads a recipe.
pub(crate) fn read(recipe: Members<'_>) -> Result<Workload, Invalid> {
    let kind = kind(&recipe)?;
    let chosen = recipe.required("deployment_name")?;
    let name = label("recipe-", &recipe.at("deployment_name"), chosen)?;
    let image = image(recipe.at("recipe_image_uri"), recipe.required("recipe_image_uri")?)?;
    let mut names = Names::default();
    let secret_env = secret_env(&recipe, &mut names)?;
    let env = env(&recipe, &mut names)?;
    let port = recipe.text_port("recipe_container_port")?;
    let mut paths = Paths::default();
    let shared_memory = shared_memory(&recipe, &mut paths)?;
    let (requests, limits) = resources(&recipe)?;
    Ok(Workload {
        home: None,
        name,
        kind,
        image,
        command: recipe.texts("recipe_container_command")?,
        args: recipe.texts("recipe_container_command_args")?,
        pull: pull(&recipe)?,
        secret_env,
        env,
        mounts: mounts(&recipe, &mut paths)?,
        port,
        shared_memory,
        requests,
        limits,
        probes: probes(&recipe, port)?,
        // At the end, when all that is understood was asked for.
        warnings: warnings(recipe.unused()),
    })
}

fn kind(recipe: &Members<'_>) -> Result<Kind, Invalid> {
    match recipe.text("recipe_mode")? {
        Some("job") => Ok(Kind::Job { seconds: None }),
        Some("service") => {
            let replicas = recipe.number("recipe_replica_count", 0, MANY)?.unwrap_or(1);
            let port = recipe.text_port("recipe_host_port")?.unwrap_or(HTTP);
            if recipe.value("recipe_container_port").is_none() {
                let fix = "must be given for a service, as a string such as \"8000\"";
                return Err(Invalid::new(recipe.at("recipe_container_port"), fix));
            }
            Ok(Kind::Service { replicas, port })
        }
        _ => {
            let fix =
                "must be service or job: a recipe of another mode runs no container of its own";
            Err(Invalid::new(recipe.at("recipe_mode"), fix))
        }
    }
}

fn pull(recipe: &Members<'_>) -> Result<Option<Reference>, Invalid> {
    let name = "recipe_container_secret_name";
    // The published schema takes an empty name, as one that is left out.
    let Some(secret) = recipe.text(name)?.filter(|secret| !secret.is_empty()) else {
        return Ok(None);
    };
    Reference::to_name(recipe.at(name), secret, Wants::Logins).map(Some)
}

fn secret_env(
    recipe: &Members<'_>,
    names: &mut Names,
) -> Result<Vec<(String, Reference)>, Invalid> {
    let entries = recipe.objects("recipe_environment_secrets")?.into_iter().map(|entry| {
        let variable = names.take(&entry.at("envvar_name"), entry.required("envvar_name")?)?;
        let field = entry.at("secret_key");
        let key = DataKey::parse(entry.required("secret_key")?);
        let key = key.map_err(|wrong| Invalid::new(&field, wrong.fix))?;
        let wants = Wants::Entry { field, key };
        let secret = entry.required("secret_name")?;
        let reference = Reference::to_name(entry.at("secret_name"), secret, wants)?;
        entry.done()?;
        Ok((variable, reference))
    });
    entries.collect()
}

fn env(recipe: &Members<'_>, names: &mut Names) -> Result<Vec<(String, String)>, Invalid> {
    let entries = recipe.objects("recipe_container_env")?.into_iter().map(|entry| {
        let variable = names.take(&entry.at("key"), entry.required("key")?)?;
        let value = match entry.value("value") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            _ => {
                let fix = "must be a string or a whole number; a secret belongs into recipe_environment_secrets";
                return Err(Invalid::new(entry.at("value"), fix));
            }
        };
        entry.done()?;
        Ok((variable, value))
    });
    entries.collect()
}

fn shared_memory(recipe: &Members<'_>, paths: &mut Paths) -> Result<Option<SharedMemory>, Invalid> {
    let member = "recipe_shared_memory_volume_size_limit_in_mb";
    let Some(size) = recipe.number(member, 0, MANY)?.filter(|size| *size > 0) else {
        return Ok(None);
    };
    paths.take(&recipe.at(member), SharedMemory::PATH)?;
    Ok(Some(SharedMemory { mebibytes: Some(size) }))
}

fn mounts(recipe: &Members<'_>, paths: &mut Paths) -> Result<Vec<Mount<Reference>>, Invalid> {
    let entries = recipe.objects("recipe_secret_mounts")?.into_iter().map(|entry| {
        let path = paths.take(&entry.at("mount_location"), entry.required("mount_location")?)?;
        let secret = Reference::to_name(entry.at("name"), entry.required("name")?, Wants::All)?;
        entry.done()?;
        Ok(Mount { secret, path, is_file: false })
    });
    entries.collect()
}

type Quantities = BTreeMap<&'static str, String>;

/// What a node must have, and what the container gets at most. Storage is the node's own, and no
/// bound for the container.
fn resources(recipe: &Members<'_>) -> Result<(Quantities, Quantities), Invalid> {
    let mut limits = Quantities::new();
    for (member, resource, unit) in [
        ("recipe_nvidia_gpu_count", "nvidia.com/gpu", ""),
        ("recipe_amd_gpu_count", "amd.com/gpu", ""),
        ("recipe_container_cpu_count", "cpu", ""),
        ("recipe_container_memory_size", "memory", "G"),
    ] {
        if let Some(count) = recipe.number(member, 0, MANY)?.filter(|count| *count > 0) {
            limits.insert(resource, format!("{count}{unit}"));
        }
    }
    let mut requests = limits.clone();
    if let Some(gigabytes) = recipe.number("recipe_ephemeral_storage_size", 0, MANY)? {
        requests.insert("ephemeral-storage", format!("{gigabytes}G"));
    }
    Ok((requests, limits))
}

fn probes(recipe: &Members<'_>, port: Option<u16>) -> Result<Vec<(&'static str, Probe)>, Invalid> {
    let mut probes = Vec::new();
    for (member, field, succeeds_once) in PROBES {
        if let Some(params) = recipe.object(member)? {
            probes.push((field, probe(&params, port, succeeds_once)?));
        }
    }
    Ok(probes)
}

fn probe(params: &Members<'_>, port: Option<u16>, succeeds_once: bool) -> Result<Probe, Invalid> {
    let port = params.port("port")?.or(port);
    let fix = "must be given where recipe_container_port is not";
    let port = port.ok_or_else(|| Invalid::new(params.at("port"), fix))?;
    let path = params.text("endpoint_path")?.unwrap_or("/");
    if !path.starts_with('/') {
        return Err(Invalid::new(params.at("endpoint_path"), "must start with /"));
    }
    let scheme = match params.text("scheme")?.map(str::to_ascii_uppercase).as_deref() {
        None => None,
        Some("HTTP") => Some("HTTP"),
        Some("HTTPS") => Some("HTTPS"),
        Some(_) => return Err(Invalid::new(params.at("scheme"), "must be HTTP or HTTPS")),
    };
    let mut numbers = Vec::new();
    for (member, field, least) in PROBE_NUMBERS {
        let most = if succeeds_once && member == "success_threshold" { 1 } else { MANY };
        numbers.extend(params.number(member, least, most)?.map(|number| (field, number)));
    }
    params.done()?;
    Ok(Probe { path: path.to_owned(), port, scheme, numbers })
}
