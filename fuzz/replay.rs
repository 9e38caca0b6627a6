//! Replays seeds. The fuzzed crates include this file into their tests.

use std::fs;
use std::path::Path;

/// Runs every seed of a target, and those that are made of today's formats, which must be accepted:
/// a seed that the first check refuses leads nowhere. `UPDATE_SEEDS=1` writes the latter to
/// `fuzz/corpus/`.
#[track_caller]
pub(crate) fn replay(target: &str, body: fn(&[u8]) -> bool, made: &[(&str, Vec<u8>)]) {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    let corpus = Path::new(corpus).join(target);
    for (name, seed) in made {
        assert!(body(seed), "{target} refuses the seed {name}");
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::create_dir_all(&corpus).unwrap();
            fs::write(corpus.join(name), seed).unwrap();
        }
    }
    let mut replayed = 0;
    for seed in fs::read_dir(&corpus).unwrap() {
        body(&fs::read(seed.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= made.len(), "{} lacks seeds: run with UPDATE_SEEDS=1", corpus.display());
}
