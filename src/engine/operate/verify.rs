//! Verifies what is kept: content, records, and what the databases say.

use super::OperateError;
use crate::engine::context::RequestContext;
use crate::engine::error::Class;
use crate::engine::verifier::Refusal;
use crate::engine::{Engine, EngineError};
use crate::gomod::H1;
use crate::kit::FetchContext;
use crate::protocol::{FileKey, Kind};
use crate::store::{FileRecord, Verified, rebuild};
use crate::sumdb::SumdbError;

/// What was found of one file. The texts are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing can vouch for a file of its kind; its content is in order.
    InOrder,
    /// A database vouches for it.
    Verified,
    /// It is what was first seen.
    FirstSeen,
    /// It is not what it should be.
    Wrong(String),
    /// A database cannot be trusted as it is.
    Untrusted(String),
    /// The databases do not know it.
    Unknown(String),
    /// Nobody could be asked.
    Unavailable(String),
}

impl Engine {
    /// Compares a kept file with what was recorded and with what is vouched for.
    pub async fn verify_kept(
        &self,
        key: &FileKey,
        record: FileRecord,
    ) -> Result<Finding, OperateError> {
        if let Err(why) = rebuild::check_file(&self.store, key, &record).await {
            return Ok(Finding::Wrong(why));
        }
        let (Some(h1), false) = (&record.h1, key.kind == Kind::Info) else {
            return Ok(Finding::InOrder);
        };
        let context = self.background(&key.module, FetchContext::default());
        let found = match self.verifier.covers(&context.decision) {
            true => self.verify_by_database(key, h1, &record, &context).await,
            false => self.verify_first_seen(key, h1, &record).await,
        };
        Ok(found?)
    }

    async fn verify_by_database(
        &self,
        key: &FileKey,
        h1: &H1,
        record: &FileRecord,
        context: &RequestContext,
    ) -> Result<Finding, EngineError> {
        let verifier = &self.verifier;
        let refusal = match verifier
            .ask(&key.module, &key.version, &context.fetch)
            .await
        {
            Ok(said) => {
                let vouched = match verifier.compare(key, h1, &record.from, &said) {
                    Ok(vouched) => vouched,
                    Err(mismatch) => return Ok(Finding::Wrong(mismatch.to_string())),
                };
                if record.verified != vouched.verified {
                    self.put_verification(key, h1, vouched.into()).await?;
                }
                return Ok(Finding::Verified);
            }
            Err(refusal) => refusal,
        };
        let Refusal { database, error } = refusal;
        Ok(match error {
            SumdbError::Unknown { text, .. } => match self.store.first_seen(key).await? {
                Some(first) if first.h1 == *h1 && context.rules.verification.first_seen_unknown => {
                    Finding::FirstSeen
                }
                _ => Finding::Unknown(text),
            },
            error if error.is_unavailable() => Finding::Unavailable(error.to_string()),
            error => Finding::Untrusted(format!("{database}: {error}")),
        })
    }

    async fn verify_first_seen(
        &self,
        key: &FileKey,
        h1: &H1,
        record: &FileRecord,
    ) -> Result<Finding, EngineError> {
        let vouched = match self.verifier.first_seen(key, h1, &record.from, false).await {
            Ok(vouched) => vouched,
            Err(mismatch) if mismatch.class() == Class::VerificationFailed => {
                return Ok(Finding::Wrong(mismatch.to_string()));
            }
            Err(error) => return Err(error),
        };
        let is_first = vouched.companions.first_seen.is_some();
        if record.verified != Verified::FirstSeen || is_first {
            self.put_verification(key, h1, vouched.into()).await?;
        }
        Ok(Finding::FirstSeen)
    }
}
