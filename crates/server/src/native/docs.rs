//! The OpenAPI documents, of the native API and of the platforms' interfaces that are switched on,
//! and Swagger UI on them. All are open to all: they describe what is asked and hold nothing of the
//! store. Swagger UI is compiled in; nothing is fetched from anywhere.

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
pub(super) fn routes(app: &App) -> Router<App> {
    let surfaces = app.surfaces().into_iter().flat_map(|mounted| mounted.surfaces.iter().copied());
    let mut router = Router::new().route(api::paths::OPENAPI, get(async || json(&DOCUMENT)));
    let mut shown = vec![api::paths::OPENAPI.to_owned()];
    for surface in surfaces {
        let path = api::paths::surface_document(surface.name);
        let document = Bytes::from_static(surface.document.as_bytes());
        router = router.route(&path, get(async move || json(&document)));
        shown.push(path);
    }
    // Where there are several, the page has a selector; the first is shown at the start.
    let page = SwaggerUi::new(PAGE).config(Config::new(shown));
    router.merge(Router::from(page).layer(map_response(protect)))
}

fn json(document: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.clone()).into_response()
}

async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
