//! Which module may know which, where a clock is read, and where async begins.
//!
//! It reads the sources: what the compiler allows inside one crate, this forbids.

mod checker;
mod code;
mod table;

use std::fs;

use checker::{faults, files, layer, src};
use code::code;
use table::LAYERS;

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
