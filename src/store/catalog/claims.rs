//! Claims of one process: who may do something now, until when. For catalogs that no other process shares: a claim ends
//! with the process that could have used it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::CatalogError;
use crate::clock::SharedClock;
use crate::protocol::Key;

/// Claims at the most.
const MOST: usize = 65_536;

/// What is claimed. Each kind has names of its own, so that no two kinds can meet.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey(Arc<str>);

impl ClaimKey {
    /// To fetch something.
    pub fn fetch(key: &Key) -> Self {
        ClaimKey(format!("fetch/{key}").into())
    }

    /// To do a job of which one is enough.
    pub fn job(name: &str) -> Self {
        ClaimKey(format!("job/{name}").into())
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A claim that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub key: ClaimKey,
    /// Greater than that of every earlier claim of the same.
    pub epoch: u64,
}

/// Whether a claim was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is the caller's now.
    Given(Claim),
    /// This owner has it, for so long unless it is renewed.
    Held {
        /// As it named itself.
        owner: String,
        /// What is left of the lease.
        left: Duration,
    },
}

struct Holder {
    owner: String,
    epoch: u64,
    until: Instant,
}

/// The claims of this process.
pub struct Claims {
    clock: SharedClock,
    inner: Mutex<Inner>,
}

struct Inner {
    holders: HashMap<ClaimKey, Holder>,
    epoch: u64,
}

impl Claims {
    /// None is held. Epochs begin at the time of day, so that they are greater than those of an earlier process.
    pub fn new(clock: SharedClock) -> Self {
        let inner = Mutex::new(Inner {
            holders: HashMap::new(),
            epoch: clock.now().0 << 16,
        });
        Claims { clock, inner }
    }

    /// See [`super::Catalog::claim`].
    pub fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        lease: Duration,
    ) -> Result<Claimed, CatalogError> {
        let now = self.clock.instant();
        let mut inner = self.inner.lock();
        if let Some(holder) = inner.holders.get(key).filter(|holder| holder.until > now) {
            return Ok(Claimed::Held {
                owner: holder.owner.clone(),
                left: holder.until - now,
            });
        }
        if inner.holders.len() >= MOST {
            inner.holders.retain(|_, holder| holder.until > now);
            if inner.holders.len() >= MOST {
                return Err(CatalogError::TooManyClaims);
            }
        }
        inner.epoch += 1;
        let epoch = inner.epoch;
        let holder = Holder {
            owner: owner.to_owned(),
            epoch,
            until: now + lease,
        };
        inner.holders.insert(key.clone(), holder);
        Ok(Claimed::Given(Claim {
            key: key.clone(),
            epoch,
        }))
    }

    /// See [`super::Catalog::renew`].
    pub fn renew(&self, claim: &Claim, lease: Duration) -> bool {
        let now = self.clock.instant();
        match self.inner.lock().holders.get_mut(&claim.key) {
            Some(holder) if holder.epoch == claim.epoch && holder.until > now => {
                holder.until = now + lease;
                true
            }
            _ => false,
        }
    }

    /// See [`super::Catalog::release`].
    pub fn release(&self, claim: &Claim) {
        let mut inner = self.inner.lock();
        let holder = inner.holders.get(&claim.key);
        if holder.is_some_and(|holder| holder.epoch == claim.epoch) {
            inner.holders.remove(&claim.key);
        }
    }

    /// Whether it is held now.
    pub fn is_held(&self, claim: &Claim) -> bool {
        let now = self.clock.instant();
        let inner = self.inner.lock();
        let holder = inner.holders.get(&claim.key);
        holder.is_some_and(|holder| holder.epoch == claim.epoch && holder.until > now)
    }
}
