//! What operators and their tools ask: health, readiness, version, metrics. None of it asks anything outside the
//! process.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use super::observe::Note;
use super::{Caller, Face};
use crate::store::Room;
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
    response.extensions_mut().insert(Note {
        endpoint: Endpoint::Status,
        outcome: Outcome::Other,
        upstream: None,
    });
    response
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
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
    State(face): State<Arc<Face>>,
    Extension(caller): Extension<Caller>,
) -> Response<Body> {
    let index = face.engine.store().index().healthy();
    let upstreams: Vec<_> = face
        .engine
        .known_sources()
        .map_or_else(Vec::new, |sources| {
            let state = |upstream: &Arc<Upstream>| state(&face, caller, upstream);
            sources.upstreams().map(state).collect()
        });
    let value = json!({
        "ready": index,
        "store": { "index": if index { "ok" } else { "failed" } },
        "disk": {
            "state": if face.disk.room() == Room::Enough { "ok" } else { "low" },
            "free_bytes": face.engine.store().blobs().free(),
        },
        "chain": *face.chain.borrow(),
        "upstreams": upstreams,
        "checksum_databases": databases(&face, caller),
        "unsettled_files": face.engine.metrics().unsettled.get(),
        "flights": face.engine.flights(),
        "slow_fetches": face.engine.slow_fetches(),
    });
    json_answer(
        if index {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &value,
    )
}

/// The state of an upstream, or of a way to a checksum database.
fn state(face: &Face, caller: Caller, upstream: &Upstream) -> serde_json::Value {
    let standing = upstream.standing();
    let name = caller.upstream_name(&face.engine, upstream.label());
    // Why it failed may name it.
    let is_shown = *name == **upstream.label();
    let seconds = |at: crate::clock::Millis| at.0 / 1000;
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
fn databases(face: &Face, caller: Caller) -> Vec<serde_json::Value> {
    let one = |database: &Arc<crate::sumdb::Database>| {
        let status = database.status();
        let alarm = |alarm: &crate::sumdb::Alarm| {
            json!({
                "kind": alarm.kind.as_str(),
                "acknowledged": alarm.acknowledged,
                "since": alarm.since.0 / 1000,
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
        let ways = face.upstreams.to_database(&status.name);
        let ways: Vec<_> = ways.iter().map(|way| state(face, caller, way)).collect();
        json!({
            "name": status.name,
            "size": status.size,
            "last_contact": status.heard.map(|heard| heard.0 / 1000),
            "ways": ways,
            "alarm": worst.map(alarm),
        })
    };
    face.engine.voucher().databases().iter().map(one).collect()
}

/// Which program this is.
pub async fn version() -> Response<Body> {
    let value = json!({ "name": "larder", "version": env!("CARGO_PKG_VERSION") });
    json_answer(StatusCode::OK, &value)
}

/// Metrics in the OpenMetrics text format. Labels hold no module path; the names of upstreams of private routes are for
/// those who may have private modules.
pub async fn metrics(
    State(face): State<Arc<Face>>,
    Extension(caller): Extension<Caller>,
) -> Response<Body> {
    let gauges = &face.metrics.process;
    let blobs = face.engine.store().blobs();
    let dropped = face.log.dropped();
    gauges
        .log_dropped
        .inc_by(dropped.saturating_sub(gauges.log_dropped.get()));
    gauges.disk_free.set(signed(blobs.free().unwrap_or(0)));
    gauges.disk_low.set(i64::from(blobs.room() == Room::Low));
    gauges.temporary.set(signed(blobs.temporary()));
    gauges
        .hot
        .set(signed(face.engine.hot_weight() + face.ready.weight()));
    face.engine.tidy_guesses();
    gauges.descriptors.set(signed(super::open_descriptors()));
    Upstream::update_metrics(&face.upstreams.all());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = face.metrics.encode();
    for name in face.engine.private_upstreams() {
        let shown = caller.upstream_name(&face.engine, &name);
        if *shown != *name {
            let label = |name: &str| format!("upstream=\"{name}\"");
            text = text.replace(&label(&name), &label(&shown));
        }
    }
    answer(StatusCode::OK, kind, text)
}
