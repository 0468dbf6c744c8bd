//! Where a key may be used: production, sandbox, and the host's own.

use std::fmt;
use std::str::FromStr;

use crate::error::FieldError;
use crate::text::serde_as_text;

const LONGEST: usize = 32;

/// The environment that a key is made for and that a request is served in.
///
/// 1 to 32 bytes of `a-z`, `0-9` and `-`, starting with a letter. Stored inline:
/// copying it is cheap and comparing it is one comparison of 32 bytes.
///
/// ```
/// use keyward::Environment;
///
/// const EUROPE: Environment = Environment::try_new("production-eu").unwrap();
///
/// assert_eq!(Environment::new("production")?, Environment::PRODUCTION);
/// assert_ne!(EUROPE, Environment::PRODUCTION);
/// assert!(Environment::new("Production").is_err());
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment([u8; LONGEST]);

impl Environment {
    /// `production`: real customers, real data.
    pub const PRODUCTION: Self = Self::padded("production");
    /// `sandbox`: where customers try things out.
    pub const SANDBOX: Self = Self::padded("sandbox");
    /// `staging`: the last stop before production.
    pub const STAGING: Self = Self::padded("staging");
    /// `development`: on a developer's machine.
    pub const DEVELOPMENT: Self = Self::padded("development");

    /// The environment of this name.
    ///
    /// # Errors
    ///
    /// If the name breaks the rule above.
    pub fn new(name: &str) -> Result<Self, FieldError> {
        Self::try_new(name).ok_or_else(|| {
            FieldError::new(
                "environment",
                name,
                "must be 1 to 32 characters from a-z, 0-9 and `-`, and start with a letter",
            )
        })
    }

    /// The environment of this name, or `None`: [`Environment::new`] for constants.
    pub const fn try_new(name: &str) -> Option<Self> {
        if is_name(name.as_bytes()) { Some(Self::padded(name)) } else { None }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        str::from_utf8(name).unwrap_or_default()
    }

    const fn padded(name: &str) -> Self {
        let mut bytes = [0; LONGEST];
        if let Some((start, _)) = bytes.split_at_mut_checked(name.len()) {
            start.copy_from_slice(name.as_bytes());
        }
        Self(bytes)
    }
}

const fn is_name(name: &[u8]) -> bool {
    let Some((b'a'..=b'z', mut rest)) = name.split_first() else {
        return false;
    };
    while let Some((byte, tail)) = rest.split_first() {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        rest = tail;
    }
    name.len() <= LONGEST
}

impl FromStr for Environment {
    type Err = FieldError;

    fn from_str(name: &str) -> Result<Self, FieldError> {
        Self::new(name)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({})", self.as_str())
    }
}

serde_as_text!(Environment, Environment::as_str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_read_back() {
        for (environment, name) in [
            (Environment::PRODUCTION, "production"),
            (Environment::SANDBOX, "sandbox"),
            (Environment::STAGING, "staging"),
            (Environment::DEVELOPMENT, "development"),
        ] {
            assert_eq!(environment.as_str(), name);
            assert_eq!(Environment::new(name), Ok(environment));
            let json = serde_json::to_string(&environment).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
        }
    }

    #[test]
    fn names_follow_the_rule() {
        let longest = "a".repeat(32);
        for name in ["a", "eu-1", "a-", longest.as_str()] {
            assert_eq!(Environment::new(name).unwrap().to_string(), name);
        }
        let (long, huge) = ("a".repeat(33), "a".repeat(1 << 20));
        for name in ["", "1a", "-a", "A", "a_b", "a b", "a\0", "ä", "a.b", &long, &huge] {
            let error = Environment::new(name).unwrap_err();
            assert_eq!(error.field(), "environment");
            assert!(serde_json::from_value::<Environment>(name.into()).is_err());
        }
    }

    #[test]
    fn order_and_equality_are_those_of_the_names() {
        proptest::proptest!(|(left in "[a-z][a-z0-9-]{0,31}", right in "[a-z][a-z0-9-]{0,3}")| {
            let (a, b) = (Environment::new(&left).unwrap(), Environment::new(&right).unwrap());
            assert_eq!(a.cmp(&b), left.cmp(&right));
            assert_eq!(a == b, left == right);
            assert_eq!(a.as_str(), left);
        });
    }
}
