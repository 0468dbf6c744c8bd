use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Tree {
    Term(u8),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn eval(&self, granted: u8) -> bool {
        match self {
            Self::Term(bit) => granted >> bit & 1 == 1,
            Self::And(left, right) => left.eval(granted) & right.eval(granted),
            Self::Or(left, right) => left.eval(granted) | right.eval(granted),
        }
    }

    /// The text, with parentheses only where precedence needs them.
    fn text(&self) -> String {
        let grouped = |tree: &Self| match tree {
            Self::Or(..) => format!("({})", tree.text()),
            _ => tree.text(),
        };
        match self {
            Self::Term(bit) => format!("s:{bit}"),
            Self::And(left, right) => format!("{} AND {}", grouped(left), grouped(right)),
            Self::Or(left, right) => format!("{} or {}", left.text(), right.text()),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    (0..4u8).prop_map(Tree::Term).prop_recursive(5, 24, 2, |tree| {
        (tree.clone(), tree, any::<bool>()).prop_map(|(left, right, and)| {
            let (left, right) = (Box::new(left), Box::new(right));
            if and { Tree::And(left, right) } else { Tree::Or(left, right) }
        })
    })
}

#[test]
fn evaluation_equals_the_tree_for_every_grant() {
    proptest!(|(tree in tree())| {
        let expr = ScopeExpr::parse(&tree.text()).unwrap();
        prop_assert_eq!(&ScopeExpr::parse(&expr.to_string()).unwrap(), &expr);
        for granted in 0..16 {
            let mut asked = 0;
            let holds = expr.eval(&mut |scope| {
                asked += 1;
                Tree::Term(scope[2..].parse().unwrap()).eval(granted)
            });
            prop_assert_eq!(holds, tree.eval(granted), "{} with {:04b}", expr, granted);
            prop_assert!(asked <= expr.terms().count());
        }
    });
}

#[test]
fn and_binds_tighter_and_layout_is_free() {
    for text in ["a OR b AND c", "a or(b AnD\tc)", " ( a )\nOr ((b and c)) "] {
        let expr = ScopeExpr::parse(text).unwrap();
        assert_eq!(expr.to_string(), text);
        assert_eq!(expr.terms().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(expr.eval(&mut |scope| scope == "a"));
        assert!(expr.eval(&mut |scope| scope != "a"));
        assert!(!expr.eval(&mut |scope| scope == "b"));
    }
}

#[test]
fn a_bad_expression_names_the_position() {
    for (text, position, word) in [
        ("", 1, "scope"),
        ("   ", 4, "scope"),
        ("a AND", 6, "scope"),
        ("a b", 3, "AND or OR"),
        ("(a OR b", 8, "`)`"),
        ("a)", 2, "AND or OR"),
        ("()", 2, "scope"),
        ("a AND OR b", 7, "scope"),
        ("AND a", 1, "scope"),
        ("a OR b:*", 6, "wildcard"),
        ("a OR *", 6, "wildcard"),
        ("a OR b::c", 6, "segments"),
        ("a && b", 3, "AND or OR"),
        ("a\u{a0}AND b", 1, "segments"),
        ("a AND é", 7, "segments"),
    ] {
        let error = ScopeExpr::parse(text).unwrap_err();
        assert_eq!(error.field(), "expression");
        assert!(error.rule().contains(word), "{text}: {error}");
        let at = format!("at position {position}");
        assert!(error.rule().ends_with(&at), "{text}: {error}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    let joined = |terms: usize| vec!["a"; terms].join(" OR ");
    let long = |bytes: usize| format!("a{}", " ".repeat(bytes - 1));
    for (good, bad) in
        [(nested(32), nested(33)), (joined(64), joined(65)), (long(4096), long(4097))]
    {
        assert!(ScopeExpr::parse(&good).is_ok());
        assert!(ScopeExpr::parse(&bad).is_err());
    }
    let right = format!("{}a{}", "a OR b AND (".repeat(31), ")".repeat(31));
    assert!(ScopeExpr::parse(&right).is_ok());
}

#[test]
fn hostile_text_neither_crashes_nor_takes_long() {
    let started = std::time::Instant::now();
    for piece in ["(", ")", "a OR ", "a", " ", "((a OR ", "é", "\0", "*"] {
        for bytes in [4096, 1 << 20] {
            let text = piece.repeat(bytes / piece.len());
            assert!(ScopeExpr::parse(&text).is_err() || text.len() <= 4096);
        }
    }
    assert!(started.elapsed().as_secs() < 5);
    proptest!(|(text in "[a-c():.*AND OR\t\u{a0}é]{0,60}")| {
        if let Ok(expr) = ScopeExpr::parse(&text) {
            prop_assert!(expr.eval(&mut |_| true) && !expr.eval(&mut |_| false));
        }
    });
}

#[test]
fn evaluation_allocates_nothing() {
    let expr = ScopeExpr::parse("(a OR b) AND c").unwrap();
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(expr.eval(&mut |scope| scope != "a"));
    });
    assert_eq!(counted.count_total, 0);
}
