//! Wycheproof's and NIST's cases, by ring and by aes-gcm: each agrees with the file, and so with the
//! other.

use crate::by_hand::LIBRARIES;
use crate::published::{FILES, read};

#[test]
fn the_published_cases_hold_for_ring_and_for_aes_gcm() {
    for case in FILES.iter().flat_map(read) {
        for library in &LIBRARIES {
            let what = format!("{} {}", library.name, case.name);
            let opened = (library.open)(&case.key, &case.nonce, &case.associated, &case.sealed());
            assert_eq!(opened, case.expected(), "{what}");
            if let Some(plaintext) = case.expected() {
                let sealed = (library.seal)(&case.key, &case.nonce, &case.associated, &plaintext);
                assert_eq!(sealed, case.sealed(), "{what}");
            }
        }
    }
}
