//! Who may have private modules: everyone where the port reaches no further than this machine, or where the operator
//! says so; elsewhere those who have a token. A request without one learns nothing but that the path is private.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Response};
use url::{Host, Url};

use crate::engine::{Class, EngineError, Tokens};
use crate::gomod::ModulePath;
use crate::policy::Policy;

/// Who may have private modules.
pub enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Those who have a token.
    Tokens(Arc<Tokens>),
}

impl Access {
    /// Open if the operator says so, or if nobody but this machine is expected: the port is on a loopback address, and
    /// clients are not told to come by another one, through a server in front.
    pub fn new(
        open: bool,
        listens: SocketAddr,
        public_url: Option<&str>,
        tokens: Arc<Tokens>,
    ) -> Self {
        if open || is_for_this_machine(listens, public_url) {
            Access::Open
        } else {
            Access::Tokens(tokens)
        }
    }

    /// Whether answers about this module are for some only.
    pub fn guards(&self, policy: &Policy, module: &ModulePath) -> bool {
        matches!(self, Access::Tokens(_)) && policy.private_pattern(module).is_some()
    }

    /// Refuses a request about a module that is guarded, unless it carries a token.
    pub fn admit(&self, module: &ModulePath, headers: &HeaderMap) -> Result<(), EngineError> {
        let Access::Tokens(tokens) = self else {
            return Ok(());
        };
        let mut sent = false;
        for value in headers.get_all(AUTHORIZATION) {
            let Some(token) = token(value) else { continue };
            if tokens.knows(&token) {
                return Ok(());
            }
            sent = true;
        }
        Err(refusal(module, sent))
    }
}

fn is_for_this_machine(listens: SocketAddr, public_url: Option<&str>) -> bool {
    let names_this_machine = |url: &str| match Url::parse(url).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(ip))) => ip.is_loopback(),
        Ok(Some(Host::Ipv6(ip))) => ip.to_canonical().is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost" || name.ends_with(".localhost"),
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

fn refusal(module: &ModulePath, sent: bool) -> EngineError {
    let reason = if sent {
        format!(
            "unauthorized: {module} is private here, and the token that was sent is not known to this larder"
        )
    } else {
        format!(
            "unauthorized: {module} is private here, and this larder serves private modules only to those who have a token"
        )
    };
    EngineError::new(Class::Unauthorized, reason)
        .and("Put the token as the password for this host into .netrc (over https), or into GOPROXY=https://anything:TOKEN@host; larder's operator makes one with: larder token new NAME")
        .and("To serve private modules to everyone who reaches the port: [private] open = true")
}

/// A guarded answer may be kept by its reader, but by no cache in between, which would give it to everyone.
pub fn for_its_reader(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let reader = headers
        .get(CACHE_CONTROL)
        .and_then(|value| value.to_str().ok()?.strip_prefix("public"))
        .and_then(|rest| HeaderValue::try_from(format!("private{rest}")).ok());
    if let Some(reader) = reader {
        headers.insert(CACHE_CONTROL, reader);
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
        let tokens = Tokens::load(data.store.clone(), clock).await.unwrap();
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
        assert!(access.guards(&policy, &module("corp.example.com/a")));
        assert!(!access.guards(&policy, &module("example.com/excluded")));
        assert!(!access.guards(&policy, &module("example.com/a")));
        assert!(!Access::Open.guards(&policy, &module("corp.example.com/a")));
    }

    #[tokio::test]
    async fn any_known_token_of_a_request_admits_it() {
        let (_folder, tokens, access, _) = guarded().await;
        let token = tokens.make(&"ci".parse().unwrap()).await.unwrap();
        let private = module("corp.example.com/a");
        let headers = |values: &[&str]| -> HeaderMap {
            let pair = |value: &&str| (AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            values.iter().map(pair).collect()
        };
        let bearer = format!("Bearer {token}");
        let other = format!("Bearer {}", token.replace("lrd_", "lrD_"));
        assert!(access.admit(&private, &headers(&[&bearer])).is_ok());
        let both = headers(&["Basic OmE=", &bearer]);
        assert!(access.admit(&private, &both).is_ok());
        for (values, reason) in [
            (&[][..], "only to those who have a token"),
            (&["Digest x"], "only to those who have a token"),
            (&[other.as_str()], "the token that was sent is not known"),
            (&["Basic OmE="], "the token that was sent is not known"),
        ] {
            let error = access.admit(&private, &headers(values)).unwrap_err();
            assert_eq!(error.class, Class::Unauthorized);
            assert!(error.lines[0].contains(reason), "{:?}", error.lines);
            assert!(!error.to_string().contains(&token[4..]));
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
