use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;

use super::answer::Refused;
use super::authorizer::Credentials;

/// Refuses what changes something, or may, and was sent by another site's page.
///
/// That is what `Sec-Fetch-Site` calls `cross-site` or `same-site`, or anything but
/// `same-origin` and `none`; and, of a browser that doesn't send it, what has an `Origin`
/// with another host than the one that was asked.
pub(super) fn check_origin(parts: &Parts) -> Result<(), Refused> {
    if is_read(parts) || is_own_page(parts) { Ok(()) } else { Err(Refused::cross_site()) }
}

/// Refuses what changes something, or may, under a content type that a form can have.
///
/// Without one, and with the one of `curl -d`, it is let through only if no browser can have
/// sent the credentials by itself.
pub(super) fn check_type(parts: &Parts, credentials: Credentials) -> Result<(), Refused> {
    let is_explicit = credentials == Credentials::Explicit;
    let mut types = parts.headers.get_all(CONTENT_TYPE).iter();
    let fits = match (types.next(), types.next()) {
        (None, _) => is_explicit,
        (Some(of_body), None) => match essence(of_body.as_bytes()).as_deref() {
            Some("application/json") => true,
            Some("application/x-www-form-urlencoded") => is_explicit,
            _ => false,
        },
        (Some(_), Some(_)) => false,
    };
    if fits || is_read(parts) { Ok(()) } else { Err(Refused::not_json()) }
}

fn is_read(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
}

fn is_own_page(parts: &Parts) -> bool {
    let mut sites = parts.headers.get_all("sec-fetch-site").iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let mut origins = parts.headers.get_all(ORIGIN).iter().peekable();
    if origins.peek().is_none() {
        return true;
    }
    let asked = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let asked = asked.or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str));
    let Some(asked) = asked else { return false };
    origins.all(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        host.is_some_and(|(_, host)| host.eq_ignore_ascii_case(asked))
    })
}

/// A media type without its parameters, in lower case.
fn essence(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let essence = text.split(';').next()?.trim();
    Some(essence.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;

    fn refusal(method: &str, headers: &[(&str, &str)], credentials: Credentials) -> Option<u16> {
        let request = Request::builder().method(method).uri("/admin/api-keys");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check_origin(&parts)
            .and_then(|()| check_type(&parts, credentials))
            .err()
            .map(|refusal| refusal.answer().status())
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn what_a_page_of_another_site_sends_is_refused() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("sec-fetch-site", "same-origin")], None),
            (&[("sec-fetch-site", "none")], None),
            (&[("sec-fetch-site", "cross-site")], Some(403)),
            (&[("sec-fetch-site", "same-site")], Some(403)),
            (&[("sec-fetch-site", "Same-Origin")], Some(403)),
            (&[("sec-fetch-site", "")], Some(403)),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Some(403)),
            (&[("host", "a.example"), ("origin", "https://a.example")], None),
            (&[("host", "A.example:8080"), ("origin", "http://a.Example:8080")], None),
            (&[("host", "a.example"), ("origin", "https://b.example")], Some(403)),
            (&[("host", "a.example"), ("origin", "https://a.example:8443")], Some(403)),
            (&[("host", "a.example"), ("origin", "https://a.example.b.example")], Some(403)),
            (&[("host", "a.example"), ("origin", "https://xa.example")], Some(403)),
            (&[("host", "a.example"), ("origin", "null")], Some(403)),
            (&[("host", "null"), ("origin", "null")], Some(403)),
            (&[("host", "a.example"), ("origin", "")], Some(403)),
            (&[("origin", "https://a.example")], Some(403)),
            (
                &[
                    ("host", "a.example"),
                    ("origin", "https://a.example"),
                    ("origin", "https://b.example"),
                ],
                Some(403),
            ),
        ] {
            for credentials in [Credentials::Ambient, Credentials::Explicit] {
                let headers = [headers, &[JSON]].concat();
                assert_eq!(refusal("POST", &headers, credentials), expected, "{headers:?}");
                assert_eq!(refusal("GET", &headers, credentials), None);
            }
        }
    }

    #[test]
    fn a_content_type_that_a_form_can_have_needs_a_header_that_it_can_not() {
        for (content_type, ambient, explicit) in [
            (None, Some(415), None),
            (Some("application/json"), None, None),
            (Some("Application/JSON ; charset=utf-8"), None, None),
            (Some("application/x-www-form-urlencoded"), Some(415), None),
            (Some("multipart/form-data; boundary=x"), Some(415), Some(415)),
            (Some("text/plain"), Some(415), Some(415)),
            (Some("text/plain; application/json"), Some(415), Some(415)),
            (Some("application/jsonp"), Some(415), Some(415)),
            (Some("application/json, text/plain"), Some(415), Some(415)),
            (Some(""), Some(415), Some(415)),
        ] {
            let headers: Vec<_> = content_type.map(|of| ("content-type", of)).into_iter().collect();
            for method in ["POST", "PATCH", "DELETE"] {
                assert_eq!(refusal(method, &headers, Credentials::Ambient), ambient, "{headers:?}");
                assert_eq!(
                    refusal(method, &headers, Credentials::Explicit),
                    explicit,
                    "{headers:?}"
                );
            }
        }
        let twice = [JSON, ("content-type", "text/plain")];
        assert_eq!(refusal("POST", &twice, Credentials::Explicit), Some(415));
    }

    proptest! {
        /// With ambient credentials nothing that a form, or a script without leave, can send
        /// is let through: one of the three safelisted types, or none.
        #[test]
        fn no_safelisted_content_type_passes(
            of in "(application/x-www-form-urlencoded|multipart/form-data|text/plain)( ?;.{0,20})?",
        ) {
            prop_assume!(axum::http::HeaderValue::from_str(&of).is_ok());
            let headers = [("content-type", of.as_str())];
            prop_assert_eq!(refusal("POST", &headers, Credentials::Ambient), Some(415));
        }
    }
}
