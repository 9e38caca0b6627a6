//! `tresor render`: asks a daemon for the manifest of a workload.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use api::{Rendered, WorkloadBody};
use clap::{Args, ValueEnum};

use crate::dial::{connect, failed};
use crate::failure::Failure;

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

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
