//! The HTTP client for upstreams: connections, proxies and redirects.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use reqwest::dns::Resolve;
use reqwest::redirect::{Attempt, Policy};
use url::Url;

use crate::proxies::Proxies;

/// Judges an address before it is asked; the text says why it may not be.
pub type Judge = Arc<dyn Fn(&Url) -> Result<(), String> + Send + Sync>;

/// What keeps a client from hosts that strangers name.
#[derive(Clone)]
pub struct Guarded {
    /// Resolves names, and refuses what must not be asked.
    pub resolver: Arc<dyn Resolve>,
    /// Judges redirects.
    pub judge: Judge,
}

/// How connections are made.
#[derive(Clone)]
pub struct ClientSettings {
    /// Until a connection is there.
    pub connect_timeout: Duration,
    /// Who is trusted, and our own certificate.
    pub tls: rustls::ClientConfig,
    /// The proxies of the environment.
    pub proxies: Arc<Proxies>,
    /// Only HTTP/1.1.
    pub no_http2: bool,
    /// For addresses that strangers name.
    pub guarded: Option<Guarded>,
}

/// Redirects followed at the most.
const REDIRECTS: usize = 10;
/// On an HTTP/2 connection with requests under way from which nothing comes for so long, we ask whether it is alive …
const PING_AFTER: Duration = Duration::from_secs(5);
/// … and give it up, with all its requests, without an answer within this. Both together leave the requests time for
/// another connection.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client whose connections can be left behind: when one has died without a word, those that lay idle beside it have,
/// in all likelihood, too. Shared by all upstreams, since what lies between is the same for all.
pub struct Pool {
    settings: ClientSettings,
    current: Mutex<(Generation, reqwest::Client)>,
}

/// Which of a pool's clients, one after the other, made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Pool {
    /// With a first client.
    pub fn new(settings: ClientSettings) -> Result<Self, String> {
        let client = build_client(&settings)?;
        Ok(Pool {
            settings,
            current: Mutex::new((Generation(0), client)),
        })
    }

    /// The proxy for an address.
    pub fn proxy(&self, url: &Url) -> Option<&Url> {
        self.settings.proxies.of_url(url)
    }

    /// The client to ask with now.
    pub fn client(&self) -> (Generation, reqwest::Client) {
        self.current.lock().clone()
    }

    /// Requests go onto new connections from now on; those under way stay where they are. Does nothing if that has
    /// happened since `seen`, so that many requests that fail together change it once.
    pub fn renew(&self, seen: Generation) {
        if self.current.lock().0 != seen {
            return;
        }
        // Outside the lock; that another one may do the same now does no harm.
        match build_client(&self.settings) {
            Ok(client) => {
                let mut current = self.current.lock();
                if current.0 == seen {
                    *current = (Generation(seen.0 + 1), client);
                }
            }
            Err(error) => tracing::error!(%error, "no new HTTP client; the old one stays"),
        }
    }
}

/// Makes the client.
pub fn build_client(settings: &ClientSettings) -> Result<reqwest::Client, String> {
    let mut headers = HeaderMap::new();
    // Bytes are kept as they are; a mirror that compresses all the same is decoded by us.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let proxies = Arc::clone(&settings.proxies);
    // Strangers may name any number of hosts: little is held for each, and not for long.
    let (idle, idle_time, window) = match &settings.guarded {
        Some(_) => (4, Duration::from_secs(10), 512 << 10),
        None => (64, Duration::from_secs(60), 4 << 20),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Larder/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(settings.connect_timeout)
        .redirect(redirects(settings.guarded.as_ref()))
        .referer(false)
        // What the environment says is read by Go's rules and not by the client's own.
        .no_proxy()
        .proxy(reqwest::Proxy::custom(move |url| {
            proxies.of_url(url).cloned()
        }))
        .tls_backend_preconfigured(settings.tls.clone())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(idle_time)
        .pool_max_idle_per_host(idle)
        .http2_initial_stream_window_size(window)
        .http2_initial_connection_window_size(4 * window)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT);
    if settings.no_http2 {
        builder = builder.http1_only();
    }
    if let Some(guarded) = &settings.guarded {
        builder = builder.dns_resolver(Arc::clone(&guarded.resolver));
    }
    builder.build().map_err(|error| with_causes(&error))
}

fn redirects(guarded: Option<&Guarded>) -> Policy {
    let judge = guarded.map(|guarded| Arc::clone(&guarded.judge));
    Policy::custom(
        move |attempt| match judge.as_ref().map(|judge| judge(attempt.url())) {
            Some(Err(why)) => attempt.error(why),
            _ => follow(attempt),
        },
    )
}

/// At most ten, and never from https to http. The client itself drops credentials when host or port change.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_https = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if from_https && attempt.url().scheme() != "https" {
        return attempt.error("from https to http");
    }
    attempt.follow()
}

/// An error with everything that caused it; reqwest's own text names only the outermost.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    super::text::clean(&text)
}

/// Installs the process's TLS provider; rustls refuses to choose by itself. Once is enough, again does no harm.
pub fn install_crypto() {
    // Fails only if one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
