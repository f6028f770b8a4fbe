//! A catalog in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::claims::Claims;
use super::feed::Feed;
use super::*;
use crate::clock::SharedClock;

/// Forgets everything when it is dropped.
pub struct MemoryCatalog {
    facts: RwLock<BTreeMap<String, Fact>>,
    totals: watch::Sender<Totals>,
    claims: Claims,
    feed: Feed,
}

impl MemoryCatalog {
    /// Nothing is known.
    pub fn new(clock: &SharedClock) -> Self {
        MemoryCatalog {
            facts: RwLock::default(),
            totals: watch::Sender::default(),
            claims: Claims::new(clock.clone()),
            feed: Feed::new(clock),
        }
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn read(&self, key: &FactKey) -> Result<Option<Fact>, CatalogError> {
        Ok(self.facts.read().get(&key.to_string()).cloned())
    }

    async fn apply(
        &self,
        expect: Vec<Expect>,
        changes: Vec<Change>,
    ) -> Result<Applied, CatalogError> {
        let mut facts = self.facts.write();
        let holds = |expect: &Expect| match expect {
            Expect::Unknown(key) => !facts.contains_key(&key.to_string()),
            Expect::Is(fact) => facts.get(&fact.key().to_string()) == Some(fact),
            Expect::Held(claim) => self.claims.is_held(claim),
        };
        if !expect.iter().all(holds) {
            return Ok(Applied::Conflict);
        }
        let mut totals = *self.totals.borrow();
        let changed: Vec<_> = changes.iter().map(Change::key).collect();
        for change in changes {
            let name = change.key().to_string();
            let old = match change {
                Change::Put(fact) => {
                    totals.add(&fact);
                    facts.insert(name, fact)
                }
                Change::Remove(_) => facts.remove(&name),
            };
            if let Some(old) = old {
                totals.subtract(&old);
            }
        }
        self.totals.send_replace(totals);
        self.feed.push(changed);
        Ok(Applied::Done)
    }

    async fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError> {
        let prefix = format!("{}{}", query.kind().prefix(), query.path());
        let facts = self.facts.read();
        let from = match after {
            Some(Cursor(after)) => Bound::Excluded(after.clone()),
            None => Bound::Included(prefix.clone()),
        };
        let mut page = Page::default();
        for (name, fact) in facts.range((from, Bound::Unbounded)) {
            if !name.starts_with(&prefix) {
                page.next = None;
                break;
            }
            if page.facts.len() == limit {
                break;
            }
            if query.wants(fact) {
                page.facts.push(fact.clone());
            }
            page.next = Some(Cursor(name.clone()));
        }
        if page.facts.len() < limit {
            page.next = None;
        }
        Ok(page)
    }

    async fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        lease: Duration,
    ) -> Result<Claimed, CatalogError> {
        self.claims.claim(key, owner, lease)
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<bool, CatalogError> {
        Ok(self.claims.renew(claim, lease))
    }

    async fn release(&self, claim: &Claim) -> Result<(), CatalogError> {
        self.claims.release(claim);
        Ok(())
    }

    async fn changes(&self, after: Sequence) -> Result<Changes, CatalogError> {
        Ok(self.feed.after(after))
    }

    fn sequence(&self) -> watch::Receiver<Sequence> {
        self.feed.sequence()
    }

    fn totals(&self) -> watch::Receiver<Totals> {
        self.totals.subscribe()
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    async fn close(&self) {}
}
