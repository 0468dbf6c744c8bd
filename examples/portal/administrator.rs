//! The administrators: their keys, and what they may do.

use std::time::Duration;

use keyward::admin::KeyAuthorizer;
use keyward::{Actor, Environment, IssuedKey, KeyQuery, KeyService, ManageError, NewKey, Reason};

use crate::Result;

/// Whose keys this portal manages.
const PLATFORM: &str = "powerverse";

/// Whose keys the administrators' own are. The admin API can't issue any for this owner, so
/// nobody becomes an administrator by it.
const ADMINISTRATORS: &str = "administrators";

/// The roles that keys of the platform may have.
pub(crate) const ROLES: [(&str, &[&str]); 2] =
    [("viewer", &["read:assets", "read:schedules"]), ("operator", &["read:*", "write:schedules"])];

const NAME: &str = "Administrator";
const FIRST_LASTS: Duration = Duration::from_secs(24 * 3_600);
const LASTS: Duration = Duration::from_secs(90 * 24 * 3_600);

/// The first administrator's key, unless another process has just issued it.
pub(crate) async fn first(keys: &KeyService) -> Result<Option<IssuedKey>> {
    let new = administrator(keys, FIRST_LASTS).idempotency_key("first-administrator");
    match keys.issue(&setup(), new).await {
        Ok(issued) => Ok(Some(issued)),
        Err(ManageError::AlreadyIssued(_) | ManageError::IdempotencyMismatch) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A new administrator's key; those that this portal has issued before are revoked.
pub(crate) async fn replace(keys: &KeyService) -> Result<IssuedKey> {
    let issued = keys.issue(&setup(), administrator(keys, LASTS)).await?;
    let mut query = KeyQuery::new().owner(ADMINISTRATORS).created_by(setup().name());
    loop {
        let page = keys.list(&setup(), &query).await?;
        for key in page.data.iter().filter(|key| key.id != issued.id()) {
            keys.revoke(&setup(), key.id, Reason::Superseded).await?;
        }
        match page.next {
            Some(cursor) => query = query.cursor(&cursor)?,
            None => return Ok(issued),
        }
    }
}

/// An administrator's key stands for a person: the keys it issues for the platform work in any
/// environment, and outlive it. Any other key acts as itself.
pub(crate) fn authorizer(keys: KeyService) -> KeyAuthorizer {
    KeyAuthorizer::new(keys, Environment::PRODUCTION).acting(|key| {
        let actor = Actor::from(key);
        match key.owner() {
            ADMINISTRATORS => actor
                .for_owner(PLATFORM)
                .in_environments([Environment::PRODUCTION, Environment::SANDBOX])
                .without_end(),
            _ => actor,
        }
    })
}

fn setup() -> Actor {
    Actor::system("portal")
}

fn administrator(keys: &KeyService, lasts: Duration) -> NewKey {
    NewKey::named(NAME)
        .owner(ADMINISTRATORS)
        .environment(Environment::PRODUCTION)
        .permissions(["*", "api.key.*"])
        // Only who holds a role by name may give it.
        .roles(ROLES.map(|(name, _)| name))
        .expires_at(keys.now().saturating_add(lasts))
}
