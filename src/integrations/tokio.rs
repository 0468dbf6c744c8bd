//! Upkeep on a Tokio runtime.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::error::{StoreError, StoreErrorKind};
use crate::service::KeyService;
use crate::store::Hints;

/// How long one pass of upkeep may take before it is given up and begun anew.
const LONGEST_PASS: Duration = Duration::from_secs(30);

/// The least time between two answers to hints: whoever can forge them must not make a node
/// ask the store all the time.
const BETWEEN_HINTS: Duration = Duration::from_millis(5);

/// Calls [`KeyService::maintain`] each second, and [`KeyService::catch_up`] on each hint.
///
/// ```
/// use keyward::{Environment, KeyScheme, KeyService, MemoryStore, PepperRing, TokioUpkeep};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let keys = KeyService::new(scheme, MemoryStore::new());
/// let upkeep = TokioUpkeep::new(keys.clone())
///     .on_error(|error| eprintln!("upkeep: {error}"))
///     .start(&tokio::runtime::Handle::current());
///
/// // … serve …
///
/// upkeep.shutdown().await?; // writes the last uses
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until `start`"]
pub struct TokioUpkeep {
    keys: KeyService,
    every: Duration,
    loops: Vec<Loop>,
    on_error: OnError,
}

type OnError = Arc<dyn Fn(&StoreError) + Send + Sync>;
type Loop = Box<dyn FnOnce(Driver) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Upkeep that is under way.
///
/// Dropping it stops upkeep at once, and uses that were not written are lost:
/// [`shutdown`](RunningUpkeep::shutdown) writes them.
#[must_use = "dropping it stops upkeep"]
pub struct RunningUpkeep {
    keys: KeyService,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Driver {
    keys: KeyService,
    on_error: OnError,
    stopped: watch::Receiver<bool>,
}

impl TokioUpkeep {
    /// Upkeep of this service, each second, without hints.
    pub fn new(keys: KeyService) -> Self {
        Self { keys, every: Duration::from_secs(1), loops: Vec::new(), on_error: Arc::new(|_| {}) }
    }

    /// How long to wait between passes; up to a tenth more or less, so that nodes that were
    /// started together don't ask together. A second by default, at least a millisecond.
    pub fn every(self, interval: Duration) -> Self {
        Self { every: interval.max(Duration::from_millis(1)), ..self }
    }

    /// Catches up with the log on each of these hints too; those that come within 5 ms share
    /// one look. It may be called several times.
    pub fn hints(mut self, mut hints: impl Hints) -> Self {
        self.loops.push(Box::new(move |driver: Driver| {
            Box::pin(async move {
                let mut stopped = driver.stopped.clone();
                loop {
                    tokio::select! {
                        () = hints.next() => {}
                        _ = stopped.wait_for(|stopped| *stopped) => return,
                    }
                    driver.within(driver.keys.catch_up()).await;
                    sleep(BETWEEN_HINTS).await;
                }
            })
        }));
        self
    }

    /// Asks for something else too, at once and then as often as this, up to a tenth more or
    /// less: what must be done now and then, and no request waits for. What takes longer than
    /// 30 seconds is given up until the next time. It may be called several times.
    ///
    /// ```
    /// # #[cfg(feature = "postgres")]
    /// # fn upkeep(keys: keyward::KeyService, limits: keyward::PostgresLimits) {
    /// use keyward::TokioUpkeep;
    /// use std::time::Duration;
    ///
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let upkeep = TokioUpkeep::new(keys).each(DAY, move || {
    ///     let limits = limits.clone();
    ///     async move { limits.sweep().await }
    /// });
    /// # drop(upkeep);
    /// # }
    /// ```
    pub fn each<T, F>(mut self, interval: Duration, ask: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let interval = interval.max(Duration::from_millis(1));
        self.loops.push(Box::new(move |driver| Box::pin(driver.repeat(interval, ask))));
        self
    }

    /// Who hears when a pass fails or takes longer than 30 seconds. What it was about waits for
    /// the next pass.
    pub fn on_error(self, hear: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        Self { on_error: Arc::new(hear), ..self }
    }

    /// Begins, on this runtime.
    pub fn start(self, runtime: &Handle) -> RunningUpkeep {
        let (stop, stopped) = watch::channel(false);
        let (every, on_error) = (self.every, Arc::clone(&self.on_error));
        let driver = Driver { keys: self.keys.clone(), on_error, stopped };
        let keys = self.keys.clone();
        let upkeep = self.each(every, move || {
            let keys = keys.clone();
            async move { keys.maintain().await }
        });
        let spawn = |run: Loop| runtime.spawn(run(driver.clone()));
        let tasks = upkeep.loops.into_iter().map(spawn).collect();
        RunningUpkeep { keys: upkeep.keys, stop, tasks }
    }
}

impl Driver {
    async fn repeat<T, F>(mut self, interval: Duration, ask: impl Fn() -> F)
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            self.within(ask()).await;
            tokio::select! {
                () = sleep(jittered(interval)) => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }
}

impl Driver {
    /// Waits for a pass as long as one may take, and tells what went wrong.
    async fn within<T>(&self, pass: impl Future<Output = Result<T, StoreError>>) {
        let ended = timeout(LONGEST_PASS, pass).await.unwrap_or_else(|_| {
            let error = StoreError::new(StoreErrorKind::Unavailable);
            Err(error.with_context("it took longer than 30 seconds, and was given up"))
        });
        if let Err(error) = ended {
            (self.on_error)(&error);
        }
    }
}

/// Up to a tenth more or less.
fn jittered(interval: Duration) -> Duration {
    // Seeded anew by the operating system; it need not be good.
    let share = RandomState::new().hash_one(()) % 2_001;
    interval * 9 / 10 + interval / 10_000 * u32::try_from(share).unwrap_or_default()
}

impl RunningUpkeep {
    /// Ends upkeep: waits for a pass that is under way, and writes every use counted so
    /// far. Call it when no request is served any more.
    ///
    /// # Errors
    ///
    /// The store can't be written; those uses are lost with the process. Or upkeep, or a part
    /// of it, had ended before: the store, a hint or who hears of errors panicked.
    pub async fn shutdown(mut self) -> Result<(), StoreError> {
        let _ = self.stop.send(true);
        let mut ended = Ok(());
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                let told = StoreError::new(StoreErrorKind::Other).with_source(error);
                ended = Err(told.with_context("upkeep had ended before, in a panic"));
            }
        }
        self.keys.flush().await?;
        ended
    }
}

impl Drop for RunningUpkeep {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for TokioUpkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioUpkeep")
            .field("every", &self.every)
            .field("loops", &self.loops.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RunningUpkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningUpkeep").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
