use axum::extract::OriginalUri;
use axum::http::request::Parts;

use super::answer::{Refused, Reply};
use super::input::{self, Received, idempotency_key, if_match};
use super::list::{Listing, Trail, no_parameters};
use super::request::{Described, Nothing, Revocation, RotationBody};
use super::routes::{Operation, Target};
use super::views::{AfterChange, OptionsView, UsageView, WithSecret};
use crate::grant::Environment;
use crate::policy::Actor;
use crate::record::{KeyEdit, NewKey};
use crate::service::{Changed, IssuedKey, KeyService, ManageError, ReportOptions};
use crate::token::KeyId;

/// Carries out what an actor asks for.
pub(super) async fn serve(
    service: &KeyService,
    actor: &Actor,
    target: Target,
    parts: &Parts,
    body: Received,
) -> Result<Reply, Refused> {
    let asked = Asked { service, actor, parts };
    match target {
        Target::Key(operation, id) => asked.of_key(operation, id, body).await,
        Target::Keys(operation) => asked.of_all(operation, body).await,
        Target::NoKey => Err(ManageError::NotFound.into()),
    }
}

struct Asked<'a> {
    service: &'a KeyService,
    actor: &'a Actor,
    parts: &'a Parts,
}

impl Asked<'_> {
    async fn of_all(&self, operation: Operation, body: Received) -> Result<Reply, Refused> {
        let Self { service, actor, parts } = *self;
        match operation {
            Operation::Issue => self.issue(body).await,
            Operation::List => Reply::ok(&Listing::read(&parts.uri)?.page(service, actor).await?),
            Operation::Options => {
                no_parameters(&parts.uri)?;
                Reply::ok(&OptionsView::of(service, actor))
            }
            Operation::Reports => {
                no_parameters(&parts.uri)?;
                Reply::ok(&service.reports(actor, &ReportOptions::default()).await?)
            }
            _ => Err(Refused::no_route()),
        }
    }

    async fn of_key(
        &self,
        operation: Operation,
        id: KeyId,
        body: Received,
    ) -> Result<Reply, Refused> {
        let Self { service, actor, parts } = *self;
        if !matches!(operation, Operation::Events) {
            no_parameters(&parts.uri)?;
        }
        match operation {
            Operation::Get => {
                let key = service.get(actor, id).await?;
                Ok(Reply::ok(&key)?.at_revision(key.revision))
            }
            Operation::Events => {
                Reply::ok(&Trail::read(&parts.uri)?.page(service, actor, id).await?)
            }
            Operation::Usage => Reply::ok(&UsageView::from(service.usage(actor, id).await?)),
            Operation::Explain => self.explain(id, body).await,
            Operation::Update => {
                let revision = if_match(&parts.headers)?;
                let edit: KeyEdit = input::read(body)?;
                let edit = match revision {
                    Some(revision) => edit.if_revision(revision),
                    None => edit,
                };
                changed(&service.update(actor, id, edit).await?)
            }
            Operation::Delete | Operation::Revoke => {
                let Revocation { reason } = input::read(body)?;
                changed(&service.revoke(actor, id, reason).await?)
            }
            Operation::Rotate => {
                let rotation = input::read::<RotationBody>(body)?.rotation()?;
                issued(service.rotate(actor, id, rotation).await?)
            }
            _ => self.of_key_without_input(operation, id, body).await,
        }
    }

    async fn of_key_without_input(
        &self,
        operation: Operation,
        id: KeyId,
        body: Received,
    ) -> Result<Reply, Refused> {
        let Self { service, actor, .. } = *self;
        let Nothing {} = input::read(body)?;
        match operation {
            Operation::Disable => changed(&service.disable(actor, id).await?),
            Operation::Enable => changed(&service.enable(actor, id).await?),
            Operation::FinishRotation => changed(&service.finish_rotation(actor, id).await?),
            Operation::Regenerate => issued(service.regenerate(actor, id).await?),
            _ => Err(Refused::no_route()),
        }
    }

    async fn issue(&self, body: Received) -> Result<Reply, Refused> {
        no_parameters(&self.parts.uri)?;
        let repeat = idempotency_key(&self.parts.headers)?;
        let new: NewKey = input::read(body)?;
        let new = match repeat {
            Some(key) => new.idempotency_key(key),
            None => new,
        };
        let key = self.service.issue(self.actor, new).await?;
        // Whole, even if the host has nested the router.
        let asked = self.parts.extensions.get().map_or(&self.parts.uri, |OriginalUri(uri)| uri);
        let at = format!("{}/{}", asked.path(), key.id());
        Ok(issued(key)?.created(&at))
    }

    async fn explain(&self, id: KeyId, body: Received) -> Result<Reply, Refused> {
        let Self { service, actor, .. } = *self;
        let asked = input::read::<Described>(body)?.check()?;
        let environment = match asked.environment {
            Some(environment) => environment,
            // Its own; a record that can't be read has none, and none of its rules is asked.
            None => service.get(actor, id).await?.environment.unwrap_or(Environment::PRODUCTION),
        };
        let (scopes, resources) = (asked.scopes(), asked.resources());
        let request = asked.request(environment, &scopes, &resources);
        let at = asked.at.unwrap_or_else(|| service.now());
        Reply::ok(&service.explain(actor, id, &request, at).await?)
    }
}

fn changed(changed: &Changed) -> Result<Reply, Refused> {
    Ok(Reply::ok(&AfterChange::from(changed))?.at_revision(changed.key.revision))
}

fn issued(issued: IssuedKey) -> Result<Reply, Refused> {
    let everywhere_by = issued.everywhere_by();
    let (key, secret) = issued.into_parts();
    let answer = Reply::ok(&WithSecret::new(&key, &secret, everywhere_by))?;
    Ok(answer.at_revision(key.revision))
}
