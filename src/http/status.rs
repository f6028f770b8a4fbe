//! What operators and their tools ask: health, readiness, version, metrics. None of it asks anything outside the
//! process.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::{Response, StatusCode};
use serde_json::json;

use super::access::upstream_name;
use super::app_state::AppState;
use super::connection;
use super::context::Audience;
use super::response_meta::ResponseMeta;
use crate::clock::Timestamp;
use crate::store::{Health, Room};
use crate::telemetry::metrics::{Endpoint, Outcome};
use crate::upstream::Upstream;

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(ResponseMeta {
        endpoint: Endpoint::Status,
        outcome: Outcome::Other,
        upstream: None,
    });
    response
}

pub(super) fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    answer(status, "application/json", format!("{value:#}\n"))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The process serves.
pub async fn health() -> Response<Body> {
    answer(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        "ok\n".to_owned(),
    )
}

/// Every part's state; 503 only if the store cannot answer.
pub async fn ready(
    State(state): State<Arc<AppState>>,
    Extension(audience): Extension<Audience>,
) -> Response<Body> {
    let health = state.engine.store().catalog().health();
    let disk = state.disk.status();
    let upstreams: Vec<_> = state.engine.known_chain().map_or_else(Vec::new, |chain| {
        let state = |upstream: &Upstream| state_of(&state, &audience, upstream);
        chain.upstreams().map(state).collect()
    });
    let value = json!({
        "ready": health != Health::Unavailable,
        "store": {
            "index": match health {
                Health::Unavailable => "failed",
                Health::InMemory => "in memory: the disk has no room to open it",
                Health::Ready => "ok",
            },
        },
        "disk": {
            "state": match (&disk.failing, disk.room) {
                (Some(_), _) => "failing",
                (None, Room::Low) => "low",
                (None, Room::Enough) => "ok",
            },
            "keeping": disk.room == Room::Enough,
            "free_bytes": disk.free,
            "reserve_bytes": disk.reserve,
            "error": disk.failing,
        },
        "chain": *state.chain.borrow(),
        "upstreams": upstreams,
        "checksum_databases": databases(&state, &audience),
        "unsettled_files": state.engine.metrics().unsettled.get(),
        "flights": state.engine.flights(),
        "slow_fetches": state.engine.slow_fetches(),
    });
    json_answer(
        if health != Health::Unavailable {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &value,
    )
}

/// The state of an upstream, or of a way to a checksum database.
fn state_of(state: &AppState, audience: &Audience, upstream: &Upstream) -> serde_json::Value {
    let standing = upstream.standing();
    let name = upstream_name(audience.sees_private, &state.engine, upstream.label());
    // Why it failed may name it.
    let is_shown = *name == **upstream.label();
    let seconds = |at: crate::clock::Timestamp| at.0 / 1000;
    let error = standing.last_error.as_ref().filter(|_| is_shown);
    json!({
        "name": name,
        "state": standing.word(),
        "breaker": standing.breaker.as_str(),
        "paused_until": standing.paused_until.map(seconds),
        "last_success": standing.last_success.map(seconds),
        "last_error": error.map(|(at, text)| json!({ "at": seconds(*at), "text": &**text })),
        "requests_under_way": upstream.in_flight(),
    })
}

/// The state of the checksum databases.
fn databases(state: &AppState, audience: &Audience) -> Vec<serde_json::Value> {
    let one = |database: &Arc<crate::sumdb::Database>| {
        let status = database.status();
        let alarm = |alarm: &crate::sumdb::Alarm| {
            json!({
                "kind": alarm.kind.as_str(),
                "acknowledged": alarm.acknowledged,
                "since": alarm.since.0 / 1000,
                "since_at": alarm.since.rfc3339(),
                "text": alarm.text,
            })
        };
        // The one that matters most: not acknowledged, a fork before a forged tile.
        let worst = status.alarms.iter().min_by_key(|alarm| {
            (
                alarm.acknowledged,
                alarm.kind != crate::sumdb::AlarmKind::Fork,
            )
        });
        let routes = state.upstreams.to_database(&status.name);
        let routes: Vec<_> = routes
            .iter()
            .map(|route| state_of(state, audience, route))
            .collect();
        json!({
            "name": status.name,
            "size": status.size,
            // Seconds since 1970, and the same for people.
            "last_contact": status.heard.map(|heard| heard.0 / 1000),
            "ways": routes,
            "last_contact_at": status.heard.map(Timestamp::rfc3339),
            "alarm": worst.map(alarm),
        })
    };
    state.engine.checksum_databases().iter().map(one).collect()
}

/// Which program this is.
pub async fn version() -> Response<Body> {
    let value = json!({ "name": "larder", "version": env!("CARGO_PKG_VERSION") });
    json_answer(StatusCode::OK, &value)
}

/// Metrics, in the form that is asked for. Labels hold no module path; the names of upstreams of private routes are for
/// those who may have private modules.
pub async fn metrics(
    State(state): State<Arc<AppState>>,
    Extension(audience): Extension<Audience>,
    headers: HeaderMap,
) -> Response<Body> {
    let gauges = &state.metrics.process;
    let usage = state.engine.store().local().usage();
    let dropped = state.log.dropped();
    gauges
        .log_dropped
        .inc_by(dropped.saturating_sub(gauges.log_dropped.get()));
    let lost = &state.metrics.audit.lost;
    lost.inc_by(state.audit.lost().saturating_sub(lost.get()));
    gauges.disk_free.set(signed(usage.free.unwrap_or(0)));
    gauges.disk_low.set(i64::from(usage.room == Room::Low));
    gauges.temporary.set(signed(usage.temporary));
    gauges.hot.set(signed(
        state.engine.memory_weight() + state.responses.weight(),
    ));
    state.engine.tidy_prefetches();
    gauges
        .descriptors
        .set(signed(connection::open_descriptors()));
    Upstream::update_metrics(&state.upstreams.all());
    let (kind, mut text) = match wants_openmetrics(&headers) {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            state.metrics.encode(),
        ),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            state.metrics.encode_plain(),
        ),
    };
    for name in state.engine.private_upstreams() {
        let shown = upstream_name(audience.sees_private, &state.engine, &name);
        if *shown != *name {
            let label = |name: &str| format!("upstream=\"{name}\"");
            text = text.replace(&label(&name), &label(&shown));
        }
    }
    let mut response = answer(StatusCode::OK, kind, text);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether a scraper prefers OpenMetrics to plain text, or says nothing at all of what it reads.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return true;
    }
    let (mut open, mut plain) = (0.0, 0.0);
    for part in lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
    {
        let mut fields = part.split(';').map(str::trim);
        let kind = fields.next().unwrap_or("").to_ascii_lowercase();
        let weight = fields.find_map(|field| field.strip_prefix("q="));
        let weight: f32 = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0));
        match kind.as_str() {
            "application/openmetrics-text" => open = weight.max(open),
            "text/plain" | "text/*" => plain = weight.max(plain),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_metrics_is_what_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, open) in [
            (None, true),
            (Some("*/*"), false),
            (Some("text/plain"), false),
            (Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), false),
            (Some("text/html,text/*;q=0.5"), false),
            (Some("application/openmetrics-text"), true),
            (Some("Application/OpenMetrics-Text; version=1.0.0"), true),
            (Some("application/openmetrics-text;q=0"), false),
            (
                Some("application/openmetrics-text;q=0.5, text/plain"),
                false,
            ),
            (Some(prometheus), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            }
            assert_eq!(wants_openmetrics(&headers), open, "{accept:?}");
        }
    }
}
