//! `[server]`: the address everything is served on, and its connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::codec::{base_path, count, duration, listen, optional, or_off, public_url};
use super::section::section;

section! {
    /// The address everything is served on, and its connections.
    pub struct Server = "server" {
        /// The address to listen on. ":3080" means all addresses of this machine; port 0 lets the
        /// system choose. Keep to the loopback address, or put a firewall in front: whoever
        /// reaches it may read every public module.
        listen: SocketAddr = "127.0.0.1:3080" => listen(), twin "--listen" "LARDER_LISTEN";

        /// A path everything is served under, "/go" for instance, and which clients then have at the
        /// end of their GOPROXY. Empty for none.
        base_path: String = "" => base_path();

        /// The address that clients use when they come through another server:
        /// "https://larder.example.com". The page shows it, with base_path at its end if it is not
        /// there yet. If its host is not this machine, private modules need a token from everyone.
        /// Empty: the page shows the address of the request, as X-Forwarded-Proto and
        /// X-Forwarded-Host or Forwarded tell it.
        public_url: Option<String> = "" => optional(public_url());

        /// The most connections at a time; further ones wait, but for /healthz and /readyz. 0: as many
        /// as the descriptors of this process allow.
        max_connections: usize = 0 => count(0, 10_000_000);

        /// The most of one address (of IPv6 a /64 network); loopback addresses are not counted. 0: half
        /// of them, but only while fewer than an eighth is free, since many clients may come through
        /// one address. A server in front, which passes on what all of them ask, is one address.
        max_connections_per_address: usize = 0 => count(0, 10_000_000);

        /// How long answers under way may take to end after the order to stop.
        shutdown_grace: Duration = "30s"
            => duration().between(Duration::ZERO, Duration::from_hours(1));

        /// How long a client may take to send the head of a request. A connection that waits for its
        /// next request is closed after the same time.
        request_header_timeout: Duration = "75s"
            => duration().between(Duration::from_millis(1), Duration::from_mins(10));

        /// How long a client may take nothing of an answer that it is being sent.
        write_timeout: Duration = "60s"
            => duration().between(Duration::from_millis(100), Duration::from_hours(1));

        /// How often to look whether the content of the configuration file has changed, be it replaced
        /// or reached through a link that leads elsewhere by now, and to reload it then; "off": at SIGHUP
        /// and `larder reload` only.
        watch: Option<Duration> = "off"
            => or_off(duration().between(Duration::from_millis(100), Duration::from_hours(24)));
    }
}
