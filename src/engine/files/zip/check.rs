//! A zip that has arrived whole is checked before its last part is released.

use std::sync::Arc;

use super::flight::{Verdict, ZipFlight};
use super::hashers::Hashers;
use super::sink::StagingSink;
use crate::clock::Timestamp;
use crate::engine::error::{Cause, EngineError};
use crate::engine::verifier::PendingVerification;
use crate::gomod::zip::{self as gozip, CheckedZip};
use crate::protocol::FileKey;
use crate::store::FileRecord;
use crate::upstream::SinkError;

/// What has arrived whole.
pub struct Arrived<'a> {
    /// Bytes.
    pub size: u64,
    /// Of all of them.
    pub sha256: [u8; 32],
    /// Who has sent it.
    pub from: &'a str,
    /// When.
    pub at: Timestamp,
}

/// A zip that has arrived whole: checks it by all rules, then asks who vouches for it. The verdict on its content
/// comes from the central directory; what was hashed on the way only saves doing it again.
pub async fn check(
    key: &FileKey,
    flight: &Arc<ZipFlight>,
    hashers: &Hashers,
    sink: StagingSink,
    arrived: Arrived<'_>,
    verification: PendingVerification,
) -> Result<Verdict, EngineError> {
    let Arrived {
        size,
        sha256,
        from,
        at,
    } = arrived;
    let what = format!("{}@{}", key.module, key.version);
    // Of an unknown size the hasher waits for more: tell it that this is all.
    flight.has_arrived(size);
    let hashed = sink.finish().await.map_err(|error| match error {
        SinkError::Content(text) => rejected(&what, from, &text),
        SinkError::Store(text) => {
            tracing::error!(%text, file = %key, "a fetched file could not be written");
            EngineError::ours(format!("{what}: larder could not store what it fetched"))
        }
    })?;
    let staged = flight
        .staged()
        .ok_or_else(|| EngineError::ours("nothing was written"))?;
    let (module, version, file) = (key.module.clone(), key.version.clone(), staged.part(size));
    let checking = hashers.run(move || -> Result<CheckedZip, gozip::ZipError> {
        match hashed {
            Some(hashed) => gozip::check_zip_with(&file, &module, &version, hashed),
            None => gozip::check_zip(&file, &module, &version),
        }
    });
    let checked = match checking.await {
        Some(Ok(checked)) => checked,
        Some(Err(error)) if error.is_io() => {
            tracing::error!(%error, file = %key, "a fetched file could not be read back");
            return Err(EngineError::ours(format!(
                "{what}: larder could not read back what it fetched"
            )));
        }
        Some(Err(error)) => return Err(rejected(&what, from, &error.to_string())),
        None => {
            tracing::error!(file = %key, "checking a zip died");
            return Err(EngineError::ours(format!(
                "{what}: checking the zip failed"
            )));
        }
    };
    let vouched = verification.verdict(&checked.h1, from).await?;
    let record = FileRecord {
        size,
        sha256: sha256.into(),
        h1: Some(checked.h1),
        from: from.to_owned(),
        seen: at,
        verified: vouched.verified,
        by: vouched.by,
    };
    Ok(Verdict {
        record,
        companions: vouched.companions,
        h1: checked.h1,
        stored: staged.can_be_kept(),
        from: from.into(),
    })
}

fn rejected(what: &str, from: &str, why: &str) -> EngineError {
    Cause::BadZip {
        what: what.to_owned(),
        from: from.to_owned(),
        why: why.to_owned(),
    }
    .into()
}
