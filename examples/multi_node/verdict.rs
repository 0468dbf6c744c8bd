use keyward::{Verified, VerifyError};

/// What a node says to a key: 200, 401 or 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused,
    Unavailable,
}

impl Verdict {
    pub(crate) fn of(answer: &Result<Verified, VerifyError>) -> Self {
        match answer {
            Ok(_) => Self::Accepted,
            Err(VerifyError::Rejected(_)) => Self::Refused,
            Err(VerifyError::Unavailable(_)) => Self::Unavailable,
        }
    }

    pub(crate) fn letter(self) -> char {
        match self {
            Self::Accepted => 'A',
            Self::Refused => 'R',
            Self::Unavailable => 'U',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Accepted, Self::Refused, Self::Unavailable]
            .into_iter()
            .find(|verdict| verdict.letter() == letter)
    }
}
