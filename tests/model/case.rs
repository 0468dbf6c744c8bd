//! Random keys and requests of the model, and the same in the crate's terms.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::net::IpAddr;

use keyward::{
    AccessRequest, ApiKey, ClientIp, Decision, Environment, KeyId, KeyRecord, NewKey, Reason,
    Roles, ScopeExpr,
};
use pollster::block_on;

use super::{Key, Needs, Net, Request, RoleTable, Standing, Tree, refusal};
use crate::fixture::{Random, World, at};

pub(crate) const LIVE: Environment = Environment::PRODUCTION;
pub(crate) const TEST: Environment = Environment::SANDBOX;

pub(crate) const ROLES: &RoleTable = &[
    (None, "reader", &["read:a", "org.read"]),
    (None, "all", &["*"]),
    (Some("org_1"), "own", &["write:*"]),
    (Some("org_1"), "reader", &["write:b"]),
    (Some("org_2"), "all", &[]),
    (None, "manager", &["api.key.*"]),
];

pub(crate) const GRANTABLE: &[&str] = &[
    "*",
    "read:a",
    "read:a:b",
    "read:*",
    "write:*",
    "write:b",
    "org.*",
    "org.read",
    "api.*",
    "api.key",
    "api.key.*",
    "api.key.create",
    "api.key.create.*",
    "api:key:*",
    "read.a",
];

pub(crate) const NEEDABLE: &[&str] = &[
    "read:a",
    "read:a:b",
    "read",
    "read.a",
    "write:b",
    "org.read",
    "org",
    "api.key",
    "api.key.create",
    "api.key.create.now",
    "api.keys",
    "api:key:create",
    "READ:a",
    "",
    "read:*",
    "*",
    "read:",
    "a b",
];

pub(crate) const ADDRESSES: &[&str] = &[
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.255",
    "10.0.1.0",
    "9.255.255.255",
    "0.0.0.0",
    "255.255.255.255",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "2001:db8::1",
    "2001:db8::",
    "::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::ffff:255.255.255.255",
];

pub(crate) const RESOURCES: &[(&str, &str)] =
    &[("customer", "c1"), ("customer", "c2"), ("customer", "C1"), ("site", "s1"), ("other", "c1")];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn roles() -> Roles {
    ROLES.iter().fold(Roles::none(), |roles, (owner, name, scopes)| match owner {
        Some(owner) => roles.owner_role(owner, name, *scopes).unwrap(),
        None => roles.role(name, *scopes).unwrap(),
    })
}

pub(crate) fn new_key(key: &Key) -> NewKey {
    let text = |nets: &[Net]| nets.iter().map(Net::text).collect::<Vec<_>>();
    let mut new = NewKey::named("k")
        .owner(key.owner)
        .environment(key.environment)
        .permissions(key.scopes.iter().copied())
        .roles(key.roles.iter().copied())
        .ip_allowlist(text(&key.allow))
        .ip_denylist(text(&key.deny));
    for (kind, ids) in &key.resources {
        new = new.resources(*kind, ids.iter().copied());
    }
    new = key.not_before.map_or(new.clone(), |start| new.not_before(at(start)));
    key.expires_at.map_or(new.clone(), |end| new.expires_at(at(end)))
}

pub(crate) fn issue(world: &World, key: &Key) -> (KeyId, ApiKey) {
    let (id, secret) = world.issue(new_key(key));
    match key.standing {
        Standing::Enabled => {}
        Standing::Disabled => drop(block_on(world.keys.disable(&world.host, id)).unwrap()),
        Standing::Revoked => {
            drop(block_on(world.keys.revoke(&world.host, id, Reason::Unused)).unwrap());
        }
    }
    (id, secret)
}

/// Lends a request in the crate's terms.
pub(crate) fn with_request<T>(request: &Request, then: impl FnOnce(&AccessRequest<'_>) -> T) -> T {
    let client = request.client.map_or(ClientIp::Unknown, ClientIp::Peer);
    let expression;
    let asked = AccessRequest::new(request.environment).from(client).resources(&request.resources);
    let asked = match &request.needs {
        Needs::All(scopes) => asked.all_of(scopes),
        Needs::Any(scopes) => asked.any_of(scopes),
        Needs::Nothing => asked,
        Needs::One(scope) => asked.scope(scope),
        Needs::Tree(tree) => {
            expression = ScopeExpr::parse(&tree.text()).unwrap();
            asked.expression(&expression)
        }
    };
    then(&asked)
}

pub(crate) fn compare(record: &KeyRecord, key: &Key, roles: &Roles, request: &Request) {
    let decided = with_request(request, |asked| record.evaluate(asked, roles, at(request.at)));
    let expected = refusal(key, ROLES, request).map_or(Decision::Allow, Decision::Deny);
    assert_eq!(decided, expected, "\n{key:?}\n{request:?}");
}

pub(crate) fn random_key(random: &mut Random) -> Key {
    let net = |random: &mut Random| {
        let address = ip(random.pick(ADDRESSES)).to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        // A network of at most 95 bits cannot be told from one of mapped addresses.
        let prefix = match random.below(4) {
            0 => longest,
            1 => longest - random.below(9),
            _ => random.below(longest + 1),
        };
        Net(address, prefix)
    };
    let nets = |random: &mut Random| match random.below(3) {
        0 => (0..random.below(4)).map(|_| net(random)).collect(),
        _ => Vec::new(),
    };
    let mut resources: Vec<(&str, Vec<&str>)> = Vec::new();
    for (kind, id) in random.some(RESOURCES, 20) {
        match resources.iter_mut().find(|rule| rule.0 == kind) {
            Some(rule) => rule.1.push(id),
            None => resources.push((kind, vec![id])),
        }
    }
    Key {
        standing: random.pick(&[
            Standing::Enabled,
            Standing::Enabled,
            Standing::Enabled,
            Standing::Disabled,
            Standing::Revoked,
        ]),
        owner: random.pick(&["org_1", "org_2", "org_3"]),
        environment: random.pick(&[LIVE, LIVE, TEST]),
        not_before: random.pick(&[None, None, Some(-5), Some(10)]),
        expires_at: random.pick(&[None, None, Some(20), Some(30)]),
        allow: nets(random),
        deny: nets(random),
        resources,
        scopes: random.some(GRANTABLE, 20),
        roles: random.some(&["reader", "all", "own", "manager", "unknown"], 20),
    }
}

fn random_tree(random: &mut Random, depth: usize) -> Tree {
    // A leaf that the grammar of expressions refuses can't be written in one.
    let leaves = &NEEDABLE[..13];
    let mut branch = || Box::new(random_tree(random, depth + 1));
    let (left, right) = if depth < 3 {
        (branch(), branch())
    } else {
        return Tree::Leaf(random.pick(leaves));
    };
    match random.below(3) {
        0 => Tree::And(left, right),
        1 => Tree::Or(left, right),
        _ => Tree::Leaf(random.pick(leaves)),
    }
}

pub(crate) fn random_request(random: &mut Random) -> Request {
    let needs = match random.below(6) {
        0 => Needs::Nothing,
        1 => Needs::All(random.some(NEEDABLE, 10)),
        2 => Needs::Any(random.some(NEEDABLE, 15)),
        3 => Needs::Tree(random_tree(random, 0)),
        _ => Needs::One(random.pick(NEEDABLE)),
    };
    Request {
        environment: random.pick(&[LIVE, LIVE, LIVE, TEST]),
        client: (!random.chance(10)).then(|| ip(random.pick(ADDRESSES))),
        resources: random.some(RESOURCES, 40),
        needs,
        at: random.pick(&[-6, -5, 0, 9, 10, 15, 19, 20, 29, 30]),
    }
}
