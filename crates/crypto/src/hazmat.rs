//! AES-256-GCM: the only module that names a cipher. It checks nothing but the tag; what the
//! associated data must hold, and how often a key may be used, is decided above.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use zeroize::optimization_barrier;

use crate::keys::{DataKey, KeyBytes};

pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// The cipher refused: a tag that does not verify, or (ring) an input too long for GCM.
pub(crate) struct Refused;

/// Seals `in_out` in place under a key that has no other use, and returns the tag.
pub(crate) fn seal_once(
    key: DataKey,
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    in_out: &mut [u8],
) -> Result<[u8; TAG_BYTES], Refused> {
    let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
    let tag = single_use(key)?
        .seal_in_place_separate_tag(nonce, Aad::from(associated), in_out)
        .map_err(|_| Refused)?;
    tag.as_ref().try_into().map_err(|_| Refused)
}

/// Opens `in_out`, ciphertext and tag, in place; the plaintext is all but the last
/// [`TAG_BYTES`] of it.
pub(crate) fn open_once(
    key: DataKey,
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    in_out: &mut [u8],
) -> Result<(), Refused> {
    let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
    single_use(key)?
        .open_in_place(nonce, Aad::from(associated), in_out)
        .map(|_| ())
        .map_err(|_| Refused)
}

fn single_use(key: DataKey) -> Result<LessSafeKey, Refused> {
    let unbound = UnboundKey::new(&AES_256_GCM, key.as_bytes()).map_err(|_| Refused)?;
    Ok(LessSafeKey::new(unbound))
}

/// A key schedule that lives long: on the heap, so that a move copies nothing, and wiped when
/// dropped, which ring could not do.
pub(crate) struct Cipher(Box<Aes256Gcm>);

static_assertions::assert_impl_all!(Aes256Gcm: zeroize::ZeroizeOnDrop);
static_assertions::assert_not_impl_any!(
    Cipher: std::fmt::Debug, std::fmt::Display, Clone, PartialEq
);

impl Cipher {
    pub(crate) fn new(key: &KeyBytes) -> Self {
        leaving_nothing(|| Self(Box::new(Aes256Gcm::new(key.as_bytes().into()))))
    }

    /// Seals `in_out` in place, and returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        in_out: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        leaving_nothing(|| {
            self.0
                .encrypt_inout_detached(&Nonce::from(nonce), associated, in_out.into())
                .expect("GCM takes 64 GiB, and callers stay below a few MiB")
                .into()
        })
    }

    /// Opens `in_out` in place; it is left as it was when the tag does not verify.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        in_out: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> Result<(), Refused> {
        leaving_nothing(|| {
            let (nonce, tag) = (Nonce::from(nonce), Tag::from(tag));
            self.0
                .decrypt_inout_detached(&nonce, associated, in_out.into(), &tag)
                .map_err(|_| Refused)
        })
    }
}

/// More than a cipher uses of the stack: the largest frame is one of 4 KiB, and unoptimized ones are many times as
/// large.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 128 << 10 } else { 8 << 10 };

/// Runs a cipher, and overwrites what it leaves on the stack: among that are round keys, the first two of which
/// are the key. A thread that rests from then on would keep them when the key is long destroyed.
fn leaving_nothing<T>(run: impl FnOnce() -> T) -> T {
    let done = below(run);
    wipe_stack();
    done
}

/// Runs something in frames of its own, which begin where those of [`wipe_stack`] do.
#[inline(never)]
fn below<T>(run: impl FnOnce() -> T) -> T {
    run()
}

#[inline(never)]
fn wipe_stack() {
    // Not a reference to a constant, which would lie elsewhere.
    let area = [0_u8; STACK_BYTES];
    optimization_barrier(&area);
}
