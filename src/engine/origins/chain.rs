//! Walking the chain: who is asked next, for how long, and what to say when nobody has it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{FetchRequest, Known, Origin, OriginError, Reply, Revalidation};
use crate::engine::error::{Cause, EngineError};
use crate::gomod::Version;
use crate::upstream::{OnFailure, Upstream, ZipStream};

/// A fetch that has not shown a byte is given up after this: clients are answered within 45 s.
pub(in crate::engine) const PATIENCE: Duration = Duration::from_secs(42);
/// What an origin gets at the least.
const LEAST: Duration = Duration::from_secs(3);

/// One entry of a chain.
#[derive(Clone)]
pub enum ChainEntry {
    /// It is asked.
    Origin(Arc<dyn Origin>),
    /// Nobody else is.
    Off,
}

/// Where a module may come from, in order.
#[derive(Clone, Default)]
pub struct Chain {
    entries: Vec<(ChainEntry, OnFailure)>,
    /// There are others, which are not to be asked this time.
    partial: bool,
}

/// Where all modules come from.
#[derive(Clone)]
pub struct Chains {
    /// Of public modules, once it is known.
    pub public: watch::Receiver<Option<Chain>>,
    /// Of private modules.
    pub private: Chain,
    /// Of routes, by their number; those that go by the public chain have none.
    pub routes: Vec<Option<Chain>>,
}

impl Chains {
    /// Of public modules, once it is known. An error if nobody looks for it any more.
    pub(in crate::engine) async fn known_public(&self) -> Result<Chain, EngineError> {
        let mut chain = self.public.clone();
        let known = chain.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|known| known.clone());
        known.ok_or_else(|| Cause::ChainUnknown.into())
    }

    /// Of a route.
    pub fn route(&self, number: usize) -> Chain {
        let own = self.routes.get(number).cloned().flatten();
        own.unwrap_or_default()
    }
}

impl Chain {
    /// In order.
    pub fn new(entries: Vec<(ChainEntry, OnFailure)>) -> Self {
        Chain {
            entries,
            partial: false,
        }
    }

    /// Only the proxies, up to the first entry that is none.
    pub fn proxies_only(&self) -> Self {
        let is_proxy = |(entry, _): &&(ChainEntry, OnFailure)| entry.is_proxy();
        let entries: Vec<_> = self.entries.iter().take_while(is_proxy).cloned().collect();
        Chain {
            partial: self.partial || entries.len() < self.entries.len(),
            entries,
        }
    }

    /// Whether it may be asked for what nobody waits for: there is somebody, who is healthy and does not want to be left
    /// alone.
    pub fn welcomes_prefetches(&self) -> bool {
        match self.entries.first() {
            Some((ChainEntry::Origin(origin), _)) => !origin.wants_rest(),
            Some((ChainEntry::Off, _)) | None => false,
        }
    }

    /// The upstreams in it.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.origins().filter_map(|origin| origin.as_upstream())
    }

    /// Whether one of its proxies has this name.
    pub fn has_proxy(&self, label: &str) -> bool {
        let mut proxies = self.origins().filter(|origin| origin.is_proxy());
        proxies.any(|proxy| **proxy.label() == *label)
    }

    /// The names of its proxies.
    pub fn proxies(&self) -> impl Iterator<Item = &Arc<str>> {
        let proxies = self.origins().filter(|origin| origin.is_proxy());
        proxies.map(|proxy| proxy.label())
    }

    /// How long an answer may take, if that is longer than usual.
    pub fn patience(&self) -> Option<Duration> {
        self.origins().filter_map(|origin| origin.patience()).max()
    }

    /// Whether one of its origins has answered anybody since then.
    pub fn has_answered_since(&self, then: std::time::Instant) -> bool {
        self.origins().any(|origin| origin.has_answered_since(then))
    }

    fn origins(&self) -> impl Iterator<Item = &dyn Origin> {
        self.entries.iter().filter_map(|(entry, _)| match entry {
            ChainEntry::Origin(origin) => Some(&**origin),
            ChainEntry::Off => None,
        })
    }

    /// Fetches something small.
    pub async fn fetch_small(&self, request: &FetchRequest<'_>) -> Result<Reply, EngineError> {
        let mut attempts = Attempts::new(self, request);
        while let Some((origin, time)) = attempts.next(false) {
            match origin.fetch_small(request, time).await {
                Ok(reply) => return Ok(reply),
                Err(error) => attempts.failed(error),
            }
        }
        Err(attempts.answer())
    }

    /// The same, where something is known that may still be right.
    pub async fn revalidate(
        &self,
        request: &FetchRequest<'_>,
        known: &Known<'_>,
    ) -> Result<Revalidation, EngineError> {
        let mut attempts = Attempts::new(self, request);
        while let Some((origin, time)) = attempts.next(false) {
            match origin.revalidate(request, known, time).await {
                Ok(revalidation) => return Ok(revalidation),
                Err(error) => attempts.failed(error),
            }
        }
        Err(attempts.answer())
    }

    /// Fetches the zip of a version into `stream`; says from where.
    pub async fn fetch_zip(
        &self,
        request: &FetchRequest<'_>,
        version: &Version,
        stream: &mut ZipStream<'_>,
    ) -> Result<Arc<str>, EngineError> {
        let mut attempts = Attempts::new(self, request);
        while let Some((origin, time)) = attempts.next(stream.shown()) {
            match origin.fetch_zip(request, version, time, stream).await {
                Ok(from) => return Ok(from),
                Err(error) => attempts.failed(error),
            }
        }
        Err(attempts.answer())
    }

    /// Among how many proxies the time is shared: this one and those that are asked whatever becomes of it.
    fn sharers(&self, at: usize) -> u32 {
        let mut sharers = 1;
        for pair in self.entries[at..].windows(2) {
            match pair {
                [(_, OnFailure::AnyError), (next, _)] if next.is_proxy() => sharers += 1,
                _ => break,
            }
        }
        sharers
    }
}

impl ChainEntry {
    fn is_proxy(&self) -> bool {
        matches!(self, ChainEntry::Origin(origin) if origin.is_proxy())
    }
}

/// One walk along a chain.
struct Attempts<'a> {
    chain: &'a Chain,
    request: &'a FetchRequest<'a>,
    until: Instant,
    /// How many entries have been asked.
    asked: usize,
    errors: Vec<OriginError>,
    /// The last error is one after which nobody else is asked.
    over: bool,
    off: bool,
}

impl<'a> Attempts<'a> {
    fn new(chain: &'a Chain, request: &'a FetchRequest<'a>) -> Self {
        Attempts {
            chain,
            request,
            until: request
                .context
                .deadline
                .unwrap_or(Instant::now() + PATIENCE),
            asked: 0,
            errors: Vec::new(),
            over: false,
            off: false,
        }
    }

    /// Who is asked now and for how long. If a client has seen something already there is no hurry.
    fn next(&mut self, shown: bool) -> Option<(&'a dyn Origin, Duration)> {
        let (entry, _) = self.chain.entries.get(self.asked).filter(|_| !self.over)?;
        let ChainEntry::Origin(origin) = entry else {
            self.off = true;
            return None;
        };
        let left = match shown {
            true => PATIENCE,
            false => self.until.saturating_duration_since(Instant::now()),
        };
        let time = (left / self.chain.sharers(self.asked)).max(LEAST.min(left));
        self.asked += 1;
        self.request.context.asking.set(origin.label());
        Some((&**origin, time))
    }

    /// Who was asked last has not brought it.
    fn failed(&mut self, error: OriginError) {
        let entry = self.asked.checked_sub(1);
        let entry = entry.and_then(|last| self.chain.entries.get(last));
        let on_any = entry.is_some_and(|(_, on)| *on == OnFailure::AnyError);
        let go_on = error.error.is_absent() || (on_any && !error.is_ours());
        self.over = !go_on;
        self.errors.push(error);
    }

    /// What to say when no origin has brought it: "not found" only if each that may have it said so, else the last fault.
    fn answer(mut self) -> EngineError {
        let is_fault = |failed: &OriginError| !failed.error.is_absent();
        let mut answer = match self.errors.iter().rposition(is_fault) {
            Some(at) => self.errors.swap_remove(at).error,
            None => self.absent(),
        };
        answer.partial = self.chain.partial;
        answer
    }

    fn absent(&mut self) -> EngineError {
        let what = self.request.describe();
        let mut errors = std::mem::take(&mut self.errors);
        match errors.len() {
            0 => Cause::NobodyToAsk {
                what,
                off: self.off,
            }
            .into(),
            1 => errors.swap_remove(0).error,
            _ => Cause::NoSource {
                what,
                each: errors.into(),
            }
            .into(),
        }
    }
}
