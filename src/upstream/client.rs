//! The HTTP client for upstreams: trust, proxies and redirects.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::dns::Resolve;
use reqwest::redirect::{Attempt, Policy};
use url::Url;

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
#[derive(Clone, Default)]
pub struct ClientSettings {
    /// Until a connection is there.
    pub connect_timeout: Duration,
    /// Root certificates beside those of the system, PEM.
    pub extra_roots: Vec<Vec<u8>>,
    /// Our own certificate and key, PEM.
    pub identity: Option<Vec<u8>>,
    /// Only HTTP/1.1.
    pub no_http2: bool,
    /// For addresses that strangers name.
    pub guarded: Option<Guarded>,
}

/// Redirects followed at the most.
const REDIRECTS: usize = 10;

/// Makes the client. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`, …), roots from the system
/// (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and the settings.
pub fn build_client(settings: &ClientSettings) -> Result<reqwest::Client, String> {
    let mut headers = HeaderMap::new();
    // Bytes are kept as they are; a mirror that compresses all the same is decoded by us.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let make = |system_roots: bool| -> Result<reqwest::Client, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("Larder/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers.clone())
            .connect_timeout(settings.connect_timeout)
            .redirect(redirects(settings.guarded.as_ref()))
            .referer(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(16 << 20)
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(10));
        if settings.no_http2 {
            builder = builder.http1_only();
        }
        if let Some(guarded) = &settings.guarded {
            builder = builder.dns_resolver(Arc::clone(&guarded.resolver));
        }
        let mut roots = Vec::new();
        for pem in &settings.extra_roots {
            let found = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| format!("an extra root certificate cannot be read: {error}"))?;
            roots.extend(found);
        }
        builder = if system_roots {
            builder.tls_certs_merge(roots)
        } else {
            builder.tls_certs_only(roots)
        };
        if let Some(pem) = &settings.identity {
            let identity = reqwest::Identity::from_pem(pem)
                .map_err(|error| format!("the client certificate cannot be read: {error}"))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| with_causes(&error))
    };
    make(true).or_else(|error| {
        // A machine without any root certificate can still serve what is kept and talk to plain http upstreams.
        tracing::warn!(%error, "the system's root certificates cannot be used; only upstream.ca_files count");
        make(false)
    })
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
