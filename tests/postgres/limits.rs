//! Limits in `PostgreSQL` are exact: 64 clients get what there is and no unit more, and
//! what is decided is what the store in memory decides.

use std::time::Duration;

use keyward::{
    Charge, KeyId, LimitStore, LimitSubject, MemoryLimitStore, PostgresLimits, Quota, RateLimit,
    Refill, SharedLimit, Taken, Timestamp,
};

use super::servers::Postgres;
use super::{common, leases, store};
use crate::PostgresStore;

const CLIENTS: usize = 64;

fn rate(burst: u32) -> SharedLimit {
    // One unit comes back in 24 hours, and so none in a test.
    SharedLimit::Rate(RateLimit::per_day(1).unwrap().burst(burst).unwrap().strict())
}

fn quota(limit: u64) -> SharedLimit {
    SharedLimit::Quota(Quota::new(limit, Refill::Year).unwrap().strict())
}

fn charge(subject: u8, limit: SharedLimit, cost: u32) -> Charge {
    let subject = match subject {
        0 => LimitSubject::Owner,
        n => LimitSubject::Key(KeyId::from_bytes([n; 10])),
    };
    let owner = "org_'1\\".into();
    Charge { owner, subject, limit, cost, now: Timestamp::UNIX_EPOCH }
}

mod contract {
    keyward::conformance_limit_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        super::limits().await
    );
}

async fn limits() -> PostgresLimits {
    super::fresh().await.limits()
}

/// How many of these lists are taken by 64 clients who each ask so many times.
async fn race(limits: &PostgresLimits, times: usize, list: &[Charge]) -> usize {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (limits, mut list) = (limits.clone(), list.to_vec());
            tokio::spawn(async move {
                let mut taken = 0;
                for time in 0..times {
                    list.rotate_left(time % 2);
                    taken += usize::from(limits.take(&list).await.unwrap() == Taken::All);
                }
                taken
            })
        })
        .collect();
    let mut taken = 0;
    for client in clients {
        taken += client.await.unwrap();
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn sixty_four_clients_take_what_there_is() {
    let limits = limits().await;
    let lists = [charge(1, rate(150), 1), charge(0, quota(100), 1)];
    assert_eq!(race(&limits, 4 * common::scale(), &lists).await, 100);
    // What was denied by the quota was not taken of the rate.
    assert_eq!(limits.take(&[charge(1, rate(150), 50)]).await.unwrap(), Taken::All);
    let denied = limits.take(&[charge(1, rate(150), 1)]).await.unwrap();
    assert!(matches!(denied, Taken::Denied { charge: 0, resets_at: None, .. }), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer"]
async fn and_so_they_do_through_a_pooler() {
    let limits = super::through_pgbouncer().await.limits();
    let lists = [charge(1, rate(60), 1), charge(0, rate(100), 1)];
    assert_eq!(race(&limits, 2, &lists).await, 60);
}

/// Where a wait for a lock ends as a failure, unless a transaction says otherwise.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn and_so_they_do_where_all_is_serializable() {
    let limits = super::serializable().await.limits();
    let times = 4 * common::scale();
    let all = u32::try_from(times * CLIENTS).unwrap();
    // A call that is denied updates no row, and so fails nobody.
    let lists = [charge(0, rate(all), 1)];
    assert_eq!(race(&limits, times, &lists).await, times * CLIENTS);
    assert!(matches!(limits.take(&lists).await.unwrap(), Taken::Denied { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn leased_clients_stay_within_the_stated_bound() {
    let (passed, most) = leases::hold_while_all_are_busy(limits().await).await;
    println!("{passed} admitted of {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn leases_are_void_after_a_pause() {
    leases::are_void_after_a_pause(limits().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn lists_in_any_order_wait_for_no_deadlock() {
    let limits = limits().await;
    let start = std::time::Instant::now();
    let list: Vec<Charge> = (0..6).map(|n| charge(n, rate(36_000), 1)).collect();
    assert_eq!(race(&limits, 5, &list).await, 5 * CLIENTS);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn decisions_are_those_of_the_store_in_memory() {
    let (limits, model) = (limits().await, MemoryLimitStore::new());
    // Nothing comes back in a test; half way through, every rule is edited.
    let rules = |n: usize, edited: bool| match n % 4 {
        0 => rate(if edited { 55 } else { 40 }),
        1 => quota(if edited { 60 } else { 30 }),
        2 => SharedLimit::Rate(
            RateLimit::new("narrower", 1, Duration::from_secs(86_400))
                .unwrap()
                .burst(if edited { 20 } else { 50 })
                .unwrap()
                .strict(),
        ),
        _ => SharedLimit::Rate(
            RateLimit::new("other", 7, Duration::from_secs(366 * 86_400))
                .unwrap()
                .burst(25)
                .unwrap()
                .strict(),
        ),
    };
    let now = {
        let store = super::fresh().await;
        service_now(&store)
    };
    let mut random = common::Seeded(7);
    let mut taken = 0;
    let rounds = 400 * common::scale();
    for round in 0..rounds {
        let edited = round > rounds / 2;
        let list: Vec<Charge> = (0..random.below(4))
            .map(|_| {
                let subject = u8::try_from(random.below(12)).unwrap();
                let cost = u32::try_from(random.below(9)).unwrap();
                Charge { now, ..charge(subject, rules(random.below(4), edited), cost) }
            })
            .collect();
        let (found, expected) =
            (limits.take(&list).await.unwrap(), model.take(&list).await.unwrap());
        taken += usize::from(found == Taken::All);
        match (&found, &expected) {
            (
                Taken::Denied { charge, retry_after, resets_at },
                Taken::Denied { charge: at, retry_after: wait, resets_at: ends },
            ) => {
                assert_eq!((charge, resets_at), (at, ends), "round {round}: {list:?}");
                assert_eq!(retry_after.is_some(), wait.is_some(), "round {round}: {list:?}");
                let (found, expected) = (retry_after.unwrap_or_default(), wait.unwrap_or_default());
                // The server's clock goes on, the model's stands still.
                let near = found <= expected + Duration::from_secs(2)
                    && found + Duration::from_secs(300) >= expected;
                assert!(near, "round {round}: {found:?}, not {expected:?}");
            }
            _ => assert_eq!(found, expected, "round {round}: {list:?}"),
        }
    }
    assert!(taken > 50, "{taken}");
}

fn service_now(store: &PostgresStore) -> Timestamp {
    super::service(store).now()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn units_come_back_by_the_server_s_clock() {
    let limits = limits().await;
    let rule = RateLimit::new("quick", 5, Duration::from_secs(10)).unwrap().strict();
    let list = |cost| [charge(1, SharedLimit::Rate(rule.clone()), cost)];
    assert_eq!(limits.take(&list(5)).await.unwrap(), Taken::All);
    let Taken::Denied { retry_after: Some(wait), .. } = limits.take(&list(2)).await.unwrap() else {
        panic!("the bucket is empty")
    };
    assert!(wait <= Duration::from_secs(4), "{wait:?}");
    tokio::time::sleep(wait).await;
    assert_eq!(limits.take(&list(2)).await.unwrap(), Taken::All);
    let never = limits.take(&list(6)).await.unwrap();
    assert_eq!(never, Taken::Denied { charge: 0, retry_after: None, resets_at: None });
    assert_eq!(limits.take(&[]).await.unwrap(), Taken::All);
    assert_eq!(limits.take(&list(0)).await.unwrap(), Taken::All);
}

/// The calendar of the function, against that of [`Refill`], at both sides of boundaries.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn windows_are_those_of_the_calendar() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 1);
    store.migrate().await.unwrap();
    let mut random = common::Seeded(3);
    for (name, refill) in [
        ("hour", Refill::Hour),
        ("day", Refill::Day),
        ("week", Refill::Week),
        ("month", Refill::Month),
        ("year", Refill::Year),
    ] {
        let mut instants = Vec::new();
        for _ in 0..700 {
            let at = i64::try_from(random.number() % 200_000_000_000_000_000).unwrap();
            let (_, ends) = refill.window(Timestamp::from_micros(at));
            instants.extend([at, ends.as_micros() - 1, ends.as_micros()]);
        }
        // The last hour that has a number of its own.
        instants.retain(|at| name != "hour" || *at < 60_000_000_000_000_000);
        let expected: Vec<String> = instants
            .iter()
            .map(|at| {
                let (index, ends) = refill.window(Timestamp::from_micros(*at));
                format!("{index}|{}", ends.as_micros())
            })
            .collect();
        let list: Vec<String> = instants.iter().map(i64::to_string).collect();
        let select = format!(
            "SELECT w, keyward_window_end('{name}', w) FROM (SELECT n, keyward_window_at('{name}', at)
             AS w FROM unnest('{{{}}}'::bigint[]) WITH ORDINALITY AS i (at, n)) AS x ORDER BY n",
            list.join(",")
        );
        let found = server.psql(&database, &select);
        assert!(found.lines().eq(expected.iter().map(String::as_str)), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_sweep_drops_what_holds_nothing() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 1);
    store.migrate().await.unwrap();
    let limits = store.limits();
    let quick = RateLimit::per_second(10).unwrap().strict();
    let quick = |subject| charge(subject, SharedLimit::Rate(quick.clone()), 1);
    let list = [charge(1, rate(5), 5), charge(2, quota(7), 7), quick(3), quick(4)];
    assert_eq!(limits.take(&list).await.unwrap(), Taken::All);
    assert_eq!(limits.sweep().await.unwrap(), 0);
    let age =
        "UPDATE keyward_limits SET full_at = full_at - scale * 7200000000 WHERE name = 'second'";
    server.psql(&database, age);
    assert_eq!(limits.sweep().await.unwrap(), 2);
    for spent in &list[..2] {
        let taken = limits.take(std::slice::from_ref(spent)).await.unwrap();
        assert!(matches!(taken, Taken::Denied { .. }));
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_sweep_drops_what_was_never_taken_of() {
    let limits = limits().await;
    let list = [charge(1, rate(5), 6), charge(2, rate(5), 1), charge(3, quota(7), 1)];
    let denied = limits.take(&list).await.unwrap();
    assert!(matches!(denied, Taken::Denied { charge: 0, .. }), "{denied:?}");
    assert_eq!(limits.sweep().await.unwrap(), 3);
    assert_eq!(limits.take(&list[1..]).await.unwrap(), Taken::All);
    assert_eq!(limits.sweep().await.unwrap(), 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_edited_quota_is_counted_by_the_new_windows_when_it_was_denied() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 1);
    store.migrate().await.unwrap();
    let limits = store.limits();
    let quota = |refill| {
        let quota = Quota::new(7, refill).unwrap().named("edited").unwrap();
        SharedLimit::Quota(quota.strict())
    };
    assert_eq!(limits.take(&[charge(1, quota(Refill::Year), 7)]).await.unwrap(), Taken::All);
    let daily = [charge(1, rate(5), 5), charge(1, quota(Refill::Day), 1)];
    let denied = limits.take(&daily).await.unwrap();
    assert!(matches!(denied, Taken::Denied { charge: 1, .. }), "{denied:?}");
    // The day ends.
    server.psql(&database, "UPDATE keyward_limits SET period = period - 1 WHERE refill = 'day'");
    // What stood before it in the list had not been taken.
    assert_eq!(limits.take(&daily).await.unwrap(), Taken::All);
}
