//! What was served although its database could not be asked is asked about again, until somebody has vouched for it; what
//! proves wrong is taken back.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream;

use super::Engine;
use super::error::EngineError;
use super::vouch::Refusal;
use crate::clock::Millis;
use crate::protocol::FileKey;
use crate::store::{FileRecord, Store, UnsettledRecord, Verified};
use crate::sumdb::SumdbError;

/// Files that are asked about at the same time.
const AT_ONCE: usize = 8;
/// After how many times of "not known" a file is taken back.
const TIMES_UNKNOWN: u32 = 3;
/// The same for what is pinned meanwhile. Milliseconds.
const PINNED_PAUSE: u64 = 3_600_000;

/// What came of asking about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It has been vouched for.
    Settled,
    /// It was wrong and is gone.
    Withdrawn,
    /// Still open.
    Open,
    /// Nobody can be asked at the moment.
    Unavailable,
}

/// What a round of settling has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Files that somebody has vouched for.
    pub settled: u64,
    /// Files that were taken back.
    pub withdrawn: u64,
    /// Files still open.
    pub open: u64,
}

impl Engine {
    /// Asks about what is still to be vouched for; ends early when nobody can be asked.
    pub async fn settle_due(&self) -> Result<Settled, EngineError> {
        let mut done = Settled::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.unsettled(after.as_deref()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let now = self.clock.now();
            let due = |record: &UnsettledRecord| record.not_before <= now;
            let (due, later): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|(_, record)| due(record));
            done.open += later.len() as u64;
            let steps = stream::iter(due)
                .map(|(name, record)| async move { self.settle_one(&name, &record).await });
            let mut steps = steps.buffer_unordered(AT_ONCE);
            while let Some(step) = steps.next().await {
                match step? {
                    Step::Settled => done.settled += 1,
                    Step::Withdrawn => done.withdrawn += 1,
                    Step::Open => done.open += 1,
                    // The others will not get an answer either.
                    Step::Unavailable => return Ok(done),
                }
            }
        }
        self.metrics
            .unsettled
            .set(i64::try_from(done.open).unwrap_or(i64::MAX));
        Ok(done)
    }

    async fn settle_one(&self, name: &str, record: &UnsettledRecord) -> Result<Step, EngineError> {
        let Some(key) = Store::file_of(name) else {
            return Ok(Step::Open);
        };
        let Some((file, h1)) = self.recorded(&key).await? else {
            self.store.settle(&key, Verified::None, None, None).await?;
            return Ok(Step::Settled);
        };
        if !self.voucher.covers(&key.module) {
            return self.settle_by_pin(&key, &file, &h1).await;
        }
        match self.voucher.ask(&key.module, &key.version, None).await {
            Ok(said) => match self.voucher.compare(&key, &h1, &file.from, &said) {
                Ok(vouched) => {
                    self.store
                        .settle(&key, vouched.verified, vouched.by, None)
                        .await?;
                    self.changed(&key);
                    Ok(Step::Settled)
                }
                Err(mismatch) => self.take_back(&key, &mismatch).await,
            },
            Err(refusal) => self.not_vouched(&key, &file, record, refusal).await,
        }
    }

    /// How often what is open is looked through. Milliseconds.
    fn settle_every(&self) -> u64 {
        u64::try_from(self.settings.settle_every.as_millis()).unwrap_or(u64::MAX / 8)
    }

    async fn recorded(&self, key: &FileKey) -> Result<Option<(FileRecord, String)>, EngineError> {
        let record = self.store.record(key).await?;
        Ok(record.and_then(|record| {
            let h1 = record.h1.clone()?;
            Some((record, h1))
        }))
    }

    /// The rules have changed: no database covers it any more.
    async fn settle_by_pin(
        &self,
        key: &FileKey,
        file: &FileRecord,
        h1: &str,
    ) -> Result<Step, EngineError> {
        match self.voucher.pin(key, h1, &file.from, false).await {
            Ok(vouched) => {
                let pin = vouched.beside.pin;
                self.store.settle(key, Verified::Pin, None, pin).await?;
                self.changed(key);
                Ok(Step::Settled)
            }
            Err(mismatch) => self.take_back(key, &mismatch).await,
        }
    }

    async fn not_vouched(
        &self,
        key: &FileKey,
        file: &FileRecord,
        record: &UnsettledRecord,
        refusal: Refusal,
    ) -> Result<Step, EngineError> {
        let pause = match &refusal.error {
            SumdbError::Unknown { .. } if self.voucher.settings().pin_unknown => {
                if file.verified == Verified::None {
                    let h1 = file.h1.as_deref().unwrap_or_default();
                    let pin = self
                        .voucher
                        .pin(key, h1, &file.from, true)
                        .await?
                        .beside
                        .pin;
                    self.store.settle(key, Verified::Pin, None, pin).await?;
                    self.changed(key);
                }
                PINNED_PAUSE
            }
            SumdbError::Unknown { .. } if record.unknown + 1 >= TIMES_UNKNOWN => {
                let why = EngineError::absent(format!(
                    "the checksum database {} does not know it: {}",
                    refusal.database, refusal.error
                ));
                return self.take_back(key, &why).await;
            }
            // A new version may become known.
            SumdbError::Unknown { .. } => self.settle_every() * 2,
            error if error.is_unavailable() => return Ok(Step::Unavailable),
            _ => self.settle_every() * 4,
        };
        let again = UnsettledRecord {
            since: record.since,
            unknown: record.unknown
                + u32::from(matches!(refusal.error, SumdbError::Unknown { .. })),
            not_before: Millis(self.clock.now().0.saturating_add(pause)),
        };
        self.store.put_unsettled(key, &again).await?;
        Ok(Step::Open)
    }

    async fn take_back(&self, key: &FileKey, why: &EngineError) -> Result<Step, EngineError> {
        tracing::error!(file = %key, %why, "a file that was served unverified is taken back");
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
        self.hot.remove_file(key);
        self.epoch.fetch_add(1, Ordering::Release);
    }
}
