//! The catalog: the truth about what is known, as typed facts.
//!
//! [`Catalog`] is the seam for other places to keep them. One suite of tests (`store/contract.rs`) holds for every
//! implementation; the comments here say what it tests, and what nobody may rely on.
//!
//! * **Atomicity.** The changes of one [`Catalog::apply`] become visible together or not at all, also when the process,
//!   the machine or the connection dies in the middle. Its expectations are judged in the same step: nothing comes
//!   between the judgement and the changes.
//! * **Durability.** When `apply` has returned, the changes survive the end of the process. (Of a power cut the last half
//!   second may be lost in sled: a file is on disk before its fact is, so what is lost is fetched again.) If it returns an
//!   error, it is not known whether they were made; making them again does no harm.
//! * **Order.** Two transactions are ordered as they returned; the [feed](Catalog::changes) tells of them in that order
//!   and never skips one that was committed late.
//! * **What may be stale.** [`Catalog::read`] and [`Catalog::page`] see everything that this process has applied. What
//!   another node has applied may come later, but within what the feed promises. A page is no snapshot: what is there
//!   from the first page to the last is seen once, what comes or goes meanwhile once or not at all.
//! * **Time.** Leases end by the catalog's clock, never by that of whoever asks. No method leaves anything open behind
//!   it: no session, no lock, no transaction.

mod claims;
mod error;
mod feed;
#[cfg(test)]
pub mod memory;
pub mod sled;
mod totals;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use claims::{Claim, ClaimKey, Claimed};
pub use error::CatalogError;
pub use feed::{Changes, Sequence};
pub use totals::Totals;

use super::model::{Fact, FactKey, FactKind};
use crate::clock::Timestamp;
use crate::gomod::ModulePath;

/// One change of what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is known now, in place of what was under its name.
    Put(Fact),
    /// Nothing is known under this name any more.
    Remove(FactKey),
}

impl Change {
    /// What it changes.
    pub fn key(&self) -> FactKey {
        match self {
            Change::Put(fact) => fact.key(),
            Change::Remove(key) => key.clone(),
        }
    }
}

/// What must hold for changes to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is known under this name. (What is damaged counts as unknown.)
    Unknown(FactKey),
    /// Exactly this is known.
    Is(Fact),
    /// The claim is still held.
    Held(Claim),
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// All changes were made.
    Done,
    /// None was: an expectation did not hold.
    Conflict,
}

/// Which facts to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every one of a kind.
    All(FactKind),
    /// Those of one module, of a kind that is known by module.
    OfModule(FactKind, ModulePath),
    /// Those of all modules below a path, given escaped and without a slash at its end; the module of just that path is
    /// one of them.
    Below(FactKind, String),
    /// Verifications that are due then.
    Due(Timestamp),
    /// What is known of a checksum database.
    Database(String),
}

impl Query {
    fn kind(&self) -> FactKind {
        match self {
            Query::All(kind) | Query::OfModule(kind, _) | Query::Below(kind, _) => *kind,
            Query::Due(_) => FactKind::Pending,
            Query::Database(_) => FactKind::Sumdb,
        }
    }

    /// With this begin, after the kind's prefix, the names of all that it gives.
    fn path(&self) -> String {
        match self {
            Query::All(_) | Query::Due(_) => String::new(),
            // Followed by `v/…` or `latest`.
            Query::OfModule(_, module) => format!("{}/@", module.escaped()),
            Query::Below(_, path) => format!("{path}/"),
            Query::Database(name) => format!("{name}/"),
        }
    }

    /// Whether it gives a fact whose name begins as it should.
    fn wants(&self, fact: &Fact) -> bool {
        match (self, fact) {
            (Query::Due(now), Fact::Pending(_, record)) => record.not_before <= *now,
            _ => true,
        }
    }
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In an order that stays the same. There may be fewer than asked for, even none, before the end.
    pub facts: Vec<Fact>,
    /// Names of what is there but damaged, and so unknown.
    pub damaged: Vec<String>,
    /// The end is reached if there is none.
    pub next: Option<Cursor>,
}

/// Whether the catalog can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers, and the last change went through.
    Ready,
    /// It answers, but what changes is in memory only, because the disk has no room for it.
    InMemory,
    /// It is being reopened.
    Unavailable,
}

/// What is known.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// What is known under this name; what is damaged counts as unknown. Quick enough for the path of a hit: it does not
    /// wait for a network.
    async fn read(&self, key: &FactKey) -> Result<Option<Fact>, CatalogError>;

    /// Makes all changes, in their order, if every expectation holds, else none.
    async fn apply(
        &self,
        expect: Vec<Expect>,
        changes: Vec<Change>,
    ) -> Result<Applied, CatalogError>;

    /// Up to `limit` facts after `after`, in an order that stays the same.
    async fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, CatalogError>;

    /// Takes a claim for `owner`, or says who has it. Of all that ask at once, on all nodes, one gets it. Each time that it
    /// is given its epoch is greater than ever before, so that who has lost it is told apart
    /// ([`Expect::Held`]).
    async fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        lease: Duration,
    ) -> Result<Claimed, CatalogError>;

    /// Extends a claim to `lease` from now; false if it is not held any more.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<bool, CatalogError>;

    /// Gives a claim back before its end. Nothing happens if it is not held any more.
    async fn release(&self, claim: &Claim) -> Result<(), CatalogError>;

    /// What has changed after `after`: every transaction once, in order. [`Changes::Missed`] if that reaches further back
    /// than is remembered: then whatever was derived from facts is to be forgotten.
    async fn changes(&self, after: Sequence) -> Result<Changes, CatalogError>;

    /// Where the feed is; wakes whoever waits for a change. It may be behind, but what it gives is never ahead of what
    /// [`Catalog::read`] sees.
    fn sequence(&self) -> watch::Receiver<Sequence>;

    /// How much is kept: right at every moment, since it changes in one step with what it counts.
    fn totals(&self) -> watch::Receiver<Totals>;

    /// Whether it can be used.
    fn health(&self) -> Health;

    /// Ends it: everything that was acknowledged is durable when this returns, and later calls fail.
    async fn close(&self);
}

/// A list, page by page.
pub struct Pages {
    catalog: Arc<dyn Catalog>,
    query: Query,
    limit: usize,
    after: Option<Cursor>,
    ended: bool,
}

impl Pages {
    /// From the beginning.
    pub fn new(catalog: &Arc<dyn Catalog>, query: Query, limit: usize) -> Self {
        Pages {
            catalog: Arc::clone(catalog),
            query,
            limit,
            after: None,
            ended: false,
        }
    }

    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Page>, CatalogError> {
        if self.ended {
            return Ok(None);
        }
        let after = self.after.as_ref();
        let mut page = self.catalog.page(&self.query, after, self.limit).await?;
        self.after = page.next.take();
        self.ended = self.after.is_none();
        Ok(Some(page))
    }
}
