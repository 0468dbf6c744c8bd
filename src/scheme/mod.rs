//! The host's one configuration: prefixes, their environments, the realm, the peppers.

mod import;
mod keys;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::import::DigestBytes;
pub use self::import::{ImportDigest, ImportFamily, ImportKey};
pub(crate) use self::keys::PepperKeys;
use crate::error::FieldError;
use crate::grant::Environment;
use crate::leak::{self, Found};
use crate::mac::{PepperId, PepperRing, PepperState};
use crate::token::{ChecksumHead, KeyId, Prefix};

/// How a host's keys look and what proves them.
///
/// It is configured once and cheap to clone. The first prefix of an environment is
/// the one issued for it; the first of all is the default.
///
/// ```
/// use keyward::{Environment, KeyScheme, PepperRing};
///
/// let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// let scheme = KeyScheme::new(
///     peppers,
///     [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)],
/// )?
/// .retired("old_live", Environment::PRODUCTION)?
/// .realm("inventory")?;
/// assert!(scheme.scanner_regex().starts_with("(?:ak_live|ak_test|old_live)_1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Avoid `sk_live`, `rk_live` and `pk_live` inside a prefix where you can: public
/// scanners take them for another vendor's keys and report them there.
#[derive(Clone)]
pub struct KeyScheme(Arc<Inner>);

struct Inner {
    /// Which scheme of this process it is, its clones included; from 1.
    number: u64,
    config: Config,
    /// The current pepper's first.
    keys: Vec<PepperKeys>,
    /// Of each prefix.
    heads: Vec<ChecksumHead>,
}

#[derive(Clone)]
struct Config {
    ring: PepperRing,
    realm: String,
    prefixes: Vec<SchemePrefix>,
    families: Vec<ImportFamily>,
    sealing: bool,
}

/// A prefix and where keys with it work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemePrefix {
    /// The prefix.
    pub prefix: Prefix,
    /// The environment its keys belong to.
    pub environment: Environment,
    /// Whether new keys get it, or only old ones are verified.
    pub issued: bool,
}

/// Which way to the store a key id that is not in memory takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Its keyed check holds: this deployment made it, in all likelihood.
    Fast,
    /// Anybody may have made it up; it may also be imported, or made under a pepper
    /// that has left the ring.
    Slow,
}

impl KeyScheme {
    /// A scheme that issues keys with these prefixes.
    ///
    /// # Errors
    ///
    /// No prefix, a prefix twice, or one that breaks the grammar of [`Prefix`].
    pub fn new(
        peppers: PepperRing,
        prefixes: impl IntoIterator<Item = (impl AsRef<str>, Environment)>,
    ) -> Result<Self, FieldError> {
        let config = Config {
            ring: peppers,
            realm: String::new(),
            prefixes: Vec::new(),
            families: Vec::new(),
            sealing: true,
        };
        let config = prefixes.into_iter().try_fold(config, |config, (prefix, environment)| {
            config.with_prefix(prefix.as_ref(), environment, true)
        })?;
        if config.prefixes.is_empty() {
            return Err(FieldError::unshown("prefix", "must be given at least once"));
        }
        Ok(Self::build(config))
    }

    /// Adds a prefix whose keys are verified and no longer issued.
    ///
    /// # Errors
    ///
    /// A prefix that the scheme has already, or that breaks the grammar.
    pub fn retired(&self, prefix: &str, environment: Environment) -> Result<Self, FieldError> {
        self.0.config.clone().with_prefix(prefix, environment, false).map(Self::build)
    }

    /// Sets the realm: the application's name, 1 to 64 visible ASCII characters.
    ///
    /// Keys are bound to it, so that two deployments with one pepper and one prefix
    /// don't take each other's. The default is none. Tags and seals are made with it:
    /// under another realm every key issued before is refused.
    ///
    /// # Errors
    ///
    /// A realm that breaks the rule.
    pub fn realm(&self, realm: &str) -> Result<Self, FieldError> {
        if !(1..=64).contains(&realm.len()) || !realm.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(FieldError::new(
                "realm",
                realm,
                "must be 1 to 64 visible ASCII characters",
            ));
        }
        let mut config = self.0.config.clone();
        realm.clone_into(&mut config.realm);
        Ok(Self::build(config))
    }

    /// Accepts secrets whose digests were imported from another system.
    ///
    /// A string is looked up in the first family whose shape it has, so shapes should
    /// not overlap.
    ///
    /// # Errors
    ///
    /// A family of this name that the scheme has already.
    pub fn importing(&self, family: ImportFamily) -> Result<Self, FieldError> {
        let mut config = self.0.config.clone();
        if config.families.iter().any(|known| known.name() == family.name()) {
            return Err(FieldError::new("family", family.name(), "must be registered only once"));
        }
        config.families.push(family);
        Ok(Self::build(config))
    }

    /// Neither writes nor checks seals.
    ///
    /// # Security
    ///
    /// Whoever can write to the database can then raise a key's scopes, give it to
    /// another owner, or make a revoked key live again.
    #[must_use]
    pub fn without_seals(&self) -> Self {
        Self::build(Config { sealing: false, ..self.0.config.clone() })
    }

    /// The same scheme with another ring.
    ///
    /// A service keeps the scheme it was made with: for a change of peppers, make
    /// another service on the same store and let it take over.
    #[must_use]
    pub fn with_peppers(&self, peppers: PepperRing) -> Self {
        Self::build(Config { ring: peppers, ..self.0.config.clone() })
    }

    /// The prefixes, the default one first.
    pub fn prefixes(&self) -> &[SchemePrefix] {
        &self.0.config.prefixes
    }

    /// The fingerprints of the peppers, the current one first.
    pub fn peppers(&self) -> impl Iterator<Item = (PepperId, PepperState)> {
        self.0.keys.iter().map(|keys| (keys.id, keys.state))
    }

    /// A regular expression that finds this scheme's keys, for secret scanners.
    pub fn scanner_regex(&self) -> String {
        leak::scanner_regex(&self.prefix_list())
    }

    /// Replaces the secret of everything in `text` that looks like one of this
    /// scheme's keys, cut short or mistyped ones included; ids stay. Imported secrets
    /// have no shape of ours and stay too.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        leak::redact(&self.prefix_list(), text)
    }

    /// Finds this scheme's keys in `text` and checks their checksums, offline.
    pub fn scan(&self, text: &str) -> Vec<Found> {
        leak::scan(&self.prefix_list(), text).collect()
    }

    /// Which lane to the store an id takes: for hosts that keep ids made up by strangers
    /// out of the way of real ones. It chooses a lane, never a verdict.
    pub fn lane(&self, id: KeyId) -> Lane {
        let random = id.random_part();
        let ours = self.0.keys.iter().any(|keys| keys.check(random) == id.check_part());
        if ours { Lane::Fast } else { Lane::Slow }
    }

    /// Whether a text is meant to be a key of this scheme, well formed or mistyped, and not
    /// some other credential.
    pub(crate) fn claims(&self, presented: &str) -> bool {
        let token = presented.strip_prefix("secret-token:").unwrap_or(presented);
        let begins = |known: &SchemePrefix| {
            token.strip_prefix(known.prefix.as_str()).is_some_and(|rest| rest.starts_with('_'))
        };
        self.prefixes().iter().any(begins)
            || self.families().iter().any(|family| family.fits(presented))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn realm_name(&self) -> &str {
        &self.0.config.realm
    }

    pub(crate) fn families(&self) -> &[ImportFamily] {
        &self.0.config.families
    }

    pub(crate) fn is_sealing(&self) -> bool {
        self.0.config.sealing
    }

    pub(crate) fn current(&self) -> Option<&PepperKeys> {
        self.0.keys.first()
    }

    pub(crate) fn keys(&self, pepper: PepperId) -> Option<&PepperKeys> {
        self.0.keys.iter().find(|keys| keys.id == pepper)
    }

    /// The ids that `random` stands for: one per pepper, the current one's first.
    ///
    /// An id that would invite a scanner gives way to the next number's.
    pub(crate) fn ids(&self, random: u64) -> impl Iterator<Item = KeyId> {
        self.0.keys.iter().filter_map(move |keys| {
            let from = |random| KeyId::from_parts(random, keys.check(random));
            (random..=u64::MAX).map(from).find(|id| !id.invites_a_scanner())
        })
    }

    pub(crate) fn prefix_at(&self, prefix: &[u8]) -> Option<usize> {
        self.prefixes().iter().position(|known| known.prefix.as_bytes() == prefix)
    }

    /// The number of a prefix, and what its keys' checksums start from.
    #[inline]
    pub(crate) fn head_at(&self, prefix: &[u8]) -> Option<(usize, &ChecksumHead)> {
        let at = self.prefix_at(prefix)?;
        Some((at, self.0.heads.get(at)?))
    }

    /// The prefix a new key gets.
    pub(crate) fn choose(
        &self,
        environment: Option<Environment>,
        prefix: Option<Prefix>,
    ) -> Result<SchemePrefix, FieldError> {
        let fits = |known: &&SchemePrefix| {
            environment.is_none_or(|environment| known.environment == environment)
                && prefix.is_none_or(|prefix| known.prefix == prefix)
                && known.issued
        };
        self.prefixes().iter().find(fits).copied().ok_or_else(|| match (prefix, environment) {
            (Some(prefix), _) => FieldError::new(
                "prefix",
                prefix.as_str(),
                "must be a prefix that this scheme issues in the key's environment",
            ),
            (None, environment) => FieldError::new(
                "environment",
                environment.as_ref().map_or("", Environment::as_str),
                "must be one that this scheme issues keys for",
            ),
        })
    }

    fn prefix_list(&self) -> Vec<Prefix> {
        self.prefixes().iter().map(|known| known.prefix).collect()
    }

    fn build(config: Config) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut keys: Vec<PepperKeys> = config
            .ring
            .iter()
            .map(|(pepper, state)| PepperKeys::new(pepper, state, &config.realm, &config.prefixes))
            .collect();
        keys.sort_by_key(|keys| keys.state != PepperState::Current);
        let prefixes = config.prefixes.iter();
        let heads =
            prefixes.map(|known| ChecksumHead::of_prefix(known.prefix.as_bytes())).collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner { number, config, keys, heads }))
    }
}

impl Config {
    fn with_prefix(
        mut self,
        prefix: &str,
        environment: Environment,
        issued: bool,
    ) -> Result<Self, FieldError> {
        let prefix = Prefix::new(prefix)?;
        if self.prefixes.iter().any(|known| known.prefix == prefix) {
            return Err(FieldError::new("prefix", prefix.as_str(), "must be given only once"));
        }
        self.prefixes.push(SchemePrefix { prefix, environment, issued });
        Ok(self)
    }
}

impl fmt::Debug for KeyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyScheme")
            .field("prefixes", &self.prefixes())
            .field("realm", &self.realm_name())
            .field("peppers", &self.0.config.ring)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_new_id_invites_a_scanner_and_every_pepper_has_one() {
        let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let keys = scheme.current().unwrap();
        let mut avoided = 0;
        for random in 0..200_000 {
            let naive = KeyId::from_parts(random, keys.check(random));
            let id = scheme.ids(random).next().unwrap();
            assert!(!id.invites_a_scanner());
            assert_eq!(id != naive, naive.invites_a_scanner());
            assert_eq!(scheme.lane(id), Lane::Fast);
            avoided += usize::from(id != naive);
        }
        assert!((5..=50).contains(&avoided), "{avoided}");
    }
}
