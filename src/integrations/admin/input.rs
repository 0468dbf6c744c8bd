use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_LENGTH, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::Refused;
use super::tree::Tree;
use crate::error::FieldError;

/// The longest body, in bytes. Metadata has at most a quarter of it, and thousands of networks
/// or resources have room.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// A caller's name for a request that makes a key, so that it makes one only.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A body, or why it could not be taken in.
pub(super) type Received = Result<Zeroizing<Vec<u8>>, Refused>;

/// Takes in a body, unless it is too long. Where nothing is changed there is none to read.
pub(super) async fn receive(parts: &Parts, mut body: Body) -> Received {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(Zeroizing::default());
    }
    let declared =
        parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > LONGEST_BODY as u64) {
        return Err(Refused::body_too_large());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(frame) = frame else { return Err(Refused::incomplete_body()) };
        let Some(more) = frame.data_ref() else { continue };
        if bytes.len() + more.len() > LONGEST_BODY {
            return Err(Refused::body_too_large());
        }
        bytes.extend_from_slice(more);
    }
    Ok(bytes)
}

/// Reads a body of JSON, an object whose every field stands by itself: each that doesn't fit
/// is reported. None is `{}`.
///
/// # Security
///
/// What serde says of a field may repeat what was given, and people paste keys into the
/// wrong field. Of its words only those stay that are our own.
pub(super) fn read<T: DeserializeOwned>(body: Received) -> Result<T, Refused> {
    let text = body?;
    if text.trim_ascii().is_empty() {
        return from(Map::new()).map_err(|rule| FieldError::unshown("body", rule).into());
    }
    let tree: Tree = serde_json::from_slice(&text)
        .map_err(|error| Refused::malformed_json(error.line(), error.column()))?;
    let fields = match tree.into_value() {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(FieldError::unshown("body", "must be an object").into()),
        Err(twice) => return Err(FieldError::unshown(twice, "must be given once").into()),
    };
    match from::<T>(fields.clone()) {
        Ok(input) => Ok(input),
        Err(rule) => {
            let errors: Vec<_> = fields.into_iter().filter_map(fault::<T>).collect();
            let unplaced = || vec![FieldError::unshown("body", rule)];
            Err(if errors.is_empty() { unplaced() } else { errors }.into())
        }
    }
}

/// What is wrong with one field, in which element of a list or a map.
fn fault<T: DeserializeOwned>((name, value): (String, Value)) -> Option<FieldError> {
    let alone = |value: Value| from::<T>(Map::from_iter([(name.clone(), value)])).err();
    let rule = alone(value.clone())?;
    let place = match &value {
        Value::Array(items) => (0..).zip(items).find_map(|(i, item): (usize, _)| {
            Some((format!("{name}[{i}]"), alone(Value::Array(vec![item.clone()]))?))
        }),
        Value::Object(entries) => entries.iter().find_map(|(key, item)| {
            let entry = Map::from_iter([(key.clone(), item.clone())]);
            let rule = alone(Value::Object(entry))?;
            // By itself an entry lacks the others.
            (!rule.starts_with(LACKS)).then(|| (format!("{name}.{key}"), rule))
        }),
        _ => None,
    };
    let (field, rule) = place.unwrap_or((name, rule));
    Some(FieldError::unshown(field, rule))
}

fn from<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    T::deserialize(Value::Object(fields)).map_err(|error| rule(&error.to_string()))
}

/// How serde begins to say that a field is not there.
const LACKS: &str = "missing field ";

/// The rule in serde's words, without what was given.
///
/// What is expected stands at the end of them, behind all that was given.
fn rule(said: &str) -> String {
    let expected = said.rsplit_once(", expected ").map(|(_, expected)| expected);
    match (said.split('`').next(), expected) {
        _ if said.ends_with(", there are no fields") => "is unknown".to_owned(),
        // These are of our own types, and hold nothing that was not shown before.
        (Some("" | LACKS), _) => said.to_owned(),
        (Some("unknown field "), Some(known)) => {
            format!("is or holds an unknown field; expected {known}")
        }
        (_, Some(expected)) => format!("must be {expected}"),
        (_, None) => "has the wrong form".to_owned(),
    }
}

/// The caller's idempotency key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    one(headers, &IDEMPOTENCY_KEY, "must be visible ASCII characters, and sent once")
}

/// The revision that an edit is about; `None` if any will do.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let rule = "must be one revision in double quotes, as `ETag` tells it";
    let Some(tag) = one(headers, &IF_MATCH, rule)? else {
        return Err(Refused::precondition_required());
    };
    let tag = tag.trim();
    if tag == "*" {
        return Ok(None);
    }
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    let opaque = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match opaque.filter(|opaque| !opaque.contains('"')) {
        // A weak tag, or one that this API never gave, is no revision of this key.
        Some(revision) if strong == tag => Ok(Some(revision.parse().unwrap_or(u64::MAX))),
        Some(_) => Ok(Some(u64::MAX)),
        None => Err(FieldError::unshown(IF_MATCH.as_str(), rule).into()),
    }
}

fn one<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    rule: &str,
) -> Result<Option<&'h str>, Refused> {
    let mut given = headers.get_all(name).iter();
    match (given.next().map(HeaderValue::to_str), given.next()) {
        (None, _) => Ok(None),
        (Some(Ok(text)), None) => Ok(Some(text)),
        _ => Err(FieldError::unshown(name.as_str(), rule).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_serde_says_only_our_own_words_stay() {
        for (said, expected) in [
            ("invalid type: string \"S\", expected a sequence", "must be a sequence"),
            ("invalid type: string \", expected S\", expected u32", "must be u32"),
            ("unknown variant `S`, expected `open` or `closed`", "must be `open` or `closed`"),
            ("unknown field `S, expected S`, there are no fields", "is unknown"),
            (
                "unknown field `S`, expected `reason`",
                "is or holds an unknown field; expected `reason`",
            ),
            ("missing field `count`", "missing field `count`"),
            (
                "`rate_limit.count` must be 1 to 9, got `0`",
                "`rate_limit.count` must be 1 to 9, got `0`",
            ),
            ("S", "has the wrong form"),
        ] {
            assert_eq!(rule(said), expected);
        }
    }
}
