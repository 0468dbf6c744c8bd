//! The admin API against its own document, by schemathesis: no failure of the server, no
//! answer that the document doesn't tell of.
//!
//! It needs the program `schemathesis` (4.32.5 is the one it was written for) on the path, or
//! where `KEYWARD_SCHEMATHESIS` says. `KEYWARD_TEST_SCALE` multiplies the examples.

mod common;
mod http_client;

use std::process::Command;

use common::{START, builder, scale, scheme};
use http_client::Served;
use keyward::admin::{self, KeyAuthorizer};
use keyward::{Actor, Environment, FakeClock, MemoryStore, NewKey, RateLimit, Roles};

/// What is checked of every answer. Left out are `positive_data_acceptance`, since a schema
/// can't say all that is wrong with an input, and `use_after_free`, since a revoked key stays
/// to be looked at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      allow_header_conformance,ensure_resource_availability,ignored_auth";

#[test]
#[ignore = "needs schemathesis"]
fn the_api_does_what_its_document_says() {
    let examples = 40 * scale();
    let (served, token, ids) = serve();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("schemathesis.toml"), words(&ids)).unwrap();
    let program = std::env::var("KEYWARD_SCHEMATHESIS").unwrap_or("schemathesis".into());
    let run = Command::new(program)
        .args(["run", &format!("http://{}/admin/openapi.json", served.address)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", &examples.to_string(), "--seed", "4"])
        .args(["--generation-database", "none", "--continue-on-failure", "--no-color"])
        .current_dir(&folder)
        .output()
        .expect("schemathesis can be started");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    println!("{said}");
}

/// Words that a generator doesn't come upon, and where they fit: most requests are to get
/// past the first check.
fn words(ids: &[String]) -> String {
    let dictionaries = [
        ("ids", ids.to_vec()),
        ("scopes", vec!["read:assets".into(), "write:*".into(), "api.key.view".into(), "*".into()]),
        ("networks", vec!["10.0.0.0/8".into(), "203.0.113.50".into(), "2001:db8::/32".into()]),
        ("environments", vec!["production".into(), "sandbox".into()]),
        ("names", vec!["Asset Controls Backend".into(), "é".into()]),
        ("owners", vec!["org_1".into()]),
        ("prefixes", vec!["ak_live".into()]),
        ("roles", vec!["viewer".into()]),
        ("customers", vec!["cust_123".into()]),
        ("instants", vec!["2099-12-31T23:59:59Z".into(), "2020-01-01T00:00:00Z".into()]),
        ("revisions", vec!["\\\"1\\\"".into(), "*".into()]),
    ];
    let places = [
        ("path.id", "ids"),
        ("body.permissions[*]", "scopes"),
        ("body.scopes[*]", "scopes"),
        ("body.ip_allowlist[*]", "networks"),
        ("body.ip_denylist[*]", "networks"),
        ("body.client_ip", "networks"),
        ("body.environment", "environments"),
        ("query.environment", "environments"),
        ("body.name", "names"),
        ("body.owner", "owners"),
        ("body.prefix", "prefixes"),
        ("body.customers[*]", "customers"),
        ("body.role", "roles"),
        ("body.roles[*]", "roles"),
        ("body.at", "instants"),
        ("body.expires_at", "instants"),
        ("body.not_before", "instants"),
        ("query.expires_before", "instants"),
        ("header.If-Match", "revisions"),
    ];
    let dictionaries = dictionaries.iter().map(|(name, words)| {
        let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        format!("[dictionaries.{name}]\nvalues = [{}]\n", words.join(", "))
    });
    let places = places.iter().map(|(place, name)| {
        format!("[parameters.\"{place}\"]\ndictionary = \"{name}\"\nprobability = 0.8\n")
    });
    // RFC 6585 has a status of its own for a precondition that is missing.
    let missing = "[checks.missing_required_header]\nexpected-statuses = [422, 428]\n".to_owned();
    dictionaries.chain(places).chain([missing]).collect()
}

/// The host itself asks, for one owner, with a key that isn't that owner's: nothing that is
/// sent can end it. Ids and instants are the same each time.
fn serve() -> (Served, String, Vec<String>) {
    let clock = FakeClock::at(START);
    let roles = Roles::none().role("viewer", ["read:assets"]).unwrap();
    let keys = builder(scheme(&[1]), MemoryStore::new(), &clock, 4).roles(roles).build();
    let issue = |new: NewKey| pollster::block_on(keys.issue(&Actor::system("host"), new)).unwrap();
    let token = issue(NewKey::named("fuzzer").owner("ops")).into_key();
    let theirs = |i: u32| {
        let limit = RateLimit::per_minute(i).unwrap();
        issue(NewKey::named(format!("key {i}")).owner("org_1").rate_limit(limit)).id().to_string()
    };
    let ids = (1..=100).map(theirs).collect();
    let authorizer = KeyAuthorizer::new(keys.clone(), Environment::PRODUCTION)
        .acting(|_| Actor::system("fuzzer").for_owner("org_1"));
    (Served::new(admin::router(keys, authorizer)), token.expose_secret().to_owned(), ids)
}
