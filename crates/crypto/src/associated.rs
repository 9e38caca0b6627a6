//! Associated data: what each ciphertext is bound to (FORMAT.md sections 3 to 5).

use domain::{Encoder, SecretType, Uid};

use crate::{KekId, StoreId};

/// What a payload belongs to. It opens only under the context that it was sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadContext {
    /// The secret.
    pub uid: Uid,
    /// The number of the version.
    pub version: u64,
    /// The secret's type.
    pub kind: SecretType,
}

impl PayloadContext {
    fn encode(&self, out: &mut Encoder) {
        out.uid(self.uid).u64(self.version).u8(self.kind.code());
    }
}

/// For a payload under its data key.
pub(crate) fn payload(store: StoreId, context: &PayloadContext) -> Vec<u8> {
    let mut out = begin("tresor/1/payload", store);
    context.encode(&mut out);
    out.finish()
}

/// For a data key under a KEK.
pub(crate) fn data_key(store: StoreId, context: &PayloadContext, kek: KekId) -> Vec<u8> {
    let mut out = begin("tresor/1/wrap", store);
    context.encode(&mut out);
    out.u32(kek.get()).finish()
}

/// For a metadata record under a metadata key.
pub(crate) fn metadata(store: StoreId, key: u32, store_key: &[u8]) -> Vec<u8> {
    begin("tresor/1/metadata", store).u32(key).raw(store_key).finish()
}

/// For the keyring key under a root key.
pub(crate) fn slot(store: StoreId, head: &[u8]) -> Vec<u8> {
    begin("tresor/2/slot", store).raw(head).finish()
}

/// For a KEK under the keyring key.
pub(crate) fn kek(store: StoreId, kek: KekId) -> Vec<u8> {
    begin("tresor/2/kek", store).u32(kek.get()).finish()
}

/// For one of the keyring's own keys under a KEK.
pub(crate) fn key(store: StoreId, kind: u8, id: u32, kek: KekId) -> Vec<u8> {
    begin("tresor/1/key", store).u8(kind).u32(id).u32(kek.get()).finish()
}

/// For the keyring file's tag under the keyring key. The body begins with the store id, behind the
/// magic.
pub(crate) fn keyring(body: &[u8]) -> Vec<u8> {
    labelled("tresor/2/keyring", body.len()).raw(body).finish()
}

fn begin(label: &str, store: StoreId) -> Encoder {
    // Room for the longest associated data of fixed length, so that sealing allocates it once.
    let mut out = labelled(label, 48);
    out.raw(store.as_bytes());
    out
}

fn labelled(label: &str, rest: usize) -> Encoder {
    let mut out = Encoder::with_capacity(1 + label.len() + rest);
    // Labels are the literals above, far below 256 bytes.
    out.u8(u8::try_from(label.len()).unwrap_or(u8::MAX)).raw(label.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_is_the_beginning_of_another() {
        let store = StoreId::from_bytes([7; 16]);
        let context =
            PayloadContext { uid: Uid::from_bytes([1; 16]), version: 1, kind: SecretType::Opaque };
        let kinds = [
            payload(store, &context),
            data_key(store, &context, KekId::new(1)),
            metadata(store, 1, b""),
            kek(store, KekId::new(1)),
            key(store, 2, 1, KekId::new(1)),
            slot(store, b""),
            keyring(b""),
        ];
        for (at, one) in kinds.iter().enumerate() {
            for (beside, other) in kinds.iter().enumerate() {
                assert!(at == beside || !one.starts_with(other), "{at} begins with {beside}");
            }
        }
    }
}
