use std::fmt;

/// The longest piece of given text that an error repeats, in characters.
const SHOWN: usize = 64;
/// The longest name of a field, which may hold a name that was given.
const LONGEST_FIELD: usize = 160;
/// The longest run of letters and digits that is shown: a UUID without its hyphens.
const LONGEST_RUN: usize = 32;

/// One input that broke a rule.
///
/// The text names the field, the rule, and (unless it is or may be a secret)
/// what was given, escaped and cut to 64 characters. `[redacted]` stands in it for
/// what follows the id of a key, and for more than 32 letters and digits in a row:
/// people paste keys into the wrong field.
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
        Self { given: Some(shown(given, SHOWN)), ..Self::unshown(field, rule) }
    }

    /// An error about `field` whose value is secret or absent.
    pub(crate) fn unshown(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: shown(&field.into(), LONGEST_FIELD), given: None, rule: rule.into() }
    }

    /// The same error, about a field of a larger input.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = shown(&field.into(), LONGEST_FIELD);
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

fn shown(given: &str, longest: usize) -> String {
    // Enough to see whether a run that starts among the shown characters is too long.
    let near = given.char_indices().nth(longest + 4 * LONGEST_RUN).map_or(given.len(), |(i, _)| i);
    let safe = without_secrets(given.get(..near).unwrap_or_default());
    let mut text: String = safe.chars().take(longest).flat_map(char::escape_debug).collect();
    if near < given.len() || safe.chars().nth(longest).is_some() {
        text.push('…');
    }
    text
}

/// `text` without what may be the secret of a key, of whatever prefix.
fn without_secrets(text: &str) -> String {
    let mut safe = String::new();
    // The runs before, the last one first: a secret stands behind `_1` with an id, and `_`.
    let (mut id, mut before) = ("", "");
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let run = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let behind_an_id = (15..=19).contains(&id.len()) && id.starts_with('1') && before == "_";
        let hidden = run.len() > LONGEST_RUN || (behind_an_id && !run.is_empty());
        safe.push_str(if hidden { "[redacted]" } else { run });
        before = piece.get(run.len()..).unwrap_or_default();
        safe.push_str(before);
        id = run;
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_field_is_not_repeated() {
        let secret = "FeOgd23eOp1ARVjVEeNJPXGyijpXUwIL8tuPmXyNciz28lVFO";
        for (given, wanted) in [
            (format!("ak_live_1g5193p9gg3wv8efw_{secret}"), "ak_live_1g5193p9gg3wv8efw_[redacted]"),
            (
                format!("x ak_live_1g5193p9gg3wv8efw_{}", &secret[..9]),
                "x ak_live_1g5193p9gg3wv8efw_[redacted]",
            ),
            (format!("ak_live_1g5193p9gg3wv8efw{secret}"), "ak_live_[redacted]"),
            (format!("Bearer {secret}, {secret}"), "Bearer [redacted], [redacted]"),
            (secret.repeat(1_000), "[redacted]…"),
            ("0".repeat(32), "00000000000000000000000000000000"),
            ("key_g5193p9gg3wv8efw:read\n".into(), "key_g5193p9gg3wv8efw:read\\n"),
        ] {
            assert_eq!(FieldError::new("scope", &given, "").given(), Some(wanted), "{given}");
            assert_eq!(FieldError::unshown(given, "").field(), wanted);
        }
        let long = "é,".repeat(200);
        let shown = FieldError::new("scope", &long, "").given().map(|given| given.chars().count());
        assert_eq!(shown, Some(SHOWN + 1));
    }
}
