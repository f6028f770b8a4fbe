//! Flights of `.info` and `.mod` files.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use super::publish::PUBLISH_WAIT;
use super::{MAX_INFO, MAX_INFO_OF_STRANGERS, Trial, too_many};
use crate::engine::Engine;
use crate::engine::answer::{Answer, CacheStatus};
use crate::engine::error::EngineError;
use crate::engine::memory::CachedFile;
use crate::engine::slow::Look;
use crate::engine::vouch::Vouched;
use crate::errand::Errand;
use crate::flights::{Outcome, Place, outcome};
use crate::gomod::check;
use crate::gomod::dirhash::hash_go_mod;
use crate::protocol::{FileKey, Key, Kind};
use crate::store::{self, Companions, FileRecord, Room, Sha256};
use crate::upstream::{Fetched, Want};

/// The largest go.mod (`golang.org/x/mod/zip.MaxGoMod`), and of a source that a stranger has named. Bytes.
const MAX_MOD: u64 = 16 << 20;
const MAX_MOD_OF_STRANGERS: u64 = 1 << 20;

/// A small file that has landed.
#[derive(Clone)]
pub(in crate::engine) struct Landed {
    pub(in crate::engine) file: CachedFile,
    stored: bool,
    from: Arc<str>,
}

impl Engine {
    pub(super) async fn missed_small(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<Answer, EngineError> {
        let flight = self.small_flight(key, errand).ok_or_else(too_many)?;
        match outcome(flight).await {
            Some(Ok(landed)) => Ok(landed.file.answer(
                CacheStatus::Miss {
                    stored: landed.stored,
                },
                Some(landed.from).filter(|from| !from.is_empty()),
            )),
            Some(Err(error)) if key.kind == Kind::Info && error.is_fault() => {
                self.stand_in(key, error).await
            }
            Some(Err(error)) => Err(error),
            None => Err(EngineError::ours("the fetch ended unexpectedly")),
        }
    }

    /// The flight of an `.info` or `.mod`; none if there are too many.
    pub(in crate::engine) fn small_flight(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Option<Outcome<Result<Landed, EngineError>>> {
        self.small_flights.join(key, &errand.priority, |place| {
            let (sender, receiver) = watch::channel(None);
            let (engine, key, errand) = (Arc::clone(self), key.clone(), errand.apart());
            let (slow, watched, on, seen) = (
                self.slow.clone(),
                key.clone(),
                errand.clone(),
                sender.clone(),
            );
            (receiver, async move {
                // Those who can join hold one themselves.
                let look = || Look {
                    waiting: seen.receiver_count().saturating_sub(1),
                    received: None,
                };
                let flown = engine.fly_small(key, errand, place, sender);
                slow.watch(&watched, &on, look, flown).await
            })
        })
    }

    /// The flight of an `.info` or `.mod`: followers are answered once it is verified, keeping it goes on beside.
    async fn fly_small(
        self: Arc<Self>,
        key: FileKey,
        errand: Errand,
        place: Place<FileKey, Outcome<Result<Landed, EngineError>>>,
        landed: watch::Sender<Option<Result<Landed, EngineError>>>,
    ) {
        // Another flight may have landed between this one's client's look at what is kept and its start.
        if let Ok(Some(file)) = self.kept(&key).await {
            let from = Arc::from("");
            landed.send_replace(Some(Ok(Landed {
                file,
                stored: true,
                from,
            })));
            return;
        }
        if let Some(error) = self.learned_meanwhile(&key, &errand) {
            place.leave();
            landed.send_replace(Some(Err(error)));
            return;
        }
        let prefetch = errand.priority.is_prefetch();
        // Boxed, here and below: what fetching needs is given back before keeping begins.
        let mut fetched = Box::pin(self.fetch_small(&key, &errand)).await;
        if prefetch && let Err(error) = &fetched {
            place.leave();
            match Trial::of(&errand, error) {
                Trial::Forget => {
                    landed.send_replace(fetched.err().map(Err));
                    return;
                }
                Trial::Again(errand) => {
                    fetched = Box::pin(self.fetch_small(&key, &errand)).await;
                }
                Trial::Final => {}
            }
        }
        match fetched {
            Ok((body, record, companions, from)) => {
                let validity = self.validities.of(&key);
                let content = store::Content::Bytes(body.clone());
                let file = CachedFile::new(&record, content, Some(validity));
                // A disk that cannot keep up slows the answers down, for a moment; then they go out unkept.
                let place = timeout(PUBLISH_WAIT, self.publishing.acquire()).await;
                let mut keep = place.is_ok() && self.store.blobs().room() == Room::Enough;
                if keep && body.len() as u64 > store::SMALL {
                    // From the file it takes no memory, however slowly it is read.
                    match self.publish_first(&key, &body, &record, &companions).await {
                        Some(file) => {
                            self.has_appeared(&key);
                            landed.send_replace(Some(Ok(Landed {
                                file,
                                stored: true,
                                from,
                            })));
                            return self.absences.appeared(&Key::File(key)).await;
                        }
                        None => keep = false,
                    }
                }
                self.has_appeared(&key);
                let stored = keep && self.store.blobs().can_keep(&key);
                landed.send_replace(Some(Ok(Landed {
                    file: file.clone(),
                    stored,
                    from,
                })));
                self.absences.appeared(&Key::File(key.clone())).await;
                if !keep {
                    self.metrics.unkept.inc();
                    self.pin_alone(&key, &companions).await;
                    return;
                }
                match self
                    .store
                    .publish_bytes(&key, body, &record, &companions)
                    .await
                {
                    Ok(()) => {
                        self.show_totals();
                        self.memory.put(key, file);
                    }
                    // The store says so.
                    Err(_) => drop(self.metrics.unkept.inc()),
                }
            }
            Err(error) => {
                self.remember_no(&Key::File(key.clone()), &error);
                self.noted(&key, &error, &errand);
                place.leave();
                landed.send_replace(Some(Err(error)));
            }
        }
    }

    async fn fetch_small(
        self: &Arc<Self>,
        key: &FileKey,
        errand: &Errand,
    ) -> Result<(Bytes, FileRecord, Companions, Arc<str>), EngineError> {
        let path = key.to_string();
        let vouching = (key.kind == Kind::Mod).then(|| self.voucher.begin(key, errand));
        if let Some(vouching) = &vouching
            && self.has_sibling(key).await
        {
            vouching.found();
        }
        let (max, max_of_strangers) = match key.kind {
            Kind::Mod => (MAX_MOD, MAX_MOD_OF_STRANGERS),
            Kind::Info | Kind::Zip => (MAX_INFO, MAX_INFO_OF_STRANGERS),
        };
        let want = Want {
            path: &path,
            module: Some(&key.module),
            first_byte: None,
            max,
            max_of_strangers,
            large: false,
            errand,
        };
        let check = |body: &Bytes| match key.kind {
            Kind::Info => check::info(&key.version, body),
            Kind::Mod | Kind::Zip => check::go_mod(&key.module, body),
        };
        let sources = self.sources_for(&key.module, errand).await;
        let keep_body = |body: &Bytes| check(body).map(|()| body.clone());
        let as_key = Key::File(key.clone());
        let found = sources
            .small(&key.describe(), &as_key, &want, None, &keep_body)
            .await;
        let (fetched, from) = self.judged(&key.module, &sources, found).await?;
        let Fetched::New(body, _) = fetched else {
            return Err(EngineError::ours(
                "not modified, although nothing was known",
            ));
        };
        if key.kind == Kind::Mod {
            self.prefetch.arrived(key, &body);
        }
        let h1 = (key.kind == Kind::Mod).then(|| hash_go_mod(&body));
        let vouched = match (vouching, &h1) {
            (Some(vouching), Some(h1)) => vouching.verdict(h1, &from).await?,
            _ => Vouched {
                verified: store::Verified::None,
                by: None,
                companions: Companions::default(),
            },
        };
        let record = FileRecord {
            size: body.len() as u64,
            sha256: Sha256::of(&body),
            h1,
            from: from.to_string(),
            seen: self.clock.now(),
            verified: vouched.verified,
            by: vouched.by,
        };
        Ok((body, record, vouched.companions, from))
    }
}
