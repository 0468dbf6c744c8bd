use std::collections::BTreeMap;
use std::time::Duration;

use keyward::{
    CheckOutcome, FakeClock, KeyEdit, KeyId, KeyQuery, KeyService, ManageError, NewKey, Reason,
    ReportOptions, Rotation, Status,
};
use sha2::{Digest, Sha256};

use super::store::{RowStore, Snapshot};
use super::{READ, START, Seeded, builder, hex, run, scheme, system};

/// A few keys in every state that a key can be in, and their tokens by name.
pub(crate) struct World {
    pub(crate) kept: Snapshot,
    tokens: BTreeMap<&'static str, (KeyId, String)>,
}

/// The tokens of a [`World`], and what each verifies to.
pub(crate) const TOKENS: [(&str, u16); 10] = [
    ("plain", 200),
    ("old pepper", 200),
    ("once", 200),
    ("rotating, old", 200),
    ("rotating, new", 200),
    ("superseded", 401),
    ("regenerated", 200),
    ("disabled", 401),
    ("revoked", 401),
    ("imported", 200),
];

const IMPORTED: &str = "lk_0123456789abcdef0123456789abcdef";
const TO_IMPORT: &str = "lk_another456789abcdef0123456789abc";
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn new_key(name: &str) -> NewKey {
    NewKey::named(name).owner("org_1").permissions(["read:assets"])
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

impl World {
    pub(crate) fn new() -> Self {
        let (store, clock, actor) = (RowStore::default(), FakeClock::at(START), system());
        let before = builder(scheme(&[1]), store.clone(), &clock, 1).build();
        let keys = builder(scheme(&[2, 1]), store.clone(), &clock, 2).build();
        let mut tokens = BTreeMap::new();
        run(async {
            let mut keep = |name, issued: keyward::IssuedKey| {
                let id = issued.view().id;
                tokens.insert(name, (id, issued.into_key().expose_secret().to_owned()));
                id
            };
            keep("old pepper", before.issue(&actor, new_key("old pepper")).await.unwrap());
            let once = new_key("once").idempotency_key("already");
            keep("once", before.issue(&actor, once).await.unwrap());
            keep("plain", keys.issue(&actor, new_key("plain")).await.unwrap());
            let id = keep("rotating, old", keys.issue(&actor, new_key("rotating")).await.unwrap());
            keep("rotating, new", keys.rotate(&actor, id, HOUR).await.unwrap());
            let id = keep("superseded", keys.issue(&actor, new_key("regenerated")).await.unwrap());
            keep("regenerated", keys.regenerate(&actor, id).await.unwrap());
            let id = keep("disabled", keys.issue(&actor, new_key("disabled")).await.unwrap());
            keys.disable(&actor, id).await.unwrap();
            let id = keep("revoked", keys.issue(&actor, new_key("revoked")).await.unwrap());
            keys.revoke(&actor, id, Reason::Unused).await.unwrap();
            let new = new_key("imported");
            let imported = keys.import(&actor, new, "legacy", &digest(IMPORTED)).await.unwrap();
            tokens.insert("imported", (imported.key.id, IMPORTED.to_owned()));
        });
        let world = Self { kept: store.snapshot(), tokens };
        let found = run(outcomes(&World::service(&world.store(), 3), &world));
        assert_eq!(found, TOKENS);
        world
    }

    pub(crate) fn store(&self) -> RowStore {
        RowStore::of(self.kept.clone())
    }

    pub(crate) fn service(store: &RowStore, seed: u64) -> KeyService {
        builder(scheme(&[2, 1]), store.clone(), &FakeClock::at(START), seed).build()
    }

    pub(crate) fn id(&self, name: &str) -> KeyId {
        self.tokens[name].0
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        &self.tokens[name].1
    }
}

/// What every token verifies to now: a status, 200 if it may.
pub(crate) async fn outcomes(keys: &KeyService, world: &World) -> Vec<(&'static str, u16)> {
    let mut found = Vec::new();
    for (name, _) in TOKENS {
        let verified = keys.verify(world.token(name), &READ).await;
        found.push((name, verified.map_or_else(|error| error.status(), |_| 200)));
    }
    found
}

/// Everything that a service does with its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Issue,
    IssueCapped,
    IssueOnce,
    IssueAgain,
    Import,
    ImportAgain,
    Verify,
    Update,
    Rotate,
    Regenerate,
    Compromised,
    FinishRotation,
    Disable,
    Enable,
    Revoke,
    RevokeAgain,
    Get,
    List,
    Events,
    Usage,
    Explain,
    Reports,
    Maintain,
    Reseal,
    CheckPeppers,
}

pub(crate) const ALL: [Flow; 25] = [
    Flow::Issue,
    Flow::IssueCapped,
    Flow::IssueOnce,
    Flow::IssueAgain,
    Flow::Import,
    Flow::ImportAgain,
    Flow::Verify,
    Flow::Update,
    Flow::Rotate,
    Flow::Regenerate,
    Flow::Compromised,
    Flow::FinishRotation,
    Flow::Disable,
    Flow::Enable,
    Flow::Revoke,
    Flow::RevokeAgain,
    Flow::Get,
    Flow::List,
    Flow::Events,
    Flow::Usage,
    Flow::Explain,
    Flow::Reports,
    Flow::Maintain,
    Flow::Reseal,
    Flow::CheckPeppers,
];

/// What came of a flow.
pub(crate) enum Done {
    Nothing,
    Issued(String),
    Verified(Vec<(&'static str, u16)>),
}

impl Flow {
    /// The key whose secret or state it changes.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::FinishRotation => "rotating, new",
            Self::Enable => "disabled",
            Self::RevokeAgain => "revoked",
            Self::IssueAgain => "once",
            Self::ImportAgain => "imported",
            _ => "plain",
        }
    }

    pub(crate) async fn run(self, keys: &KeyService, world: &World) -> Result<Done, ManageError> {
        let (actor, id) = (system(), world.id(self.key()));
        let issued =
            |issued: keyward::IssuedKey| Done::Issued(issued.into_key().expose_secret().to_owned());
        let expected = |result: Result<Done, ManageError>| match result {
            Err(ManageError::AlreadyIssued(_)) => Ok(Done::Nothing),
            Ok(_) => panic!("{self:?} made a second key"),
            error => error,
        };
        match self {
            Self::Issue => return keys.issue(&actor, new_key("new")).await.map(issued),
            Self::IssueCapped => {
                return keys.issue(&actor.key_cap(20), new_key("new")).await.map(issued);
            }
            Self::IssueOnce => {
                let new = new_key("new").idempotency_key("fresh");
                return keys.issue(&actor, new).await.map(issued);
            }
            Self::IssueAgain => {
                let new = new_key("once").idempotency_key("already");
                return expected(keys.issue(&actor, new).await.map(issued));
            }
            Self::Import | Self::ImportAgain => {
                let secret = if self == Self::Import { TO_IMPORT } else { IMPORTED };
                let done = keys.import(&actor, new_key("new"), "legacy", &digest(secret)).await;
                return match self {
                    Self::Import => done.map(|_| Done::Issued(secret.to_owned())),
                    _ => expected(done.map(|_| Done::Nothing)),
                };
            }
            Self::Verify => return Ok(Done::Verified(outcomes(keys, world).await)),
            Self::Update => {
                keys.update(&actor, id, KeyEdit::new().name("renamed")).await?;
            }
            Self::Rotate => {
                let rotation = Rotation::grace(HOUR).replacing_older();
                return keys.rotate(&actor, id, rotation).await.map(issued);
            }
            Self::Regenerate => return keys.regenerate(&actor, id).await.map(issued),
            Self::Compromised => {
                return keys.compromised(&actor, id).await.map(|found| issued(found.issued));
            }
            Self::FinishRotation => drop(keys.finish_rotation(&actor, id).await?),
            Self::Disable => drop(keys.disable(&actor, id).await?),
            Self::Enable => drop(keys.enable(&actor, id).await?),
            Self::Revoke | Self::RevokeAgain => {
                drop(keys.revoke(&actor, id, Reason::Compromised).await?);
            }
            Self::Get => drop(keys.get(&actor, id).await?),
            Self::List => drop(keys.list(&actor, &KeyQuery::new()).await?),
            Self::Events => drop(keys.events(&actor, id).await?),
            Self::Usage => drop(keys.usage(&actor, id).await?),
            Self::Explain => drop(keys.explain(&actor, id, &READ, START).await?),
            Self::Reports => drop(keys.reports(&actor, &ReportOptions::default()).await?),
            Self::Maintain => {
                let _ = keys.verify(world.token("old pepper"), &READ).await;
                keys.maintain().await?;
            }
            Self::Reseal => drop(keys.reseal_all(&actor).await?),
            Self::CheckPeppers => drop(keys.check_peppers().await?),
        }
        Ok(Done::Nothing)
    }
}

/// Every row is whole and sealed, has an event for each change that can be seen and
/// none besides, and every token is answered as before or as after the change.
pub(crate) fn check_invariants(
    world: &World,
    store: &RowStore,
    after: &[(&'static str, u16)],
    case: &str,
) {
    let kept = store.snapshot();
    let healed = store.healed();
    let keys = World::service(&healed, 99);
    let actor = system();
    let mut revisions = BTreeMap::new();
    for record in kept.records() {
        let id = record.id();
        assert!(record.is_readable(), "{case}: {:?}", record.damage());
        let view = run(keys.get(&actor, id)).unwrap();
        assert_ne!(view.status, Status::Unreadable, "{case}");
        let trace = run(keys.explain(&actor, id, &READ, START)).unwrap();
        assert_eq!(trace.steps[0].outcome, CheckOutcome::Passed, "{case}: a broken seal");
        let versions: Vec<u64> =
            kept.log.iter().filter(|event| event.key == id).map(|event| event.version).collect();
        let changes = versions.len() as u64;
        // A revoke of what it can't read knows the version only, which is no lower.
        let restored = view.status == Status::Revoked && changes < view.revision;
        assert!(changes == view.revision || restored, "{case}: events and changes differ");
        assert!(versions.is_sorted_by(|a, b| a < b), "{case}: {versions:?}");
        assert!(versions.last().is_some_and(|last| *last <= record.version()), "{case}");
        revisions.insert(id, view.revision);
    }
    assert!(kept.log.iter().all(|event| kept.rows.contains_key(&event.key)), "{case}");
    assert!(kept.log.starts_with(&world.kept.log), "{case}: the log was rewritten");
    for (((name, found), (_, before)), (_, after)) in
        run(outcomes(&keys, world)).into_iter().zip(TOKENS).zip(after)
    {
        let id = world.id(name);
        let changed = world.kept.record(id).unwrap().view(None, START).revision != revisions[&id];
        let wanted = if changed { *after } else { before };
        assert_eq!(found, wanted, "{case}: {name}");
    }
}

/// A generator that no flow uses, so that a retry draws other numbers.
pub(crate) fn other_seed(seed: u64) -> u64 {
    Seeded(seed).number()
}
