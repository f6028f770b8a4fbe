//! `POST /-/reload`, where administration has an address of its own.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::header::{ALLOW, HeaderMap, HeaderValue, ORIGIN};
use http::{Response, StatusCode};
use serde_json::json;

use super::app_state::AppState;
use super::context::Audience;
use super::response_meta::RequestId;
use super::status::json_answer;
use super::{error, modules};
use crate::kit::reload::ReloadError;
use crate::policy::Caller;
use crate::telemetry::audit::AuditAction;

/// Reads the configuration again: 200 if it is in force, 422 with every fault if it is wrong.
pub async fn reload(
    State(state): State<Arc<AppState>>,
    Extension(audience): Extension<Audience>,
    Extension(caller): Extension<Caller>,
    Extension(RequestId(id)): Extension<RequestId>,
    headers: HeaderMap,
) -> Response<Body> {
    let who = caller.name();
    let address = caller.address.map(|address| address.to_string());
    let tell = |error: Option<&str>| {
        state.audit.acted(&AuditAction {
            operation: "config/reload",
            who: who.as_ref().or(address.as_ref()).map_or("", String::as_str),
            address: caller.address,
            request_id: Some(&*id),
            input: None,
            error,
        });
    };
    if !audience.sees_private {
        let text = "forbidden: on a loopback address the configuration is reloaded for programs on this machine, or with a token";
        tell(Some(text));
        return error::refusal(StatusCode::FORBIDDEN, "refused", text);
    }
    // A page of anybody's can have a browser post; programs send neither.
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        let text = "forbidden: the configuration is not reloaded for web pages";
        tell(Some(text));
        return error::refusal(StatusCode::FORBIDDEN, "refused", text);
    }
    let reloaded = state.reload.reload().await;
    let error = reloaded.as_ref().err().map(ToString::to_string);
    tell(error.as_deref());
    match reloaded {
        Ok(done) => json_answer(StatusCode::OK, &json!(done)),
        Err(error @ ReloadError::Wrong(_)) => {
            let text = format!("not reloaded, and all is as before:\n{error}");
            error::refusal(StatusCode::UNPROCESSABLE_ENTITY, "configuration", &text)
        }
        Err(ReloadError::Failed(why)) => {
            error::refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &why)
        }
    }
}

/// The same at the address for everybody, for those whom a rule makes administrators. Nobody else learns that there is
/// such a thing.
pub async fn by_admin(
    state: State<Arc<AppState>>,
    audience: Extension<Audience>,
    caller: Extension<Caller>,
    id: Extension<RequestId>,
    headers: HeaderMap,
) -> Response<Body> {
    match audience.is_admin {
        true => reload(state, audience, caller, id, headers).await,
        false => modules::method_not_allowed(),
    }
}

/// For all other methods.
pub async fn post_only() -> Response<Body> {
    let text = "method not allowed: the configuration is reloaded by POST";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = error::refusal(status, "method_not_allowed", text);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    response
}
