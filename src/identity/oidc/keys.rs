//! The keys of a provider. They are fetched when a token first needs them, never at the start: a provider that is away
//! keeps nobody from starting. They are kept on disk, and go on while it is away. A key that is not known is asked for once
//! a minute at the most, whoever sends what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::clock::{SharedClock, Timestamp};

/// Between two times that a provider is asked; and after one that failed.
const PAUSE: Duration = Duration::from_secs(60);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Keys that were fetched so long ago are fetched again.
const OLD: Duration = Duration::from_secs(3600);
/// Keys of a provider.
const MOST_KEYS: usize = 100;

/// A set of keys as a provider publishes it (RFC 7517), not looked at yet.
pub type KeyDocument = Result<Bytes, String>;

/// Where the keys of a provider come from. None of these takes long: each has a time-out.
#[derive(Clone)]
pub struct KeySource {
    /// Asks the provider, or reads the operator's file.
    pub fetch: Arc<dyn Fn() -> BoxFuture<'static, KeyDocument> + Send + Sync>,
    /// What was kept of an earlier answer.
    pub kept: Arc<dyn Fn() -> BoxFuture<'static, Option<Bytes>> + Send + Sync>,
    /// Keeps an answer.
    pub keep: Arc<dyn Fn(Bytes) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Why there is no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The provider has none of this name.
    Unknown,
    /// It cannot be asked.
    Unreachable(String),
}

/// The keys of a provider, as far as they are known.
pub(super) struct Keys {
    name: String,
    source: KeySource,
    clock: SharedClock,
    known: RwLock<Vec<Key>>,
    /// Asking: one at a time.
    asking: Mutex<Asked>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// What it is for, if it says so; else everything of its kind.
    algorithm: Option<Algorithm>,
    key: Arc<DecodingKey>,
}

/// A set of keys; one that is not understood is no reason to leave out the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// How asking went.
#[derive(Default)]
struct Asked {
    last: Option<Instant>,
    error: Option<String>,
    succeeded: Option<Instant>,
    looked_at_kept: bool,
}

impl Asked {
    /// Whether nobody is to be asked again yet.
    fn pauses(&self, now: Instant) -> bool {
        let pause = match self.error {
            None => PAUSE,
            Some(_) => PAUSE_AFTER_FAILURE,
        };
        self.last
            .is_some_and(|at| now.saturating_duration_since(at) < pause)
    }
}

impl Keys {
    pub(super) fn new(name: String, source: KeySource, clock: SharedClock) -> Self {
        Keys {
            name,
            source,
            clock,
            known: RwLock::default(),
            asking: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The key of this name for this algorithm; without a name the only one there is.
    pub(super) async fn get(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, NoKey> {
        let known = self.find(id, algorithm);
        if known.is_some() && !self.are_old() {
            return known.ok_or(NoKey::Unknown);
        }
        let mut asked = self.asking.lock().await;
        if !asked.looked_at_kept {
            asked.looked_at_kept = true;
            if let Some(kept) = (self.source.kept)().await {
                // Damaged ones are as good as none.
                let _ = self.take(&kept);
            }
        }
        // Somebody may have asked meanwhile, or somebody has just now.
        let now = self.clock.instant();
        if !asked.pauses(now) && (self.find(id, algorithm).is_none() || self.is_old(&asked, now)) {
            asked.last = Some(now);
            asked.error = self.ask().await.err();
            match &asked.error {
                None => asked.succeeded = Some(now),
                Some(error) => {
                    tracing::warn!(provider = %self.name, %error, "the keys of an OpenID provider cannot be had");
                }
            }
        }
        match (self.find(id, algorithm), &asked.error) {
            (Some(key), _) => Ok(key),
            (None, None) => Err(NoKey::Unknown),
            (None, Some(error)) => Err(NoKey::Unreachable(error.clone())),
        }
    }

    /// Whether it is time to fetch them again, and nobody does at the moment.
    fn are_old(&self) -> bool {
        match self.asking.try_lock() {
            Ok(asked) => self.is_old(&asked, self.clock.instant()),
            Err(_) => false,
        }
    }

    fn is_old(&self, asked: &Asked, now: Instant) -> bool {
        let fresh = asked
            .succeeded
            .is_some_and(|at| now.saturating_duration_since(at) < OLD);
        !fresh && !asked.pauses(now)
    }

    async fn ask(&self) -> Result<(), String> {
        let document = (self.source.fetch)().await?;
        self.take(&document)?;
        (self.source.keep)(document).await;
        Ok(())
    }

    /// Takes keys in place of those that were known.
    fn take(&self, document: &[u8]) -> Result<(), String> {
        let set: KeySet = serde_json::from_slice(document)
            .map_err(|error| format!("it is no set of keys: {error}"))?;
        let keys = set
            .keys
            .into_iter()
            .filter_map(|key| Jwk::deserialize(key).ok());
        let keys: Vec<Key> = keys
            .filter_map(|key| Key::of(&key))
            .take(MOST_KEYS)
            .collect();
        if keys.is_empty() {
            return Err("it has no key that signatures can be verified with".to_owned());
        }
        *self.known.write() = keys;
        Ok(())
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let known = self.known.read();
        let mut fitting = known.iter().filter(|key| key.fits(algorithm));
        let key = match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        key.map(|key| Arc::clone(&key.key))
    }
}

impl Key {
    /// Of those that are public, and for signatures: a provider cannot publish a secret one.
    fn of(jwk: &Jwk) -> Option<Self> {
        let is_public = !matches!(
            jwk.algorithm,
            AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_)
        );
        let usage = jwk.common.public_key_use.as_ref();
        let signs = usage.is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(named.to_string().parse().ok()?),
        };
        (is_public && signs).then_some(())?;
        Some(Key {
            id: jwk.common.key_id.clone(),
            algorithm,
            key: Arc::new(DecodingKey::from_jwk(jwk).ok()?),
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_its_own = self.algorithm.is_none_or(|own| own == algorithm);
        is_its_own && self.key.family() == algorithm.family()
    }
}
