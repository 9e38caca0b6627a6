//! Sealing and opening one version, beside the bare calls of ring that an envelope is made of: for a seal a new key
//! and two nonces from the operating system, the key's schedule, one AES-256-GCM over a copy of the value, and one over
//! the key under another that is ready; for an open the two in reverse.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use crypto::{Keyring, MAX_USES, PayloadContext, RootKey, StoreId};
use domain::{Plaintext, SecretType, Timestamp, Uid};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];
const CONTEXT: PayloadContext =
    PayloadContext { uid: Uid::from_bytes([1; 16]), version: 1, kind: SecretType::Opaque };
/// As long as what Tresor binds a payload to.
const ASSOCIATED: [u8; 57] = [0; 57];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let root = RootKey::make().expect("random bytes");
    let keyring = Keyring::make(StoreId::from_bytes([1; 16]), &root, Timestamp::default());
    let keyring = keyring.expect("random bytes");
    keyring.set_uses(0, MAX_USES);
    seal(&mut criterion, &keyring);
    open(&mut criterion, &keyring);
    wrap(&mut criterion, &keyring);
    criterion.final_summary();
}

fn seal(criterion: &mut Criterion, keyring: &Keyring) {
    let mut group = criterion.benchmark_group("seal");
    let kek = cipher(&[1; 32]);
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let value = vec![7; size];
        group.bench_function(BenchmarkId::new("bare", size), |b| {
            b.iter(|| {
                let (key, nonce, sealed) = bare_seal(black_box(&value));
                (bare_wrap(&kek, key), nonce, sealed)
            });
        });
        let plaintext = Plaintext::new(value);
        group.bench_function(BenchmarkId::new("tresor", size), |b| {
            b.iter(|| keyring.seal_payload(&CONTEXT, black_box(&plaintext)).expect("it is sealed"));
        });
    }
}

fn open(criterion: &mut Criterion, keyring: &Keyring) {
    let mut group = criterion.benchmark_group("open");
    let kek = cipher(&[1; 32]);
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let (key, nonce, sealed) = bare_seal(&vec![7; size]);
        let wrap = bare_wrap(&kek, key);
        group.bench_function(BenchmarkId::new("bare", size), |b| {
            b.iter(|| bare_open(&bare_unwrap(&kek, black_box(&wrap)), nonce, black_box(&sealed)));
        });
        let sealed = keyring.seal_payload(&CONTEXT, &Plaintext::new(vec![7; size]));
        let sealed = sealed.expect("it is sealed");
        let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
        group.bench_function(BenchmarkId::new("tresor", size), |b| {
            b.iter(|| keyring.open_payload(&CONTEXT, wrap, black_box(payload)).expect("it opens"));
        });
    }
}

/// A rotation's part for one version: its data key out of the wrap of the older KEK, and into one of the
/// newer; beside an open and a seal of 32 bytes under keys that are ready, with a nonce from the operating
/// system. And the keyring's own part, once a rotation.
fn wrap(criterion: &mut Criterion, keyring: &Keyring) {
    let mut group = criterion.benchmark_group("wrap");
    let (from, to) = (cipher(&[1; 32]), cipher(&[2; 32]));
    let wrap = bare_wrap(&from, [7; 32]);
    group.bench_function("bare", |b| {
        b.iter(|| bare_wrap(&to, bare_unwrap(&from, black_box(&wrap))));
    });
    let sealed = keyring.seal_payload(&CONTEXT, &Plaintext::new(vec![7; 1 << 10]));
    let wrapped = sealed.expect("it is sealed").wrapped_key;
    let rotated = keyring.rotated(Timestamp::default()).expect("it is rotated");
    rotated.set_uses(0, MAX_USES);
    group.bench_function("tresor", |b| {
        b.iter(|| rotated.rewrap(&CONTEXT, black_box(wrapped.as_bytes())).expect("it opens"));
    });
    group.bench_function("keyring", |b| {
        b.iter(|| keyring.rotated(Timestamp::default()).expect("it is rotated"));
    });
}

fn bare_seal(value: &[u8]) -> ([u8; 32], [u8; NONCE_LEN], Vec<u8>) {
    let (mut key, mut nonce) = ([0; 32], [0; NONCE_LEN]);
    getrandom::fill(&mut key).expect("random bytes");
    getrandom::fill(&mut nonce).expect("random bytes");
    let mut sealed = Vec::with_capacity(value.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(value);
    cipher(&key)
        .seal_in_place_append_tag(unique(nonce), Aad::from(ASSOCIATED), &mut sealed)
        .expect("it is sealed");
    (key, nonce, sealed)
}

fn bare_wrap(kek: &LessSafeKey, key: [u8; 32]) -> ([u8; NONCE_LEN], Vec<u8>) {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).expect("random bytes");
    let mut wrapped = Vec::with_capacity(key.len() + AES_256_GCM.tag_len());
    wrapped.extend_from_slice(&key);
    kek.seal_in_place_append_tag(unique(nonce), Aad::from(ASSOCIATED), &mut wrapped)
        .expect("it is sealed");
    (nonce, wrapped)
}

fn bare_unwrap(kek: &LessSafeKey, (nonce, wrapped): &([u8; NONCE_LEN], Vec<u8>)) -> [u8; 32] {
    let mut key = wrapped.clone();
    let opened = kek.open_in_place(unique(*nonce), Aad::from(ASSOCIATED), &mut key);
    opened.expect("it opens").try_into().expect("a key has 32 bytes")
}

fn bare_open(key: &[u8; 32], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Vec<u8> {
    let mut opened = sealed.to_vec();
    cipher(key).open_in_place(unique(nonce), Aad::from(ASSOCIATED), &mut opened).expect("it opens");
    opened
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key has 32 bytes"))
}

fn unique(nonce: [u8; NONCE_LEN]) -> Nonce {
    Nonce::assume_unique_for_key(nonce)
}
