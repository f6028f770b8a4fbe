//! Looks versions up in the checksum database before they are asked for, so that a client that walks a graph of
//! requirements does not wait for the database at each step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::vouch::Voucher;
use crate::clock::SharedClock;
use crate::gomod::{ModulePath, Version, modfile};

/// So many missed go.mod files …
const MISSES: usize = 3;
/// … within this time are somebody walking a graph; fewer are somebody looking at a module.
const WITHIN: Duration = Duration::from_secs(2);
/// Look-ups ahead at once; clients' own have the other places at the database.
const AT_ONCE: usize = 24;
/// Look-ups ahead that wait, at the most.
const WAITING: usize = 4096;
/// Requirements of one go.mod that are looked at.
const REQUIREMENTS: usize = 1024;

/// Look-ups ahead.
pub struct Ahead {
    voucher: Arc<Voucher>,
    clock: SharedClock,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    missed: Mutex<VecDeque<Instant>>,
}

impl Ahead {
    /// With nothing under way.
    pub fn new(voucher: Arc<Voucher>, clock: SharedClock) -> Self {
        Ahead {
            voucher,
            clock,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
            missed: Mutex::default(),
        }
    }

    /// A go.mod that was missing has come: whoever wanted it will want those that it requires. It must be that of a module
    /// whose name the databases may know: a private one's requirements are nobody's business.
    pub fn came(&self, module: &ModulePath, go_mod: &[u8]) {
        if !self.walking() || !self.voucher.covers(module) || !self.voucher.answers() {
            return;
        }
        let read = |(path, version): (String, String)| {
            let module = ModulePath::parse(&path).ok()?;
            let version = Version::parse(&version)
                .ok()
                .filter(|it| it.fits(&module))?;
            self.voucher.covers(&module).then_some((module, version))
        };
        let required = modfile::requirements(go_mod).into_iter();
        let required: Vec<_> = required.take(REQUIREMENTS).filter_map(read).collect();
        let count = required.len();
        if count == 0 {
            return;
        }
        if self.waiting.fetch_add(count, Ordering::Relaxed) > WAITING {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return;
        }
        let (voucher, places) = (Arc::clone(&self.voucher), Arc::clone(&self.places));
        let waiting = Arc::clone(&self.waiting);
        tokio::spawn(async move {
            let look_up = |(module, version): (ModulePath, Version)| {
                let (voucher, places, waiting) = (&voucher, &places, &waiting);
                async move {
                    if let Ok(_place) = places.acquire().await
                        && voucher.answers()
                    {
                        // What comes of it is kept, or said again when it is asked for.
                        let _ = voucher.ask(&module, &version, None).await;
                    }
                    waiting.fetch_sub(1, Ordering::Relaxed);
                }
            };
            stream::iter(required)
                .for_each_concurrent(AT_ONCE, look_up)
                .await;
        });
    }

    /// Notes a miss, and says whether there have been as many lately as of somebody who walks a graph.
    fn walking(&self) -> bool {
        let now = self.clock.instant();
        let mut missed = self.missed.lock();
        missed.push_back(now);
        if missed.len() > MISSES {
            missed.pop_front();
        }
        let lately = |at: &Instant| now.saturating_duration_since(*at) < WITHIN;
        missed.len() == MISSES && missed.front().is_some_and(lately)
    }
}
