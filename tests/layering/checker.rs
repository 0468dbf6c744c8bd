//! The rules, applied to one file after another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::code::code;
use crate::table::{
    ASYNC, CLOCK, CLOCK_READS, EMPTY_WORDS, FREE_OF_IO, IO, LAYERS, LONGEST, Layer,
};

pub(crate) fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

pub(crate) fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.name == name)
}

/// Every source file that is not a test, by its path below `src/`, `lib.rs` apart.
pub(crate) fn files() -> Vec<String> {
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
pub(crate) fn faults(file: &str, text: &str) -> Vec<String> {
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
