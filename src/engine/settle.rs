//! What was served although its database could not be asked is asked about again, until somebody has vouched for it; what
//! proves wrong is taken back.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::Engine;
use super::error::{Class, EngineError};
use super::vouch::Refusal;
use crate::clock::Timestamp;
use crate::errand::Errand;
use crate::protocol::{FileKey, Kind};
use crate::store::{FileRecord, PinRecord, Settle, Store, UnsettledRecord, Verified};
use crate::sumdb::SumdbError;

/// Files that are asked about at the same time.
const AT_ONCE: usize = 8;
/// After how many answers of "not known" in a row a file is taken back.
const TIMES_UNKNOWN: u32 = 3;
/// How many files in a row may find nobody to ask before the rest waits for the next round.
const IN_VAIN: u32 = 16;
/// How often a database is asked again about what it does not know, which is held to the checksum seen first. Milliseconds.
const UNKNOWN_PAUSE: u64 = 3_600_000;

/// Rest after each page of what is kept that is looked through, in times of what the page took.
const LOOK_REST: u32 = 2;

/// What a round of settling has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Files that somebody has vouched for.
    pub settled: u64,
    /// Files that were taken back.
    pub withdrawn: u64,
}

/// What came of asking about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It has been vouched for.
    Settled,
    /// It was wrong and is gone.
    Withdrawn,
    /// To be asked about again.
    Open,
    /// Nobody could be asked.
    InVain,
}

impl Engine {
    /// Asks about what is still to be vouched for and due; ends early when nobody can be asked.
    pub async fn settle_due(&self) -> Result<Settled, EngineError> {
        let mut done = Settled::default();
        let mut after: Option<String> = None;
        let in_vain = AtomicU32::new(0);
        loop {
            let page = self.store.unsettled(after.as_deref()).await?;
            let Some((last, _)) = page.last() else {
                return Ok(done);
            };
            after = Some(last.clone());
            let now = self.clock.now();
            let due = page.into_iter().filter(|(_, it)| it.not_before <= now);
            let steps = stream::iter(due).map(|(name, record)| {
                let in_vain = &in_vain;
                async move {
                    if in_vain.load(Ordering::Relaxed) >= IN_VAIN {
                        return Step::Open;
                    }
                    let step = self.settle_one(&name, record).await;
                    match step {
                        Step::InVain => in_vain.fetch_add(1, Ordering::Relaxed),
                        _ => in_vain.swap(0, Ordering::Relaxed),
                    };
                    step
                }
            });
            let mut steps = steps.buffer_unordered(AT_ONCE);
            while let Some(step) = steps.next().await {
                match step {
                    Step::Settled => done.settled += 1,
                    Step::Withdrawn => done.withdrawn += 1,
                    Step::Open | Step::InVain => {}
                }
            }
            if in_vain.load(Ordering::Relaxed) >= IN_VAIN {
                return Ok(done);
            }
        }
    }

    /// One file; a fault of the store leaves it as it is.
    async fn settle_one(&self, name: &str, record: UnsettledRecord) -> Step {
        match self.try_settle(name, record).await {
            Ok(step) => step,
            Err(error) => {
                tracing::warn!(name, %error, "a file that was served unverified could not be settled");
                Step::Open
            }
        }
    }

    async fn try_settle(&self, name: &str, record: UnsettledRecord) -> Result<Step, EngineError> {
        let Some(key) = Store::file_of(name) else {
            return Ok(Step::Open);
        };
        let file = self.store.record(&key).await?;
        let Some((file, h1)) = file.and_then(|file| file.h1.clone().map(|h1| (file, h1))) else {
            self.store.remove_unsettled(&key).await?;
            self.show_totals();
            return Ok(Step::Settled);
        };
        if !self.voucher.covers(&key.module) {
            return match self.pinned(&key, &file, &h1, false).await? {
                Some(pin) => self.settled(&key, &h1, Verified::Pin, None, pin).await,
                None => Ok(Step::Withdrawn),
            };
        }
        self.voucher.forget_unknown(&key);
        match self
            .voucher
            .ask(&key.module, &key.version, &Errand::default())
            .await
        {
            Ok(said) => match self.voucher.compare(&key, &h1, &file.from, &said) {
                Ok(vouched) => {
                    self.settled(&key, &h1, vouched.verified, vouched.by, None)
                        .await
                }
                Err(mismatch) => self.take_back(&key, &h1, &mismatch).await,
            },
            Err(refusal) => self.not_vouched(&key, &file, &h1, record, refusal).await,
        }
    }

    /// Holds a kept file to the checksum seen first. `None` if it is not what was first seen, and so is taken back.
    async fn pinned(
        &self,
        key: &FileKey,
        file: &FileRecord,
        h1: &str,
        unknown: bool,
    ) -> Result<Option<Option<PinRecord>>, EngineError> {
        match self.voucher.first_seen(key, h1, &file.from, unknown).await {
            Ok(vouched) => Ok(Some(vouched.beside.pin)),
            Err(mismatch) if mismatch.class == Class::Rejected => {
                self.take_back(key, h1, &mismatch).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn settled(
        &self,
        key: &FileKey,
        h1: &str,
        verified: Verified,
        by: Option<String>,
        pin: Option<PinRecord>,
    ) -> Result<Step, EngineError> {
        let settle = Settle { verified, by, pin };
        if !self.store.settle(key, h1, settle).await? {
            // It has been fetched anew meanwhile.
            return Ok(Step::Open);
        }
        self.changed(key);
        Ok(Step::Settled)
    }

    async fn not_vouched(
        &self,
        key: &FileKey,
        file: &FileRecord,
        h1: &str,
        mut record: UnsettledRecord,
        refusal: Refusal,
    ) -> Result<Step, EngineError> {
        let every = u64::try_from(self.settings.settle_every.as_millis()).unwrap_or(u64::MAX / 8);
        let in_vain = refusal.error.is_unavailable();
        let unknown = matches!(refusal.error, SumdbError::Unknown { .. });
        record.unknown = if unknown { record.unknown + 1 } else { 0 };
        let pause = if unknown && self.voucher.settings().first_seen_unknown {
            let Some(pin) = self.pinned(key, file, h1, true).await? else {
                return Ok(Step::Withdrawn);
            };
            if file.verified == Verified::None {
                let settle = Settle {
                    verified: Verified::Pin,
                    by: None,
                    pin,
                };
                self.store.settle(key, h1, settle).await?;
                self.changed(key);
            }
            UNKNOWN_PAUSE
        } else if unknown && record.unknown >= TIMES_UNKNOWN {
            let why = EngineError::absent(format!(
                "the checksum database {} does not know it: {}",
                refusal.database, refusal.error
            ));
            return self.take_back(key, h1, &why).await;
        } else if unknown {
            // A new version may become known.
            every << record.unknown
        } else {
            every * 2
        };
        record.not_before = Timestamp(self.clock.now().0.saturating_add(pause));
        self.store.put_unsettled(key, &record).await?;
        Ok(if in_vain { Step::InVain } else { Step::Open })
    }

    async fn take_back(
        &self,
        key: &FileKey,
        h1: &str,
        why: &EngineError,
    ) -> Result<Step, EngineError> {
        if self
            .store
            .record(key)
            .await?
            .and_then(|it| it.h1)
            .as_deref()
            != Some(h1)
        {
            // It has been fetched anew meanwhile.
            return Ok(Step::Open);
        }
        tracing::error!(file = %key, %why, "a kept file is taken back");
        self.metrics.rejected.inc();
        self.withdraw(key).await?;
        Ok(Step::Withdrawn)
    }

    /// Takes a kept file back, from every place where it could be answered from.
    pub async fn withdraw(&self, key: &FileKey) -> Result<(), EngineError> {
        self.store.withdraw(key).await?;
        self.changed(key);
        Ok(())
    }

    /// What is known of a kept file has changed: forgets what is in memory of it, here and in the face.
    pub fn changed(&self, key: &FileKey) {
        self.epoch.fetch_add(1, Ordering::Release);
        self.hot.remove_file(key);
        self.show_totals();
    }

    /// Marks what was kept under other rules: what a database covers now, and
    /// none has vouched for yet, is asked about.
    pub async fn look_through_kept(&self, rules: &str) -> Result<(), EngineError> {
        if self.store.rules().await?.as_deref() != Some(rules) {
            let mut after: Option<String> = None;
            loop {
                let begun = Instant::now();
                let page = self.store.files(after.as_deref()).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                let unvouched = page.into_iter().filter_map(|(name, record)| {
                    let (key, record) = (Store::file_of(&name)?, record?);
                    let open = key.kind != Kind::Info
                        && record.verified != Verified::Sumdb
                        && self.voucher.covers(&key.module);
                    open.then_some(key)
                });
                self.store
                    .mark_unsettled(unvouched, self.clock.now())
                    .await?;
                // Looking through millions takes a part of one core only.
                tokio::time::sleep(begun.elapsed() * LOOK_REST).await;
            }
            self.store.put_rules(rules).await?;
        }
        self.show_totals();
        Ok(())
    }
}
