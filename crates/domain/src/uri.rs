//! Resource URIs: `secret://CLUSTER/ORG/PROJECT/NAME`, and everything above a secret.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Invalid, MAX_NAME_BYTES};

const SCHEME: &str = "secret://";
/// Cluster, organization, project and name, each byte of them encoded.
const MAX_URI_BYTES: usize = 4 * 3 * MAX_NAME_BYTES;
/// What a path segment holds as it is: RFC 3986, `pchar`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A URI of a secret, or of something that secrets lie in: a cluster, and path segments that were
/// percent-decoded once. What its segments name is not said yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUri {
    cluster: String,
    segments: Vec<String>,
}

impl SecretUri {
    /// A URI of names that were checked.
    pub fn new<'a>(cluster: &str, segments: impl IntoIterator<Item = &'a str>) -> Self {
        let segments = segments.into_iter().map(str::to_owned).collect();
        Self { cluster: cluster.to_owned(), segments }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// When it is not of that form, or a segment is empty, `.`, `..`, or holds a control character
    /// or an encoded slash.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= MAX_URI_BYTES);
        let rest =
            rest.ok_or_else(|| wrong("must be secret://CLUSTER/ORG/PROJECT/NAME or less"))?;
        let mut segments = rest.split('/').map(segment);
        let cluster = segments.next().unwrap_or_else(|| segment(""))?;
        Ok(Self { cluster, segments: segments.collect::<Result<_, _>>()? })
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The names behind it.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

impl fmt::Display for SecretUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", utf8_percent_encode(&self.cluster, ENCODED))?;
        for segment in &self.segments {
            write!(f, "/{}", utf8_percent_encode(segment, ENCODED))?;
        }
        Ok(())
    }
}

fn wrong(fix: &str) -> Invalid {
    Invalid::new("uri", fix)
}

/// One segment, decoded once.
fn segment(text: &str) -> Result<String, Invalid> {
    if text.contains(['?', '#']) {
        return Err(wrong("must have no query and no fragment; write ? as %3F and # as %23"));
    }
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let mut after_percent = text.as_bytes().split(|byte| *byte == b'%').skip(1);
    if !after_percent.all(|rest| hex(rest.first()) && hex(rest.get(1))) {
        return Err(wrong("must have two hexadecimal digits behind each %; write % as %25"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| wrong("must be percent-encoded UTF-8"))?;
    if matches!(decoded.as_ref(), "" | "." | "..") {
        return Err(wrong("must not contain an empty, `.` or `..` path segment"));
    }
    if decoded.contains('/') || decoded.chars().any(char::is_control) {
        return Err(wrong("must not contain an encoded slash or a control character"));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let uri = SecretUri::parse("secret://c/acme/ml/a%20b/%25:@").unwrap();
        assert_eq!(uri.cluster(), "c");
        assert_eq!(uri.segments(), ["acme", "ml", "a b", "%:@"]);
        assert_eq!(uri.to_string(), "secret://c/acme/ml/a%20b/%25:@");
        assert!(SecretUri::parse("secret://c").unwrap().segments().is_empty());
    }

    #[test]
    fn what_walks_hides_or_is_something_else_is_refused() {
        for text in [
            "",
            "secret",
            "secret:k",
            "secret:/k",
            "secret://",
            "secret:///a",
            "secret://c/",
            "secret://c//a",
            "secret://c/a/",
            "secret://c/..",
            "secret://c/%2e%2E/a",
            "secret://c/.",
            "secret://c/a%2fb",
            "secret://c/a%00",
            "secret://c/a\nb",
            "secret://c/a?b",
            "secret://c/a#b",
            "secret://c/%",
            "secret://c/%2",
            "secret://c/%zz",
            "secret://c/%ff",
            "Secret://c/a",
            "storage://c/a",
            " secret://c/a",
        ] {
            assert_eq!(SecretUri::parse(text).unwrap_err().field, "uri", "{text}");
        }
        let long = format!("secret://c/{}", "a".repeat(MAX_URI_BYTES));
        assert!(SecretUri::parse(&long).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in proptest::collection::vec("[^/\\p{Cc}]{1,20}", 1..5)) {
            prop_assume!(names.iter().all(|name| name != "." && name != ".."));
            let uri = SecretUri::new(&names[0], names[1..].iter().map(String::as_str));
            prop_assert_eq!(SecretUri::parse(&uri.to_string()).unwrap(), uri);
        }

        #[test]
        fn what_is_read_is_written_canonically(text in "secret://[a-z%2e/.:A]{0,30}") {
            if let Ok(uri) = SecretUri::parse(&text) {
                prop_assert_eq!(SecretUri::parse(&uri.to_string()).unwrap(), uri);
            }
        }
    }
}
