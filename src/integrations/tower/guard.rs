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

    fn call(&mut self, mut request: Request<B>) -> ApiKeyFuture<S, B> {
        self.route.hide(request.headers_mut());
        let decided = if self.route.resources.is_empty() {
            // A request that is not taken apart need not be moved.
            self.route.at_once(&request)
        } else {
            let (parts, body) = request.into_parts();
            let decided = self.route.at_once_of_parts(&parts);
            request = Request::from_parts(parts, body);
            decided
        };
        match decided {
            Some(Ok(admitted)) => {
                let headers = self.route.pass(&mut request, admitted);
                ApiKeyFuture::serving(self.inner.call(request), headers)
            }
            Some(Err(answer)) => ApiKeyFuture::refused(answer),
            None => {
                // The one that is ready is the one to be called; its clone need not be.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                ApiKeyFuture::verifying(Arc::clone(&self.route), inner, request)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyGuard").field("inner", &self.inner).finish_non_exhaustive()
    }
}
