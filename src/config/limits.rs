//! `[limits]`: what one client may take, so that others get their share.

use std::time::Duration;

use super::codec::{count, duration, list, parsed, size};
use super::section::section;
use crate::policy::Exempt;

section! {
    /// What one client may take, so that others get their share. A client is whoever a token names, else
    /// an address (of IPv6 a /64 network), behind access.trusted_proxies the one that these tell. A limit
    /// delays; what would have to wait for longer than queue is refused with 503.
    pub struct Limits = "limits" {
        /// Fetches that a client causes and that go on at once; further ones wait, and what is kept is
        /// served meanwhile. Who asks for something that is being fetched already does not wait.
        /// 0: any number.
        misses_per_client: usize = 32 => count(0, 100_000);

        /// Requests of a client, on average and with bursts of two seconds. What is kept, or known not to
        /// exist, counts a sixteenth. 0: any number.
        requests_per_second: u32 = 0 => count(0, 1_000_000);

        /// Bytes of answers' bodies that a client is sent, on average. They are sent more slowly, and never
        /// refused. 0: any number.
        bytes_per_second: u64 = 0 => size();

        /// How long a request waits for its turn at the most. "0s": not at all.
        queue: Duration = "30s"
            => duration().between(Duration::ZERO, Duration::from_mins(10));

        /// Who may take all they like: networks, addresses, and callers by name, such as "token:ci-*".
        exempt: Vec<Exempt> = [] => list(parsed::<Exempt>(), &[',']);
    }
}
