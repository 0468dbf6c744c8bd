//! A key's record: its fields, its document, its lifecycle, and what people see of it.

mod body;
mod canonical;
mod check;
mod document;
mod edit;
mod event;
mod lifecycle;
mod new_key;
mod usage;
mod view;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) use self::body::{Body, Encoding, Grants, IdempotencyMark, Slot};
pub use self::body::{Reason, State, Status};
pub(crate) use self::canonical::seal;
pub use self::edit::KeyEdit;
pub use self::event::{Action, Event, EventId};
pub use self::lifecycle::WrongState;
pub use self::new_key::NewKey;
pub(crate) use self::new_key::ValidNewKey;
pub(crate) use self::usage::UsageCell;
pub use self::usage::{SlotUsage, Usage, UsageDelta};
pub use self::view::{KeyView, SecretView};
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Environment;
use crate::limit::LimitCells;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// A key as it is stored: an opaque handle, cheap to clone.
///
/// Stores keep three things of it: the [id](KeyRecord::id), the
/// [version](KeyRecord::version) and the [document](KeyRecord::to_document), and
/// give them back to [`KeyRecord::from_row`]. The other accessors are copies for
/// SQL columns; they are never believed on the way back.
///
/// It isn't `Serialize`: it holds tags. People are shown a [`KeyView`].
#[derive(Clone)]
pub struct KeyRecord(Arc<Inner>);

struct Inner {
    id: KeyId,
    version: u64,
    content: Result<Body, Unreadable>,
    /// The number of the scheme that last found the seal good; 0 is none.
    proven_by: AtomicU64,
    limits: OnceLock<(u64, Arc<LimitCells>)>,
    usage: OnceLock<Arc<UsageCell>>,
}

/// What is left of a document that can't be read.
struct Unreadable {
    document: String,
    damage: String,
    claims: Claims,
}

/// Fields that an unreadable document seems to have: for lists, never for decisions.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Claims {
    owner: String,
    name: String,
    environment: Option<Environment>,
    created_at: Option<Timestamp>,
    prefix: Option<crate::token::Prefix>,
}

impl KeyRecord {
    /// The record of a row that a store read.
    ///
    /// It never fails: a document that can't be read (damaged, or written by a
    /// newer release) makes a record that verifies to *unavailable*, raises an
    /// alarm, and can still be listed and revoked.
    ///
    /// ```
    /// use keyward::{KeyId, KeyRecord};
    ///
    /// let id = KeyId::from_bytes([7; 10]);
    /// let record = KeyRecord::from_row(id, 1, "{ damaged");
    /// assert!(!record.is_readable());
    /// assert_eq!(record.to_document(), "{ damaged");
    /// ```
    pub fn from_row(id: KeyId, version: u64, document: &str) -> Self {
        let content = match serde_json::from_str::<Body>(document) {
            Ok(body) if body.id != id => Err("the document is another key's".to_owned()),
            Ok(body) if body.version != version => {
                Err("the document is of another version than its row".to_owned())
            }
            Ok(body) => Ok(body),
            Err(error) => Err(format!(
                "the document can't be read ({:?} error at line {}, column {})",
                error.classify(),
                error.line(),
                error.column()
            )),
        };
        let content = content.map_err(|damage| Unreadable {
            document: document.to_owned(),
            damage,
            claims: claims(document),
        });
        Self::with(id, version, content, 0)
    }

    /// Says when the row of a document that can't be read was created, by the store's own
    /// column; a document that can be read knows better, and nothing changes.
    ///
    /// A store that orders its list by a column of its own has to say so, or a damaged
    /// row stands out of order.
    #[must_use]
    pub fn with_created_at(mut self, column: Timestamp) -> Self {
        if let Some(Inner { content: Err(unreadable), .. }) = Arc::get_mut(&mut self.0) {
            unreadable.claims.created_at = Some(column);
        }
        self
    }

    /// A record that the scheme with this number has made and sealed.
    pub(crate) fn proven(body: Body, scheme: u64) -> Self {
        Self::with(body.id, body.version, Ok(body), scheme)
    }

    fn with(id: KeyId, version: u64, content: Result<Body, Unreadable>, scheme: u64) -> Self {
        Self(Arc::new(Inner {
            id,
            version,
            content,
            proven_by: AtomicU64::new(scheme),
            limits: OnceLock::new(),
            usage: OnceLock::new(),
        }))
    }

    /// The text to store. The same text comes back from [`KeyRecord::from_row`].
    pub fn to_document(&self) -> String {
        match &self.0.content {
            Ok(body) => serde_json::to_string(body).unwrap_or_default(),
            Err(unreadable) => unreadable.document.clone(),
        }
    }

    /// The public id: the primary key of the row.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// Whether both are one reading of the row, and not two that may differ.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The compare-and-swap number: 1 at issue, one more at every commit.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Who the key belongs to; empty if an unreadable document doesn't say.
    pub fn owner(&self) -> &str {
        self.read(|body| &*body.owner, |claims| &claims.owner)
    }

    /// The key's name; empty if an unreadable document doesn't say.
    pub fn name(&self) -> &str {
        self.read(|body| &*body.name, |claims| &claims.name)
    }

    /// The environment the key works in, unless the document can't be read.
    pub fn environment(&self) -> Option<Environment> {
        self.read(|body| Some(body.environment), |claims| claims.environment)
    }

    /// How the key stands, apart from its dates, unless the document can't be read.
    pub fn state(&self) -> Option<State> {
        self.body().map(|body| body.state)
    }

    /// When the key was issued; the Unix epoch if an unreadable document doesn't say.
    pub fn created_at(&self) -> Timestamp {
        self.read(
            |body| body.created_at,
            |claims| claims.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
        )
    }

    /// When the key ends, if ever.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.body().and_then(|body| body.expires_at)
    }

    /// Who issued the key, as the [`Actor`](crate::Actor) named itself.
    pub fn created_by(&self) -> &str {
        self.body().map_or("", |body| &body.created_by)
    }

    /// Whether the key counts towards a cap at `now`: neither revoked nor expired.
    ///
    /// An unreadable record counts: it may be alive.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.body().is_none_or(|body| body.is_live(now))
    }

    /// How the key stands at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        self.body().map_or(Status::Unreadable, |body| body.status(now))
    }

    /// Whether the document could be read.
    pub fn is_readable(&self) -> bool {
        self.0.content.is_ok()
    }

    /// Why the document couldn't be read, if it couldn't.
    pub fn damage(&self) -> Option<&str> {
        self.0.content.as_ref().err().map(|unreadable| unreadable.damage.as_str())
    }

    pub(crate) fn body(&self) -> Option<&Body> {
        self.0.content.as_ref().ok()
    }

    /// The fields, or the error that a change of an unreadable record gets.
    pub(crate) fn readable(&self) -> Result<&Body, StoreError> {
        self.body().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Corrupt)
                .with_context("the key's document can't be read")
        })
    }

    /// The prefix that an unreadable document seems to have.
    pub(crate) fn claimed_prefix(&self) -> Option<crate::token::Prefix> {
        self.read(|body| Some(body.prefix), |claims| claims.prefix)
    }

    /// Whether the scheme with this number has found the seal good.
    pub(crate) fn is_proven_by(&self, scheme: u64) -> bool {
        self.0.proven_by.load(Ordering::Relaxed) == scheme
    }

    pub(crate) fn set_proven_by(&self, scheme: u64) {
        self.0.proven_by.store(scheme, Ordering::Relaxed);
    }

    /// Where this handle remembers its counters, and whose they are.
    pub(crate) fn limit_cells(&self) -> &OnceLock<(u64, Arc<LimitCells>)> {
        &self.0.limits
    }

    /// Where this handle remembers its usage counters.
    pub(crate) fn usage_cell(&self) -> &OnceLock<Arc<UsageCell>> {
        &self.0.usage
    }

    fn read<'a, T>(
        &'a self,
        body: impl FnOnce(&'a Body) -> T,
        claims: impl FnOnce(&'a Claims) -> T,
    ) -> T {
        match &self.0.content {
            Ok(readable) => body(readable),
            Err(unreadable) => claims(&unreadable.claims),
        }
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id())
            .field("version", &self.version())
            .field("owner", &self.owner())
            .field("readable", &self.is_readable())
            .finish_non_exhaustive()
    }
}

/// Each field on its own, so that one that can't be read hides no other.
fn claims(document: &str) -> Claims {
    fn field<T: serde::de::DeserializeOwned>(
        document: &serde_json::Value,
        name: &str,
    ) -> Option<T> {
        T::deserialize(document.get(name)?).ok()
    }
    let Ok(document) = serde_json::from_str::<serde_json::Value>(document) else {
        return Claims::default();
    };
    Claims {
        owner: field(&document, "owner").unwrap_or_default(),
        name: field(&document, "name").unwrap_or_default(),
        environment: field(&document, "environment"),
        created_at: field(&document, "created_at"),
        prefix: field(&document, "prefix"),
    }
}
