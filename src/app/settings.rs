//! What a configuration says, in the words of those whom it concerns.

use crate::breaker::BreakerSettings;
use crate::config::{Config, LogFormat};
use crate::engine::{PrefetchSettings, Settings};
use crate::telemetry::logs::Format;
use crate::upstream;
use crate::vcs;

/// When somebody is left alone for a while.
pub fn breaker(config: &Config) -> BreakerSettings {
    BreakerSettings {
        failures: config.breaker.failures,
        window: config.breaker.window,
        open_for: config.breaker.open_for,
    }
}

/// How upstreams are used.
pub fn upstream(config: &Config) -> upstream::UpstreamSettings {
    let upstream = &config.upstream;
    upstream::UpstreamSettings {
        first_byte_timeout: upstream.first_byte_timeout,
        idle_timeout: upstream.idle_timeout,
        attempts: upstream.attempts,
        timeouts: 2,
        concurrency: upstream.concurrency,
        breaker: breaker(config),
    }
}

/// How the engine works.
pub fn engine(config: &Config) -> Settings {
    Settings {
        // The rest is for cached responses.
        memory: config.store.hot / 8 * 3,
        max_flights: config.store.max_flights,
        max_zip_flights: config.store.max_zip_flights,
        prefetch: PrefetchSettings {
            enabled: config.prefetch.enabled,
            requests: config.prefetch.requests,
            bytes: config.prefetch.bytes,
        },
        reverify_every: config.sumdb.settle_every,
    }
}

/// The form of log lines.
pub fn log_format(config: &Config) -> Format {
    match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// How many threads may do what blocks: a sum, so that none of those who wait for others (a disk, a name server, git) can
/// take the threads that another needs. Threads are made when they are needed, and end when they are not.
pub fn blocking_threads(config: &Config) -> usize {
    // Of each request at an upstream the name may be looked up, or the file read: at one that the operator has named, at
    // another one that is asked for what the first does not have, and at those that pages name, of which all share this.
    let upstreams = 3 * config.upstream.concurrency.min(MANY);
    // On each of two sides: a thread takes what a process writes, and one reads what it has written.
    let git = 2 * 2 * config.direct.processes;
    let look_ups = 2 * vcs::guard::LOOK_UPS;
    let sum = crate::store::BLOCKING + upstreams + git + look_ups + OTHERS;
    // What tokio has by default is no harm.
    sum.max(512)
}

/// Requests at an upstream beyond this do not all wait for a name or a disk at once.
const MANY: usize = 1024;
/// Jobs, commands and what is read now and then: pages of the index, files of tokens, certificates and credentials.
const OTHERS: usize = 32;
