//! What becomes of a file that has come: kept before or after it is given out, or held to its checksum alone.

use std::time::Duration;

use bytes::Bytes;

use crate::engine::Engine;
use crate::engine::context::RequestContext;
use crate::engine::memory::CachedFile;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{Companions, FileRecord, Room};

/// How long an answer waits for the disk to take what was answered before it.
pub(super) const PUBLISH_WAIT: Duration = Duration::from_secs(2);

impl Engine {
    /// Keeps a file before it is given out; none if that does not work.
    pub(super) async fn publish_first(
        &self,
        key: &FileKey,
        context: &RequestContext,
        body: &Bytes,
        record: &FileRecord,
        companions: &Companions,
    ) -> Option<CachedFile> {
        let put = self
            .store
            .publish_bytes(key, body.clone(), record, companions);
        match put.await {
            Ok(()) => self.show_totals(),
            // The store says so.
            Err(_) => return None,
        }
        self.kept(key, context).await.ok().flatten()
    }

    /// A small file has come: what is in memory against it holds no more. Before anybody is told, who may ask for the
    /// list next.
    pub(super) fn has_appeared(&self, key: &FileKey) {
        self.negatives.forget(&Key::File(key.clone()));
        if key.kind == Kind::Info {
            self.negatives.version_exists(key);
            self.outdate_list(key);
        }
    }

    /// What is not kept is held to what it was all the same.
    pub(super) async fn pin_alone(&self, key: &FileKey, companions: &Companions) {
        let Some(pin) = &companions.first_seen else {
            return;
        };
        let Err(error) = self.store.put_first_seen(key, pin).await else {
            return;
        };
        match self.store.local().room() {
            // What a full disk means is said once, when it is full.
            Room::Low => {
                tracing::debug!(file = %key, %error, "the first-seen checksum is not recorded")
            }
            Room::Enough => {
                tracing::error!(file = %key, %error, "the first-seen checksum of a file that was served could not be recorded")
            }
        }
    }
}
