use std::fmt;

use serde::Serialize;

use super::ManageError;
use crate::record::KeyView;
use crate::timestamp::Timestamp;
use crate::token::{ApiKey, KeyId};

/// A secret that was just made, and the key it belongs to.
///
/// It is the only time the secret can be seen: show it once, keep it nowhere.
///
/// ```
/// # use keyward::{Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing};
/// # pollster::block_on(async {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// # let keys = KeyService::new(scheme, MemoryStore::new());
/// # let admin = Actor::system("docs");
/// let issued = keys.issue(&admin, NewKey::named("cron").owner("org_1")).await?;
/// let id = issued.view().id; // keep this
/// let key = issued.into_key(); // show this
/// assert!(key.expose_secret().contains(&id.to_string()["key_".len()..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "the secret can't be had again"]
pub struct IssuedKey {
    key: ApiKey,
    changed: Changed,
}

impl IssuedKey {
    pub(super) fn new(key: ApiKey, changed: Changed) -> Self {
        Self { key, changed }
    }

    /// The key, as lists show it.
    pub fn view(&self) -> &KeyView {
        &self.changed.key
    }

    /// When every node knows of it, and of the end of any older secret.
    pub fn everywhere_by(&self) -> Timestamp {
        self.changed.everywhere_by
    }

    /// The key's public id.
    pub fn id(&self) -> KeyId {
        self.view().id
    }

    /// The secret itself; it can be taken once.
    pub fn into_key(self) -> ApiKey {
        self.key
    }

    /// Both: the key as lists show it, and its secret.
    pub fn into_parts(self) -> (KeyView, ApiKey) {
        (self.changed.key, self.key)
    }
}

impl fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The receipt of a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// The key after it.
    pub key: KeyView,
    /// When it is in effect on every node, whatever becomes of any: the instant of its
    /// acknowledgement and the bound on staleness that nodes keep. That is at once for a key
    /// that was issued, and with a [`MemoryStore`](crate::MemoryStore) that no cache is over.
    pub everywhere_by: Timestamp,
}

/// What [`KeyService::compromised`](crate::KeyService::compromised) did and found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Compromised {
    /// The key with its new secret.
    pub issued: IssuedKey,
    /// The other keys whose secrets were handed out to this key, or to one of them, or whose
    /// digests they imported:
    /// whoever stole it may hold those too. Revoked ones are among them.
    ///
    /// They are looked for once. Where the key may manage keys, a node that has not heard yet
    /// may let the old secret do so until [`IssuedKey::everywhere_by`]: by then, list what is
    /// [`created_by`](crate::KeyQuery::created_by) it once more.
    ///
    /// # Errors
    ///
    /// The log or a key can't be read; the secret has been replaced all the same.
    pub reached: Result<Vec<KeyView>, ManageError>,
}

/// How a rotation treats the old secrets.
///
/// ```
/// use keyward::Rotation;
/// use std::time::Duration;
///
/// let week = Duration::from_secs(7 * 86_400);
/// assert_eq!(Rotation::from(week), Rotation::grace(week));
/// let again = Rotation::grace(week).replacing_older();
/// # assert_ne!(again, Rotation::grace(week));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub(super) grace: std::time::Duration,
    pub(super) replace_older: bool,
}

impl Rotation {
    /// The present secret stays valid for this long, and never beyond the key's expiry.
    pub fn grace(grace: std::time::Duration) -> Self {
        Self { grace, replace_older: false }
    }

    /// If a rotation is running already, ends the older of its two secrets at once.
    #[must_use]
    pub fn replacing_older(self) -> Self {
        Self { replace_older: true, ..self }
    }
}

impl From<std::time::Duration> for Rotation {
    fn from(grace: std::time::Duration) -> Self {
        Self::grace(grace)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Where the next page starts, for [`KeyQuery::cursor`](crate::KeyQuery::cursor);
    /// `None` at the end.
    pub next: Option<String>,
}
