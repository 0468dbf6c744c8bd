use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};

use super::head::Head;
use super::requirement::Requirement;
use crate::gate::{Admitted, Answer, Asked, Gate, Refusal};
use crate::policy::AccessRequest;

type Find = Arc<dyn for<'p> Fn(&'p Parts) -> Option<Cow<'p, str>> + Send + Sync>;

/// What a layer demands of each request.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) gate: Gate,
    pub(super) requirement: Requirement,
    pub(super) resources: Vec<(Cow<'static, str>, Find)>,
    pub(super) cost: u32,
    pub(super) is_optional: bool,
    pub(super) strips: bool,
    names: Vec<HeaderName>,
}

/// Stands in the extensions of a request that an optional layer let through without a key.
#[derive(Clone, Copy)]
pub(crate) struct Anonymous;

pub(super) type ResponseHeaders = Vec<(HeaderName, HeaderValue)>;

/// A request that was let through, perhaps without a key, or the answer.
pub(super) type Passed = Result<Option<Admitted>, Answer>;

impl Route {
    pub(super) fn new(gate: Gate) -> Self {
        let names = gate.key_sources().iter().filter_map(|source| source.header_name());
        let names = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        Self {
            names: names.collect(),
            gate,
            requirement: Requirement::None,
            resources: Vec::new(),
            cost: 1,
            is_optional: false,
            strips: false,
        }
    }

    /// Marks every header that may hold a key, so that it isn't shown where headers are.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        // A header that came twice is refused: none goes on but the first.
        for name in &self.names {
            if let Some(value) = headers.get_mut(name) {
                value.set_sensitive(true);
            }
        }
    }

    /// The result, if it needs no waiting; nothing has been done if it does.
    pub(super) fn at_once<B>(&self, request: &Request<B>) -> Option<Passed> {
        self.decided(&Head::of(request, &self.names), &[])
    }

    /// The same, of a request whose resources have to be read off its parts.
    pub(super) fn at_once_of_parts(&self, parts: &Parts) -> Option<Passed> {
        let head = Head::of_parts(parts, &self.names);
        match &*self.resources {
            [(kind, find)] => match find(parts) {
                Some(id) => self.decided(&head, &[(&**kind, &*id)]),
                None => self.decided(&head, &[]),
            },
            _ => self.decided(&head, &pairs(&self.found(parts))),
        }
    }

    /// The result, if it needs waiting.
    pub(super) async fn waited(&self, parts: &Parts) -> Passed {
        let head = Head::of_parts(parts, &self.names);
        let found = self.found(parts);
        let pairs = pairs(&found);
        passed(self.ask(&head, &pairs).waited().await)
    }

    /// Makes the request what the inner service gets, and gives what is added to the response.
    pub(super) fn pass<B>(
        &self,
        request: &mut Request<B>,
        admitted: Option<Admitted>,
    ) -> ResponseHeaders {
        if self.strips {
            self.strip(request);
        }
        let Some(admitted) = admitted else {
            request.extensions_mut().insert(Anonymous);
            return ResponseHeaders::new();
        };
        let headers = admitted.headers();
        request.extensions_mut().insert(admitted.into_verified());
        let header = |(name, value)| Some((header_name(name), HeaderValue::try_from(value).ok()?));
        headers.into_iter().filter_map(header).collect()
    }

    fn decided(&self, head: &Head<'_>, resources: &[(&str, &str)]) -> Option<Passed> {
        let asked = self.ask(head, resources);
        if self.is_optional && !asked.has_key() {
            return Some(Ok(None));
        }
        Some(passed(asked.at_once()?))
    }

    fn ask<'a>(&'a self, head: &'a Head<'_>, resources: &'a [(&'a str, &'a str)]) -> Asked<'a> {
        let request = AccessRequest {
            scopes: self.requirement.scopes(),
            resources,
            cost: self.cost,
            ..AccessRequest::new(self.gate.environment())
        };
        self.gate.ask(head, request)
    }

    fn found<'a>(&'a self, parts: &'a Parts) -> Vec<(&'a str, Cow<'a, str>)> {
        let found = |(kind, find): &'a (Cow<'static, str>, Find)| Some((&**kind, find(parts)?));
        self.resources.iter().filter_map(found).collect()
    }

    fn strip<B>(&self, request: &mut Request<B>) {
        for source in self.gate.key_sources() {
            if !self.gate.has_key_at(&Head::of(request, &self.names), source) {
                continue;
            }
            if let Some(name) = source.header_name() {
                request.headers_mut().remove(name);
            }
            if let Some(uri) = source.query_name().and_then(|name| without(request.uri(), name)) {
                *request.uri_mut() = uri;
            }
        }
    }
}

/// The name of a header; that of each response with limits needs no reading.
fn header_name(name: &'static str) -> HeaderName {
    static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
    static LIMIT: HeaderName = HeaderName::from_static("ratelimit");
    match name {
        "ratelimit-policy" => POLICY.clone(),
        "ratelimit" => LIMIT.clone(),
        _ => HeaderName::from_static(name),
    }
}

/// The same URI without one parameter of its query.
fn without(uri: &Uri, name: &str) -> Option<Uri> {
    let others = |pair: &&str| pair.split_once('=').is_none_or(|(key, _)| key != name);
    let kept: Vec<_> = uri.query()?.split('&').filter(others).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    let path = format!("{}{mark}{}", uri.path(), kept.join("&"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn pairs<'a>(found: &'a [(&'a str, Cow<'a, str>)]) -> Vec<(&'a str, &'a str)> {
    found.iter().map(|(kind, id)| (*kind, &**id)).collect()
}

fn passed(result: Result<Admitted, Refusal<'_>>) -> Passed {
    result.map(Some).map_err(|refusal| refusal.answer())
}

/// Adds headers to a response: the handler's own stay, but for who may keep it.
pub(super) fn add(headers: &mut HeaderMap, added: ResponseHeaders) {
    for (name, value) in added {
        if name == header::CACHE_CONTROL {
            headers.insert(name, value);
        } else {
            headers.entry(name).or_insert(value);
        }
    }
}

pub(crate) fn response<B: From<String>>(answer: Answer) -> Response<B> {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let mut response = Response::new(B::from(answer.into_body()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
