//! Fetching a zip: written to a sink as it arrives, taken up again where it broke off.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::{Failure, SourceError};
use super::fetch::Attempt;
use super::local;
use super::server::Upstream;
use super::sink::Sink;
use super::upstream_request::UpstreamRequest;
use crate::coding;

/// Once a transfer has begun it may take this long in all.
const WHOLE: Duration = Duration::from_secs(3600);
/// After this much more has arrived, a broken transfer gets all its attempts again. Bytes.
const PROGRESS: u64 = 1 << 20;
/// But it is not taken up more often than this.
const RESUMES: u32 = 20;
/// Pieces of a local file.
const PIECE: usize = 256 << 10;

/// What has arrived so far, from whichever origin: a transfer may be taken up by the next one of a chain, as long as it
/// sends the same bytes.
pub struct ZipStream<'a> {
    sink: &'a mut dyn Sink,
    total: Option<u64>,
    begun: bool,
    received: u64,
    hash: Sha256,
    max: u64,
    /// Who makes it here, if it is made here.
    origin: Option<Arc<str>>,
}

impl<'a> ZipStream<'a> {
    /// An empty one that takes at most `max` bytes.
    pub fn new(sink: &'a mut dyn Sink, max: u64) -> Self {
        ZipStream {
            sink,
            total: None,
            begun: false,
            received: 0,
            hash: Sha256::new(),
            max,
            origin: None,
        }
    }

    /// Whether anybody may have seen a part of it.
    pub fn shown(&self) -> bool {
        self.sink.shown()
    }

    /// Size and SHA-256 of what arrived.
    pub fn finish(self) -> (u64, [u8; 32]) {
        (self.received, self.hash.finalize().into())
    }

    /// Fetches the rest from an upstream. `time` bounds the wait for the first byte.
    pub async fn fetch(
        &mut self,
        upstream: &Upstream,
        request: &UpstreamRequest<'_>,
        time: Duration,
    ) -> Result<(), SourceError> {
        let mut attempt = ZipAttempt {
            request,
            stream: self,
            validator: None,
            plain: true,
            mark: 0,
            resumes: 0,
        };
        attempt.mark = attempt.stream.received;
        upstream.fetch(request, time, &mut attempt).await
    }

    /// Takes a body that is made here, piece by piece, in the place of one from an upstream.
    pub async fn take_all(
        &mut self,
        from: &Arc<str>,
        mut pieces: mpsc::Receiver<Bytes>,
    ) -> Result<(), Failure> {
        while let Some(piece) = pieces.recv().await {
            if self.origin.as_ref() != Some(from) {
                if self.received > 0 {
                    self.start_over().await?;
                }
                self.origin = Some(Arc::clone(from));
            }
            self.begin(None, from).await?;
            self.take(piece).await?;
        }
        Ok(())
    }

    /// An origin begins to send the whole, of this size if that is known.
    pub async fn whole(
        &mut self,
        total: Option<u64>,
        from: &Arc<str>,
    ) -> Result<Received, Failure> {
        self.begin(total, from).await?;
        Ok(Received((self.received > 0).then(|| Prefix {
            left: self.received,
            hash: Sha256::new(),
            want: self.hash.clone().finalize().into(),
        })))
    }

    /// The next piece of the whole: what has been received before is compared, the rest is taken.
    pub async fn pass(&mut self, received: &mut Received, mut bytes: Bytes) -> Result<(), Failure> {
        if let Some(prefix) = &mut received.0 {
            let known = bytes.split_to(
                usize::try_from(prefix.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len()),
            );
            prefix.hash.update(&known);
            prefix.left -= known.len() as u64;
            if prefix.left == 0 {
                let seen: [u8; 32] = prefix.hash.clone().finalize().into();
                if seen != prefix.want {
                    self.start_over().await?;
                    return Err(Failure::Broken(
                        "it gave different bytes when asked again".into(),
                    ));
                }
                received.0 = None;
            }
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            self.take(bytes).await
        }
    }

    /// The whole has ended: it must have brought no less than was received before.
    pub async fn ended(&mut self, received: Received) -> Result<(), Failure> {
        if received.0.is_some() {
            self.start_over().await?;
            return Err(Failure::Broken("it ended early".into()));
        }
        match self.total {
            _ if self.received == 0 => Err(Failure::Garbage("an empty answer".into())),
            Some(total) if total != self.received => Err(Failure::Broken("it ended early".into())),
            _ => Ok(()),
        }
    }

    async fn begin(&mut self, total: Option<u64>, from: &Arc<str>) -> Result<(), Failure> {
        if let (Some(old), Some(new)) = (self.total, total)
            && old != new
        {
            self.start_over().await?;
        }
        if !self.begun {
            self.sink.begin(total, from).await?;
            self.begun = true;
            self.total = total;
        }
        Ok(())
    }

    /// What arrives is not what began to arrive: back to nothing, if nobody has seen any of it.
    async fn start_over(&mut self) -> Result<(), Failure> {
        if !self.sink.forget().await {
            return Err(Failure::Changed);
        }
        self.begun = false;
        self.total = None;
        self.received = 0;
        self.hash = Sha256::new();
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let end = self.received + bytes.len() as u64;
        if end > self.max {
            return Err(Failure::TooLarge(self.max));
        }
        if self.total.is_some_and(|total| end > total) {
            return Err(Failure::Changed);
        }
        self.sink.take(bytes.clone()).await?;
        self.hash.update(&bytes);
        self.received = end;
        Ok(())
    }
}

/// What has been received before somebody sends the whole, if anything.
pub struct Received(Option<Prefix>);

struct Prefix {
    left: u64,
    hash: Sha256,
    want: [u8; 32],
}

struct ZipAttempt<'a, 's> {
    request: &'a UpstreamRequest<'a>,
    stream: &'a mut ZipStream<'s>,
    /// Of this upstream's answer: what makes a `Range` safe.
    validator: Option<HeaderValue>,
    /// Whether its bytes are what was asked for, whatever it says of their coding.
    plain: bool,
    mark: u64,
    resumes: u32,
}

impl Attempt for ZipAttempt<'_, '_> {
    type Done = ();

    async fn run(&mut self, upstream: &Upstream, until: Instant) -> Result<(), Failure> {
        if self.stream.begun && self.stream.received == 0 {
            // Of what an earlier answer promised nothing came.
            self.stream.start_over().await?;
        }
        if upstream.base().scheme() == "file" {
            return self.copy(upstream).await;
        }
        let mut ask = HeaderMap::new();
        if let Some(validator) = self.validator.as_ref().filter(|_| self.stream.received > 0)
            && let Ok(range) = HeaderValue::try_from(format!("bytes={}-", self.stream.received))
        {
            ask.insert(RANGE, range);
            ask.insert(IF_RANGE, validator.clone());
        }
        let asked_range = !ask.is_empty();
        let answer = upstream
            .request(self.request, ask, self.patience(until))
            .await;
        if asked_range
            && matches!(&answer, Err(Failure::Status { status, .. }) if status.as_u16() == 416)
        {
            // It has no such part: what came so far may be all, or of something else. Ask for the whole.
            self.validator = None;
            return Err(Failure::Broken("it has no more of it".into()));
        }
        let mut body = Incoming::new(answer?);
        let received = match body.response.status() {
            // The whole was plain, so its parts are.
            StatusCode::PARTIAL_CONTENT if asked_range => {
                if range_start(body.response.headers()) != Some(self.stream.received) {
                    return Err(Failure::Garbage(
                        "it sent another part than was asked for".into(),
                    ));
                }
                Received(None)
            }
            StatusCode::OK => {
                self.plain = !body.is_gzip(upstream, self.patience(until)).await?;
                let headers = body.response.headers();
                self.validator = validator(headers).filter(|_| self.plain);
                let total = body.total.filter(|_| self.plain);
                let max = match self.request.context.priority.is_prefetch() {
                    true => self.stream.max.min(self.request.max),
                    false => self.stream.max,
                };
                if total.is_some_and(|total| total > max) {
                    return Err(Failure::TooLarge(max));
                }
                self.stream.whole(total, upstream.label()).await?
            }
            status => {
                return Err(Failure::Garbage(format!(
                    "{status} to a request for the whole"
                )));
            }
        };
        self.pump(upstream, body, received, until).await
    }

    fn progressed(&mut self) -> bool {
        let more = self.stream.received >= self.mark + PROGRESS && self.resumes < RESUMES;
        if more {
            self.mark = self.stream.received;
            self.resumes += 1;
        }
        more
    }

    /// Once a client has seen something there is no hurry but the idle time.
    fn patience(&self, until: Instant) -> Instant {
        if self.stream.shown() {
            Instant::now() + WHOLE
        } else {
            until
        }
    }
}

/// A body that arrives, of which the beginning may have been looked at.
struct Incoming {
    response: reqwest::Response,
    /// Its size, if it is known. Bytes.
    total: Option<u64>,
    first: Bytes,
}

impl Incoming {
    fn new(response: reqwest::Response) -> Self {
        Incoming {
            total: response.content_length(),
            response,
            first: Bytes::new(),
        }
    }

    async fn next(&mut self, upstream: &Upstream, by: Instant) -> Result<Option<Bytes>, Failure> {
        if !self.first.is_empty() {
            return Ok(Some(std::mem::take(&mut self.first)));
        }
        upstream.chunk(&mut self.response, by).await
    }

    /// Whether it is gzipped, by what it says and by its first bytes, for which it waits until then.
    async fn is_gzip(&mut self, upstream: &Upstream, until: Instant) -> Result<bool, Failure> {
        if !coding::says_gzip(self.response.headers()) {
            return Ok(false);
        }
        while self.first.len() < coding::GZIP.len() {
            let by = until.min(Instant::now() + upstream.settings.idle_timeout);
            let Some(more) = upstream.chunk(&mut self.response, by).await? else {
                break;
            };
            self.first = [&self.first[..], &more[..]].concat().into();
        }
        Ok(coding::is_gzip(&self.first))
    }
}

impl ZipAttempt<'_, '_> {
    async fn pump(
        &mut self,
        upstream: &Upstream,
        mut body: Incoming,
        mut received: Received,
        until: Instant,
    ) -> Result<(), Failure> {
        let end = Instant::now() + WHOLE;
        let mut arrival = upstream.limits.arrival();
        let mut gunzip = (!self.plain).then(|| MultiGzDecoder::new(Vec::new()));
        let bad_gzip = |error: std::io::Error| Failure::Broken(format!("bad gzip: {error}"));
        loop {
            let idle = Instant::now() + upstream.settings.idle_timeout;
            let by = idle.min(end).min(self.patience(until));
            let Some(chunk) = body.next(upstream, by).await? else {
                break;
            };
            let bytes = chunk.len() as u64;
            arrival.came(bytes, &self.request.context.priority).await;
            match &mut gunzip {
                None => self.stream.pass(&mut received, chunk).await?,
                Some(decoder) => {
                    // In small pieces, so that a bomb cannot fill the memory before it is noticed.
                    for piece in chunk.chunks(4096) {
                        decoder.write_all(piece).map_err(bad_gzip)?;
                        let out = std::mem::take(decoder.get_mut());
                        self.stream.pass(&mut received, out.into()).await?;
                    }
                }
            }
        }
        if let Some(decoder) = gunzip {
            let rest = decoder.finish().map_err(bad_gzip)?;
            self.stream.pass(&mut received, rest.into()).await?;
        }
        self.stream.ended(received).await
    }

    /// From a folder.
    async fn copy(&mut self, upstream: &Upstream) -> Result<(), Failure> {
        let path = local::path(upstream.base(), self.request.path)?;
        let broken = |error: std::io::Error| Failure::Broken(error.to_string());
        let file = std::sync::Arc::new(local::open(path)?);
        let size = file.metadata().map_err(broken)?.len();
        if size > self.stream.max {
            return Err(Failure::TooLarge(self.stream.max));
        }
        let mut received = self.stream.whole(Some(size), upstream.label()).await?;
        let mut offset = 0;
        while offset < size {
            let file = std::sync::Arc::clone(&file);
            let read = tokio::task::spawn_blocking(move || {
                use std::os::unix::fs::FileExt;
                let mut piece = vec![0; PIECE];
                let count = file.read_at(&mut piece, offset)?;
                piece.truncate(count);
                Ok::<_, std::io::Error>(piece)
            });
            let piece = read
                .await
                .map_err(|error| Failure::Broken(error.to_string()))?
                .map_err(broken)?;
            if piece.is_empty() {
                return Err(Failure::Broken("the file became shorter".into()));
            }
            offset += piece.len() as u64;
            self.stream.pass(&mut received, piece.into()).await?;
        }
        Ok(())
    }
}

/// Only a strong ETag or a date may guard a `Range` (RFC 9110 13.1.5).
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers
        .get(ETAG)
        .filter(|value| value.as_bytes().starts_with(b"\""));
    let ranges = headers
        .get(header::ACCEPT_RANGES)
        .is_none_or(|value| value.as_bytes() != b"none");
    strong
        .or_else(|| headers.get(LAST_MODIFIED))
        .filter(|_| ranges)
        .cloned()
}

/// The first byte's position in `Content-Range: bytes 5-9/10`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    value
        .trim()
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .trim()
        .parse()
        .ok()
}
