//! L1 to L10: what a store that counts limits must hold.

use std::time::Duration;

use super::limit_probe::{
    LimitProbe, charge, key, of_owner, per_day, quota, rate, rate_charge, valid, with_cost,
};
use super::poll::{drop_after, join_all};
use super::probe::Checked;
use crate::limit::{RateLimit, Refill};
use crate::store::{Charge, LimitStore, SharedLimit, Taken};
use crate::timestamp::Timestamp;

/// L1: every charge of a call is taken, or none.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l1_all_charges_or_none<S: LimitStore>(store: S) -> Checked {
    let store = LimitProbe::new("L1", "every charge of a call is taken, or none", &store);
    let wide = rate_charge(key(1), "wide", 10);
    let narrow = rate_charge(key(1), "narrow", 5);
    let year = charge(key(1), quota("year", 10));
    let owners = of_owner("org_1", rate("owners", 5));
    store.takes(&[with_cost(&narrow, 4), with_cost(&owners, 4)]).await?;
    for full in [&narrow, &owners] {
        let list = [with_cost(&wide, 3), with_cost(&year, 3), with_cost(full, 2)];
        store.denies(&list, 2).await?;
        let list = [with_cost(&wide, 3), with_cost(full, 2), with_cost(&year, 3)];
        store.denies(&list, 1).await?;
    }
    let all = [with_cost(&wide, 10), with_cost(&year, 10), narrow.clone(), owners.clone()];
    store.takes(&all).await?;
    for full in [&wide, &year, &narrow, &owners] {
        store.denies(std::slice::from_ref(full), 0).await?;
    }
    Ok(())
}

/// L2: a cost of 0 takes nothing and is never denied.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l2_zero_takes_nothing<S: LimitStore>(store: S) -> Checked {
    let store = LimitProbe::new("L2", "a cost of 0 takes nothing and is never denied", &store);
    store.takes(&[]).await?;
    let (minute, year) = (rate_charge(key(1), "a", 2), charge(key(1), quota("a", 2)));
    let nothing = [with_cost(&minute, 0), with_cost(&year, 0)];
    for _ in 0..5 {
        store.takes(&nothing).await?;
    }
    store.takes(&[with_cost(&minute, 2), with_cost(&year, 2)]).await?;
    store.takes(&nothing).await?;
    let other = rate_charge(key(1), "other", 1);
    store.takes(&[with_cost(&minute, 0), other, with_cost(&year, 0)]).await
}

/// L3: a counter belongs to the subject, the kind and the name of its limit.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l3_counters_are_apart<S: LimitStore>(store: S) -> Checked {
    let rule = "a counter belongs to the subject, the kind and the name of its limit";
    let store = LimitProbe::new("L3", rule, &store);
    let mut apart = vec![
        rate_charge(key(1), "a", 1),
        rate_charge(key(1), "b", 1),
        rate_charge(key(1), "a.b", 1),
        rate_charge(key(1), "a-b", 1),
        rate_charge(key(2), "a", 1),
        charge(key(1), quota("a", 1)),
        charge(key(1), quota("b", 1)),
        of_owner("org_1", quota("a", 1)),
    ];
    let owners = ["org_1", "ORG_1", "org_2", "org", "org_1:a", "{org_1}", "org_1}", "org%5F1", "'"];
    apart.extend(owners.map(|owner| of_owner(owner, rate("a", 1))));
    for one in &apart {
        store.takes(std::slice::from_ref(one)).await?;
    }
    for one in &apart {
        store.denies(std::slice::from_ref(one), 0).await?;
    }
    Ok(())
}

/// L4: a limit that was edited goes on with its counter, and no edit refills it.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l4_edits_refill_nothing<S: LimitStore>(store: S) -> Checked {
    let store = LimitProbe::new("L4", "no edit of a limit refills it", &store);
    let plain = per_day("a", 10);
    let wider = charge(key(1), SharedLimit::Rate(valid(plain.clone().burst(20))));
    let edits = [
        plain.clone().leased(),
        plain.clone().strict().fail_open(),
        per_day("a", 20),
        plain.clone(),
    ];
    let hourly = valid(RateLimit::new("a", 10, Duration::from_secs(3_600)));
    store.takes(&[with_cost(&charge(key(1), SharedLimit::Rate(plain)), 10)]).await?;
    // As long a wait as before, at most with nothing left.
    for edited in edits {
        store.denies(&[charge(key(1), SharedLimit::Rate(edited))], 0).await?;
    }
    store.denies(&[with_cost(&wider, 11)], 0).await?;
    store.takes(&[with_cost(&wider, 10)]).await?;
    store.denies(&[wider], 0).await?;
    store.denies(&[charge(key(1), SharedLimit::Rate(hourly))], 0).await?;
    let of_five = charge(key(1), quota("a", 5));
    let (of_six, of_three) = (charge(key(1), quota("a", 6)), charge(key(1), quota("a", 3)));
    store.takes(&[with_cost(&of_five, 5)]).await?;
    store.denies(std::slice::from_ref(&of_three), 0).await?;
    store.takes(std::slice::from_ref(&of_six)).await?;
    for full in [of_six, of_five, of_three] {
        store.denies(&[full], 0).await?;
    }
    Ok(())
}

/// L5: a denial names the first charge without room, and when there is room.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l5_denials_say_where_and_when<S: LimitStore>(store: S) -> Checked {
    const DAY: Duration = Duration::from_secs(86_400);
    let rule = "a denial names the first charge without room, and when there is room";
    let store = LimitProbe::new("L5", rule, &store);
    let (day, year) = (rate_charge(key(1), "a", 1), charge(key(1), quota("a", 3)));
    store.takes(&[day.clone(), with_cost(&year, 3)]).await?;

    let denied = store.denies(std::slice::from_ref(&day), 0).await?;
    let fits =
        |wait: Option<Duration>, most| wait.is_some_and(|wait| !wait.is_zero() && wait <= most);
    store.ensure(fits(denied.retry_after, DAY), "a wait of at most a day", &denied)?;
    store.ensure(denied.resets_at.is_none(), "no reset of a rate limit", &denied)?;
    let denied = store.denies(&[with_cost(&day, 2)], 0).await?;
    store.ensure(denied.retry_after.is_none(), "no wait for a cost above the burst", &denied)?;

    for (cost, ever) in [(1, true), (4, false), (u32::MAX, false)] {
        let denied = store.denies(&[with_cost(&year, cost)], 0).await?;
        let is_end =
            |at: Timestamp| Refill::Year.window(Timestamp::from_micros(at.as_micros() - 1)).1 == at;
        store.ensure(denied.resets_at.is_some_and(is_end), "a reset at new year", &denied)?;
        let right = fits(denied.retry_after, 366 * DAY) || !ever && denied.retry_after.is_none();
        store.ensure(
            right && denied.retry_after.is_some() == ever,
            "a wait until then",
            &denied,
        )?;
    }
    let roomy = rate_charge(key(1), "roomy", 9);
    let free = with_cost(&day, 0);
    for (list, first) in [
        (vec![roomy.clone(), day.clone(), year.clone()], 1),
        (vec![roomy.clone(), year.clone(), day.clone()], 1),
        (vec![free.clone(), roomy.clone(), free, day.clone(), roomy.clone()], 3),
    ] {
        store.denies(&list, first).await?;
    }
    Ok(())
}

/// L6: callers at the same time never get more than there is.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l6_racers_share_what_there_is<S: LimitStore>(store: S) -> Checked {
    let rule = "callers at the same time never get more than there is";
    let store = LimitProbe::new("L6", rule, &store);
    let (wide, narrow) = (rate_charge(key(1), "wide", 20), charge(key(1), quota("narrow", 9)));
    let list = [wide.clone(), narrow.clone()];
    let answers = join_all((0..30).map(|_| store.take(&list))).await;
    let taken = answers.into_iter().collect::<Checked<Vec<_>>>()?;
    let taken = taken.iter().filter(|taken| **taken == Taken::All).count();
    store.clause().ensure(taken == 9, || format!("{taken} of 30 callers got one of 9 units"))?;
    let answers = join_all((0..30).map(|_| store.take(std::slice::from_ref(&wide)))).await;
    let taken = answers.into_iter().collect::<Checked<Vec<_>>>()?;
    let taken = taken.iter().filter(|taken| **taken == Taken::All).count();
    store.clause().ensure(taken == 11, || format!("{taken} of 30 callers got one of 11 units"))
}

/// L7: a limit that stands in the list twice is charged twice.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l7_twice_is_charged_twice<S: LimitStore>(store: S) -> Checked {
    let rule = "a limit that stands in the list twice is charged twice";
    let store = LimitProbe::new("L7", rule, &store);
    for one in [rate_charge(key(1), "a", 5), charge(key(1), quota("a", 5))] {
        let list = [with_cost(&one, 3), with_cost(&one, 3)];
        store.denies(&list, 1).await?;
        store.takes(&[with_cost(&one, 3), one.clone()]).await?;
        store.takes(std::slice::from_ref(&one)).await?;
        store.denies(&[one], 0).await?;
    }
    Ok(())
}

/// L8: a call whose future is dropped happened wholly or not at all.
///
/// Each time it is dropped after one more poll, until a call gets to its end.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l8_dropped_is_all_or_nothing<S: LimitStore>(store: S) -> Checked {
    const MOST_POLLS: usize = 1_000;
    let rule = "a call that is dropped happened wholly or not at all";
    let store = LimitProbe::new("L8", rule, &store);
    for polls in 0..MOST_POLLS {
        let pair = ["a", "b"].map(|name| rate_charge(key(1), &format!("{name}{polls}"), 1));
        let finished = drop_after(polls, store.take(&pair)).await.transpose()?;
        let [first, second] = &pair;
        let first = store.take(std::slice::from_ref(first)).await?;
        let second = store.take(std::slice::from_ref(second)).await?;
        let taken = [first, second].map(|answer| answer != Taken::All);
        store.clause().ensure(taken == [true; 2] || taken == [false; 2], || {
            format!("a call of two charges, dropped after {polls} polls, took one of them")
        })?;
        if finished.is_some() {
            let all = taken == [true; 2];
            return store.clause().ensure(all, || "a call that was awaited did nothing".into());
        }
    }
    Ok(())
}

/// L9: clones share their counters.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l9_clones_share_counters<S: LimitStore + Clone>(store: S) -> Checked {
    let rule = "clones share their counters";
    let clones = [store.clone(), store.clone()];
    let store = LimitProbe::new("L9", rule, &store);
    let one = rate_charge(key(1), "a", 3);
    store.takes(std::slice::from_ref(&one)).await?;
    for clone in &clones {
        let clone = LimitProbe::new("L9", rule, clone);
        clone.takes(std::slice::from_ref(&one)).await?;
    }
    for clone in &clones {
        let clone = LimitProbe::new("L9", rule, clone);
        clone.denies(std::slice::from_ref(&one), 0).await?;
    }
    store.denies(&[one], 0).await.map(drop)
}

/// L10: after the `retry_after` of a denial there is room, if nobody else took it, also if
/// the limit has just been edited.
///
/// It sleeps for up to half a second, on this thread, and then for a tenth.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn l10_time_gives_back<S: LimitStore>(store: S) -> Checked {
    let rule = "after the `retry_after` of a denial there is room";
    let store = LimitProbe::new("L10", rule, &store);
    let clause = store.clause();
    let limit = valid(RateLimit::new("a", 4, Duration::from_secs(1)));
    let one = with_cost(&charge(key(1), SharedLimit::Rate(limit.strict())), 2);
    // A clock of the store's own may give some back in between.
    let mut denied = None;
    for _ in 0..100 {
        if let Taken::Denied { retry_after, .. } = store.take(std::slice::from_ref(&one)).await? {
            denied = Some(retry_after);
            break;
        }
    }
    let wait = denied.flatten().filter(|wait| *wait <= Duration::from_millis(500));
    let Some(wait) = wait else {
        return Err(clause.violated(format!("2 of 4 units per second were denied for {denied:?}")));
    };
    gives_back(&store, one, wait).await?;

    // Counted by another rule, an empty bucket must not empty itself with each attempt.
    store.takes(&[with_cost(&rate_charge(key(2), "b", 10), 10)]).await?;
    let limit = valid(RateLimit::new("b", 10, Duration::from_secs(1)));
    let edited = charge(key(2), SharedLimit::Rate(limit.strict()));
    match store.take(std::slice::from_ref(&edited)).await? {
        Taken::Denied { retry_after: Some(wait), .. } if wait <= Duration::from_millis(100) => {
            gives_back(&store, edited, wait).await
        }
        // Whether an edit refills is another clause.
        Taken::All => Ok(()),
        denied @ Taken::Denied { .. } => {
            Err(clause.violated(format!("1 of 10 units per second: {denied:?}")))
        }
    }
}

/// Demands that there is room for a charge after a wait.
async fn gives_back<S: LimitStore>(
    store: &LimitProbe<'_, S>,
    charge: Charge,
    wait: Duration,
) -> Checked {
    std::thread::sleep(wait);
    let later = Charge { now: charge.now.saturating_add(wait), ..charge };
    let after = store.take(&[later]).await?;
    let clause = store.clause();
    clause.ensure(after == Taken::All, || format!("after {wait:?} the answer was {after:?}"))
}
