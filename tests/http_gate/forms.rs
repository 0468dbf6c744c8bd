//! What hosts may choose of the answers, and that nobody's text gets into a header.

use keyward::{
    Answer, ApiKeyLayer, Environment, Gate, KeyEdit, NewKey, Quota, RateLimit, Refill, Refusal,
};
use serde_json::{Value, json};

use crate::fixture::{Random, START, World, cases};
use crate::server::Server;

fn gate(world: &World) -> Gate {
    Gate::new(world.keys.clone(), Environment::PRODUCTION)
}

#[tokio::test]
async fn problems_are_those_of_the_rfc() {
    let world = World::new();
    let layer = ApiKeyLayer::from_gate(gate(&world).problem_json());
    let server = Server::guarding(layer.require("read:a").unwrap()).await;
    let narrow = world.issue(NewKey::named("k").owner("o")).1;
    let rate = RateLimit::per_minute(1).unwrap();
    let limited = NewKey::named("k").owner("o").permissions(["read:a"]).rate_limit(rate);
    let limited = world.issue(limited).1;
    assert_eq!(server.get(&[("x-api-key", limited.expose_secret())]).await.status, 200);
    for (key, expected) in [
        (
            None,
            json!({
                "type": "about:blank", "title": "Unauthorized", "status": 401,
                "detail": "An API key is required", "code": "MISSING_API_KEY",
            }),
        ),
        (
            Some(&narrow),
            json!({
                "type": "about:blank", "title": "Forbidden", "status": 403,
                "detail": "This API key lacks a required permission",
                "code": "INSUFFICIENT_PERMISSIONS",
                "details": { "required": ["read:a"], "missing": ["read:a"] },
            }),
        ),
        (
            Some(&limited),
            json!({
                "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "title": "Request cannot be satisfied as assigned quota has been exceeded",
                "status": 429, "detail": "Too many requests with this API key",
                "code": "RATE_LIMITED",
                "details": { "limit": "minute", "retry_after": 60 },
                "violated-policies": ["minute"],
            }),
        ),
    ] {
        let headers: Vec<_> = key.iter().map(|key| ("x-api-key", key.expose_secret())).collect();
        let answer = server.get(&headers).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), expected);
        assert_eq!(expected["status"], answer.status);
    }
}

#[tokio::test]
async fn the_host_has_the_last_word() {
    fn words(refusal: &Refusal<'_>) -> Answer {
        let peer = refusal.request().client.address();
        match refusal.code() {
            "MISSING_API_KEY" => Answer::new(302, "").header("location", "/login\r\nx-evil: 1"),
            _ => refusal.default_answer().with_status(418).with_body(format!("{peer:?}")),
        }
    }
    let world = World::new();
    let gate = gate(&world).realm("sites of 'Ångström'").err().map(|error| {
        assert_eq!(error.field(), "realm");
        gate(&world).realm("the (best) API").unwrap()
    });
    let server = Server::guarding(ApiKeyLayer::from_gate(gate.unwrap().rejection(words))).await;
    let answer = server.get(&[]).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/login??x-evil: 1")));
    assert_eq!(answer.header("x-evil"), None);
    let answer = server.get(&[("x-api-key", "no")]).await;
    assert_eq!((answer.status, answer.body.as_str()), (418, "Some(127.0.0.1)"));
    let challenge = "Bearer realm=\"the (best) API\", error=\"invalid_token\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    for wrong in ["", "a\"b", "a\\b", "a\nb", "a\u{7f}", &"a".repeat(129)] {
        assert!(self::gate(&world).realm(wrong).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn allowed_ips_may_be_hidden() {
    let world = World::new();
    let server = Server::guarding(ApiKeyLayer::from_gate(gate(&world).hide_allowed_ips())).await;
    let key = world.issue(NewKey::named("k").owner("o").ip_allowlist(["10.0.0.0/8"])).1;
    let answer = server.get(&[("x-api-key", key.expose_secret())]).await;
    assert_eq!(answer.code(), "IP_NOT_ALLOWED");
    assert!(answer.body.contains("127.0.0.1") && !answer.body.contains("10.0.0.0"));
}

#[tokio::test]
async fn limits_are_told_in_the_chosen_headers() {
    let world = World::new();
    let half = RateLimit::new("half", 3, std::time::Duration::from_millis(500)).unwrap();
    let new = NewKey::named("k")
        .owner("o")
        .rate_limit(RateLimit::per_minute(100).unwrap().burst(20).unwrap())
        .rate_limit(half)
        .quota(Quota::new(1_000, Refill::Month).unwrap().named("exports").unwrap());
    let (id, key) = world.issue(new);
    let given = [("x-api-key", key.expose_secret())];
    let pk = {
        use base64::Engine;
        format!(";pk=:{}:", base64::prelude::BASE64_STANDARD.encode(id.to_string()))
    };
    let older = Server::guarding(ApiKeyLayer::from_gate(gate(&world).older_limit_headers())).await;
    let answer = older.get(&given).await;
    let policy = format!("\"minute\";q=100;w=60{pk}, \"half\";q=6;w=1{pk}, \"exports\";q=1000{pk}");
    assert_eq!(answer.header("ratelimit-policy"), Some(policy.as_str()));
    assert_eq!(answer.header("ratelimit"), Some(format!("\"half\";r=2;t=1{pk}").as_str()));
    let older_ones = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        .map(|n| answer.header(n));
    let reset = (START + 1).to_string();
    assert_eq!(older_ones, [Some("3"), Some("2"), Some(reset.as_str())]);

    let silent =
        Server::guarding(ApiKeyLayer::from_gate(gate(&world).without_limit_headers())).await;
    for _ in 0..3 {
        let answer = silent.get(&given).await;
        assert!(answer.headers.iter().all(|(name, _)| !name.contains("ratelimit")), "{answer:?}");
    }
    let answer = silent.get(&given).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    let unlimited = world.issue(NewKey::named("k").owner("o")).1;
    let answer = older.get(&[("x-api-key", unlimited.expose_secret())]).await;
    assert!(answer.headers.iter().all(|(name, _)| !name.contains("ratelimit")), "{answer:?}");
}

/// Names, metadata, owners, resources and scopes as hostile as they can be stored, through
/// every refusal that tells of them: heads stay within 0x20 to 0x7E ([`Server`] asserts it)
/// and have the same headers as ever.
#[tokio::test]
async fn no_text_of_anybody_is_in_a_header() {
    const PIECES: [&str; 8] =
        ["x-evil: 1", "\u{1f600}", "\"", "\\", "%0d%0a", "</script>", "\u{e9}", "; error=\""];
    let world = World::new();
    let layer = ApiKeyLayer::from_gate(gate(&world).older_limit_headers());
    let any = Server::guarding(layer.clone()).await;
    let read = Server::guarding(layer.require("read:a").unwrap()).await;
    for seed in 0..cases(2_000, 60) as u64 {
        let mut random = Random(seed);
        let mut text =
            || -> String { (0..=random.below(3)).map(|_| random.pick(&PIECES)).collect() };
        let new = NewKey::named(text())
            .owner("o;x-evil:\"1\"")
            .metadata("note", text())
            .rate_limit(RateLimit::per_minute(2).unwrap());
        let (id, key) = world.issue(new);
        let given = [("x-api-key", key.expose_secret())];
        let mut answers = vec![any.get(&given).await, read.get(&given).await];
        answers.push(any.get(&given).await);
        answers.push(any.get(&given).await);
        let edit = KeyEdit::new().ip_allowlist(["10.0.0.0/8"]);
        world.keys.update(&world.host, id, edit).await.unwrap();
        answers.push(any.get(&given).await);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 403, 200, 429, 403]);
        for answer in answers {
            assert_eq!(answer.header("x-evil"), None);
            for (name, value) in &answer.headers {
                assert!(!value.contains("evil"), "{name}: {value}");
            }
        }
    }
}
