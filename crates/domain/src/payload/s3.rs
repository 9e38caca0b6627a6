//! Access to an S3 object store.

use http::Uri;

use super::Fields;
use super::fields::text;
use crate::{Invalid, Plaintext};

const MAX_KEY_BYTES: usize = 1024;
/// What AWS calls large enough for every session token, and far more than any is.
const MAX_TOKEN_BYTES: usize = 16 << 10;
const MAX_URL_BYTES: usize = 2048;

/// Checks the fields. Regions and buckets are checked as leniently as the stores that speak S3 are
/// different: AWS's own syntax, upper-case letters and underscores beside it.
pub(super) fn check(fields: &Fields) -> Result<(), Invalid> {
    header_text("accessKeyId", fields.required("accessKeyId")?, MAX_KEY_BYTES)?;
    text("secretAccessKey", fields.required("secretAccessKey")?, MAX_KEY_BYTES)?;
    if let Some(token) = fields.value("sessionToken") {
        header_text("sessionToken", token, MAX_TOKEN_BYTES)?;
    }
    if let Some(endpoint) = fields.value("endpoint") {
        check_endpoint(text("endpoint", endpoint, MAX_URL_BYTES)?)?;
    }
    for (name, most) in [("region", 64), ("bucket", 255)] {
        if let Some(value) = fields.value(name) {
            check_word(name, text(name, value, most)?, most)?;
        }
    }
    Ok(())
}

/// What travels in a request's header: visible ASCII.
fn header_text(name: &'static str, value: &Plaintext, most: usize) -> Result<(), Invalid> {
    if !text(name, value, most)?.bytes().all(|byte| byte.is_ascii_graphic()) {
        let fix = "must be visible ASCII without white space, since it travels in a header";
        return Err(Invalid::new(name, fix));
    }
    Ok(())
}

fn check_endpoint(url: &str) -> Result<(), Invalid> {
    let refuse = |fix: &str| Err(Invalid::new("endpoint", fix));
    let Some(uri) = url.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    }) else {
        return refuse("must be a URL that starts with http:// or https://");
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return refuse("must not hold a user name or password");
    }
    let has_port = authority != uri.host().unwrap_or_default();
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return refuse("must have a port from 1 to 65535, or none");
    }
    if uri.query().is_some() || url.contains('#') {
        return refuse("must have neither a query nor a fragment");
    }
    Ok(())
}

fn check_word(name: &str, word: &str, most: usize) -> Result<(), Invalid> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let outside = |c: char| c.is_ascii_alphanumeric();
    if !word.chars().all(inside) || !word.starts_with(outside) || !word.ends_with(outside) {
        let fix = format!(
            "must be 1 to {most} letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit"
        );
        return Err(Invalid::new(name, fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Payload, SecretType};

    fn s3(given: &[(&str, &str)]) -> Result<Payload, Invalid> {
        let mut fields = Fields::of(SecretType::S3);
        for (name, value) in
            [("accessKeyId", "AKIA"), ("secretAccessKey", "s/+= ")].iter().chain(given)
        {
            let value = (*value != "-").then(|| Plaintext::new(value.as_bytes().to_vec()));
            fields.set(name, value).unwrap();
        }
        Payload::s3(fields)
    }

    #[test]
    fn what_object_stores_use_is_taken() {
        for endpoint in [
            "https://s3.eu-central-1.amazonaws.com",
            "http://minio:9000",
            "http://[::1]:9000/",
            "https://ns.compat.objectstorage.us-phoenix-1.oraclecloud.com/path",
        ] {
            assert!(s3(&[("endpoint", endpoint)]).is_ok(), "{endpoint}");
        }
        for (name, value) in [
            ("region", "us-east-1"),
            ("region", "auto"),
            ("bucket", "my.bucket-1"),
            ("bucket", "OCI_Bucket"),
            ("sessionToken", "FwoGZXIvYXdzE/+="),
        ] {
            assert!(s3(&[(name, value)]).is_ok(), "{name} {value}");
        }
    }

    #[test]
    fn each_wrong_field_is_refused_by_its_name() {
        for (name, value) in [
            ("accessKeyId", "-"),
            ("accessKeyId", ""),
            ("accessKeyId", "A B"),
            ("secretAccessKey", "-"),
            ("secretAccessKey", ""),
            ("secretAccessKey", "a\nb"),
            ("sessionToken", ""),
            ("sessionToken", "\u{e4}"),
            ("endpoint", ""),
            ("endpoint", "minio:9000"),
            ("endpoint", "ftp://minio"),
            ("endpoint", "/path"),
            ("endpoint", "https://"),
            ("endpoint", "https://user:pw@minio"),
            ("endpoint", "https://token@minio"),
            ("endpoint", "https://token@minio:9000"),
            ("endpoint", "https://minio:99999"),
            ("endpoint", "https://minio:0"),
            ("endpoint", "https://minio:"),
            ("endpoint", "https://minio?X-Amz-Signature=1"),
            ("endpoint", "https://minio/#f"),
            ("endpoint", "https://mi nio"),
            ("region", ""),
            ("region", "eu central"),
            ("region", "-eu"),
            ("bucket", "a/b"),
            ("bucket", "bucket."),
            ("bucket", &"b".repeat(256)),
        ] {
            let refused = s3(&[(name, value)]).err().unwrap_or_else(|| panic!("{name} {value}"));
            assert_eq!(refused.field, name, "{value}: {refused}");
        }
    }
}
