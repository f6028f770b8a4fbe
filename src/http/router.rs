//! Which path goes where.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use futures_util::FutureExt;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt;
use tower_http::set_header::SetResponseHeaderLayer;

use super::access;
use super::access::ClientEnd;
use super::app_state::AppState;
use super::caller::RequestHead;
use super::connection::{ConnectionInfo, HEAD, PlainRequest};
use super::context::Audience;
use super::error_json::ErrorForm;
use super::peer::Peer;
use super::responses::CachedResponse;
use super::{error, modules, page, reload, status};
use crate::engine::Rules;
use crate::policy::{Access, Caller, Reach};

/// Everything that one address answers.
pub struct AddressRouter {
    router: Router,
    state: Arc<AppState>,
    /// Whether modules are served here: their requests need no routing.
    modules: bool,
    reach: Reach,
}

impl AddressRouter {
    /// What clients reach.
    pub fn public(state: Arc<AppState>, reach: Reach) -> Self {
        AddressRouter {
            router: public_router(Arc::clone(&state)),
            modules: true,
            reach,
            state,
        }
    }

    /// Who can come here.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// What an address of the operator's answers when there is one.
    pub fn admin(state: Arc<AppState>, reach: Reach) -> Self {
        AddressRouter {
            router: admin_router(Arc::clone(&state)),
            modules: false,
            reach,
            state,
        }
    }

    /// The answer to a request that is none, or is larger than requests may be.
    pub fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let head = RequestHead::from(request);
        let refusal = if let Some(why) = head.bad_host() {
            let text = format!("bad request: {why}");
            error::bad_request(StatusCode::BAD_REQUEST, &text)
        } else if head.size() > HEAD {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            error::bad_request(status, "the head of the request is larger than 64 KiB")
        } else {
            return None;
        };
        Some(ErrorForm::of(request).apply(refusal))
    }

    /// The cached response to a plain request, if it is for whoever makes it.
    pub fn cached_at(
        &self,
        request: &PlainRequest<'_>,
        connection: &ConnectionInfo,
    ) -> Option<Arc<CachedResponse>> {
        let state = self.modules()?;
        let response = state.responses.at(request.path)?;
        let rules = state.engine.rules_now();
        // Others may have been put in force since it was looked up: then they decide.
        if response.validity.rules() != rules.generation() {
            return None;
        }
        // Who has to wait does so the long way, as do those with limits by their name.
        if rules.limits.count_hits()
            && (request.authorization.is_some()
                || !(state.engine).take_at_once(
                    &rules.limits,
                    connection.remote.ip(),
                    response.bytes(),
                ))
        {
            return None;
        }
        let Some(guard) = &response.guard else {
            return Some(response);
        };
        let access = self.access(&rules);
        let client = ClientEnd {
            address: connection.remote.ip(),
            certificate: connection.certificate.as_ref(),
        };
        let standing = access::standing_of_plain(&access, &rules, &state.tokens, request, client);
        let caller = Caller {
            address: client.address,
            standing: standing?,
        };
        let admitted = access.admits(guard.module.as_str(), guard.private, &caller);
        admitted.then_some(response)
    }

    /// Who may be told what here.
    fn access<'a>(&self, rules: &'a Rules) -> Cow<'a, Access> {
        match self.modules {
            true => rules.access.at(self.reach),
            false => rules.access.for_admin(self.reach),
        }
    }

    fn modules(&self) -> Option<&Arc<AppState>> {
        self.modules.then_some(&self.state)
    }

    /// A cached response's body was read from its file.
    pub fn was_read(&self, path: &str, response: &CachedResponse, body: &[u8]) {
        if let Some(state) = self.modules() {
            state.responses.was_read(path, response, body);
        }
    }

    pub async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let form = ErrorForm::of(&request);
        let answer = self.route(request, peer);
        let answered = AssertUnwindSafe(answer).catch_unwind().await;
        form.apply(answered.unwrap_or_else(panicked))
    }

    async fn route(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        match self.modules() {
            Some(state) if modules::is_theirs(state, request.uri().path()) => {
                let (head, _) = request.into_parts();
                modules::answer(state, &head, &peer).await
            }
            _ => {
                let mut request = request.map(Body::new);
                let rules = self.state.engine.rules();
                let access = self.access(&rules);
                let head = RequestHead::from(&request);
                let caller = (self.state).caller(&rules, &access, head, &peer).await;
                let audience = Audience::of(&access, &caller);
                drop(access);
                request.extensions_mut().insert(rules);
                request.extensions_mut().insert(audience);
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(peer);
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    }
}

/// Module paths cannot be routes (a wildcard in the middle), so everything that is not one of the
/// few fixed paths falls to the protocol's own parser. The fixed paths have no dot in their first element, so no
/// module path is hidden by them.
fn public_router(state: Arc<AppState>) -> Router {
    let mut router = Router::new()
        .route("/", get(page::page))
        .route("/favicon.ico", get(page::icon))
        .route("/healthz", get(status::health))
        .route("/-/reload", post(reload::by_admin).fallback(fallback));
    if !state.base_path.is_empty() {
        router = router.route(&format!("{}/", state.base_path), get(page::page));
    }
    if !state.separate_admin {
        router = with_admin(router);
    }
    finish(router.fallback(fallback), state)
}

fn admin_router(state: Arc<AppState>) -> Router {
    let router = with_admin(Router::new())
        .route(
            "/-/reload",
            post(reload::reload).fallback(reload::post_only),
        )
        .route("/favicon.ico", get(page::icon))
        .route("/healthz", get(status::health));
    finish(router.fallback(no_such_page), state)
}

fn with_admin(router: Router<Arc<AppState>>) -> Router<Arc<AppState>> {
    router
        .route("/readyz", get(status::ready))
        .route("/version", get(status::version))
        .route("/metrics", get(status::metrics))
}

fn finish(router: Router<Arc<AppState>>, state: Arc<AppState>) -> Router {
    router
        .method_not_allowed_fallback(|| async { modules::method_not_allowed() })
        .layer(SetResponseHeaderLayer::if_not_present(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(state)
}

async fn fallback(State(state): State<Arc<AppState>>, request: Request<Body>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let peer = head.extensions.get::<Peer>().cloned().unwrap_or_default();
    modules::answer(&state, &head, &peer).await
}

async fn no_such_page() -> Response<Body> {
    error::refusal(
        StatusCode::NOT_FOUND,
        "absent",
        "not found: this address answers /healthz, /readyz, /version and /metrics, and POST /-/reload",
    )
}

/// A defect must not take a connection down without a word.
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        panic = text.unwrap_or("unknown"),
        "a request handler panicked"
    );
    error::refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "larder failed on this request; its log says more",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, CONTENT_TYPE, VARY};

    #[tokio::test]
    async fn whatever_goes_wrong_is_told_in_the_form_that_is_wanted() {
        let too_large = || {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            error::bad_request(status, "too large")
        };
        for (accept, kind) in [
            ("application/json", "application/json"),
            ("text/plain", "text/plain; charset=utf-8"),
        ] {
            let request = Request::get("/").header(ACCEPT, accept).body(()).unwrap();
            for response in [panicked(Box::new("why")), no_such_page().await, too_large()] {
                let response = ErrorForm::of(&request).apply(response);
                assert_eq!(response.headers()[CONTENT_TYPE], kind);
                assert_eq!(response.headers()[VARY], "accept");
            }
        }
    }
}
