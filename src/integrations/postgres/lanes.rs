use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::error::{Fate, fate, late, refused, store_error};
use crate::error::{StoreError, StoreErrorKind};

/// How long a lane without work keeps its connection: longer than a client that is
/// answered takes to ask again, since giving one back to the pool costs a round trip.
const LINGER: Duration = Duration::from_millis(2);
/// How many lanes are opened as soon as all others are busy: one asks while the callers
/// of the other use their answers.
const EAGER: usize = 2;
/// How long a question waits for its turn before a lane more than those is opened: what is
/// asked together costs the server less than what is asked side by side.
const TURN: Duration = Duration::from_millis(2);
/// After how many batches a busy lane gives its connection back all the same: the pool
/// replaces connections that are too old.
const TENURE: usize = 1_024;
/// How often a batch that was rolled back for others' sake is tried again.
const REPEATS: u32 = 8;

/// What is asked of the server together.
pub(super) trait Batch: Send + Sync + 'static {
    type Question: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// The most questions that go together.
    const MOST: usize;
    /// Whether asking again does no harm when nobody knows what became of it.
    const REPEATABLE: bool;
    /// Whether the server may refuse all for the sake of one, so that each is asked alone.
    const APART: bool;

    /// Asks all of these, and gives as many answers.
    fn ask(
        &self,
        connection: &mut PgConnection,
        questions: &[Self::Question],
    ) -> impl Future<Output = Result<Vec<Answered<Self>>, sqlx::Error>> + Send;
}

pub(super) type Answered<B> = Result<<B as Batch>::Answer, StoreError>;

/// A few tasks that share what callers ask: those who ask while the server is busy go
/// together, and a caller who goes away leaves no connection in the middle of anything.
pub(super) struct Lanes<B: Batch>(Arc<Shared<B>>);

struct Shared<B: Batch> {
    batch: B,
    pool: PgPool,
    patience: Duration,
    most_lanes: usize,
    state: Mutex<State<B>>,
    work: Notify,
}

struct State<B: Batch> {
    waiting: VecDeque<Asked<B>>,
    lanes: usize,
    /// How many of them wait for work that nobody has called them to.
    idle: usize,
}

struct Asked<B: Batch> {
    question: B::Question,
    answer: oneshot::Sender<Answered<B>>,
}

impl<B: Batch> Lanes<B> {
    pub(super) fn new(batch: B, pool: PgPool, most_lanes: usize, patience: Duration) -> Self {
        let state = State { waiting: VecDeque::new(), lanes: 0, idle: 0 };
        let (state, work) = (state.into(), Notify::new());
        Self(Arc::new(Shared { batch, pool, patience, most_lanes, state, work }))
    }

    /// Asks, and waits for the answer.
    ///
    /// Dropped before its turn, the question is never put; after that, it is carried
    /// through all the same.
    pub(super) async fn ask(&self, question: B::Question) -> Answered<B> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(refused("a store over PostgreSQL must be used on a Tokio runtime"));
        };
        let (answer, mut answered) = oneshot::channel();
        self.0.enqueue(Asked { question, answer }, &runtime);
        let answered = if let Ok(answered) = timeout(TURN, &mut answered).await {
            Ok(answered)
        } else {
            self.0.reinforce(&runtime);
            timeout(self.0.patience, answered).await
        };
        match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }
}

impl<B: Batch> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, asked: Asked<B>, runtime: &Handle) {
        let mut state = self.lock();
        state.waiting.push_back(asked);
        if state.idle > 0 {
            state.idle -= 1;
            self.work.notify_one();
        } else if state.lanes < EAGER || state.waiting.len() > B::MOST {
            self.open(&mut state, runtime);
        }
    }

    /// Opens another lane if somebody still waits for a turn.
    fn reinforce(self: &Arc<Self>, runtime: &Handle) {
        let mut state = self.lock();
        if state.idle == 0 && !state.waiting.is_empty() {
            self.open(&mut state, runtime);
        }
    }

    fn open(self: &Arc<Self>, state: &mut State<B>, runtime: &Handle) {
        if state.lanes < self.most_lanes {
            state.lanes += 1;
            let lane = Lane { shared: Arc::clone(self), connection: None, asked: false, served: 0 };
            runtime.spawn(lane.run());
        }
    }

    /// The next batch, without those whose callers have gone.
    fn take(&self) -> Vec<Asked<B>> {
        let mut state = self.lock();
        let mut taken = Vec::with_capacity(state.waiting.len().min(B::MOST));
        while taken.len() < B::MOST {
            let Some(asked) = state.waiting.pop_front() else { break };
            if !asked.answer.is_closed() {
                taken.push(asked);
            }
        }
        if taken.is_empty() {
            state.idle += 1;
        }
        taken
    }

    /// Waits for a call; false if nobody called in time, and the lane is no more.
    async fn linger(&self) -> bool {
        if timeout(LINGER, self.work.notified()).await.is_ok() {
            return true;
        }
        let mut state = self.lock();
        if state.idle == 0 {
            // Whoever called counted this lane as awake.
            return true;
        }
        state.idle -= 1;
        state.lanes -= 1;
        false
    }
}

struct Lane<B: Batch> {
    shared: Arc<Shared<B>>,
    connection: Option<PoolConnection<Postgres>>,
    /// Whether the server was asked at all the last time, or not even let the store in.
    asked: bool,
    served: usize,
}

impl<B: Batch> Lane<B> {
    async fn run(mut self) {
        let left = Left(Some(Arc::clone(&self.shared)));
        loop {
            // Those who have just been answered, or woken with this lane, ask first.
            tokio::task::yield_now().await;
            let taken = self.shared.take();
            if !taken.is_empty() {
                self.serve(taken).await;
            } else if !self.shared.linger().await {
                left.cleanly();
                return;
            }
        }
    }

    async fn serve(&mut self, taken: Vec<Asked<B>>) {
        let (questions, waiting): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|asked| (asked.question, asked.answer)).unzip();
        self.served += 1;
        if self.served.is_multiple_of(TENURE) {
            self.connection = None;
        }
        match self.insist(&questions).await {
            Err(Some(error))
                if B::APART
                    && self.asked
                    && questions.len() > 1
                    && fate(&error) == Fate::Refused =>
            {
                for (question, waiting) in questions.iter().zip(waiting) {
                    if !waiting.is_closed() {
                        tell::<B>([waiting], self.insist(std::slice::from_ref(question)).await);
                    }
                }
            }
            settled => tell::<B>(waiting, settled),
        }
    }

    /// Asks until there is an answer, or an error that asking again can't mend; no error
    /// is that nothing came in time.
    async fn insist(
        &mut self,
        questions: &[B::Question],
    ) -> Result<Vec<Answered<B>>, Option<sqlx::Error>> {
        // A pool that doesn't test its connections may give as many dead ones.
        let mut stale = self.shared.pool.options().get_max_connections();
        let mut repeats = 0;
        loop {
            self.asked = false;
            let mut connection = self.connect().await?;
            self.asked = true;
            let error = match self.once(&mut connection, questions).await {
                Err(Some(error)) => error,
                settled => {
                    let leads_astray = settled.iter().flatten().any(is_unavailable::<B>);
                    if leads_astray {
                        connection.close_on_drop();
                    }
                    self.connection = Some(connection).filter(|_| settled.is_ok() && !leads_astray);
                    return settled;
                }
            };
            match fate(&error) {
                Fate::RolledBack if repeats < REPEATS => {
                    tokio::time::sleep(Duration::from_millis(1 << repeats)).await;
                    repeats += 1;
                }
                Fate::Unknown if B::REPEATABLE && stale > 0 => stale -= 1,
                _ => return Err(Some(error)),
            }
        }
    }

    async fn connect(&mut self) -> Result<PoolConnection<Postgres>, Option<sqlx::Error>> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        match timeout(self.shared.patience, self.shared.pool.acquire()).await {
            Ok(acquired) => acquired.map_err(Some),
            Err(_) => Err(Some(sqlx::Error::PoolTimedOut)),
        }
    }

    async fn once(
        &self,
        connection: &mut PoolConnection<Postgres>,
        questions: &[B::Question],
    ) -> Result<Vec<Answered<B>>, Option<sqlx::Error>> {
        match timeout(self.shared.patience, self.shared.batch.ask(connection, questions)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                if matches!(fate(&error), Fate::Unknown | Fate::Misled) {
                    connection.close_on_drop();
                }
                Err(Some(error))
            }
            Err(_) => {
                connection.close_on_drop();
                Err(None)
            }
        }
    }
}

/// An answer of a server that is there and can't be asked: a replica.
fn is_unavailable<B: Batch>(answered: &Answered<B>) -> bool {
    answered.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}

/// Gives each his answer, or all the error; a caller who has gone away is told nothing.
fn tell<B: Batch>(
    waiting: impl IntoIterator<Item = oneshot::Sender<Answered<B>>>,
    settled: Result<Vec<Answered<B>>, Option<sqlx::Error>>,
) {
    match settled {
        Ok(answers) => {
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                let _ = waiting.send(answer);
            }
        }
        Err(error) => {
            let error = error.map(Arc::new);
            for waiting in waiting {
                let error = error.clone().map_or_else(late, store_error);
                let _ = waiting.send(Err(error));
            }
        }
    }
}

/// Puts right what is counted when a lane ends before its time, with its runtime.
struct Left<B: Batch>(Option<Arc<Shared<B>>>);

impl<B: Batch> Left<B> {
    fn cleanly(mut self) {
        self.0 = None;
    }
}

impl<B: Batch> Drop for Left<B> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        state.lanes = state.lanes.saturating_sub(1);
        state.idle = state.idle.min(state.lanes);
        if state.lanes == 0 {
            // Nobody is left to answer them.
            state.waiting.clear();
        }
    }
}
