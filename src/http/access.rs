//! Who makes a request, and whether they may have private modules. A request without a token, where one is needed, learns
//! nothing but that the path is private.
//!
//! Whatever else tells of private modules (pages, states, names of upstreams) asks here as well: what a caller may be told
//! is decided once, by [`standing`].

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderValue, Response};
use url::{Host, Url};

use super::caller::{self, RequestHead};
use crate::engine::{Cause, Engine, EngineError, Lacking, Tokens};
use crate::gomod::ModulePath;
use crate::policy::{Access, Caller, Standing};
use crate::protocol;

/// The name of an upstream as it may be told to a caller: one that only private modules come from has a number instead.
pub fn upstream_name<'a>(caller: &Caller, engine: &Engine, name: &'a str) -> Cow<'a, str> {
    if caller.sees_private() {
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

/// Everyone if the operator says so. This machine's programs if nobody else is expected: the port is on a loopback
/// address, and clients are not told to come by another one, through a server in front.
pub fn access(open: bool, listens: SocketAddr, public_url: Option<&str>) -> Access {
    match open {
        true => Access::Open,
        false if is_for_this_machine(listens, public_url) => Access::ThisMachine,
        false => Access::Tokens,
    }
}

/// What whoever made a request has shown; `remote` is where its connection comes from.
pub fn standing(
    access: Access,
    tokens: &Tokens,
    head: RequestHead<'_>,
    remote: Option<IpAddr>,
) -> Standing {
    match access {
        Access::Open => return Standing::Trusted,
        Access::ThisMachine if head.is_from_this_machine(remote) => return Standing::Trusted,
        Access::ThisMachine | Access::Tokens => {}
    }
    let mut showed = false;
    for value in head.headers.get_all(AUTHORIZATION) {
        let Some(token) = token(value) else { continue };
        if let Some(name) = tokens.name_of(&token) {
            return Standing::Token(name);
        }
        showed = true;
    }
    Standing::Stranger { showed }
}

/// As [`standing`], of an HTTP/1.1 request for a path that has this one `Host` and no other header that could matter.
pub fn standing_of_plain(access: Access, host: &[u8], remote: IpAddr) -> Standing {
    let trusted = match access {
        Access::Open => true,
        Access::ThisMachine => {
            remote.to_canonical().is_loopback() && caller::names_this_machine(host)
        }
        Access::Tokens => false,
    };
    match trusted {
        true => Standing::Trusted,
        false => Standing::Stranger { showed: false },
    }
}

/// Refuses a request about a module that is guarded, unless its caller may have it.
pub fn admit(
    access: Access,
    guarded: bool,
    module: &ModulePath,
    caller: &Caller,
) -> Result<(), EngineError> {
    if access.admits(guarded, || caller.clone()) {
        return Ok(());
    }
    let showed = caller.standing == Standing::Stranger { showed: true };
    let lacking = match (showed, access) {
        (true, _) => Lacking::KnownToken,
        (false, Access::ThisMachine) => Lacking::TokenOrThisMachine,
        (false, Access::Open | Access::Tokens) => Lacking::Token,
    };
    Err(Cause::Unauthorized {
        module: module.clone(),
        lacking,
    }
    .into())
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

/// What a request sends as its token: `Bearer TOKEN`, or `Basic` with the token as the password, or as the user if
/// there is no password. Empty if it is none of these in a sound form; `None` if nothing was sent.
fn token(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().unwrap_or_default().trim();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = STANDARD.decode(rest).ok();
    let login = login.and_then(|bytes| String::from_utf8(bytes).ok());
    let token = login.and_then(|login| {
        let (user, password) = login.split_once(':')?;
        let token = if password.is_empty() { user } else { password };
        Some(token.to_owned())
    });
    Some(token.unwrap_or_default())
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
    fn ways_to_send_a_token() {
        let sent = |text: &str| token(&HeaderValue::from_str(text).unwrap());
        let basic = |login: &str| sent(&format!("Basic {}", STANDARD.encode(login)));
        let is = |token: &str| Some(token.to_owned());
        assert_eq!(sent("Bearer lrd_x"), is("lrd_x"));
        assert_eq!(sent("bearer  lrd_x "), is("lrd_x"));
        assert_eq!(basic("anyone:lrd_x"), is("lrd_x"));
        assert_eq!(basic(":lrd_x"), is("lrd_x"));
        assert_eq!(basic("lrd_x:"), is("lrd_x"));
        assert_eq!(basic("lrd_x:other"), is("other"));
        assert_eq!(basic("a:b:c"), is("b:c"));
        assert_eq!(sent("bAsIc OmE="), is("a"));
        // Something that cannot be read is no token, but it was sent.
        for broken in ["Basic", "Basic !", "Basic OmE", "Bearer"] {
            assert_eq!(sent(broken), is(""), "{broken}");
        }
        assert_eq!(basic("lrd_x"), is(""));
        for other in ["", "Digest username=x", "lrd_x", "Bearerlrd_x"] {
            assert_eq!(sent(other), None, "{other}");
        }
    }

    async fn tokens() -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().unwrap();
        let clock: crate::clock::SharedClock = std::sync::Arc::new(crate::clock::SystemClock);
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock).unwrap();
        let tokens = Tokens::load(
            data.store.clone(),
            crate::store::TokenFile::new(folder.path()),
            clock,
        )
        .await
        .unwrap();
        (folder, tokens)
    }

    fn module(path: &str) -> ModulePath {
        ModulePath::parse(path).unwrap()
    }

    #[test]
    fn private_modules_are_guarded_and_others_are_not() {
        let policy = crate::policy::Policy::new(
            Vec::new(),
            crate::gomod::Patterns::parse("corp.example.com"),
            crate::gomod::Patterns::parse("example.com/excluded"),
        );
        let guards = |access: Access, path: &str| access.guards(&policy.decide(&module(path)));
        for access in [Access::Tokens, Access::ThisMachine] {
            assert!(guards(access, "corp.example.com/a"));
            assert!(!guards(access, "example.com/excluded"));
            assert!(!guards(access, "example.com/a"));
        }
        assert!(!guards(Access::Open, "corp.example.com/a"));
    }

    #[tokio::test]
    async fn any_known_token_of_a_request_admits_it() {
        let (_folder, tokens) = tokens().await;
        let token = tokens
            .make(&"ci".parse().unwrap(), None)
            .await
            .unwrap()
            .token;
        let private = module("corp.example.com/a");
        let caller = |access: Access, values: &[&str]| {
            let mut request = http::Request::get("/a").header("host", "larder.example.com");
            for value in values {
                request = request.header(AUTHORIZATION, *value);
            }
            let request = request.body(()).unwrap();
            let head = RequestHead::from(&request);
            Caller {
                address: None,
                standing: standing(access, &tokens, head, Some([127, 0, 0, 1].into())),
            }
        };
        let bearer = format!("Bearer {token}");
        let other = format!("Bearer {}", token.replace("lrd_", "lrD_"));
        for access in [Access::Tokens, Access::ThisMachine] {
            for values in [&[bearer.as_str()][..], &["Basic OmE=", &bearer]] {
                let caller = caller(access, values);
                assert_eq!(caller.standing, Standing::Token("ci".into()));
                assert!(admit(access, true, &private, &caller).is_ok());
            }
            for (values, showed, reason) in [
                (&[][..], false, "a token"),
                (&["Digest x"], false, "a token"),
                (
                    &[other.as_str()],
                    true,
                    "the token that was sent is not known",
                ),
                (
                    &["Basic OmE="],
                    true,
                    "the token that was sent is not known",
                ),
            ] {
                let caller = caller(access, values);
                assert_eq!(caller.standing, Standing::Stranger { showed });
                assert!(admit(access, false, &private, &caller).is_ok());
                let error = admit(access, true, &private, &caller).unwrap_err();
                assert_eq!(error.class(), crate::engine::Class::Unauthorized);
                assert!(error.to_string().contains(reason), "{error}");
                assert!(!error.to_string().contains(&token[4..]));
            }
        }
        assert_eq!(
            caller(Access::Open, &["Basic OmE="]).standing,
            Standing::Trusted
        );
    }

    #[tokio::test]
    async fn this_machine_needs_no_token_where_it_is_alone() {
        let (_folder, tokens) = tokens().await;
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for (host, local) in [("localhost:3080", true), ("rebind.example.com:3080", false)] {
            let request = http::Request::get("/a")
                .header("host", host)
                .body(())
                .unwrap();
            let head = RequestHead::from(&request);
            for (access, trusted) in [(Access::ThisMachine, local), (Access::Tokens, false)] {
                let long = standing(access, &tokens, head, Some(loopback));
                let plain = standing_of_plain(access, host.as_bytes(), loopback);
                assert_eq!(long == Standing::Trusted, trusted);
                assert_eq!(long, plain);
            }
        }
        let elsewhere = standing_of_plain(Access::ThisMachine, b"localhost", [192, 0, 2, 1].into());
        assert_eq!(elsewhere, Standing::Stranger { showed: false });
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
