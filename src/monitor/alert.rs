use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::grant::Network;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Something that a [`Monitor`](crate::Monitor) saw and a person should look at.
///
/// It holds no secret: key ids are public, and nothing else of a presented string is kept.
///
/// # Security
///
/// Without [`authenticated`](Alert::authenticated), anybody who knows the public id of a key
/// can cause the alert: never disable or revoke a key because of one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// What was seen.
    pub kind: AlertKind,
    /// Whether whoever caused it proved, each time that is counted, to hold a secret of the
    /// key, if only an old one.
    pub authenticated: bool,
    /// The key that was named, if the alert is about one; made up if the kind is
    /// [`AlertKind::NeverIssued`].
    pub key: Option<KeyId>,
    /// Where the last of them came from, if that is known: an IPv4 address, or the /64 that
    /// an IPv6 address lies in.
    pub address: Option<Network>,
    /// How many were counted, this one included.
    pub count: u64,
    /// The count that makes an alert: 1, a threshold, or what the key's own baseline gives.
    pub threshold: u64,
    /// The length of the window that they were counted in; 0 if one is enough.
    pub window_seconds: u64,
    /// When the first of them was.
    pub first_at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// How many alerts were held back since the last of this kind: the same one again, and
    /// any beyond the number for an hour. At least so many: what an alert was about is
    /// remembered for the latest thousand.
    pub held_back: u64,
}

/// What an [`Alert`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// A record is not what was sealed: somebody has changed the database by hand. The
    /// secret that was presented fits the record as it is now, which proves nothing.
    BadSeal,
    /// Many refusals of one address, whatever it presented.
    FailuresByAddress,
    /// Many refusals of one key, or of one id that is no key's.
    FailuresByKey,
    /// The id of a key is one that was issued, and there is no record of it: rows were
    /// lost, or this is another database. One in a million made-up ids looks the same.
    LostRecord,
    /// A well-formed key, checksum and all, that was never issued.
    NeverIssued,
    /// A key came from an address that it has not come from before.
    NewAddress,
    /// A key asked again and again for scopes or resources that it doesn't have.
    OutOfScope,
    /// The secret of a revoked key, or one that was replaced, is still in somebody's hands.
    RetiredSecret,
    /// A key was used far more than it usually is at this hour of the day.
    UnusualVolume,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::BadSeal,
        Self::FailuresByAddress,
        Self::FailuresByKey,
        Self::LostRecord,
        Self::NeverIssued,
        Self::NewAddress,
        Self::OutOfScope,
        Self::RetiredSecret,
        Self::UnusualVolume,
    ];

    /// The name in events, metrics and JSON, such as `unusual_volume`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadSeal => "bad_seal",
            Self::FailuresByAddress => "failures_by_address",
            Self::FailuresByKey => "failures_by_key",
            Self::LostRecord => "lost_record",
            Self::NeverIssued => "never_issued",
            Self::NewAddress => "new_address",
            Self::OutOfScope => "out_of_scope",
            Self::RetiredSecret => "retired_secret",
            Self::UnusualVolume => "unusual_volume",
        }
    }

    /// Whether two alerts of this kind are the same if their addresses are, and not their
    /// keys.
    pub(super) const fn is_about_an_address(self) -> bool {
        matches!(self, Self::FailuresByAddress | Self::NeverIssued)
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line, such as `failures_by_key: 20 in 300 s (alert at 20), key key_…, from 192.0.2.1,
/// not authenticated, 2025-01-01T00:00:00Z to 2025-01-01T00:01:00Z`.
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.count)?;
        if self.window_seconds > 0 {
            write!(f, " in {} s (alert at {})", self.window_seconds, self.threshold)?;
        }
        if let Some(key) = self.key {
            write!(f, ", key {key}")?;
        }
        if let Some(address) = self.address {
            write!(f, ", from {address}")?;
        }
        f.write_str(if self.authenticated { ", authenticated" } else { ", not authenticated" })?;
        write!(f, ", {} to {}", self.first_at, self.last_at)?;
        if self.held_back > 0 {
            write!(f, ", {} held back before", self.held_back)?;
        }
        Ok(())
    }
}

/// Where a [`Monitor`](crate::Monitor) delivers its alerts.
///
/// # Contract
///
/// Calls come on the thread of the request that caused the alert, with no lock held: put the
/// alert in a channel or write a line, and let somebody else wait for the network. Don't
/// panic. A closure will do:
///
/// ```
/// use std::sync::mpsc;
///
/// use keyward::{Alert, Monitor};
///
/// let (send, receive) = mpsc::sync_channel::<Alert>(1_000);
/// // A full channel loses the alert; the request goes on.
/// let monitor = Monitor::new(move |alert: &Alert| drop(send.try_send(*alert)));
/// # drop(monitor);
/// assert!(receive.try_recv().is_err());
/// ```
pub trait AlertSink: Send + Sync + 'static {
    /// An alert was raised.
    fn alert(&self, alert: &Alert);
}

impl<F: Fn(&Alert) + Send + Sync + 'static> AlertSink for F {
    fn alert(&self, alert: &Alert) {
        self(alert);
    }
}

/// A sink that somebody else keeps too.
impl<S: AlertSink + ?Sized> AlertSink for Arc<S> {
    fn alert(&self, alert: &Alert) {
        (**self).alert(alert);
    }
}
