use super::issued::Page;
use super::{KeyService, ManageError, cursor};
use crate::error::{FieldError, StoreError, StoreErrorKind};
use crate::policy::Actor;
use crate::record::{Event, KeyRecord, KeyView};
use crate::store::{KeyQuery, ListPosition, LogOrder, LogQuery};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// The most keys on one page.
const LONGEST_PAGE: usize = 1_000;

impl KeyService {
    /// One key.
    ///
    /// # Errors
    ///
    /// No such key, or another owner's; no permission `api.key.view`; the store's own.
    pub async fn get(&self, actor: &Actor, id: KeyId) -> Result<KeyView, ManageError> {
        self.permit(actor, "api.key.view")?;
        let record = self.record(actor, id).await?;
        Ok(self.view(&record, self.now()).await)
    }

    /// A page of the actor's keys, newest first; revoked ones only if asked for.
    ///
    /// A key that exists during the whole walk from page to page comes exactly once.
    ///
    /// # Errors
    ///
    /// A limit that is not 1 to 1,000; no permission `api.key.view`; the store's own.
    pub async fn list(
        &self,
        actor: &Actor,
        query: &KeyQuery,
    ) -> Result<Page<KeyView>, ManageError> {
        self.permit(actor, "api.key.view")?;
        if !(1..=LONGEST_PAGE).contains(&query.limit) {
            let rule = format!("must be 1 to {LONGEST_PAGE}");
            return Err(FieldError::new("limit", &query.limit.to_string(), rule).into());
        }
        let Some(query) = within(actor, query) else {
            return Ok(Page { data: Vec::new(), next: None });
        };
        let records = self.page(&query).await?;
        let ids: Vec<KeyId> = records.iter().map(KeyRecord::id).collect();
        // What can't be flushed now is kept; the list is right but for the latest uses.
        let _ = self.flush_keys(&ids).await;
        let usage = self.0.store.usage(&ids).await?;
        let now = self.now();
        let next = following(query, &records).and_then(|next| next.after).map(cursor::write);
        let data =
            records.iter().map(|record| self.shown(record, usage.get(&record.id()), now)).collect();
        Ok(Page { data, next })
    }

    /// What has been done to a key, newest first: its audit trail.
    ///
    /// # Errors
    ///
    /// No such key; no permission `api.key.view`; the store's own.
    pub async fn events(&self, actor: &Actor, id: KeyId) -> Result<Vec<Event>, ManageError> {
        let mut events = Vec::new();
        let mut before = u64::MAX;
        loop {
            let page = self.events_before(actor, id, before, LONGEST_PAGE).await?;
            let full = page.len() >= LONGEST_PAGE;
            before = page.last().map_or(0, |(position, _)| *position);
            events.extend(page.into_iter().map(|(_, event)| event));
            if !full {
                return Ok(events);
            }
        }
    }

    /// At most `limit` of them, from before a position in the log, each with its own.
    pub(crate) async fn events_before(
        &self,
        actor: &Actor,
        id: KeyId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, ManageError> {
        self.permit(actor, "api.key.view")?;
        self.record(actor, id).await?;
        let query = LogQuery::before(before).key(id).limit(limit);
        Ok(self.log_page(&query).await?)
    }

    /// Visits every record that a query gives, page by page.
    pub(super) async fn walk(
        &self,
        query: KeyQuery,
        mut visit: impl FnMut(&KeyRecord),
    ) -> Result<(), ManageError> {
        let mut next = Some(query.limit(LONGEST_PAGE));
        while let Some(query) = next {
            let records = self.page(&query).await?;
            records.iter().for_each(&mut visit);
            next = following(query, &records);
        }
        Ok(())
    }

    /// One page, in the order the contract demands: a store that gets it wrong would hide
    /// keys from every walk, or never end it.
    ///
    /// A full page that ends in a row of unknown date is read on until one has a date: the
    /// next page would start behind all dates, and so never come to them.
    pub(super) async fn page(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let mut ahead = query.clone();
        loop {
            let mut records = self.0.store.list(&ahead).await?;
            let positions = query.after.into_iter().chain(records.iter().map(ListPosition::of));
            if !positions.is_sorted_by(|before, after| before > after) {
                let context = "the list is not newest first by the records' own `created_at` \
                               and id; see `KeyRecord::with_created_at`";
                return Err(StoreError::new(StoreErrorKind::Corrupt).with_context(context));
            }
            if records.len() < ahead.limit || !records.last().is_some_and(is_undated) {
                records.truncate(query.limit);
                return Ok(records);
            }
            ahead.limit = ahead.limit.saturating_add(LONGEST_PAGE);
        }
    }

    /// One page of the log, checked likewise.
    pub(super) async fn log_page(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let page = self.0.store.log(query).await?;
        let newest_first = matches!(query.order, LogOrder::Before(_));
        let moves_on =
            page.is_sorted_by(
                |(before, _), (after, _)| {
                    if newest_first { before > after } else { before < after }
                },
            );
        if moves_on && page.iter().all(|(position, event)| query.matches(*position, event)) {
            return Ok(page);
        }
        let context = "the log gave other entries than were asked for, or out of order";
        Err(StoreError::new(StoreErrorKind::Corrupt).with_context(context))
    }
}

fn is_undated(record: &KeyRecord) -> bool {
    !record.is_readable() && record.created_at() == Timestamp::UNIX_EPOCH
}

/// The query for the page after these records; `None` at the end.
pub(super) fn following(query: KeyQuery, records: &[KeyRecord]) -> Option<KeyQuery> {
    let last = records.last().filter(|_| records.len() >= query.limit)?;
    Some(query.after(ListPosition::of(last)))
}

/// The query, cut down to what the actor may see; `None` if that is nothing.
pub(super) fn within(actor: &Actor, query: &KeyQuery) -> Option<KeyQuery> {
    match (actor.sole_owner(), query.owner.as_deref()) {
        (Some(own), None) => Some(query.clone().owner(own)),
        (_, Some(asked)) => actor.manages(asked).then(|| query.clone()),
        (None, None) => actor.manages("").then(|| query.clone()),
    }
}
