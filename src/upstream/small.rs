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
use super::want::Want;
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

/// What came of asking for something small.
#[derive(Clone, Debug)]
pub enum Fetched<T> {
    /// This, named so.
    New(T, Validators),
    /// What is known already is still right.
    NotModified,
}

/// Checks the body of a small answer and takes from it what is wanted; the text says what is wrong with it.
pub type Check<'a, T> = &'a (dyn Fn(&Bytes) -> Result<T, String> + Send + Sync);

impl Upstream {
    /// Fetches a small answer, checks it, and gives what `check` took from it. `time` bounds all of it; `known` are
    /// the validators of what this upstream said last time, if that is still at hand.
    pub async fn small<T: Send>(
        &self,
        want: &Want<'_>,
        known: Option<&Validators>,
        time: Duration,
        check: Check<'_, T>,
    ) -> Result<Fetched<T>, SourceError> {
        let mut attempt = Small { want, known, check };
        self.fetch(want, time, &mut attempt).await
    }
}

struct Small<'a, T> {
    want: &'a Want<'a>,
    known: Option<&'a Validators>,
    check: Check<'a, T>,
}

impl<T: Send> Attempt for Small<'_, T> {
    type Done = Fetched<T>;

    async fn run(&mut self, upstream: &Upstream, until: Instant) -> Result<Fetched<T>, Failure> {
        let (body, validators) = if upstream.base.scheme() == "file" {
            let max = upstream.max(self.want);
            let body = local::read(&upstream.base, self.want.path, max).await?;
            (body, Validators::default())
        } else {
            let ask = self.known.map(Validators::ask).unwrap_or_default();
            let response = upstream.request(self.want, ask, until).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Fetched::NotModified);
            }
            let validators = Validators::of(response.headers());
            (upstream.body(response, self.want, until).await?, validators)
        };
        let value = (self.check)(&body).map_err(Failure::Garbage)?;
        Ok(Fetched::New(value, validators))
    }
}

impl Upstream {
    /// Reads a whole small body, bounded in size and time.
    async fn body(
        &self,
        mut response: reqwest::Response,
        want: &Want<'_>,
        until: Instant,
    ) -> Result<Bytes, Failure> {
        let max = self.max(want);
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
        let room = |bytes| self.share.room(bytes, until, &want.errand.priority);
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
