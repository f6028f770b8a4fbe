//! Tokens of a GitHub App: what its installation may read, for an hour at a time.
//!
//! The App's key signs a statement of who we are, GitHub gives a token for that, and the token is the password of
//! [`USER`] for git over https. Neither key nor token is ever shown.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use reqwest::{Client, Response};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use url::{Host, Url};

use crate::clock::{SharedClock, Timestamp};
use crate::flights::{FlightOutcome, Flights, outcome};
use crate::gomod::time::CommitTime;
use crate::kit::FetchContext;

/// The user that goes with a token as the password.
pub const USER: &str = "x-access-token";

/// Of one exchange, all of it.
const TIME: Duration = Duration::from_secs(30);
/// Longest answer.
const MAX_ANSWER: usize = 64 << 10;
/// Longest key file.
const MAX_KEY: usize = 64 << 10;
/// Longest token: GitHub's have some hundred characters at the most.
const MAX_TOKEN: usize = 4 << 10;
/// A token is not used any more so long before it ends. Seconds.
const SPARE: u64 = 5 * 60;
/// Whatever GitHub says, no token is kept for longer. Seconds.
const LONGEST: u64 = 60 * 60;
/// GitHub's clock may be behind ours. Seconds.
const BEHIND: u64 = 60;
/// How long a statement holds; GitHub allows ten minutes. Seconds.
const HOLDS: u64 = 540;
/// Characters of GitHub's own words that are passed on.
const WIDTH: usize = 200;

/// Why an App cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppError {
    /// Digits, or `Iv1.…`.
    #[error("the App's ID must be letters, digits, dots, dashes and underscores")]
    BadId,
    /// A number.
    #[error("the installation's ID must be a number")]
    BadInstallation,
    /// `https://api.github.com` or the like.
    #[error("the address of the API must be https://host[/path], or http on this very machine")]
    BadApi,
    /// Not one of the two forms.
    #[error(
        "the key is not a PEM file with an RSA private key (\"RSA PRIVATE KEY\" or \"PRIVATE KEY\")"
    )]
    NoKey,
    /// Nobody is there to say the password.
    #[error("the key is encrypted, which is not supported")]
    EncryptedKey,
    /// It has the form but is none, or too short.
    #[error("the key is not an RSA private key of 2048 to 8192 bits")]
    BadKey,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppTokenError {
    /// The App, its key or its installation is not what it should be.
    #[error("GitHub refuses the App or its installation (status {status}): {words}")]
    Refused {
        /// 401, 403, 404 or 422.
        status: u16,
        /// What it said, cleaned.
        words: String,
    },
    /// No answer, or none for now.
    #[error("GitHub gives no token now: {0}")]
    Unreachable(String),
    /// An answer that makes no sense.
    #[error("GitHub's answer to the request for a token cannot be used: {0}")]
    Nonsense(&'static str),
    /// Signing failed, which it never should.
    #[error("the statement for GitHub could not be signed")]
    Signing,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Its text, which is a secret.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// One installation of an App.
pub struct GithubApp {
    id: String,
    installation: String,
    key: RsaKeyPair,
    /// Where tokens are asked for.
    endpoint: Url,
    client: Client,
    clock: SharedClock,
    kept: Mutex<Option<Kept>>,
    asking: Flights<(), FlightOutcome<Result<Token, AppTokenError>>>,
}

struct Kept {
    token: Token,
    since: Timestamp,
    until: Timestamp,
}

impl fmt::Debug for GithubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GithubApp({}, installation {} at {})",
            self.id, self.installation, self.endpoint
        )
    }
}

/// The statement of who we are.
#[derive(Serialize)]
struct Claims<'a> {
    iat: u64,
    exp: u64,
    iss: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_at: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

impl GithubApp {
    /// The App `id`, installed as `installation`; `key` is its PEM file, `api` is `https://api.github.com` or that of an
    /// enterprise's own server.
    pub fn new(
        id: &str,
        installation: &str,
        key: &str,
        api: &str,
        client: Client,
        clock: SharedClock,
    ) -> Result<Arc<Self>, AppError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        if id.is_empty() || !id.bytes().all(plain) {
            return Err(AppError::BadId);
        }
        if installation.is_empty() || !installation.bytes().all(|c| c.is_ascii_digit()) {
            return Err(AppError::BadInstallation);
        }
        let endpoint = endpoint(api, installation).ok_or(AppError::BadApi)?;
        Ok(Arc::new(GithubApp {
            id: id.to_owned(),
            installation: installation.to_owned(),
            key: private_key(key)?,
            endpoint,
            client,
            clock,
            kept: Mutex::default(),
            asking: Flights::new(1, Gauge::default()),
        }))
    }

    /// A token that holds for some minutes at least. Those who ask at the same time wait for one answer, be it good or
    /// bad.
    pub async fn token(self: &Arc<Self>) -> Result<Token, AppTokenError> {
        if let Some(token) = self.kept() {
            return Ok(token);
        }
        let flight = self.asking.join(&(), &FetchContext::default(), |place| {
            let (sender, receiver) = watch::channel(None);
            let app = Arc::clone(self);
            let work = async move {
                let token = match app.kept() {
                    Some(token) => Ok(token),
                    None => app.ask().await,
                };
                place.leave();
                sender.send_replace(Some(token));
            };
            (receiver, work)
        });
        // There is one key, and so there is room for its flight.
        let token = match flight {
            Some(flight) => outcome(flight).await,
            None => None,
        };
        token.unwrap_or_else(|| {
            Err(AppTokenError::Unreachable(
                "the request was given up".into(),
            ))
        })
    }

    /// A token is not accepted any more. Says whether it was the kept one, so that another one can be had.
    pub fn forget(&self, secret: &str) -> bool {
        let mut kept = self.kept.lock();
        kept.take_if(|kept| kept.token.secret() == secret).is_some()
    }

    fn kept(&self) -> Option<Token> {
        let now = self.clock.now();
        let kept = self.kept.lock();
        let kept = kept.as_ref()?;
        // Clocks step back: then nobody knows how old it is.
        (kept.since <= now && now < kept.until).then(|| kept.token.clone())
    }

    async fn ask(&self) -> Result<Token, AppTokenError> {
        let since = self.clock.now();
        let mut statement =
            HeaderValue::try_from(format!("Bearer {}", self.statement(since.0 / 1000)?))
                .map_err(|_| AppTokenError::Signing)?;
        statement.set_sensitive(true);
        let response = self
            .client
            .post(self.endpoint.clone())
            .header(AUTHORIZATION, statement)
            .header(ACCEPT, "application/vnd.github+json")
            // Without one GitHub refuses.
            .header(USER_AGENT, "larder")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .timeout(TIME)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = small(response).await?;
        match status {
            StatusCode::OK | StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::UNPROCESSABLE_ENTITY => {
                let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
                return Err(AppTokenError::Refused {
                    status: status.as_u16(),
                    words: clean(&refusal.message),
                });
            }
            other => return Err(AppTokenError::Unreachable(format!("status {other}"))),
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| AppTokenError::Nonsense("it has no token or no expires_at"))?;
        let sound = !answer.token.is_empty()
            && answer.token.len() <= MAX_TOKEN
            && answer.token.bytes().all(|c| c.is_ascii_graphic());
        if !sound {
            return Err(AppTokenError::Nonsense("what it calls a token is none"));
        }
        let expires = rfc3339(&answer.expires_at)
            .ok_or(AppTokenError::Nonsense("its expires_at is not a time"))?;
        let expires = u64::try_from(expires).unwrap_or_default();
        let until = expires
            .saturating_sub(SPARE)
            .saturating_mul(1000)
            .min(since.0.saturating_add(LONGEST * 1000));
        let token = Token(answer.token.into());
        *self.kept.lock() = Some(Kept {
            token: token.clone(),
            since,
            until: Timestamp(until),
        });
        Ok(token)
    }

    /// Who we are, as a JWT signed by RS256; `now` in seconds since 1970.
    fn statement(&self, now: u64) -> Result<String, AppTokenError> {
        let claims = Claims {
            iat: now.saturating_sub(BEHIND),
            exp: now.saturating_add(HOLDS),
            iss: &self.id,
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| AppTokenError::Signing)?;
        let header = BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let text = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| AppTokenError::Signing)?;
        Ok(format!(
            "{text}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

fn endpoint(api: &str, installation: &str) -> Option<Url> {
    let base = Url::parse(api).ok()?;
    let here = match base.host()? {
        Host::Ipv4(ip) => IpAddr::V4(ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::V6(ip).is_loopback(),
        Host::Domain(_) => false,
    };
    let scheme = base.scheme() == "https" || (base.scheme() == "http" && here);
    let bare = base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !scheme || !bare {
        return None;
    }
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!(
        "{base}/app/installations/{installation}/access_tokens"
    ))
    .ok()
}

/// Reads a PEM file in one of the two forms that RSA keys come in.
fn private_key(pem: &str) -> Result<RsaKeyPair, AppError> {
    if pem.len() > MAX_KEY {
        return Err(AppError::NoKey);
    }
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(AppError::EncryptedKey);
    }
    let section = |label: &str| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (text, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let text: String = text.split_ascii_whitespace().collect();
        BASE64_STANDARD.decode(text).ok()
    };
    let key = if let Some(der) = section("RSA PRIVATE KEY") {
        RsaKeyPair::from_der(&der)
    } else if let Some(der) = section("PRIVATE KEY") {
        RsaKeyPair::from_pkcs8(&der)
    } else {
        return Err(AppError::NoKey);
    };
    key.map_err(|_| AppError::BadKey)
}

/// The body of an answer, which is small.
async fn small(mut response: Response) -> Result<Vec<u8>, AppTokenError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(AppTokenError::Nonsense("it is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What went wrong, with its causes.
fn unreachable(error: reqwest::Error) -> AppTokenError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    AppTokenError::Unreachable(clean(&text))
}

/// Words of others, on one line of a readable length.
fn clean(words: &str) -> String {
    let visible = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    };
    words.chars().filter(visible).take(WIDTH).collect()
}

/// `2006-01-02T15:04:05`, perhaps parts of a second, then `Z` or `±hh:mm`: seconds since 1970.
fn rfc3339(text: &str) -> Option<i64> {
    let (time, rest) = text.split_at_checked(19)?;
    let form = time.bytes().zip(*b"0000-00-00T00:00:00");
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    };
    if !form.into_iter().all(fits) {
        return None;
    }
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let time = CommitTime::from_digits(&digits)?.unix();
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(parts) => {
            let zone = parts.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == parts.len() {
                return None;
            }
            zone
        }
    };
    if zone == "Z" {
        return Some(time);
    }
    let (sign, zone) = zone.split_at_checked(1)?;
    let (hours, minutes) = zone.split_once(':')?;
    let number = |text: &str, limit: i64| {
        let plain = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
        let number: i64 = plain.then(|| text.parse().ok()).flatten()?;
        (number < limit).then_some(number)
    };
    let ahead = (number(hours, 24)? * 60 + number(minutes, 60)?) * 60;
    match sign {
        "+" => Some(time - ahead),
        "-" => Some(time + ahead),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
