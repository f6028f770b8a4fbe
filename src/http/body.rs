//! Bodies of zips that are still growing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::FileBodies;
use crate::engine::{ZipFlight, ZipProgress};

/// Where more than so many follow a zip, they take it in larger parts: …
const CROWD: usize = 8;
/// … of so much, bytes, …
const GATHERED: u64 = 256 << 10;
/// … or what has come within this.
const GATHERING: Duration = Duration::from_millis(10);

/// One reader of a growing zip.
struct Follower {
    flight: Arc<ZipFlight>,
    progress: watch::Receiver<ZipProgress>,
    files: FileBodies,
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
pub fn growing(files: &FileBodies, flight: &Arc<ZipFlight>, followers: &Gauge) -> Body {
    let follower = Follower {
        flight: Arc::clone(flight),
        progress: flight.follow(),
        files: files.clone(),
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
                |now: &ZipProgress| now.released() >= position + GATHERED || now.end.is_some();
            // Not there in time, the flight's end included, is looked at below.
            let _ = timeout(GATHERING, self.progress.wait_for(enough)).await;
        }
        let (released, ended) = {
            let ready = |now: &ZipProgress| now.released() > position || now.end.is_some();
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
        let end = released.min(position + self.files.frame());
        let file = self
            .flight
            .part(end)
            .ok_or_else(|| io::Error::other("nothing was written"))?;
        let bytes = self.files.part(&file, position..end).await?;
        self.position = end;
        Ok(Some(bytes))
    }
}
