//! `tresor root-key`: who opens the keyring of a store whose daemon is not running.

use std::fmt::Write as _;
use std::path::Path;

use crypto::{Keyring, RootSource as Source, SlotInfo};
use domain::Clock;
use store::DataDir;

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::init::{lock_finished, read_keyring};
use crate::root_key::{Root, RootSource};

/// What the keyring file says about its slots. It takes no root key, so none vouches for it.
pub(crate) fn status(data_dir: &Path) -> Result<String, Failure> {
    let dir = lock_finished(data_dir)?;
    let mut shown = String::new();
    for slot in Keyring::slots(&read_keyring(&dir)?)? {
        // Writing to a string cannot fail.
        let _ = writeln!(shown, "{}", line(&slot));
    }
    Ok(shown)
}

fn line(slot: &SlotInfo) -> String {
    let (id, at) = (slot.id, slot.created_at.to_rfc3339());
    match slot.source {
        Source::Raw => format!("slot {id}: key, created {at}"),
        Source::Argon2id(cost) => format!(
            "slot {id}: passphrase (Argon2id: memory {} KiB, iterations {}, lanes {}), created {at}",
            cost.memory_kib(),
            cost.iterations(),
            cost.lanes()
        ),
    }
}

/// Adds a second root key; the number of its slot.
pub(crate) fn add(data_dir: &Path, present: &RootSource, new: &RootSource) -> Result<u8, Failure> {
    let dir = lock_finished(data_dir)?;
    let file = read_keyring(&dir)?;
    let present = present.load()?;
    // Before a new key file is made or a passphrase asked for.
    Keyring::open(&file, present.unlock())?;
    let new = new.load_or_make()?;
    let changed =
        Keyring::with_slot_added(&file, present.unlock(), new.unlock(), SystemClock.now())?;
    replace(&dir, &changed, &[&present, &new])?;
    let before: Vec<_> = Keyring::slots(&file)?.iter().map(|slot| slot.id).collect();
    let added = Keyring::slots(&changed)?.into_iter().find(|slot| !before.contains(&slot.id));
    added.map(|slot| slot.id).ok_or_else(|| Failure::new("the keyring has no new slot"))
}

/// Drops a slot; the root key of the one that stays is given, and so known to open it.
pub(crate) fn drop_slot(data_dir: &Path, staying: &RootSource, slot: u8) -> Result<(), Failure> {
    let dir = lock_finished(data_dir)?;
    let file = read_keyring(&dir)?;
    let staying = staying.load()?;
    let changed = Keyring::with_slot_dropped(&file, staying.unlock(), slot)?;
    replace(&dir, &changed, &[&staying])
}

/// Writes a keyring file that each of its root keys was seen to open.
fn replace(dir: &DataDir, file: &[u8], roots: &[&Root]) -> Result<(), Failure> {
    for root in roots {
        Keyring::open(file, root.unlock())?;
    }
    Ok(dir.write_keyring(file)?)
}
