//! One context for each request, made here and nowhere else: who asks, and what the rules say of the module that it is
//! about.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::access;
use super::app_state::AppState;
use super::caller::RequestHead;
use super::peer::Peer;
use super::response_meta::RequestId;
use super::via;
use crate::engine::{RequestContext, Rules};
use crate::gomod::ModulePath;
use crate::kit::{ClientId, FetchContext, TraceId};
use crate::policy::{Access, Caller, Decision, Standing};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const DISABLE_MODULE_FETCH: HeaderName = HeaderName::from_static("disable-module-fetch");

/// For whom a page is made.
#[derive(Clone)]
pub struct Audience {
    /// They need to show nothing.
    pub is_trusted: bool,
    /// They may be told whatever there is to tell of private modules.
    pub sees_private: bool,
    /// A rule lets them reload the configuration.
    pub is_admin: bool,
}

impl Audience {
    /// By the rules of the address that they came to.
    pub fn of(access: &Access, caller: &Caller) -> Self {
        Audience {
            is_trusted: caller.standing == Standing::Trusted,
            sees_private: access.sees_private(caller),
            is_admin: access.is_admin(caller),
        }
    }
}

impl AppState {
    /// Who makes a request, by the rules of the address that it came to.
    pub async fn caller(
        &self,
        rules: &Rules,
        access: &Access,
        head: RequestHead<'_>,
        peer: &Peer,
    ) -> Caller {
        Caller {
            address: origin(rules, head.headers, peer.address).0,
            standing: access::standing(access, rules, &self.tokens, head, peer.into()).await,
        }
    }

    /// Of a request about a module, or about none.
    pub async fn context(
        &self,
        request: &Parts,
        peer: &Peer,
        module: Option<&ModulePath>,
        cached_only: bool,
    ) -> RequestContext {
        let headers = &request.headers;
        let rules = self.engine.rules();
        let decision = match module {
            Some(module) => rules.policy.decide(module),
            None => Decision::default(),
        };
        // What is for everyone is asked for without a look at what most requests do not show.
        let standing = match rules.access.guards(&decision) {
            true => {
                let access = rules.access.at(peer.reach);
                let head = request.into();
                access::standing(&access, &rules, &self.tokens, head, peer.into()).await
            }
            // Who shows it all the same has limits of their own; it is not worth waiting for.
            false => {
                let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
                access::known_by(&rules, &self.tokens, shown, peer.into()).unwrap_or_default()
            }
        };
        let (address, name) = origin(&rules, headers, peer.address);
        let caller = Caller { address, standing };
        let id = request.extensions.get::<RequestId>();
        let trace = headers.get(TRACEPARENT).and_then(|it| it.to_str().ok());
        RequestContext {
            cached_only: cached_only || has_word(headers, &DISABLE_MODULE_FETCH, "true"),
            foresee: true,
            has_turn: false,
            fetch: FetchContext {
                client: Some(ClientId::new(address, name)),
                via: via::hops(headers),
                request_id: id.map(|id| Arc::clone(&id.0)),
                trace_id: trace.and_then(TraceId::parse),
                no_cache: has_word(headers, &CACHE_CONTROL, "no-cache"),
                ..FetchContext::default()
            },
            decision,
            caller,
            rules,
        }
    }
}

/// Where a request comes from, by what front servers say of that; the second is no address.
fn origin<'a>(
    rules: &Rules,
    headers: &'a HeaderMap,
    remote: Option<IpAddr>,
) -> (Option<IpAddr>, Option<&'a str>) {
    let values = headers.get_all(X_FORWARDED_FOR).into_iter();
    // What is no text is no address either.
    let hops: Vec<_> = values
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .collect();
    rules.trusted_proxies.client(remote, hops.into_iter())
}

/// Whether a header with a list of words has this one.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|part| part.trim().eq_ignore_ascii_case(word))
}
