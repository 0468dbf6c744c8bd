//! What users may name.

use std::collections::BTreeSet;

/// `tests/public_names.txt` is the list of what users may name. It changes on
/// purpose, or not at all.
#[test]
fn the_public_names_are_the_committed_ones() {
    let exported = public_names(include_str!("../src/lib.rs"));
    let committed: BTreeSet<String> = include_str!("public_names.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let added: Vec<_> = exported.difference(&committed).collect();
    let removed: Vec<_> = committed.difference(&exported).collect();
    assert!(
        added.is_empty() && removed.is_empty(),
        "the public names changed; if that is meant, edit tests/public_names.txt:\n\
         add {added:?}\nremove {removed:?}"
    );
}

#[test]
fn the_list_sees_every_form_of_export() {
    let names = public_names(
        "mod hidden;\n/// Doc.\npub mod open;\n// pub use crate::no::No;\n\
         pub use crate::a::{B, C as D,\n    E};\npub use crate::f::G;\npub(crate) use crate::h::I;\n",
    );
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["B", "D", "E", "G", "mod open"]);
}

fn public_names(lib: &str) -> BTreeSet<String> {
    let code: String = lib
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join(" ");
    let mut names = BTreeSet::new();
    for item in code.split(';').map(str::trim) {
        if let Some((_, module)) = item.rsplit_once("pub mod ") {
            names.insert(format!("mod {module}"));
        } else if let Some((_, path)) = item.rsplit_once("pub use ") {
            let list = match path.split_once('{') {
                Some((_, list)) => list.trim_end_matches('}'),
                None => path.rsplit("::").next().unwrap_or(path),
            };
            let shown =
                list.split(',').map(|name| name.rsplit(" as ").next().unwrap_or(name).trim());
            names.extend(shown.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}
