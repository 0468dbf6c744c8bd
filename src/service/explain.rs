use super::list::within;
use super::{KeyService, ManageError};
use crate::limit::{LimitCells, LocalLimits};
use crate::policy::{AccessRequest, Actor, Check, Decision, Subject, Trace};
use crate::record::{Body, KeyEdit, KeyRecord};
use crate::store::KeyQuery;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

impl KeyService {
    /// Every check of the decision about a request at an instant, with the rule that
    /// decided. It counts nothing.
    ///
    /// # Errors
    ///
    /// No such key; no permission `api.key.view`; the store's own.
    pub async fn explain(
        &self,
        actor: &Actor,
        id: KeyId,
        request: &AccessRequest<'_>,
        at: Timestamp,
    ) -> Result<Trace, ManageError> {
        self.permit(actor, "api.key.view")?;
        let record = self.record(actor, id).await?;
        let mut trace = Trace::new(at);
        let body = self.believed(&record);
        trace.step(Check::Seal, body.is_ok(), || match &body {
            Ok(_) => "the record is what was sealed".to_owned(),
            Err(error) => error.to_string(),
        });
        if let Ok(body) = body {
            self.trace(&mut trace, body, request);
        }
        Ok(trace)
    }

    /// The same as [`KeyService::explain`], as if the key had been edited.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::explain`], and what is wrong with the edit.
    pub async fn simulate(
        &self,
        actor: &Actor,
        id: KeyId,
        edit: &KeyEdit,
        request: &AccessRequest<'_>,
        at: Timestamp,
    ) -> Result<Trace, ManageError> {
        self.permit(actor, "api.key.view")?;
        let record = self.record(actor, id).await?;
        let edited = edit.apply(self.believed(&record)?, self.now())?;
        let mut trace = Trace::new(at);
        trace.step(Check::Seal, true, || "the record is what was sealed".to_owned());
        self.trace(&mut trace, &edited, request);
        Ok(trace)
    }

    /// Which of the queried keys a request works with now and would not after an edit.
    ///
    /// Limits are left out: they depend on who else asks. A key that the edit doesn't fit, for
    /// dates of its own, would refuse it and is not broken by it.
    ///
    /// # Errors
    ///
    /// No permission `api.key.view`; what is wrong with the edit, if it fits none of the keys
    /// that the request works with; the store's own.
    pub async fn would_break(
        &self,
        actor: &Actor,
        query: &KeyQuery,
        edit: &KeyEdit,
        request: &AccessRequest<'_>,
        at: Timestamp,
    ) -> Result<Vec<KeyId>, ManageError> {
        self.permit(actor, "api.key.view")?;
        let Some(query) = within(actor, query) else { return Ok(Vec::new()) };
        let (roles, now) = (self.roles(), self.now());
        let (mut broken, mut fits_one, mut invalid) = (Vec::new(), false, None);
        let allows = |body: &Body| {
            Subject { body, slot: None, roles: &roles }.evaluate(request, at) == Decision::Allow
        };
        let visit = |record: &KeyRecord| {
            let Some(body) = self.believed(record).ok().filter(|body| allows(body)) else {
                return;
            };
            match edit.apply(body, now) {
                Ok(edited) => {
                    fits_one = true;
                    broken.extend((!allows(&edited)).then(|| record.id()));
                }
                Err(errors) => invalid = Some(errors),
            }
        };
        self.walk(query, visit).await?;
        match invalid.filter(|_| !fits_one) {
            Some(errors) => Err(errors.into()),
            None => Ok(broken),
        }
    }

    fn trace(&self, trace: &mut Trace, body: &Body, request: &AccessRequest<'_>) {
        let roles = self.roles();
        Subject { body, slot: None, roles: &roles }.explain(trace, request);
        let room = room(&self.0.limits, body, request.cost, trace.at);
        trace.step(
            Check::Limits,
            room.is_none_or(|left| left >= request.cost.into()),
            || match room {
                Some(left) => format!("{left} units left in the tightest local limit"),
                None => "no local limits".to_owned(),
            },
        );
    }
}

/// The units left in the tightest local limit of a key and its owner, asked at a cost
/// of zero.
fn room(limits: &LocalLimits, body: &Body, cost: u32, at: Timestamp) -> Option<u64> {
    if cost == 0 {
        return None;
    }
    let rules = &body.grants.limits;
    let key = rules.has_local().then(|| limits.look(*body.id.as_bytes(), rules, at));
    let owner = limits.look_at_owner(&body.owner, at);
    let left = |cells: LimitCells| Some(cells.state(cells.take(at, 0).ok()?)?.remaining());
    key.into_iter().chain(owner).filter_map(left).min()
}
