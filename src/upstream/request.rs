//! One request to an upstream, up to the head of its answer, and what a failure of it means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, RETRY_AFTER, VIA,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Generation, with_causes};
use super::error::Failure;
use super::fetch::PREFETCH_PATIENCE;
use super::server::Upstream;
use super::upstream_request::UpstreamRequest;
use super::{local, text};

/// Of an error's body, what is read.
const ERROR_BODY: usize = 4096;
/// An error's body is waited for at most this long.
const ERROR_TIME: Duration = Duration::from_secs(2);

impl Upstream {
    /// Asks and waits for the head of the answer, which must be a success, or 304 if `extra` made it conditional.
    pub(super) async fn request(
        &self,
        request: &UpstreamRequest<'_>,
        extra: HeaderMap,
        until: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let url = format!(
            "{}/{}",
            self.base.as_str().trim_end_matches('/'),
            crate::protocol::upstream_path(request.path)
        );
        let conditional =
            extra.contains_key(IF_NONE_MATCH) || extra.contains_key(IF_MODIFIED_SINCE);
        let ask = |login: Option<HeaderValue>| self.ask(request, &url, extra.clone(), login, until);
        let login = self.authorization().await;
        let mut response = ask(login.clone()).await?;
        if matches!(response.status().as_u16(), 401 | 407)
            && let Some(renewed) = self.renewed(login.as_ref()).await
        {
            tracing::info!(upstream = %self.label, "the credentials were refused, and have been renewed since");
            response = ask(Some(renewed)).await?;
        }
        let status = response.status();
        if matches!(status.as_u16(), 200 | 206)
            || (conditional && status == StatusCode::NOT_MODIFIED)
        {
            self.breaker.answers();
            return Ok(response);
        }
        Err(self.not_success(status, response).await)
    }

    /// Waits for the head of an answer, whatever it is.
    async fn ask(
        &self,
        request: &UpstreamRequest<'_>,
        url: &str,
        extra: HeaderMap,
        login: Option<HeaderValue>,
        until: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let (generation, client) = self.pool.client();
        let mut http = client.get(url).headers(extra);
        // Who asked us comes first: a server further on may find itself there.
        for hop in request.context.via.iter().chain([&self.via]) {
            http = http.header(VIA, hop);
        }
        if let Some(value) = login {
            http = http.header(AUTHORIZATION, value);
        }
        let patience = request
            .first_byte
            .unwrap_or(self.settings.first_byte_timeout);
        let head_by = until.min(Instant::now() + patience);
        let priority = &request.context.priority;
        let wait = async {
            let mut answer = std::pin::pin!(http.send());
            // A look-up has its own time: the database may have to look for the version itself.
            if priority.is_prefetch() && request.first_byte.is_none() {
                let prefetch_by = head_by.min(Instant::now() + PREFETCH_PATIENCE);
                match timeout_at(prefetch_by, answer.as_mut()).await {
                    Err(late) if priority.is_prefetch() => return Err(late),
                    // Somebody has come to wait for it.
                    Err(_) => {}
                    answered => return answered,
                }
            }
            timeout_at(head_by, answer).await
        };
        let failure = match wait.await {
            Ok(Ok(mut response)) => {
                response.extensions_mut().insert(generation);
                return Ok(response);
            }
            Ok(Err(error)) => classify(&error),
            // A prefetch was not given the time in which an answer might have come.
            Err(_) if priority.is_prefetch() => return Err(Failure::Timeout("no answer")),
            Err(_) => Failure::Timeout("no answer"),
        };
        self.leave_behind(&failure, generation);
        Err(failure)
    }

    /// The next piece of a body, if it comes by then.
    pub(super) async fn chunk(
        &self,
        response: &mut reqwest::Response,
        by: Instant,
    ) -> Result<Option<Bytes>, Failure> {
        let failure = match timeout_at(by, response.chunk()).await {
            Ok(Ok(chunk)) => return Ok(chunk),
            Ok(Err(error)) => classify_body(&error),
            Err(_) => Failure::Timeout("its answer stalled"),
        };
        if let Some(generation) = response.extensions().get::<Generation>() {
            self.leave_behind(&failure, *generation);
        }
        Err(failure)
    }

    /// Whatever comes next goes onto a new connection if the failure may be the connection's: it may have died without
    /// a word, and those that lie idle beside it as well.
    fn leave_behind(&self, failure: &Failure, generation: Generation) {
        if let Failure::Timeout(_) | Failure::Broken(_) | Failure::Unprocessed(_) = failure {
            self.pool.renew(generation);
        }
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
        let mut request = self.pool.client().1.get(self.base.clone());
        if let Some(value) = self.authorization().await {
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
fn classify(error: &reqwest::Error) -> Failure {
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
    if is_unprocessed(error) {
        return Failure::Unprocessed(text);
    }
    if error.is_connect() {
        Failure::Connect(text)
    } else {
        Failure::Broken(text)
    }
}

/// A failure while a body is read is always a broken answer or one that stalled.
fn classify_body(error: &reqwest::Error) -> Failure {
    match classify(error) {
        Failure::Timeout(_) => Failure::Timeout("its answer stalled"),
        Failure::Tls(text)
        | Failure::Connect(text)
        | Failure::Unprocessed(text)
        | Failure::Broken(text) => Failure::Broken(text),
        other => other,
    }
}

/// Whether an HTTP/2 server said that it has not begun with a request (RFC 9113 8.7): it ends the connection in good
/// order and the request came too late for it, or it refuses the stream.
fn is_unprocessed(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            let reason = error.reason();
            return error.is_remote()
                && ((error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
                    || (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)));
        }
        cause = inner.source();
    }
    false
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
