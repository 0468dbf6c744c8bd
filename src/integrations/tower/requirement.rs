use std::borrow::Cow;

use crate::error::FieldError;
use crate::grant::{ScopeExpr, Scopes};

/// The scopes of a route, checked.
#[derive(Clone, Debug, Default)]
pub(super) enum Requirement {
    All(Box<[&'static str]>),
    Any(Box<[&'static str]>),
    Expr(ScopeExpr),
    #[default]
    None,
    One(Cow<'static, str>),
}

impl Requirement {
    pub(super) fn scopes(&self) -> Scopes<'_> {
        match self {
            Self::All(scopes) => Scopes::All(scopes),
            Self::Any(scopes) => Scopes::Any(scopes),
            Self::Expr(expr) => Scopes::Expr(expr),
            Self::None => Scopes::None,
            Self::One(scope) => Scopes::One(scope),
        }
    }

    /// Both this and another: a further requirement never takes one away.
    pub(super) fn and(&self, other: Self) -> Result<Self, FieldError> {
        other.scopes().validate()?;
        match self.text() {
            None => Ok(other),
            Some(this) => {
                let both = [this].into_iter().chain(other.text());
                Ok(Self::Expr(ScopeExpr::parse(&both.collect::<Vec<_>>().join(" AND "))?))
            }
        }
    }

    /// As an operand of `AND`.
    fn text(&self) -> Option<String> {
        match self {
            Self::All(scopes) => Some(scopes.join(" AND ")),
            Self::Any(scopes) => Some(format!("({})", scopes.join(" OR "))),
            Self::Expr(expr) => Some(format!("({expr})")),
            Self::None => None,
            Self::One(scope) => Some(scope.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_add_up() {
        let one = Requirement::None.and(Requirement::One("a".into())).unwrap();
        assert_eq!(one.scopes(), Scopes::One("a"));
        let two = one.and(Requirement::Any(["b", "c"].into())).unwrap();
        let three = two.and(Requirement::All(["d", "e"].into())).unwrap();
        assert_eq!(three.scopes().required(), ["(a AND (b OR c)) AND d AND e"]);
        assert!(three.scopes().satisfied_by(&mut |scope| scope != "b"));
        assert!(!three.scopes().satisfied_by(&mut |scope| scope != "e"));
    }

    #[test]
    fn a_wildcard_and_an_empty_list_are_refused() {
        for wrong in [
            Requirement::One("read:*".into()),
            Requirement::One("".into()),
            Requirement::All(["a", "*"].into()),
            Requirement::Any([].into()),
        ] {
            assert!(Requirement::None.and(wrong).is_err());
        }
    }
}
