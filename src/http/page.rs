//! The page for people: what this is, the lines to copy, and how it stands.

use std::fmt::Write;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
};
use http::{HeaderMap, Response, StatusCode};
use url::{Host, Url};

use super::access;
use super::address;
use super::app_state::AppState;
use super::context::Audience;
use super::peer::Peer;
use super::response_meta::ResponseMeta;
use crate::breaker::{BreakerReport, BreakerState};
use crate::clock::Timestamp;
use crate::engine::Rules;
use crate::policy::{AccessMode, Policy};
use crate::store::{Health, Room};
use crate::telemetry::metrics::{Endpoint, Outcome};

const TEMPLATE: &str = include_str!("page.html");
/// Only what is in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers `/`.
pub async fn page(
    State(state): State<Arc<AppState>>,
    Extension(audience): Extension<Audience>,
    Extension(rules): Extension<Arc<Rules>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response<Body> {
    let address = match &state.public_url {
        Some(url) => address::for_clients(url, &state.base_path),
        None => address::seen_by(&headers, peer.is_tls, &state.base_path),
    };
    let html = TEMPLATE
        .replace("{{address}}", &escape(&address))
        .replace("{{private}}", &private(&rules.policy, &audience, &address))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{state}}", &state_of(&state, &rules, &peer, &audience));
    let mut response = Response::new(Body::from(html));
    let out = response.headers_mut();
    out.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(NOTE);
    response
}

const NOTE: ResponseMeta = ResponseMeta {
    endpoint: Endpoint::Other,
    outcome: Outcome::Other,
    upstream: None,
};

/// Answers `/favicon.ico`, which browsers ask for by themselves: the page brings its own.
pub async fn icon() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let day = HeaderValue::from_static("public, max-age=86400");
    response.headers_mut().insert(CACHE_CONTROL, day);
    response.extensions_mut().insert(NOTE);
    response
}

/// What clients of private modules set beside the address. Patterns can be whole paths, so they are for those alone who
/// may have the modules.
fn private(policy: &Policy, audience: &Audience, address: &str) -> String {
    if !policy.has_private() {
        return String::new();
    }
    let mut html = "  <h2>Private modules</h2>\n".to_owned();
    if !audience.is_trusted {
        html.push_str(&tokens(address));
    }
    let (patterns, more) = match audience.sees_private {
        true => (policy.private_text(), ""),
        false => (
            "PATTERNS".to_owned(),
            " (the operator of this server knows the patterns)",
        ),
    };
    // Writing to a String does not fail.
    let _ = write!(
        html,
        "  <p>The public checksum database does not know them, so tell <code>go</code> not to ask it{more}. \
         Do not use <code>GOPRIVATE</code> for that: it would also send <code>go</code> past this server.</p>\n  \
         <pre>go env -w GONOSUMDB={}</pre>\n",
        escape(&patterns)
    );
    html
}

/// How a token is sent.
fn tokens(address: &str) -> String {
    let url = Url::parse(address).ok();
    let machine = match url.as_ref().and_then(Url::host) {
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(host) => host.to_string(),
        None => "HOST".to_owned(),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
    let mut html = format!(
        "  <p>They need a token, which the operator of this server makes (<code>larder token new NAME</code>). \
         Put it into <code>~/.netrc</code> (<code>%USERPROFILE%\\_netrc</code> on Windows):</p>\n  \
         <pre>machine {} login x password TOKEN</pre>\n  \
         <p class=\"note\">Or into the address: <code>GOPROXY=https://x:TOKEN@{}</code>.</p>\n",
        escape(&machine),
        escape(rest)
    );
    if scheme == "http" {
        html.push_str(
            "  <p class=\"note\"><code>go</code> sends tokens over https only, so this server has to be \
             reached through one that ends TLS.</p>\n",
        );
    }
    html
}

/// How a row of the table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Light {
    Good,
    Fair,
    Bad,
    Plain,
}

impl From<bool> for Light {
    fn from(good: bool) -> Self {
        match good {
            true => Light::Good,
            false => Light::Bad,
        }
    }
}

/// How an upstream is, in a sentence.
fn standing(standing: &BreakerReport) -> (String, Light) {
    let time = |at: Timestamp| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0);
        httpdate::fmt_http_date(at)
    };
    let (mut text, light) = match standing.breaker {
        _ if let Some(until) = standing.paused_until => {
            let text = format!("paused: it asks to be left alone until {}", time(until));
            (text, Light::Bad)
        }
        BreakerState::Open => (
            "failing, left alone for a few seconds; what is kept is served".to_owned(),
            Light::Bad,
        ),
        BreakerState::HalfOpen => ("failed lately, being tried again".to_owned(), Light::Fair),
        BreakerState::Closed if standing.failing => {
            ("in use, but the last fetch failed".to_owned(), Light::Fair)
        }
        BreakerState::Closed if standing.last_success.is_none() => {
            ("not asked yet".to_owned(), Light::Plain)
        }
        BreakerState::Closed => ("in use".to_owned(), Light::Good),
    };
    // Writing to a String does not fail.
    if let Some(at) = standing.last_success {
        let _ = write!(text, "; last answer {}", time(at));
    }
    if let Some((at, error)) = &standing.last_error {
        let _ = write!(text, "; last error {}: {error}", time(*at));
    }
    (text, light)
}

/// The table of states.
fn state_of(state: &AppState, rules: &Rules, peer: &Peer, audience: &Audience) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, value: &str, light: Light| {
        let class = match light {
            Light::Good => "good",
            Light::Fair => "fair",
            Light::Bad => "bad",
            Light::Plain => "",
        };
        // Writing to a String does not fail.
        let _ = write!(
            rows,
            "<tr><th>{}</th><td class=\"{class}\">{}</td></tr>",
            escape(name),
            escape(value)
        );
    };
    let health = state.engine.store().catalog().health();
    let index = health != Health::Unavailable;
    row(
        "Store",
        if index {
            "ready"
        } else {
            "the index failed; see the log"
        },
        index.into(),
    );
    if state.separate_admin {
        // The rest is for whoever reaches the address of administration.
        return rows;
    }
    let files = state.engine.metrics().files.get();
    let bytes = u64::try_from(state.engine.metrics().bytes.get()).unwrap_or(0);
    row(
        "Kept",
        &format!("{files} files, {}", size(bytes)),
        Light::Plain,
    );
    let disk = state.disk.status();
    let room = disk.room == Room::Enough;
    let free = disk.free.map_or_else(|| "unknown".to_owned(), size);
    row(
        "Disk",
        &format!(
            "{free} free{}",
            match (room, disk.failing.is_some(), health == Health::InMemory) {
                (true, ..) => "",
                (false, _, true) => ": too little to open the index, nothing more is kept",
                (false, true, false) => ": files cannot be kept, see the log",
                (false, false, false) => ": below the reserve, nothing more is kept",
            }
        ),
        room.into(),
    );
    match state.engine.known_chain() {
        None => row(
            "Upstream",
            "still reading what the Go toolchain is set to",
            Light::Plain,
        ),
        Some(chain) => {
            row(
                "Chain",
                state.chain.borrow().as_deref().unwrap_or_default(),
                Light::Plain,
            );
            for upstream in chain.upstreams() {
                let name =
                    access::upstream_name(audience.sees_private, &state.engine, upstream.label());
                let mut now = upstream.standing();
                if *name != **upstream.label() {
                    // Why it failed may name it.
                    now.last_error = None;
                }
                let (text, light) = standing(&now);
                row(&name, &text, light);
            }
        }
    }
    if rules.policy.has_private() {
        // The patterns may be whole paths.
        let patterns = match (audience.sees_private, rules.access.at(peer.reach).mode) {
            (true, _) => rules.policy.private_text(),
            (false, AccessMode::ThisMachine) => {
                "for programs on this machine, and for those who have a token".to_owned()
            }
            (false, _) => "for those who have a token".to_owned(),
        };
        row("Private", &patterns, Light::Plain);
    }
    let databases = state.engine.checksum_databases();
    if databases.is_empty() {
        let text = "none is asked; modules are held to the checksum first seen";
        row("Checksum database", text, Light::Plain);
    }
    for database in databases {
        let status = database.status();
        let alarm = status.alarms.iter().find(|alarm| !alarm.acknowledged);
        let (mut text, mut light) = match (alarm, status.size) {
            (Some(alarm), _) => (
                format!("ALARM ({}): see `larder sumdb status`", alarm.kind.as_str()),
                Light::Bad,
            ),
            (None, Some(size)) => (format!("verified up to record {size}"), Light::Good),
            (None, None) => ("not asked yet".to_owned(), Light::Plain),
        };
        // Whoever is a way to it and never asked, or asked and well, need not be named.
        for way in state.upstreams.to_database(&status.name) {
            let now = way.standing();
            if now.paused.is_some() || now.failing || now.breaker != BreakerState::Closed {
                let name = access::upstream_name(audience.sees_private, &state.engine, way.label());
                // Writing to a String does not fail.
                let _ = write!(text, "; {name}: {}", now.word());
                light = match light {
                    Light::Bad => Light::Bad,
                    _ => Light::Fair,
                };
            }
        }
        row(&status.name, &text, light);
    }
    let unsettled = state.engine.metrics().unsettled.get();
    if unsettled > 0 {
        let text = format!("{unsettled} files, until their checksum database can be asked");
        row("Unverified", &text, Light::Bad);
    }
    rows
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_escapes() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_234_567), "1.2 MB");
        assert_eq!(
            escape("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
    }
}
