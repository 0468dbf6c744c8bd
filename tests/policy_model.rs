//! The decision equals a naive model of it: exhaustively over small alphabets, and over
//! random keys and requests.
//!
//! The exhaustive test makes 1,327,104 decisions whatever `KEYWARD_TEST_SCALE` says; the
//! random ones grow with it.

mod fixture;
mod model;

use fixture::{Random, World, at, cases, seconds};
use keyward::{
    AccessRequest, CheckOutcome, ClientIp, Decision, Deny, KeyId, KeyRecord, LocalLimits, NewKey,
    Quota, Reason, Refill, Roles, Scopes,
};
use model::case::{
    LIVE, NEEDABLE, ROLES, TEST, compare, ip, issue, new_key, random_key, random_request, roles,
    with_request,
};
use model::{Key, Needs, Net, Request, Standing, refusal};
use pollster::block_on;

/// The trace of a decision: passed up to the first that failed, not reached after it.
fn compare_trace(world: &World, id: KeyId, key: &Key, request: &Request) {
    let trace = with_request(request, |asked| {
        block_on(world.keys.explain(&world.host, id, asked, at(request.at))).unwrap()
    });
    let outcomes: Vec<_> = trace.steps.iter().map(|step| step.outcome).collect();
    let passed = outcomes.iter().take_while(|one| **one == CheckOutcome::Passed).count();
    let rest: Vec<_> = outcomes[passed..].to_vec();
    let expected = refusal(key, ROLES, request);
    assert_eq!(trace.allowed, expected.is_none(), "{key:?}\n{request:?}\n{trace}");
    let Some((failed, after)) = rest.split_first() else {
        return assert!(trace.allowed && trace.failed().is_none());
    };
    assert_eq!(*failed, CheckOutcome::Failed);
    assert!(after.iter().all(|one| *one == CheckOutcome::NotReached), "{trace}");
    assert!(trace.steps[passed + 1..].iter().all(|step| step.rule.is_empty()), "{trace}");
    assert!(!trace.steps[passed].rule.is_empty(), "{trace}");
    let check = format!("{:?}", trace.steps[passed].check);
    let deny = match expected.unwrap() {
        Deny::Revoked => "Revocation",
        Deny::WrongEnvironment => "Environment",
        Deny::Disabled => "State",
        Deny::NotYetValid => "NotBefore",
        Deny::Expired => "Expiry",
        Deny::Network => "Network",
        Deny::Resource => "Resource",
        Deny::Scope => "Scope",
        other => panic!("the model says {other:?}"),
    };
    assert_eq!(check, deny);
}

/// Every combination of a small value for each thing that decides.
#[test]
fn every_small_key_and_request() {
    let world = World::with(roles(), LocalLimits::new());
    let roles = roles();
    let inside = Net(ip("10.0.0.0"), 24);
    let one = Net(ip("10.0.0.1"), 32);
    let requests = small_requests();
    let mut decisions = 0;
    for standing in [Standing::Enabled, Standing::Disabled, Standing::Revoked] {
        for (not_before, expires_at) in
            [(None, None), (Some(10), None), (None, Some(20)), (Some(10), Some(20))]
        {
            for environment in [LIVE, TEST] {
                for (allow, deny) in [
                    (vec![], vec![]),
                    (vec![inside], vec![]),
                    (vec![], vec![one]),
                    (vec![inside], vec![one]),
                ] {
                    for resources in [
                        vec![],
                        vec![("customer", vec!["c1"])],
                        vec![("customer", vec!["c1", "c2"]), ("site", vec!["s1"])],
                    ] {
                        for (scopes, role) in [
                            (vec![], None),
                            (vec!["read:a"], None),
                            (vec!["read:*", "api.*"], None),
                            (vec!["*"], None),
                            (vec!["api.key.*"], Some("own")),
                            (vec![], Some("reader")),
                        ] {
                            let key = Key {
                                standing,
                                owner: "org_1",
                                environment,
                                not_before,
                                expires_at,
                                allow: allow.clone(),
                                deny: deny.clone(),
                                resources: resources.clone(),
                                scopes,
                                roles: role.into_iter().collect(),
                            };
                            let (id, _) = issue(&world, &key);
                            let record = world.record(id);
                            for request in &requests {
                                compare(&record, &key, &roles, request);
                            }
                            for request in requests.iter().skip(decisions % 97).step_by(97) {
                                compare_trace(&world, id, &key, request);
                            }
                            decisions += requests.len();
                        }
                    }
                }
            }
        }
    }
    assert_eq!(decisions, 1_327_104);
}

fn small_requests() -> Vec<Request> {
    let mut requests = Vec::new();
    for environment in [LIVE, TEST] {
        for client in [None, Some("10.0.0.1"), Some("::ffff:10.0.0.2"), Some("10.0.1.0")] {
            for resources in [
                vec![],
                vec![("customer", "c1")],
                vec![("site", "s1"), ("customer", "c2")],
                vec![("customer", "c1"), ("customer", "c2"), ("other", "x"), ("site", "s1")],
            ] {
                for needs in [
                    Needs::Nothing,
                    Needs::One("read:a"),
                    Needs::One("read"),
                    Needs::One("api.key.create"),
                    Needs::All(vec!["read:a", "write:b"]),
                    Needs::Any(vec!["write:b", "read:a:b"]),
                    Needs::All(vec![]),
                    Needs::Any(vec![]),
                ] {
                    for at in [9, 10, 20] {
                        let client = client.map(ip);
                        let (resources, needs) = (resources.clone(), needs.clone());
                        requests.push(Request { environment, client, resources, needs, at });
                    }
                }
            }
        }
    }
    requests
}

/// 256 random requests to each random key.
#[test]
fn random_keys_and_requests() {
    let world = World::with(roles(), LocalLimits::new());
    let roles = roles();
    let mut random = Random(1);
    for _ in 0..cases(40_000, 1_000) {
        let key = random_key(&mut random);
        let (id, _) = issue(&world, &key);
        let record = world.record(id);
        let read_again = KeyRecord::from_row(record.id(), record.version(), &record.to_document());
        for i in 0..256 {
            let request = random_request(&mut random);
            compare(&record, &key, &roles, &request);
            if i % 16 == 0 {
                compare(&read_again, &key, &roles, &request);
                compare_trace(&world, id, &key, &request);
            }
        }
    }
}

/// The whole way: secret, rotation, decision, quota; and what a refusal tells.
#[test]
fn verify_decides_as_the_model_and_takes_the_quota_last() {
    let world = World::with(roles(), LocalLimits::new());
    let mut random = Random(2);
    for _ in 0..cases(20_000, 1_000) {
        world.clock.set(at(0));
        let mut key = random_key(&mut random);
        key.standing = Standing::Enabled;
        let quota = 1 + random.below(4) as u64;
        let new = new_key(&key).quota(Quota::new(quota, Refill::Year).unwrap());
        let (id, first) = world.issue(new);
        let mut secrets = vec![(first, None)];
        if random.chance(60) {
            world.clock.set(at(1));
            let issued = block_on(world.keys.rotate(&world.host, id, seconds(11))).unwrap();
            let end = key.expires_at.map_or(12, |end| end.min(12));
            secrets = vec![(secrets.remove(0).0, Some(end)), (issued.into_key(), None)];
        }
        let end = random.pick(&[Standing::Enabled, Standing::Disabled, Standing::Revoked]);
        let mut used = 0;
        for i in 0..24 {
            if i == 16 && end != Standing::Enabled {
                world.clock.set(at(2));
                key.standing = end;
                match end {
                    Standing::Revoked => {
                        drop(block_on(world.keys.revoke(&world.host, id, Reason::Other)).unwrap());
                    }
                    _ => drop(block_on(world.keys.disable(&world.host, id)).unwrap()),
                }
            }
            let (secret, until) = &secrets[random.below(secrets.len())];
            let request = random_request(&mut random);
            world.clock.set(at(request.at));
            let mut expected = refusal(&key, ROLES, &request);
            let superseded = until.is_some_and(|until| request.at >= until);
            if superseded && expected != Some(Deny::Revoked) {
                expected = Some(Deny::Superseded);
            }
            let result = with_request(&request, |asked| {
                let result = block_on(world.keys.verify(secret.expose_secret(), asked));
                if let Err(error) = &result {
                    check_body(error, asked, &key, &request);
                }
                result
            });
            match (result, expected) {
                (Ok(verified), None) => {
                    used += 1;
                    assert!(used <= quota, "{key:?} {request:?}");
                    assert_eq!(verified.key_id(), id);
                    assert_eq!(verified.limit().unwrap().remaining(), quota - used);
                }
                (Err(error), None) => {
                    assert!(used == quota, "{error:?} {key:?} {request:?}");
                    assert!(matches!(error.deny(), Some(Deny::QuotaExceeded { .. })), "{error:?}");
                }
                (Err(error), Some(deny)) => {
                    assert_eq!(error.deny(), Some(deny), "{key:?} {request:?}");
                }
                (Ok(_), Some(deny)) => panic!("allowed, not {deny:?}: {key:?} {request:?}"),
            }
        }
    }
}

/// The details of a refusal say what the model says is wrong, and nothing before the
/// secret is proven and the environment fits.
fn check_body(
    error: &keyward::VerifyError,
    asked: &AccessRequest<'_>,
    key: &Key,
    request: &Request,
) {
    let body = error.body(asked);
    let details = &body.error().details;
    match error.code() {
        "INVALID_API_KEY" | "API_KEY_INACTIVE" => assert!(details.is_empty(), "{body}"),
        "INSUFFICIENT_PERMISSIONS" => {
            let held = model::held(key, ROLES);
            let missing: Vec<&str> = details["missing"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s.as_str().unwrap())
                .collect();
            for scope in &missing {
                assert!(!held.iter().any(|ours| model::grants(ours, scope)), "{body}");
            }
            if let Needs::One(scope) = request.needs {
                assert_eq!(missing, [scope]);
            }
        }
        "IP_NOT_ALLOWED" => {
            let client = details["client_ip"].as_str().map(ip);
            assert_eq!(client, request.client.map(|client| client.to_canonical()));
            assert_eq!(details["allowed_ips"].as_array().unwrap().len(), key.allow.len());
        }
        "API_KEY_EXPIRED" => {
            assert_eq!(details["expired_at"], at(key.expires_at.unwrap()).to_string());
        }
        "API_KEY_NOT_YET_VALID" => {
            assert_eq!(details["valid_from"], at(key.not_before.unwrap()).to_string());
        }
        _ => {}
    }
}

/// The order of a list never matters.
#[test]
fn lists_in_any_order_decide_the_same() {
    let world = World::with(roles(), LocalLimits::new());
    let roles = roles();
    let mut random = Random(3);
    for _ in 0..cases(10_000, 500) {
        let key = random_key(&mut random);
        let mut other = key.clone();
        other.scopes.reverse();
        other.roles.reverse();
        other.allow.reverse();
        other.deny.reverse();
        other.resources.reverse();
        other.resources.iter_mut().for_each(|rule| rule.1.reverse());
        let records = [&key, &other].map(|key| world.record(issue(&world, key).0));
        for _ in 0..64 {
            let request = random_request(&mut random);
            let [one, two] = records.each_ref().map(|record| {
                with_request(&request, |asked| record.evaluate(asked, &roles, at(request.at)))
            });
            assert_eq!(one, two, "{key:?} {request:?}");
        }
    }
}

/// Nothing is granted by leaving something out.
#[test]
fn what_is_not_given_denies() {
    let world = World::new();
    let decide = |new: NewKey, request: AccessRequest<'_>| {
        let record = world.record(world.issue(new.owner("o")).0);
        record.evaluate(&request, &Roles::none(), at(1))
    };
    let live = AccessRequest::new(LIVE);
    for scope in NEEDABLE {
        let denied = decide(NewKey::named("empty"), live.scope(scope));
        assert_eq!(denied, Decision::Deny(Deny::Scope), "{scope}");
        let denied = decide(NewKey::named("role").roles(["unknown"]), live.scope(scope));
        assert_eq!(denied, Decision::Deny(Deny::Scope), "{scope}");
    }
    for scope in ["api.key.create", "api.key.view", "api.key.x.y"] {
        let all = NewKey::named("all").permissions(["*", "api.*"]);
        assert_eq!(decide(all, live.scope(scope)), Decision::Deny(Deny::Scope));
    }
    let near = ClientIp::Peer(ip("10.0.0.1"));
    let bound = NewKey::named("net").ip_allowlist(["10.0.0.0/8"]);
    assert_eq!(decide(bound.clone(), live), Decision::Deny(Deny::Network));
    assert_eq!(decide(bound.clone(), live.from(near)), Decision::Allow);
    let both = bound.ip_denylist(["10.0.0.1"]);
    assert_eq!(decide(both, live.from(near)), Decision::Deny(Deny::Network), "deny wins");
    let any_but = NewKey::named("deny").ip_denylist(["10.0.0.1"]);
    assert_eq!(decide(any_but, live), Decision::Deny(Deny::Network), "unknown address");
    let customer = NewKey::named("customer").customers(["c1"]);
    assert_eq!(decide(customer, live), Decision::Deny(Deny::Resource));
    assert_eq!(decide(NewKey::named("env"), AccessRequest::new(TEST)), {
        Decision::Deny(Deny::WrongEnvironment)
    });
}

/// A required scope that no key can satisfy is caught where it is written.
#[test]
fn requirements_that_are_mistakes() {
    for scopes in [Scopes::One("read:*"), Scopes::All(&[]), Scopes::Any(&["a", "*"])] {
        assert!(scopes.validate().is_err(), "{scopes:?}");
    }
}
