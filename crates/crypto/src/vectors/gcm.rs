//! Wycheproof's and NIST's cases, by the two ways in which this crate itself uses AES-256-GCM.

#[path = "../../tests/it/published.rs"]
mod published;

use self::published::{Case, FILES};
use crate::hazmat::{self, Cipher};
use crate::keys::{DataKey, KeyBytes};

/// What both ways open it to.
fn open(case: &Case) -> Option<Vec<u8>> {
    let key = || KeyBytes::copied_from(&case.key);
    let mut content = case.sealed();
    let once = hazmat::open_once(DataKey::new(key()), case.nonce, &case.associated, &mut content);
    content.truncate(case.ciphertext.len());
    let once = once.ok().map(|()| content);
    let mut content = case.ciphertext.clone();
    let long = Cipher::new(&key()).open(case.nonce, &case.associated, &mut content, case.tag);
    assert_eq!(once, long.ok().map(|()| content), "{}", case.name);
    once
}

fn seal(case: &Case, plaintext: &[u8]) -> [Vec<u8>; 2] {
    let key = || KeyBytes::copied_from(&case.key);
    let (mut once, mut long) = (plaintext.to_vec(), plaintext.to_vec());
    let tag = hazmat::seal_once(DataKey::new(key()), case.nonce, &case.associated, &mut once);
    once.extend(tag.ok().unwrap());
    let tag = Cipher::new(&key()).seal(case.nonce, &case.associated, &mut long);
    long.extend(tag);
    [once, long]
}

#[test]
fn the_published_cases_hold_for_this_crate() {
    for case in FILES.iter().flat_map(published::read) {
        assert_eq!(open(&case), case.expected(), "{}", case.name);
        if let Some(plaintext) = case.expected() {
            assert_eq!(seal(&case, &plaintext), [case.sealed(), case.sealed()], "{}", case.name);
        }
    }
}
