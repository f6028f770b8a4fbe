//! Jobs in the background, and the end of a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::http::Connections;
use crate::store::DataDir;

/// How long fetches without a client may go on after the last connection has ended.
const FLIGHTS_END: Duration = Duration::from_secs(2);

pub fn start_jobs(
    config: &Config,
    data: &DataDir,
    engine: &Arc<Engine>,
    clock: &SharedClock,
    stop: &watch::Receiver<bool>,
) {
    if config.freshness.background && !config.freshness.ttl.is_zero() {
        let every =
            (config.freshness.ttl / 8).clamp(Duration::from_millis(100), Duration::from_secs(5));
        tokio::spawn(
            crate::jobs::Refresh {
                engine: Arc::clone(engine),
                every,
            }
            .run(stop.clone()),
        );
    }
    tokio::spawn(
        crate::jobs::Reverify {
            engine: Arc::clone(engine),
            every: config.sumdb.settle_every,
        }
        .run(stop.clone()),
    );
    let room = crate::jobs::Room {
        keeper: data.keeper.clone(),
    };
    tokio::spawn(room.run(stop.clone()));
    let rebuild = data.needs_rebuild.then(|| crate::jobs::Rebuild {
        store: data.store.clone(),
        clock: Arc::clone(clock),
    });
    engine.show_totals();
    if let Some(rebuild) = rebuild {
        let (engine, stop) = (Arc::clone(engine), stop.clone());
        tokio::spawn(async move {
            rebuild.run(stop).await;
            engine.show_totals();
        });
    }
}

/// Waits until connections, and then fetches, have ended; at most `grace`.
pub async fn ended(connections: &Connections, engine: &Engine, grace: Duration) {
    const LOOK: Duration = Duration::from_millis(10);
    let over = tokio::time::Instant::now() + grace;
    while connections.open() > 0 && tokio::time::Instant::now() < over {
        tokio::time::sleep(LOOK).await;
    }
    let left = connections.open();
    if left > 0 {
        tracing::warn!(
            connections = left,
            "the time to stop is over; connections are cut"
        );
    }
    let over = over.min(tokio::time::Instant::now() + FLIGHTS_END);
    while engine.flights() > 0 && tokio::time::Instant::now() < over {
        tokio::time::sleep(LOOK).await;
    }
    let left = engine.flights();
    if left > 0 {
        tracing::info!(
            fetches = left,
            "fetches that no client waits for are given up"
        );
    }
}
