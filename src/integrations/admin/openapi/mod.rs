//! The OpenAPI document of the admin API.

mod answers;
mod inputs;
mod operations;
mod values;

use axum::http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, PathItem, Paths};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, Info, OpenApi, RefOr, Schema};

use super::routes::ROUTES;

/// The OpenAPI 3.1 document of the admin API: what the router answers at
/// `/admin/openapi.json`.
///
/// Who is let in is the host's choice; the document describes the
/// [`KeyAuthorizer`](super::KeyAuthorizer). With another authorizer, change
/// `components.security_schemes` before you publish it.
///
/// ```
/// let document = keyward::admin::openapi();
/// assert!(document.paths.get_path_item("/admin/api-keys/{id}/rotate").is_some());
/// ```
pub fn openapi() -> OpenApi {
    let mut paths = Paths::new();
    for (method, path, operation) in ROUTES {
        let described = operations::describe(*operation);
        let item = PathItem::new(http_method(method), described);
        paths.paths.entry((*path).to_owned()).or_default().merge_operations(item);
    }
    let info = Info::new("API keys", env!("CARGO_PKG_VERSION"));
    let mut document = OpenApi::new(info, paths);
    document.components = Some(components());
    document
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        "POST" => HttpMethod::Post,
        _ => HttpMethod::Get,
    }
}

fn components() -> Components {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    let mut schemas = Vec::new();
    for describe in [
        describe::<answers::ChangedKey>,
        describe::<inputs::DescribedRequest>,
        describe::<answers::Error>,
        describe::<answers::EventPage>,
        describe::<inputs::KeyEdit>,
        describe::<answers::KeyPage>,
        describe::<answers::KeyWithSecret>,
        describe::<inputs::NewKey>,
        describe::<inputs::Nothing>,
        describe::<answers::Options>,
        describe::<answers::Reports>,
        describe::<inputs::Revocation>,
        describe::<inputs::Rotation>,
        describe::<answers::Trace>,
        describe::<answers::Usage>,
    ] {
        describe(&mut schemas);
    }
    ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("api_key", SecurityScheme::ApiKey(header))
        .schemas_from_iter(schemas)
        .build()
}

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A type and those it is made of.
fn describe<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}
