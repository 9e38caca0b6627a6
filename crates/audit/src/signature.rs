//! Who signs, who verifies, and what exactly is signed.

use domain::{Anchor, Encoder, Timestamp};

use crate::record::Statement;

/// Holds the audit key.
pub trait Signer: Send + Sync {
    /// The key's number.
    fn key_id(&self) -> u32;
    /// Its public half.
    fn public_key(&self) -> [u8; 32];
    /// Signs with Ed25519.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Whether a signature is right: public key, message, signature.
pub type Verify = fn(&[u8; 32], &[u8], &[u8]) -> bool;

/// The message that a signed line's signature covers.
pub(crate) fn message(
    statement: &Statement,
    store: &[u8; 16],
    seq: u64,
    prev: &[u8; 32],
    time: Timestamp,
) -> Vec<u8> {
    let mut out = Encoder::with_capacity(256);
    label(&mut out, &format!("tresor/1/audit-{}", statement.kind()));
    out.raw(store).u64(seq).raw(prev).u64(time.unix_millis());
    match statement {
        Statement::Break(found) => {
            label(&mut out, found.reason.as_str());
            let zero = Anchor { seq: 0, hash: [0; 32] };
            let expected = found.expected().unwrap_or(zero);
            out.u64(found.after_seq).raw(&found.after_hash.0);
            out.u64(expected.seq).raw(&expected.hash).u64(found.cut_bytes);
        }
        Statement::Checkpoint(_) => {}
        Statement::Gap(gap) => {
            label(&mut out, &gap.sink);
            out.u64(gap.after_seq).raw(&gap.after_hash.0);
        }
        Statement::Key(key) => {
            out.u32(key.new_key).raw(&key.new_public_key.0);
        }
        Statement::Retention(retention) => {
            out.u64(retention.through);
        }
    }
    out.finish()
}

/// A text of at most 255 bytes behind its length. Ours are constants; a longer one in a line that
/// somebody else wrote is cut, and then signed by nobody.
fn label(out: &mut Encoder, text: &str) {
    let bytes = text.as_bytes();
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.u8(length).raw(bytes.get(..usize::from(length)).unwrap_or_default());
}
