//! `CLEAN`: written after an orderly stop, it holds the length and checksum of every data file.
//!
//! It saves the next start the copy that an unclean stop asks for, and it notices damage at rest
//! before sled, whose opening rewrites files, gets to see them.

use std::fs;
use std::io::Read;
use std::path::Path;

use domain::{Decoder, Encoder, Malformed};

use super::OpenError;
use super::data_dir::{DataDir, remove_file_if_there, replace_file};

const MAGIC: &[u8; 8] = b"TRESORCL";

/// One data file as it was left.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: String,
    bytes: u64,
    checksum: u32,
}

/// Records the state of the data files. They must be closed and synced.
pub(super) fn write(dir: &DataDir, store: &Path) -> Result<(), OpenError> {
    let mut out = Encoder::default();
    out.raw(MAGIC);
    for entry in survey(store)? {
        out.text(&entry.name).u64(entry.bytes).u32(entry.checksum);
    }
    let content = out.finish();
    let checksum = crc32c::crc32c(&content);
    replace_file(&dir.clean_marker(), &out.raw(&content).u32(checksum).finish())
}

/// Whether the last stop was clean. The marker is gone, durably, when this returns, since from now
/// on the files change.
///
/// # Errors
/// When the stop was clean and the files are not what it left.
pub(super) fn take(dir: &DataDir, store: &Path) -> Result<bool, OpenError> {
    let path = dir.clean_marker();
    let Ok(bytes) = fs::read(&path) else { return Ok(false) };
    // A marker that is itself damaged proves nothing: treat the stop as unclean.
    if let Ok(left) = decode(&bytes) {
        let found = survey(store)?;
        let differs = |entry: &&Entry| !found.contains(entry) || !left.contains(entry);
        if let Some(entry) = left.iter().chain(&found).find(differs) {
            return Err(OpenError::Damaged {
                what: format!(
                    "{} is not what the last clean stop left (it is new, or its length or checksum differs); nothing was opened or changed",
                    store.join(&entry.name).display()
                ),
            });
        }
    }
    remove_file_if_there(&path)?;
    dir.sync()?;
    Ok(decode(&bytes).is_ok())
}

fn decode(bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
    if crc32c::crc32c(content).to_be_bytes() != *checksum {
        return Err(Malformed);
    }
    let mut input = Decoder::new(content);
    if input.raw(MAGIC.len())? != MAGIC {
        return Err(Malformed);
    }
    let mut entries = Vec::new();
    while input.remaining() > 0 {
        let name = input.text()?.to_owned();
        entries.push(Entry { name, bytes: input.u64()?, checksum: input.u32()? });
    }
    Ok(entries)
}

fn survey(store: &Path) -> Result<Vec<Entry>, OpenError> {
    let failed = |error| OpenError::io("read", store, error);
    let mut entries = Vec::new();
    for file in fs::read_dir(store).map_err(failed)? {
        let file = file.map_err(failed)?;
        if file.file_type().map_err(failed)?.is_file() {
            let (bytes, checksum) = sum(&file.path()).map_err(failed)?;
            let name = file.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, bytes, checksum });
        }
    }
    entries.sort();
    Ok(entries)
}

fn sum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    let (mut bytes, mut checksum) = (0, 0);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return Ok((bytes, checksum));
        };
        bytes += part.len() as u64;
        checksum = crc32c::crc32c_append(checksum, part);
    }
}
