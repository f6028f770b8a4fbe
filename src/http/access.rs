//! Who may have private modules: programs on this machine where the port reaches no further, everyone where the operator
//! says so, and elsewhere those who have a token. A request without one learns nothing but that the path is private.
//!
//! Whatever else tells of private modules (pages, states, names of upstreams) asks here as well: what a caller may be told
//! is decided once, by [`Access::caller`].

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderValue, Response};
use url::{Host, Url};

use super::caller::{self, Head};
use crate::engine::{Class, Engine, EngineError, Tokens};
use crate::gomod::ModulePath;
use crate::policy::Policy;
use crate::protocol;

/// Who may have private modules.
#[derive(Clone)]
pub enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Programs on this machine, as far as a request shows that one of them has made it; else those who have a token.
    ThisMachine(Arc<Tokens>),
    /// Those who have a token.
    Tokens(Arc<Tokens>),
}

/// Who asks, as far as that matters for private modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// One who needs no token.
    Trusted,
    /// One who has shown a token that is known.
    TokenHolder,
    /// Anybody else.
    Stranger {
        /// They have shown something that is no token of ours.
        showed: bool,
    },
}

impl Caller {
    /// Whether private modules, and whatever names them or where they come from, may be told to them.
    pub fn sees_private(self) -> bool {
        !matches!(self, Caller::Stranger { .. })
    }

    /// The name of an upstream as it may be told to them: one that only private modules come from has a number instead.
    pub fn upstream_name<'a>(self, engine: &Engine, name: &'a str) -> Cow<'a, str> {
        if self.sees_private() {
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
}

impl Access {
    /// Everyone if the operator says so. This machine's programs if nobody else is expected: the port is on a loopback
    /// address, and clients are not told to come by another one, through a server in front.
    pub fn new(
        open: bool,
        listens: SocketAddr,
        public_url: Option<&str>,
        tokens: Arc<Tokens>,
    ) -> Self {
        match open {
            true => Access::Open,
            false if is_for_this_machine(listens, public_url) => Access::ThisMachine(tokens),
            false => Access::Tokens(tokens),
        }
    }

    /// For the address of administration. Who listens with it on other than a loopback address has chosen who reaches it.
    pub fn for_admin(&self, listens: SocketAddr) -> Self {
        match self {
            Access::Open => Access::Open,
            Access::ThisMachine(tokens) | Access::Tokens(tokens) => {
                match listens.ip().to_canonical().is_loopback() {
                    true => Access::ThisMachine(Arc::clone(tokens)),
                    false => Access::Open,
                }
            }
        }
    }

    /// Whether answers about this module are for some only.
    pub fn guards(&self, policy: &Policy, module: &ModulePath) -> bool {
        !matches!(self, Access::Open) && policy.private_pattern(module).is_some()
    }

    /// Who has made a request; `remote` is where its connection comes from.
    pub fn caller(&self, head: Head<'_>, remote: Option<IpAddr>) -> Caller {
        let tokens = match self {
            Access::Open => return Caller::Trusted,
            Access::ThisMachine(_) if head.is_from_this_machine(remote) => return Caller::Trusted,
            Access::ThisMachine(tokens) | Access::Tokens(tokens) => tokens,
        };
        let mut showed = false;
        for value in head.headers.get_all(AUTHORIZATION) {
            let Some(token) = token(value) else { continue };
            if tokens.knows(&token) {
                return Caller::TokenHolder;
            }
            showed = true;
        }
        Caller::Stranger { showed }
    }

    /// As `caller(…).sees_private()`, of an HTTP/1.1 request for a path that has this one `Host` and no other header that
    /// could matter.
    pub fn admits_plain(&self, host: &[u8], remote: IpAddr) -> bool {
        match self {
            Access::Open => true,
            Access::ThisMachine(_) => {
                remote.to_canonical().is_loopback() && caller::names_this_machine(host)
            }
            Access::Tokens(_) => false,
        }
    }

    /// Refuses a request about a module that is guarded, unless its caller may have it.
    pub fn admit(&self, module: &ModulePath, caller: Caller) -> Result<(), EngineError> {
        match caller {
            Caller::Trusted | Caller::TokenHolder => Ok(()),
            Caller::Stranger { showed } => {
                let here = matches!(self, Access::ThisMachine(_));
                Err(refusal(module, showed, here))
            }
        }
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

fn refusal(module: &ModulePath, showed: bool, here: bool) -> EngineError {
    let reason = match (showed, here) {
        (true, _) => "the token that was sent is not known to this larder",
        (false, false) => "this larder serves private modules only to those who have a token",
        (false, true) => {
            "without a token it is served only to programs on this machine that ask for localhost, with no other server in between"
        }
    };
    EngineError::new(
        Class::Unauthorized,
        format!("unauthorized: {module} is private here, and {reason}"),
    )
    .and("Put the token as the password for this host into .netrc (over https), or into GOPROXY=https://anything:TOKEN@host; larder's operator makes one with: larder token new NAME")
    .and("To serve private modules to everyone who reaches the port: [private] open = true")
    .without_asking()
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

    async fn guarded() -> (tempfile::TempDir, Arc<Tokens>, Access, Policy) {
        let folder = tempfile::tempdir().unwrap();
        let clock: crate::clock::SharedClock = Arc::new(crate::clock::SystemClock);
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock).unwrap();
        let tokens = Tokens::load(
            data.store.clone(),
            crate::store::TokenFile::new(folder.path()),
            clock,
        )
        .await
        .unwrap();
        let tokens = Arc::new(tokens);
        let access = Access::Tokens(Arc::clone(&tokens));
        let policy = Policy::new(
            Vec::new(),
            crate::gomod::Patterns::parse("corp.example.com"),
            crate::gomod::Patterns::parse("example.com/excluded"),
        );
        (folder, tokens, access, policy)
    }

    fn module(path: &str) -> ModulePath {
        ModulePath::parse(path).unwrap()
    }

    #[tokio::test]
    async fn private_modules_are_guarded_and_others_are_not() {
        let (_folder, _, access, policy) = guarded().await;
        let Access::Tokens(tokens) = &access else {
            panic!("tokens are wanted")
        };
        let here = Access::ThisMachine(Arc::clone(tokens));
        for access in [&access, &here] {
            assert!(access.guards(&policy, &module("corp.example.com/a")));
            assert!(!access.guards(&policy, &module("example.com/excluded")));
            assert!(!access.guards(&policy, &module("example.com/a")));
        }
        assert!(!Access::Open.guards(&policy, &module("corp.example.com/a")));
    }

    #[tokio::test]
    async fn any_known_token_of_a_request_admits_it() {
        let (_folder, tokens, access, _) = guarded().await;
        let token = tokens.make(&"ci".parse().unwrap()).await.unwrap();
        let private = module("corp.example.com/a");
        let caller = |access: &Access, values: &[&str]| {
            let mut request = http::Request::get("/a").header("host", "larder.example.com");
            for value in values {
                request = request.header(AUTHORIZATION, *value);
            }
            let request = request.body(()).unwrap();
            access.caller(Head::from(&request), Some([127, 0, 0, 1].into()))
        };
        let here = Access::ThisMachine(tokens);
        let bearer = format!("Bearer {token}");
        let other = format!("Bearer {}", token.replace("lrd_", "lrD_"));
        for access in [&access, &here] {
            assert_eq!(caller(access, &[&bearer]), Caller::TokenHolder);
            assert_eq!(
                caller(access, &["Basic OmE=", &bearer]),
                Caller::TokenHolder
            );
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
                assert_eq!(caller, Caller::Stranger { showed });
                let error = access.admit(&private, caller).unwrap_err();
                assert_eq!(error.class, Class::Unauthorized);
                assert!(error.lines[0].contains(reason), "{:?}", error.lines);
                assert!(!error.to_string().contains(&token[4..]));
            }
        }
        assert_eq!(caller(&Access::Open, &["Basic OmE="]), Caller::Trusted);
    }

    #[tokio::test]
    async fn this_machine_needs_no_token_where_it_is_alone() {
        let (_folder, tokens, _, _) = guarded().await;
        let here = Access::ThisMachine(Arc::clone(&tokens));
        let there = Access::Tokens(tokens);
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for (host, local) in [("localhost:3080", true), ("rebind.example.com:3080", false)] {
            let request = http::Request::get("/a")
                .header("host", host)
                .body(())
                .unwrap();
            let head = Head::from(&request);
            assert_eq!(here.caller(head, Some(loopback)).sees_private(), local);
            assert_eq!(here.admits_plain(host.as_bytes(), loopback), local);
            assert!(!there.caller(head, Some(loopback)).sees_private());
            assert!(!there.admits_plain(host.as_bytes(), loopback));
        }
        assert!(!here.admits_plain(b"localhost", [192, 0, 2, 1].into()));
        for access in [&here, &there] {
            let admin = |listens: &str| access.for_admin(listens.parse().unwrap());
            assert!(matches!(admin("[::1]:1"), Access::ThisMachine(_)));
            assert!(matches!(admin("10.0.0.1:1"), Access::Open));
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
