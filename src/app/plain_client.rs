//! How commands that have no configuration ask somebody over http.

use std::time::Duration;

use crate::config::Environment;
use crate::proxies::Proxies;
use crate::upstream::Trust;

/// A client that goes through the environment's proxies and trusts what it and the system name. It follows no redirect,
/// since what it sends is for one host; `limit` is for a whole request.
pub fn plain_client(env: &Environment, limit: Duration) -> Result<reqwest::Client, String> {
    let variable = |name: &str| env.get(name).cloned();
    let tls = Trust::load(variable, &[])?.tls(None, true)?;
    let proxies = Proxies::from_environment(variable);
    reqwest::Client::builder()
        .user_agent(concat!("Larder/", env!("CARGO_PKG_VERSION")))
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .proxy(reqwest::Proxy::custom(move |url| {
            proxies.of_url(url).cloned()
        }))
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| error.to_string())
}
