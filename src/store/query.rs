use crate::grant::Environment;
use crate::record::{Event, KeyRecord, State};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Which records [`KeyStore::list`](crate::KeyStore::list) gives.
///
/// ```
/// use keyward::{Environment, KeyQuery};
///
/// let query = KeyQuery::new().owner("org_1").environment(Environment::PRODUCTION).limit(50);
/// assert!(!query.includes_revoked());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyQuery {
    /// Only this owner's.
    pub owner: Option<String>,
    /// Only those of this environment.
    pub environment: Option<Environment>,
    /// Only those issued by an actor of this name.
    pub created_by: Option<String>,
    /// Only those that expire before this instant.
    pub expires_before: Option<Timestamp>,
    /// Whether revoked ones are among them.
    ///
    /// Unreadable ones always are, but for one: a store over a database may leave out what
    /// says that it is revoked, under its own id and version and in the layout that the
    /// release knows, and can't be read for something else, such as an unknown field.
    pub revoked: bool,
    /// Only those that come after this one in the order of the list.
    pub after: Option<ListPosition>,
    /// At most so many, from 1.
    pub limit: usize,
}

/// A place in the list: newest first by (`created_at`, id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPosition {
    /// When the record there was issued.
    pub created_at: Timestamp,
    /// Its id.
    pub id: KeyId,
}

impl ListPosition {
    /// Before every other in the list.
    pub(crate) const LAST: Self =
        Self { created_at: Timestamp::MAX, id: KeyId::from_bytes([0xff; 10]) };

    /// The place of a record.
    pub fn of(record: &KeyRecord) -> Self {
        Self { created_at: record.created_at(), id: record.id() }
    }
}

impl KeyQuery {
    /// Every record that is not revoked, 100 at a time.
    pub const fn new() -> Self {
        Self {
            owner: None,
            environment: None,
            created_by: None,
            expires_before: None,
            revoked: false,
            after: None,
            limit: 100,
        }
    }

    /// Only this owner's.
    #[must_use]
    pub fn owner(self, owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// Only those of this environment.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// Only those issued by an actor of this name.
    #[must_use]
    pub fn created_by(self, actor: impl Into<String>) -> Self {
        Self { created_by: Some(actor.into()), ..self }
    }

    /// Only those that expire before this instant.
    #[must_use]
    pub fn expires_before(self, at: Timestamp) -> Self {
        Self { expires_before: Some(at), ..self }
    }

    /// Revoked ones too.
    #[must_use]
    pub fn with_revoked(self) -> Self {
        Self { revoked: true, ..self }
    }

    /// Only those after this place.
    #[must_use]
    pub fn after(self, position: ListPosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// At most so many.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Whether revoked records are among the answers.
    pub fn includes_revoked(&self) -> bool {
        self.revoked
    }

    /// Whether a record is among the answers, the limit apart: the model of
    /// [`KeyStore::list`](crate::KeyStore::list).
    pub fn matches(&self, record: &KeyRecord) -> bool {
        let position = ListPosition::of(record);
        self.owner.as_deref().is_none_or(|owner| record.owner() == owner)
            && self.environment.is_none_or(|environment| record.environment() == Some(environment))
            && self.created_by.as_deref().is_none_or(|actor| record.created_by() == actor)
            && self.expires_before.is_none_or(|at| record.expires_at().is_some_and(|end| end < at))
            && (self.revoked || !matches!(record.state(), Some(State::Revoked { .. })))
            && self.after.is_none_or(|after| position < after)
    }
}

impl Default for KeyQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// Which entries [`KeyStore::log`](crate::KeyStore::log) gives.
///
/// Positions start at 1 and grow; there may be gaps, and the old end may have been
/// trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogQuery {
    /// Only entries about this key.
    pub key: Option<KeyId>,
    /// Which way to read, and from where.
    pub order: LogOrder,
    /// At most so many, from 1.
    pub limit: usize,
}

/// Which way to read the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrder {
    /// Oldest first, from this position on, itself included.
    From(u64),
    /// Newest first, from before this position, itself excluded; `u64::MAX` is the head.
    Before(u64),
}

impl LogQuery {
    /// Oldest first, from this position on, itself included.
    pub const fn from(position: u64) -> Self {
        Self { key: None, order: LogOrder::From(position), limit: 100 }
    }

    /// Newest first, from before this position; `u64::MAX` is the head.
    pub const fn before(position: u64) -> Self {
        Self { key: None, order: LogOrder::Before(position), limit: 100 }
    }

    /// Whether an entry is among the answers, the limit apart: the model of
    /// [`KeyStore::log`](crate::KeyStore::log).
    pub fn matches(&self, position: u64, event: &Event) -> bool {
        let in_range = match self.order {
            LogOrder::Before(end) => position < end,
            LogOrder::From(first) => position >= first,
        };
        in_range && self.key.is_none_or(|key| event.key == key)
    }

    /// Only entries about this key.
    #[must_use]
    pub const fn key(self, key: KeyId) -> Self {
        Self { key: Some(key), ..self }
    }

    /// At most so many.
    #[must_use]
    pub const fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}
