//! Who makes a request, and whether they may have what it is about. A request of somebody who may not learns nothing but
//! that.
//!
//! Whatever else tells of private modules (pages, states, names of upstreams) asks here as well: what a caller may be told
//! is decided once, by [`Access`].

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderValue, Response};
use url::{Host, Url};

use super::caller::{self, RequestHead};
use super::connection::PlainRequest;
use super::peer::Peer;
use crate::engine::{Cause, Engine, EngineError, Lacking, Rules};
use crate::gomod::ModulePath;
use crate::identity::{Shown, Tokens, credential, known_at_once, look_at};
use crate::policy::{Access, AccessMode, Caller, Identity, Proof, Reach, Standing};
use crate::protocol;

/// The name of an upstream as it may be told: one that only private modules come from has a number instead, unless the
/// caller may know of these.
pub fn upstream_name<'a>(sees_private: bool, engine: &Engine, name: &'a str) -> Cow<'a, str> {
    if sees_private {
        return Cow::Borrowed(name);
    }
    let private = engine.private_upstreams();
    match private.iter().position(|known| **known == *name) {
        Some(at) if !engine.serves_public_modules(name) => {
            Cow::Owned(format!("private-{}", at + 1))
        }
        _ => Cow::Borrowed(name),
    }
}

/// Who can come to an address, or to a unix socket if there is none.
pub fn reach(listens: Option<SocketAddr>, public_url: Option<&str>) -> Reach {
    match listens.is_some_and(|address| is_for_this_machine(address, public_url)) {
        true => Reach::ThisMachine,
        false => Reach::Others,
    }
}

/// The other end of the connection that a request comes over.
#[derive(Clone, Copy, Default)]
pub struct ClientEnd<'a> {
    /// None over a unix socket.
    pub address: Option<IpAddr>,
    /// Whom the certificate names that it has shown, if it has.
    pub certificate: Option<&'a Arc<str>>,
}

impl<'a> From<&'a Peer> for ClientEnd<'a> {
    fn from(peer: &'a Peer) -> Self {
        ClientEnd {
            address: peer.address,
            certificate: peer.certificate.as_ref(),
        }
    }
}

impl ClientEnd<'_> {
    fn by_certificate(self) -> Option<Standing> {
        let name = Arc::clone(self.certificate?);
        Some(Standing::Known(Arc::new(Identity::by(Proof::Certificate(
            name,
        )))))
    }
}

/// What whoever made a request has shown: a token goes before a certificate. Waits only for a provider of
/// identities whose keys are not at hand.
pub async fn standing(
    access: &Access,
    rules: &Rules,
    tokens: &Tokens,
    head: RequestHead<'_>,
    client: ClientEnd<'_>,
) -> Standing {
    let is_local =
        access.mode == AccessMode::ThisMachine && head.is_from_this_machine(client.address);
    if is_local || access.is_open() {
        return Standing::Trusted;
    }
    let mut standing = match access.mode {
        AccessMode::Open => Standing::Trusted,
        _ => Standing::default(),
    };
    for value in head.headers.get_all(AUTHORIZATION) {
        let Some(credential) = credential(value.as_bytes()) else {
            continue;
        };
        match look_at(tokens, &rules.issuers, &credential).await {
            Shown::Known(identity) => return Standing::Known(identity),
            _ if standing == Standing::Trusted => {}
            Shown::Undecided(why) => standing = Standing::Undecided { why },
            Shown::Bad(_) if matches!(standing, Standing::Undecided { .. }) => {}
            Shown::Bad(why) => standing = Standing::Stranger { showed: Some(why) },
        }
    }
    client.by_certificate().unwrap_or(standing)
}

/// As [`standing`], of a plain request for a path that has this one `Host`, maybe one `Authorization`, and no other header
/// that could matter. None if it takes more than a look at what is in memory.
pub fn standing_of_plain(
    access: &Access,
    rules: &Rules,
    tokens: &Tokens,
    request: &PlainRequest<'_>,
    client: ClientEnd<'_>,
) -> Option<Standing> {
    let PlainRequest {
        host,
        authorization,
        ..
    } = *request;
    let is_local = access.mode == AccessMode::ThisMachine
        && client
            .address
            .is_some_and(|ip| ip.to_canonical().is_loopback())
        && caller::names_this_machine(host);
    if is_local || access.is_open() {
        return Some(Standing::Trusted);
    }
    match known_by(rules, tokens, authorization, client) {
        Some(known) => Some(known),
        None if authorization.and_then(credential).is_some() => None,
        None if access.mode == AccessMode::Open => Some(Standing::Trusted),
        None => Some(Standing::default()),
    }
}

/// Who somebody has shown to be by a token or a certificate, as far as a look at what is in memory tells.
pub fn known_by(
    rules: &Rules,
    tokens: &Tokens,
    authorization: Option<&[u8]>,
    client: ClientEnd<'_>,
) -> Option<Standing> {
    match authorization.and_then(credential) {
        Some(credential) => known_at_once(tokens, &rules.issuers, &credential).map(Standing::Known),
        None => client.by_certificate(),
    }
}

/// Refuses a request about a module that is guarded, unless its caller may have it.
pub fn admit(
    access: &Access,
    module: &ModulePath,
    private: bool,
    caller: &Caller,
) -> Result<(), EngineError> {
    if access.admits(module.as_str(), private, caller) {
        return Ok(());
    }
    let lacking = match (&caller.standing, access.mode) {
        (Standing::Undecided { why }, _) => {
            return Err(Cause::CallerUndecided(Arc::clone(why)).into());
        }
        (Standing::Known(identity), _) => Lacking::Grant(identity.to_string()),
        (Standing::Stranger { showed: Some(why) }, _) => Lacking::GoodToken(Arc::clone(why)),
        (_, AccessMode::Closed) => Lacking::Identity,
        (_, _) if !private => Lacking::Exempt,
        (_, AccessMode::ThisMachine) => Lacking::TokenOrThisMachine,
        (_, AccessMode::Open | AccessMode::Tokens) => Lacking::Token,
    };
    Err(Cause::Unauthorized {
        module: module.clone(),
        lacking,
    }
    .into())
}

/// Refuses a request about no module, unless its caller may have anything.
pub fn admit_at_all(access: &Access, caller: &Caller) -> Result<(), EngineError> {
    match &caller.standing {
        _ if access.admits_at_all(caller) => Ok(()),
        Standing::Undecided { why } => Err(Cause::CallerUndecided(Arc::clone(why)).into()),
        _ => Err(Cause::UnknownCaller.into()),
    }
}

/// Whether nobody but programs on this machine is expected at an address.
pub fn is_for_this_machine(listens: SocketAddr, public_url: Option<&str>) -> bool {
    let names_this_machine = |url: &str| match Url::parse(url).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(ip))) => ip.is_loopback(),
        Ok(Some(Host::Ipv6(ip))) => ip.to_canonical().is_loopback(),
        Ok(Some(Host::Domain(name))) => caller::names_this_machine(name.as_bytes()),
        _ => false,
    };
    listens.ip().to_canonical().is_loopback() && public_url.is_none_or(names_this_machine)
}

/// A guarded answer may be kept by its reader, but by no cache in between, which would give it to everyone.
pub fn for_its_reader(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    if let Some(value) = headers.get(CACHE_CONTROL) {
        let value = protocol::for_its_reader(value.to_str().unwrap_or_default());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_this_machine_is_open() {
        let open = |listens: &str, public_url: Option<&str>| {
            is_for_this_machine(listens.parse().unwrap(), public_url)
        };
        for listens in [
            "127.0.0.1:3080",
            "127.8.9.1:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(open(listens, None), "{listens}");
            for url in [
                "http://localhost:3080",
                "http://larder.localhost/go",
                "http://127.0.0.1",
                "https://[::1]:3080/go",
            ] {
                assert!(open(listens, Some(url)), "{listens} {url}");
            }
            for url in [
                "https://larder.example.com",
                "http://10.0.0.1:3080",
                "http://localhost.example.com",
                "http://[fd00::1]",
            ] {
                assert!(!open(listens, Some(url)), "{listens} {url}");
            }
        }
        for listens in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1"] {
            assert!(!open(listens, None), "{listens}");
            assert!(!open(listens, Some("http://localhost")), "{listens}");
        }
    }

    #[test]
    fn caches_in_between_keep_nothing_that_is_guarded() {
        for (before, after) in [
            (
                "public, max-age=31536000, immutable",
                "private, max-age=31536000, immutable",
            ),
            ("public, max-age=60", "private, max-age=60"),
            ("no-store", "no-store"),
        ] {
            let mut response = Response::new(Body::empty());
            let value = HeaderValue::from_static(before);
            response.headers_mut().insert(CACHE_CONTROL, value);
            for_its_reader(&mut response);
            assert_eq!(response.headers()[CACHE_CONTROL], after);
        }
    }
}
