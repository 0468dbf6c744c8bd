//! The scopes of one key or role.

use serde::{Deserialize, Deserializer, Serialize};

use super::scope::Scope;
use crate::error::FieldError;

/// As many scopes are found faster by comparing each than by halving.
const FEW: usize = 8;

/// The most scopes that input may list.
const MOST: usize = 256;

/// An immutable set of scopes, sorted and without repeats.
///
/// The empty set grants nothing. Serialized as a list of strings.
///
/// ```
/// use keyward::ScopeSet;
///
/// let scopes = ScopeSet::parse_all("permissions", ["read:assets", "schedules:*"]).unwrap();
/// assert!(scopes.grants("schedules:write"));
/// assert!(!scopes.grants("write:assets"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet {
    scopes: Box<[Scope]>,
    has_wildcard: bool,
}

impl ScopeSet {
    /// The set of these scopes.
    pub fn from_scopes(scopes: impl IntoIterator<Item = Scope>) -> Self {
        scopes.into_iter().collect()
    }

    /// Reads at most 256 scopes; repeats count once.
    ///
    /// # Errors
    ///
    /// One error for each item that is no scope, named `field[index]`, and one
    /// named `field` if there are too many.
    pub fn parse_all(
        field: &str,
        items: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, Vec<FieldError>> {
        let (mut scopes, mut errors) = (Vec::new(), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            if index == MOST {
                errors.push(FieldError::unshown(
                    field,
                    "must list at most 256 scopes; a wildcard or a role may say the same in fewer",
                ));
                break;
            }
            match Scope::parse(item.as_ref()) {
                Ok(scope) => scopes.push(scope),
                Err(error) => errors.push(error.at(format!("{field}[{index}]"))),
            }
        }
        if errors.is_empty() { Ok(Self::from_scopes(scopes)) } else { Err(errors) }
    }

    /// Whether any scope of the set grants `required`. Allocates nothing.
    #[inline]
    pub fn grants(&self, required: &str) -> bool {
        let held = if self.scopes.len() <= FEW {
            self.scopes.iter().any(|scope| same(scope.as_str(), required))
        } else {
            self.scopes.binary_search_by(|scope| scope.as_str().cmp(required)).is_ok()
        };
        held && !required.ends_with('*')
            || self.has_wildcard && self.scopes.iter().any(|scope| scope.matches(required))
    }

    /// Whether this set grants everything that `scope` grants.
    pub fn covers(&self, scope: &Scope) -> bool {
        if scope.is_wildcard() {
            self.scopes.iter().any(|ours| ours.covers(scope))
        } else {
            self.grants(scope.as_str())
        }
    }

    /// The scopes in the order of their bytes.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.scopes.iter()
    }

    /// Whether there is no scope: nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// How many different scopes there are.
    pub fn len(&self) -> usize {
        self.scopes.len()
    }
}

/// Whether two texts are equal. Most scopes have 8 to 16 bytes, and two words from either
/// end tell those apart in less time than it takes to call `memcmp`.
#[inline]
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    match (one.first_chunk::<8>(), one.last_chunk::<8>()) {
        (Some(first), Some(last)) if one.len() <= 16 => {
            one.len() == other.len()
                && other.first_chunk() == Some(first)
                && other.last_chunk() == Some(last)
        }
        _ => one == other,
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self { has_wildcard: scopes.iter().any(Scope::is_wildcard), scopes: scopes.into() }
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.scopes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Scope>::deserialize(deserializer).map(Self::from_scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;

    fn text() -> impl proptest::strategy::Strategy<Value = String> {
        "(a|b|api|api[.]key)([:.](a|key|create)){0,2}([:.][*])?|[*]"
    }

    #[test]
    fn a_set_grants_and_covers_what_any_member_does() {
        proptest::proptest!(|(texts in vec(text(), 0..6), probe in text())| {
            let scopes: Vec<Scope> = texts.iter().map(|text| Scope::parse(text).unwrap()).collect();
            let set = ScopeSet::parse_all("permissions", &texts).unwrap();
            assert_eq!(set.grants(&probe), scopes.iter().any(|scope| scope.matches(&probe)));
            let probe = Scope::parse(&probe).unwrap();
            assert_eq!(set.covers(&probe), scopes.iter().any(|scope| scope.covers(&probe)));
            assert!(set.iter().is_sorted() && set.iter().all(|scope| scopes.contains(scope)));
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), set);
            let reversed = ScopeSet::from_scopes(scopes.into_iter().rev());
            assert_eq!(reversed, set);
        });
    }

    #[test]
    fn every_failing_item_is_reported() {
        let errors = ScopeSet::parse_all("permissions", ["a", "b c", "d", "", "a*"]).unwrap_err();
        let fields: Vec<_> = errors.iter().map(FieldError::field).collect();
        assert_eq!(fields, ["permissions[1]", "permissions[3]", "permissions[4]"]);
    }

    #[test]
    fn the_most_scopes_are_256() {
        let texts = |count: usize| (0..count).map(|index| format!("scope:{index}"));
        assert_eq!(ScopeSet::parse_all("p", texts(256)).unwrap().len(), 256);
        let errors = ScopeSet::parse_all("p", texts(1 << 20)).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].field(), "p");
    }

    #[test]
    fn the_empty_set_grants_nothing() {
        let set = ScopeSet::default();
        assert!(set.is_empty() && !set.grants("a") && !set.grants(""));
        assert!(!set.covers(&Scope::parse("*").unwrap()));
    }

    #[test]
    fn asking_allocates_nothing() {
        let set = ScopeSet::parse_all("p", ["a", "b:*", "api.key.*"]).unwrap();
        let counted = allocation_counter::measure(|| {
            for required in ["a", "b:c", "api.key.create", "zzz", ""] {
                std::hint::black_box(set.grants(required));
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}
