//! Swagger UI on this interface's document. The page is open to all, since a browser that opens it
//! has no bearer token to send, and what it shows holds nothing of the store. Its scripts are those
//! of the native API's page, which are compiled in.

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::SURFACE;
use crate::{Answer, Context, Request, Trouble};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tresor: the interface of Chariot</title>
<link rel="stylesheet" href="/tresor/v1/swagger-ui/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/tresor/v1/swagger-ui/swagger-ui-bundle.js"></script>
<script src="init.js"></script>
</body>
</html>
"#;
const SCRIPT: &str = r##"SwaggerUIBundle({ url: "doc.json", dom_id: "#swagger-ui" });
"##;
/// Swagger UI sets styles from its scripts, and draws its icons from data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The page.
pub(super) fn page(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    let page = file(PAGE, "text/html; charset=utf-8");
    Ok(page.with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
}

/// What the page runs.
pub(super) fn script(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    Ok(file(SCRIPT, "text/javascript; charset=utf-8"))
}

/// What the page shows.
pub(super) fn document(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    Ok(file(SURFACE.document, "application/json"))
}

fn file(text: &str, media_type: &'static str) -> Answer {
    let answer = Answer { body: text.as_bytes().to_vec(), ..Answer::empty(StatusCode::OK) };
    answer.with(CONTENT_TYPE, HeaderValue::from_static(media_type))
}
