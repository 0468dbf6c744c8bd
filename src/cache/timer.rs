use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

type Sleep = dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The runtime's timer, if it has been given.
#[derive(Clone, Default)]
pub(super) struct Timer(Option<Arc<Sleep>>);

impl Timer {
    pub(super) fn new<F>(sleep: impl Fn(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Some(Arc::new(move |duration| Box::pin(sleep(duration)))))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// What a future gives, or `None` after so many microseconds; without a timer, it is
    /// waited for.
    pub(super) async fn within<F: Future>(&self, micros: u64, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        // What needs no waiting needs no timer.
        let ready = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(output) = ready.await {
            return Some(output);
        }
        let Some(sleep) = &self.0 else { return Some(future.await) };
        let mut slept = sleep(Duration::from_micros(micros));
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => slept.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}
