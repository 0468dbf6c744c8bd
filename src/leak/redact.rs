//! Secrets taken out of a text, so that it can be logged.

use std::borrow::Cow;
use std::ops::Range;

use super::{base62_run, ending, marks};
use crate::token::{CHECK_LEN, ID_LEN, Prefix, SECRET_LEN};

const REDACTED: &str = "[redacted]";

/// How many characters a mistyped field may have lost or gained.
const SLIPS: usize = 2;
const MIN_ID: usize = ID_LEN - SLIPS;
const MAX_ID: usize = ID_LEN + SLIPS;
const MIN_FIELD: usize = SECRET_LEN + CHECK_LEN - SLIPS;

/// `text` without the secrets of these prefixes' keys, in linear time.
///
/// Prefix and id remain, `[redacted]` stands for the rest. It errs on the side of
/// hiding: a key counts if it is truncated or mistyped, that is, if behind a
/// prefix and `_1` there are
///
/// - 14 to 18 letters and digits, `_`, and at least one letter or digit;
/// - more than 18 letters and digits (the second `_` was lost): 16 remain; or
/// - fewer than 14, `_`, and at least 47 (much of the id was lost).
///
/// Before at least 47 any character but a space does for the `_`.
///
/// A field too short for its place is read on over one foreign character that is
/// not a space, if it is long enough then.
///
/// Borrowed if there is nothing to hide. Doing it twice changes nothing.
///
/// # Security
///
/// Not found: a key whose prefix or `_1` is mistyped, that is encoded (base64,
/// percent signs), or whose secret stands on another line.
pub(crate) fn redact<'t>(prefixes: &[Prefix], text: &'t str) -> Cow<'t, str> {
    let mut redacted = String::new();
    let mut done = 0;
    for secret in marks(text).filter_map(|mark| secret_at(prefixes, text, mark)) {
        // A second mark may stand inside what is hidden already.
        if secret.start >= done {
            redacted.push_str(text.get(done..secret.start).unwrap_or_default());
            redacted.push_str(REDACTED);
        }
        done = done.max(secret.end);
    }
    if redacted.is_empty() {
        return Cow::Borrowed(text);
    }
    redacted.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(redacted)
}

/// What is to be hidden of the key whose `_1` stands at `mark`, if one does.
fn secret_at(prefixes: &[Prefix], text: &str, mark: usize) -> Option<Range<usize>> {
    let (before, rest) = text.split_at_checked(mark)?;
    ending(prefixes, before).next()?;
    let rest = rest.get(2..)?;
    let run = base62_run(rest);
    let follows = |len| rest.get(len..).is_some_and(|rest| rest.starts_with('_'));
    let id = match over_one_foreign(rest, run) {
        longer if !follows(run) && follows(longer) && is_id_len(longer) => longer,
        _ => run,
    };
    let (separator, secret) = separated_secret(rest.get(id..)?);
    let start = if run > MAX_ID {
        ID_LEN
    } else if id >= MIN_ID || secret >= MIN_FIELD {
        id + separator
    } else {
        return None;
    };
    let end = id + separator + secret;
    (start < end).then_some(mark + 2 + start..mark + 2 + end)
}

/// Whether an id with a foreign character of up to four bytes may be that long.
fn is_id_len(bytes: usize) -> bool {
    (MIN_ID..=MAX_ID + 3).contains(&bytes)
}

/// The lengths of the separator and of the secret behind an id; zeros without one.
///
/// Any character but a space separates what is long enough for a whole secret.
fn separated_secret(text: &str) -> (usize, usize) {
    let mut field = text.chars();
    let separator = match field.next() {
        Some(separator) if !separator.is_whitespace() => separator,
        _ => return (0, 0),
    };
    let secret = match separator {
        '_' => secret_len(field.as_str()),
        _ => base62_run(field.as_str()),
    };
    if separator == '_' || secret >= MIN_FIELD { (separator.len_utf8(), secret) } else { (0, 0) }
}

/// How much of `text` may be secret and checksum.
fn secret_len(text: &str) -> usize {
    let run = base62_run(text);
    let longer = over_one_foreign(text, run);
    let hidden = text.get(..longer).unwrap_or_default();
    if run < MIN_FIELD
        && longer >= MIN_FIELD
        && hidden.ends_with(|end: char| end.is_ascii_alphanumeric())
    {
        longer
    } else {
        run
    }
}

/// The length of the base62 run of `text` with a character behind it that is not
/// a space, and the run behind that.
fn over_one_foreign(text: &str, run: usize) -> usize {
    let mut rest = text.get(run..).unwrap_or_default().chars();
    match rest.next() {
        Some(foreign) if !foreign.is_whitespace() => {
            run + foreign.len_utf8() + base62_run(rest.as_str())
        }
        _ => run,
    }
}
