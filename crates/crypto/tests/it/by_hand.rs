//! A second reader and writer, which follow FORMAT.md by hand and share no code with the crate:
//! once with ring, once with aes-gcm. It assumes honest layouts; its use is to agree on bytes.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto::StoreId;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// From key, nonce, associated data and sealed bytes.
type Open = fn(&[u8], &[u8], &[u8], &[u8]) -> Option<Vec<u8>>;
/// From key, nonce, associated data and plaintext.
type Seal = fn(&[u8], &[u8], &[u8], &[u8]) -> Vec<u8>;

/// One of the two implementations of AES-256-GCM.
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) open: Open,
    pub(crate) seal: Seal,
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
    pub(crate) keks: Vec<(u32, Vec<u8>)>,
    pub(crate) metadata_keys: Vec<(u32, Vec<u8>)>,
    /// Seeds.
    pub(crate) audit_keys: Vec<(u32, Vec<u8>)>,
    /// Seeds.
    pub(crate) token_keys: Vec<(u32, Vec<u8>)>,
}

pub(crate) fn label(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// Each slot's head and wrap.
pub(crate) fn slots(mut from: &[u8]) -> Vec<(&[u8], &[u8])> {
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
    /// FORMAT.md section 8.
    pub(crate) fn verify(&self, kind: &str, id: u32, message: &[u8], signature: &[u8]) -> bool {
        let keys = if kind == "token" { &self.token_keys } else { &self.audit_keys };
        let Some(seed) = find(keys, &id.to_be_bytes()) else { return false };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
        key.verify(message, signature).is_ok()
    }

    /// FORMAT.md section 9: the token's number, when everything is as it is written.
    pub(crate) fn read_jwt(&self, text: &str, now_seconds: u64) -> Option<Vec<u8>> {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let [header, payload, signature] = text.split('.').collect::<Vec<_>>().try_into().ok()?;
        let is_named = |id: u32| {
            header == encoded(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{id}"}}"#).as_bytes())
        };
        let (_, seed) = self.token_keys.iter().find(|(id, _)| is_named(*id))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        // What is signed is known to the byte, and so is its one signature.
        if encoded(pair.sign(format!("{header}.{payload}").as_bytes()).as_ref()) != signature {
            return None;
        }
        let store: String = self.store.iter().map(|byte| format!("{byte:02x}")).collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let rest = claims.strip_prefix(&format!(r#"{{"iss":"tresor","aud":"{store}","sub":"#))?;
        let (rest, exp) = rest.strip_suffix('}')?.rsplit_once(r#","exp":"#)?;
        let (rest, iat) = rest.rsplit_once(r#","iat":"#)?;
        let (names, jti) = rest.strip_suffix('"')?.rsplit_once(r#","jti":""#)?;
        let (sub, identity) = names.split_at(names.len().checked_sub(12)? / 2);
        let name: String = serde_json::from_str(sub).ok()?;
        let (iat, exp): (u64, u64) = (iat.parse().ok()?, exp.parse().ok()?);
        let jti = u128::from_str_radix(jti, 16).ok()?;
        let written = format!(
            r#"{{"iss":"tresor","aud":"{store}","sub":{0},"identity":{0},"jti":"{jti:032x}","iat":{iat},"exp":{exp}}}"#,
            serde_json::to_string(&name).unwrap(),
        );
        let good = identity == format!(r#","identity":{sub}"#) && written == claims;
        (good && now_seconds < exp).then(|| jti.to_be_bytes().to_vec())
    }

    pub(crate) fn store_id(&self) -> StoreId {
        StoreId::from_bytes(self.store[..].try_into().unwrap())
    }
}

fn find<'a>(keys: &'a [(u32, Vec<u8>)], id: &[u8]) -> Option<&'a [u8]> {
    keys.iter().find(|(known, _)| *known == number(id)).map(|(_, key)| &key[..])
}
