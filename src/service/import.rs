use super::issued::Changed;
use super::{KeyService, ManageError};
use crate::error::{FieldError, StoreErrorKind};
use crate::policy::Actor;
use crate::record::{Action, NewKey, Slot};

impl KeyService {
    /// Takes over a secret of another system by its digest; the client keeps its string.
    ///
    /// `family` is the name of an [`ImportFamily`](crate::ImportFamily) of the scheme,
    /// `digest` what the old table holds, as hexadecimal or base64. Importing a digest
    /// again changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::issue`]; a family that the scheme doesn't have; a digest
    /// of the wrong length; [`ManageError::AlreadyIssued`] with the key of a digest
    /// that was imported before.
    pub async fn import(
        &self,
        actor: &Actor,
        new: NewKey,
        family: &str,
        digest: &str,
    ) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.create")?;
        let scheme = &self.0.scheme;
        let rules = scheme.families().iter().find(|known| known.name() == family);
        let rules = rules.ok_or_else(|| {
            FieldError::new("family", family, "must be registered with the scheme")
        })?;
        let digest = rules.parse_digest(digest)?;
        if new.repeat_key().is_some() {
            let rule = "must be left out: the digest itself tells a repeated import";
            return Err(FieldError::unshown("idempotency_key", rule).into());
        }
        let now = self.now();
        let mut body = self.new_body(actor, new, now)?;
        body.id = rules.id(&digest);
        let current = scheme.current().ok_or(ManageError::NotFound)?;
        body.slots = [
            Some(Slot {
                imported: Some(family.into()),
                tag: current.import(digest.as_slice()),
                pepper: current.id,
                issued_at: now,
                valid_until: None,
            }),
            None,
        ];
        let record = scheme.sealed(body);
        let event = self.event_id()?;
        match self.insert(actor, &record, Action::Imported, event, now).await {
            Ok(()) => Ok(self.changed(&record).await),
            Err(ManageError::Store(error)) if error.kind() == StoreErrorKind::AlreadyExists => {
                let taken = |error| match error {
                    ManageError::NotFound => {
                        let rule = "must not be imported already for another owner";
                        FieldError::unshown("digest", rule).into()
                    }
                    error => error,
                };
                let record = self.record(actor, record.id()).await.map_err(taken)?;
                let view = self.view(&record, now).await;
                Err(ManageError::AlreadyIssued(Box::new(view)))
            }
            Err(error) => Err(error),
        }
    }
}
