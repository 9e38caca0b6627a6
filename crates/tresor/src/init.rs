//! `tresor init` and `tresor admin-token`.

use std::sync::Arc;

use crypto::{Keyring, RootKey, StoreId};
use domain::Clock;
use store::{DataDir, SledEngine, SledOptions};
use vault::Vault;
use zeroize::Zeroizing;

use crate::clock::SystemClock;
use crate::command::StoreArgs;
use crate::failure::Failure;
use crate::root_key;

/// Makes a store, and returns its first administrator's token. A run that was cut off is simply
/// made again; only a finished store refuses.
pub(crate) fn init(args: &StoreArgs) -> Result<Zeroizing<String>, Failure> {
    let dir = DataDir::create(&args.data_dir)?;
    let shown = args.data_dir.display();
    if dir.holds_anything() && !dir.is_being_made() {
        let whole = dir.has_store() && dir.read_keyring()?.is_some();
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
    dir.begin_making()?;
    let root = root_key::load_or_make(args.root_key_file.as_deref())?;
    let store = make_keyring(&dir, &root)?;
    if !dir.has_store() {
        SledEngine::create(&dir, *store.as_bytes())?;
    }
    let opened = open(dir, &root)?;
    let token = opened.vault.create_operator_token("first administrator")?;
    opened.engine.close()?;
    Ok(token.text)
}

/// The token was handed over: from now on the store counts as made.
pub(crate) fn finish(args: &StoreArgs) -> Result<(), Failure> {
    Ok(DataDir::lock(&args.data_dir)?.finish_making()?)
}

/// Makes another administrator's token; the daemon must not be running.
pub(crate) fn admin_token(args: &StoreArgs) -> Result<Zeroizing<String>, Failure> {
    let dir = lock_finished(args)?;
    let root = root_key::load(args.root_key_file.as_deref())?;
    let opened = open(dir, &root)?;
    let token = opened.vault.create_operator_token("made with tresor admin-token")?;
    opened.engine.close()?;
    Ok(token.text)
}

/// Takes a data directory whose store was finished.
pub(crate) fn lock_finished(args: &StoreArgs) -> Result<DataDir, Failure> {
    let shown = args.data_dir.display();
    if !args.data_dir.is_dir() {
        return Err(Failure::new(format!("there is no directory {shown}; run: tresor init")));
    }
    let dir = DataDir::lock(&args.data_dir)?;
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
}

/// Opens the keyring, which proves the root key, and only then the store.
pub(crate) fn open(dir: DataDir, root: &RootKey) -> Result<Opened, Failure> {
    let shown = dir.root().display().to_string();
    let file = dir.read_keyring()?.ok_or_else(|| {
        Failure::new(format!(
            "{shown} holds no keyring; run tresor init, or restore the keyring file"
        ))
    })?;
    let keyring = Keyring::open(&file, root)?;
    if !dir.has_store() {
        return Err(Failure::new(format!(
            "{shown} holds a keyring and no store; restore the store, or choose an empty directory"
        )));
    }
    let store = *keyring.store_id().as_bytes();
    let engine = Arc::new(SledEngine::open(dir, store, SledOptions::default())?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Vault::open(engine.clone(), engine.incarnation(), keyring, clock)?;
    Ok(Opened { engine, vault: Arc::new(vault) })
}

fn make_keyring(dir: &DataDir, root: &RootKey) -> Result<StoreId, Failure> {
    if let Some(file) = dir.read_keyring()? {
        return Ok(Keyring::open(&file, root)?.store_id());
    }
    let no_randomness = |error: crypto::NoRandomness| Failure::new(error.to_string());
    let store = StoreId::make().map_err(no_randomness)?;
    let keyring = Keyring::make(store, root, SystemClock.now());
    let keyring = keyring.map_err(|error| Failure::new(error.to_string()))?;
    dir.write_keyring(&keyring.to_file())?;
    Ok(store)
}
