//! Every route x every management permission x own and other owner x narrower and wider keys,
//! against an expectation that is written down here by hand.

use keyward::admin::KeyAuthorizer;
use keyward::{Actor, Environment, NewKey, RateLimit};
use serde_json::{Value, json};

use crate::http_client::{Client, Reply};
use crate::world::World;

const KEYS: &str = "/admin/api-keys";

/// What an administrator's key may hold, and the management permissions in it.
const HELD: [(&[&str], &[&str]); 10] = [
    (&[], &[]),
    (&["api.key.create"], &["create"]),
    (&["api.key.update"], &["update"]),
    (&["api.key.delete"], &["delete"]),
    (&["api.key.view"], &["view"]),
    (&["api.key.view", "api.key.update"], &["view", "update"]),
    (&["api.key.*"], &["create", "update", "delete", "view"]),
    (&["*"], &[]),
    (&["api.*"], &[]),
    (&["api.key"], &[]),
];

/// One thing in which a key is as wide as its administrator, or wider.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Width {
    Within,
    Scope,
    Management,
    Role,
    Environment,
    Network,
    End,
    Limit,
}

const WIDTHS: [Width; 8] = [
    Width::Within,
    Width::Scope,
    Width::Management,
    Width::Role,
    Width::Environment,
    Width::Network,
    Width::End,
    Width::Limit,
];

/// A key that its administrator could have made, but for one thing.
fn new_key(width: Width) -> Value {
    let mut key = json!({
        "name": "target",
        "permissions": ["read:assets"],
        "ip_allowlist": ["127.0.0.1"],
        "expires_at": "2029-01-01T00:00:00Z",
        "rate_limits": [{ "name": "minute", "count": 5, "period_ms": 60_000 }],
    });
    match width {
        Width::Within => {}
        Width::Scope => key["permissions"] = json!(["read:assets", "write:assets"]),
        Width::Management => {
            key["permissions"] =
                json!(["api.key.create", "api.key.update", "api.key.delete", "api.key.view"]);
        }
        Width::Role => key["role"] = json!("viewer"),
        Width::Environment => key["environment"] = json!("sandbox"),
        Width::Network => key["ip_allowlist"] = json!(["127.0.0.1", "10.0.0.0/8"]),
        Width::End => key["expires_at"] = json!(null),
        Width::Limit => key["rate_limits"] = json!([]),
    }
    key
}

/// An administrator's key with these scopes, all of them bounds.
fn administrator(scopes: &[&str]) -> NewKey {
    NewKey::named("administrator")
        .owner("org_1")
        .permissions(scopes.iter().copied().chain(["read:*"]))
        .ip_allowlist(["127.0.0.0/8"])
        .expires_at("2030-01-01T00:00:00Z".parse().unwrap())
        .rate_limit(RateLimit::per_minute(1_000_000).unwrap())
}

/// Something that may be done, with the permission it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Delete,
    Disable,
    Enable,
    Events,
    Explain,
    FinishRotation,
    Get,
    Issue,
    List,
    Narrow,
    Options,
    Regenerate,
    Rename,
    Reports,
    Revoke,
    Rotate,
    Usage,
    /// To something that the administrator holds.
    Widen,
    /// To something that the administrator doesn't hold.
    WidenBeyond,
}

const DEEDS: [(Deed, &str); 19] = [
    (Deed::Delete, "delete"),
    (Deed::Disable, "update"),
    (Deed::Enable, "update"),
    (Deed::Events, "view"),
    (Deed::Explain, "view"),
    (Deed::FinishRotation, "update"),
    (Deed::Get, "view"),
    (Deed::Issue, "create"),
    (Deed::List, "view"),
    (Deed::Narrow, "update"),
    (Deed::Options, ""),
    (Deed::Regenerate, "update"),
    (Deed::Rename, "update"),
    (Deed::Reports, "view"),
    (Deed::Revoke, "delete"),
    (Deed::Rotate, "update"),
    (Deed::Usage, "view"),
    (Deed::Widen, "update"),
    (Deed::WidenBeyond, "update"),
];

impl Deed {
    fn is_about_all(self) -> bool {
        matches!(self, Self::Issue | Self::List | Self::Options | Self::Reports)
    }

    fn of(self, client: &Client, id: &str, new: &Value) -> Reply {
        let at = format!("{KEYS}/{id}");
        let post =
            |action: &str, body: Value| client.json("POST", &format!("{at}/{action}"), &body);
        let edit = |body: Value| client.clone().with("If-Match", "*").json("PATCH", &at, &body);
        match self {
            Self::Delete => client.send("DELETE", &at, None),
            Self::Disable => post("disable", json!({})),
            Self::Enable => post("enable", json!({})),
            Self::Events => client.get(&format!("{at}/events")),
            Self::Explain => post("explain", json!({})),
            Self::FinishRotation => post("finish-rotation", json!({})),
            Self::Get => client.get(&at),
            Self::Issue => client.json("POST", KEYS, new),
            Self::List => client.get(KEYS),
            Self::Narrow => edit(json!({ "permissions": [] })),
            Self::Options => client.get(&format!("{KEYS}/options")),
            Self::Regenerate => post("regenerate", json!({})),
            Self::Rename => edit(json!({ "name": "renamed" })),
            Self::Reports => client.get(&format!("{KEYS}/reports")),
            Self::Revoke => post("revoke", json!({})),
            Self::Rotate => post("rotate", json!({})),
            Self::Usage => client.get(&format!("{at}/usage")),
            Self::Widen => {
                let scopes = new["permissions"].as_array().unwrap().iter().cloned();
                let scopes: Vec<Value> = scopes.chain([json!("read:logs")]).collect();
                edit(json!({ "permissions": scopes }))
            }
            Self::WidenBeyond => edit(json!({ "permissions": ["write:logs"] })),
        }
    }
}

/// What is to be answered: by the page of the issue, not by the code.
fn expected(
    deed: Deed,
    needs: &str,
    holds: &[&str],
    manages: bool,
    width: Width,
) -> (u16, &'static str) {
    if !needs.is_empty() && !holds.contains(&needs) {
        return (403, "INSUFFICIENT_PERMISSIONS");
    }
    if !manages {
        return match deed {
            // Somebody else's owner may not be named.
            Deed::Issue => (403, "GRANT_EXCEEDS_ACTOR"),
            _ if deed.is_about_all() => (200, ""),
            _ => (404, "KEY_NOT_FOUND"),
        };
    }
    // Whoever holds all four may give all four.
    let is_wider = match width {
        Width::Within => false,
        Width::Management => holds.len() < 4,
        _ => true,
    };
    match deed {
        // These give a secret, or more than there was: the whole key must be within.
        Deed::Enable | Deed::Issue | Deed::Regenerate | Deed::Rotate | Deed::Widen if is_wider => {
            (403, "GRANT_EXCEEDS_ACTOR")
        }
        Deed::WidenBeyond => (403, "GRANT_EXCEEDS_ACTOR"),
        Deed::Issue => (201, ""),
        _ => (200, ""),
    }
}

/// Whether the administrator manages every owner's keys, or its own alone.
fn table(manages_all: bool) {
    let world = World::authorized(|keys| {
        let authorizer = KeyAuthorizer::new(keys, Environment::PRODUCTION);
        if manages_all {
            authorizer.acting(|key| Actor::from(key).for_all_owners())
        } else {
            authorizer
        }
    });
    let host = Actor::system("host");
    for (scopes, holds) in HELD {
        let (_, token) = world.give(administrator(scopes));
        let client = world.client(&token);
        for owner in ["org_1", "org_2"] {
            for width in WIDTHS {
                for (deed, needs) in DEEDS {
                    let mut new = new_key(width);
                    new["owner"] = json!(owner);
                    let (id, secret) = world.give(serde_json::from_value(new.clone()).unwrap());
                    let key = id.parse().unwrap();
                    if deed == Deed::Enable {
                        pollster::block_on(world.keys.disable(&host, key)).unwrap();
                    }
                    let before = pollster::block_on(world.keys.get(&host, key)).unwrap();
                    let reply = deed.of(&client, &id, &new);
                    let manages = manages_all || owner == "org_1";
                    let expected = expected(deed, needs, holds, manages, width);
                    let case = format!("{scopes:?} {owner} {width:?} {deed:?}: {}", reply.body);
                    assert_eq!((reply.status, reply.code().as_str()), expected, "{case}");
                    let after = pollster::block_on(world.keys.get(&host, key)).unwrap();
                    if reply.status >= 400 {
                        assert_eq!(before, after, "{case}");
                        assert!(!reply.body.contains("target") && !reply.body.contains(&secret));
                    }
                    if !manages {
                        assert!(!reply.body.contains(&id), "{case}");
                    }
                    let end =
                        pollster::block_on(world.keys.revoke(&host, key, keyward::Reason::Other));
                    end.unwrap();
                }
            }
        }
    }
}

#[test]
fn an_administrator_of_one_owner() {
    table(false);
}

#[test]
fn an_administrator_of_every_owner() {
    table(true);
}

/// Whom a list shows: an owner's administrator sees no other owner, whatever is asked.
#[test]
fn nobody_lists_what_they_do_not_manage() {
    let world = World::new();
    for owner in ["org_1", "org_2", "org_3"] {
        world.give(NewKey::named("key").owner(owner));
    }
    let client = world.admin();
    for query in
        ["", "?owner=org_2", "?owner=org_1", "?include_revoked=true&limit=1000", "?search=key"]
    {
        let page = client.get(&format!("{KEYS}{query}")).expect(200).json();
        for key in page["data"].as_array().unwrap() {
            assert_eq!(key["owner"], "org_1", "{query}");
        }
        assert_eq!(page["data"].as_array().unwrap().is_empty(), query == "?owner=org_2");
    }
    let options = client.get(&format!("{KEYS}/options")).expect(200).body;
    assert!(!options.contains("org_2") && !options.contains("Theirs"), "{options}");
}

/// Another owner's key is as one that isn't there, to the last byte.
#[test]
fn another_owners_key_is_not_there() {
    let world = World::new();
    let (theirs, _) = world.give(NewKey::named("theirs").owner("org_2"));
    let client = world.admin();
    for (deed, _) in DEEDS.into_iter().filter(|(deed, _)| !deed.is_about_all()) {
        let mut answers = [theirs.as_str(), "key_0123456789abcdef"].map(|id| {
            let mut reply = deed.of(&client, id, &new_key(Width::Within));
            reply.headers.retain(|(name, _)| name != "date");
            (reply.status, reply.headers, reply.body)
        });
        answers.sort();
        assert_eq!(answers[0], answers[1], "{deed:?}");
        assert_eq!(answers[0].0, 404);
    }
}
