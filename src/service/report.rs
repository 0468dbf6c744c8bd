use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::list::{following, within};
use super::peppers::PepperReport;
use super::{KeyService, ManageError};
use crate::grant::Environment;
use crate::policy::Actor;
use crate::record::{KeyRecord, KeyView, Status};
use crate::store::KeyQuery;
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::SealVerdict;

const DAY: Duration = Duration::from_secs(86_400);

/// What [`KeyService::reports`] looks for.
///
/// ```
/// use keyward::{Environment, ReportOptions};
/// use std::time::Duration;
///
/// let monthly = Duration::from_secs(30 * 86_400);
/// let options = ReportOptions::default().rotate_every(Environment::STAGING, monthly);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ReportOptions {
    rotate_every: BTreeMap<Environment, Duration>,
    rotate_others: Duration,
    unused_for: Duration,
    expiring_within: Duration,
}

/// The defaults: rotate after 90 days in production and 180 days elsewhere, unused for
/// 90 days, expiring within 14 days.
impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            rotate_every: BTreeMap::from([(Environment::PRODUCTION, 90 * DAY)]),
            rotate_others: 180 * DAY,
            unused_for: 90 * DAY,
            expiring_within: 14 * DAY,
        }
    }
}

impl ReportOptions {
    /// How old a secret may get in an environment.
    #[must_use]
    pub fn rotate_every(mut self, environment: Environment, age: Duration) -> Self {
        self.rotate_every.insert(environment, age);
        self
    }

    /// How old a secret may get in every other environment.
    #[must_use]
    pub fn rotate_others_every(self, age: Duration) -> Self {
        Self { rotate_others: age, ..self }
    }

    /// How long a key may go without use.
    #[must_use]
    pub fn unused_for(self, time: Duration) -> Self {
        Self { unused_for: time, ..self }
    }

    /// How long before its expiry a key is reported.
    #[must_use]
    pub fn expiring_within(self, time: Duration) -> Self {
        Self { expiring_within: time, ..self }
    }

    fn rotation_age(&self, environment: Option<Environment>) -> Duration {
        let own = environment.and_then(|environment| self.rotate_every.get(&environment));
        own.copied().unwrap_or(self.rotate_others)
    }
}

/// Keys that want attention; revoked ones are not among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reports {
    /// When it was made.
    pub at: Timestamp,
    /// Their current secret is older than its environment allows.
    pub rotation_due: Vec<KeyView>,
    /// Nobody has used them for long; never used ones count from their issue.
    pub unused: Vec<KeyView>,
    /// They will expire soon.
    pub expiring: Vec<KeyView>,
    /// The seal, or the tag of a secret that may still work, is not under the current pepper.
    pub old_pepper: Vec<KeyId>,
    /// Their record is not what was sealed.
    pub bad_seals: Vec<KeyId>,
    /// Their record can't be read, or its pepper is not in the ring.
    pub unreadable: Vec<KeyId>,
    /// What these keys need each pepper for; [`KeyService::pepper_report`] counts the
    /// revoked ones too.
    pub peppers: PepperReport,
}

impl KeyService {
    /// Finds the keys of the actor that want attention, by reading every record.
    ///
    /// # Errors
    ///
    /// No permission `api.key.view`; the store's own.
    pub async fn reports(
        &self,
        actor: &Actor,
        options: &ReportOptions,
    ) -> Result<Reports, ManageError> {
        self.permit(actor, "api.key.view")?;
        let now = self.now();
        let mut reports = Reports {
            at: now,
            rotation_due: Vec::new(),
            unused: Vec::new(),
            expiring: Vec::new(),
            old_pepper: Vec::new(),
            bad_seals: Vec::new(),
            unreadable: Vec::new(),
            peppers: PepperReport::default(),
        };
        let Some(query) = within(actor, &KeyQuery::new()) else { return Ok(reports) };
        self.flush().await?;
        let mut next = Some(query.limit(1_000));
        while let Some(query) = next {
            let records = self.page(&query).await?;
            let ids: Vec<KeyId> = records.iter().map(KeyRecord::id).collect();
            let usage = self.0.store.usage(&ids).await?;
            for record in &records {
                reports.peppers.count(record, now);
                self.report_record(record, &mut reports);
                let view = record.view(usage.get(&record.id()), now);
                reports.file(&view, options);
            }
            next = following(query, &records);
        }
        Ok(reports)
    }

    fn report_record(&self, record: &KeyRecord, reports: &mut Reports) {
        let Some(body) = record.body() else {
            reports.unreadable.push(record.id());
            return;
        };
        match self.0.scheme.check_seal(body) {
            SealVerdict::Good => {}
            SealVerdict::Bad => reports.bad_seals.push(record.id()),
            SealVerdict::UnknownPepper => reports.unreadable.push(record.id()),
        }
        let current = self.0.scheme.current().map(|keys| keys.id);
        let tags = body.slots.iter().flatten().filter(|slot| !body.has_ended(slot, reports.at));
        let tags = tags.map(|slot| slot.pepper);
        let seal = body.seal.as_ref().map(|seal| seal.pepper);
        if tags.chain(seal).any(|pepper| Some(pepper) != current) {
            reports.old_pepper.push(record.id());
        }
    }
}

impl Reports {
    /// Puts a key under every heading it belongs to.
    fn file(&mut self, key: &KeyView, options: &ReportOptions) {
        if !matches!(key.status, Status::Active | Status::Inactive | Status::Scheduled) {
            return;
        }
        let age = |since: Timestamp| self.at.saturating_duration_since(since);
        let secret = key.secrets.first().map_or(key.created_at, |secret| secret.issued_at);
        let rotation_due = age(secret) >= options.rotation_age(key.environment);
        let unused = age(key.last_used_at.unwrap_or(key.created_at)) >= options.unused_for;
        let soon = self.at.saturating_add(options.expiring_within);
        let expiring = key.expires_at.is_some_and(|end| end <= soon);
        for (applies, list) in [
            (rotation_due, &mut self.rotation_due),
            (unused, &mut self.unused),
            (expiring, &mut self.expiring),
        ] {
            if applies {
                list.push(key.clone());
            }
        }
    }
}
