//! The rules for what people write into a key, and every breach of them at once.

use std::collections::BTreeMap;

use crate::error::FieldError;
use crate::grant::{ResourceRules, RoleName};
use crate::timestamp::Timestamp;

/// Everything that is wrong with one input.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn check(&mut self, result: Result<(), FieldError>) {
        self.0.extend(result.err());
    }

    pub(super) fn optional<T, U>(
        &mut self,
        given: Option<U>,
        parse: impl FnOnce(U) -> Result<T, FieldError>,
    ) -> Option<T> {
        given.map(parse)?.map_err(|error| self.0.push(error)).ok()
    }

    pub(super) fn all<T: Default>(&mut self, result: Result<T, Vec<FieldError>>) -> T {
        result.unwrap_or_else(|errors| {
            self.0.extend(errors);
            T::default()
        })
    }

    pub(super) fn finish(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

pub(super) fn check_dates(
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
) -> Result<(), FieldError> {
    match (not_before, expires_at) {
        (Some(start), Some(end)) if end <= start => {
            let rule = format!("must be after `not_before`, {start}");
            Err(FieldError::new("expires_at", &end.to_string(), rule))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_ahead(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), FieldError> {
    match expires_at {
        Some(end) if end <= now => {
            let rule = format!("must be after now, {now}");
            Err(FieldError::new("expires_at", &end.to_string(), rule))
        }
        _ => Ok(()),
    }
}

pub(super) fn parse_roles(
    single: Option<&String>,
    names: &[String],
) -> Result<Box<[RoleName]>, Vec<FieldError>> {
    let mut errors = Errors::default();
    let given = single.into_iter().len() + names.len();
    if given > MAX_ROLES {
        let rule = format!("must be at most {MAX_ROLES}");
        errors.check(Err(FieldError::new("roles", &given.to_string(), rule)));
    }
    let mut parsed = Vec::new();
    parsed.extend(
        errors.optional(single, |name| RoleName::new(name).map_err(|error| error.at("role"))),
    );
    for (i, name) in names.iter().take(MAX_ROLES).enumerate() {
        parsed.extend(errors.optional(Some(name), |name| {
            RoleName::new(name).map_err(|error| error.at(format!("roles[{i}]")))
        }));
    }
    parsed.sort_unstable();
    parsed.dedup();
    errors.finish().map(|()| parsed.into())
}

const MAX_ROLES: usize = 64;

pub(super) fn parse_resources(
    resources: &BTreeMap<String, Vec<String>>,
    customers: &[String],
) -> Result<ResourceRules, Vec<FieldError>> {
    let mut kinds = resources.clone();
    let others = kinds.get("customer").map_or(0, Vec::len);
    if !customers.is_empty() {
        kinds.entry("customer".to_owned()).or_default().extend_from_slice(customers);
    }
    let as_given = |error: FieldError| match customer_index(error.field()) {
        Some(i) if i >= others => error.at(format!("customers[{}]", i - others)),
        _ => error,
    };
    ResourceRules::new(&kinds).map_err(|errors| errors.into_iter().map(as_given).collect())
}

fn customer_index(field: &str) -> Option<usize> {
    field.strip_prefix("resources.customer[")?.strip_suffix(']')?.parse().ok()
}

pub(super) fn check_owner(owner: &str) -> Result<(), FieldError> {
    check_visible("owner", owner, 128)
}

pub(super) fn check_visible(field: &str, text: &str, longest: usize) -> Result<(), FieldError> {
    if text.is_empty() || text.len() > longest || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let rule = format!("must be 1 to {longest} visible ASCII characters without spaces");
        return Err(FieldError::new(field, text, rule));
    }
    Ok(())
}

/// Text that people will read in lists: nothing that hides or reorders other text.
pub(super) fn check_text(field: &str, text: &str, longest: usize) -> Result<(), FieldError> {
    if text.trim().is_empty() || text.len() > longest {
        let rule = format!("must be 1 to {longest} bytes of text");
        return Err(FieldError::new(field, text, rule));
    }
    match text.chars().find(|c| c.is_control() || is_invisible(*c)) {
        Some(c) => {
            let rule = format!(
                "must not hold control or bidirectional characters (U+{:04X})",
                u32::from(c)
            );
            Err(FieldError::new(field, text, rule))
        }
        None => Ok(()),
    }
}

/// Line separators and the bidirectional controls of UAX #9.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Vec<FieldError>> {
    const LONGEST: usize = 16 * 1024;
    let size: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > LONGEST {
        let rule = format!("must be at most {LONGEST} bytes in all, keys included");
        return Err(vec![FieldError::new("metadata", &format!("{size} bytes"), rule)]);
    }
    let mut errors = Errors::default();
    for (key, value) in metadata {
        errors.check(check_entry(key, value));
    }
    errors.finish()
}

fn check_entry(key: &str, value: &str) -> Result<(), FieldError> {
    check_text("metadata", key, 128)?;
    match value.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(c) => {
            let rule = format!("must not hold control characters (U+{:04X})", u32::from(c));
            Err(FieldError::unshown(format!("metadata.{key}"), rule))
        }
        None => Ok(()),
    }
}
