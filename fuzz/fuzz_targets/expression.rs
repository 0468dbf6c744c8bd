//! Expressions over scopes, against a tree: the first byte says which scopes are granted.
#![no_main]

use std::cell::RefCell;

use keyward::{ScopeExpr, Scopes};
use keyward_fuzz::scope::Tree;
use keyward_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&seed, data)) = data.split_first() else { return };
    let given = text(data);
    let (expr, tree) = (ScopeExpr::parse(given), Tree::parse(given));
    assert_eq!(expr.is_ok(), tree.is_some(), "{given:?}: {expr:?}");
    let (Ok(expr), Some(tree)) = (expr, tree) else { return };
    assert_eq!(expr.as_str(), given);
    assert_eq!(expr.to_string().parse::<ScopeExpr>().unwrap(), expr);
    assert_eq!(expr.terms().collect::<Vec<_>>(), tree.scopes());

    for round in 0..8 {
        let granted = |scope: &str| bit(scope, seed.wrapping_add(round));
        let asked = RefCell::new(Vec::new());
        let holds = expr.eval(&mut |scope| {
            asked.borrow_mut().push(scope.to_owned());
            granted(scope)
        });
        assert_eq!(holds, tree.holds(&granted), "{given:?}");
        // In the order of the text, each at most once.
        let mut terms = expr.terms();
        assert!(asked.borrow().iter().all(|scope| terms.any(|term| term == scope)), "{given:?}");
        let missing = Scopes::Expr(&expr).missing(&mut |scope| granted(scope));
        assert_eq!(missing.is_empty(), holds);
        assert!(missing.iter().all(|scope| !granted(scope)));
    }
    assert!(expr.eval(&mut |_| true) && !expr.eval(&mut |_| false), "there is no NOT");
});

/// A coin for each scope: FNV-1a.
fn bit(scope: &str, seed: u8) -> bool {
    let hash = scope.bytes().fold(0x811c_9dc5_u32 ^ u32::from(seed), |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 13 ^ hash) & 1 == 1
}
