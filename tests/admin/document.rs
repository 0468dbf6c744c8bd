//! The document says what the router does: every answer in these tests is held against it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::http_client::Reply;
use crate::world::{World, path, some_key};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(keyward::admin::openapi()).unwrap());

/// Fails unless an answer has the form of the API, and is one that the document tells of.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, reply: &Reply) {
    if !path.starts_with("/admin/") {
        return;
    }
    assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
    for (name, value) in &reply.headers {
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{name}: {value}");
    }
    if method == "HEAD" {
        assert_eq!(reply.body, "");
        return;
    }
    let body = reply.json();
    if reply.status >= 400 {
        assert_eq!(fields(&body), BTreeSet::from(["error"]), "{body}");
        fits(&body, &json!({ "$ref": "#/components/schemas/Error" }), "");
    }
    let operation = operation(method, path).filter(|_| reply.code() != "ROUTE_NOT_FOUND");
    let Some(operation) = operation else {
        assert!(matches!(reply.status, 404 | 405), "{method} {path}: {}", reply.status);
        return;
    };
    let response = &operation["responses"][reply.status.to_string()];
    assert!(response.is_object(), "{method} {path}: {} is not documented", reply.status);
    fits(&body, &response["content"]["application/json"]["schema"], "");
    if reply.status >= 400 {
        let (told, code) = (response["description"].as_str().unwrap(), reply.code());
        assert!(told.contains(&format!("`{code}`")), "{method} {path}: {code} is not in: {told}");
    }
    for header in ["etag", "location", "retry-after", "www-authenticate"] {
        let told = response["headers"].as_object();
        let told = told.is_some_and(|told| told.keys().any(|name| name.to_lowercase() == header));
        assert!(told || reply.header(header).is_none(), "{method} {path}: {header}");
    }
}

/// The operation that a path and a method stand for.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let mut parts: Vec<&str> = path.split('/').collect();
    let literal = DOCUMENT["paths"].get(path);
    if literal.is_none() && parts.len() > 3 {
        parts[3] = "{id}";
    }
    DOCUMENT["paths"].get(parts.join("/"))?.get(method.to_lowercase())
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Holds a value against a schema: types, fields, items and names of enums. A field that the
/// schema doesn't tell of is a fault, as is one that it demands and that isn't there.
#[track_caller]
fn fits(value: &Value, schema: &Value, at: &str) {
    let schemas = flat(schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null());
        return fits(value, choice.unwrap_or_else(|| panic!("{at}: {value}")), at);
    }
    let told: Vec<(&String, &Value)> =
        schemas.iter().filter_map(|schema| schema["properties"].as_object()).flatten().collect();
    let demanded: BTreeSet<&str> = schemas
        .iter()
        .filter_map(|schema| schema["required"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let more = schemas.iter().find_map(|schema| schema.get("additionalProperties"));
    for schema in &schemas {
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let of = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(types.is_empty() || types.contains(&json!(of)), "{at}: {value} is no {types:?}");
        if let (Some(names), false) = (schema["enum"].as_array(), value.is_null()) {
            assert!(names.contains(value), "{at}: {value} is none of {names:?}");
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
            assert!(regex::Regex::new(pattern).unwrap().is_match(text), "{at}: {text}");
        }
        if schema["format"] == "date-time" && !value.is_null() {
            let text = value.as_str().unwrap();
            assert!(text.parse::<keyward::Timestamp>().is_ok(), "{at}: {text}");
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            fits(item, &schema["items"], &format!("{at}[{i}]"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let of_field = told.iter().find(|(known, _)| *known == name).map(|(_, schema)| *schema);
        match of_field.or(more) {
            Some(schema) => fits(value, schema, &format!("{at}.{name}")),
            // An object of which nothing is told may hold anything.
            None => assert!(told.is_empty(), "{at} has `{name}`, which is not documented"),
        }
    }
    if value.is_object() {
        let lacks: Vec<_> = demanded.difference(&fields(value)).copied().collect();
        assert_eq!(lacks, [""; 0], "{at}");
    }
}

/// A schema, with what it refers to, and all parts of an `allOf`.
fn flat(schema: &Value) -> Vec<&Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let schema = DOCUMENT["components"]["schemas"].get(name);
        return flat(schema.unwrap_or_else(|| panic!("{name} is not described")));
    }
    match schema["allOf"].as_array() {
        Some(parts) => parts.iter().flat_map(flat).collect(),
        None => vec![schema],
    }
}

fn operations() -> Vec<(String, String)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let path = path.clone();
        let methods: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
    };
    paths.iter().flat_map(of_path).collect()
}

const METHODS: [&str; 7] = ["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE"];

#[test]
fn the_document_and_the_router_have_the_same_routes() {
    let world = World::new();
    let key = some_key(&world.admin());
    let told = operations();
    assert_eq!(told.len(), 17);
    let paths: BTreeSet<&str> = told.iter().map(|(_, path)| path.as_str()).collect();
    for path in paths {
        for method in METHODS {
            let real = path.replace("{id}", key["id"].as_str().unwrap());
            let reply = world.anyone().send(method, &real, None);
            let there = told.contains(&(method.to_owned(), path.to_owned()));
            assert_eq!(reply.status != 405, there, "{method} {path}: {}", reply.body);
            if !there {
                let allowed: BTreeSet<&str> = reply.header("allow").unwrap().split(", ").collect();
                let mut own: BTreeSet<&str> = told
                    .iter()
                    .filter(|(_, of)| of == path)
                    .map(|(method, _)| method.as_str())
                    .collect();
                if own.contains("GET") {
                    own.insert("HEAD");
                }
                assert_eq!(allowed, own, "{method} {path}");
            }
        }
    }
}

#[test]
fn the_router_serves_the_document_to_everybody() {
    let world = World::new();
    let served = world.anyone().get("/admin/openapi.json").expect(200).json();
    assert_eq!(served, *DOCUMENT);
    assert_eq!(served["openapi"], "3.1.0");
    for name in ["Key", "NewKey", "KeyEdit", "Error", "RateLimit", "Step", "PepperUse"] {
        assert!(served["components"]["schemas"][name]["properties"].is_object(), "{name}");
    }
    world.anyone().send("HEAD", "/admin/openapi.json", None).expect(200);
}

fn described() -> Value {
    json!({
        "environment": "production", "client_ip": "10.0.0.1", "scopes": ["a"], "cost": 1,
        "resources": { "customer": ["a"] }, "at": "2024-01-15T12:00:00Z",
    })
}

/// What the bodies of actions say in the test before, they may say.
#[test]
fn every_field_of_an_action_is_taken() {
    let world = World::new();
    let admin = world.admin();
    let at = path(&some_key(&admin));
    for (action, body) in [
        ("rotate", json!({ "grace_seconds": 1, "replace_older": true })),
        ("explain", described()),
        ("revoke", json!({ "reason": "other" })),
    ] {
        admin.json("POST", &format!("{at}/{action}"), &body).expect(200);
    }
}

/// What a new key and an edit may say, the document says, and nothing else.
#[test]
fn every_field_of_an_input_is_described() {
    for (schema, full) in [
        ("NewKey", serde_json::to_value(keyward::NewKey::default()).unwrap()),
        ("Nothing", json!({})),
        ("Revocation", json!({ "reason": "other" })),
        ("Rotation", json!({ "grace_seconds": 1, "replace_older": true })),
        ("DescribedRequest", described()),
        ("KeyEdit", {
            let limit = keyward::RateLimit::per_minute(1).unwrap();
            let edit = keyward::KeyEdit::new()
                .name("n")
                .permissions(["a"])
                .roles(["a"])
                .ip_allowlist([""])
                .ip_denylist([""])
                .customers([""])
                .resources([].into())
                .rate_limits([limit])
                .without_quota()
                .valid_at_once()
                .never_expires()
                .metadata([].into());
            let mut fields = serde_json::to_value(edit).unwrap();
            // The only one that the builder has no method for.
            fields["role"] = json!("");
            fields
        }),
    ] {
        let schema = &DOCUMENT["components"]["schemas"][schema];
        assert_eq!(fields(&schema["properties"]), fields(&full));
        assert_eq!(schema["additionalProperties"], false);
    }
}

#[test]
#[should_panic(expected = "is not documented")]
fn the_check_sees_a_field_that_is_not_documented() {
    let world = World::new();
    let admin = world.admin();
    let mut reply = admin.get(&path(&some_key(&admin)));
    reply.body = reply.body.replace("\"uses\"", "\"used\"");
    check("GET", "/admin/api-keys/key_x", &reply);
}
