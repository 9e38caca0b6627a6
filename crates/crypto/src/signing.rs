//! Ed25519: the only module that names a signature scheme. What is signed under which key is said
//! in FORMAT.md section 8.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::keys::KeyBytes;

pub(crate) const SIGNATURE_BYTES: usize = 64;

/// What verifies signatures. It may be known to everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's number, from 1, among those of its kind.
    pub id: u32,
    /// The point, as RFC 8032 section 5.1.2 writes it.
    pub bytes: [u8; 32],
}

/// Whether the holder of the private key signed exactly this message. Verification is strict: a
/// public key or a commitment of small order, which would fit many messages, and a second spelling
/// of the same signature are refused.
pub fn verify_signature(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) =
        (VerifyingKey::from_bytes(public), Signature::from_slice(signature))
    else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

/// A private key: on the heap, so that a move copies nothing, and wiped when dropped.
pub(crate) struct SigningKey {
    id: u32,
    key: Box<ed25519_dalek::SigningKey>,
}

static_assertions::assert_impl_all!(ed25519_dalek::SigningKey: zeroize::ZeroizeOnDrop);
static_assertions::assert_not_impl_any!(SigningKey: fmt::Debug, fmt::Display, Clone, PartialEq);

impl SigningKey {
    /// The key that a seed stands for (RFC 8032 section 5.1.5).
    pub(crate) fn new(id: u32, seed: &KeyBytes) -> Self {
        Self { id, key: Box::new(ed25519_dalek::SigningKey::from_bytes(seed.as_bytes())) }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(message).to_bytes()
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey { id: self.id, bytes: self.key.verifying_key().to_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn decoded<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8037, appendix A.4 (signing) and A.5 (verification), with the key of A.1 and A.2.
    #[test]
    fn the_vector_of_rfc_8037_is_signed_and_verified() {
        let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = decoded(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        let seed = KeyBytes::copied_from(&decoded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"));
        let key = SigningKey::new(7, &seed);
        let public = decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.public(), PublicKey { id: 7, bytes: public });
        assert_eq!(key.sign(input), signature);
        assert!(verify_signature(&public, input, &signature));
        assert!(!verify_signature(&public, &input[1..], &signature));
    }
}
