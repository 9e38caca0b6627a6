//! What a put of 1 KiB costs the store, beside the least that one durable write costs on the same disk, 4 KiB
//! overwritten and synced; and beside the same records in sled, 64 puts in each batch.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use benches::in_parallel;
use criterion::{BenchmarkId, Criterion, Throughput};
use domain::{OrgName, ProjectName, ProjectPath, Revision, SecretName, SecretPath, Uid};
use store::{Commit, DataDir, Engine, Key, Precondition, SledEngine, SledOptions, WrappedKeys};

const STORE: [u8; 16] = [1; 16];
const KEEP_VERSIONS: u64 = 10;
const BLOCK: usize = 4096;
const BLOCKS: u64 = 256;
/// Puts in one batch of sled: as many as the store's groups hold at most.
const BATCH: u64 = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory is made");
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(1));

    let file = blocks(&home.path().join("blocks"));
    let mut written = 0;
    group.bench_function("bare", |b| {
        b.iter(|| {
            written += 1;
            file.write_all_at(&[7; BLOCK], written % BLOCKS * BLOCK as u64).expect("it is written");
            file.sync_data().expect("it is synced");
        });
    });

    let engine = engine(&home.path().join("data"));
    for threads in [1, 16, 64] {
        let mut secrets: Vec<_> = (0..threads).map(|index| Secret::new(threads, index)).collect();
        group.bench_function(BenchmarkId::new("tresor", threads), |b| {
            b.iter_custom(|times| in_parallel(&mut secrets, times, |secret| secret.put(&engine)));
        });
    }

    let mut sled = Sled::open(&home.path().join("sled"));
    group.bench_function(BenchmarkId::new("sled", BATCH), |b| {
        b.iter_custom(|times| {
            let batches = times.div_ceil(BATCH);
            let began = Instant::now();
            (0..batches).for_each(|_| sled.put_all());
            // A put's share of its batch.
            began.elapsed().mul_f64(times as f64 / (batches * BATCH) as f64)
        });
    });
    group.finish();
    criterion.final_summary();
}

fn blocks(path: &Path) -> File {
    let file = File::create(path).expect("a file is made");
    file.write_all_at(&vec![0; BLOCK * BLOCKS as usize], 0).expect("it is written");
    file.sync_all().expect("it is synced");
    file
}

fn engine(root: &Path) -> SledEngine {
    let dir = DataDir::create(root).expect("a directory is made");
    SledEngine::create(&dir, STORE).expect("a store is made");
    drop(dir);
    let dir = DataDir::lock(root).expect("nobody else uses it");
    SledEngine::open(dir, STORE, SledOptions::default()).expect("a store opens")
}

/// One secret that is put again and again, as the vault does it.
struct Secret {
    head: Key,
    uid: Uid,
    version: u64,
    changed_at: Option<Revision>,
}

impl Secret {
    fn new(group: u8, index: u8) -> Self {
        let project = ProjectPath {
            org: OrgName::default_org(),
            project: ProjectName::parse("bench").expect("a name"),
        };
        let name = SecretName::parse(&format!("secret-{group}-{index}")).expect("a name");
        let mut uid = [7; 16];
        uid[..2].copy_from_slice(&[group, index]);
        let head = Key::head(&SecretPath { project, name });
        Self { head, uid: Uid::from_bytes(uid), version: 0, changed_at: None }
    }

    fn put(&mut self, engine: &SledEngine) {
        let commit = self.next();
        self.changed_at = Some(engine.commit(commit).expect("it is committed"));
    }

    /// Head, wrapped keys, payload and event, as long as the vault's, and the oldest version's removal.
    fn next(&mut self) -> Commit {
        self.version += 1;
        let mut commit = Commit::default();
        commit.require(match self.changed_at {
            None => Precondition::Absent(self.head.clone()),
            Some(at) => Precondition::ChangedAt(self.head.clone(), at),
        });
        let oldest = self.version.checked_sub(KEEP_VERSIONS).filter(|oldest| *oldest > 0);
        let mut keys = WrappedKeys::default();
        for version in oldest.unwrap_or_default() + 1..=self.version {
            keys.put(version, vec![1; 65]);
        }
        commit.put(Key::wrapped_keys(self.uid), keys.encode());
        commit.put(Key::payload(self.uid, self.version), vec![2; 1024 + 42]);
        if let Some(oldest) = oldest {
            commit.remove(Key::payload(self.uid, oldest));
        }
        commit.put(self.head.clone(), vec![3; 600]);
        commit.tell(vec![4; 300]);
        commit
    }
}

/// sled by itself: nothing is looked up or checked, nobody waits, and no record says when it was written.
struct Sled {
    db: sled::Db,
    file: File,
    secrets: Vec<Secret>,
    events: u64,
}

impl Sled {
    /// An empty database, set up as the store does it.
    fn open(path: &Path) -> Self {
        let config = sled::Config::new().path(path).segment_size(2 << 20);
        let db = config.flush_every_ms(Some(500)).open().expect("a database opens");
        let file = File::open(path.join("db")).expect("sled has one file");
        let secrets = (0..BATCH as u8).map(|index| Secret::new(0, index)).collect();
        Self { db, file, secrets, events: 0 }
    }

    /// Puts each secret once, in one batch that is durable when this is done.
    fn put_all(&mut self) {
        let mut batch = sled::Batch::default();
        for secret in &mut self.secrets {
            let Commit { writes, events, .. } = secret.next();
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(key.as_bytes(), value),
                    None => batch.remove(key.as_bytes()),
                }
            }
            for event in events {
                self.events += 1;
                batch.insert([b"event".as_slice(), &self.events.to_be_bytes()].concat(), event);
            }
        }
        self.db.apply_batch(batch).expect("it is applied");
        self.db.flush().expect("sled writes it");
        self.file.sync_data().expect("it is synced");
    }
}
