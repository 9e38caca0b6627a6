//! Whether a private and a public SSH key are the two halves of one pair.
//!
//! The public half is worked out from the private scalar itself, never from the copy of the public
//! half that most private key files carry, and then compared. Keys are looked at and never used.
//! The libraries below leave copies of key material in freed memory now and then; the daemon's
//! allocator wipes whatever is freed.
//!
//! The `ssh-key` crate is not used: up to 0.7.0-rc.11 it refuses ECDSA keys whose scalar begins with
//! zeros (one P-256 key in 256; 0.6.7 also every second P-521 key) and files that are not wrapped
//! as OpenSSH wraps them. What is read here of OpenSSH's own form is length-prefixed fields.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pem::Pem;
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rsa::BoxedUint;
use rsa::pkcs1::RsaPrivateKeyRef;
use rsa::traits::PublicKeyParts;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use crate::{Decoder, Encoder, Invalid, Malformed, Plaintext};

/// Room for an RSA key of 16,384 bits, the longest that OpenSSH makes.
const MAX_PRIVATE_BYTES: usize = 16 << 10;
const MAX_PUBLIC_BYTES: usize = 8 << 10;
const ALGORITHMS: &str =
    "must be an RSA (1,024 to 16,384 bits), ECDSA (P-256, P-384, P-521) or Ed25519 key";
/// The shortest and the longest RSA modulus that OpenSSH makes, in bytes. The work that a key costs
/// grows with the square of it.
const MODULUS_BYTES: RangeInclusive<usize> = 128..=2048;

/// RFC 8017 appendix A.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480 section 2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// RFC 8410 section 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key as it travels in SSH (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section
/// 4), of which each key has one encoding.
#[derive(PartialEq, Eq)]
struct PublicHalf(Vec<u8>);

/// Why a private key is not taken.
enum Refusal {
    Algorithm,
    Encrypted,
    Form,
    /// The file contradicts itself: its numbers make no key, or its own public half is another's.
    Inconsistent,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Form
    }
}

/// Checks that the two keys belong together.
pub(super) fn check(private: &Plaintext, public: &Plaintext) -> Result<(), Invalid> {
    let public = read_public(public)?;
    let derived = read_private(private).map_err(|refusal| {
        let fix = match refusal {
            Refusal::Algorithm => ALGORITHMS,
            Refusal::Encrypted => {
                "must not be encrypted, since no workload could use it; `ssh-keygen -p -N ''` takes the passphrase off"
            }
            Refusal::Form => {
                "must be a private key in PEM: an OpenSSH, PKCS#1, PKCS#8 or SEC1 file, whole"
            }
            Refusal::Inconsistent => "must be a sound key: its numbers contradict one another",
        };
        Invalid::new("privateKey", fix)
    })?;
    if derived != public {
        let fix = "must be the public half of privateKey; `ssh-keygen -y` prints it";
        return Err(Invalid::new("publicKey", fix));
    }
    Ok(())
}

/// A public key as OpenSSH writes it into `.pub` files: algorithm, base64, comment, on one line.
fn read_public(public: &Plaintext) -> Result<PublicHalf, Invalid> {
    let refuse = || {
        let fix = "must be one public key as in OpenSSH's .pub files (`ssh-ed25519 AAAA... comment`); `ssh-keygen -i` converts others";
        Invalid::new("publicKey", fix)
    };
    // EXPOSE: the key is parsed, and compared with the one that belongs to the private half.
    let bytes = public.expose();
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_PUBLIC_BYTES);
    let line =
        text.map(str::trim).filter(|line| !line.contains(['\n', '\r'])).ok_or_else(refuse)?;
    let mut words = line.split_ascii_whitespace();
    let (name, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let blob = STANDARD.decode(blob).map_err(|_| refuse())?;
    match check_blob(&blob, name) {
        Ok(true) => Ok(PublicHalf(blob)),
        Ok(false) => Err(Invalid::new("publicKey", ALGORITHMS)),
        Err(Malformed) => Err(refuse()),
    }
}

/// Whether a public key of that name is of an algorithm that is taken.
fn check_blob(blob: &[u8], name: &str) -> Result<bool, Malformed> {
    let mut input = Decoder::new(blob);
    if input.text()? != name {
        return Err(Malformed);
    }
    match name {
        "ssh-rsa" => {
            input.bytes()?;
            input.bytes()?;
        }
        "ssh-ed25519" => {
            <[u8; 32]>::try_from(input.bytes()?).map_err(|_| Malformed)?;
        }
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            input.text()?;
            input.bytes()?;
        }
        _ => return Ok(false),
    }
    input.finish().map(|()| true)
}

/// The public half that belongs to a private key.
fn read_private(private: &Plaintext) -> Result<PublicHalf, Refusal> {
    // EXPOSE: the key is parsed, and only its public half leaves this module.
    let bytes = private.expose();
    if bytes.len() > MAX_PRIVATE_BYTES {
        return Err(Refusal::Form);
    }
    let blocks = pem::parse_many(bytes).map_err(|_| Refusal::Form)?;
    // `openssl ecparam -genkey` writes the curve's name into a block of its own before the key.
    let mut keys = blocks.iter().filter(|block| block.tag() != "EC PARAMETERS");
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(Refusal::Form) };
    if is_encrypted(key) {
        return Err(Refusal::Encrypted);
    }
    let content = key.contents();
    match key.tag() {
        "OPENSSH PRIVATE KEY" => from_openssh(content),
        "PRIVATE KEY" => from_pkcs8(content),
        "RSA PRIVATE KEY" => from_pkcs1(content),
        "EC PRIVATE KEY" => from_sec1(content, None),
        "DSA PRIVATE KEY" => Err(Refusal::Algorithm),
        _ => Err(Refusal::Form),
    }
}

fn is_encrypted(key: &Pem) -> bool {
    // RFC 1421 section 4.6.1.1, which old OpenSSL files still use.
    key.tag() == "ENCRYPTED PRIVATE KEY"
        || key.headers().get("Proc-Type").is_some_and(|kind| kind.contains("ENCRYPTED"))
}

/// OpenSSH's own form, its PROTOCOL.key.
fn from_openssh(bytes: &[u8]) -> Result<PublicHalf, Refusal> {
    let mut file = Decoder::new(bytes);
    if file.array()? != *b"openssh-key-v1\0" {
        return Err(Refusal::Form);
    }
    let (cipher, _kdf, _kdf_options) = (file.text()?, file.text()?, file.bytes()?);
    if cipher != "none" {
        return Err(Refusal::Encrypted);
    }
    if file.u32()? != 1 {
        return Err(Refusal::Form);
    }
    let (claimed, mut key) = (file.bytes()?, Decoder::new(file.bytes()?));
    file.finish()?;
    if key.u32()? != key.u32()? {
        return Err(Refusal::Form);
    }
    let derived = match key.text()? {
        "ssh-ed25519" => openssh_ed25519(&mut key)?,
        "ssh-rsa" => openssh_rsa(&mut key)?,
        "ecdsa-sha2-nistp256" => openssh_ecdsa(&mut key, P256)?,
        "ecdsa-sha2-nistp384" => openssh_ecdsa(&mut key, P384)?,
        "ecdsa-sha2-nistp521" => openssh_ecdsa(&mut key, P521)?,
        _ => return Err(Refusal::Algorithm),
    };
    let _comment = key.bytes()?;
    let padding = key.raw(key.remaining())?;
    if !padding.iter().copied().eq((1..=u8::MAX).take(padding.len())) {
        return Err(Refusal::Form);
    }
    if derived.0 != claimed {
        return Err(Refusal::Inconsistent);
    }
    Ok(derived)
}

fn openssh_ed25519(key: &mut Decoder<'_>) -> Result<PublicHalf, Refusal> {
    let (point, pair) = (key.bytes()?, key.bytes()?);
    let (seed, point_again) = pair.split_at_checked(32).ok_or(Refusal::Form)?;
    let derived = from_ed25519(seed)?;
    let agree = point == point_again && derived.0.ends_with(point) && point.len() == 32;
    if agree { Ok(derived) } else { Err(Refusal::Inconsistent) }
}

fn openssh_ecdsa(key: &mut Decoder<'_>, curve: ObjectIdentifier) -> Result<PublicHalf, Refusal> {
    let (_curve_name, point, scalar) = (key.bytes()?, key.bytes()?, key.bytes()?);
    let derived = from_scalar(curve, scalar)?;
    if derived.0.ends_with(point) { Ok(derived) } else { Err(Refusal::Inconsistent) }
}

fn openssh_rsa(key: &mut Decoder<'_>) -> Result<PublicHalf, Refusal> {
    let (n, e, d) = (key.bytes()?, key.bytes()?, key.bytes()?);
    let (_coefficient, p, q) = (key.bytes()?, key.bytes()?, key.bytes()?);
    check_modulus(n)?;
    if [e, d, p, q].iter().any(|number| number.len() > n.len()) {
        return Err(Refusal::Inconsistent);
    }
    let [n, e, d, p, q] = [n, e, d, p, q].map(BoxedUint::from_be_slice_vartime);
    let checked = rsa::PrivateKey::from_components(n, e, d, vec![p, q]);
    Ok(from_rsa(&checked.map_err(|_| Refusal::Inconsistent)?))
}

fn from_pkcs8(der: &[u8]) -> Result<PublicHalf, Refusal> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| Refusal::Form)?;
    let content = info.private_key.as_bytes();
    match info.algorithm.oid {
        RSA => from_pkcs1(content),
        EC => {
            let curve = info.algorithm.parameters.and_then(|curve| curve.decode_as().ok());
            from_sec1(content, curve)
        }
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(content).map_err(|_| Refusal::Form)?;
            from_ed25519(seed.as_bytes())
        }
        _ => Err(Refusal::Algorithm),
    }
}

/// RFC 8017 appendix A.1.2.
fn from_pkcs1(der: &[u8]) -> Result<PublicHalf, Refusal> {
    let numbers = RsaPrivateKeyRef::from_der(der).map_err(|_| Refusal::Form)?;
    check_modulus(numbers.modulus.as_bytes())?;
    let key = rsa::PrivateKey::try_from(numbers).map_err(|_| Refusal::Inconsistent)?;
    Ok(from_rsa(&key))
}

fn check_modulus(modulus: &[u8]) -> Result<(), Refusal> {
    let length = modulus.iter().skip_while(|byte| **byte == 0).count();
    if MODULUS_BYTES.contains(&length) { Ok(()) } else { Err(Refusal::Algorithm) }
}

/// RFC 5915; inside PKCS#8 the curve's name is kept outside.
fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<PublicHalf, Refusal> {
    let key = EcPrivateKey::from_der(der).map_err(|_| Refusal::Form)?;
    let named = key.parameters.and_then(EcParameters::named_curve);
    from_scalar(named.or(curve).ok_or(Refusal::Form)?, key.private_key)
}

fn from_rsa(key: &rsa::PrivateKey) -> PublicHalf {
    let (e, n) = (multiple_precision(key.e()), multiple_precision(key.n()));
    blob("ssh-rsa", &[&e, &n])
}

/// A positive number as RFC 4251 section 5 writes it: no zeros before it but one where the first bit
/// would read as a sign.
fn multiple_precision(number: &BoxedUint) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits.first().is_some_and(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    digits
}

fn from_scalar(curve: ObjectIdentifier, scalar: &[u8]) -> Result<PublicHalf, Refusal> {
    let wrong = |_| Refusal::Inconsistent;
    match curve {
        P256 => {
            let key = p256::SecretKey::from_slice(&*padded::<32>(scalar)?).map_err(wrong)?;
            Ok(ecdsa("nistp256", &key.public_key().to_sec1_bytes()))
        }
        P384 => {
            let key = p384::SecretKey::from_slice(&*padded::<48>(scalar)?).map_err(wrong)?;
            Ok(ecdsa("nistp384", &key.public_key().to_sec1_bytes()))
        }
        P521 => {
            let key = p521::SecretKey::from_slice(&*padded::<66>(scalar)?).map_err(wrong)?;
            Ok(ecdsa("nistp521", &key.public_key().to_sec1_bytes()))
        }
        _ => Err(Refusal::Algorithm),
    }
}

fn ecdsa(curve: &str, point: &[u8]) -> PublicHalf {
    blob(&format!("ecdsa-sha2-{curve}"), &[curve.as_bytes(), point])
}

/// A scalar at the curve's full width, whatever zeros the file leaves out or puts before it.
fn padded<const WIDTH: usize>(scalar: &[u8]) -> Result<Zeroizing<[u8; WIDTH]>, Refusal> {
    let mut padded = Zeroizing::new([0; WIDTH]);
    let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
    let digits = scalar.get(zeros..).unwrap_or_default();
    let start = WIDTH.checked_sub(digits.len()).ok_or(Refusal::Inconsistent)?;
    padded.get_mut(start..).ok_or(Refusal::Inconsistent)?.copy_from_slice(digits);
    Ok(padded)
}

fn from_ed25519(seed: &[u8]) -> Result<PublicHalf, Refusal> {
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| Refusal::Form)?);
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    Ok(blob("ssh-ed25519", &[public.as_bytes()]))
}

fn blob(name: &str, fields: &[&[u8]]) -> PublicHalf {
    let mut out = Encoder::default();
    out.text(name);
    for field in fields {
        out.bytes(field);
    }
    PublicHalf(out.finish())
}

#[cfg(test)]
mod tests;
