//! The portal as its users have it: a process, its output, its files, and HTTP.

#[path = "../../tests/http_client/mod.rs"]
mod http_client;
#[path = "../../tests/servers/mod.rs"]
mod servers;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use http_client::Client;
use serde_json::{Value, json};

/// With these arguments in the environment, this test is the portal itself.
const ARGUMENTS: &str = "PORTAL_TEST_ARGUMENTS";

#[test]
fn is_the_portal_if_asked() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let code = runtime.block_on(crate::run(&arguments));
        drop(runtime);
        std::process::exit(i32::from(code));
    }
}

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("keyward-portal-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "tests::is_the_portal_if_asked", "--nocapture"])
            .current_dir(&self.0)
            .env(ARGUMENTS, arguments)
            .env("KEYWARD_LISTEN", "127.0.0.1:0")
            .env_remove("KEYWARD_DATABASE")
            .env_remove("KEYWARD_PEPPER")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The portal, once it listens.
    fn start(&self, variables: &[(&str, &str)]) -> Portal {
        Portal::of(self.command("", variables).spawn().unwrap())
    }

    /// A run that ends by itself: whether well, and what it printed.
    fn run(&self, arguments: &str, variables: &[(&str, &str)]) -> (ExitStatus, String, String) {
        let output = self.command(arguments, variables).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status, text(output.stdout), text(output.stderr))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Portal {
    process: Child,
    address: SocketAddr,
    key: Option<String>,
}

impl Portal {
    /// Reads until the portal says that it listens.
    fn of(mut process: Child) -> Self {
        let mut address = None;
        let mut key = None;
        for line in BufReader::new(process.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.split("http://").nth(1) {
                address = found.split('/').next().unwrap().parse().ok();
            }
            key = key.or_else(|| token_in(&line));
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let address = address.unwrap_or_else(|| {
            let mut errors = String::new();
            let _ = process.stderr.as_mut().unwrap().read_to_string(&mut errors);
            panic!("the portal doesn't listen: {errors}")
        });
        Self { process, address, key }
    }

    fn client(&self, key: &str) -> Client {
        Client::new(self.address).bearer(key)
    }

    /// Ctrl-C.
    fn stop(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.process.wait().unwrap()
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn token_in(line: &str) -> Option<String> {
    line.split_whitespace().find(|word| word.starts_with("ak_live_")).map(str::to_owned)
}

fn sites(portal: &Portal, key: &str) -> (u16, Value) {
    let reply = Client::new(portal.address)
        .with("X-API-Key", key)
        .with("Content-Type", "application/json")
        .get("/inventory-service/sites");
    (reply.status, reply.json())
}

#[test]
fn the_first_start_prints_a_key_and_leaves_two_files() {
    let folder = Folder::new();
    let portal = folder.start(&[]);
    let key = portal.key.clone().expect("a first start prints a key");
    assert_eq!(sites(&portal, &key).0, 200);
    assert!(portal.stop().success());
    assert_eq!(folder.files(), ["keyward.db", "keyward.db.pepper"]);
    let pepper = folder.0.join("keyward.db.pepper");
    assert_eq!(fs::metadata(&pepper).unwrap().permissions().mode() & 0o777, 0o600);
    let made = fs::read(&pepper).unwrap();

    let portal = folder.start(&[]);
    assert_eq!(portal.key, None, "the second start prints none");
    assert_eq!(sites(&portal, &key).0, 200);
    assert!(portal.stop().success());
    assert_eq!(folder.files(), ["keyward.db", "keyward.db.pepper"]);
    assert_eq!(fs::read(&pepper).unwrap(), made);
}

/// What the product page tells people to send, with another host and token. `curl` says that
/// what comes after `-d` is a form unless it is told otherwise.
#[test]
fn the_commands_of_the_product_page_work() {
    let folder = Folder::new();
    let portal = folder.start(&[]);
    let admin = portal.client(portal.key.as_deref().unwrap());
    let form = admin.clone().with("Content-Type", "application/x-www-form-urlencoded");

    let body = json!({
        "name": "Asset Controls Backend",
        "permissions": ["read:assets", "write:schedules"],
        "ip_allowlist": ["10.0.0.0/8"],
        "expires_at": "2025-12-31T23:59:59Z",
    });
    let created = admin.json("POST", "/admin/api-keys", &body);
    assert_eq!(created.status, 201);
    let expired = created.json();
    assert_eq!(expired["status"], "expired", "its date has passed");
    let (status, error) = sites(&portal, expired["api_key"].as_str().unwrap());
    assert_eq!((status, &error["error"]["code"]), (401, &json!("API_KEY_EXPIRED")));
    assert_eq!(error["error"]["details"]["expired_at"], "2025-12-31T23:59:59Z");

    let lasting = json!({ "name": "Backend", "role": "viewer" });
    let created = admin.json("POST", "/admin/api-keys", &lasting).json();
    let key = created["api_key"].as_str().unwrap().to_owned();
    assert_eq!(sites(&portal, &key).0, 200);

    let bound = json!({
        "name": "Backend", "permissions": ["read:assets"], "ip_allowlist": ["10.0.0.0/8"],
    });
    let bound = admin.json("POST", "/admin/api-keys", &bound).json();
    let (status, error) = sites(&portal, bound["api_key"].as_str().unwrap());
    assert_eq!((status, &error["error"]["code"]), (403, &json!("IP_NOT_ALLOWED")));
    assert_eq!(
        error["error"]["details"],
        json!({ "client_ip": "127.0.0.1", "allowed_ips": ["10.0.0.0/8"] })
    );

    let listed = admin.get("/admin/api-keys").json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(key.rsplit('_').next().unwrap()));

    let renewed = r#"{"name": "Asset Controls Backend (rotated)"}"#;
    let renewed = form.send("POST", "/admin/api-keys", Some(renewed));
    assert_eq!((renewed.status, &renewed.json()["permissions"]), (201, &json!([])));
    let (status, error) = sites(&portal, renewed.json()["api_key"].as_str().unwrap());
    assert_eq!((status, &error["error"]["code"]), (403, &json!("INSUFFICIENT_PERMISSIONS")));

    let path = format!("/admin/api-keys/{}", created["id"].as_str().unwrap());
    let revoked = admin.send("DELETE", &path, None);
    assert_eq!((revoked.status, &revoked.json()["status"]), (200, &json!("revoked")));
    let (status, error) = sites(&portal, &key);
    assert_eq!((status, &error["error"]["code"]), (401, &json!("INVALID_API_KEY")));
    assert_eq!(Client::new(portal.address).get("/admin/api-keys").status, 401);
    assert_eq!(Client::new(portal.address).get("/console").status, 200);
    assert_eq!(Client::new(portal.address).get("/admin/openapi.json").status, 200);
}

#[test]
fn two_first_starts_end_with_one_pepper_and_one_key() {
    for _ in 0..5 {
        let folder = Folder::new();
        let starting: Vec<Child> =
            (0..2).map(|_| folder.command("", &[]).spawn().unwrap()).collect();
        let portals: Vec<Portal> = starting.into_iter().map(Portal::of).collect();
        let keys: Vec<&str> = portals.iter().filter_map(|portal| portal.key.as_deref()).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        for portal in &portals {
            assert_eq!(sites(portal, keys[0]).0, 200);
        }
        for portal in portals {
            assert!(portal.stop().success());
        }
        assert_eq!(folder.files(), ["keyward.db", "keyward.db.pepper"]);
    }
}

#[test]
fn no_pepper_is_made_beside_keys() {
    let folder = Folder::new();
    assert!(folder.start(&[]).stop().success());
    let pepper = folder.0.join("keyward.db.pepper");
    let kept = fs::read_to_string(&pepper).unwrap();
    let other = keyward::PepperRing::generate().unwrap();
    fs::remove_file(&pepper).unwrap();

    let (status, printed, error) = folder.run("", &[]);
    assert!(!status.success() && token_in(&printed).is_none());
    assert!(error.contains("pepper is missing") && error.contains("keyward.db.pepper"), "{error}");
    assert_eq!(folder.files(), ["keyward.db"]);

    let (status, _, error) = folder.run("", &[("KEYWARD_PEPPER", &other)]);
    assert!(!status.success());
    assert!(error.contains("need peppers that are not in the ring"), "{error}");
    assert!(!error.contains(&*other));

    assert!(folder.start(&[("KEYWARD_PEPPER", kept.trim())]).stop().success());
    assert_eq!(folder.files(), ["keyward.db"]);

    fs::write(&pepper, &kept).unwrap();
    fs::set_permissions(&pepper, fs::Permissions::from_mode(0o640)).unwrap();
    let (status, _, error) = folder.run("", &[]);
    assert!(!status.success() && error.contains("chmod 600"), "{error}");

    fs::write(&pepper, &kept[..20]).unwrap();
    fs::set_permissions(&pepper, fs::Permissions::from_mode(0o600)).unwrap();
    let (status, _, error) = folder.run("", &[]);
    assert!(!status.success() && error.contains("keyward.db.pepper"), "{error}");
    assert!(!error.contains(&kept[..20]));
}

#[test]
fn a_start_that_fails_says_what_to_do_and_leaves_nothing() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (variable, value, expected) in [
        ("KEYWARD_LISTEN", &*taken, "KEYWARD_LISTEN"),
        ("KEYWARD_LISTEN", "8080", "must be an address and a port"),
        ("KEYWARD_DATABASE", "mysql://u:s3cret@h/d", "must be a path or a `postgres://` URL"),
        ("KEYWARD_DATABASE", "postgres://u:s3cret@127.0.0.1:1/d", "KEYWARD_DATABASE"),
        ("KEYWARD_DATABASE", "missing/keys.db", "missing/keys.db"),
        ("KEYWARD_PEPPER", "too-short", "KEYWARD_PEPPER"),
    ] {
        let listener = std::net::TcpListener::bind(&taken).ok();
        let (status, printed, error) = folder.run("", &[(variable, value)]);
        drop(listener);
        assert!(!status.success(), "{variable}={value}");
        assert!(error.contains(expected), "{variable}={value}: {error}");
        assert!(!error.contains("s3cret") && token_in(&printed).is_none());
        assert!(!folder.files().iter().any(|name| name.ends_with(".pepper")), "{value}");
    }
    let (status, _, error) = folder.run("rotate", &[]);
    assert!(!status.success() && error.contains("usage"), "{error}");
}

#[test]
fn a_replaced_administrator_is_refused_and_the_new_one_is_not() {
    let folder = Folder::new();
    let portal = folder.start(&[]);
    let first = portal.key.clone().unwrap();
    let (status, printed, told) = folder.run("replace-administrator", &[]);
    assert!(status.success(), "{told}");
    let second = token_in(&printed).unwrap();
    assert!(told.contains("expires") && token_in(&told).is_none());
    assert_eq!(portal.client(&second).get("/admin/api-keys").status, 200);
    let refused = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(60));
        portal.client(&first).get("/admin/api-keys").status == 401
    });
    assert!(refused, "within the bound on staleness");
}

#[test]
fn ctrl_c_ends_it_beside_an_open_connection_and_writes_uses() {
    let folder = Folder::new();
    let portal = folder.start(&[]);
    let key = portal.key.clone().unwrap();
    let reader = json!({ "name": "reader", "permissions": ["read:assets"] });
    let reader = portal.client(&key).json("POST", "/admin/api-keys", &reader).json();
    assert_eq!(sites(&portal, reader["api_key"].as_str().unwrap()).0, 200);
    let open = std::net::TcpStream::connect(portal.address).unwrap();
    assert!(portal.stop().success());
    drop(open);

    let portal = folder.start(&[]);
    let path = format!("/admin/api-keys/{}", reader["id"].as_str().unwrap());
    let seen = portal.client(&key).get(&path).json();
    assert_eq!(seen["uses"], 1);
    assert!(seen["last_used_at"].is_string());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn it_runs_on_postgresql_too() {
    let server = servers::Postgres::shared();
    let url = server.url_of(&server.database());
    let folder = Folder::new();
    let variables = [("KEYWARD_DATABASE", url.as_str())];
    let portal = folder.start(&variables);
    let key = portal.key.clone().unwrap();
    assert_eq!(sites(&portal, &key).0, 200);
    let second = folder.start(&variables);
    assert_eq!(second.key, None);
    assert_eq!(sites(&second, &key).0, 200);
    assert!(second.stop().success() && portal.stop().success());
    assert_eq!(folder.files(), ["keyward.pepper"]);
}

/// The same commands, by the program that the page names.
#[test]
#[ignore = "needs curl"]
fn curl_sends_what_the_tests_send() {
    let folder = Folder::new();
    let portal = folder.start(&[]);
    let key = portal.key.clone().unwrap();
    let script = r#"
        set -eu
        curl -sf -X POST "$HOST/admin/api-keys" \
            -H "Authorization: Bearer $TOKEN" \
            -H "Content-Type: application/json" \
            -d '{ "name": "Asset Controls Backend", "permissions": ["read:assets", "write:schedules"],
                  "ip_allowlist": ["10.0.0.0/8"], "expires_at": "2025-12-31T23:59:59Z" }'
        curl -sf -X GET "$HOST/inventory-service/sites" \
            -H "X-API-Key: $TOKEN" -H "Content-Type: application/json"
        curl -sf -X GET "$HOST/admin/api-keys" -H "Authorization: Bearer $TOKEN"
        curl -sf -X POST "$HOST/admin/api-keys" -H "Authorization: Bearer $TOKEN" \
            -d '{"name": "Asset Controls Backend (rotated)"}' > new
        id=$(sed 's/.*"id":"\(key_[a-z0-9]*\)".*/\1/' new)
        curl -sf -X DELETE "$HOST/admin/api-keys/$id" -H "Authorization: Bearer $TOKEN"
    "#;
    let done = Command::new("sh")
        .args(["-c", script])
        .current_dir(&folder.0)
        .env("HOST", format!("http://{}", portal.address))
        .env("TOKEN", key)
        .output()
        .unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{printed}{errors}");
    assert!(printed.ends_with('}') && printed.contains(r#""status":"revoked""#), "{printed}");
}
