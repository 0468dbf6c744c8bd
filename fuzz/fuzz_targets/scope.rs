//! Scopes and sets of them, against their segments: a line is a scope, or required, or both.
#![no_main]

use keyward::{Scope, ScopeSet, Scopes};
use keyward_fuzz::scope::{grants, is_scope};
use keyward_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&str> = text(data).split('\n').take(16).collect();
    let scopes: Vec<Scope> = lines.iter().filter_map(|line| one(line)).collect();
    let set = ScopeSet::parse_all("scopes", &lines);
    assert_eq!(set.is_ok(), scopes.len() == lines.len());
    let set = ScopeSet::from_scopes(scopes.iter().cloned());
    assert!(set.iter().is_sorted() && set.iter().all(|scope| scopes.contains(scope)));
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), set);

    // Of each line also what stands above it and below it.
    for line in &lines {
        let above = line.trim_end_matches('*');
        let asked =
            [(*line).to_owned(), above.to_owned(), format!("{above}x"), format!("{line}:x")];
        for required in asked {
            let granting = |scope: &Scope| grants(scope.as_str(), &required);
            for scope in &scopes {
                assert_eq!(scope.matches(&required), granting(scope), "{scope} {required:?}");
            }
            let any = scopes.iter().any(granting);
            assert_eq!(set.grants(&required), any, "{set:?} {required:?}");
            let one = Scopes::One(&required);
            assert_eq!(one.satisfied_by(&mut |scope| set.grants(scope)), any);
            assert_eq!(one.missing(&mut |scope| set.grants(scope)).is_empty(), any);
            assert_eq!(one.validate().is_ok(), is_scope(&required, false), "{required:?}");
        }
    }
    for theirs in &scopes {
        let covering = |ours: &Scope| ours.covers(theirs);
        assert_eq!(set.covers(theirs), scopes.iter().any(covering));
        for ours in &scopes {
            covers(ours, theirs, &scopes);
        }
    }
});

/// What parses is a scope by its segments, and prints as it was written.
fn one(line: &str) -> Option<Scope> {
    let scope = Scope::parse(line);
    assert_eq!(scope.is_ok(), is_scope(line, true), "{line:?}");
    let scope = scope.ok()?;
    assert_eq!((scope.as_str(), scope.is_wildcard()), (line, line.ends_with('*')));
    let json = serde_json::to_string(&scope).unwrap();
    assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), scope);
    Some(scope)
}

/// Nothing is covered that isn't granted: not the scope itself, and nothing below it. Two ends
/// are tried, since a literal scope grants one.
fn covers(ours: &Scope, theirs: &Scope, all: &[Scope]) {
    let above = theirs.as_str().trim_end_matches('*');
    let wild = theirs.is_wildcard();
    let below = ["x", "y", "api.key.x", "api.key.y"].map(|end| format!("{above}{end}"));
    let known = all.iter().map(|scope| scope.as_str().to_owned());
    let escapes = known
        .chain(below.into_iter().filter(|_| wild))
        .chain(["api.key.create".to_owned()])
        .find(|scope| grants(theirs.as_str(), scope) && !grants(ours.as_str(), scope));
    if ours.covers(theirs) {
        assert_eq!(escapes, None, "{ours} {theirs}");
    } else if above.len() < 100 {
        assert!(escapes.is_some(), "{ours} {theirs}");
    }
}
