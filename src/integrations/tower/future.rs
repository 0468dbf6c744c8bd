use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::route::{Passed, ResponseHeaders, Route, add, response};
use crate::gate::Answer;

type Verifying = Pin<Box<dyn Future<Output = (Parts, Passed)> + Send>>;

pin_project! {
    /// The response of an [`ApiKeyGuard`](crate::ApiKeyGuard).
    pub struct ApiKeyFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateNow]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Verifying { verifying: Verifying, waiting: Option<(Arc<Route>, S, B)> },
        Serving { #[pin] serving: S::Future, headers: ResponseHeaders },
        Refused { answer: Option<Answer> },
    }
}

impl<S: Service<Request<B>>, B> ApiKeyFuture<S, B> {
    pub(super) fn serving(serving: S::Future, headers: ResponseHeaders) -> Self {
        Self { state: State::Serving { serving, headers } }
    }

    pub(super) fn refused(answer: Answer) -> Self {
        Self { state: State::Refused { answer: Some(answer) } }
    }

    /// Waits for the key: only the head is boxed, so that body and service may be of any kind.
    pub(super) fn verifying(route: Arc<Route>, inner: S, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let waiting = Some((Arc::clone(&route), inner, body));
        let verifying = Box::pin(async move {
            let passed = route.waited(&parts).await;
            (parts, passed)
        });
        Self { state: State::Verifying { verifying, waiting } }
    }
}

impl<S, B, R> Future for ApiKeyFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateNow::Verifying { verifying, waiting } => {
                    let (parts, passed) = ready!(verifying.as_mut().poll(context));
                    let Some((route, mut inner, body)) = waiting.take() else {
                        return Poll::Pending;
                    };
                    match passed {
                        Ok(admitted) => {
                            let mut request = Request::from_parts(parts, body);
                            let headers = route.pass(&mut request, admitted);
                            State::Serving { serving: inner.call(request), headers }
                        }
                        Err(answer) => State::Refused { answer: Some(answer) },
                    }
                }
                StateNow::Serving { serving, headers } => {
                    let mut response = ready!(serving.poll(context))?;
                    add(response.headers_mut(), std::mem::take(headers));
                    return Poll::Ready(Ok(response));
                }
                StateNow::Refused { answer } => {
                    return match answer.take() {
                        Some(answer) => Poll::Ready(Ok(response(answer))),
                        None => Poll::Pending,
                    };
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ApiKeyFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyFuture").finish_non_exhaustive()
    }
}
