use std::collections::BTreeSet;

use super::files::{FILES, File};

/// What would let text become markup or code, or a key outlive the page.
const FORBIDDEN: [&str; 22] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTMLUnsafe",
    "parseFromString",
    "createContextualFragment",
    "document.write",
    "srcdoc",
    "eval(",
    "Function(",
    "import(",
    "javascript:",
    "localStorage",
    "sessionStorage",
    "indexedDB",
    "caches",
    "document.cookie",
    "cookieStore",
    "history.",
    "postMessage",
    "serviceWorker",
    "console.",
];

fn scripts() -> impl Iterator<Item = &'static File> {
    FILES.iter().filter(|file| file.path.rsplit('.').next() == Some("js"))
}

fn name(file: &File) -> &'static str {
    file.path.rsplit('/').next().unwrap()
}

#[test]
fn no_script_writes_markup_or_keeps_anything() {
    assert!(scripts().count() > 20);
    for file in scripts() {
        for word in FORBIDDEN {
            assert!(!file.text.contains(word), "{} says `{word}`", file.path);
        }
    }
}

#[test]
fn the_page_has_no_script_or_style_of_its_own() {
    let page = FILES.iter().find(|file| file.path == "/console").unwrap().text;
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains(r#"<script type="module" src="console/app.js"></script>"#));
    for inline in ["<style", "style=", " on", "http://", "https://"] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(inline), "the page says `{inline}`");
    }
}

#[test]
fn only_the_admin_api_is_called() {
    let callers: Vec<_> = scripts().filter(|file| file.text.contains("fetch(")).map(name).collect();
    assert_eq!(callers, ["api.js"]);
    for word in ["XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "//www", "https:"] {
        let says = scripts().filter(|file| file.text.replace(SVG, "").contains(word)).map(name);
        assert_eq!(says.collect::<Vec<_>>(), [] as [&str; 0], "{word}");
    }
}

const SVG: &str = "http://www.w3.org/2000/svg";

#[test]
fn every_file_is_served_and_used() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/integrations/console/page");
    let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let served: BTreeSet<String> = FILES
        .iter()
        .map(|file| if file.path == "/console" { "index.html" } else { name(file) }.to_owned())
        .collect();
    assert_eq!(on_disk, served);

    let all: String = FILES.iter().map(|file| file.text).collect();
    for file in FILES.iter().filter(|file| file.path != "/console") {
        let used = [format!("\"./{}\"", name(file)), format!("\"console/{}\"", name(file))];
        assert!(used.iter().any(|used| all.contains(used)), "nothing uses {}", file.path);
    }
    for file in scripts() {
        let imports = file.text.split("from \"./").skip(1).map(|rest| rest.split('"').next());
        for import in imports {
            assert!(served.contains(import.unwrap()), "{} imports {import:?}", file.path);
        }
        let lines = file.text.lines().count();
        assert!(lines <= 200, "{} has {lines} lines: split it", file.path);
    }
}

#[pollster::test]
async fn every_answer_has_the_headers() {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    for file in FILES.iter().map(|file| (file.path, 200)).chain([("/console/", 308)]) {
        let request = Request::get(file.0).body(Body::empty()).unwrap();
        let answer = super::router().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), file.1, "{}", file.0);
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("content-type").contains('/'));
    }
}
