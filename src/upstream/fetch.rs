//! One fetch from one upstream: attempts, and what lies between them.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VIA};
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::breaker::{Pass, Stopped};
use super::client::with_causes;
use super::error::{Failure, SourceError};
use super::{Check, Upstream, local, text};
use crate::gomod::ModulePath;

/// The first pause before asking again; doubled each time, and cut by a random part ("full jitter").
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A `Retry-After` up to this is waited for; a longer one ends the fetch.
const WORTH_WAITING: Duration = Duration::from_secs(5);
/// However long an upstream asks to be left alone, it is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Of an error's body, what is read.
const ERROR_BODY: usize = 4096;

/// What is wanted of an upstream.
#[derive(Clone, Debug)]
pub struct Want<'a> {
    /// Below the base URL, bang-escaped.
    pub path: &'a str,
    /// Whose.
    pub module: &'a ModulePath,
    /// The largest body that can be right. Bytes.
    pub max: u64,
}

/// One request with everything that belongs to it.
pub(super) trait Attempt: Send {
    /// What it brings.
    type Done: Send;
    /// Makes the request; `until` is when the fetch must have shown something.
    fn run(
        &mut self,
        upstream: &Upstream,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
    /// Whether the last request brought so much that the count of attempts starts anew; asking resets it.
    fn progressed(&mut self) -> bool {
        false
    }
    /// Until when the next request may wait for its answer, the fetch as a whole having until `until`.
    fn patience(&self, until: Instant) -> Instant {
        until
    }
}

impl Upstream {
    /// Fetches a small answer, checks it, and gives what `check` took from it. `time` bounds all of it.
    pub async fn small<T: Send>(
        &self,
        want: &Want<'_>,
        time: Duration,
        check: Check<'_, T>,
    ) -> Result<T, SourceError> {
        let mut attempt = Small { want, check };
        self.fetch(want, time, &mut attempt).await
    }

    /// Runs attempts until one succeeds or none may follow.
    pub(super) async fn fetch<A: Attempt>(
        &self,
        want: &Want<'_>,
        time: Duration,
        attempt: &mut A,
    ) -> Result<A::Done, SourceError> {
        let began = self.clock.instant();
        let until = Instant::now() + time;
        let pass = self.breaker.pass().map_err(|stopped| match stopped {
            Stopped::Open(left) => SourceError::Open(left),
            Stopped::Paused(left) => SourceError::Paused(left),
        })?;
        let result = match timeout_at(until, self.limits.place(want.module)).await {
            Ok(Some(_place)) => self.attempts(want, until, attempt).await,
            Ok(None) | Err(_) => Err(SourceError::Busy),
        };
        self.report(want, &pass, &result);
        let word = match &result {
            Ok(_) => "ok",
            Err(SourceError::Failed { failure, .. }) => failure.word(),
            Err(_) => "busy",
        };
        self.metrics.fetched(word, self.clock.instant() - began);
        result
    }

    async fn attempts<A: Attempt>(
        &self,
        want: &Want<'_>,
        until: Instant,
        attempt: &mut A,
    ) -> Result<A::Done, SourceError> {
        self.budget.earn();
        let (mut made, mut counted, mut hung) = (0, 0, 0);
        loop {
            made += 1;
            let failure = match attempt.run(self, until).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            counted = if attempt.progressed() { 1 } else { counted + 1 };
            hung += u32::from(matches!(failure, Failure::Timeout(_)));
            tracing::debug!(upstream = %self.label, path = want.path, attempt = made, %failure, "an attempt failed");
            let failed = |failure| SourceError::Failed {
                failure,
                attempts: made,
            };
            let spent = counted >= self.settings.attempts || hung >= self.settings.timeouts;
            if !failure.may_pass() || spent {
                return Err(failed(failure));
            }
            let pause = match &failure {
                Failure::Limited {
                    after: Some(after), ..
                } if *after > WORTH_WAITING => return Err(failed(failure)),
                Failure::Limited {
                    after: Some(after), ..
                } => *after,
                _ => {
                    let most = FIRST_PAUSE
                        .saturating_mul(1 << (counted - 1).min(10))
                        .min(LONGEST_PAUSE);
                    most.mul_f64(fastrand::f64())
                }
            };
            if Instant::now() + pause >= attempt.patience(until) || !self.budget.spend() {
                return Err(failed(failure));
            }
            self.metrics.retries.inc();
            sleep(pause).await;
        }
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

    /// Tells the breaker how it went.
    fn report<T>(&self, want: &Want<'_>, pass: &Pass, result: &Result<T, SourceError>) {
        let Err(error) = result else {
            return self.breaker.success(pass);
        };
        let Some(failure) = error.failure() else {
            return self.breaker.neutral(pass);
        };
        match failure {
            Failure::Absent { .. } | Failure::Refused { .. } => self.breaker.success(pass),
            Failure::Limited { after, .. } => {
                self.breaker.neutral(pass);
                if let Some(after) = after {
                    self.breaker.pause((*after).min(LONGEST_REST));
                }
            }
            failure if failure.is_outage() => {
                let hung = matches!(failure, Failure::Timeout(_)).then(|| want.module.as_str());
                self.breaker.failure(pass, hung);
            }
            _ => self.breaker.neutral(pass),
        }
    }

    /// Asks for `path` and waits for the head of the answer, which must be a success.
    pub(super) async fn request(
        &self,
        path: &str,
        extra: HeaderMap,
        until: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let url = format!(
            "{}/{}",
            self.base.as_str().trim_end_matches('/'),
            crate::protocol::upstream_path(path)
        );
        let mut request = self.client.get(url).headers(extra).header(VIA, &self.via);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let head_by = until.min(Instant::now() + self.settings.first_byte_timeout);
        let response = match timeout_at(head_by, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify(&error)),
            Err(_) => return Err(Failure::Timeout("no answer")),
        };
        let status = response.status();
        if matches!(status.as_u16(), 200 | 206) {
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
            self.settings.idle_timeout.min(Duration::from_secs(2)),
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

struct Small<'a, T> {
    want: &'a Want<'a>,
    check: Check<'a, T>,
}

impl<T: Send> Attempt for Small<'_, T> {
    type Done = T;

    async fn run(&mut self, upstream: &Upstream, until: Instant) -> Result<T, Failure> {
        let body = if upstream.base.scheme() == "file" {
            local::read(&upstream.base, self.want.path, self.want.max).await?
        } else {
            let response = upstream
                .request(self.want.path, HeaderMap::new(), until)
                .await?;
            upstream.body(response, self.want.max, until).await?
        };
        (self.check)(&body).map_err(Failure::Garbage)
    }
}

impl Upstream {
    /// Reads a whole small body, bounded in size and time.
    async fn body(
        &self,
        mut response: reqwest::Response,
        max: u64,
        until: Instant,
    ) -> Result<Bytes, Failure> {
        if response.status() != StatusCode::OK {
            return Err(Failure::Garbage(format!(
                "{} to a request for the whole",
                response.status()
            )));
        }
        if response.content_length().is_some_and(|length| length > max) {
            return Err(Failure::TooLarge(max));
        }
        let coding = Coding::of(response.headers())?;
        let mut body = BytesMut::new();
        loop {
            let by = until.min(Instant::now() + self.settings.idle_timeout);
            match timeout_at(by, response.chunk()).await {
                Ok(Ok(Some(chunk))) if (body.len() + chunk.len()) as u64 > max => {
                    return Err(Failure::TooLarge(max));
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(classify_body(&error)),
                Err(_) => return Err(Failure::Timeout("its answer stalled")),
            }
        }
        match coding {
            Coding::Identity => Ok(body.freeze()),
            Coding::Gzip => gunzip(&body, max),
        }
    }
}

/// A failure while a body is read is always a broken answer or one that stalled.
pub(super) fn classify_body(error: &reqwest::Error) -> Failure {
    match classify(error) {
        Failure::Timeout(_) => Failure::Timeout("its answer stalled"),
        Failure::Tls(text) | Failure::Connect(text) | Failure::Broken(text) => {
            Failure::Broken(text)
        }
        other => other,
    }
}

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all, as we asked.
    Identity,
    /// All the same.
    Gzip,
}

impl Coding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Coding, Failure> {
        let Some(value) = headers.get(CONTENT_ENCODING) else {
            return Ok(Coding::Identity);
        };
        match value
            .to_str()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "identity" => Ok(Coding::Identity),
            "gzip" | "x-gzip" => Ok(Coding::Gzip),
            other => Err(Failure::Garbage(format!(
                "it is coded as {other:?}, which was not asked for"
            ))),
        }
    }
}

fn gunzip(body: &[u8], max: u64) -> Result<Bytes, Failure> {
    use std::io::Read;
    let mut out = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(body).take(max + 1);
    decoder
        .read_to_end(&mut out)
        .map_err(|error| Failure::Broken(format!("bad gzip: {error}")))?;
    if out.len() as u64 > max {
        Err(Failure::TooLarge(max))
    } else {
        Ok(out.into())
    }
}
