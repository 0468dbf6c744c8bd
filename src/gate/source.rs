use std::fmt;

use super::RequestHead;
use super::credential::text;
use crate::error::FieldError;
use crate::scheme::KeyScheme;

const LONGEST_NAME: usize = 64;

/// A place in a request where a key may be.
///
/// ```
/// use keyward::KeySource;
///
/// assert_eq!(KeySource::header("X-Api-Key")?, KeySource::header("x-api-key")?);
/// assert!(KeySource::header("x api key").is_err());
/// assert!(KeySource::query("api_key").is_ok());
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeySource(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Bearer,
    Header(Box<str>),
    Query(Box<str>),
}

/// What a request has at one place.
pub(super) enum Given<'a> {
    Nothing,
    Once(&'a [u8]),
    Repeated,
}

impl KeySource {
    /// `Authorization: Bearer …` (RFC 6750 section 2.1). Other schemes are left alone.
    pub const fn bearer() -> Self {
        Self(Place::Bearer)
    }

    /// A header that holds nothing but the key. Its name may be written in any case.
    ///
    /// # Errors
    ///
    /// If the name is not 1 to 64 characters of a token (RFC 9110 section 5.6.2).
    pub fn header(name: &str) -> Result<Self, FieldError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(fits) {
            let rule = "must be the name of a header, 1 to 64 characters";
            return Err(FieldError::new("key_source", name, rule));
        }
        Ok(Self(Place::Header(name.to_ascii_lowercase().into())))
    }

    /// A parameter of the query, compared as it is written.
    ///
    /// # Errors
    ///
    /// If the name is not 1 to 64 of `A-Z a-z 0-9 - _ . ~`.
    ///
    /// # Security
    ///
    /// URIs are written to logs, histories and caches. A response to a key from the query
    /// is marked `no-store`; nothing can be done about the logs of the proxies before.
    pub fn query(name: &str) -> Result<Self, FieldError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(fits) {
            let rule = "must be the name of a query parameter, 1 to 64 of `A-Z a-z 0-9 - _ . ~`";
            return Err(FieldError::new("key_source", name, rule));
        }
        Ok(Self(Place::Query(name.into())))
    }

    /// The name of the header it is in, in lower case; `None` for the query.
    pub fn header_name(&self) -> Option<&str> {
        match &self.0 {
            Place::Bearer => Some("authorization"),
            Place::Header(name) => Some(name),
            Place::Query(_) => None,
        }
    }

    /// The name of the query parameter it is in.
    pub fn query_name(&self) -> Option<&str> {
        match &self.0 {
            Place::Query(name) => Some(name),
            Place::Bearer | Place::Header(_) => None,
        }
    }

    pub(super) fn is_bearer(&self) -> bool {
        self.0 == Place::Bearer
    }

    /// What a request has here, without white space around it. Nothing is what an empty
    /// value is too, and a credential of another scheme.
    pub(super) fn given<'a>(&'a self, head: &'a impl RequestHead) -> Given<'a> {
        match &self.0 {
            Place::Bearer => match only(head.header("authorization")) {
                Given::Once(value) => present(bearer(value)),
                given => given,
            },
            Place::Header(name) => match only(head.header(name)) {
                Given::Once(value) => present(value),
                given => given,
            },
            Place::Query(name) => {
                let query = head.query().unwrap_or_default();
                let named = query.split('&').filter_map(|pair| {
                    let (key, value) = pair.split_once('=')?;
                    (key == &**name).then_some(value.as_bytes())
                });
                match only(named) {
                    Given::Once(value) => present(value),
                    given => given,
                }
            }
        }
    }

    /// The key that a request has here, if it is meant to be one of ours.
    pub(super) fn ours<'a>(
        &'a self,
        head: &'a impl RequestHead,
        scheme: &KeyScheme,
    ) -> Option<&'a str> {
        match self.given(head) {
            Given::Once(value) => Some(text(value)).filter(|key| scheme.claims(key)),
            Given::Nothing | Given::Repeated => None,
        }
    }
}

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Given<'a> {
    match (values.next(), values.next()) {
        (None, _) => Given::Nothing,
        (Some(value), None) => Given::Once(value),
        (Some(_), Some(_)) => Given::Repeated,
    }
}

fn present(value: &[u8]) -> Given<'_> {
    match value.trim_ascii() {
        [] => Given::Nothing,
        value => Given::Once(value),
    }
}

/// What stands behind `Bearer`, whose case doesn't count (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.split_first_chunk::<6>() {
        Some((scheme, rest @ ([] | [b' ' | b'\t', ..])))
            if scheme.eq_ignore_ascii_case(b"bearer") =>
        {
            rest
        }
        _ => &[],
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Bearer => f.write_str("KeySource(bearer)"),
            Place::Header(name) => write!(f, "KeySource(header {name})"),
            Place::Query(name) => write!(f, "KeySource(query {name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_what_stands_behind_the_word() {
        for (value, expected) in [
            ("Bearer abc", "abc"),
            ("bearer abc", "abc"),
            ("BEARER   abc  ", "abc"),
            (" Bearer\tabc", "abc"),
            ("Bearer a b", "a b"),
            ("Bearer", ""),
            ("Bearer ", ""),
            ("Bearerabc", ""),
            ("Basic abc", ""),
            ("Bear", ""),
            ("", ""),
        ] {
            assert_eq!(bearer(value.as_bytes()).trim_ascii(), expected.as_bytes(), "{value:?}");
        }
    }
}
