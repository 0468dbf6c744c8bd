//! What pages of other sites can make a browser send, with the session of whoever looks at
//! them, changes nothing.

use serde_json::json;

use crate::http_client::Client;
use crate::world::{Cookie, SESSION, World, issue};

/// What a browser that is signed in sends by itself.
fn browser(world: &World) -> Client {
    world.anyone().with("Cookie", SESSION)
}

fn own_page(world: &World) -> Client {
    let origin = format!("http://{}", world.served.address);
    browser(world).with("Origin", origin).with("Sec-Fetch-Site", "same-origin")
}

/// Every request that may change something, about a key.
fn changes(id: &str) -> Vec<(&'static str, String)> {
    let of_key = |path: &str| format!("/admin/api-keys/{id}{path}");
    let mut changes =
        vec![("POST", "/admin/api-keys".to_owned()), ("PATCH", of_key("")), ("DELETE", of_key(""))];
    for action in
        ["disable", "enable", "explain", "finish-rotation", "regenerate", "revoke", "rotate"]
    {
        changes.push(("POST", of_key(&format!("/{action}"))));
    }
    changes
}

/// The three types that `enctype` may name (HTML, form submission), and what a script of
/// another origin may send without asking first (Fetch, CORS-safelisted request header).
const FORMS: [&str; 5] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/plain;charset=UTF-8",
    "text/plain; x=application/json",
];

/// A text form whose one field, by its name and its value, makes JSON.
const FORM: &str = "{\"name\":\"stolen\",\"permissions\":[\"*\"],\"metadata\":{\"x\":\"=\"}}";

#[test]
fn forms_of_other_sites_are_refused() {
    let world = World::authorized(|_| Cookie);
    let own = own_page(&world);
    let key = issue(&own, &json!({ "name": "mine" }));
    let id = key["id"].as_str().unwrap();
    let headers: [&[(&str, &str)]; 8] = [
        &[],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://blog.portal.example")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        &[("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
    ];
    let mut refused = 0;
    for (method, path) in changes(id) {
        for headers in headers {
            for of_form in FORMS.iter().map(Some).chain([None]) {
                let mut client = browser(&world).with("If-Match", "*");
                for (name, value) in headers {
                    client = client.with(name, *value);
                }
                if let Some(of_form) = of_form {
                    client = client.with("Content-Type", *of_form);
                }
                let reply = client.send(method, &path, Some(FORM));
                let expected = match headers.first() {
                    None | Some(("Sec-Fetch-Site", "same-origin" | "none")) => 415,
                    Some(_) => 403,
                };
                let code =
                    if expected == 415 { "UNSUPPORTED_MEDIA_TYPE" } else { "CROSS_SITE_REQUEST" };
                assert_eq!((reply.status, reply.code()), (expected, code.to_owned()), "{client:?}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 10 * 8 * 6);
    let now = own.get(&format!("/admin/api-keys/{id}")).expect(200).json();
    assert_eq!((&now["revision"], &now["status"]), (&json!(1), &json!("active")));
    assert_eq!(own.get("/admin/api-keys").json()["data"].as_array().unwrap().len(), 1);
}

/// A script of another origin that sets the content type has to ask first, and is not
/// answered; the request that it would send then is refused all the same.
#[test]
fn scripts_of_other_sites_get_no_leave() {
    let world = World::authorized(|_| Cookie);
    let preflight = browser(&world)
        .with("Origin", "https://evil.example")
        .with("Access-Control-Request-Method", "POST")
        .with("Access-Control-Request-Headers", "content-type");
    preflight.send("OPTIONS", "/admin/api-keys", None).expect(405);
    for site in ["cross-site", "same-site"] {
        let script = browser(&world)
            .with("Origin", "https://evil.example")
            .with("Sec-Fetch-Site", site)
            .json("POST", "/admin/api-keys", &json!({ "name": "stolen" }))
            .expect(403);
        assert_eq!(script.code(), "CROSS_SITE_REQUEST");
    }
    let page = own_page(&world);
    page.get("/admin/api-keys").expect(200);
    assert!(page.get("/admin/api-keys").json()["data"].as_array().unwrap().is_empty());
}

/// The page of the portal itself, in a browser that tells where a request comes from and in
/// one that doesn't, and a program that isn't a browser.
#[test]
fn the_own_page_works() {
    let world = World::authorized(|_| Cookie);
    let old = browser(&world).with("Origin", format!("http://{}", world.served.address));
    for client in [own_page(&world), old, browser(&world)] {
        let key = issue(&client, &json!({ "name": "mine" }));
        let at = format!("/admin/api-keys/{}", key["id"].as_str().unwrap());
        client.json("POST", &format!("{at}/disable"), &json!({})).expect(200);
        let empty = client.clone().with("Content-Type", "application/json");
        empty.send("POST", &format!("{at}/enable"), None).expect(200);
        empty.send("DELETE", &at, None).expect(200);
    }
}

/// A key in a header is nothing that a form could send: what `curl` sends by itself is enough.
/// But a page that was given a key is still not let in from elsewhere.
#[test]
fn a_key_needs_no_content_type() {
    let world = World::new();
    let admin = world.admin();
    let form = admin.clone().with("Content-Type", "application/x-www-form-urlencoded");
    let key = form.send("POST", "/admin/api-keys", Some("{\"name\":\"a\"}")).expect(201).json();
    let at = format!("/admin/api-keys/{}", key["id"].as_str().unwrap());
    admin.send("POST", &format!("{at}/rotate"), None).expect(200);
    admin.clone().with("Content-Type", "text/plain").send("DELETE", &at, None).expect(415);
    let elsewhere = admin.clone().with("Sec-Fetch-Site", "cross-site");
    elsewhere.json("DELETE", &at, &json!({})).expect(403);
    let token = world.token("org_1", &["api.key.*"]);
    let own = world.anyone().with("X-API-Key", token);
    own.send("DELETE", &at, None).expect(200);
    // A browser adds these by itself, and they are not asked.
    let basic = world.anyone().with("Authorization", "Basic YTpi");
    basic.send("DELETE", &at, None).expect(401);
}
