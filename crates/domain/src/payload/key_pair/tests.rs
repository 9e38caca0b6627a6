//! Key files of every algorithm and form, and what must not pass for one.

use proptest::prelude::*;

use super::super::Fields;
use super::*;
use crate::{Payload, SecretType};

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../../tests/keys/", $name))
    };
}

/// Algorithm and form, the private key, its public half, and another of the same algorithm.
const PAIRS: [(&str, &str, &str, &str); 14] = [
    ("RSA, OpenSSH", key!("rsa.openssh"), key!("rsa.pub"), key!("rsa.other.pub")),
    ("RSA, PKCS#1", key!("rsa.pkcs1"), key!("rsa.pub"), key!("rsa.other.pub")),
    ("RSA, PKCS#8", key!("rsa.pkcs8"), key!("rsa.pub"), key!("rsa.other.pub")),
    ("P-256, OpenSSH", key!("p256.openssh"), key!("p256.pub"), key!("p256.other.pub")),
    ("P-256, SEC1", key!("p256.sec1"), key!("p256.pub"), key!("p256.other.pub")),
    (
        "P-256, SEC1 after parameters",
        key!("p256-params.sec1"),
        key!("p256-params.pub"),
        key!("p256.pub"),
    ),
    ("P-256, PKCS#8", key!("p256.pkcs8"), key!("p256.pub"), key!("p256.other.pub")),
    ("P-384, OpenSSH", key!("p384.openssh"), key!("p384.pub"), key!("p384.other.pub")),
    ("P-384, SEC1", key!("p384.sec1"), key!("p384.pub"), key!("p384.other.pub")),
    ("P-384, PKCS#8", key!("p384.pkcs8"), key!("p384.pub"), key!("p384.other.pub")),
    ("P-521, OpenSSH", key!("p521.openssh"), key!("p521.pub"), key!("p521.other.pub")),
    ("P-521, SEC1", key!("p521.sec1"), key!("p521.pub"), key!("p521.other.pub")),
    ("P-521, PKCS#8", key!("p521.pkcs8"), key!("p521.pub"), key!("p521.other.pub")),
    ("Ed25519, OpenSSH", key!("ed25519.openssh"), key!("ed25519.pub"), key!("ed25519.other.pub")),
];
const ED25519_PKCS8: (&str, &str) = (key!("ed25519-openssl.pkcs8"), key!("ed25519-openssl.pub"));

fn login(values: &[(&str, &[u8])]) -> Result<Payload, Invalid> {
    let mut fields = Fields::of(SecretType::Ssh);
    for (name, value) in values {
        fields.set(name, Some(Plaintext::new(value.to_vec()))).unwrap();
    }
    Payload::ssh(fields)
}

fn pair(private: &str, public: &str) -> Result<Payload, Invalid> {
    login(&[
        ("username", b"git"),
        ("privateKey", private.as_bytes()),
        ("publicKey", public.as_bytes()),
    ])
}

#[track_caller]
fn refused(private: &str, public: &str, field: &str, fix: &str) {
    let refused = pair(private, public).err().unwrap();
    assert_eq!(refused.field, field, "{refused}");
    assert!(refused.fix.contains(fix), "{refused}");
}

#[test]
fn the_two_halves_of_a_pair_match_in_every_algorithm_and_form() {
    let last = (("Ed25519, PKCS#8"), ED25519_PKCS8.0, ED25519_PKCS8.1, key!("ed25519.pub"));
    for (what, private, public, other) in PAIRS.into_iter().chain([last]) {
        let taken = pair(private, public);
        assert!(taken.is_ok(), "{what}: {}", taken.err().unwrap());
        let refused = pair(private, other).err().unwrap();
        assert_eq!(refused.field, "publicKey", "{what}");
        assert!(refused.fix.contains("public half of privateKey"), "{what}: {refused}");
    }
}

/// Files travel through editors, other tools and other systems.
#[test]
fn line_ends_widths_and_comments_make_no_difference_and_the_bytes_stay() {
    for (what, private, public, _) in PAIRS {
        let bare: Vec<_> = public.split_ascii_whitespace().take(2).collect();
        let bare = bare.join(" ");
        let bare = bare.as_str();
        let rewrapped = |width: usize| {
            let (begin, rest) = private.trim_end().split_once('\n').unwrap();
            let (body, end) = rest.rsplit_once('\n').unwrap();
            let body: Vec<_> = body.chars().filter(|c| *c != '\n').collect();
            let lines: Vec<String> = body.chunks(width).map(|line| line.iter().collect()).collect();
            format!("{begin}\n{}\n{end}", lines.join("\n"))
        };
        let mut forms = vec![
            private.replace('\n', "\r\n"),
            private.trim_end().to_owned(),
            format!("{private}\n\n"),
        ];
        if !private.contains("EC PARAMETERS") {
            forms.extend([rewrapped(64), rewrapped(70), rewrapped(4096)]);
        }
        for private in &forms {
            assert!(pair(private, public).is_ok(), "{what}: {private}");
        }
        for public in [bare, &format!("{bare}\r\n"), &format!("{bare} a comment of words\n")] {
            let payload = pair(private, public).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            let Payload::Ssh(fields) = payload else { panic!("an ssh payload") };
            // EXPOSE: a test compares the bytes.
            let kept = |name| fields.value(name).unwrap().expose();
            assert_eq!(kept("privateKey"), private.as_bytes(), "{what}");
            assert_eq!(kept("publicKey"), public.as_bytes(), "{what}");
        }
    }
}

#[test]
fn each_wrong_key_is_refused_for_its_own_reason() {
    let (private, public) = (key!("ed25519.openssh"), key!("ed25519.pub"));
    refused(key!("encrypted.openssh"), key!("encrypted.pub"), "privateKey", "encrypted");
    refused(key!("encrypted.pkcs8"), public, "privateKey", "encrypted");
    refused(key!("encrypted.pkcs1"), public, "privateKey", "encrypted");
    refused(key!("ed448.pkcs8"), public, "privateKey", "Ed25519");
    refused(key!("secp256k1.sec1"), public, "privateKey", "P-256");
    refused(key!("dsa.pem"), public, "privateKey", "must be an RSA");
    refused("no key", public, "privateKey", "in PEM");
    refused(public, public, "privateKey", "in PEM");
    refused(key!("p256.spki"), public, "privateKey", "in PEM");
    refused(&private.repeat(2), public, "privateKey", "whole");
    refused(&"x".repeat(MAX_PRIVATE_BYTES + 1), public, "privateKey", "in PEM");
    refused(private, "no key", "publicKey", ".pub files");
    refused(private, private, "publicKey", ".pub files");
    refused(private, key!("p256.spki"), "publicKey", ".pub files");
    refused(private, &public.repeat(2), "publicKey", "one public key");
    refused(private, &format!("no-pty {public}"), "publicKey", ".pub files");
    refused(
        private,
        &format!("{public}{}", "x".repeat(MAX_PUBLIC_BYTES)),
        "publicKey",
        ".pub files",
    );
    let foreign = public.replace("ssh-ed25519 ", "ssh-rsa ");
    refused(private, &foreign, "publicKey", ".pub files");
}

#[test]
fn a_truncated_key_is_refused_wherever_it_was_cut() {
    for (what, private, public, _) in PAIRS.into_iter() {
        let lines: Vec<_> = private.lines().collect();
        // One line of the base64 missing, and then cut off in the middle.
        let mut shorter = lines.clone();
        shorter.remove(lines.len() - 2);
        for cut in [shorter.join("\n"), private.split_at(private.len() / 2).0.to_owned()] {
            assert_eq!(
                pair(&cut, public).err().map(|e| e.field).as_deref(),
                Some("privateKey"),
                "{what}"
            );
        }
        let cut = public.split_at(public.find(' ').unwrap() + 40).0;
        refused(private, cut, "publicKey", ".pub files");
    }
}

/// An OpenSSH file carries its public half beside the private one. One that carries somebody
/// else's must not pass because of it.
#[test]
fn a_file_that_claims_another_public_half_is_refused() {
    let mine = pem::parse(key!("ed25519.openssh")).unwrap().into_contents();
    let blob = |line: &str| STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
    let (own, other) = (blob(key!("ed25519.pub")), blob(key!("ed25519.other.pub")));
    let (own, other) = (&own[own.len() - 32..], &other[other.len() - 32..]);
    let mut forged = mine.clone();
    for at in 0..mine.len() - 32 {
        if &mine[at..at + 32] == own {
            forged[at..at + 32].copy_from_slice(other);
        }
    }
    assert_ne!(forged, mine);
    let forged = pem::encode(&Pem::new("OPENSSH PRIVATE KEY", forged));
    refused(&forged, key!("ed25519.other.pub"), "privateKey", "contradict");
}

/// Each copy of the public half in the file must be the one that belongs to the scalar.
#[test]
fn a_file_whose_copies_of_the_public_half_differ_is_refused() {
    for (private, public, copies) in [
        (key!("ed25519.openssh"), key!("ed25519.pub"), 3),
        (key!("p256.openssh"), key!("p256.pub"), 2),
    ] {
        let file = pem::parse(private).unwrap().into_contents();
        let blob = STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
        let point = &blob[blob.len() - 32..];
        let places: Vec<_> =
            (0..file.len() - 32).filter(|at| &file[*at..at + 32] == point).collect();
        assert_eq!(places.len(), copies);
        for place in places {
            let mut damaged = file.clone();
            damaged[place] ^= 1;
            let damaged = pem::encode(&Pem::new("OPENSSH PRIVATE KEY", damaged));
            refused(&damaged, public, "privateKey", "contradict");
        }
    }
}

/// Half of all P-521 scalars are shorter than their curve: OpenSSH leaves the zeros out.
#[test]
fn a_scalar_may_be_shorter_than_its_curve() {
    for (scalar, width) in [(&[0, 0, 1, 2][..], [0, 1, 2]), (&[1, 2], [0, 1, 2]), (&[], [0; 3])] {
        assert_eq!(padded::<3>(scalar).ok().map(|padded| *padded), Some(width));
    }
    assert!(padded::<3>(&[1, 2, 3, 4]).is_err());
    let read = from_scalar(P256, &[1]).ok().unwrap();
    let generator = p256::SecretKey::from_slice(&{
        let mut one = [0; 32];
        one[31] = 1;
        one
    });
    assert!(read.0.ends_with(&generator.unwrap().public_key().to_sec1_bytes()));
}

#[test]
fn rsa_numbers_that_make_no_key_are_refused() {
    let mut der = pem::parse(key!("rsa.pkcs1")).unwrap().into_contents();
    // Inside the private exponent, which lies behind the modulus of 256 bytes.
    der[300] ^= 1;
    let broken = pem::encode(&Pem::new("RSA PRIVATE KEY", der));
    refused(&broken, key!("rsa.pub"), "privateKey", "contradict");
}

/// Numbers of any length could keep a processor busy.
#[test]
fn an_rsa_key_of_an_odd_size_is_refused_before_it_is_worked_on() {
    for (length, fix) in [(127, "bits"), (2049, "bits"), (128, "contradict"), (2048, "contradict")]
    {
        let number = vec![0x7f; length];
        let mut section = Encoder::default();
        section.u32(1).u32(1).text("ssh-rsa").bytes(&number).bytes(&[3]).bytes(&[5]);
        section.bytes(&[1]).bytes(&[7]).bytes(&[11]).text("");
        let mut file = Encoder::default();
        file.raw(b"openssh-key-v1\0").text("none").text("none").text("").u32(1).text("");
        let file = file.bytes(&section.finish()).finish();
        let file = pem::encode(&Pem::new("OPENSSH PRIVATE KEY", file));
        refused(&file, key!("rsa.pub"), "privateKey", fix);
    }
}

#[test]
fn a_login_is_a_password_or_a_whole_pair_and_never_both() {
    let (private, public) = (key!("p256.sec1").as_bytes(), key!("p256.pub").as_bytes());
    let user: (&str, &[u8]) = ("username", b"git");
    let refused = |values: &[(&str, &[u8])]| login(values).err().unwrap();
    assert!(login(&[user, ("password", b"p")]).is_ok());
    assert_eq!(refused(&[("password", b"p")]).field, "username");
    assert_eq!(refused(&[("username", b""), ("password", b"p")]).field, "username");
    assert_eq!(refused(&[("username", b"a\nb"), ("password", b"p")]).field, "username");
    assert_eq!(refused(&[user]).field, "password");
    assert_eq!(refused(&[user, ("password", b"")]).field, "password");
    assert_eq!(refused(&[user, ("privateKey", private)]).field, "publicKey");
    assert_eq!(refused(&[user, ("publicKey", public)]).field, "privateKey");
    let pair = [("privateKey", private), ("publicKey", public)];
    for keys in [&pair[..], &pair[..1], &pair[1..]] {
        let refused = refused(&[&[user, ("password", b"p")], keys].concat());
        assert_eq!(refused.field, "password");
        assert!(refused.fix.contains("drop"), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A key with any byte changed is refused or still the same pair, and never repeated.
    #[test]
    fn a_damaged_key_never_panics_and_is_never_repeated(which in 0..PAIRS.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (_, private, public, _) = PAIRS[which];
        for half in [private, public] {
            let mut damaged = half.as_bytes().to_vec();
            let at = at.index(damaged.len());
            damaged[at] = byte;
            let (private, public) = if half == private { (&damaged[..], public.as_bytes()) } else { (private.as_bytes(), &damaged[..]) };
            if let Err(refused) = login(&[("username", b"u"), ("privateKey", private), ("publicKey", public)]) {
                for line in half.lines().filter(|line| !line.starts_with('-')) {
                    let middle = line.split_at(line.len() / 2).1;
                    prop_assert!(middle.len() < 8 || !refused.to_string().contains(middle));
                }
            }
        }
    }
}
