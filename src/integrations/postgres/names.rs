use crate::error::FieldError;

/// The longest name of `PostgreSQL`, in bytes.
const LONGEST: usize = 63;
/// The longest prefix that leaves room for the names behind it.
const LONGEST_PREFIX: usize = 40;

/// Where the tables are, and how their names begin: both are safe inside quotes.
#[derive(Clone)]
pub(super) struct Names {
    schema: Box<str>,
    prefix: Box<str>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { schema: "public".into(), prefix: "keyward_".into() }
    }

    pub(super) fn in_schema(self, schema: &str) -> Result<Self, FieldError> {
        let rule = "must be 1 to 63 of letters of ASCII, digits and `_`, not a digit first";
        let is_name = is_identifier(schema) && (1..=LONGEST).contains(&schema.len());
        if is_name {
            Ok(Self { schema: schema.into(), ..self })
        } else {
            Err(FieldError::new("schema", schema, rule))
        }
    }

    pub(super) fn prefixed(self, prefix: &str) -> Result<Self, FieldError> {
        let rule = "must be at most 40 of letters of ASCII, digits and `_`, not a digit first";
        if is_identifier(prefix) && prefix.len() <= LONGEST_PREFIX {
            Ok(Self { prefix: prefix.into(), ..self })
        } else {
            Err(FieldError::new("prefix", prefix, rule))
        }
    }

    /// SQL with its `{schema}`, `{prefix}` and `{channel}` filled in.
    pub(super) fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", &self.schema)
            .replace("{prefix}", &self.prefix)
            .replace("{channel}", &self.channel())
    }

    /// What commits notify: one name for each place that tables can be in.
    pub(super) fn channel(&self) -> String {
        // FNV-1a: schema and prefix together may be longer than a channel's name.
        let place = self.schema.bytes().chain([b'.']).chain(self.prefix.bytes());
        let hash = place.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("keyward_{hash:016x}")
    }
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_its_quotes_is_refused() {
        for text in ["a\"b", "a'b", "a b", "1a", "ä", "a$b", "a;b", "a.b", "a\0b", "{prefix}"] {
            assert!(Names::new().in_schema(text).is_err(), "{text}");
            assert!(Names::new().prefixed(text).is_err(), "{text}");
        }
        assert!(Names::new().in_schema("").is_err());
        assert!(Names::new().in_schema(&"s".repeat(64)).is_err());
        assert!(Names::new().prefixed(&"p".repeat(41)).is_err());
        let names = Names::new().in_schema("Auth_2").unwrap().prefixed("").unwrap();
        assert_eq!(names.fill(r#""{schema}"."{prefix}keys""#), r#""Auth_2"."keys""#);
    }

    #[test]
    fn no_two_places_share_a_channel() {
        fn channel(schema: &str, prefix: &str) -> String {
            Names::new().in_schema(schema).unwrap().prefixed(prefix).unwrap().channel()
        }
        let longest = channel(&"s".repeat(63), &"p".repeat(40));
        assert!(longest.len() <= LONGEST, "{longest}");
        assert_ne!(channel("a", "b_"), channel("a", "c_"));
        assert_ne!(channel("ab", "c"), channel("a", "bc"));
    }
}
