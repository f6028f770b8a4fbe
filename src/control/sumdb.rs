//! `larder sumdb verify|status|acknowledge`

use futures_util::{StreamExt, stream};

use super::{Controls, Done, Grouped, Out};
use crate::clock::Timestamp;
use crate::engine::{Class, EngineError, Refusal};
use crate::errand::Errand;
use crate::gomod::H1;
use crate::protocol::{FileKey, Kind};
use crate::store::rebuild;
use crate::store::walk::OverRecords;
use crate::store::{FileRecord, Verification, Verified};
use crate::sumdb::SumdbError;

/// Files that are verified at the same time.
const AT_ONCE: usize = 8;
/// What was found of one file.
enum Found {
    /// A database vouches for it.
    Vouched,
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

#[derive(Default)]
struct Summary {
    vouched: u64,
    first_seen: u64,
    wrong: u64,
    untrusted: u64,
    unknown: u64,
    unavailable: u64,
    /// What is wrong, and with which of the files.
    troubles: Grouped,
}

impl Controls {
    pub(super) async fn sumdb_status(&self, out: &Out) -> Done {
        let databases = self.engine.voucher().databases();
        if databases.is_empty() {
            out.line("no checksum database is configured: what is kept is held to the checksums seen first")
                .await;
        }
        for database in databases {
            let status = database.status();
            out.line(status.name.clone()).await;
            let size = status.size.map_or("no tree head yet".to_owned(), |size| {
                format!("{size} records")
            });
            out.line(format!("  tree          {size}")).await;
            let heard = status
                .heard
                .map_or("not since the start".to_owned(), Timestamp::rfc3339);
            out.line(format!("  last contact  {heard}")).await;
            if status.alarms.is_empty() {
                out.line("  alarms        none").await;
            }
            for alarm in &status.alarms {
                let state = if alarm.acknowledged {
                    ", acknowledged"
                } else {
                    ""
                };
                out.line(format!(
                    "  ALARM         {} since {}{state}",
                    alarm.kind.as_str(),
                    alarm.since.rfc3339()
                ))
                .await;
                for line in alarm.text.lines() {
                    out.line(format!("                {line}")).await;
                }
            }
            for line in status
                .note
                .iter()
                .flat_map(|note| note.split(|byte| *byte == b'\n'))
            {
                out.line(
                    format!("  | {}", String::from_utf8_lossy(line))
                        .trim_end()
                        .to_owned(),
                )
                .await;
            }
        }
        Ok(true)
    }

    pub(super) async fn sumdb_acknowledge(&self, name: &str, begin_anew: bool, out: &Out) -> Done {
        let Some(database) = self.engine.database(name) else {
            let databases = self.engine.voucher().databases();
            let names: Vec<_> = databases.iter().map(|it| it.status().name).collect();
            let there_are = match names.as_slice() {
                [] => "there is none".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            let text = format!("no checksum database {name:?} is configured; {there_are}");
            out.trouble(text).await;
            return Ok(false);
        };
        let alarms = database.acknowledge().await;
        out.line(format!("{name}: {alarms} alarms acknowledged"))
            .await;
        if begin_anew {
            database
                .begin_anew()
                .await
                .map_err(|error| EngineError::ours(error.to_string()))?;
            out.line(format!(
                "{name}: its history is forgotten; the next head that comes begins a new one"
            ))
            .await;
        }
        Ok(true)
    }

    pub(super) async fn sumdb_verify(&self, repair: bool, out: &Out) -> Done {
        let store = self.engine.store();
        let of = store.totals().files;
        let mut summary = Summary::default();
        let mut done = 0_u64;
        let mut walk = OverRecords::of(store);
        while let Some(page) = walk.next().await? {
            let checks = stream::iter(page.files).map(|(key, record)| async move {
                let found = self.verify_file(&key, record).await;
                (key, found)
            });
            let mut checks = checks.buffer_unordered(AT_ONCE);
            while let Some((key, found)) = checks.next().await {
                done += 1;
                out.progress(done, of, key.to_string()).await;
                if let Some(found) = found? {
                    self.tell(&key, found, repair, &mut summary, out).await?;
                }
            }
        }
        let databases = self.engine.voucher().databases().iter();
        let names: Vec<&str> = databases.map(|database| database.name()).collect();
        let names = if names.is_empty() {
            "a checksum database".to_owned()
        } else {
            names.join(", ")
        };
        let Summary {
            vouched,
            first_seen,
            wrong,
            untrusted,
            unknown,
            unavailable,
            troubles,
        } = summary;
        for line in troubles.rest() {
            out.line(line).await;
        }
        if untrusted > 0 {
            out.line(format!(
                "{untrusted} files could not be verified, because what came from the checksum database is not what it has signed: larder sumdb status"
            ))
            .await;
        }
        out.line(format!(
            "{done} files: {vouched} vouched for by {names}, {first_seen} as first seen, {wrong} wrong, {unknown} not known to the database, {unavailable} could not be asked about"
        ))
        .await;
        Ok(unknown == 0 && unavailable == 0 && untrusted == 0 && (wrong == 0 || repair))
    }

    async fn tell(
        &self,
        key: &FileKey,
        found: Found,
        repair: bool,
        summary: &mut Summary,
        out: &Out,
    ) -> Result<(), EngineError> {
        let (count, text) = match found {
            Found::Vouched => (&mut summary.vouched, None),
            Found::FirstSeen => (&mut summary.first_seen, None),
            Found::Wrong(text) => (&mut summary.wrong, Some(("WRONG", text))),
            Found::Untrusted(text) => (&mut summary.untrusted, Some(("NOT TRUSTED", text))),
            Found::Unknown(text) => (&mut summary.unknown, Some(("not known", text))),
            Found::Unavailable(text) => (&mut summary.unavailable, Some(("not verified", text))),
        };
        *count += 1;
        let Some((word, text)) = text else {
            return Ok(());
        };
        let (module, version) = (&key.module, &key.version);
        let names = [
            key.to_string(),
            format!("{}@{}", module.escaped(), version.escaped()),
            format!("{module}@{version}"),
        ];
        if let Some(line) = summary.troubles.line(word, &names[0], &text, &names) {
            out.line(line).await;
        }
        if word == "WRONG" && repair {
            self.engine.revoke(key).await?;
        }
        Ok(())
    }

    /// Compares a file with what was recorded and with what is vouched for; `None` if nothing can vouch for its kind.
    async fn verify_file(
        &self,
        key: &FileKey,
        record: FileRecord,
    ) -> Result<Option<Found>, EngineError> {
        if let Err(why) = rebuild::check_file(self.engine.store(), key, &record).await {
            return Ok(Some(Found::Wrong(why)));
        }
        let (Some(h1), false) = (&record.h1, key.kind == Kind::Info) else {
            return Ok(None);
        };
        let voucher = self.engine.voucher();
        if !voucher.covers(&key.module) {
            return Ok(Some(self.verify_first_seen(key, h1, &record).await?));
        }
        let found = match voucher
            .ask(&key.module, &key.version, &Errand::default())
            .await
        {
            Ok(said) => match voucher.compare(key, h1, &record.from, &said) {
                Ok(vouched) => {
                    if record.verified != vouched.verified {
                        let verification = Verification {
                            verified: vouched.verified,
                            by: vouched.by,
                            first_seen: None,
                        };
                        self.engine.put_verification(key, h1, verification).await?;
                    }
                    Found::Vouched
                }
                Err(mismatch) => Found::Wrong(mismatch.to_string()),
            },
            Err(Refusal {
                error: SumdbError::Unknown { text, .. },
                ..
            }) => match self.engine.store().first_seen(key).await? {
                Some(pin) if pin.h1 == *h1 && voucher.settings().first_seen_unknown => {
                    Found::FirstSeen
                }
                _ => Found::Unknown(text),
            },
            Err(refusal) if refusal.error.is_unavailable() => {
                Found::Unavailable(refusal.error.to_string())
            }
            Err(refusal) => Found::Untrusted(format!("{}: {}", refusal.database, refusal.error)),
        };
        Ok(Some(found))
    }

    async fn verify_first_seen(
        &self,
        key: &FileKey,
        h1: &H1,
        record: &FileRecord,
    ) -> Result<Found, EngineError> {
        match self
            .engine
            .voucher()
            .first_seen(key, h1, &record.from, false)
            .await
        {
            Ok(vouched) => {
                if record.verified != Verified::FirstSeen || vouched.companions.first_seen.is_some()
                {
                    let verification = Verification {
                        verified: Verified::FirstSeen,
                        by: None,
                        first_seen: vouched.companions.first_seen,
                    };
                    self.engine.put_verification(key, h1, verification).await?;
                }
                Ok(Found::FirstSeen)
            }
            Err(mismatch) if mismatch.class == Class::Rejected => {
                Ok(Found::Wrong(mismatch.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}
