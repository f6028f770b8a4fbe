//! A catalog whose reads and changes can be held at a chosen moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::clock::SharedClock;
use crate::store::catalog::memory::MemoryCatalog;
use crate::store::catalog::{
    Applied, Change, Changes, Claim, ClaimKey, Claimed, Cursor, Expect, Page, Query, Sequence,
};
use crate::store::{Catalog, CatalogError, Fact, FactKey, Health, Totals};

/// Where something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A fact is about to be read.
    Read,
    /// A fact has been read, and is about to be told.
    HasRead,
    /// A fact is about to be changed.
    Change,
}

/// A [`MemoryCatalog`] that can be held.
pub(super) struct HeldCatalog {
    inner: MemoryCatalog,
    next: Mutex<Option<Next>>,
    closed: AtomicBool,
}

struct Next {
    at: At,
    key: FactKey,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// Somebody who will be, or is, held.
pub(super) struct Hold {
    reached: Option<oneshot::Receiver<()>>,
    go_on: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until somebody is held.
    pub(super) async fn reached(&mut self) {
        let reached = self.reached.take().expect("waited for once");
        reached.await.expect("somebody comes by");
    }

    /// Lets it go on.
    pub(super) fn go_on(self) {
        let _ = self.go_on.send(());
    }
}

impl HeldCatalog {
    /// Nothing is known.
    pub(super) fn new(clock: &SharedClock) -> Self {
        HeldCatalog {
            inner: MemoryCatalog::new(clock),
            next: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The next one who comes by there with this fact will be held.
    pub(super) fn hold(&self, at: At, key: FactKey) -> Hold {
        let (reached, has_reached) = oneshot::channel();
        let (go, go_on) = oneshot::channel();
        *self.next.lock() = Some(Next {
            at,
            key,
            reached,
            go_on,
        });
        Hold {
            reached: Some(has_reached),
            go_on: go,
        }
    }

    async fn passes(&self, at: At, key: &FactKey) {
        let is_meant = |next: &mut Next| next.at == at && next.key == *key;
        let next = self.next.lock().take_if(is_meant);
        if let Some(next) = next {
            let _ = next.reached.send(());
            let _ = next.go_on.await;
        }
    }
}

#[async_trait]
impl Catalog for HeldCatalog {
    async fn read(&self, key: &FactKey) -> Result<Option<Fact>, CatalogError> {
        self.passes(At::Read, key).await;
        let fact = self.inner.read(key).await;
        self.passes(At::HasRead, key).await;
        fact
    }

    async fn apply(
        &self,
        expect: Vec<Expect>,
        changes: Vec<Change>,
    ) -> Result<Applied, CatalogError> {
        for change in &changes {
            self.passes(At::Change, &change.key()).await;
        }
        if self.closed.load(Ordering::SeqCst) {
            return Err(CatalogError::Unavailable);
        }
        self.inner.apply(expect, changes).await
    }

    async fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError> {
        self.inner.page(query, after, limit).await
    }

    async fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        lease: Duration,
    ) -> Result<Claimed, CatalogError> {
        self.inner.claim(key, owner, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<bool, CatalogError> {
        self.inner.renew(claim, lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), CatalogError> {
        self.inner.release(claim).await
    }

    async fn changes(&self, after: Sequence) -> Result<Changes, CatalogError> {
        self.inner.changes(after).await
    }

    fn sequence(&self) -> watch::Receiver<Sequence> {
        self.inner.sequence()
    }

    fn totals(&self) -> watch::Receiver<Totals> {
        self.inner.totals()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.inner.close().await;
    }
}
