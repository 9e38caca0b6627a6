//! A second reader and writer, which follow FORMAT.md by hand and share no code with the crate:
//! once with ring, once with aes-gcm. It assumes honest layouts; its use is to agree on bytes.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use crypto::StoreId;

/// From key, nonce, associated data and sealed bytes.
type Open = fn(&[u8], &[u8], &[u8], &[u8]) -> Option<Vec<u8>>;
/// From key, nonce, associated data and plaintext.
type Seal = fn(&[u8], &[u8], &[u8], &[u8]) -> Vec<u8>;

/// One of the two implementations of AES-256-GCM.
pub(crate) struct Library {
    pub(crate) name: &'static str,
    open: Open,
    seal: Seal,
}

pub(crate) const LIBRARIES: [Library; 2] = [
    Library { name: "ring", open: ring_open, seal: ring_seal },
    Library { name: "aes-gcm", open: aes_gcm_open, seal: aes_gcm_seal },
];

fn ring_key(key: &[u8]) -> ring::aead::LessSafeKey {
    let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, key).unwrap();
    ring::aead::LessSafeKey::new(key)
}

fn ring_open(key: &[u8], nonce: &[u8], associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let nonce = ring::aead::Nonce::try_assume_unique_for_key(nonce).unwrap();
    let mut content = sealed.to_vec();
    let associated = ring::aead::Aad::from(associated);
    let plaintext = ring_key(key).open_in_place(nonce, associated, &mut content).ok()?;
    Some(plaintext.to_vec())
}

fn ring_seal(key: &[u8], nonce: &[u8], associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce = ring::aead::Nonce::try_assume_unique_for_key(nonce).unwrap();
    let mut content = plaintext.to_vec();
    let associated = ring::aead::Aad::from(associated);
    ring_key(key).seal_in_place_append_tag(nonce, associated, &mut content).unwrap();
    content
}

fn aes_gcm_open(key: &[u8], nonce: &[u8], associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut content = sealed.to_vec();
    let cipher = Aes256Gcm::new(key.try_into().unwrap());
    cipher.decrypt_in_place(nonce.try_into().unwrap(), associated, &mut content).ok()?;
    Some(content)
}

fn aes_gcm_seal(key: &[u8], nonce: &[u8], associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut content = plaintext.to_vec();
    let cipher = Aes256Gcm::new(key.try_into().unwrap());
    cipher.encrypt_in_place(nonce.try_into().unwrap(), associated, &mut content).unwrap();
    content
}

/// Where a payload belongs, as the bytes that stand for it.
pub(crate) struct Place<'a> {
    pub(crate) uid: &'a [u8],
    pub(crate) version: u64,
    pub(crate) kind: u8,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        [self.uid, &self.version.to_be_bytes(), &[self.kind]].concat()
    }
}

/// The keys of a keyring file, in the clear.
pub(crate) struct Keys {
    store: Vec<u8>,
    keks: Vec<(u32, Vec<u8>)>,
    metadata_keys: Vec<(u32, Vec<u8>)>,
    /// Seeds.
    pub(crate) audit_keys: Vec<(u32, Vec<u8>)>,
    /// Seeds.
    pub(crate) token_keys: Vec<(u32, Vec<u8>)>,
}

fn label(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// Each slot's head and wrap.
fn slots(mut from: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut slots = Vec::new();
    while !from.is_empty() {
        let parameters = usize::try_from(number(&from[10..14])).unwrap();
        let (slot, rest) = from.split_at(14 + parameters + 60);
        slots.push(slot.split_at(14 + parameters));
        from = rest;
    }
    slots
}

impl Library {
    fn unwrap(&self, key: &[u8], associated: &[u8], wrap: &[u8]) -> Option<Vec<u8>> {
        (self.open)(key, &wrap[..12], associated, &wrap[12..])
    }

    /// FORMAT.md section 4.
    pub(crate) fn open_keyring(&self, file: &[u8], root: &[u8]) -> Option<Keys> {
        let keks_end = 39 + 73 * usize::from(file[38]);
        let keys_end = keks_end + 1 + 69 * usize::from(file[keks_end]);
        let store = &file[10..26];
        let (body, tag) = file[..file.len() - 32].split_at(file.len() - 60);
        let open_slot = |(head, wrap): (&[u8], &[u8])| {
            self.unwrap(root, &[&label("tresor/2/slot"), store, head].concat(), wrap)
        };
        let keyring_key = slots(&body[keys_end + 1..]).into_iter().find_map(open_slot)?;
        self.unwrap(&keyring_key, &[&label("tresor/2/keyring"), body].concat(), tag)?;
        let open_kek = |entry: &[u8]| {
            let associated = [&label("tresor/2/kek"), store, &entry[..4]].concat();
            Some((number(&entry[..4]), self.unwrap(&keyring_key, &associated, &entry[13..])?))
        };
        let keks: Vec<_> = file[39..keks_end].chunks(73).map(open_kek).collect::<Option<_>>()?;
        let open_key = |entry: &[u8]| {
            let kek = find(&keks, &entry[5..9])?;
            let associated = [&label("tresor/1/key"), store, &entry[..9]].concat();
            Some((number(&entry[1..5]), self.unwrap(kek, &associated, &entry[9..])?))
        };
        let keys_of = |kind: u8| {
            let entries = file[keks_end + 1..keys_end].chunks(69);
            entries.filter(|entry| entry[0] == kind).map(open_key).collect::<Option<_>>()
        };
        Some(Keys {
            store: store.to_vec(),
            metadata_keys: keys_of(2)?,
            audit_keys: keys_of(3)?,
            token_keys: keys_of(4)?,
            keks,
        })
    }

    /// FORMAT.md section 3.
    pub(crate) fn open_payload(
        &self,
        keys: &Keys,
        place: &Place<'_>,
        wrap: &[u8],
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        if wrap.len() != 65 || wrap[0] != 1 || payload.len() < 29 || payload[0] != 1 {
            return None;
        }
        let place = [&keys.store[..], &place.bytes()].concat();
        let associated = [&label("tresor/1/wrap"), &place[..], &wrap[1..5]].concat();
        let data_key = self.unwrap(find(&keys.keks, &wrap[1..5])?, &associated, &wrap[5..])?;
        let associated = [label("tresor/1/payload"), place].concat();
        self.unwrap(&data_key, &associated, &payload[1..])
    }

    /// FORMAT.md section 3.
    pub(crate) fn open_metadata(
        &self,
        keys: &Keys,
        store_key: &[u8],
        record: &[u8],
    ) -> Option<Vec<u8>> {
        if record.len() < 33 || record[0] != 1 {
            return None;
        }
        let key = find(&keys.metadata_keys, &record[1..5])?;
        let associated =
            [&label("tresor/1/metadata"), &keys.store[..], &record[1..5], store_key].concat();
        self.unwrap(key, &associated, &record[5..])
    }

    /// Seals as FORMAT.md section 3 says, under the last KEK, with given "random" bytes.
    pub(crate) fn seal_payload(
        &self,
        keys: &Keys,
        place: &Place<'_>,
        random: &[u8; 56],
        plaintext: &[u8],
    ) -> (Vec<u8>, Vec<u8>) {
        let (data_key, nonces) = random.split_at(32);
        let (kek_id, kek) = keys.keks.last().unwrap();
        let place = [&keys.store[..], &place.bytes()].concat();
        let header = [&[1], &kek_id.to_be_bytes()[..], &nonces[12..]].concat();
        let associated = [&label("tresor/1/wrap"), &place[..], &kek_id.to_be_bytes()].concat();
        let wrapped = (self.seal)(kek, &nonces[12..], &associated, data_key);
        let associated = [label("tresor/1/payload"), place].concat();
        let sealed = (self.seal)(data_key, &nonces[..12], &associated, plaintext);
        ([header, wrapped].concat(), [&[1], &nonces[..12], &sealed[..]].concat())
    }
}

impl Keys {
    pub(crate) fn store_id(&self) -> StoreId {
        StoreId::from_bytes(self.store[..].try_into().unwrap())
    }
}

fn find<'a>(keys: &'a [(u32, Vec<u8>)], id: &[u8]) -> Option<&'a [u8]> {
    keys.iter().find(|(known, _)| *known == number(id)).map(|(_, key)| &key[..])
}
