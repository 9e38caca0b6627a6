//! The root key: from a file that nobody else may read, or from the environment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crypto::RootKey;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The environment variable that may hold the root key.
pub(crate) const ROOT_KEY_VARIABLE: &str = "TRESOR_ROOT_KEY";

/// Reads the root key from the file, if one is configured, and else from the environment.
pub(crate) fn load(file: Option<&Path>) -> Result<RootKey, Failure> {
    match file {
        Some(path) => from_file(path),
        None => from_environment(),
    }
}

/// As [`load`], and makes the key file when it does not exist.
pub(crate) fn load_or_make(file: Option<&Path>) -> Result<RootKey, Failure> {
    match file {
        Some(path) if !path.exists() => make_file(path),
        _ => load(file),
    }
}

fn from_file(path: &Path) -> Result<RootKey, Failure> {
    let shown = path.display();
    let unreadable =
        |error| Failure::new(format!("the root key file {shown} cannot be read: {error}"));
    let mode = fs::metadata(path).map_err(unreadable)?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(format!(
            "the root key file {shown} can be read by others (mode {:04o}); run: chmod 600 {shown}",
            mode & 0o7777
        )));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    RootKey::from_text(&text)
        .map_err(|error| Failure::new(format!("the root key file {shown} is not usable: {error}")))
}

fn from_environment() -> Result<RootKey, Failure> {
    let text = std::env::var(ROOT_KEY_VARIABLE).map(Zeroizing::new).map_err(|_| {
        Failure::new(format!(
            "there is no root key: name its file with --root-key-file, or put it into {ROOT_KEY_VARIABLE}"
        ))
    })?;
    RootKey::from_text(&text)
        .map_err(|error| Failure::new(format!("{ROOT_KEY_VARIABLE} is not usable: {error}")))
}

/// Makes a key file: whole and durable before it has its name, so that no keyring ever depends on
/// half a key.
fn make_file(path: &Path) -> Result<RootKey, Failure> {
    let root = RootKey::make().map_err(|error| Failure::new(error.to_string()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        // Made with mode 0600, under a name that nobody else has.
        let mut file = tempfile::Builder::new().prefix(".root-key-").tempfile_in(parent)?;
        file.write_all(root.to_text().as_bytes())?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|error| {
        Failure::new(format!("the root key file {} cannot be made: {error}", path.display()))
    })?;
    Ok(root)
}
