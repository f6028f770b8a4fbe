//! Requests to checksum databases that are served here (protocol.md 4.3 and 4.6).

use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::app_state::AppState;
use super::headers::{CACHE_STATUS, HIT, MISS, MISS_STORED};
use super::peer::Peer;
use super::response_meta::ResponseMeta;
use super::{access, audited, error, paced, via};
use crate::engine::{Cause, EngineError, SumdbTarget};
use crate::gomod::{ModulePath, Rev};
use crate::protocol::{Lifetime, cache_control};
use crate::sumdb::TilePath;
use crate::telemetry::metrics::{Endpoint, Outcome};

/// As the databases themselves name it.
const NOTE: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// How long a tree head may be taken for the latest one.
const HEAD_FRESH: HeaderValue = HeaderValue::from_static("public, max-age=5");

/// Answers for `sumdb/<name>/…`; `path` is what follows `sumdb/`, percent-decoded.
pub async fn answer(
    state: &AppState,
    request: &Parts,
    peer: &Peer,
    path: &str,
    cached_only: bool,
) -> Response<Body> {
    let databases = state.engine.checksum_databases().iter();
    let named = databases.filter_map(|database| {
        let rest = path.strip_prefix(database.name())?.strip_prefix('/')?;
        Some((database, rest))
    });
    // Names may contain slashes, so one may begin with another.
    let Some((database, rest)) = named.min_by_key(|(_, rest)| rest.len()) else {
        return refused(Cause::NoSuchDatabase.into());
    };
    let target = match target(rest) {
        Ok(target) => target,
        Err(BadPath::Syntax(text)) => {
            let text = format!("bad request: {text}");
            return error::refusal(StatusCode::BAD_REQUEST, "bad_request", &text);
        }
        Err(BadPath::Nothing) => {
            let text =
                "a checksum database has supported, latest, lookup/MODULE@VERSION and tile/8/…";
            return refused(Cause::NoSuchPath(text.to_owned()).into());
        }
    };
    let module = match &target {
        SumdbTarget::Lookup(module, _) => Some(module),
        SumdbTarget::Supported | SumdbTarget::Latest | SumdbTarget::Tile(_) => None,
    };
    let context = state.context(request, peer, module, cached_only).await;
    let access = context.rules.access.at(peer.reach);
    let access = access.as_ref();
    let admitted = match module {
        _ if !access.guards(&context.decision) => Ok(()),
        Some(module) => access::admit(
            access,
            module,
            context.decision.is_private(),
            &context.caller,
        ),
        None => access::admit_at_all(access, &context.caller),
    };
    if let Err(error) = admitted {
        audited::refused(state, request, &context.caller, module, &error);
        return refused(error);
    }
    if via::leads_to(&state.via, &request.headers) {
        return via::loop_detected();
    }
    if let Err(error) = state.engine.pace_request(&context).await {
        return refused(error);
    }
    match state.engine.relay(database, &target, &context).await {
        Err(error) => refused(error),
        Ok(found) => {
            let length = found.body.len();
            let body = match request.method {
                Method::HEAD => Body::empty(),
                _ => Body::from(found.body),
            };
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            let (kind, fresh) = match target {
                SumdbTarget::Tile(_) => (BYTES, immutable()),
                SumdbTarget::Lookup(..) => (NOTE, immutable()),
                SumdbTarget::Latest => (NOTE, HEAD_FRESH),
                SumdbTarget::Supported => (NOTE, HeaderValue::from_static("no-store")),
            };
            headers.insert(CONTENT_TYPE, kind);
            headers.insert(CACHE_CONTROL, fresh);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            let (cache, outcome) = match found.kept {
                true => (HIT.clone(), Outcome::Hit),
                false if state.engine.store().keeps() => (MISS_STORED.clone(), Outcome::Miss),
                false => (MISS.clone(), Outcome::Miss),
            };
            headers.insert(CACHE_STATUS, cache);
            response.extensions_mut().insert(ResponseMeta {
                endpoint: Endpoint::SumDb,
                outcome,
                upstream: None,
            });
            paced::response(&state.engine, &context, response)
        }
    }
}

fn immutable() -> HeaderValue {
    HeaderValue::from_static(cache_control(StatusCode::OK, Lifetime::Immutable))
}

fn refused(error: EngineError) -> Response<Body> {
    error::response(&error, Endpoint::SumDb)
}

/// Why a path asks for nothing that can exist.
#[derive(Debug, PartialEq, Eq)]
enum BadPath {
    Syntax(String),
    Nothing,
}

/// Reads what follows a database's name.
fn target(path: &str) -> Result<SumdbTarget, BadPath> {
    match path {
        "supported" => return Ok(SumdbTarget::Supported),
        "latest" => return Ok(SumdbTarget::Latest),
        _ => {}
    }
    if path.starts_with("tile/") {
        return TilePath::parse(path)
            .map(SumdbTarget::Tile)
            .ok_or_else(|| BadPath::Syntax("malformed tile path; tiles have the height 8".into()));
    }
    let lookup = path.strip_prefix("lookup/").ok_or(BadPath::Nothing)?;
    let syntax = |text: String| BadPath::Syntax(format!("malformed look-up: {text}"));
    let (module, version) = lookup
        .split_once('@')
        .ok_or_else(|| syntax("it is not MODULE@VERSION".into()))?;
    let module = ModulePath::unescape(module).map_err(|error| syntax(error.to_string()))?;
    match Rev::unescape(version) {
        Ok(Rev::Version(version)) => Ok(SumdbTarget::Lookup(module, version)),
        Ok(Rev::Name(name)) => Err(syntax(format!(
            "{:?} is not a canonical version",
            name.as_str()
        ))),
        Err(error) => Err(syntax(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c68_c71_paths_below_a_database() {
        let Ok(SumdbTarget::Lookup(module, version)) = target("lookup/rsc.io/!quote@v1.5.2-!r!c")
        else {
            panic!("a look-up");
        };
        assert_eq!(
            (module.as_str(), version.as_str()),
            ("rsc.io/Quote", "v1.5.2-RC")
        );
        assert_eq!(target("latest"), Ok(SumdbTarget::Latest));
        assert!(matches!(
            target("tile/8/data/000"),
            Ok(SumdbTarget::Tile(_))
        ));
        for bad in [
            "lookup/rsc.io/quote",
            "lookup/rsc.io/Quote@v1.5.2",
            "lookup/rsc.io/quote@v1.5",
            "lookup/rsc.io/quote@master",
            "lookup/rsc.io/quote@v1.5.2/go.mod",
            "lookup/@v1.0.0",
            "lookup/a@b@v1.0.0",
            "tile/8/0/0",
            "tile/",
        ] {
            assert!(matches!(target(bad), Err(BadPath::Syntax(_))), "{bad}");
        }
        for nothing in ["", "lookup", "tile", "supported/", "latest/x", "other"] {
            assert_eq!(target(nothing), Err(BadPath::Nothing), "{nothing}");
        }
    }
}
