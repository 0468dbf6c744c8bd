//! Which module may know which, where a clock is read, and where async begins.
//!
//! It reads the sources: what the compiler allows inside one crate, this forbids.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module of `src/`, and the modules it may import.
struct Layer {
    name: &'static str,
    may_import: &'static [&'static str],
}

/// The layers from the bottom up. A layer imports only what stands above it in this
/// list, and of that only what it needs; a new arrow is a line in this table, with
/// a reason.
const LAYERS: [Layer; 19] = [
    // Says what went wrong, and so knows nothing that can.
    Layer { name: "error", may_import: &[] },
    // Instants; a text that is none is a field error.
    Layer { name: "timestamp", may_import: &["error"] },
    // What a key looks like. No time and no pepper: a key can be read without either.
    Layer { name: "token", may_import: &["error"] },
    // Tags over bytes. It doesn't know what a token or a record is, so that nothing
    // but bytes can ever be under a tag.
    Layer { name: "mac", may_import: &["error"] },
    // What a key may do, as values. No time: the same grants always match the same.
    Layer { name: "grant", may_import: &["error"] },
    // Keys in foreign text. It needs their shape only, so it runs where no pepper is.
    Layer { name: "leak", may_import: &["token"] },
    // Counting. Time comes in as an argument; whose counters they are it doesn't know.
    Layer { name: "limit", may_import: &["error", "timestamp"] },
    // The prefixes (with their environments) and the keys derived from the peppers. It
    // doesn't know records: sealing one is `verify`'s.
    Layer { name: "scheme", may_import: &["error", "grant", "leak", "mac", "timestamp", "token"] },
    // Everything a key is, as data. It names tags and peppers, and can't make either.
    Layer { name: "record", may_import: &["error", "grant", "limit", "mac", "timestamp", "token"] },
    // Decides about a record; whether the secret was proven is not its question.
    Layer { name: "policy", may_import: &["error", "grant", "limit", "record", "timestamp"] },
    // Proves a secret and a seal, then asks `policy`, then takes the limits.
    Layer {
        name: "verify",
        may_import: &[
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "timestamp",
            "token",
        ],
    },
    // Keeps records it can't judge: neither scheme nor policy nor verify is in reach.
    Layer {
        name: "store",
        may_import: &["error", "grant", "limit", "record", "timestamp", "token"],
    },
    // Keeps what a store has read. Of the scheme it knows the names of the two lanes that
    // a read may take, and nothing that could tell which.
    Layer {
        name: "cache",
        may_import: &["error", "record", "scheme", "store", "timestamp", "token"],
    },
    // Puts the parts together; the only one that may know nearly all of them. The store
    // whose type is forgotten is here too: it has to know the cache, and the stores don't.
    Layer {
        name: "service",
        may_import: &[
            "cache",
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "store",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // Counts what the service tells of. The store is out of its reach, and so is every
    // change: whatever it concludes, it can do nothing to a key.
    Layer {
        name: "monitor",
        may_import: &["grant", "policy", "record", "scheme", "service", "timestamp", "token"],
    },
    // Tries a foreign store. It makes the records it commits, and doesn't use the
    // service: a store must hold its contract under any caller.
    Layer {
        name: "conformance",
        may_import: &[
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "store",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // A request's head in, a decision or an answer out. It knows what HTTP says and no
    // crate that speaks it, so that every framework can be served by the same code.
    Layer {
        name: "gate",
        may_import: &[
            "error",
            "grant",
            "limit",
            "policy",
            "record",
            "scheme",
            "service",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // The edge, where foreign crates are: stores below the service, what drives it, and the
    // admin API, which hands what it reads to the service as environments, actors and requests
    // and answers with the bodies of `verify`.
    Layer {
        name: "integrations",
        may_import: &[
            "cache",
            "error",
            // The layer of tower is the gate, given a request of the `http` crate.
            "gate",
            "grant",
            "limit",
            // Alerts become events and counts.
            "monitor",
            "policy",
            "record",
            // Counters are made for the environments of a scheme.
            "scheme",
            "store",
            "service",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // Words.
    Layer { name: "manual", may_import: &[] },
];

/// The one file that reads a clock.
const CLOCK: &str = "timestamp/clock.rs";

/// Where futures may be made and awaited.
const ASYNC: [&str; 6] = ["store", "cache", "service", "conformance", "gate", "integrations"];

/// Where the process, its threads and its files may be touched: `service` and `store`
/// neither spawn nor open anything; a suite of tests may.
const FREE_OF_IO: [&str; 16] = [
    "error",
    "timestamp",
    "token",
    "mac",
    "grant",
    "leak",
    "limit",
    "scheme",
    "record",
    "policy",
    "verify",
    "store",
    "cache",
    "service",
    "gate",
    "monitor",
];

/// What input and output look like. `std::net` is for addresses alone.
const IO: [&str; 16] = [
    "std::thread",
    "std::fs",
    "std::io",
    "std::process",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "include_bytes!",
];

const CLOCK_READS: [&str; 7] = [
    "SystemTime::now",
    "Instant::now",
    "OffsetDateTime::now",
    "UtcDateTime::now",
    "::now_utc",
    ".elapsed(",
    "::now()",
];

/// The most lines of code in a file, without tests, comments and blank lines.
const LONGEST: usize = 400;

/// Words that say nothing of what a type is.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Handler", "Helper", "Data", "Util", "Utils"];

#[test]
fn the_table_points_one_way_only() {
    for (place, layer) in LAYERS.iter().enumerate() {
        for import in layer.may_import {
            let at = LAYERS.iter().position(|other| other.name == *import);
            assert!(at.is_some_and(|at| at < place), "{} <- {import}", layer.name);
        }
    }
}

#[test]
fn every_module_is_in_the_table() {
    let lib = code(&fs::read_to_string(src().join("lib.rs")).unwrap());
    for name in lib.lines().filter_map(|line| {
        line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
    }) {
        assert!(layer(name).is_some(), "`{name}` has no layer: add it to the table");
    }
}

#[test]
fn the_sources_keep_to_the_layers() {
    let files = files();
    assert!(files.len() > 60, "only {} files found", files.len());
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(src().join(file)).unwrap();
            faults(file, &text).into_iter().map(move |fault| format!("src/{file}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_checker_sees_what_it_forbids() {
    for (file, text, part) in [
        ("mac/hmac.rs", "use crate::token::KeyId;", "may not import `token`"),
        ("token/id.rs", "use crate::{error::FieldError, store::KeyStore};", "import `store`"),
        ("record/mod.rs", "use crate::{\n    error::X,\n    service::{A, B},\n};", "`service`"),
        ("limit/mod.rs", "use super::record::KeyRecord;", "may not import `record`"),
        ("limit/gcra.rs", "use super::super::record::KeyRecord;", "may not import `record`"),
        ("timestamp/mod.rs", "use super::token::KeyId;", "may not import `token`"),
        ("grant/scope.rs", "fn f(_: &crate::record::KeyRecord) {}", "may not import `record`"),
        ("grant/scope.rs", "use crate::KeyRecord;", "`KeyRecord` by the crate's surface"),
        ("grant/scope.rs", "use crate::{error::FieldError, Clock};", "`Clock` by the crate's"),
        ("store/memory.rs", "use crate::scheme::KeyScheme;", "may not import `scheme`"),
        ("service/verify.rs", "let t = SystemTime::now();", "reads a clock"),
        ("limit/gcra.rs", "let t = start.elapsed();", "reads a clock"),
        ("verify/mod.rs", "pub async fn f() {}", "async outside"),
        ("policy/mod.rs", "let x = f().await;", "async outside"),
        ("policy/mod.rs", "let x = f()\n    .await;", "async outside"),
        ("service/mod.rs", "std::thread::spawn(f);", "`std::thread`"),
        ("scheme/mod.rs", "let t = std::env::var(\"PEPPER\");", "`std::env`"),
        ("grant/client.rs", "use std::net::{IpAddr, TcpStream};", "`TcpStream`"),
        ("policy/mod.rs", "dbg!(x);", "`dbg!`"),
        ("unheard/mod.rs", "", "no layer"),
        ("token/id.rs", "pub struct KeyManager;", "`KeyManager`"),
        ("token/id.rs", "pub(crate) trait KeyDataHelper {}", "`KeyDataHelper`"),
        ("token/id.rs", "pub fn get_id(&self) {}", "`get_id`"),
        ("token/key_utils.rs", "", "file's name"),
        ("token/id.rs", &"fn f() {}\n".repeat(401), "401 lines"),
    ] {
        let found = faults(file, text);
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{file} `{text:.60}` gave {found:?}, not {part}"
        );
    }
}

#[test]
fn the_checker_lets_through_what_is_allowed() {
    for (file, text) in [
        ("token/id.rs", "use crate::error::FieldError;\nuse crate::token::Prefix;"),
        ("token/id.rs", "// crate::store::KeyStore\n/// [`x`](crate::store::KeyStore)\n"),
        ("token/id.rs", "/* crate::store /* nested */ SystemTime::now() */"),
        ("token/id.rs", r##"let s = "crate::store \" async"; let r = r#"x".await"#;"##),
        ("token/id.rs", "let quote = '\"'; let a: &'static str = \"SystemTime::now\";"),
        (
            "token/id.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::store::A;\n    fn f() { g(); }\n}",
        ),
        ("limit/gcra.rs", "use super::rate::RateLimit;"),
        ("limit/gcra.rs", "macro_rules! m { () => { $crate::m!(again) } }"),
        ("timestamp/clock.rs", "let now = SystemTime::now();"),
        ("service/verify.rs", "pub async fn f() { g().await }"),
        ("grant/client.rs", "use std::net::{IpAddr, Ipv4Addr};"),
        ("store/shared.rs", "fn get_dyn(&self) {}\nlet asynchronous = now.hour();"),
        ("token/id.rs", "pub struct Metadata;\npub enum Handled {}"),
    ] {
        assert_eq!(faults(file, text), [] as [String; 0], "{file} `{text}`");
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.name == name)
}

/// Every source file that is not a test, by its path below `src/`, `lib.rs` apart.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if stem == "tests" || stem.ends_with("_tests") {
                continue;
            }
            if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(src()).unwrap().to_str().unwrap().replace('\\', "/"));
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.retain(|file| file != "lib.rs");
    found.sort();
    found
}

/// Everything a file does that its place forbids.
fn faults(file: &str, text: &str) -> Vec<String> {
    let module = file.split(['/', '.']).next().unwrap();
    let Some(layer) = layer(module) else {
        return vec![format!("`{module}` has no layer: add it to the table")];
    };
    let code = code(text);
    let mut faults = Vec::new();
    for name in roots(&code, depth(file)) {
        let is_module = LAYERS.iter().any(|other| other.name == name);
        if is_module && name != module && !layer.may_import.contains(&name.as_str()) {
            faults.push(format!("may not import `{name}`"));
        } else if !is_module && module != "manual" {
            faults
                .push(format!("names `{name}` by the crate's surface: import it from its module"));
        }
    }
    if file != CLOCK && CLOCK_READS.iter().any(|read| code.contains(read)) {
        faults.push("reads a clock: take the instant as an argument".to_owned());
    }
    if !ASYNC.contains(&module) && words(&code).any(|word| matches!(word, "async" | "await")) {
        faults.push("async outside the boundary".to_owned());
    }
    if FREE_OF_IO.contains(&module) {
        let touched = IO.iter().filter(|io| code.contains(**io));
        faults.extend(touched.map(|io| format!("`{io}` in the core")));
    }
    faults.extend(empty_names(file, &code));
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    if lines > LONGEST {
        faults.push(format!("has {lines} lines of code, more than {LONGEST}: split it"));
    }
    faults
}

/// How many modules lie between a file's own and the root of the crate.
fn depth(file: &str) -> usize {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').count()
}

/// The names that paths give right behind the root of the crate, by `crate::` or by
/// enough of `super::`. `$crate::` is left out: in a macro it is its caller's path.
fn roots(code: &str, depth: usize) -> BTreeSet<String> {
    let mut roots = BTreeSet::new();
    let up = "super::".repeat(depth);
    for root in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let is_part =
                code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
            if !is_part && !code[..at].ends_with("::") {
                names(&code[at + root.len()..], &mut roots);
            }
        }
    }
    // More than enough is what a nested module says; its own file's modules are not roots.
    roots.retain(|name| !matches!(name.as_str(), "" | "super" | "self"));
    roots
}

/// The first name of a path, or of each path in braces.
fn names(path: &str, into: &mut BTreeSet<String>) {
    let Some(group) = path.strip_prefix('{') else {
        into.insert(path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        return;
    };
    let mut open = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open > 0 => open -= 1,
            ',' | '}' if open == 0 => {
                names(group[start..at].trim(), into);
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn empty_names(file: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let parts = file.trim_end_matches(".rs").split(['/', '_']);
    let said = |part: &str| EMPTY_WORDS.iter().any(|word| part.eq_ignore_ascii_case(word));
    if parts.into_iter().any(said) {
        found.push("the file's name says nothing of what is in it".to_owned());
    }
    let all: Vec<&str> = words(code).collect();
    for pair in all.windows(2) {
        let [keyword, name] = pair else { continue };
        let is_empty = match *keyword {
            "struct" | "enum" | "trait" | "type" => {
                EMPTY_WORDS.iter().any(|word| name.ends_with(word) && name.len() > word.len())
            }
            "fn" => name.starts_with("get_") && !name.ends_with("_dyn"),
            _ => false,
        };
        if is_empty {
            found.push(format!("`{name}`: name it by what it is"));
        }
    }
    found
}

/// `text` without comments, without what strings and characters hold, and without
/// modules of tests.
fn code(text: &str) -> String {
    without_tests(&without_words(text))
}

fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(hashes) = raw_string(&code, rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 2;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        // Line breaks stay, so that lines are still lines.
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

fn block_comment(text: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            open += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            open -= 1;
            at += 2;
            if open == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The number of `#` of a raw string that starts here.
fn raw_string(before: &str, text: &str) -> Option<usize> {
    let is_name =
        before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b');
    let rest = text.strip_prefix('r').filter(|_| !is_name)?;
    let hashes = rest.chars().take_while(|c| *c == '#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Whether `'` starts a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// The length of what stands in quotes, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn without_tests(code: &str) -> String {
    const TESTS: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TESTS) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + TESTS.len()..];
        let end = rest.find([';', '{']).map_or(rest.len(), |at| match &rest[at..=at] {
            ";" => at + 1,
            _ => at + braces(&rest[at..]),
        });
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// The length of a block in braces.
fn braces(code: &str) -> usize {
    let mut open = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => open += 1,
            '}' => {
                open -= 1;
                if open == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}
