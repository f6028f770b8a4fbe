//! Small answers: read whole, checked, and asked for again only if they have changed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::{Failure, SourceError};
use super::fetch::Attempt;
use super::local;
use super::server::Upstream;
use super::share::FREE;
use super::upstream_request::UpstreamRequest;
use crate::coding::{self, CodingError};

/// What an upstream names an answer by, to be asked whether it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        Validators {
            etag: text(ETAG),
            modified: text(LAST_MODIFIED),
        }
    }

    /// Whether there is nothing to ask with.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }

    fn ask(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pairs = [
            (IF_NONE_MATCH, &self.etag),
            (IF_MODIFIED_SINCE, &self.modified),
        ];
        for (name, value) in pairs {
            headers.extend(
                value
                    .as_ref()
                    .and_then(|text| HeaderValue::try_from(text).ok())
                    .map(|value| (name, value)),
            );
        }
        headers
    }
}

/// Checks the body of a small answer and takes from it what is wanted; the text says what is wrong with it.
pub type Check<'a, T> = &'a (dyn Fn(&Bytes) -> Result<T, String> + Send + Sync);

/// What an upstream says of an answer that it gave before.
#[derive(Clone, Debug)]
pub enum Revalidated<T> {
    /// It is still right.
    NotModified,
    /// This is right now, and named so.
    New(T, Validators),
}

impl Upstream {
    /// Fetches a small answer, checks it, and gives what `check` took from it. `time` bounds all of it.
    pub async fn fetch_small<T: Send>(
        &self,
        request: &UpstreamRequest<'_>,
        time: Duration,
        check: Check<'_, T>,
    ) -> Result<(T, Validators), SourceError> {
        let mut attempt = Small { request, check };
        self.fetch(request, time, &mut attempt).await
    }

    /// The same, if it is not any more what this upstream named so last time.
    pub async fn revalidate<T: Send>(
        &self,
        request: &UpstreamRequest<'_>,
        known: &Validators,
        time: Duration,
        check: Check<'_, T>,
    ) -> Result<Revalidated<T>, SourceError> {
        let small = Small { request, check };
        self.fetch(request, time, &mut Changed { small, known })
            .await
    }
}

struct Small<'a, T> {
    request: &'a UpstreamRequest<'a>,
    check: Check<'a, T>,
}

struct Changed<'a, T> {
    small: Small<'a, T>,
    known: &'a Validators,
}

impl<T: Send> Attempt for Small<'_, T> {
    type Done = (T, Validators);

    async fn run(&mut self, upstream: &Upstream, until: Instant) -> Result<Self::Done, Failure> {
        if upstream.base.scheme() == "file" {
            let max = upstream.max(self.request);
            let body = local::read(&upstream.base, self.request.path, max).await?;
            return self.checked(&body, Validators::default());
        }
        let response = upstream
            .request(self.request, HeaderMap::new(), until)
            .await?;
        self.read(upstream, response, until).await
    }
}

impl<T: Send> Small<'_, T> {
    async fn read(
        &self,
        upstream: &Upstream,
        response: reqwest::Response,
        until: Instant,
    ) -> Result<(T, Validators), Failure> {
        let validators = Validators::of(response.headers());
        let body = upstream.body(response, self.request, until).await?;
        self.checked(&body, validators)
    }

    fn checked(&self, body: &Bytes, validators: Validators) -> Result<(T, Validators), Failure> {
        let value = (self.check)(body).map_err(Failure::Garbage)?;
        Ok((value, validators))
    }
}

impl<T: Send> Attempt for Changed<'_, T> {
    type Done = Revalidated<T>;

    async fn run(&mut self, upstream: &Upstream, until: Instant) -> Result<Self::Done, Failure> {
        let (value, validators) = if upstream.base.scheme() == "file" {
            self.small.run(upstream, until).await?
        } else {
            let ask = self.known.ask();
            let response = upstream.request(self.small.request, ask, until).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Revalidated::NotModified);
            }
            self.small.read(upstream, response, until).await?
        };
        Ok(Revalidated::New(value, validators))
    }
}

impl Upstream {
    /// Reads a whole small body, bounded in size and time.
    async fn body(
        &self,
        mut response: reqwest::Response,
        request: &UpstreamRequest<'_>,
        until: Instant,
    ) -> Result<Bytes, Failure> {
        let max = self.max(request);
        if response.status() != StatusCode::OK {
            return Err(Failure::Garbage(format!(
                "{} to a request for the whole",
                response.status()
            )));
        }
        let length = response.content_length();
        if length.is_some_and(|length| length > max) {
            return Err(Failure::TooLarge(max));
        }
        let says_gzip = coding::says_gzip(response.headers());
        let room = |bytes| self.share.room(bytes, until, &request.context.priority);
        // All at once: who held a part and waited for the rest might wait for ever.
        let mut held = match length {
            _ if says_gzip => Some(room(max).await?),
            Some(length) if length > FREE => Some(room(length).await?),
            _ => None,
        };
        let mut body = BytesMut::new();
        loop {
            let by = until.min(Instant::now() + self.settings.idle_timeout);
            match self.chunk(&mut response, by).await? {
                Some(chunk) if (body.len() + chunk.len()) as u64 > max => {
                    return Err(Failure::TooLarge(max));
                }
                Some(chunk) => {
                    if held.is_none() && (body.len() + chunk.len()) as u64 > FREE {
                        held = Some(room(max).await?);
                    }
                    body.extend_from_slice(&chunk);
                }
                None => break,
            }
        }
        let body = match says_gzip && coding::is_gzip(&body) {
            false => body.freeze(),
            true => match coding::gunzip(&body, max) {
                Ok(plain) => plain.into(),
                Err(CodingError::TooLarge(max)) => return Err(Failure::TooLarge(max)),
                Err(error) => return Err(Failure::Broken(error.to_string())),
            },
        };
        Ok(match held.filter(|_| body.len() as u64 > FREE) {
            Some(room) => room.holds(body),
            None => body,
        })
    }
}
