//! Instants as RFC 3339 text, always in UTC.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{MICROS_PER_SECOND, Timestamp};
use crate::error::FieldError;
use crate::text::{Ascii, serde_as_text};

impl FromStr for Timestamp {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        // `time` takes any character between date and time.
        let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| separated);
        parsed.map(Self::from).ok_or_else(|| {
            FieldError::new(
                "timestamp",
                text,
                "must be an RFC 3339 instant such as `2025-12-31T23:59:59Z`",
            )
        })
    }
}

impl Timestamp {
    /// As `YYYY-MM-DDThh:mm:ss.ffffffZ`: with all six digits of its fraction, text sorts as
    /// time.
    ///
    /// Digit by digit: a document has half a dozen of them, and formatting took a third of
    /// the time it is written in.
    pub(crate) fn sortable(self) -> Ascii<27> {
        let second = self.0.div_euclid(MICROS_PER_SECOND);
        let at = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, number) in [
            (0..4, year.unsigned_abs()),
            (5..7, u32::from(u8::from(month))),
            (8..10, day.into()),
            (11..13, hour.into()),
            (14..16, minute.into()),
            (17..19, second.into()),
            (20..26, self.subsec_micros()),
        ] {
            let digits = text.get_mut(place).unwrap_or_default();
            digits.iter_mut().rev().fold(number, |left, digit| {
                *digit += (left % 10) as u8;
                left / 10
            });
        }
        Ascii::new(text)
    }

    fn subsec_micros(self) -> u32 {
        u32::try_from(self.0.rem_euclid(MICROS_PER_SECOND)).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    /// With no fraction, or three digits of it, or six.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match self.subsec_micros() {
            0 => 19,
            fraction if fraction % 1_000 == 0 => 23,
            _ => 26,
        };
        f.write_str(self.sortable().as_str().get(..length).unwrap_or_default())?;
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_one() {
        proptest::proptest!(|(micros in Timestamp::MIN.0..=Timestamp::MAX.0)| {
            let at = Timestamp(micros);
            assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
            assert_eq!(Timestamp::from(at.to_offset_date_time()), at);
            assert_eq!(at.hour().to_offset_date_time().minute(), 0);
        });
    }

    /// Each part formatted by itself, as the standard library does it.
    fn naive(at: Timestamp, digits: usize) -> String {
        let at = at.to_offset_date_time();
        let (date, time) = (at.date(), at.time());
        let fraction = format!("{:06}", time.microsecond());
        let fraction = if digits == 0 { "" } else { &format!(".{}", &fraction[..digits]) };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
        )
    }

    #[test]
    fn digits_are_what_formatting_says() {
        proptest::proptest!(|(
            micros in Timestamp::MIN.0..=Timestamp::MAX.0,
            later in Timestamp::MIN.0..=Timestamp::MAX.0,
        )| {
            let at = Timestamp(micros);
            assert_eq!(at.sortable().as_str(), naive(at, 6));
            let order = at.sortable().as_str().cmp(Timestamp(later).sortable().as_str());
            assert_eq!(order, micros.cmp(&later));
            for (unit, digits) in [(1_000_000, 0), (1_000, 3)] {
                let cut = Timestamp(micros.div_euclid(unit) * unit);
                if digits == 0 || cut.subsec_micros() != 0 {
                    assert_eq!(cut.to_string(), naive(cut, digits));
                }
            }
        });
    }

    #[test]
    fn a_bad_instant_names_the_rule() {
        for text in [
            "",
            "tomorrow",
            "2025-02-30T00:00:00Z",
            "2025-01-01",
            "2025-01-01T00:00:00",
            "2025-01-01D00:00:00Z",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(error.rule().contains("RFC 3339"), "{error}");
        }
    }
}
