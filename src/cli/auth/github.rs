//! Identity tokens of GitHub Actions: a job asks an address of its own for one, for an audience.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::error::AuthError;
use super::protocol::is_loopback;
use super::token::{LONGEST, token};
use crate::config::{Environment, Secret};
use crate::{app, upstream};

/// Where to ask, and with which token.
const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// How often it is tried: the service is known to fail now and then.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; twice that before the third.
const PAUSE: Duration = Duration::from_millis(500);
/// For an attempt.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether this is a job that may ask.
pub fn is_here(env: &Environment) -> bool {
    let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
    set(URL) && set(TOKEN)
}

#[derive(Deserialize)]
struct Issued {
    value: String,
}

/// A new token for this audience.
pub async fn ask(env: &Environment, audience: &str) -> Result<Secret, AuthError> {
    let variable = |name: &str| env.get(name).map(String::as_str).unwrap_or_default();
    let mut url = Url::parse(variable(URL))
        .map_err(|_| AuthError::GitHub(format!("{URL} is no URL"), "its host".to_owned()))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let fault = |why: String| AuthError::GitHub(why, host.clone());
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(fault(format!("{URL} is not https")));
    }
    let bearer = token(TOKEN, variable(TOKEN))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let client = app::plain_client(env, LIMIT).map_err(fault)?;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * attempt).await;
        }
        let request = client
            .get(url.clone())
            .bearer_auth(bearer.expose())
            .header("Accept", "application/json");
        match answer(request).await {
            Ok(text) => {
                let issued: Issued = serde_json::from_str(&text)
                    .map_err(|_| fault("its answer is not {\"value\": …}".to_owned()))?;
                return token("GitHub's answer", &issued.value);
            }
            Err(Failed::ForGood(why)) => return Err(fault(why)),
            Err(Failed::ForNow(why)) => last = why,
        }
    }
    Err(fault(last))
}

enum Failed {
    ForNow(String),
    ForGood(String),
}

async fn answer(request: reqwest::RequestBuilder) -> Result<String, Failed> {
    let broken = |error: reqwest::Error| {
        // Without the URL: it says more than is of use.
        Failed::ForNow(upstream::with_causes(&error.without_url()))
    };
    let mut response = request.send().await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        let why = format!("it answered {status}");
        return Err(match status.as_u16() {
            408 | 429 | 500.. => Failed::ForNow(why),
            _ => Failed::ForGood(why),
        });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > LONGEST {
            return Err(Failed::ForGood("its answer is too long".to_owned()));
        }
    }
    String::from_utf8(body).map_err(|_| Failed::ForGood("its answer is no text".to_owned()))
}
