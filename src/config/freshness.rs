//! `[freshness]`: how long an answer that may change is believed.

use std::time::Duration;

use super::codec::{duration, flag};
use super::section::section;

section! {
    /// How long an answer that may change is believed. What belongs to one version (.info, .mod,
    /// .zip) never changes and is not concerned.
    pub struct Freshness = "freshness" {
        /// The age at which a list of versions, a latest version or a query is asked for again. If no
        /// upstream can say, the old answer is served, marked stale.
        ttl: Duration = "60s" => duration();

        /// How long "there is no such module or version" is believed.
        negative_ttl: Duration = "60s" => duration();

        /// How long a refusal (403) is believed.
        refused_ttl: Duration = "10s" => duration();

        /// How long a client waits for an old answer to be made new before it gets the old one.
        refresh_wait: Duration = "1s"
            => duration().between(Duration::ZERO, Duration::from_secs(30));

        /// Renew what was asked for lately before it gets old, so that nobody waits.
        background: bool = true => flag();
    }
}
