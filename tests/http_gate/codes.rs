//! Every code of the table: the whole response.

use keyward::{
    AccessRequest, ApiKeyLayer, Change, Environment, Expect, KeyEdit, KeyId, KeyRecord, KeyStore,
    LocalLimits, NewKey, Quota, RateLimit, Reason, Refill, Roles,
};
use serde_json::{Value, json};

use crate::fixture::{World, at};
use crate::server::{Answer, Server};

const NO_KEY: &str = "Bearer realm=\"api\"";
const BAD_KEY: &str = "Bearer realm=\"api\", error=\"invalid_token\"";
const TWO_KEYS: &str = "Bearer realm=\"api\", error=\"invalid_request\"";
const TOO_LITTLE: &str = "Bearer realm=\"api\", error=\"insufficient_scope\"";

fn named() -> NewKey {
    NewKey::named("k").owner("o").permissions(["read:a"])
}

/// Exactly these headers and this body, and nothing else.
fn expect(
    answer: &Answer,
    status: u16,
    headers: &[(&str, &str)],
    code: &str,
    text: &str,
    details: Value,
) {
    let mut error = json!({ "code": code, "message": text });
    if !details.is_null() {
        error["details"] = details;
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, body), (status, json!({ "error": error })));
    let length = answer.body.len().to_string();
    let mut expected = vec![("cache-control", "no-store"), ("content-type", "application/json")];
    expected.extend([("connection", "close"), ("content-length", length.as_str())]);
    expected.extend_from_slice(headers);
    expected.sort_unstable();
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.sort_unstable();
    assert_eq!(headers, expected);
}

/// Puts another document in the place of a key's, as somebody with the database could.
pub(crate) async fn forge(world: &World, id: KeyId, edit: impl Fn(String) -> String) {
    let record = world.record(id);
    let forged = KeyRecord::from_row(id, record.version(), &edit(record.to_document()));
    let expect = Expect::Version(record.version());
    world.store.commit(Change { record: forged, expect, event: None }).await.unwrap();
}

#[tokio::test]
async fn every_code_of_a_decision() {
    let limits = LocalLimits::new().per_owner(RateLimit::per_minute(3).unwrap()).unwrap();
    let world = World::with(Roles::none(), limits);
    let (keys, host) = (&world.keys, &world.host);
    let gate = ApiKeyLayer::new(keys.clone(), Environment::PRODUCTION);
    let any = Server::guarding(gate.clone()).await;
    let read = Server::guarding(gate.require("read:a").unwrap()).await;

    let told = ("www-authenticate", NO_KEY);
    let answer = any.get(&[]).await;
    expect(&answer, 401, &[told], "MISSING_API_KEY", "An API key is required", Value::Null);

    let told = ("www-authenticate", BAD_KEY);
    let invalid = "The provided API key is invalid";
    let answer = any.get(&[("x-api-key", "ak_live_nonsense")]).await;
    expect(&answer, 401, &[told], "INVALID_API_KEY", invalid, Value::Null);

    let (id, secret) = world.issue(named());
    let answer = any.get(&[("x-api-key", secret.expose_secret())]).await;
    assert_eq!((answer.status, answer.body), (200, format!("{id} of o")));
    keys.disable(host, id).await.unwrap();
    let answer = any.get(&[("x-api-key", secret.expose_secret())]).await;
    expect(&answer, 401, &[told], "API_KEY_INACTIVE", "This API key is inactive", Value::Null);

    let (_, secret) = world.issue(named().not_before(at(10)).expires_at(at(20)));
    let bearer = format!("Bearer {}", secret.expose_secret());
    let answer = any.get(&[("authorization", &bearer)]).await;
    let details = json!({ "valid_from": at(10) });
    let text = "This API key is not valid yet";
    expect(&answer, 401, &[told], "API_KEY_NOT_YET_VALID", text, details);
    world.clock.set(at(20));
    let answer = any.get(&[("authorization", &bearer)]).await;
    let details = json!({ "expired_at": at(20) });
    expect(&answer, 401, &[told], "API_KEY_EXPIRED", "This API key has expired", details);

    let told = ("www-authenticate", TOO_LITTLE);
    let (id, secret) = world.issue(named().ip_allowlist(["10.0.0.0/8"]).customers(["c1"]));
    let answer = any.get(&[("x-api-key", secret.expose_secret())]).await;
    let details = json!({ "client_ip": "127.0.0.1", "allowed_ips": ["10.0.0.0/8"] });
    let text = "Request from this IP address is not allowed";
    expect(&answer, 403, &[told], "IP_NOT_ALLOWED", text, details);
    keys.update(host, id, KeyEdit::new().ip_allowlist(["127.0.0.0/8"])).await.unwrap();
    let answer = any.get(&[("x-api-key", secret.expose_secret())]).await;
    let text = "This API key may not be used for this resource";
    expect(&answer, 403, &[told], "RESOURCE_NOT_ALLOWED", text, json!({ "resource": "customer" }));
    let (_, secret) = world.issue(named().permissions(["write:a"]));
    let answer = read.get(&[("x-api-key", secret.expose_secret())]).await;
    let details = json!({ "required": ["read:a"], "missing": ["read:a"] });
    let text = "This API key lacks a required permission";
    expect(&answer, 403, &[told], "INSUFFICIENT_PERMISSIONS", text, details);

    let two = [("x-api-key", secret.expose_secret()), ("authorization", bearer.as_str())];
    let answer = any.get(&two).await;
    let told = ("www-authenticate", TWO_KEYS);
    let text = "The request carries more than one API key";
    expect(&answer, 400, &[told], "AMBIGUOUS_API_KEY", text, Value::Null);

    let (id, secret) = world.issue(named().owner("o2"));
    forge(&world, id, |_| "{ damaged".to_owned()).await;
    let answer = any.get(&[("x-api-key", secret.expose_secret())]).await;
    let text = "API keys can't be verified at the moment";
    expect(&answer, 503, &[("retry-after", "1")], "UNAVAILABLE", text, json!({ "retry_after": 1 }));
}

#[tokio::test]
async fn every_code_of_a_limit() {
    let limits = LocalLimits::new().per_owner(RateLimit::per_minute(3).unwrap()).unwrap();
    let world = World::with(Roles::none(), limits);
    let gate = ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION);
    let any = Server::guarding(gate.clone()).await;
    let greedy = Server::guarding(gate.cost(2)).await;
    let limited = "Too many requests with this API key";

    let rate = RateLimit::per_minute(2).unwrap().burst(1).unwrap();
    let (id, secret) = world.issue(named().rate_limit(rate));
    let given = [("x-api-key", secret.expose_secret())];
    let pk = partition(id);
    let policy = format!("\"minute\";q=2;w=60{pk}");
    let answer = any.get(&given).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit-policy"), Some(policy.as_str()));
    assert_eq!(answer.header("ratelimit"), Some(format!("\"minute\";r=0;t=30{pk}").as_str()));
    let answer = any.get(&given).await;
    let state = format!("\"minute\";r=0;t=30{pk}");
    let headers = [("retry-after", "30"), ("ratelimit-policy", &policy), ("ratelimit", &state)];
    let details = json!({ "limit": "minute", "retry_after": 30 });
    expect(&answer, 429, &headers, "RATE_LIMITED", limited, details);
    let answer = greedy.get(&given).await;
    let state = format!("\"minute\";r=0{pk}");
    let headers = [("ratelimit-policy", policy.as_str()), ("ratelimit", &state)];
    let details = json!({ "limit": "minute", "retry_after": null });
    expect(&answer, 429, &headers, "RATE_LIMITED", limited, details);

    let (id, secret) = world.issue(named().quota(Quota::new(1, Refill::Hour).unwrap()));
    let given = [("x-api-key", secret.expose_secret())];
    let pk = partition(id);
    assert_eq!(any.get(&given).await.status, 200);
    let answer = any.get(&given).await;
    let (_, end) = Refill::Hour.window(at(0));
    let wait = end.saturating_duration_since(at(0)).as_secs().to_string();
    let (policy, state) =
        (format!("\"quota\";q=1;w=3600{pk}"), format!("\"quota\";r=0;t={wait}{pk}"));
    let headers =
        [("retry-after", wait.as_str()), ("ratelimit-policy", &policy), ("ratelimit", &state)];
    let details = json!({ "limit": "quota", "resets_at": end });
    expect(
        &answer,
        429,
        &headers,
        "QUOTA_EXCEEDED",
        "The quota of this API key is used up",
        details,
    );

    let (_, secret) = world.issue(named());
    let given = [("x-api-key", secret.expose_secret())];
    assert_eq!(any.get(&given).await.status, 200);
    let answer = any.get(&given).await;
    let headers = [("retry-after", "20"), ("ratelimit", "\"owner\";r=0;t=20")];
    let details = json!({ "limit": "owner", "retry_after": 20 });
    expect(&answer, 429, &headers, "RATE_LIMITED", limited, details);
}

/// The id as it is shown, in base64.
fn partition(id: KeyId) -> String {
    use base64::Engine;
    format!(";pk=:{}:", base64::prelude::BASE64_STANDARD.encode(id.to_string()))
}

/// Who holds no valid secret can't tell why: the same bytes, from the first to the last.
#[tokio::test]
async fn the_whole_response_to_an_invalid_key_is_the_same() {
    let world = World::new();
    let (keys, host) = (&world.keys, &world.host);
    let gate = ApiKeyLayer::new(keys.clone(), Environment::PRODUCTION);
    let server = Server::guarding(gate.require("read:a").unwrap()).await;
    let mut presented = vec!["x".to_owned(), "ak_live_1".to_owned(), "k".repeat(3_000)];
    let mut add = |secret: keyward::ApiKey| presented.push(secret.expose_secret().to_owned());

    add(World::new().issue(named()).1);
    let (id, revoked) = world.issue(named());
    keys.revoke(host, id, Reason::Compromised).await.unwrap();
    add(revoked);
    let (id, superseded) = world.issue(named());
    drop(keys.regenerate(host, id).await.unwrap());
    add(superseded);
    let (id, wrong) = world.issue(named().ip_allowlist(["192.0.2.0/24"]));
    drop(keys.regenerate(host, id).await.unwrap());
    drop(keys.regenerate(host, id).await.unwrap());
    add(wrong);
    add(world.issue(named().environment(Environment::SANDBOX)).1);
    let (id, forged) = world.issue(named());
    forge(&world, id, |document| document.replace("read:a", "read:*")).await;
    add(forged);

    let mut answers = Vec::new();
    for key in &presented {
        answers.push(server.get(&[("x-api-key", key)]).await);
        answers.push(server.get(&[("authorization", &format!("Bearer {key}"))]).await);
    }
    assert_eq!((answers[0].status, answers[0].code().as_str()), (401, "INVALID_API_KEY"));
    for (answer, number) in answers.iter().zip(0..) {
        assert_eq!(answer, &answers[0], "{number}");
    }
    let error = keys.verify(&presented[4], &AccessRequest::new(Environment::PRODUCTION)).await;
    assert!(error.is_err());
}
