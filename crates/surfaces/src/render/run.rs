//! Runs, tasks and functions of the Digital Hub: the entity, or its `spec` alone.

use std::collections::BTreeMap;

use domain::{Invalid, OrgName, ProjectName, ProjectPath};
use serde_json::{Map, Value};

use crate::render::environment::Names;
use crate::render::members::{Members, warnings};
use crate::render::name::{image, label};
use crate::render::words::words;
use crate::render::workload::{Kind, Reference, Wants, Workload};

/// Whether it is one: it has `secrets`, itself or in its `spec`.
pub(crate) fn is_one(sent: &Map<String, Value>) -> bool {
    let spec = sent.get("spec").and_then(Value::as_object);
    [Some(sent), spec].into_iter().flatten().any(|object| object.contains_key("secrets"))
}

/// Reads a run.
pub(crate) fn read(entity: Members<'_>) -> Result<Workload, Invalid> {
    let spec = entity.object("spec")?;
    // Beside the spec: what an entity is, and how it stands.
    if spec.is_some() {
        entity.ignore(&["id", "key", "kind", "metadata", "status", "user"]);
    }
    let home = home(&entity)?;
    let name = match entity.text("name")? {
        Some(chosen) => label("run-", "name", chosen)?,
        None => "run".to_owned(),
    };
    let outer = spec.as_ref().map(|_| entity.unused()).unwrap_or_default();
    let spec = spec.unwrap_or(entity);
    let sent = spec.required("image").map_err(|wrong| {
        Invalid::new(wrong.field, "must be given: what has no image is run by the platform itself")
    })?;
    let image = image(spec.at("image"), sent)?;
    let mut names = Names::default();
    let secret_env = secret_env(&spec, &mut names)?;
    let env = env(&spec, &mut names)?;
    let command = match spec.value("command") {
        Some(Value::String(line)) => words(&spec.at("command"), line)?,
        _ => spec.texts("command")?,
    };
    let args = spec.texts("args")?;
    Ok(Workload {
        home,
        warnings: warnings([outer, spec.unused()].concat()),
        name,
        kind: Kind::Job { seconds: None },
        image,
        command,
        args,
        pull: None,
        secret_env,
        env,
        mounts: Vec::new(),
        port: None,
        shared_memory: None,
        requests: BTreeMap::new(),
        limits: BTreeMap::new(),
        probes: Vec::new(),
    })
}

fn home(entity: &Members<'_>) -> Result<Option<ProjectPath>, Invalid> {
    let Some(project) = entity.text("project")? else { return Ok(None) };
    let project = ProjectName::parse(project);
    let project = project.map_err(|wrong| Invalid::new(entity.at("project"), wrong.fix))?;
    Ok(Some(ProjectPath { org: OrgName::default_org(), project }))
}

/// A variable for each secret, of the same name.
fn secret_env(spec: &Members<'_>, names: &mut Names) -> Result<Vec<(String, Reference)>, Invalid> {
    let secrets = spec.texts("secrets")?.into_iter().enumerate().map(|(index, name)| {
        let field = format!("{}[{index}]", spec.at("secrets"));
        let variable = names.take(&field, &name)?;
        Ok((variable, Reference::to_name(field, &name, Wants::Value)?))
    });
    secrets.collect()
}

fn env(spec: &Members<'_>, names: &mut Names) -> Result<Vec<(String, String)>, Invalid> {
    let entries = spec.objects("envs")?.into_iter().map(|entry| {
        let variable = names.take(&entry.at("name"), entry.required("name")?)?;
        let value = entry.text("value")?.unwrap_or_default().to_owned();
        entry.done()?;
        Ok((variable, value))
    });
    entries.collect()
}
