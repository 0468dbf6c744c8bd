use axum::extract::Query;
use axum::http::Uri;

use super::answer::Refused;
use crate::error::FieldError;
use crate::grant::Environment;
use crate::policy::Actor;
use crate::record::{Event, KeyView, Status};
use crate::service::{KeyService, ManageError, Page, behind};
use crate::store::KeyQuery;
use crate::token::KeyId;

/// How many keys are read at a time to find some.
const STRIDE: usize = 1_000;
/// How many times, before the caller has to ask on.
const STRIDES: usize = 10;
/// The longest text that is searched for, in bytes.
const LONGEST_SEARCH: usize = 256;

/// Which keys are asked for.
#[derive(Debug)]
pub(super) struct Listing {
    query: KeyQuery,
    status: Option<Status>,
    /// In lower case.
    search: Option<String>,
}

impl Listing {
    /// Reads a query string; every parameter that breaks a rule is reported.
    pub(super) fn read(uri: &Uri) -> Result<Self, Refused> {
        let mut listing = Self { query: KeyQuery::new(), status: None, search: None };
        let mut parameters = Parameters::read(uri)?;
        let query = &mut listing.query;
        parameters.take("owner", |owner| {
            query.owner = Some(owner.to_owned());
            Ok(())
        });
        parameters.take("environment", |name| {
            query.environment = Some(Environment::new(name)?);
            Ok(())
        });
        parameters.take("created_by", |actor| {
            query.created_by = Some(actor.to_owned());
            Ok(())
        });
        parameters.take("expires_before", |at| {
            query.expires_before = Some(at.parse()?);
            Ok(())
        });
        parameters.take("include_revoked", |whether| {
            query.revoked = match whether {
                "false" => false,
                "true" => true,
                _ => return Err(FieldError::new("", whether, "must be `true` or `false`")),
            };
            Ok(())
        });
        parameters.take("limit", |limit| {
            query.limit = number(limit)?;
            Ok(())
        });
        parameters.take("cursor", |cursor| {
            *query = query.clone().cursor(cursor)?;
            Ok(())
        });
        parameters.take("status", |name| {
            listing.status = Some(status(name)?);
            Ok(())
        });
        parameters.take("search", |text| {
            if text.len() > LONGEST_SEARCH {
                let rule = format!("must be at most {LONGEST_SEARCH} bytes");
                return Err(FieldError::unshown("", rule));
            }
            listing.search = Some(text.to_lowercase()).filter(|text| !text.is_empty());
            Ok(())
        });
        parameters.finish()?;
        listing.query.revoked |= listing.status == Some(Status::Revoked);
        Ok(listing)
    }

    /// A page of them. It may be short, or empty, with more to come: a search reads at most
    /// ten thousand keys at a time.
    pub(super) async fn page(
        self,
        service: &KeyService,
        actor: &Actor,
    ) -> Result<Page<KeyView>, ManageError> {
        if self.status.is_none() && self.search.is_none() {
            return service.list(actor, &self.query).await;
        }
        let (mut query, mut next) = (self.query.clone(), None);
        let mut found = Vec::new();
        for _ in 0..STRIDES {
            let page = service.list(actor, &query).await?;
            let read = page.data.len();
            for (place, key) in (1..).zip(page.data) {
                if !self.wants(&key) {
                    continue;
                }
                let behind = behind(&key);
                found.push(key);
                if found.len() == self.query.limit {
                    let more = page.next.is_some() || place < read;
                    return Ok(Page { data: found, next: more.then_some(behind) });
                }
            }
            let Some(read_up_to) = page.next else { return Ok(Page { data: found, next: None }) };
            query = query.cursor(&read_up_to)?.limit(STRIDE);
            next = Some(read_up_to);
        }
        Ok(Page { data: found, next })
    }

    fn wants(&self, key: &KeyView) -> bool {
        let holds = |text: &str| {
            self.search.as_deref().is_none_or(|search| text.to_lowercase().contains(search))
        };
        self.status.is_none_or(|status| key.status == status)
            && (holds(&key.name) || holds(&key.owner) || holds(&key.id.to_string()))
    }
}

/// Which entries of a key's trail are asked for.
pub(super) struct Trail {
    before: u64,
    limit: usize,
}

impl Trail {
    /// Reads a query string.
    pub(super) fn read(uri: &Uri) -> Result<Self, Refused> {
        let mut trail = Self { before: u64::MAX, limit: 100 };
        let mut parameters = Parameters::read(uri)?;
        parameters.take("limit", |limit| {
            trail.limit = number(limit)?;
            if (1..=STRIDE).contains(&trail.limit) {
                return Ok(());
            }
            Err(FieldError::new("", limit, format!("must be 1 to {STRIDE}")))
        });
        parameters.take("cursor", |cursor| {
            let rule = "must be the `next` of a page";
            trail.before = cursor.parse().map_err(|_| FieldError::new("", cursor, rule))?;
            Ok(())
        });
        parameters.finish()?;
        Ok(trail)
    }

    /// A page of the events, the newest first.
    pub(super) async fn page(
        self,
        service: &KeyService,
        actor: &Actor,
        id: KeyId,
    ) -> Result<Page<Event>, ManageError> {
        // One more tells whether there are more.
        let mut events = service.events_before(actor, id, self.before, self.limit + 1).await?;
        let more = events.len() > self.limit;
        events.truncate(self.limit);
        let next = events.last().filter(|_| more).map(|(position, _)| position.to_string());
        Ok(Page { data: events.into_iter().map(|(_, event)| event).collect(), next })
    }
}

/// Refuses a query string where there is nothing to ask.
pub(super) fn no_parameters(uri: &Uri) -> Result<(), Refused> {
    Parameters::read(uri)?.finish()
}

/// The parameters of a query string, and what is wrong with them.
struct Parameters {
    given: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    fn read(uri: &Uri) -> Result<Self, Refused> {
        let Query(given) = Query::try_from_uri(uri)
            .map_err(|_| FieldError::unshown("query", "must be pairs of a name and a value"))?;
        Ok(Self { given, errors: Vec::new() })
    }

    /// Takes a parameter out; its errors are about it, whatever field they name.
    fn take(&mut self, name: &str, read: impl FnOnce(&str) -> Result<(), FieldError>) {
        let is_it = |(given, _): &mut (String, String)| given == name;
        let values: Vec<String> =
            self.given.extract_if(.., is_it).map(|(_, value)| value).collect();
        let done = match values.as_slice() {
            [] => Ok(()),
            [value] => read(value),
            _ => Err(FieldError::unshown("", "must be given once")),
        };
        self.errors.extend(done.err().map(|error| error.at(name)));
    }

    fn finish(mut self) -> Result<(), Refused> {
        let unknown = |(name, _)| FieldError::unshown(name, "is no parameter of this route");
        self.errors.extend(self.given.into_iter().map(unknown));
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors.into()) }
    }
}

fn number(text: &str) -> Result<usize, FieldError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| FieldError::new("", text, "must be a whole number"))
}

fn status(name: &str) -> Result<Status, FieldError> {
    serde_json::from_value(name.into()).map_err(|_| {
        let rule = "must be one of `active`, `expired`, `inactive`, `revoked`, `scheduled` and \
                    `unreadable`";
        FieldError::new("", name, rule)
    })
}
