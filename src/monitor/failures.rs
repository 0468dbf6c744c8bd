use std::time::Duration;

use super::alert::{Alert, AlertKind};
use super::origin::Origin;
use super::tally::{Tallied, Tally};
use crate::policy::Deny;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

const HOUR: Duration = Duration::from_secs(3_600);

/// How many refusals make an alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailureRules {
    pub(super) window: Duration,
    pub(super) by_key: u32,
    pub(super) by_address: u32,
    pub(super) out_of_scope: u32,
}

/// Counts of refusals. What strangers can cause is counted apart from what only the holder
/// of a secret can, and made-up ids apart from those of keys, so that no flood of the one
/// pushes the other out.
pub(super) struct Failures {
    proven: Tally<KeyId>,
    unproven: Tally<KeyId>,
    made_up: Tally<KeyId>,
    out_of_scope: Tally<KeyId>,
    addresses: Tally<Origin>,
    rules: FailureRules,
}

/// A refusal, as far as it is counted.
#[derive(Clone, Copy)]
pub(super) struct Failure {
    pub(super) deny: Deny,
    pub(super) key: Option<KeyId>,
    pub(super) origin: Option<Origin>,
    pub(super) at: Timestamp,
}

impl Failures {
    pub(super) fn new(capacity: usize, rules: FailureRules) -> Self {
        Self {
            proven: Tally::new(capacity, rules.window),
            unproven: Tally::new(capacity, rules.window),
            made_up: Tally::new(capacity, rules.window),
            out_of_scope: Tally::new(capacity, HOUR),
            addresses: Tally::new(capacity, rules.window),
            rules,
        }
    }

    /// Counts a refusal; what it adds up to goes to `raise`.
    pub(super) fn count(&self, failure: Failure, mut raise: impl FnMut(Alert)) {
        let Failure { deny, key, origin, at } = failure;
        let proof = deny.is_authenticated();
        let FailureRules { window, by_key, by_address, out_of_scope } = self.rules;
        if let Some(key) = key {
            let tally = match deny {
                Deny::UnknownKey => &self.made_up,
                _ if proof => &self.proven,
                _ => &self.unproven,
            };
            let tallied = tally.add(key, at, proof);
            let kind = AlertKind::FailuresByKey;
            if let Some(alert) = failure.added_up(kind, tallied, by_key, window) {
                raise(alert);
            }
            if matches!(deny, Deny::Scope | Deny::Resource) {
                let tallied = self.out_of_scope.add(key, at, proof);
                let kind = AlertKind::OutOfScope;
                if let Some(alert) = failure.added_up(kind, tallied, out_of_scope, HOUR) {
                    raise(alert);
                }
            }
        }
        if let Some(origin) = origin {
            let tallied = self.addresses.add(origin, at, proof);
            let kind = AlertKind::FailuresByAddress;
            if let Some(alert) = failure.added_up(kind, tallied, by_address, window) {
                raise(Alert { key: None, ..alert });
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        let keys = [&self.proven, &self.unproven, &self.made_up, &self.out_of_scope];
        keys.map(Tally::memory).into_iter().sum::<usize>() + self.addresses.memory()
    }
}

impl Failure {
    /// An alert that needs nothing to add up.
    pub(super) fn alert(&self, kind: AlertKind) -> Alert {
        Alert {
            kind,
            authenticated: self.deny.is_authenticated(),
            key: self.key,
            address: self.origin.map(Origin::network),
            count: 1,
            threshold: 1,
            window_seconds: 0,
            first_at: self.at,
            last_at: self.at,
            held_back: 0,
        }
    }

    /// An alert if the threshold is reached, and at each multiple of it.
    fn added_up(
        &self,
        kind: AlertKind,
        tallied: Tallied,
        threshold: u32,
        window: Duration,
    ) -> Option<Alert> {
        tallied.count.is_multiple_of(threshold).then(|| Alert {
            authenticated: tallied.authenticated,
            count: tallied.count.into(),
            threshold: threshold.into(),
            window_seconds: window.as_secs(),
            first_at: tallied.first_at,
            ..self.alert(kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::ClientIp;

    const RULES: FailureRules = FailureRules {
        window: Duration::from_secs(300),
        by_key: 20,
        by_address: 50,
        out_of_scope: 10,
    };

    fn id(n: u64) -> KeyId {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        KeyId::from_bytes(bytes)
    }

    /// The smallest tables, and between any two refusals of a key hundreds of `others`.
    fn alerts_amid(deny: Deny, others: Deny) -> Vec<(AlertKind, bool)> {
        let failures = Failures::new(1, RULES);
        let (at, mut raised) = (Timestamp::UNIX_EPOCH, Vec::new());
        for n in 0..20 {
            let key = Some(id(0));
            failures.count(Failure { deny, key, origin: None, at }, |alert| {
                raised.push((alert.kind, alert.authenticated));
            });
            for other in 1..=400 {
                let key = Some(id(n * 1_000 + other));
                let failure = Failure { deny: others, key, origin: None, at };
                failures.count(failure, |alert| raised.push((alert.kind, alert.authenticated)));
            }
        }
        raised
    }

    #[test]
    fn a_flood_of_one_sort_hides_none_of_another() {
        let by_key = AlertKind::FailuresByKey;
        let sorts = [Deny::Expired, Deny::WrongSecret, Deny::UnknownKey];
        for deny in sorts {
            for others in sorts {
                let expected: &[_] =
                    if deny == others { &[] } else { &[(by_key, deny.is_authenticated())] };
                assert_eq!(alerts_amid(deny, others), expected, "{deny:?} amid {others:?}");
            }
        }
    }

    #[test]
    fn an_alert_comes_at_each_multiple_and_says_what_was_counted() {
        let failures = Failures::new(1, RULES);
        let origin = Origin::of(ClientIp::Peer([192, 0, 2, 1].into()));
        let mut raised = Vec::new();
        for second in 0..100 {
            let at = Timestamp::from_unix_seconds(second);
            let deny = if second == 70 { Deny::Malformed } else { Deny::Network };
            let key = (deny == Deny::Network).then(|| id(7));
            failures.count(Failure { deny, key, origin, at }, |alert| raised.push(alert));
        }
        let counts = raised.iter().map(|it| (it.kind, it.count, it.authenticated));
        let (key, address) = (AlertKind::FailuresByKey, AlertKind::FailuresByAddress);
        let expected = [
            (key, 20, true),
            (key, 40, true),
            (address, 50, true),
            (key, 60, true),
            (key, 80, true),
            (address, 100, false),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        let last = raised.last().unwrap();
        assert_eq!((last.key, last.threshold, last.window_seconds), (None, 50, 300));
        assert_eq!(last.first_at, Timestamp::UNIX_EPOCH);
        assert_eq!(last.last_at, Timestamp::from_unix_seconds(99));
    }
}
