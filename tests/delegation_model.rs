//! No operation of an actor makes a secret allow what the actor could not do itself.
//!
//! Random sequences: narrow actors, built by hand or made from a verified key, and the
//! host, who widens keys between their operations, work on the same keys. After each
//! operation of an actor, whatever a secret of the key newly allows, at once or once it is
//! enabled, must be within the actor; and so must all that a secret allows which the
//! operation handed out. Widening by the host is the host's own affair.

mod fixture;
mod model;

use fixture::{Random, World, at, cases, seconds};
use keyward::{
    AccessRequest, Actor, ClientIp, Decision, Environment, KeyEdit, KeyId, KeyQuery, KeyRecord,
    LocalLimits, ManageError, NewKey, Reason, Roles, Rotation, State,
};
use model::case::{LIVE, RESOURCES, ROLES, TEST, ip, roles, with_request};
use model::{Key, Needs, Net, Request, Standing, refusal};
use pollster::block_on;

const SCOPES: &[&str] = &[
    "*",
    "read:a",
    "read:*",
    "write:b",
    "write:*",
    "org.read",
    "api.*",
    "api.key.*",
    "api.key.create",
    "api.key.update",
    "api.key.view",
];

const ASKED: &[&str] = &[
    "read:a",
    "read:a:b",
    "write:b",
    "org.read",
    "other",
    "api.key.create",
    "api.key.update",
    "api.key.delete",
    "api.other",
];

const ROLE_NAMES: &[&str] = &["reader", "all", "own", "manager"];
const NETWORKS: &[(&str, usize)] =
    &[("10.0.0.0", 24), ("10.0.0.1", 32), ("10.0.0.0", 8), ("0.0.0.0", 0), ("2001:db8::", 32)];
const CLIENTS: &[&str] = &["10.0.0.1", "10.0.0.9", "10.9.0.1", "192.0.2.1", "2001:db8::1"];
const INSTANTS: &[i64] = &[0, 30, 60, 100, 5_000];

/// What an actor can do itself, as the model sees it.
#[derive(Clone, Debug)]
struct Power {
    owner: Owner,
    environments: Vec<Environment>,
    /// Its scopes, roles, networks, resources and end, as if it were a key.
    own: Key,
    cap: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    All,
    Nobody,
    One(&'static str),
}

impl Power {
    fn random(random: &mut Random) -> Self {
        let owner = match random.below(10) {
            0 => Owner::Nobody,
            1 | 2 => Owner::All,
            3 | 4 => Owner::One("org_2"),
            _ => Owner::One("org_1"),
        };
        let mut scopes = random.some(SCOPES, 25);
        if random.chance(80) {
            scopes.push("api.key.*");
        }
        let own = Key {
            standing: Standing::Enabled,
            owner: if let Owner::One(owner) = owner { owner } else { "" },
            environment: LIVE,
            not_before: None,
            expires_at: random.pick(&[None, None, Some(50), Some(60), Some(200)]),
            allow: networks(random, 25),
            deny: Vec::new(),
            resources: resources(random, 12),
            scopes,
            roles: random.some(ROLE_NAMES, 30),
        };
        let environments = random.some(&[LIVE, TEST], 70);
        let cap = random.chance(20).then(|| u32::try_from(random.below(4)).unwrap());
        Self { owner, environments, own, cap }
    }

    fn could(&self, owner: &str, request: &Request) -> bool {
        let owns = match self.owner {
            Owner::All => true,
            Owner::Nobody => false,
            Owner::One(own) => own == owner,
        };
        let own = Key { environment: request.environment, ..self.own.clone() };
        owns && self.environments.contains(&request.environment)
            && refusal(&own, ROLES, request).is_none()
    }

    fn actor(&self) -> Actor {
        let nets = |nets: &[Net]| nets.iter().map(Net::text).collect::<Vec<_>>();
        let actor = Actor::new("someone")
            .holding(&self.own.scopes)
            .unwrap()
            .with_roles(&self.own.roles)
            .unwrap()
            .in_environments(self.environments.clone())
            .within_ips(nets(&self.own.allow))
            .unwrap()
            .within_resources(self.own.resources.clone())
            .unwrap();
        let actor = match self.owner {
            Owner::All => actor.for_all_owners(),
            Owner::Nobody => actor,
            Owner::One(owner) => actor.for_owner(owner),
        };
        let actor = self.own.expires_at.map_or(actor.clone(), |end| actor.not_beyond(at(end)));
        self.cap.map_or(actor.clone(), |cap| actor.key_cap(cap))
    }

    /// The same power in a key that manages keys, and perhaps a deny list with it.
    fn of_key(world: &World, random: &mut Random) -> (Self, Actor) {
        let mut power = Self::random(random);
        let owner = random.pick(&["org_1", "org_2"]);
        power.owner = Owner::One(owner);
        power.own.owner = owner;
        power.own.environment = random.pick(&[LIVE, TEST]);
        power.environments = vec![power.own.environment];
        power.own.deny = networks(random, 15);
        power.cap = None;
        let (_, secret) = world.issue(model::case::new_key(&power.own));
        let sites: Vec<_> = power.own.resources.iter().map(|(kind, ids)| (*kind, ids[0])).collect();
        for client in CLIENTS {
            let request = AccessRequest::new(power.own.environment)
                .from(ClientIp::Peer(ip(client)))
                .resources(&sites);
            if let Ok(verified) = block_on(world.keys.verify(secret.expose_secret(), &request)) {
                return (power, Actor::from(&verified));
            }
        }
        power.owner = Owner::Nobody;
        (power, Actor::new("nobody"))
    }
}

fn networks(random: &mut Random, percent: usize) -> Vec<Net> {
    let some = random.some(NETWORKS, percent);
    some.into_iter().map(|(address, bits)| Net(ip(address), bits)).collect()
}

fn resources(random: &mut Random, percent: usize) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut rules: Vec<(&str, Vec<&str>)> = Vec::new();
    for (kind, id) in random.some(RESOURCES, percent) {
        match rules.iter_mut().find(|rule| rule.0 == kind) {
            Some(rule) => rule.1.push(id),
            None => rules.push((kind, vec![id])),
        }
    }
    rules
}

/// Every request of a small universe that the key allows or, disabled, would allow once
/// enabled, from `from` on.
fn allowed(record: &KeyRecord, roles: &Roles, from: i64) -> Vec<Request> {
    let document = record.to_document().replace(r#""is":"disabled""#, r#""is":"enabled""#);
    let enabled = KeyRecord::from_row(record.id(), record.version(), &document);
    assert!(enabled.is_readable(), "{document}");
    let allows = |request: &Request| {
        with_request(request, |asked| enabled.evaluate(asked, roles, at(request.at)))
            == Decision::Allow
    };
    let mut all = Vec::new();
    for environment in [LIVE, TEST] {
        for at in INSTANTS.iter().copied().filter(|at| *at >= from) {
            let clients = CLIENTS.iter().map(|client| Some(ip(client)));
            for client in clients.chain([None]) {
                for resources in [
                    vec![],
                    vec![("customer", "c1")],
                    vec![("customer", "c2")],
                    vec![("customer", "c1"), ("site", "s1")],
                    RESOURCES.to_vec(),
                ] {
                    let needs = Needs::Nothing;
                    let request = Request { environment, client, resources, needs, at };
                    if !allows(&request) {
                        continue;
                    }
                    let asked = ASKED.iter().map(|scope| Needs::One(scope));
                    all.extend(
                        asked.map(|needs| Request { needs, ..request.clone() }).filter(&allows),
                    );
                    all.push(request);
                }
            }
        }
    }
    all
}

fn random_new(random: &mut Random) -> NewKey {
    let nets = |nets: Vec<Net>| nets.iter().map(Net::text).collect::<Vec<_>>();
    let mut new = NewKey::named("k")
        .permissions(random.some(SCOPES, 10))
        .roles(random.some(ROLE_NAMES, 10))
        .ip_allowlist(nets(networks(random, 20)))
        .ip_denylist(nets(networks(random, 5)));
    for (kind, ids) in resources(random, 15) {
        new = new.resources(kind, ids);
    }
    if random.chance(50) {
        new = new.owner(random.pick(&["org_1", "org_2"]));
    }
    match random.below(4) {
        0 => new = new.environment(TEST),
        1 => new = new.prefix(random.pick(&["ak_live", "ak_test"])),
        _ => {}
    }
    if random.chance(20) {
        new = new.not_before(at(random.pick(&[-100, 20, 70])));
    }
    if random.chance(60) {
        new = new.expires_at(at(random.pick(&[50, 60, 61, 200])));
    }
    if random.chance(10) {
        new = new.idempotency_key(random.pick(&["a", "b"]));
    }
    new
}

fn random_edit(random: &mut Random) -> KeyEdit {
    let nets = |nets: Vec<Net>| nets.iter().map(Net::text).collect::<Vec<_>>();
    let mut edit = KeyEdit::new();
    for _ in 0..=random.below(2) {
        edit = match random.below(8) {
            0 => edit.permissions(random.some(SCOPES, 12)),
            1 => edit.roles(random.some(ROLE_NAMES, 15)),
            2 => edit.ip_allowlist(nets(networks(random, 25))),
            3 => edit.ip_denylist(nets(networks(random, 10))),
            4 => edit.resources(
                resources(random, 15)
                    .into_iter()
                    .map(|(kind, ids)| (kind.into(), ids.into_iter().map(Into::into).collect()))
                    .collect(),
            ),
            5 => edit.customers(random.some(&["c1", "c2"], 40)),
            6 => match random.pick(&[None, Some(50), Some(60), Some(200)]) {
                Some(end) => edit.expires_at(at(end)),
                None => edit.never_expires(),
            },
            _ => match random.pick(&[None, Some(at(-100)), Some(at(20)), Some(at(70))]) {
                Some(start) => edit.not_before(start),
                None => edit.valid_at_once(),
            },
        };
    }
    edit
}

/// Runs one operation on `id` (or an issue); whether it handed out a secret, and of which key.
fn operate(
    world: &World,
    actor: &Actor,
    id: Option<KeyId>,
    random: &mut Random,
) -> Result<(KeyId, Option<keyward::ApiKey>), ManageError> {
    let keys = &world.keys;
    let issued = |issued: keyward::IssuedKey| (issued.view().id, Some(issued.into_key()));
    let Some(id) = id.filter(|_| random.chance(75)) else {
        return block_on(keys.issue(actor, random_new(random))).map(issued);
    };
    let changed = |changed: keyward::Changed| (changed.key.id, None);
    match random.below(16) {
        0 | 1 => {
            let grace = Rotation::grace(seconds(random.below(100) as u64));
            let rotation = if random.chance(40) { grace.replacing_older() } else { grace };
            block_on(keys.rotate(actor, id, rotation)).map(issued)
        }
        2 => block_on(keys.regenerate(actor, id)).map(issued),
        3 => block_on(keys.compromised(actor, id)).map(|done| issued(done.issued)),
        4 => block_on(keys.disable(actor, id)).map(changed),
        5 | 6 => block_on(keys.enable(actor, id)).map(changed),
        7 if random.chance(30) => block_on(keys.revoke(actor, id, Reason::Policy)).map(changed),
        8 => block_on(keys.finish_rotation(actor, id)).map(changed),
        _ => block_on(keys.update(actor, id, random_edit(random))).map(changed),
    }
}

fn sequence(seed: u64, done: &mut [usize; 3]) {
    let random = &mut Random(seed);
    let world = World::with(roles(), LocalLimits::new());
    let table = roles();
    let mut actors: Vec<(Power, Actor)> = Vec::new();
    for _ in 0..2 {
        let power = Power::random(random);
        let actor = power.actor();
        actors.push((power, actor));
    }
    actors.push(Power::of_key(&world, random));
    let mut ids: Vec<KeyId> = Vec::new();
    let mut now = 0;
    for step in 0..12 {
        if random.chance(15) {
            now += i64::try_from(random.below(40)).unwrap();
            world.clock.set(at(now));
        }
        let id = (!ids.is_empty()).then(|| random.pick(&ids));
        if random.chance(30) {
            if let Ok((id, _)) = operate(&world, &world.host, id, random) {
                ids.push(id);
            }
            continue;
        }
        let (power, actor) = &actors[random.below(actors.len())];
        let before: Vec<Request> =
            id.map_or(Vec::new(), |id| allowed(&world.record(id), &table, now));
        let was = id.and_then(|id| world.record(id).state());
        done[0] += 1;
        let Ok((id, secret)) = operate(&world, actor, id, random) else { continue };
        done[1] += 1;
        let record = world.record(id);
        let is_enabled = was != record.state() && record.state() == Some(State::Enabled);
        let before = if secret.is_some() || is_enabled { Vec::new() } else { before };
        for request in allowed(&record, &table, now) {
            done[2] += 1;
            let fair = power.could(record.owner(), &request) || before.contains(&request);
            assert!(
                fair,
                "seed {seed}, step {step}: {request:#?}\nis beyond {power:#?}\n{}",
                record.to_document()
            );
        }
        if !ids.contains(&id) {
            let live = live_keys(&world, record.owner(), now);
            assert!(power.cap.is_none_or(|cap| live <= cap as usize), "seed {seed}: {live}");
            ids.push(id);
        }
    }
}

fn live_keys(world: &World, owner: &str, now: i64) -> usize {
    let query = KeyQuery::new().owner(owner).limit(1_000);
    let keys = block_on(world.keys.list(&world.host, &query)).unwrap().data;
    keys.iter().filter(|key| world.record(key.id).is_live(at(now))).count()
}

/// 100,000 sequences in CI.
#[test]
fn no_operation_goes_beyond_its_actor() {
    let mut done = [0; 3];
    for seed in 0..cases(100_000, 1_000) as u64 {
        sequence(seed, &mut done);
    }
    let [tried, carried_out, decisions] = done;
    assert!(carried_out * 20 > tried && decisions > tried, "{done:?}: the sequences do too little");
}
