//! What an operation requires.

use super::expr::ScopeExpr;
use super::scope::validate_required;
use crate::error::FieldError;

/// The scopes that an operation requires.
///
/// An empty `All` or `Any` is never satisfied: whoever wrote a list meant to
/// require something. Write `None` to require nothing.
///
/// ```
/// use keyward::Scopes;
///
/// const WRITE: Scopes<'_> = Scopes::Any(&["deployments:write", "deployments:admin"]);
/// assert!(WRITE.satisfied_by(&mut |scope| scope == "deployments:admin"));
/// assert_eq!(WRITE.missing(&mut |_| false).len(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scopes<'a> {
    /// Each of these.
    All(&'a [&'a str]),
    /// At least one of these.
    Any(&'a [&'a str]),
    /// What the expression says.
    Expr(&'a ScopeExpr),
    /// Nothing: any valid key will do.
    #[default]
    None,
    /// This one.
    One(&'a str),
}

impl<'a> From<&'a str> for Scopes<'a> {
    fn from(scope: &'a str) -> Self {
        Self::One(scope)
    }
}

impl<'a> Scopes<'a> {
    /// Whether the requirement is met, given which scopes are granted. Allocates nothing.
    #[inline]
    pub fn satisfied_by(&self, granted: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Self::All(scopes) => !scopes.is_empty() && scopes.iter().all(|scope| granted(scope)),
            Self::Any(scopes) => scopes.iter().any(|scope| granted(scope)),
            Self::Expr(expr) => expr.eval(granted),
            Self::None => true,
            Self::One(scope) => granted(scope),
        }
    }

    /// The scopes whose lack refuses the operation; empty if it is not refused
    /// or if a list is empty.
    ///
    /// Of an expression these are all its scopes that are not granted, each once.
    pub fn missing(&self, granted: &mut dyn FnMut(&str) -> bool) -> Vec<&'a str> {
        if self.satisfied_by(granted) {
            return Vec::new();
        }
        let mut missing = Vec::new();
        for scope in self.named() {
            if !missing.contains(&scope) && !granted(scope) {
                missing.push(scope);
            }
        }
        missing
    }

    /// What is required, for people: the scopes of a list, or the expression as
    /// one text.
    pub fn required(&self) -> Vec<&'a str> {
        match *self {
            Self::Expr(expr) => vec![expr.as_str()],
            _ => self.named(),
        }
    }

    /// Checks the requirement where it is written, before any request comes.
    ///
    /// # Errors
    ///
    /// If a scope is malformed or has a wildcard, or if a list is empty.
    pub fn validate(&self) -> Result<(), FieldError> {
        match *self {
            Self::All([]) | Self::Any([]) => Err(FieldError::unshown(
                "scopes",
                "must list at least one scope; `Scopes::None` requires nothing",
            )),
            Self::All(scopes) | Self::Any(scopes) => {
                scopes.iter().enumerate().try_for_each(|(index, scope)| {
                    validate_required(scope).map_err(|error| error.at(format!("scopes[{index}]")))
                })
            }
            Self::Expr(_) | Self::None => Ok(()),
            Self::One(scope) => validate_required(scope),
        }
    }

    fn named(&self) -> Vec<&'a str> {
        match *self {
            Self::All(scopes) | Self::Any(scopes) => scopes.to_vec(),
            Self::Expr(expr) => expr.terms().collect(),
            Self::None => Vec::new(),
            Self::One(scope) => vec![scope],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_equals_its_meaning() {
        let expr = ScopeExpr::parse("(a OR b) AND c AND a").unwrap();
        for bits in 0..8u8 {
            let (a, b, c) = (bits & 1 == 1, bits & 2 == 2, bits & 4 == 4);
            let mut granted = |scope: &str| match scope {
                "a" => a,
                "b" => b,
                _ => c,
            };
            for (scopes, expected) in [
                (Scopes::All(&["a", "b", "c"]), a && b && c),
                (Scopes::Any(&["a", "b", "c"]), a || b || c),
                (Scopes::Expr(&expr), a && c),
                (Scopes::One("b"), b),
                (Scopes::None, true),
                (Scopes::All(&[]), false),
                (Scopes::Any(&[]), false),
            ] {
                assert_eq!(scopes.satisfied_by(&mut granted), expected, "{scopes:?}");
                let lacking = scopes.named().iter().any(|scope| !granted(scope));
                let missing = scopes.missing(&mut granted);
                assert_eq!(!missing.is_empty(), !expected && lacking, "{scopes:?}");
                assert!(missing.iter().all(|scope| !granted(scope)));
                assert!(missing.is_sorted_by(|left, right| left < right));
            }
        }
        assert_eq!(Scopes::Expr(&expr).required(), ["(a OR b) AND c AND a"]);
        assert_eq!(Scopes::Any(&["a", "b"]).required(), ["a", "b"]);
    }

    #[test]
    fn a_misconfigured_requirement_is_found() {
        for (scopes, field) in [
            (Scopes::All(&[]), "scopes"),
            (Scopes::Any(&[]), "scopes"),
            (Scopes::Any(&["a", "b:*"]), "scopes[1]"),
            (Scopes::One("*"), "scope"),
            (Scopes::One(""), "scope"),
        ] {
            assert_eq!(scopes.validate().unwrap_err().field(), field);
        }
        assert!(Scopes::All(&["a", "b"]).validate().is_ok());
        assert!(Scopes::None.validate().is_ok());
    }
}
