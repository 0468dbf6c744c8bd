use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Gate;
use super::answer::Answer;
use super::limits::whole_seconds;
use crate::policy::AccessRequest;
use crate::verify::{ErrorBody, VerifyError};

/// The type of problem of the draft that defines the `RateLimit` header, section 5.1.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// A request that was not let through, and the answer to it, which is made only when asked
/// for.
///
/// ```
/// use keyward::{Answer, Gate, Refusal};
///
/// fn in_our_words(refusal: &Refusal<'_>) -> Answer {
///     match refusal.code() {
///         "MISSING_API_KEY" => refusal.default_answer().header("link", "</docs>; rel=help"),
///         _ => refusal.default_answer(),
///     }
/// }
///
/// fn configure(gate: Gate) -> Gate {
///     gate.rejection(in_our_words)
/// }
/// ```
pub struct Refusal<'a> {
    pub(super) gate: &'a Gate,
    pub(super) error: VerifyError,
    pub(super) request: AccessRequest<'a>,
    /// Whether the request had a credential at all.
    pub(super) was_given: bool,
}

impl<'a> Refusal<'a> {
    /// Why, with everything the host may log of it.
    pub fn error(&self) -> &VerifyError {
        &self.error
    }

    /// What was asked: where, from which address, and the scopes.
    pub fn request(&self) -> &AccessRequest<'a> {
        &self.request
    }

    /// The code for clients, such as `INVALID_API_KEY`.
    pub fn code(&self) -> &'static str {
        self.error.code()
    }

    /// The answer, as [`Gate::rejection`] makes it, or [`Refusal::default_answer`].
    pub fn answer(&self) -> Answer {
        match &self.gate.settings().rejection {
            Some(rejection) => rejection(self),
            None => self.default_answer(),
        }
    }

    /// The answer that is given unless the host has another.
    ///
    /// - `cache-control: no-store`.
    /// - 400, 401 and 403: `www-authenticate` (RFC 6750 section 3), with an error if the
    ///   request had a credential.
    /// - 429 and 503: `retry-after` in whole seconds, rounded up; not if waiting is no help.
    /// - 429: `ratelimit-policy` and `ratelimit`.
    pub fn default_answer(&self) -> Answer {
        let settings = self.gate.settings();
        let mut body = self.error.body(&self.request);
        if settings.hides_allowed_ips {
            body = body.without("allowed_ips");
        }
        let status = self.error.status();
        let (content_type, body) = if settings.is_problem {
            ("application/problem+json", Problem::new(status, &body).to_json())
        } else {
            ("application/json", body.to_json())
        };
        let answer = Answer::new(status, body)
            .header("content-type", content_type)
            .header("cache-control", "no-store")
            .header_if("www-authenticate", self.challenge())
            .header_if("retry-after", self.retry_after());
        let deny = self.error.deny();
        let record = match &self.error {
            VerifyError::Rejected(rejected) => rejected.record(),
            VerifyError::Unavailable(_) => None,
        };
        let limits = record.zip(deny).map(|(record, deny)| {
            settings.limit_headers.refused(record, deny, self.gate.keys().now())
        });
        limits
            .into_iter()
            .flatten()
            .fold(answer, |answer, (name, value)| answer.header(name, value))
    }

    fn challenge(&self) -> Option<String> {
        let realm = &self.gate.settings().realm;
        let error = match self.error.status() {
            400 => "invalid_request",
            401 if self.was_given => "invalid_token",
            401 => return Some(format!("Bearer realm=\"{realm}\"")),
            403 => "insufficient_scope",
            _ => return None,
        };
        Some(format!("Bearer realm=\"{realm}\", error=\"{error}\""))
    }

    fn retry_after(&self) -> Option<String> {
        self.error.retry_after().map(|after| whole_seconds(after).max(1).to_string())
    }
}

/// RFC 9457. `code` and `details` are those of the other form.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violated_policies: Option<[&'a Value; 1]>,
}

impl<'a> Problem<'a> {
    fn new(status: u16, body: &'a ErrorBody) -> Self {
        let error = body.error();
        let (r#type, title) = match status {
            400 => ("about:blank", "Bad Request"),
            401 => ("about:blank", "Unauthorized"),
            403 => ("about:blank", "Forbidden"),
            429 => {
                (QUOTA_EXCEEDED, "Request cannot be satisfied as assigned quota has been exceeded")
            }
            _ => ("about:blank", "Service Unavailable"),
        };
        let violated = error.details.get("limit").filter(|_| status == 429);
        Self {
            r#type,
            title,
            status,
            detail: &error.message,
            code: error.code,
            details: &error.details,
            violated_policies: violated.map(|limit| [limit]),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("error", &self.error).finish_non_exhaustive()
    }
}

impl std::error::Error for Refusal<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
