use std::future::poll_fn;
use std::task::Poll;

/// Lets others run so many times.
pub(crate) async fn turns(mut left: usize) {
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
