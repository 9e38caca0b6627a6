//! Damage at rest: bits that flip and files that end early, in every file of a data directory, after
//! a kill and after a clean stop. What opens is whole, and what is refused is left as it was.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Instant, SystemTime};

use super::power_loss::disk::{Entry, Image};
use super::power_loss::random::Random;
use super::power_loss::scratch;
use super::power_loss::workload::{History, Said, check, fill};

/// The seed of a run that failed, to make it again.
const SEED: &str = "TRESOR_DAMAGE_SEED";

/// One thing that happens to one file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip { byte: usize, bit: u8 },
    Truncate { length: usize },
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { byte, bit } => bytes[byte] ^= 1 << bit,
            Self::Truncate { length } => bytes.truncate(length),
        }
    }
}

#[test]
fn damage_to_any_file_is_harmless_or_refused_with_everything_left_as_it_was() {
    let rounds = if std::env::var_os("TRESOR_TESTS_LONG").is_some() { 150 } else { 3 };
    let now = || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let begun = Instant::now();
    let home = scratch();
    let (engine, history) = fill(seed, 60, &home.path().join("data"));
    let killed = Image::read(home.path());
    engine.close().unwrap();
    drop(engine);
    let stopped = Image::read(home.path());

    let mut random = Random::new(seed);
    let mut damages = Vec::new();
    for image in [&killed, &stopped] {
        for (name, bytes) in files(image) {
            for damage in plan(bytes, rounds, &mut random) {
                damages.push((image, name, damage));
            }
        }
    }
    let (opened, refused) = (Mutex::new(0), Mutex::new(0));
    let next = Mutex::new(damages.iter());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let Some((image, name, damage)) = next.lock().unwrap().next() else { return };
                    let harmless = meet(image, name, *damage, &history);
                    let harmless = harmless.unwrap_or_else(|what| {
                        let state = if **image == killed { "kill" } else { "clean stop" };
                        panic!("{name} after a {state}, {damage:?}, {SEED}={seed}: {what}")
                    });
                    *(if harmless { &opened } else { &refused }).lock().unwrap() += 1;
                }
            });
        }
    });
    let (opened, refused) = (opened.into_inner().unwrap(), refused.into_inner().unwrap());
    eprintln!(
        "damage with {SEED}={seed}, in {:?}: {opened} harmless, {refused} refused",
        begun.elapsed()
    );
    assert!(opened > damages.len() / 20 && refused > damages.len() / 5, "the test reaches nothing");
}

/// The files that the engine reads: all but the lock, and the keyring, which is its owner's to check.
fn files(image: &Image) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    image.0.iter().filter_map(|(name, entry)| match entry {
        Entry::File(bytes) if !name.ends_with("/LOCK") && !name.ends_with("/keyring") => {
            Some((name, bytes))
        }
        _ => None,
    })
}

/// Damage all over a file, most of it where something is written.
fn plan(bytes: &[u8], rounds: usize, random: &mut Random) -> Vec<Damage> {
    let mut damages = Vec::new();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let used = if used == 0 { bytes.len() } else { used } as u64;
    let mut place = |number: usize| {
        let range = if number % 4 == 3 { bytes.len() as u64 } else { used };
        usize::try_from(random.below(range)).unwrap()
    };
    for number in 0..rounds {
        damages.push(Damage::Flip { byte: place(number), bit: (number % 8) as u8 });
        damages.push(Damage::Truncate { length: place(number) });
    }
    damages.push(Damage::Truncate { length: 0 });
    damages
}

/// Whether a damaged image opens whole; what is wrong where it neither does nor is refused as it must
/// be.
fn meet(image: &Image, name: &str, damage: Damage, history: &History) -> Result<bool, String> {
    let mut damaged = image.clone();
    let Some(Entry::File(bytes)) = damaged.0.get_mut(name) else { unreachable!() };
    damage.apply(bytes);
    let home = scratch();
    damaged.write(home.path());
    match check(&home.path().join("data"), history, Said::all(history)) {
        Ok(()) => Ok(true),
        Err(what) if what.starts_with("refused") => {
            let left = without_scraps(Image::read(home.path()));
            match without_scraps(damaged).difference(&left) {
                None => Ok(false),
                Some(difference) => Err(format!("{what}, and it changed {difference}")),
            }
        }
        Err(what) => Err(what),
    }
}

/// A directory without what a start that is refused may change: the lock and the ballast.
fn without_scraps(mut image: Image) -> Image {
    let scraps = ["LOCK", "ballast"].map(std::ffi::OsStr::new);
    image.0.retain(|name, _| !Path::new(name).file_name().is_some_and(|n| scraps.contains(&n)));
    image
}
