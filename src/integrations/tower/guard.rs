use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::ApiKeyFuture;
use super::route::Route;

/// A service behind an [`ApiKeyLayer`](crate::ApiKeyLayer).
#[derive(Clone)]
pub struct ApiKeyGuard<S> {
    route: Arc<Route>,
    inner: S,
}

impl<S> ApiKeyGuard<S> {
    pub(super) fn new(route: Arc<Route>, inner: S) -> Self {
        Self { route, inner }
    }
}

impl<S, B, R> Service<Request<B>> for ApiKeyGuard<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ApiKeyFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> ApiKeyFuture<S, B> {
        let (mut parts, body) = request.into_parts();
        self.route.hide(&mut parts.headers);
        match self.route.at_once(&parts) {
            Some(Ok(admitted)) => {
                let headers = self.route.pass(&mut parts, admitted);
                ApiKeyFuture::serving(self.inner.call(Request::from_parts(parts, body)), headers)
            }
            Some(Err(answer)) => ApiKeyFuture::refused(answer),
            None => {
                // The one that is ready is the one to be called; its clone need not be.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                ApiKeyFuture::verifying(Arc::clone(&self.route), inner, parts, body)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyGuard").field("inner", &self.inner).finish_non_exhaustive()
    }
}
