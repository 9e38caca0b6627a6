//! `tresor render`: asks a daemon for the manifest of a workload.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use api::{Rendered, WorkloadBody};
use clap::{Args, ValueEnum};
use client::{Client, ClientError};
use zeroize::Zeroizing;

use crate::failure::{Failure, chain};

/// Where a daemon is looked for when `TRESOR_ADDR` does not say.
const ADDRESS: &str = "http://127.0.0.1:8220";

/// A workload whose manifest is wanted.
#[derive(Args)]
pub(crate) struct RenderArgs {
    /// A recipe, a run or a job, as JSON; `-` reads standard input.
    file: PathBuf,
    /// The project that its secrets are used in; when left out, the one that it names itself, else
    /// `default`.
    #[arg(long, value_name = "[ORG/]PROJECT")]
    project: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// A `List`.
    Json,
    /// A document for each object.
    Yaml,
}

impl RenderArgs {
    /// Prints the manifest, and on `complaints` what it leaves out.
    pub(crate) async fn run(
        &self,
        out: &mut dyn Write,
        complaints: &mut dyn Write,
    ) -> Result<(), Failure> {
        let client = connect()?;
        let workload = self.workload()?;
        let rendered = client.render(self.project.as_deref(), &workload).await.map_err(failed)?;
        let written = self.write(&rendered, out, complaints);
        written.map_err(|error| Failure::new(format!("the manifest cannot be written: {error}")))
    }

    fn workload(&self) -> Result<WorkloadBody, Failure> {
        let name = self.file.display();
        let bytes = read(&self.file)
            .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
        api::parse(&bytes).map_err(|wrong| Failure::new(format!("{name}: {}", wrong.detail)))
    }

    fn write(
        &self,
        rendered: &Rendered,
        out: &mut dyn Write,
        complaints: &mut dyn Write,
    ) -> std::io::Result<()> {
        for warning in &rendered.warnings {
            writeln!(complaints, "tresor: {warning}")?;
        }
        match self.output {
            Output::Json => writeln!(out, "{:#}", rendered.manifest)?,
            Output::Yaml => out.write_all(surfaces::render::yaml(&rendered.manifest).as_bytes())?,
        }
        out.flush()
    }
}

/// The daemon that `TRESOR_ADDR` and `TRESOR_TOKEN` name.
fn connect() -> Result<Client, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let address = variable("TRESOR_ADDR").unwrap_or_else(|| ADDRESS.to_owned());
    let token = variable("TRESOR_TOKEN").map(Zeroizing::new);
    let token = token.ok_or_else(|| Failure::usage("TRESOR_TOKEN must hold a token"))?;
    Client::new(&address, &token).map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn failed(error: ClientError) -> Failure {
    match error {
        ClientError::Setting(_) => {
            Failure::usage(format!("{error}; see TRESOR_ADDR and TRESOR_TOKEN"))
        }
        _ => Failure::new(chain(&error)),
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
