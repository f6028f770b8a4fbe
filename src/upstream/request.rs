//! One request to an upstream, up to the head of its answer, and what a failure of it means.

use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, RETRY_AFTER, VIA,
};
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::with_causes;
use super::error::Failure;
use super::fetch::{GUESS_PATIENCE, Want};
use super::{Upstream, local, text};

/// Of an error's body, what is read.
const ERROR_BODY: usize = 4096;
/// An error's body is waited for at most this long.
const ERROR_TIME: Duration = Duration::from_secs(2);

impl Upstream {
    /// Asks and waits for the head of the answer, which must be a success, or 304 if `extra` made it conditional.
    pub(super) async fn request(
        &self,
        want: &Want<'_>,
        extra: HeaderMap,
        until: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let url = format!(
            "{}/{}",
            self.base.as_str().trim_end_matches('/'),
            crate::protocol::upstream_path(want.path)
        );
        let conditional =
            extra.contains_key(IF_NONE_MATCH) || extra.contains_key(IF_MODIFIED_SINCE);
        let mut request = self.client.get(url).headers(extra);
        // Who asked us comes first: a server further on may find itself there.
        for hop in want.errand.via.iter().chain([&self.via]) {
            request = request.header(VIA, hop);
        }
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let patience = want.first_byte.unwrap_or(self.settings.first_byte_timeout);
        let head_by = until.min(Instant::now() + patience);
        let urgency = &want.errand.urgency;
        let wait = async {
            let mut answer = std::pin::pin!(request.send());
            // A look-up has its own time: the database may have to look for the version itself.
            if urgency.is_guess() && want.first_byte.is_none() {
                let guess_by = head_by.min(Instant::now() + GUESS_PATIENCE);
                match timeout_at(guess_by, answer.as_mut()).await {
                    Err(late) if urgency.is_guess() => return Err(late),
                    // Somebody has come to wait for it.
                    Err(_) => {}
                    answered => return answered,
                }
            }
            timeout_at(head_by, answer).await
        };
        let response = match wait.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify(&error)),
            Err(_) => return Err(Failure::Timeout("no answer")),
        };
        let status = response.status();
        if matches!(status.as_u16(), 200 | 206)
            || (conditional && status == StatusCode::NOT_MODIFIED)
        {
            self.breaker.answers();
            return Ok(response);
        }
        Err(self.not_success(status, response).await)
    }

    async fn not_success(&self, status: StatusCode, response: reqwest::Response) -> Failure {
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| self.retry_after(value.to_str().ok()?));
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = timeout(
            self.settings.idle_timeout.min(ERROR_TIME),
            beginning(response),
        )
        .await;
        let text = text::words(kind.as_deref(), &body.unwrap_or_default());
        match status.as_u16() {
            404 | 410 => Failure::Absent { status, text },
            403 => Failure::Refused { text },
            401 | 407 => Failure::Login(status),
            429 => Failure::Limited { status, after },
            503 if after.is_some() => Failure::Limited { status, after },
            508 => Failure::Loop,
            _ => Failure::Status { status, text },
        }
    }

    /// Seconds or an HTTP date (RFC 9110 10.2.3).
    fn retry_after(&self, value: &str) -> Option<Duration> {
        if let Ok(seconds) = value.trim().parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(since.saturating_sub(Duration::from_millis(self.clock.now().0)))
    }

    /// Whether it answers at all: the status of its base URL, whatever that is.
    pub async fn probe(&self, time: Duration) -> Result<u16, Failure> {
        if self.base.scheme() == "file" {
            return local::path(&self.base, "")
                .and_then(local::open)
                .map(|_| 200);
        }
        let mut request = self.client.get(self.base.clone());
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        match timeout(time, request.send()).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(Failure::Timeout("no answer")),
        }
    }
}

/// The first bytes of an error's body.
async fn beginning(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ERROR_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY);
    body
}

/// What a client error means.
pub(super) fn classify(error: &reqwest::Error) -> Failure {
    let text = with_causes(&error.without_url_ref());
    if error.is_redirect() {
        return Failure::Redirect(text);
    }
    if error.is_timeout() {
        return if error.is_connect() {
            Failure::Connect("timed out".into())
        } else {
            Failure::Timeout("no answer")
        };
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<rustls::Error>().is_some() {
            return Failure::Tls(text);
        }
        cause = inner.source();
    }
    if text.contains("certificate") {
        return Failure::Tls(text);
    }
    if error.is_connect() {
        Failure::Connect(text)
    } else {
        Failure::Broken(text)
    }
}

/// The error without the URL in its text: it may carry what must not be shown.
trait WithoutUrl {
    fn without_url_ref(&self) -> Causes;
}

/// The texts of an error's causes, the outermost (which names the URL) left out where there are others.
#[derive(Debug)]
struct Causes(String);

impl std::fmt::Display for Causes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Causes {}

impl WithoutUrl for reqwest::Error {
    fn without_url_ref(&self) -> Causes {
        match std::error::Error::source(self) {
            Some(source) => Causes(with_causes(source)),
            None if self.is_timeout() => Causes("timed out".into()),
            None => Causes("the request failed".into()),
        }
    }
}
