//! What broken stores must show: each fails its clause and no other, and no clause is
//! without one.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::poll_fn;
use std::task::Poll;

use keyward::conformance::Violation;

/// Demands that each fault is found by its clause alone.
#[track_caller]
pub(crate) fn assert_told_apart<F: Debug>(found: &[(F, &str, Vec<Violation>)]) {
    let is_wrong = |(_, clause, violations): &&(F, &str, Vec<Violation>)| {
        !violations.iter().map(Violation::clause).eq([*clause])
    };
    let wrong: Vec<_> = found.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Demands that each clause has a fault: `violations` are those of a store that always fails.
#[track_caller]
pub(crate) fn assert_complete<F>(clauses: &[(F, &str)], violations: &[Violation]) {
    let all: BTreeSet<_> = violations.iter().map(Violation::clause).collect();
    assert_eq!(all.len(), violations.len(), "two clauses share a number");
    assert_eq!(clauses.iter().map(|(_, clause)| *clause).collect::<BTreeSet<_>>(), all);
}

/// Lets others run.
pub(crate) async fn turn() {
    let mut turned = false;
    poll_fn(|context| {
        if turned {
            return Poll::Ready(());
        }
        turned = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
