use std::error::Error;
use std::fmt;

type Source = Box<dyn Error + Send + Sync + 'static>;

/// What kind of failure a [`StoreError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// `Expect::Absent` met a row with this id.
    AlreadyExists,
    /// `Expect::Version` met another version, or no row.
    Conflict,
    /// What the store holds can't be believed or read.
    Corrupt,
    /// Anything else: wrong configuration, a rejected statement.
    Other,
    /// The owner has as many live keys as the cap of the change allows.
    OwnerCapReached,
    /// The store can't be reached, or is too busy; nothing is known about the outcome.
    Unavailable,
}

/// A store failed, or refused a change.
///
/// The foreign error, if there is one, is kept as the source and never flattened
/// into text.
///
/// ```
/// use keyward::{StoreError, StoreErrorKind};
///
/// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let error = StoreError::new(StoreErrorKind::Unavailable).with_source(refused);
/// assert!(error.is_retryable());
/// assert!(std::error::Error::source(&error).is_some());
/// ```
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    context: &'static str,
    source: Option<Source>,
}

impl StoreError {
    /// An error without a source.
    pub const fn new(kind: StoreErrorKind) -> Self {
        Self { kind, context: "", source: None }
    }

    /// Says what was being done, or what is wrong; a constant, so never a secret.
    #[must_use]
    pub const fn with_context(mut self, context: &'static str) -> Self {
        self.context = context;
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The same without its source, for others who waited for the same answer.
    pub(crate) const fn echo(&self) -> Self {
        Self { kind: self.kind, context: self.context, source: None }
    }

    /// Whether the same call may succeed later without any change.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::AlreadyExists => "a key with this id exists already",
            StoreErrorKind::Conflict => "the key was changed by someone else meanwhile",
            StoreErrorKind::Corrupt => "the store holds something that can't be read or believed",
            StoreErrorKind::Other => "the store failed",
            StoreErrorKind::OwnerCapReached => "the owner has as many live keys as allowed",
            StoreErrorKind::Unavailable => "the store is unavailable",
        })?;
        match self.context {
            "" => Ok(()),
            context => write!(f, ": {context}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
