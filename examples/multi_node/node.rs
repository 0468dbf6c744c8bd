//! One verifier process: a service with a cache over the shared database, and clients that
//! present keys without a pause.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{
    KeyCache, KeyService, Observer, PostgresStore, RunningUpkeep, Timestamp, TokioUpkeep,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::verdict::Verdict;
use crate::{DATABASE, PEPPER, REQUEST, Result, now, scheme};

/// How many of the keys that are looked at closely are verified each millisecond.
const NEAR_PER_TICK: usize = 4;

/// Where a node finds things: the arguments it is started with.
pub(crate) struct Place {
    pub(crate) database: u16,
    pub(crate) hints: u16,
    pub(crate) schema: String,
}

impl Place {
    pub(crate) fn arguments(&self) -> [String; 4] {
        let Self { database, hints, schema } = self;
        ["node".into(), database.to_string(), hints.to_string(), schema.clone()]
    }

    /// `None` if this process is not to be a node.
    pub(crate) fn from_arguments() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        arguments.next().filter(|role| role == "node")?;
        let mut port = || arguments.next()?.parse().ok();
        let (database, hints) = (port()?, port()?);
        Some(Self { database, hints, schema: arguments.next()? })
    }
}

/// A key that clients of this node present.
struct Presented {
    index: usize,
    token: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdict: Option<Verdict>,
    last: Option<Timestamp>,
    in_flight: bool,
}

/// Tells the one who started this process.
struct Tell;

impl Observer for Tell {
    fn history_rewritten(&self) {
        println!("rewritten {}", now().as_micros());
    }
}

/// Does as it is told, line by line, until its input ends.
pub(crate) async fn run(place: &Place) -> Result {
    let (keys, upkeep) = start(place)?;
    let mut lines = lines();
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut all: Vec<Arc<Presented>> = Vec::new();
    let mut near = VecDeque::new();
    let mut next = 0;
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { break };
                match line.split_once(' ') {
                    Some(("key", token)) => all.push(Presented::new(all.len(), token)),
                    Some(("near", index)) => near.push_back(Arc::clone(&all[index.parse::<usize>()?])),
                    _ => answer_all(&keys, &all).await,
                }
            }
            _ = tick.tick() => {
                near.retain(|key| !key.is_refused());
                for _ in 0..near.len().min(NEAR_PER_TICK) {
                    near.rotate_left(1);
                    near.iter().take(1).for_each(|key| Presented::present(key, &keys));
                }
                if let Some(key) = all.get(next % all.len().max(1)) {
                    Presented::present(key, &keys);
                    next += 1;
                }
            }
        }
    }
    // The database may be gone for good.
    let _ = tokio::time::timeout(Duration::from_secs(1), upkeep.shutdown()).await;
    Ok(())
}

/// What this process is told, until its input ends.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (lines, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let input = std::io::stdin().lines().map_while(std::result::Result::ok);
        input.into_iter().try_for_each(|line| lines.send(line))
    });
    told
}

/// What a host of `keyward` sets up in each of its processes.
fn start(place: &Place) -> Result<(KeyService, RunningUpkeep)> {
    let address: PgConnectOptions = std::env::var(DATABASE)?.parse()?;
    let through = |port| address.clone().host("127.0.0.1").port(port);
    let pool = PgPoolOptions::new().max_connections(10).connect_lazy_with(through(place.database));
    let store = PostgresStore::new(pool).schema(&place.schema)?;
    let hints = store.clone().feed_options(through(place.hints)).hints();
    let cache = KeyCache::builder(store).timer(sleep).build();
    let scheme = scheme(&std::env::var(PEPPER)?)?;
    let keys = KeyService::builder(scheme, cache).observer(Tell).build();
    let upkeep = TokioUpkeep::new(keys.clone()).hints(hints).start(&Handle::current());
    Ok((keys, upkeep))
}

/// Verifies each key once, and says a letter for each.
async fn answer_all(keys: &KeyService, all: &[Arc<Presented>]) {
    let mut letters = String::new();
    for key in all {
        let answer = keys.verify(&key.token, &REQUEST).await;
        letters.push(Verdict::of(&answer).letter());
    }
    println!("answers {letters}");
}

impl Presented {
    fn new(index: usize, token: &str) -> Arc<Self> {
        Arc::new(Self { index, token: token.to_owned(), state: Mutex::default() })
    }

    fn is_refused(&self) -> bool {
        self.state.lock().unwrap().verdict == Some(Verdict::Refused)
    }

    /// Verifies it, unless the last answer is still awaited.
    fn present(key: &Arc<Self>, keys: &KeyService) {
        if std::mem::replace(&mut key.state.lock().unwrap().in_flight, true) {
            return;
        }
        let (key, keys) = (Arc::clone(key), keys.clone());
        tokio::spawn(async move {
            let asked = now();
            let answer = keys.verify(&key.token, &REQUEST).await;
            key.note(Verdict::of(&answer), asked, now());
        });
    }

    /// Tells of each change of mind: when it was asked and answered, and when it last
    /// answered otherwise.
    fn note(&self, verdict: Verdict, asked: Timestamp, at: Timestamp) {
        let mut state = self.state.lock().unwrap();
        if state.verdict != Some(verdict) {
            let before = state.last.unwrap_or(at);
            let [asked, answered, before] = [asked, at, before].map(Timestamp::as_micros);
            println!("turned {} {} {asked} {answered} {before}", self.index, verdict.letter());
        }
        *state = State { verdict: Some(verdict), last: Some(at), in_flight: false };
    }
}
