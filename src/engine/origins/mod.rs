//! Everything that a module can come from. An [`Origin`] brings something of a module, or says why it does not; the
//! [`Chain`] asks one after the other. A new kind of origin is a file here that implements the trait.

mod chain;
mod direct;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

pub use super::error::OriginError;
use crate::gomod::Version;
use crate::kit::FetchContext;
use crate::protocol::{CheckedBody, Key, Kind, Meta};
use crate::upstream::{Upstream, Validators, ZipStream};
pub(super) use chain::PATIENCE;
pub use chain::{Chain, ChainEntry, Chains};
pub use direct::{DirectOrigin, MakeProxy};

/// The largest zip (`golang.org/x/mod/zip.MaxZipFile`). Bytes.
const MAX_ZIP: u64 = 524_288_000;
/// The largest go.mod (`golang.org/x/mod/zip.MaxGoMod`), and of an origin that a stranger has named. Bytes.
const MAX_MOD: u64 = 16 << 20;
const MAX_MOD_OF_STRANGERS: u64 = 1 << 20;
/// The largest `.info` that makes sense, as above. Bytes.
const MAX_INFO: u64 = 256 << 10;
const MAX_INFO_OF_STRANGERS: u64 = 64 << 10;
/// The largest list that makes sense (the longest known ones are below 1 MiB), as above. Bytes.
const MAX_LIST: u64 = 4 << 20;
const MAX_LIST_OF_STRANGERS: u64 = 1 << 20;

/// Something that a module can come from.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// What the log calls it.
    fn label(&self) -> &Arc<str>;

    /// Whether it is another module proxy: asking it is cheap and quick, so prefetches may do it, and it shares the time
    /// that there is with other proxies.
    fn is_proxy(&self) -> bool;

    /// Fetches something small, within `time`.
    async fn fetch_small(
        &self,
        request: &FetchRequest<'_>,
        time: Duration,
    ) -> Result<Reply, OriginError>;

    /// The same, where something is known that may still be right. Only whoever gave that can say so.
    async fn revalidate(
        &self,
        request: &FetchRequest<'_>,
        known: &Known<'_>,
        time: Duration,
    ) -> Result<Revalidation, OriginError>;

    /// Fetches the zip of a version into `stream`, of which an origin before may have brought a part. The first byte must come within
    /// `time`. Gives the name of what it came from.
    async fn fetch_zip(
        &self,
        request: &FetchRequest<'_>,
        version: &Version,
        time: Duration,
        stream: &mut ZipStream<'_>,
    ) -> Result<Arc<str>, OriginError>;

    /// Whether it is not to be asked for what nobody waits for.
    fn wants_rest(&self) -> bool {
        false
    }

    /// How long an answer may take, if that is longer than usual.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether it has answered anybody since then, as far as is known.
    fn has_answered_since(&self, _then: Instant) -> bool {
        false
    }

    /// The upstream that it is, for whoever shows how it is.
    fn as_upstream(&self) -> Option<&Upstream> {
        None
    }
}

/// What is to be fetched.
pub struct FetchRequest<'a> {
    /// What it is.
    pub key: &'a Key,
    /// On whose behalf.
    pub context: &'a FetchContext,
    /// The largest body that is taken. Bytes.
    pub max: u64,
    /// The same of an origin that a stranger has named.
    pub max_of_strangers: u64,
}

impl<'a> FetchRequest<'a> {
    /// With the bounds that are usual for it.
    pub fn new(key: &'a Key, context: &'a FetchContext) -> Self {
        let (max, max_of_strangers) = match key {
            Key::File(file) => match file.kind {
                Kind::Info => (MAX_INFO, MAX_INFO_OF_STRANGERS),
                Kind::Mod => (MAX_MOD, MAX_MOD_OF_STRANGERS),
                Kind::Zip => (MAX_ZIP, MAX_ZIP),
            },
            Key::Meta(meta) => match meta.meta {
                Meta::List => (MAX_LIST, MAX_LIST_OF_STRANGERS),
                Meta::Latest | Meta::Query(_) => (MAX_INFO, MAX_INFO_OF_STRANGERS),
            },
        };
        FetchRequest {
            key,
            context,
            max,
            max_of_strangers,
        }
    }

    /// Of which at most so many bytes are taken.
    pub fn at_most(self, bytes: u64) -> Self {
        FetchRequest {
            max: self.max.min(bytes),
            ..self
        }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        self.key.describe()
    }

    /// Whether a body can be what is asked for. The error is a text for people.
    pub fn check(&self, body: &Bytes) -> Result<CheckedBody, String> {
        CheckedBody::new(self.key, body)
    }
}

/// What an origin has brought.
#[derive(Clone, Debug)]
pub struct Reply {
    /// This.
    pub content: CheckedBody,
    /// What it is named by there.
    pub validators: Validators,
    /// From where, for records and clients.
    pub from: Arc<str>,
}

/// What is known of something already.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Who said so, as in [`Reply::from`].
    pub from: &'a str,
    /// And named it by this.
    pub validators: &'a Validators,
}

/// What an origin says of what is known.
#[derive(Clone, Debug)]
pub enum Revalidation {
    /// It is still right.
    NotModified,
    /// This is right now.
    New(Reply),
}
