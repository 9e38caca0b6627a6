//! Reads Wycheproof's and NIST's cases of AES-256-GCM.

use serde_json::Value;

/// The files, each with the number of its cases and of the invalid ones among them.
pub(crate) const FILES: [(&str, usize, usize); 2] = [
    (include_str!("../vectors/wycheproof-aes-256-gcm.json"), 66, 27),
    (include_str!("../vectors/nist-aes-256-gcm.json"), 750, 191),
];

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) key: [u8; 32],
    pub(crate) nonce: [u8; 12],
    pub(crate) associated: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: [u8; 16],
    plaintext: Option<Vec<u8>>,
}

impl Case {
    fn read(value: &Value) -> Self {
        let bytes = |field: &str| unhex(value[field].as_str().unwrap());
        let text = |field: &str| value[field].as_str().unwrap();
        Self {
            name: format!("{} {}", text("name"), text("comment")),
            key: bytes("key").try_into().unwrap(),
            nonce: bytes("iv").try_into().unwrap(),
            associated: bytes("aad"),
            ciphertext: bytes("ct"),
            tag: bytes("tag").try_into().unwrap(),
            plaintext: match text("expect") {
                "valid" => Some(bytes("msg")),
                "invalid" => None,
                other => panic!("unknown expectation {other}"),
            },
        }
    }

    pub(crate) fn sealed(&self) -> Vec<u8> {
        [&self.ciphertext[..], &self.tag].concat()
    }

    /// What opening should give: the plaintext, or nothing.
    pub(crate) fn expected(&self) -> Option<Vec<u8>> {
        self.plaintext.clone()
    }
}

pub(crate) fn read((file, cases, invalid): &(&str, usize, usize)) -> Vec<Case> {
    let file: Value = serde_json::from_str(file).unwrap();
    let read: Vec<_> = file["vectors"].as_array().unwrap().iter().map(Case::read).collect();
    let refused = read.iter().filter(|case| case.expected().is_none()).count();
    assert_eq!((read.len(), refused), (*cases, *invalid), "the file is not whole");
    read
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}
