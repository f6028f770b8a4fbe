//! Bodies: of whole files, and of zips that are still growing.

use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::timeout;

use super::mapped::Regions;
use crate::engine::{Progress, ZipFlight};
use crate::store::LocalFile;

/// Parts below this are read and copied; mapping them costs more. Bytes.
const WORTH_MAPPING: u64 = 32 << 10;
/// One frame of a body. Bytes.
const FRAME: u64 = 2 << 20;

/// Where more than so many follow a zip, they take it in larger parts: …
const CROWD: usize = 8;
/// … of so much, bytes, …
const GATHERED: u64 = 256 << 10;
/// … or what has come within this.
const GATHERING: Duration = Duration::from_millis(10);

/// Part of a whole file.
pub fn file(regions: &Arc<Regions>, file: &LocalFile, range: Range<u64>) -> io::Result<Body> {
    if range.is_empty() {
        return Ok(Body::empty());
    }
    let bytes = part(regions, file, range)?;
    Ok(Body::new(Sliced { bytes }))
}

fn part(regions: &Arc<Regions>, file: &LocalFile, range: Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    if (len as u64) < WORTH_MAPPING {
        let mut buffer = vec![0; len];
        file.read_exact_at(&mut buffer, range.start)?;
        return Ok(buffer.into());
    }
    regions.map(file, range.start, len)
}

/// Bytes given out a frame at a time, so that it is known about how many were taken.
struct Sliced {
    bytes: Bytes,
}

impl http_body::Body for Sliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.bytes.len().min(FRAME as usize);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// One reader of a growing zip.
struct Follower {
    flight: Arc<ZipFlight>,
    progress: watch::Receiver<Progress>,
    regions: Arc<Regions>,
    position: u64,
    /// Counts it, for as long as it lives.
    _count: Counted,
}

struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A growing zip from its beginning. It ends with an error, which ends the connection short, if the zip does not pass
/// verification.
pub fn growing(regions: &Arc<Regions>, flight: &Arc<ZipFlight>, followers: &Gauge) -> Body {
    let follower = Follower {
        flight: Arc::clone(flight),
        progress: flight.follow(),
        regions: Arc::clone(regions),
        position: 0,
        _count: Counted::new(followers),
    };
    Body::from_stream(stream::try_unfold(follower, |mut follower| async move {
        Ok::<_, io::Error>(follower.next().await?.map(|bytes| (bytes, follower)))
    }))
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let position = self.position;
        if position > 0 && self.flight.followers() > CROWD {
            let enough =
                |now: &Progress| now.released() >= position + GATHERED || now.end.is_some();
            // Not there in time, the flight's end included, is looked at below.
            let _ = timeout(GATHERING, self.progress.wait_for(enough)).await;
        }
        let (released, ended) = {
            let ready = |now: &Progress| now.released() > position || now.end.is_some();
            let now = self
                .progress
                .wait_for(ready)
                .await
                .map_err(io::Error::other)?;
            if let Some(Err(error)) = &now.end {
                return Err(io::Error::other(error.clone()));
            }
            (now.released(), now.end.is_some())
        };
        if position >= released {
            debug_assert!(ended, "woken without anything to read");
            return Ok(None);
        }
        let end = released.min(position + FRAME);
        let file = self
            .flight
            .part(end)
            .ok_or_else(|| io::Error::other("nothing was written"))?;
        let bytes = part(&self.regions, &file, position..end)?;
        self.position = end;
        Ok(Some(bytes))
    }
}
