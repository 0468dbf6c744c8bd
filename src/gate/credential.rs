//! Which key a request presents.

use super::RequestHead;
use super::source::{Given, KeySource};
use crate::scheme::KeyScheme;

/// No key is longer: an imported one has at most 512 bytes.
const LONGEST: usize = 1024;

/// The credential of a request, as far as it can be told without proof. It can't be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// No place has any.
    Absent,
    /// Only bearer tokens that aren't meant to be ours.
    Foreign(&'a str),
    /// One to be verified.
    Given { key: &'a str, in_query: bool },
    /// Two different keys of ours, or one header twice.
    Several,
}

impl<'a> Credential<'a> {
    /// Looks at every place. Allocates nothing.
    ///
    /// Of a credential that isn't meant to be ours nothing is made as long as another place
    /// has one that is; the same key at two places is one key.
    pub(super) fn read(
        head: &'a impl RequestHead,
        sources: &'a [KeySource],
        scheme: &KeyScheme,
    ) -> Self {
        let mut ours = Self::Absent;
        let mut other = Self::Absent;
        for source in sources {
            let value = match source.given(head) {
                Given::Nothing => continue,
                Given::Repeated => return Self::Several,
                Given::Once(value) => value,
            };
            let key = text(value);
            let in_query = source.query_name().is_some();
            if scheme.claims(key) {
                ours = match ours {
                    Self::Given { key: known, .. } if known != key => return Self::Several,
                    Self::Given { in_query: was, .. } => {
                        Self::Given { key, in_query: was || in_query }
                    }
                    _ => Self::Given { key, in_query },
                };
            } else if !source.is_bearer() {
                other = Self::Given { key, in_query };
            } else if other == Self::Absent {
                other = Self::Foreign(key);
            }
        }
        if ours == Self::Absent { other } else { ours }
    }

    /// What is to be verified.
    pub(super) fn key(self) -> &'a str {
        match self {
            Self::Foreign(key) | Self::Given { key, .. } => key,
            Self::Absent | Self::Several => "",
        }
    }
}

/// A value as text. What can't be a key is the empty text, which isn't one either.
pub(super) fn text(value: &[u8]) -> &str {
    let short = if value.len() <= LONGEST { value } else { &[] };
    str::from_utf8(short).unwrap_or_default()
}
