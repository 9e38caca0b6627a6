//! The root key: where it comes from, and how it is read and made.
//!
//! It is a key or a passphrase, in a file that nobody else may read, in the environment, in a
//! systemd credential, or typed in. One place only: the command line before the environment, and
//! that before the configuration file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crypto::{Passphrase, RootKey, Unlock};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::settings::{Loaded, Origin, Setting};

/// More than any root key or passphrase has.
const MAX_BYTES: u64 = 8 * 1024;

/// A root key in memory.
pub(crate) enum Root {
    Key(RootKey),
    Passphrase(Passphrase),
}

impl Root {
    pub(crate) fn unlock(&self) -> Unlock<'_> {
        match self {
            Self::Key(key) => key.into(),
            Self::Passphrase(passphrase) => passphrase.into(),
        }
    }
}

/// Where a root key comes from.
#[derive(Clone, Debug)]
pub(crate) struct RootSource {
    kind: Kind,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Key,
    Passphrase,
}

#[derive(Clone, Debug)]
enum Place {
    /// A file, and whether its mode says who can read it. systemd lets the service read its
    /// credentials with an access control list, which shows as the group's rights, and keeps
    /// everybody else out of the directory.
    File {
        path: PathBuf,
        mode_counts: bool,
    },
    Terminal,
    Variable(&'static str),
}

impl RootSource {
    /// The file of a root key.
    pub(crate) fn key_file(path: PathBuf) -> Self {
        Self { kind: Kind::Key, place: Place::File { path, mode_counts: true } }
    }

    /// The file of a passphrase.
    pub(crate) fn passphrase_file(path: PathBuf) -> Self {
        Self { kind: Kind::Passphrase, place: Place::File { path, mode_counts: true } }
    }

    /// A passphrase that is asked for.
    pub(crate) fn terminal() -> Self {
        Self { kind: Kind::Passphrase, place: Place::Terminal }
    }

    fn credential(kind: Kind, path: PathBuf) -> Self {
        Self { kind, place: Place::File { path, mode_counts: false } }
    }

    fn variable(kind: Kind, name: &'static str) -> Self {
        Self { kind, place: Place::Variable(name) }
    }

    /// The one that is configured; `prompt` is whether the command line asks for a prompt.
    ///
    /// # Errors
    /// When there is none, or two in the same place.
    pub(crate) fn configured(loaded: &Loaded, prompt: bool) -> Result<Self, Failure> {
        let mut found = candidates(loaded, prompt);
        let Some(best) = found.iter().map(|candidate| candidate.origin.clone()).max() else {
            return Err(Failure::new(
                "there is no root key: name its file with --root-key-file, put it into \
                 TRESOR_ROOT_KEY, or give a passphrase with --passphrase-file, TRESOR_PASSPHRASE or \
                 --passphrase",
            ));
        };
        found.retain(|candidate| candidate.origin == best);
        match <[Candidate; 1]>::try_from(found) {
            Ok([only]) => Ok(only.source),
            Err(several) => {
                let names: Vec<_> = several.into_iter().map(|candidate| candidate.name).collect();
                Err(Failure::usage(format!(
                    "{} each give a root key: keep one of them",
                    names.join(" and ")
                )))
            }
        }
    }

    /// Reads it.
    pub(crate) fn load(&self) -> Result<Root, Failure> {
        self.read(false)
    }

    /// Reads what a new slot is made with: makes a key file where there is none, asks twice for a
    /// passphrase, and refuses a short one.
    pub(crate) fn load_or_make(&self) -> Result<Root, Failure> {
        if let (Kind::Key, Place::File { path, .. }) = (self.kind, &self.place)
            && !path.exists()
        {
            return make_key_file(path).map(Root::Key);
        }
        let root = self.read(true)?;
        if let Root::Passphrase(passphrase) = &root {
            passphrase.check_for_new_slot().map_err(|error| self.unusable(&error))?;
        }
        Ok(root)
    }

    fn read(&self, twice: bool) -> Result<Root, Failure> {
        let text = match &self.place {
            Place::File { path, mode_counts } => self.read_file(path, *mode_counts)?,
            Place::Terminal => ask(twice)?,
            Place::Variable(name) => Zeroizing::new(
                std::env::var(name).map_err(|_| Failure::new(format!("{name} is no UTF-8")))?,
            ),
        };
        match self.kind {
            Kind::Key => {
                RootKey::from_text(&text).map(Root::Key).map_err(|error| self.unusable(&error))
            }
            Kind::Passphrase => Passphrase::from_text(&text)
                .map(Root::Passphrase)
                .map_err(|error| self.unusable(&error)),
        }
    }

    fn read_file(&self, path: &Path, mode_counts: bool) -> Result<Zeroizing<String>, Failure> {
        let what = self.name();
        let unreadable = |error| Failure::new(format!("{what} cannot be read: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode();
        if mode_counts && mode & 0o077 != 0 {
            return Err(Failure::new(format!(
                "{what} can be read by others (mode {:04o}); run: chmod 600 {}",
                mode & 0o7777,
                path.display()
            )));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        Ok(text)
    }

    fn unusable(&self, error: &dyn std::error::Error) -> Failure {
        Failure::new(format!("{} is not usable: {error}", self.name()))
    }

    /// What it is called, for people.
    pub(crate) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Key => "root key",
            Kind::Passphrase => "passphrase",
        };
        match &self.place {
            Place::File { path, .. } => format!("the {kind} file {}", path.display()),
            Place::Terminal => format!("the {kind}"),
            Place::Variable(name) => (*name).to_owned(),
        }
    }
}

/// A source that is configured.
struct Candidate {
    origin: Origin,
    /// How the operator named it.
    name: String,
    source: RootSource,
}

fn candidates(loaded: &Loaded, prompt: bool) -> Vec<Candidate> {
    let settings = &loaded.settings;
    let mut found = Vec::new();
    let mut add_file = |name: &str, source: Option<RootSource>| {
        let named = Setting::named(name).zip(loaded.origin(name)).zip(source);
        found.extend(named.map(|((setting, origin), source)| Candidate {
            origin: match origin {
                Origin::File(_) => Origin::File(String::new()),
                other => other.clone(),
            },
            name: origin.of(setting),
            source,
        }));
    };
    add_file("root-key-file", settings.root_key_file.clone().map(RootSource::key_file));
    add_file("passphrase-file", settings.passphrase_file.clone().map(RootSource::passphrase_file));
    if prompt {
        found.push(Candidate {
            origin: Origin::Flag,
            name: "--passphrase".to_owned(),
            source: RootSource::terminal(),
        });
    }
    let mut add = |name: String, source| {
        found.push(Candidate { origin: Origin::Environment, name, source });
    };
    for (variable, kind) in
        [("TRESOR_ROOT_KEY", Kind::Key), ("TRESOR_PASSPHRASE", Kind::Passphrase)]
    {
        if std::env::var_os(variable).is_some_and(|text| !text.is_empty()) {
            add(variable.to_owned(), RootSource::variable(kind, variable));
        }
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    for (name, kind) in [("tresor-root-key", Kind::Key), ("tresor-passphrase", Kind::Passphrase)] {
        if let Some(path) = credentials.as_ref().map(|dir| dir.join(name)).filter(|p| p.exists()) {
            add(format!("the credential {name}"), RootSource::credential(kind, path));
        }
    }
    found
}

fn ask(twice: bool) -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt| {
        let answer = rpassword::prompt_password(prompt);
        answer.map(Zeroizing::new).map_err(|error| {
            Failure::new(format!("the passphrase cannot be asked for on a terminal: {error}"))
        })
    };
    let passphrase = ask("Passphrase: ")?;
    if twice && *passphrase != *ask("The same again: ")? {
        return Err(Failure::new("the two passphrases differ"));
    }
    Ok(passphrase)
}

/// Makes a key file: whole and durable before it has its name, so that no keyring ever depends on
/// half a key.
fn make_key_file(path: &Path) -> Result<RootKey, Failure> {
    let root = RootKey::make()?;
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
