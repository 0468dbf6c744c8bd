//! One key through random changes and times, against a naive model of its life.

mod fixture;

use fixture::{Random, START, World, at, cases, seconds};
use keyward::{
    AccessRequest, Action, ApiKey, Deny, Environment, KeyEdit, KeyId, ManageError, NewKey, Reason,
    Rotation, Status, Timestamp,
};
use pollster::block_on;

/// What a key's life is made of, in seconds from the start.
#[derive(Debug)]
struct Life {
    now: i64,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    disabled: bool,
    revoked: Option<(i64, Reason)>,
    /// Each secret ever made, the last one current, and when it stops.
    ends: Vec<End>,
    rotated_at: Option<i64>,
    revision: u64,
    log: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The current secret.
    No,
    /// A superseded one, still in its slot.
    At(i64),
    /// Its slot has been taken by a later one.
    Gone,
}

impl Life {
    fn status(&self) -> Status {
        if self.revoked.is_some() {
            Status::Revoked
        } else if self.expires_at.is_some_and(|end| self.now >= end) {
            Status::Expired
        } else if self.disabled {
            Status::Inactive
        } else if self.not_before.is_some_and(|start| self.now < start) {
            Status::Scheduled
        } else {
            Status::Active
        }
    }

    fn is_changeable(&self) -> bool {
        !matches!(self.status(), Status::Revoked | Status::Expired)
    }

    /// What a presented secret is answered.
    fn refusal(&self, secret: usize) -> Option<Deny> {
        if self.ends[secret] == End::Gone {
            return Some(Deny::WrongSecret);
        }
        if self.revoked.is_some() {
            return Some(Deny::Revoked);
        }
        if matches!(self.ends[secret], End::At(end) if self.now >= end) {
            return Some(Deny::Superseded);
        }
        if self.disabled {
            return Some(Deny::Disabled);
        }
        if self.not_before.is_some_and(|start| self.now < start) {
            return Some(Deny::NotYetValid);
        }
        if self.expires_at.is_some_and(|end| self.now >= end) {
            return Some(Deny::Expired);
        }
        None
    }

    fn is_rotating(&self) -> bool {
        self.ends.iter().any(|end| matches!(end, End::At(end) if self.now < *end))
    }

    fn replace_secret(&mut self, grace: i64) {
        let mut end = self.now + grace;
        end = self.expires_at.map_or(end, |expiry| end.min(expiry));
        for old in &mut self.ends {
            *old = match *old {
                End::No => End::At(end),
                End::At(_) | End::Gone => End::Gone,
            };
        }
        self.ends.push(End::No);
        self.rotated_at = Some(self.now);
    }

    fn changed(&mut self, action: Action) {
        self.revision += 1;
        self.log.push(action);
    }
}

const SPAN: usize = 40;

fn sequence(seed: u64) {
    let random = &mut Random(seed);
    let world = World::new();
    let keys = &world.keys;
    let mut life = Life {
        now: 0,
        not_before: random.pick(&[None, None, Some(5)]),
        expires_at: random.pick(&[None, Some(60), Some(100)]),
        disabled: false,
        revoked: None,
        ends: vec![End::No],
        rotated_at: None,
        revision: 1,
        log: vec![Action::Issued],
    };
    let mut new = NewKey::named("k").owner("o");
    new = life.not_before.map_or(new.clone(), |start| new.not_before(at(start)));
    new = life.expires_at.map_or(new.clone(), |end| new.expires_at(at(end)));
    let (id, first) = world.issue(new);
    let mut secrets = vec![first];
    for _ in 0..SPAN {
        step(&world, id, &mut life, &mut secrets, random);
        compare(&world, id, &life, &secrets, seed);
    }
    let events = block_on(keys.events(&world.host, id)).unwrap();
    let actions: Vec<Action> = events.iter().rev().map(|event| event.action).collect();
    assert_eq!(actions, life.log, "seed {seed}");
    let versions: Vec<u64> = events.iter().rev().map(|event| event.version).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    assert_eq!(*versions.last().unwrap(), world.record(id).version());
}

/// Carries out one operation in both worlds; both must accept or refuse it.
fn step(world: &World, id: KeyId, life: &mut Life, secrets: &mut Vec<ApiKey>, random: &mut Random) {
    let (keys, host) = (&world.keys, &world.host);
    let refused = |error: &ManageError, life: &Life| match error {
        ManageError::WrongState(wrong) => assert_eq!(wrong.status, life.status()),
        other => panic!("{other:?}"),
    };
    let open = life.is_changeable();
    match random.below(14) {
        0..=3 => {
            life.now += i64::try_from(random.below(12)).unwrap();
            world.clock.set(at(life.now));
        }
        4 | 5 => {
            let grace = i64::try_from(random.below(30)).unwrap() * i64::from(!random.chance(20));
            let replace = random.chance(40);
            let rotation = Rotation::grace(seconds(grace.unsigned_abs()));
            let rotation = if replace { rotation.replacing_older() } else { rotation };
            match block_on(keys.rotate(host, id, rotation)) {
                Ok(issued) => {
                    assert!(open && (!life.is_rotating() || replace || grace == 0));
                    life.replace_secret(grace);
                    life.changed(Action::Rotated);
                    secrets.push(issued.into_key());
                }
                Err(error) => {
                    assert!(!open || (life.is_rotating() && !replace && grace > 0), "{error:?}");
                    refused(&error, life);
                }
            }
        }
        6 => {
            let compromised = random.chance(50);
            let done = if compromised {
                block_on(keys.compromised(host, id)).map(|done| done.issued)
            } else {
                block_on(keys.regenerate(host, id))
            };
            match done {
                Ok(issued) => {
                    assert!(open);
                    life.replace_secret(0);
                    let action =
                        if compromised { Action::Compromised } else { Action::Regenerated };
                    life.changed(action);
                    secrets.push(issued.into_key());
                }
                Err(error) => {
                    assert!(!open);
                    refused(&error, life);
                }
            }
        }
        7 => match block_on(keys.finish_rotation(host, id)) {
            Ok(_) if open && life.is_rotating() => {
                let now = life.now;
                for end in &mut life.ends {
                    if matches!(end, End::At(end) if now < *end) {
                        *end = End::At(now);
                    }
                }
                life.changed(Action::RotationFinished);
            }
            Ok(_) => assert!(open),
            Err(error) => {
                assert!(!open);
                refused(&error, life);
            }
        },
        8 | 9 => {
            let enable = random.chance(60);
            let done = if enable {
                block_on(keys.enable(host, id))
            } else {
                block_on(keys.disable(host, id))
            };
            match done {
                Ok(_) => {
                    assert!(open);
                    if life.disabled == enable {
                        life.disabled = !enable;
                        life.changed(if enable { Action::Enabled } else { Action::Disabled });
                    }
                }
                Err(error) => {
                    assert!(!open);
                    refused(&error, life);
                }
            }
        }
        10 if random.chance(15) => {
            let reason = random.pick(&[Reason::Unused, Reason::OwnerLeft, Reason::Compromised]);
            let receipt = block_on(keys.revoke(host, id, reason)).unwrap();
            assert_eq!(receipt.key.status, Status::Revoked);
            assert_eq!(receipt.everywhere_by, at(life.now));
            if life.revoked.is_none() {
                life.revoked = Some((life.now, reason));
                life.changed(Action::Revoked);
            }
        }
        _ => edit(world, id, life, random),
    }
}

fn edit(world: &World, id: KeyId, life: &mut Life, random: &mut Random) {
    let end = random.pick(&[None, Some(20), Some(60), Some(100), Some(300)]);
    let mut edit = KeyEdit::new().name(random.pick(&["k", "l"]));
    let dated = random.chance(50);
    if dated {
        edit = end.map_or(edit.clone().never_expires(), |end| edit.expires_at(at(end)));
    }
    let expected = random.chance(30).then(|| life.revision - u64::from(random.chance(30)));
    edit = expected.map_or(edit.clone(), |revision| edit.if_revision(revision));
    let before = life.revision;
    match block_on(world.keys.update(&world.host, id, edit)) {
        Ok(changed) => {
            assert!(life.is_changeable());
            assert!(expected.is_none_or(|revision| revision == before));
            if dated {
                let (start, now) = (life.not_before.unwrap_or(-1), life.now);
                assert!(end.is_none_or(|end| end > now && end > start));
                life.expires_at = end;
            }
            if changed.key.revision != life.revision {
                life.changed(Action::Updated);
            }
        }
        Err(ManageError::Conflict { revision }) => {
            assert_ne!(expected, Some(before));
            assert_eq!(revision, before);
        }
        Err(ManageError::Invalid(errors)) => {
            assert!(dated && errors.len() == 1 && errors[0].field() == "expires_at", "{errors:?}");
            assert!(end.is_some_and(|end| end <= life.now.max(life.not_before.unwrap_or(0))));
        }
        Err(ManageError::WrongState(wrong)) => {
            assert!(!life.is_changeable());
            assert_eq!(wrong.status, life.status());
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn compare(world: &World, id: KeyId, life: &Life, secrets: &[ApiKey], seed: u64) {
    let request = AccessRequest::new(Environment::PRODUCTION);
    for (i, secret) in secrets.iter().enumerate() {
        let answer = block_on(world.keys.verify(secret.expose_secret(), &request));
        let deny = answer.err().map(|error| error.deny().unwrap());
        assert_eq!(deny, life.refusal(i), "seed {seed}, secret {i}: {life:#?}");
    }
    let view = block_on(world.keys.get(&world.host, id)).unwrap();
    let stamp = |second: i64| Timestamp::from_unix_seconds(START + second);
    assert_eq!(view.status, life.status(), "seed {seed}: {life:#?}");
    assert_eq!(view.revision, life.revision);
    assert_eq!(view.expires_at, life.expires_at.map(stamp));
    assert_eq!(view.rotated_at, life.rotated_at.map(stamp));
    assert_eq!(view.revoked_at, life.revoked.map(|(at, _)| stamp(at)));
    assert_eq!(view.revoked_reason, life.revoked.map(|(_, reason)| reason));
    assert!(view.secrets[0].current && view.secrets[0].valid_until.is_none());
    let ends: Vec<_> = view.secrets[1..].iter().map(|old| old.valid_until.unwrap()).collect();
    let expected: Vec<_> = life
        .ends
        .iter()
        .filter_map(|end| if let End::At(end) = end { Some(stamp(*end)) } else { None })
        .collect();
    assert_eq!(ends, expected, "seed {seed}: {life:#?}");
}

#[test]
fn a_key_lives_as_its_model() {
    for seed in 0..cases(20_000, 500) as u64 {
        sequence(seed);
    }
}

/// A node whose clock is behind must not let a secret in again that was replaced at once.
#[test]
fn a_clock_that_is_behind_revives_no_replaced_secret() {
    let request = AccessRequest::new(Environment::PRODUCTION);
    for compromised in [false, true] {
        let world = World::new();
        let (keys, host) = (&world.keys, &world.host);
        let (id, first) = world.issue(NewKey::named("k").owner("o"));
        world.clock.set(at(100));
        let second = if compromised {
            block_on(keys.compromised(host, id)).unwrap().issued
        } else {
            block_on(keys.regenerate(host, id)).unwrap()
        };
        let second = second.into_key();
        for now in [100, 99, 10, -1_000] {
            world.clock.set(at(now));
            let old = block_on(keys.verify(first.expose_secret(), &request)).unwrap_err();
            assert_eq!(old.deny(), Some(Deny::Superseded), "{now}");
            assert!(block_on(keys.verify(second.expose_secret(), &request)).is_ok(), "{now}");
        }
    }
}
