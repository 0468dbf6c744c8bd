//! One granted scope: its grammar, and what it matches.

use std::fmt;
use std::str::FromStr;

use crate::error::FieldError;
use crate::text::serde_as_text;

const LONGEST: usize = 128;

/// Everything that begins so is a management permission.
const MANAGEMENT: &str = "api.key.";

/// A scope that a key holds, perhaps a wildcard.
///
/// Segments of `A-Z`, `a-z`, `0-9`, `_` and `-`, joined by `:` or `.`; at most 128
/// bytes. The last segment may be `*`: `deployments:*` matches every scope below
/// `deployments:`, at any depth, but not `deployments` and not `deployments.read`.
/// `*` alone matches every scope but management permissions. There are no partial
/// wildcards, and case counts.
///
/// ```
/// use keyward::Scope;
///
/// let scope = Scope::parse("deployments:*")?;
/// assert!(scope.matches("deployments:eu:write"));
/// assert!(!scope.matches("deployments"));
/// assert!(!Scope::parse("*")?.matches("api.key.create"));
/// # Ok::<(), keyward::FieldError>(())
/// ```
///
/// # Security
///
/// Scopes below `api.key.` let a key manage keys. They are matched literally or
/// by a wildcard inside that namespace (`api.key.*`), never by `*` or `api.*`: a
/// key that was given everything cannot make more keys by accident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<str>);

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    ///
    /// If the text breaks the grammar above.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let literal = match text.strip_suffix('*') {
            Some("") => return Ok(Self(text.into())),
            Some(below) => below.strip_suffix([':', '.']),
            None => Some(text),
        };
        check(text, literal).map(|()| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the last segment is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether this scope grants `required`.
    ///
    /// A `required` that is no scope, or that has a wildcard, is never granted.
    pub fn matches(&self, required: &str) -> bool {
        match self.0.strip_suffix('*') {
            None => &*self.0 == required,
            Some(above) => {
                required.starts_with(above)
                    && (above.starts_with(MANAGEMENT) || !required.starts_with(MANAGEMENT))
                    && required.len() <= LONGEST
                    && is_literal(required)
            }
        }
    }

    /// Whether this scope grants everything that `other` grants.
    pub fn covers(&self, other: &Self) -> bool {
        let Some(theirs) = other.0.strip_suffix('*') else {
            return self.matches(&other.0);
        };
        self.0.strip_suffix('*').is_some_and(|ours| {
            theirs.starts_with(ours)
                && (ours.starts_with(MANAGEMENT) || !theirs.starts_with(MANAGEMENT))
        })
    }
}

/// Checks a scope that an operation requires: a literal scope, no wildcard.
pub(crate) fn validate_required(text: &str) -> Result<(), FieldError> {
    if text.contains('*') {
        return Err(FieldError::new(
            "scope",
            text,
            "must not have a wildcard: an operation requires one scope",
        ));
    }
    check(text, Some(text))
}

fn check(text: &str, literal: Option<&str>) -> Result<(), FieldError> {
    let rule = match literal {
        _ if !(1..=LONGEST).contains(&text.len()) => "must be 1 to 128 bytes",
        None => "may have a wildcard only as its whole last segment, as in `deployments:*`",
        Some(literal) if is_literal(literal) => return Ok(()),
        Some(literal) if literal.contains('*') => {
            "may have a wildcard only as its whole last segment, as in `deployments:*`"
        }
        Some(_) => {
            "must be segments of A-Z, a-z, 0-9, `_` and `-` joined by `:` or `.`, as in `read:assets`"
        }
    };
    Err(FieldError::new("scope", text, rule))
}

fn is_literal(text: &str) -> bool {
    text.split([':', '.']).all(|segment| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    })
}

impl FromStr for Scope {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(Scope, Scope::as_str);

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
