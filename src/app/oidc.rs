//! OpenID providers, from the configuration: where their keys come from, and where these are kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use reqwest::Client;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::clock::SharedClock;
use crate::config::{AccessOidc, Config, JwksFile, Store};
use crate::identity::{Issuer, IssuerSettings, Issuers, KeyDocument, KeySource};
use crate::store::SideFile;
use crate::upstream::with_causes;

/// Of the two answers together: a request waits for them.
const TIME: Duration = Duration::from_secs(10);
/// No honest answer is larger. Bytes.
const LARGEST: usize = 1 << 20;

/// The providers of a configuration, which are asked with this client.
pub fn issuers(config: &Config, client: &Client, clock: &SharedClock) -> Arc<Issuers> {
    let issuer = |provider: &AccessOidc| {
        let settings = IssuerSettings {
            name: provider.name.clone(),
            issuer: provider.issuer.clone(),
            audience: provider.audience.clone(),
            algorithms: provider.algorithms.clone(),
            max_lifetime: provider.max_lifetime,
            claims: provider.claims.clone(),
            id: provider.id.clone(),
            groups: provider.groups.clone(),
        };
        let source = match &provider.jwks_file {
            Some(file) => from_file(file.clone()),
            None => from_provider(provider, client, &config.store),
        };
        Arc::new(Issuer::new(settings, source, Arc::clone(clock)))
    };
    let issuers = config.access_oidc.iter().map(issuer).collect();
    Arc::new(Issuers::new(issuers, Arc::clone(clock)))
}

/// The operator's own file, which is at hand whenever it is needed.
fn from_file(file: JwksFile) -> KeySource {
    KeySource {
        fetch: Arc::new(move || {
            let file = file.clone();
            let read = spawn_blocking(move || file.read(LARGEST as u64).map(Bytes::from));
            async { read.await.unwrap_or_else(|error| Err(error.to_string())) }.boxed()
        }),
        kept: Arc::new(|| async { None }.boxed()),
        keep: Arc::new(|_| async {}.boxed()),
    }
}

fn from_provider(provider: &AccessOidc, client: &Client, store: &Store) -> KeySource {
    let side_file = Arc::new(SideFile::new(
        &store.data_dir,
        format!("oidc-{}.json", provider.name),
    ));
    let (client, issuer) = (client.clone(), provider.issuer.clone());
    let (kept, keep) = (Arc::clone(&side_file), side_file);
    KeySource {
        fetch: Arc::new(move || {
            let (client, issuer) = (client.clone(), issuer.clone());
            async move {
                let asked = timeout(TIME, published(&client, &issuer)).await;
                asked
                    .unwrap_or_else(|_| Err(format!("no answer within {} seconds", TIME.as_secs())))
            }
            .boxed()
        }),
        kept: Arc::new(move || {
            let file = Arc::clone(&kept);
            let read = spawn_blocking(move || file.read(LARGEST as u64));
            async { Some(read.await.ok()?.ok()??.into()) }.boxed()
        }),
        keep: Arc::new(move |keys: Bytes| {
            let file = Arc::clone(&keep);
            let written = spawn_blocking(move || file.replace(&keys));
            async {
                if let Ok(Err(error)) = written.await {
                    tracing::warn!(%error, "the keys of an OpenID provider could not be kept");
                }
            }
            .boxed()
        }),
    }
}

/// Where a provider says that its keys are (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The keys that a provider publishes now.
async fn published(client: &Client, issuer: &str) -> KeyDocument {
    let place = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let document = get(client, &place).await?;
    let found: Discovery = serde_json::from_slice(&document)
        .map_err(|error| format!("{place} does not say where its keys are: {error}"))?;
    if found.issuer != issuer {
        return Err(format!(
            "{place} is that of another issuer, {:?}",
            found.issuer
        ));
    }
    let keys = found.jwks_uri;
    if !keys.starts_with("https://") && !issuer.starts_with("http://") {
        return Err(format!(
            "{place} names keys that are not had over https ({keys})"
        ));
    }
    get(client, &keys).await
}

async fn get(client: &Client, url: &str) -> KeyDocument {
    let told = |error: reqwest::Error| {
        let error = error.without_url();
        format!("{url}: {}", with_causes(&error))
    };
    let mut response = client.get(url).send().await.map_err(told)?;
    if !response.status().is_success() {
        return Err(format!("{url}: it answers {}", response.status()));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("{url}: its answer is larger than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
