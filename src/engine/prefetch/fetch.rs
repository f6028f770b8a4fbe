//! What prefetching needs of whoever fetches.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::context::RequestContext;
use crate::gomod::ModulePath;
use crate::protocol::FileKey;

/// Fetches files before anybody asks for them, and knows when that makes sense.
#[async_trait]
pub(in crate::engine) trait Fetch: Send + Sync + 'static {
    /// Whether nothing more important is under way, so that a prefetch may begin.
    fn is_idle_enough(&self) -> bool;

    /// For prefetches of files of this module, if there may be any.
    fn context(&self, module: &ModulePath) -> Option<RequestContext>;

    /// What prefetching this file would come to.
    async fn look_up(&self, key: &FileKey, context: &RequestContext) -> Lookup;

    /// Fetches an `.info` or `.mod`; its content, or none if nothing came of it.
    async fn small(self: Arc<Self>, key: &FileKey, context: &RequestContext) -> Option<Bytes>;

    /// Fetches a zip; its size in bytes, or none if nothing came of it.
    async fn zip(self: Arc<Self>, key: &FileKey, context: &RequestContext) -> Option<u64>;
}

/// What prefetching a file would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Lookup {
    /// Nothing: it is kept. With the content of a `.mod`.
    Kept(Option<Bytes>),
    /// Joining a fetch that is under way.
    UnderWay,
    /// A fetch.
    Missing,
    /// Nothing: it is known to be absent, or nobody who has it welcomes prefetches, or the store has failed.
    Unavailable,
}
