use std::fmt;

/// The longest piece of given text that an error repeats, in characters.
const SHOWN: usize = 64;

/// One input that broke a rule.
///
/// The text names the field, the rule, and (unless it is or may be a secret)
/// what was given, escaped and cut to 64 characters.
///
/// ```
/// let error = keyward::Scope::parse("read assets").unwrap_err();
/// assert_eq!(error.field(), "scope");
/// assert!(error.to_string().contains("`read assets`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    rule: String,
}

impl FieldError {
    /// An error about `field`, repeating what was given.
    pub(crate) fn new(field: impl Into<String>, given: &str, rule: impl Into<String>) -> Self {
        Self { given: Some(shown(given)), ..Self::unshown(field, rule) }
    }

    /// An error about `field` whose value is secret or absent.
    pub(crate) fn unshown(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), given: None, rule: rule.into() }
    }

    /// The same error, about a field of a larger input.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The name of the field, as callers of the admin API spell it.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What was given, escaped and shortened; never a secret.
    pub fn given(&self) -> Option<&str> {
        self.given.as_deref()
    }

    /// The rule that was broken.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.rule)?;
        match &self.given {
            Some(given) => write!(f, ", got `{given}`"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FieldError {}

fn shown(given: &str) -> String {
    let mut text: String = given.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if given.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
