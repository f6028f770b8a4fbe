//! What is kept of what does not exist.

use super::absent::{AbsentChange, AbsentRecord, AbsentSet, AbsentSlot};
use super::catalog::{Change, Query};
use super::model::{Fact, FactKey, FactKind};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::protocol::Key;

impl Store {
    async fn absent_set(&self, slot: AbsentSlot, now: Timestamp) -> Result<AbsentSet, StoreError> {
        let mut set = match self.catalog.read(&FactKey::Absent(slot)).await? {
            Some(Fact::Absent(_, set)) => set,
            _ => AbsentSet::default(),
        };
        set.names.retain(|record| !record.is_over(now));
        Ok(set)
    }

    /// What was last said by every source, if it was that this does not exist.
    pub async fn absent(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<AbsentRecord>, StoreError> {
        let name = key.to_string();
        let set = self.absent_set(AbsentSlot::of(&name), now).await?;
        Ok(set.get(&name).cloned())
    }

    /// Makes changes, in one step. Only one caller at a time may do this. `may_write` is asked before something is written
    /// that was not known, or was known for long.
    pub async fn change_absent(
        &self,
        changes: Vec<AbsentChange>,
        now: Timestamp,
        mut may_write: impl FnMut() -> bool + Send,
    ) -> Result<(), StoreError> {
        let mut changed: Vec<(AbsentSlot, AbsentSet)> = Vec::new();
        for change in changes {
            let slot = AbsentSlot::of(change.name());
            let at = changed.iter().position(|(other, _)| *other == slot);
            let mut set = match at {
                Some(at) => changed.swap_remove(at).1,
                None => self.absent_set(slot, now).await?,
            };
            let differs = match change {
                AbsentChange::Appeared(name) => set.remove(&name),
                AbsentChange::Said(record) if set.wants(&record) && may_write() => {
                    let related = match set.is_full() && set.get(&record.name).is_none() {
                        true => self.related(&set).await?,
                        false => Vec::new(),
                    };
                    set.put(record, &related);
                    true
                }
                AbsentChange::Said(_) => false,
            };
            if differs || at.is_some() {
                changed.push((slot, set));
            }
        }
        let write = |(slot, set): (AbsentSlot, AbsentSet)| match set.names.is_empty() {
            true => Change::Remove(FactKey::Absent(slot)),
            false => Change::Put(Fact::Absent(slot, set)),
        };
        let changes: Vec<_> = changed.into_iter().map(write).collect();
        if !changes.is_empty() {
            self.change(changes).await?;
        }
        Ok(())
    }

    /// Of each name, whether a file of a module above or below it is kept.
    async fn related(&self, set: &AbsentSet) -> Result<Vec<bool>, StoreError> {
        let mut related = Vec::with_capacity(set.names.len());
        for record in &set.names {
            let module = record.name.split("/@").next().unwrap_or_default();
            related.push(self.is_near_kept(module).await?);
        }
        Ok(related)
    }

    /// Whether a file is kept of the module, given escaped, or of one below or above it.
    pub(super) async fn is_near_kept(&self, module: &str) -> Result<bool, StoreError> {
        let mut query = Query::Below(FactKind::File, module.to_owned());
        let mut above = Some(module);
        loop {
            if !self.catalog.page(&query, None, 1).await?.facts.is_empty() {
                return Ok(true);
            }
            above = above.and_then(|path| path.rsplit_once('/')).map(|it| it.0);
            let Some(path) = above else {
                return Ok(false);
            };
            query = Query::Below(FactKind::File, format!("{path}/@v"));
        }
    }
}
