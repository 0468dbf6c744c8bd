use super::*;

/// Every scope of up to three segments over a small alphabet, the management
/// namespace, and every wildcard on top of each.
fn universe() -> (Vec<String>, Vec<String>) {
    let mut literals = Vec::new();
    for first in ["a", "api", "A"] {
        literals.push(first.to_owned());
        for second in ["a", "key", "ke"] {
            for join in [":", "."] {
                let two = format!("{first}{join}{second}");
                for third in ["a", "create", "delete"] {
                    for join in [":", "."] {
                        literals.push(format!("{two}{join}{third}"));
                    }
                }
                literals.push(two);
            }
        }
    }
    literals.push("api.key.create.deep".to_owned());
    literals.push("api.keys".to_owned());
    let wildcards = literals
        .iter()
        .flat_map(|literal| [format!("{literal}:*"), format!("{literal}.*")])
        .chain(["*".to_owned()])
        .collect();
    (literals, wildcards)
}

/// Segments and their separators, each kept with the one that follows it.
fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive([':', '.']).collect()
}

fn naive(granted: &str, required: &str) -> bool {
    let (granted, required) = (pieces(granted), pieces(required));
    if required.last() == Some(&"*") {
        return false;
    }
    let reserved = |pieces: &[&str]| pieces.len() > 2 && pieces[..2] == ["api.", "key."];
    let [above @ .., "*"] = granted.as_slice() else {
        return granted == required;
    };
    required.len() > above.len()
        && required[..above.len()] == *above
        && (!reserved(&required) || reserved(&granted))
}

#[test]
fn matching_equals_the_naive_model() {
    let (literals, wildcards) = universe();
    let all: Vec<_> = literals.iter().chain(&wildcards).collect();
    let mut granted_any = 0;
    for granted in &all {
        let scope = Scope::parse(granted).unwrap();
        for required in &all {
            let expected = naive(granted, required);
            assert_eq!(scope.matches(required), expected, "{granted} {required}");
            granted_any += usize::from(expected);
        }
    }
    assert!(granted_any > 200);
}

#[test]
fn covering_is_granting_all_that_the_other_grants() {
    let (literals, wildcards) = universe();
    let all: Vec<Scope> =
        literals.iter().chain(&wildcards).map(|text| Scope::parse(text).unwrap()).collect();
    // Beneath every wildcard lies something that no other literal reaches.
    let required: Vec<String> = literals
        .iter()
        .cloned()
        .chain(wildcards.iter().map(|text| text.replace('*', "zz")))
        .chain(wildcards.iter().map(|text| text.replace('*', "zz.y")))
        .collect();
    let grants: Vec<Vec<bool>> =
        all.iter().map(|scope| required.iter().map(|text| scope.matches(text)).collect()).collect();
    for (ours, our_grants) in all.iter().zip(&grants) {
        for (theirs, their_grants) in all.iter().zip(&grants) {
            let expected = their_grants.iter().zip(our_grants).all(|(t, o)| o >= t);
            assert_eq!(ours.covers(theirs), expected, "{ours} covers {theirs}");
        }
    }
}

#[test]
fn management_is_reserved() {
    for verb in ["create", "update", "delete", "view"] {
        let required = format!("api.key.{verb}");
        for (granted, expected) in [
            ("*", false),
            ("api.*", false),
            ("api:*", false),
            ("api.key:*", false),
            ("api.key.*", true),
            (required.as_str(), true),
        ] {
            let scope = Scope::parse(granted).unwrap();
            assert_eq!(scope.matches(&required), expected, "{granted}");
            assert_eq!(scope.covers(&Scope::parse(&required).unwrap()), expected);
        }
    }
    let everything = Scope::parse("*").unwrap();
    assert!(!everything.covers(&Scope::parse("api.key.*").unwrap()));
    assert!(everything.covers(&Scope::parse("api.*").unwrap()));
    assert!(everything.matches("api.key") && everything.matches("api.keys.create"));
}

#[test]
fn the_grammar_is_strict() {
    let longest = "a".repeat(LONGEST);
    let deepest = format!("{}*", "a:".repeat(63));
    for text in ["a", "A_-9", "a:b.c", "a.*", "*", &longest, &deepest] {
        assert_eq!(Scope::parse(text).unwrap().as_str(), text);
    }
    let (long, huge) = ("a".repeat(LONGEST + 1), "a:".repeat(1 << 19));
    let long_wildcard = format!("{}*", "a:".repeat(64));
    for text in [
        "",
        ":",
        "a:",
        ":a",
        "a::b",
        "a..b",
        "a b",
        "ä",
        "a/b",
        "**",
        "a*",
        "a:b*",
        "*:a",
        "a:*:b",
        ":*",
        ".*",
        "a:**",
        "a::*",
        "a\n",
        &long,
        &huge,
        &long_wildcard,
    ] {
        assert_eq!(Scope::parse(text).unwrap_err().field(), "scope", "{text}");
        assert!(validate_required(text).is_err(), "{text}");
        assert!(!Scope::parse("*").unwrap().matches(text), "{text}");
        assert!(serde_json::from_value::<Scope>(text.into()).is_err());
    }
    for text in ["*", "a:*", "api.key.*"] {
        let error = validate_required(text).unwrap_err();
        assert!(error.rule().contains("wildcard"), "{error}");
    }
    assert!(validate_required("read:assets").is_ok());
}
