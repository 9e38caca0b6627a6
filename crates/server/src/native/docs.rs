//! The OpenAPI document, and Swagger UI on it. Both are open to all: they describe the API and hold
//! nothing of the store. Swagger UI is compiled in; nothing is fetched from anywhere.

use std::sync::LazyLock;

use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, header};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::App;

const PAGE: &str = "/tresor/v1/swagger-ui";
/// Swagger UI sets styles from its scripts, and draws its icons from data URLs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| api::openapi().to_json().unwrap_or_default().into());

/// The routes of the document and the page.
pub(super) fn routes() -> Router<App> {
    let page = SwaggerUi::new(PAGE).config(Config::from(api::paths::OPENAPI));
    let page = Router::from(page).layer(map_response(protect));
    Router::new().route(api::paths::OPENAPI, get(document)).merge(page)
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
