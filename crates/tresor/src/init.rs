//! `tresor init` and `tresor admin-token`.

use std::path::Path;
use std::sync::Arc;

use audit::AuditLog;
use crypto::{Keyring, StoreId, Unlock};
use domain::{Clock, NamePattern, OrgName, ProjectPath, ProjectionMode, RuleTemplate};
use store::{DataDir, SledEngine, SledOptions};
use vault::Vault;
use zeroize::Zeroizing;

use crate::audit::{open_audit, operators_act};
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::root_key::RootSource;
use crate::settings::{ClusterWide, Makers, Namespaces, Settings};

/// Makes a store, and returns its first administrator's token. A run that was cut off is simply
/// made again; only a finished store refuses.
pub(crate) fn init(
    data_dir: &Path,
    root: &RootSource,
    settings: &Settings,
) -> Result<Zeroizing<String>, Failure> {
    let dir = DataDir::create(data_dir)?;
    let shown = data_dir.display();
    if dir.holds_anything()? && !dir.is_being_made() {
        let whole = dir.has_store()? && dir.read_keyring()?.is_some();
        return Err(Failure::new(if whole {
            format!(
                "{shown} holds a store already; for another administrator's token run: tresor admin-token"
            )
        } else {
            format!(
                "{shown} holds parts of a store; restore what is missing, or choose an empty directory"
            )
        }));
    }
    let root = root.load_or_make()?;
    dir.begin_making()?;
    let store = make_keyring(&dir, root.unlock())?;
    if !dir.has_store()? {
        SledEngine::create(&dir, *store.as_bytes())?;
    }
    let opened = open(dir, root.unlock(), settings)?;
    opened.make_token("first administrator")
}

/// The token was handed over: from now on the store counts as made.
pub(crate) fn finish(data_dir: &Path) -> Result<(), Failure> {
    Ok(DataDir::lock(data_dir)?.finish_making()?)
}

/// Makes another administrator's token; the daemon must not be running.
pub(crate) fn admin_token(
    data_dir: &Path,
    root: &RootSource,
    settings: &Settings,
) -> Result<Zeroizing<String>, Failure> {
    let dir = lock_finished(data_dir)?;
    let root = root.load()?;
    let opened = open(dir, root.unlock(), settings)?;
    opened.make_token("made with tresor admin-token")
}

/// Takes a data directory whose store was finished.
pub(crate) fn lock_finished(data_dir: &Path) -> Result<DataDir, Failure> {
    let shown = data_dir.display();
    if !data_dir.is_dir() {
        return Err(Failure::new(format!("there is no directory {shown}; run: tresor init")));
    }
    let dir = DataDir::lock(data_dir)?;
    if dir.is_being_restored() {
        let message = format!("tresor restore was cut off in {shown}; run it again");
        return Err(Failure::new(message));
    }
    if dir.is_being_made() {
        let message = format!("tresor init was cut off in {shown}; run it again");
        return Err(Failure::new(message));
    }
    Ok(dir)
}

/// An open store.
pub(crate) struct Opened {
    pub(crate) engine: Arc<SledEngine>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) audit: Arc<AuditLog>,
}

impl Opened {
    /// Writes down what the operator did.
    pub(crate) fn write_down(&self, entry: &audit::Entry) -> Result<(), Failure> {
        self.audit.append(entry).synced_blocking().map_err(|error| {
            Failure::new(format!("it could not be written down in the audit log: {error}"))
        })
    }

    /// Closes audit log and store.
    pub(crate) fn close(self) -> Result<(), Failure> {
        let closed = self.audit.close();
        self.engine.close()?;
        closed.map_err(|error| {
            Failure::new(format!("the end of the audit log was not signed: {error}"))
        })
    }

    /// Makes an administrator's token, writes that down, and closes the store.
    fn make_token(self, description: &str) -> Result<Zeroizing<String>, Failure> {
        if !self.audit.is_ready() {
            return Err(Failure::new("the audit log cannot be written, so no token is made"));
        }
        let token = self.vault.create_operator_token(description)?;
        let entry = operators_act("createToken", format!("token:{}", token.view.id));
        let written = self.audit.append(&entry).synced_blocking();
        let closed = self.audit.close();
        self.engine.close()?;
        written.and(closed).map_err(|error| {
            Failure::new(format!("the token's making could not be written down: {error}"))
        })?;
        Ok(token.text)
    }
}

/// The keyring file of a finished store.
pub(crate) fn read_keyring(dir: &DataDir) -> Result<Vec<u8>, Failure> {
    dir.read_keyring()?.ok_or_else(|| {
        Failure::new(format!(
            "{} holds no keyring; run tresor init, or restore the keyring file",
            dir.root().display()
        ))
    })
}

/// Opens the keyring, which proves the root key, and only then the store.
pub(crate) fn open(dir: DataDir, root: Unlock<'_>, settings: &Settings) -> Result<Opened, Failure> {
    let data_dir = dir.root().to_owned();
    let shown = dir.root().display().to_string();
    let keyring = Keyring::open(&read_keyring(&dir)?, root)?;
    if !dir.has_store()? {
        return Err(Failure::new(format!(
            "{shown} holds a keyring and no store; restore the store, or choose an empty directory"
        )));
    }
    let store = *keyring.store_id().as_bytes();
    let engine = Arc::new(SledEngine::open(dir, store, store_options(settings))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let kept = vault_settings(settings);
    let vault = Vault::open(engine.clone(), engine.incarnation(), keyring, clock, kept)?;
    let vault = Arc::new(vault);
    let audit = open_audit(settings, &data_dir, &vault, engine.anchor())?;
    // The log signs with the vault's key and so holds the vault, which holds the engine: the engine
    // must not hold the log, or none of them would ever be let go.
    let log = Arc::downgrade(&audit);
    engine.anchor_with(move || log.upgrade()?.anchor());
    Ok(Opened { engine, vault, audit })
}

fn store_options(settings: &Settings) -> SledOptions {
    let cache_bytes = u64::from(settings.cache_mib) << 20;
    SledOptions { cache_bytes, ..SledOptions::default() }
}

fn vault_settings(settings: &Settings) -> vault::Settings {
    vault::Settings {
        cluster: settings.cluster_name.clone(),
        keep_versions: settings.keep_versions,
        purge_after_seconds: u64::from(settings.purge_after_days) * 24 * 3600,
        rotate_after_uses: settings.rotate_keys_after_uses.into(),
        rotate_after_seconds: u64::from(settings.rotate_keys_after_days) * 24 * 3600,
        personal_rules: rules(settings.apolo_namespace.as_ref(), surfaces::APOLO_NAMES),
        own_project_rules: rules(
            settings.digitalhub_namespace.as_ref(),
            surfaces::DIGITALHUB_NAMES,
        ),
        users_create_projects: settings.create_projects == Makers::Users,
        reserved_projects: vec![
            settings.blueprints_project.0.clone(),
            ProjectPath {
                org: OrgName::default_org(),
                project: settings.chariot_organization_project.0.clone(),
            },
            settings.safe_project.0.clone(),
        ],
        common_home: Some(vault::CommonHome {
            project: settings.safe_project.0.clone(),
            rules: vec![surfaces::safe_home_rule(settings.safe_namespace.0.clone())],
            open: settings.safe_cluster_wide == ClusterWide::Everyone,
            labels: surfaces::safe_home_labels(),
        }),
    }
}

/// The rule of a platform, where its projects have a namespace: all variables in one Secret.
fn rules(namespace: Option<&Namespaces>, names: &str) -> Vec<RuleTemplate> {
    let mode = ProjectionMode::Merged;
    let name_pattern = NamePattern::parse(mode, names).ok();
    let rule = |(namespace, name_pattern): (&Namespaces, NamePattern)| RuleTemplate {
        mode,
        namespace: namespace.0.clone(),
        name_pattern,
    };
    namespace.zip(name_pattern).map(rule).into_iter().collect()
}

fn make_keyring(dir: &DataDir, root: Unlock<'_>) -> Result<StoreId, Failure> {
    if let Some(file) = dir.read_keyring()? {
        return Ok(Keyring::open(&file, root)?.store_id());
    }
    let store = StoreId::make()?;
    let keyring = Keyring::make(store, root, SystemClock.now())?;
    dir.write_keyring(&keyring.to_file())?;
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_gets_the_cache_that_is_set_and_by_default_its_own() {
        let default = store_options(&Settings::default()).cache_bytes;
        assert_eq!(default, SledOptions::default().cache_bytes);
        let larger = Settings { cache_mib: 65_536, ..Settings::default() };
        assert_eq!(store_options(&larger).cache_bytes, 64 << 30);
    }
}
