//! Any document as a record: what is proven by it, against a reading of its JSON.
#![no_main]

use std::sync::LazyLock;

use keyward::{
    AccessRequest, ClientIp, Environment, ImportDigest, ImportFamily, KeyId, KeyRecord, KeyScheme,
    LocalLimits, PepperRing, Roles, Status, Timestamp, VerifyError,
};
use keyward_fuzz::address::{Net, bits};
use keyward_fuzz::scope::grants;
use keyward_fuzz::text;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// A record that was sealed, and the tokens it was issued with.
struct Row {
    id: KeyId,
    version: u64,
    document: String,
    body: Value,
    tokens: Vec<(String, Timestamp)>,
}

struct Golden {
    rows: Vec<Row>,
    sealing: KeyScheme,
    trusting: KeyScheme,
    limits: LocalLimits,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    let json = include_str!("../../tests/golden/records-v1.json");
    let golden: Value = serde_json::from_str(json).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let string = |value: &Value| value.as_str().unwrap().to_owned();
    let peppers: Vec<String> = list(&golden["peppers"]).iter().map(string).collect();
    let ring = PepperRing::from_base64(&peppers.join(",")).unwrap();
    let places = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    let family = ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap();
    let scheme = KeyScheme::new(ring, places).unwrap().realm("proofs").unwrap();
    let sealing = scheme.importing(family).unwrap();
    let records = list(&golden["records"]);
    let rows = records.iter().map(|row| {
        let token = |it: &Value| (string(&it["text"]), string(&it["at"]).parse().unwrap());
        let document = string(&row["document"]);
        Row {
            id: string(&row["id"]).parse().unwrap(),
            version: row["version"].as_u64().unwrap(),
            body: serde_json::from_str(&document).unwrap(),
            document,
            tokens: list(&row["tokens"]).iter().map(token).collect(),
        }
    });
    let rows = rows.collect();
    Golden { rows, trusting: sealing.without_seals(), sealing, limits: LocalLimits::new() }
});

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const RESOURCES: [(&str, &str); 2] = [("customer", "cust_1"), ("site", "s_1")];

fuzz_target!(|data: &[u8]| {
    let document = text(data);
    let body = serde_json::from_str::<Value>(document).unwrap_or_default();
    let id = body["id"].as_str().and_then(|id| id.parse().ok());
    let row = GOLDEN.rows.iter().find(|row| Some(row.id) == id).unwrap_or(&GOLDEN.rows[0]);
    let (id, version) = (id.unwrap_or(row.id), body["version"].as_u64().unwrap_or(row.version));
    let record = KeyRecord::from_row(id, version, document);
    assert!(record.is_readable() || record.to_document() == document);
    assert!(!record.is_readable() || body.is_object());
    printed(&record, &body);
    for (text, at) in &row.tokens {
        for at in [*at, Timestamp::UNIX_EPOCH, "9999-12-31T23:59:59Z".parse().unwrap()] {
            shown(&record, &body, at);
            if id == row.id {
                presented(row, &record, &body, text, at);
            }
        }
    }
    let other = KeyRecord::from_row(KeyId::from_bytes([7; 10]), version, document);
    assert!(!other.is_readable());
    assert!(!KeyRecord::from_row(id, version.wrapping_add(1), document).is_readable());
});

/// A document that can be read says what its JSON says, and prints to itself.
fn printed(record: &KeyRecord, body: &Value) {
    if !record.is_readable() {
        return;
    }
    let document = record.to_document();
    let again = KeyRecord::from_row(record.id(), record.version(), &document);
    assert!(again.is_readable(), "{:?}: {document}", again.damage());
    assert_eq!(again.to_document(), document);
    let printed: Value = serde_json::from_str(&document).unwrap();
    let names = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&printed), names(body));
    assert_eq!(names(&printed["grants"]), names(&body["grants"]));
    for same in ["encoding", "revision", "prefix", "environment", "owner", "name", "created_by"] {
        assert_eq!(printed[same], body[same]);
    }
    assert_eq!(printed["metadata"], body["metadata"]);
    assert_eq!(printed["idempotency"], body["idempotency"]);
    assert_eq!(printed["seal"], body["seal"]);
    assert_eq!(printed["state"]["is"], body["state"]["is"]);
    assert_eq!(record.owner(), body["owner"]);
}

/// Whatever it is, it can be listed.
fn shown(record: &KeyRecord, body: &Value, at: Timestamp) {
    let unreadable = record.status(at) == Status::Unreadable;
    assert_eq!(unreadable, !record.is_readable());
    assert_eq!(unreadable, record.damage().is_some());
    let view = record.view(None, at);
    assert_eq!(view.status, record.status(at));
    assert!(!unreadable || view.permissions.is_empty() && record.is_live(at));
    let json = serde_json::to_string(&view).unwrap();
    let shown = format!("{record:?} {view:?} {json}");
    let document = record.to_document();
    for tag in (0..2).filter_map(|slot| body["slots"][slot]["tag"].as_str()) {
        // Twice in the document, it is a name or the like too.
        let is_tag_alone = record.is_readable() && document.matches(tag).count() == 1;
        assert!(!is_tag_alone || !shown.contains(tag), "{shown}");
    }
}

fn presented(row: &Row, record: &KeyRecord, body: &Value, token: &str, at: Timestamp) {
    let golden = &*GOLDEN;
    let request = AccessRequest::new(Environment::PRODUCTION)
        .scope("read:assets")
        .from(ClientIp::Peer(CLIENT.into()))
        .resources(&RESOURCES)
        .cost(0);
    let finish = |scheme: &KeyScheme| {
        let challenge = scheme.begin(token).unwrap();
        challenge.finish(Some(record), &request, &Roles::none(), &golden.limits, at)
    };
    let (sealed, trusted) = (finish(&golden.sealing), finish(&golden.trusting));
    if !record.is_readable() {
        let unavailable = |error: &VerifyError| error.status() == 503;
        assert!(sealed.is_err_and(|error| unavailable(&error)));
        assert!(trusted.is_err_and(|error| unavailable(&error)));
        return;
    }
    assert!(sealed.is_err() || record.to_document() == row.document, "{}", record.to_document());
    let allowed = slot_of(token, row, body).is_some_and(|slot| allows(body, slot, at));
    assert_eq!(trusted.is_ok(), allowed, "{trusted:?} at {at}: {body}");
    assert!(sealed.is_err() || trusted.is_ok());
}

/// The slot that a token is for, if it still has what was issued.
fn slot_of<'b>(token: &str, row: &Row, body: &'b Value) -> Option<&'b Value> {
    let native = !token.starts_with("lk_");
    // Imported ones sit in the first; native ones say theirs by their first character.
    let at = if native { usize::from(token.as_bytes()[token.len() - 49] & 1) } else { 0 };
    let (slot, issued) = (&body["slots"][at], &row.body["slots"][at]);
    let is_same = ["imported", "tag", "pepper"].iter().all(|name| slot[name] == issued[name]);
    (is_same && (!native || body["prefix"] == row.body["prefix"])).then_some(slot)
}

/// Whether a key with this document may do what is asked, if its seal is not.
fn allows(body: &Value, slot: &Value, at: Timestamp) -> bool {
    let instant = |value: &Value| value.as_str().map(|text| text.parse::<Timestamp>().unwrap());
    let strings = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let rotated = instant(&body["rotated_at"]).map_or(at, |rotated| at.max(rotated));
    let grant = &body["grants"];
    let listed = |name: &str| strings(&grant["networks"][name]);
    let among = |list: &[String]| {
        list.iter().any(|net| Net::parse(net).unwrap().contains(&bits(CLIENT.into())))
    };
    let (allow, deny) = (listed("allow"), listed("deny"));
    let resources = grant["resources"].as_object().unwrap();
    let named = |(kind, ids): (&String, &Value)| {
        RESOURCES.iter().any(|(of, id)| of == kind && strings(ids).iter().any(|it| it == id))
    };
    body["state"]["is"] == "enabled"
        && body["environment"] == "production"
        && instant(&body["not_before"]).is_none_or(|start| start <= at)
        && instant(&body["expires_at"]).is_none_or(|end| at < end)
        && instant(&slot["valid_until"]).is_none_or(|until| rotated < until)
        && (allow.is_empty() || among(&allow))
        && !among(&deny)
        && resources.iter().all(named)
        && strings(&grant["scopes"]).iter().any(|scope| grants(scope, "read:assets"))
        && !is_shared(&grant["limits"])
}

/// Whether a limit is counted in a shared store, which nobody here can ask.
fn is_shared(limits: &Value) -> bool {
    let rates = limits["rate_limits"].as_array().into_iter().flatten();
    let mut modes = rates.chain([&limits["quota"]]).map(|limit| &limit["mode"]);
    modes.any(|mode| !mode.is_null() && mode != "local")
}
