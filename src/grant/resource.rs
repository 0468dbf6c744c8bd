//! For which customers, sites or other resources a key works.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::is_visible;
use crate::error::FieldError;

const FIELD: &str = "resources";
const LONGEST_KIND: usize = 64;
const LONGEST_ID: usize = 256;
const MOST: usize = 1000;

/// The resources that a key is bound to: for each kind, the ids that it may touch.
///
/// A kind is 1 to 64 bytes of `a-z`, `0-9`, `_`, `.` and `-`; an id is 1 to 256
/// bytes of visible ASCII. At most 1,000 ids in all, at least one for each kind.
/// Serialized as a map of lists.
///
/// A key that names customers works only for a request that names one of them,
/// and no other. Kinds that the key doesn't name are free.
///
/// ```
/// use keyward::ResourceRules;
///
/// let rules = ResourceRules::new([("customer", ["cust_123"])]).unwrap();
/// assert!(rules.allows(&[("customer", "cust_123"), ("site", "s_1")]));
/// assert!(!rules.allows(&[("customer", "cust_999")]));
/// assert!(!rules.allows(&[]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceRules(Box<[Rule]>);

/// A kind and its ids, sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Rule {
    kind: Box<str>,
    ids: Box<[Box<str>]>,
}

impl ResourceRules {
    /// The rules with these kinds and their ids; repeated ids count once.
    ///
    /// # Errors
    ///
    /// One error for each thing that breaks a rule above or is a kind given twice,
    /// named `resources.kind`, `resources.kind[index]` or `resources`.
    pub fn new<K, I>(rules: impl IntoIterator<Item = (K, I)>) -> Result<Self, Vec<FieldError>>
    where
        K: AsRef<str>,
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut reading = Reading::default();
        for (kind, ids) in rules {
            if reading.count > MOST {
                break;
            }
            reading.rule(kind.as_ref(), ids);
        }
        reading.end()
    }

    /// Whether a request that names `resources`, as kind and id, is allowed.
    ///
    /// Of each kind that the key names, the request must name at least one, and
    /// each that it names must be the key's. Allocates nothing.
    pub fn allows(&self, resources: &[(&str, &str)]) -> bool {
        self.refused_by(resources).is_none()
    }

    /// The first kind, in order, whose rule refuses a request that names `resources`.
    pub fn refused_by(&self, resources: &[(&str, &str)]) -> Option<&str> {
        let refuses = |rule: &&Rule| {
            let mut named = resources.iter().filter(|(kind, _)| **kind == *rule.kind).peekable();
            named.peek().is_none() || !named.all(|(_, id)| rule.has(id))
        };
        self.0.iter().find(refuses).map(|rule| &*rule.kind)
    }

    /// Whether `outer` allows every request that these rules allow.
    pub fn within(&self, outer: &Self) -> bool {
        outer.0.iter().all(|theirs| {
            self.rule(&theirs.kind).is_some_and(|ours| ours.ids.iter().all(|id| theirs.has(id)))
        })
    }

    /// Whether no kind is named: any request is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Kinds and ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|rule| rule.ids.iter().map(|id| (&*rule.kind, &**id)))
    }

    /// The kinds that the key names, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| &*rule.kind)
    }

    /// The ids of `kind`, in order; none if the kind is free.
    pub fn values(&self, kind: &str) -> impl Iterator<Item = &str> {
        let ids = self.rule(kind).map_or(&[][..], |rule| &rule.ids);
        ids.iter().map(|id| &**id)
    }

    fn rule(&self, kind: &str) -> Option<&Rule> {
        let at = self.0.binary_search_by(|rule| (*rule.kind).cmp(kind)).ok()?;
        self.0.get(at)
    }
}

impl Rule {
    fn has(&self, id: &str) -> bool {
        self.ids.binary_search_by(|ours| (**ours).cmp(id)).is_ok()
    }
}

/// Rules being read, and all that is wrong with them.
#[derive(Default)]
struct Reading {
    kinds: BTreeMap<Box<str>, Vec<Box<str>>>,
    errors: Vec<FieldError>,
    /// Ids so far; a kind without ids counts as one, so that input has an end.
    count: usize,
}

impl Reading {
    fn rule(&mut self, kind: &str, given: impl IntoIterator<Item: AsRef<str>>) {
        let field = if is_kind(kind) {
            format!("{FIELD}.{kind}")
        } else {
            self.errors.push(FieldError::new(FIELD, kind, KIND_RULE));
            FIELD.to_owned()
        };
        let before = self.count;
        let mut ids: Vec<Box<str>> = Vec::new();
        for (index, id) in given.into_iter().enumerate() {
            self.count += 1;
            if self.count > MOST {
                break;
            }
            let id = id.as_ref();
            if is_visible(id, LONGEST_ID) {
                ids.push(id.into());
            } else {
                let field = format!("{field}[{index}]");
                self.errors.push(FieldError::new(field, id, ID_RULE));
            }
        }
        if self.count == before {
            self.count += 1;
            let rule = "must list at least one id";
            self.errors.push(FieldError::unshown(&field, rule));
        }
        ids.sort_unstable();
        ids.dedup();
        if self.kinds.insert(kind.into(), ids).is_some() {
            self.errors.push(FieldError::unshown(field, "must be given once"));
        }
    }

    fn end(mut self) -> Result<ResourceRules, Vec<FieldError>> {
        if self.count > MOST {
            let rule = "must have at most 1000 ids";
            self.errors.push(FieldError::unshown(FIELD, rule));
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let rules = self.kinds.into_iter().map(|(kind, ids)| Rule { kind, ids: ids.into() });
        Ok(ResourceRules(rules.collect()))
    }
}

const KIND_RULE: &str = "must have kinds of 1 to 64 characters from a-z, 0-9, `_`, `.` and `-`";
const ID_RULE: &str = "must be 1 to 256 visible ASCII characters";

fn is_kind(kind: &str) -> bool {
    let in_kind = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=LONGEST_KIND).contains(&kind.len()) && kind.bytes().all(in_kind)
}

impl Serialize for ResourceRules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|rule| (&rule.kind, &rule.ids)))
    }
}

impl<'de> Deserialize<'de> for ResourceRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads every entry, so that a kind given twice is seen and not overwritten.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = ResourceRules;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of kinds to lists of ids")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ResourceRules, M::Error> {
        let mut entries: Vec<(String, Vec<String>)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        ResourceRules::new(entries).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(texts.join("; "))
        })
    }
}

#[cfg(test)]
#[path = "resource_tests.rs"]
mod tests;
