//! Re-verification: what was served although its database could not be asked is asked about again, until somebody has
//! vouched for it; what proves wrong is revoked.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use futures_util::stream;

use super::Engine;
use super::error::{Class, EngineError};
use super::verifier::Refusal;
use crate::clock::Timestamp;
use crate::gomod::H1;
use crate::kit::FetchContext;
use crate::protocol::{FileKey, Kind};
use crate::store::walk::OverRecords;
use crate::store::{FileRecord, PendingRecord, Verification, Verified};
use crate::sumdb::SumdbError;

/// Files that are asked about at the same time.
const AT_ONCE: usize = 8;
/// After how many answers of "not known" in a row a file is revoked.
const TIMES_UNKNOWN: u32 = 3;
/// How many files in a row may find nobody to ask before the rest waits for the next round.
const IN_VAIN: u32 = 16;
/// How often a database is asked again about what it does not know, which is held to the checksum seen first. Milliseconds.
const UNKNOWN_PAUSE: u64 = 3_600_000;

/// Rest after each page of what is kept that is looked through, in times of what the page took.
const LOOK_REST: u32 = 2;

/// What a round of re-verification has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reverified {
    /// Files that somebody has vouched for.
    pub verified: u64,
    /// Files that were revoked.
    pub revoked: u64,
}

/// What came of asking about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It has been vouched for.
    Verified,
    /// It was wrong and is gone.
    Revoked,
    /// To be asked about again.
    Pending,
    /// Nobody could be asked.
    InVain,
}

impl Engine {
    /// Asks about what is still to be vouched for and due; ends early when nobody can be asked.
    pub async fn reverify_due(&self) -> Result<Reverified, EngineError> {
        let mut done = Reverified::default();
        let in_vain = AtomicU32::new(0);
        let mut pages = self.store.due(self.clock.now());
        while let Some(due) = pages.next().await? {
            let steps = stream::iter(due).map(|(key, record)| {
                let in_vain = &in_vain;
                async move {
                    if in_vain.load(Ordering::Relaxed) >= IN_VAIN {
                        return Step::Pending;
                    }
                    let step = self.reverify_one(&key, record).await;
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
                    Step::Verified => done.verified += 1,
                    Step::Revoked => done.revoked += 1,
                    Step::Pending | Step::InVain => {}
                }
            }
            if in_vain.load(Ordering::Relaxed) >= IN_VAIN {
                break;
            }
        }
        Ok(done)
    }

    /// One file; a fault of the store leaves it as it is.
    async fn reverify_one(&self, key: &FileKey, record: PendingRecord) -> Step {
        match self.try_reverify(key, record).await {
            Ok(step) => step,
            Err(error) => {
                tracing::warn!(file = %key, %error, "a file that was served unverified could not be re-verified");
                Step::Pending
            }
        }
    }

    async fn try_reverify(
        &self,
        key: &FileKey,
        record: PendingRecord,
    ) -> Result<Step, EngineError> {
        let file = self.store.record(key).await?;
        let Some((file, h1)) = file.and_then(|file| file.h1.map(|h1| (file, h1))) else {
            self.store.remove_pending(key).await?;
            self.show_totals();
            return Ok(Step::Verified);
        };
        let context = self.background(&key.module, FetchContext::default());
        if !self.verifier.covers(&context.decision) {
            return match self.first_seen(key, &file, &h1, false).await? {
                Some(verification) => self.verified(key, &h1, verification).await,
                None => Ok(Step::Revoked),
            };
        }
        self.verifier.forget_unknown(key);
        match self
            .verifier
            .ask(&key.module, &key.version, &context.fetch)
            .await
        {
            Ok(said) => match self.verifier.compare(key, &h1, &file.from, &said) {
                Ok(vouched) => self.verified(key, &h1, vouched.into()).await,
                Err(mismatch) => self.revoke_wrong(key, &h1, &mismatch).await,
            },
            Err(refusal) => {
                let first_seen = context.rules.verification.first_seen_unknown;
                self.not_vouched(key, &file, &h1, record, refusal, first_seen)
                    .await
            }
        }
    }

    /// Holds a kept file to the checksum seen first. `None` if it is not what was first seen, and so is revoked.
    async fn first_seen(
        &self,
        key: &FileKey,
        file: &FileRecord,
        h1: &H1,
        unknown: bool,
    ) -> Result<Option<Verification>, EngineError> {
        match self.verifier.first_seen(key, h1, &file.from, unknown).await {
            Ok(vouched) => Ok(Some(vouched.into())),
            Err(mismatch) if mismatch.class() == Class::VerificationFailed => {
                self.revoke_wrong(key, h1, &mismatch).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn verified(
        &self,
        key: &FileKey,
        h1: &H1,
        verification: Verification,
    ) -> Result<Step, EngineError> {
        Ok(match self.put_verification(key, h1, verification).await? {
            true => Step::Verified,
            // It has been fetched anew meanwhile.
            false => Step::Pending,
        })
    }

    async fn not_vouched(
        &self,
        key: &FileKey,
        file: &FileRecord,
        h1: &H1,
        mut record: PendingRecord,
        refusal: Refusal,
        first_seen_unknown: bool,
    ) -> Result<Step, EngineError> {
        let every = u64::try_from(self.settings.reverify_every.as_millis()).unwrap_or(u64::MAX / 8);
        let in_vain = refusal.error.is_unavailable();
        let unknown = matches!(refusal.error, SumdbError::Unknown { .. });
        record.unknown = if unknown { record.unknown + 1 } else { 0 };
        let pause = if unknown && first_seen_unknown {
            let Some(verification) = self.first_seen(key, file, h1, true).await? else {
                return Ok(Step::Revoked);
            };
            if file.verified == Verified::None {
                self.put_verification(key, h1, verification).await?;
            }
            UNKNOWN_PAUSE
        } else if unknown && record.unknown >= TIMES_UNKNOWN {
            let why = format!(
                "the checksum database {} does not know it: {}",
                refusal.database, refusal.error
            );
            return self.revoke_wrong(key, h1, &why).await;
        } else if unknown {
            // A new version may become known.
            every << record.unknown
        } else {
            every * 2
        };
        record.not_before = Timestamp(self.clock.now().0.saturating_add(pause));
        self.store.put_pending(key, &record).await?;
        Ok(if in_vain { Step::InVain } else { Step::Pending })
    }

    async fn revoke_wrong(
        &self,
        key: &FileKey,
        h1: &H1,
        why: &(dyn Display + Sync),
    ) -> Result<Step, EngineError> {
        if self.store.record(key).await?.and_then(|it| it.h1).as_ref() != Some(h1) {
            // It has been fetched anew meanwhile.
            return Ok(Step::Pending);
        }
        tracing::error!(file = %key, %why, "a kept file is revoked");
        self.metrics.rejected.inc();
        self.revoke(key).await?;
        Ok(Step::Revoked)
    }

    /// Records what a kept file, which had this h1, was verified by; false if that is not what is kept now.
    pub async fn put_verification(
        &self,
        key: &FileKey,
        h1: &H1,
        verification: Verification,
    ) -> Result<bool, EngineError> {
        let put = self.store.put_verification(key, h1, verification).await?;
        if put {
            self.has_changed(key);
        }
        Ok(put)
    }

    /// Revokes a kept file: it is answered from nowhere any more.
    pub async fn revoke(&self, key: &FileKey) -> Result<(), EngineError> {
        let revoked = self.store.revoke(key).await;
        // A part may be done where the whole has failed.
        self.has_changed(key);
        Ok(revoked?)
    }

    /// What is known of a kept file has changed: answers that were made before are not given any more.
    fn has_changed(&self, key: &FileKey) {
        self.validities.end(key);
        self.memory.forget(key);
        self.show_totals();
    }

    /// Marks what was kept under other rules than those in force: what a database covers now, and
    /// none has vouched for yet, is asked about.
    pub async fn look_through_kept(&self) -> Result<(), EngineError> {
        let in_force = self.rules();
        let rules = self.verifier.rules(&in_force.policy.unlisted());
        if self.store.rules().await?.as_deref() != Some(&*rules) {
            // Looking through millions takes a part of one core only.
            let mut walk = OverRecords::of(&self.store).resting(LOOK_REST);
            while let Some(page) = walk.next().await? {
                let unverified = page.files.into_iter().filter_map(|(key, record)| {
                    let open = key.kind != Kind::Info
                        && record.verified != Verified::Sumdb
                        && self.verifier.covers(&in_force.policy.decide(&key.module));
                    open.then_some(key)
                });
                self.store
                    .mark_pending(unverified, self.clock.now())
                    .await?;
            }
            self.store.put_rules(&rules).await?;
        }
        self.show_totals();
        Ok(())
    }
}
