//! Requests of the GOPROXY protocol.

use std::sync::Arc;

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use super::app_state::AppState;
use super::conditional::{self, Part};
use super::headers::{self, AnswerHeaders, HIT, MISS, MISS_STORED, TEXT};
use super::peer::Peer;
use super::response_meta::ResponseMeta;
use super::responses::{CachedResponse, Restriction};
use super::{access, audited, body, error, paced, sumdb, via};
use crate::engine::{
    Answer, CacheStatus, Cause, Content, EngineError, RequestContext, RulesGeneration,
};
use crate::protocol::{self, Key, Kind, Lifetime, Meta, Target, cache_control};
use crate::store::Verified;
use crate::telemetry::metrics::{Endpoint, Outcome};

/// Path prefix that says: only what is kept.
const CACHED_ONLY: &str = "/cached-only";

/// Whether a path is one of the protocol's for sure, so that it needs no routing.
pub fn is_theirs(state: &AppState, path: &str) -> bool {
    let below = || {
        let path = path.strip_prefix(state.base_path.as_str())?;
        let path = path.strip_prefix(CACHED_ONLY).unwrap_or(path);
        path.strip_prefix("/sumdb/")
    };
    path.contains("/@") || below().is_some()
}

/// Answers whatever is not one of the fixed routes.
pub async fn answer(state: &AppState, request: &Parts, peer: &Peer) -> Response<Body> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    if !request
        .uri
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "https"))
    {
        return error::refusal(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "bad request: only http and https targets are served",
        );
    }
    let path = request.uri.path();
    let Some(path) = path
        .strip_prefix(state.base_path.as_str())
        .filter(|rest| rest.starts_with('/'))
    else {
        return not_found(&format!("modules are served below {}/", state.base_path));
    };
    let (path, cached_only) = match path.strip_prefix(CACHED_ONLY) {
        Some(rest) if rest.starts_with('/') => (rest, true),
        _ => (path, false),
    };
    let key = match protocol::parse(path) {
        Ok(Target::Module(key)) => key,
        Ok(Target::SumDb(path)) => {
            return sumdb::answer(state, request, peer, &path, cached_only).await;
        }
        Err(bad) => return not_found(&bad.to_string()),
    };
    // Before anything is looked up: whether it exists is not for everyone either.
    let context = state
        .context(request, peer, Some(key.module()), cached_only)
        .await;
    let access = context.rules.access.at(peer.reach);
    let access = access.as_ref();
    let guard = access.guards(&context.decision).then(|| Restriction {
        module: key.module().clone(),
        private: context.decision.is_private(),
    });
    if let Some(Restriction { module, private }) = &guard
        && let Err(error) = access::admit(access, module, *private, &context.caller)
    {
        audited::refused(state, request, &context.caller, Some(module), &error);
        return error::response(&error, endpoint(&key));
    }
    let is_guarded = guard.is_some();
    let question = Question {
        endpoint: endpoint(&key),
        guard,
        rules: context.rules.generation(),
        key,
    };
    if let Err(error) = state.engine.pace_request(&context).await {
        return error::response(&error, question.endpoint);
    }
    let response = module(state, request, peer, &question, &context).await;
    let mut response = paced::response(&state.engine, &context, response);
    if is_guarded {
        access::for_its_reader(&mut response);
    }
    response
}

/// Answers a request about a module from whoever may make it.
async fn module(
    state: &AppState,
    request: &Parts,
    peer: &Peer,
    question: &Question,
    context: &RequestContext,
) -> Response<Body> {
    if via::leads_to(&state.via, &request.headers) {
        return via::loop_detected();
    }
    let answer = match state.engine.ask(&question.key, context).await {
        Ok(answer) => answer,
        Err(error) => return error::response(&error, question.endpoint),
    };
    let answer = match needs_whole(request, &answer) {
        Some(flight) => match state.engine.landed(&flight).await {
            Ok(answer) => answer,
            Err(error) => return error::response(&error, question.endpoint),
        },
        None => answer,
    };
    respond(state, request, peer, question, answer)
}

/// What was asked of the engine.
struct Question {
    key: Key,
    endpoint: Endpoint,
    /// The answer is for some only.
    guard: Option<Restriction>,
    /// By which rules that was decided.
    rules: RulesGeneration,
}

/// A growing zip cannot be answered piecemeal to a request that is about the whole: HEAD, a part, a condition, or an
/// HTTP/1.0 client when the size is not known.
fn needs_whole(request: &Parts, answer: &Answer) -> Option<Arc<crate::engine::ZipFlight>> {
    let Content::Growing(flight) = &answer.content else {
        return None;
    };
    let headers = &request.headers;
    let about_the_whole = request.method == Method::HEAD
        || conditional::wants_part(headers)
        || conditional::is_conditional(headers);
    let no_chunks = request.version == Version::HTTP_10 && flight.follow().borrow().total.is_none();
    (about_the_whole || no_chunks).then(|| Arc::clone(flight))
}

fn endpoint(key: &Key) -> Endpoint {
    match key {
        Key::File(file) => match file.kind {
            Kind::Info => Endpoint::Info,
            Kind::Mod => Endpoint::Mod,
            Kind::Zip => Endpoint::Zip,
        },
        Key::Meta(meta) => match meta.meta {
            Meta::List => Endpoint::List,
            Meta::Latest => Endpoint::Latest,
            Meta::Query(_) => Endpoint::Query,
        },
    }
}

fn respond(
    state: &AppState,
    request: &Parts,
    peer: &Peer,
    question: &Question,
    answer: Answer,
) -> Response<Body> {
    let (key, endpoint) = (&question.key, question.endpoint);
    let verified = verified(question, &answer);
    let lifetime = match key {
        Key::File(_) if verified == Some(Verified::None) => Lifetime::Unverified,
        Key::File(_) if !matches!(answer.cache, CacheStatus::Stale(_)) => Lifetime::Immutable,
        Key::File(_) | Key::Meta(_) => Lifetime::Changing,
    };
    let is_zip = matches!(key, Key::File(file) if file.kind == Kind::Zip);
    let (cache_status, outcome) = cache_status(answer.cache);
    let changed = !conditional::not_modified(&request.headers, answer.etag.as_ref());
    let headers = AnswerHeaders {
        endpoint,
        cache_control: cache_control(StatusCode::OK, lifetime),
        cache_status: &cache_status,
        etag: answer.etag.as_ref(),
        verified,
        age: answer
            .fetched
            .map(|fetched| state.responses.age(fetched).as_secs()),
        has_content: changed,
        // Depends on the part that is wanted.
        length: None,
    };
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers.map();
    response.extensions_mut().insert(ResponseMeta {
        endpoint,
        outcome,
        upstream: answer.from.clone(),
    });
    if !changed {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    match fill(state, request, peer, is_zip, &answer, &mut response) {
        Ok(()) => {
            if let Some(cached) = cacheable(question, &answer, response.status()) {
                state.responses.put(request.uri.path(), cached);
            }
            response
        }
        Err(fault) => {
            tracing::error!(resource = %key, error = %fault, "a kept file could not be read");
            error::response(&EngineError::ours("larder's store failed"), endpoint)
        }
    }
}

/// What vouches for an answer, where anything could: nothing does for an `.info`, which no checksum covers.
fn verified(question: &Question, answer: &Answer) -> Option<Verified> {
    answer
        .verified
        .filter(|_| question.endpoint != Endpoint::Info)
}

/// The response to a plain hit, to be cached for the next one, if it may be given again.
fn cacheable(question: &Question, answer: &Answer, status: StatusCode) -> Option<CachedResponse> {
    let whole_hit = answer.cache == CacheStatus::Hit && status == StatusCode::OK;
    let (Content::Bytes(body), true) = (&answer.content, whole_hit) else {
        return None;
    };
    Some(CachedResponse {
        endpoint: question.endpoint,
        etag: answer.etag.clone(),
        verified: verified(question, answer),
        guard: question.guard.clone(),
        fetched: answer.fetched,
        validity: answer
            .validity
            .filter(|validity| validity.rules() == question.rules)?,
        length: HeaderValue::from(body.len()),
        body: body.clone(),
        file: answer.file.clone(),
    })
}

/// Puts the content, or the part of it that is wanted, into the answer.
fn fill(
    state: &AppState,
    request: &Parts,
    peer: &Peer,
    is_zip: bool,
    answer: &Answer,
    response: &mut Response<Body>,
) -> std::io::Result<()> {
    let files = &peer.files;
    let size = match &answer.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File(file) => file.size(),
        Content::Growing(flight) => {
            if let Some(total) = flight.follow().borrow().total {
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(total));
            }
            *response.body_mut() = body::growing(files, flight, &state.engine.metrics().followers);
            return Ok(());
        }
    };
    let part = if is_zip {
        conditional::part(&request.headers, answer.etag.as_ref(), size)
    } else {
        Part::Whole
    };
    let range = match part {
        Part::Whole => 0..size,
        Part::Some(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            // Digits and punctuation are always a valid header value.
            response.headers_mut().extend(
                HeaderValue::try_from(text)
                    .ok()
                    .map(|value| (CONTENT_RANGE, value)),
            );
            range
        }
        Part::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, TEXT);
            headers.insert(
                CACHE_CONTROL,
                HeaderValue::from_static(cache_control(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    Lifetime::Changing,
                )),
            );
            headers.extend(
                HeaderValue::try_from(format!("bytes */{size}"))
                    .ok()
                    .map(|value| (CONTENT_RANGE, value)),
            );
            *response.body_mut() = Body::from(format!(
                "range not satisfiable: the file has {size} bytes\n"
            ));
            return Ok(());
        }
    };
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if request.method == Method::HEAD {
        return Ok(());
    }
    *response.body_mut() = match &answer.content {
        Content::Bytes(bytes) => {
            // In memory, so within usize.
            Body::from(bytes.slice(range.start as usize..range.end as usize))
        }
        Content::File(file) => Body::new(files.body(file, range)?),
        Content::Growing(_) => Body::empty(),
    };
    Ok(())
}

fn cache_status(cache: CacheStatus) -> (HeaderValue, Outcome) {
    let fixed = HeaderValue::from_static;
    match cache {
        CacheStatus::Hit => (HIT.clone(), Outcome::Hit),
        CacheStatus::Miss { stored: true } => (MISS_STORED.clone(), Outcome::Miss),
        CacheStatus::Miss { stored: false } => (MISS.clone(), Outcome::Miss),
        CacheStatus::Refreshed { stored } => {
            let text = match stored {
                true => "larder; fwd=stale; stored",
                false => "larder; fwd=stale",
            };
            (fixed(text), Outcome::Refreshed)
        }
        CacheStatus::Forced { stored } => {
            let text = match stored {
                true => "larder; fwd=request; stored",
                false => "larder; fwd=request",
            };
            (fixed(text), Outcome::Refreshed)
        }
        CacheStatus::Stale(over) => (headers::stale(over), Outcome::Stale),
    }
}

/// A path that names nothing; nobody is asked.
fn not_found(reason: &str) -> Response<Body> {
    error::response(
        &Cause::NoSuchPath(reason.to_owned()).into(),
        Endpoint::Other,
    )
}

/// Any method but GET and HEAD.
pub fn method_not_allowed() -> Response<Body> {
    let mut response = error::refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "method not allowed: only GET and HEAD are served",
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Validities;
    use bytes::Bytes;

    #[test]
    fn what_is_stale_is_past_its_time() {
        for (over, text) in [(0, "ttl=-1"), (1, "ttl=-1"), (120, "ttl=-120")] {
            let (status, _) = cache_status(CacheStatus::Stale(over));
            let expected = format!("larder; hit; {text}; detail=stale");
            assert_eq!(status, expected.as_str());
        }
    }

    #[test]
    fn what_is_not_for_everyone_is_cached_as_such() {
        let Ok(Target::Module(key)) = protocol::parse("/corp.example.com/a/@v/v1.0.0.mod") else {
            panic!("a path of a module");
        };
        let mut question = Question {
            endpoint: endpoint(&key),
            key,
            guard: None,
            rules: RulesGeneration::FIRST,
        };
        let answer = Answer {
            content: Content::Bytes(Bytes::from_static(b"module corp.example.com/a\n")),
            etag: None,
            verified: Some(Verified::FirstSeen),
            fetched: None,
            cache: CacheStatus::Hit,
            from: None,
            validity: Some(Validities::default().of(&question.key, RulesGeneration::FIRST)),
            file: None,
        };
        let open = cacheable(&question, &answer, StatusCode::OK).unwrap();
        assert_eq!(open.guard, None);
        assert!(cacheable(&question, &answer, StatusCode::NOT_MODIFIED).is_none());
        let guard = Restriction {
            module: question.key.module().clone(),
            private: true,
        };
        question.guard = Some(guard.clone());
        let guarded = cacheable(&question, &answer, StatusCode::OK).unwrap();
        assert_eq!(guarded.guard, Some(guard));
        // Nobody has vouched for it yet.
        let unverified = Answer {
            verified: Some(Verified::None),
            validity: None,
            ..answer
        };
        assert!(cacheable(&question, &unverified, StatusCode::OK).is_none());
    }
}
