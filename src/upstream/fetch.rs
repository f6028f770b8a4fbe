//! One fetch from one upstream: attempts, and what lies between them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::{Failure, SourceError};
use super::server::Upstream;
use super::sink::SinkError;
use super::upstream_request::UpstreamRequest;
use crate::breaker::{BreakerState, Pass, Stopped};
use crate::gomod::ModulePath;
use crate::kit::FetchContext;

/// The first pause before asking again; doubled each time, and cut by a random part ("full jitter").
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A request that was not processed is made again so often without counting as an attempt …
const UNPROCESSED: u32 = 100;
/// … each after a random part of this, on a new connection.
const UNPROCESSED_PAUSE: Duration = Duration::from_millis(50);
/// A `Retry-After` up to this is waited for; a longer one ends the fetch.
const WORTH_WAITING: Duration = Duration::from_secs(5);
/// However long an upstream asks to be left alone, it is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Whether it is well is found out with so many requests at once: what one of them asks for may itself be at fault.
const OPINIONS: usize = 3;
/// A prefetch that has no place, or then no answer, within this is given up: who wants it then has most of their time
/// left.
pub(super) const PREFETCH_PATIENCE: Duration = Duration::from_secs(2);

/// One request with everything that belongs to it.
pub(super) trait Attempt: Send {
    /// What it brings.
    type Done: Send;
    /// Makes the request; `until` is when the fetch must have shown something.
    fn run(
        &mut self,
        upstream: &Upstream,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
    /// Whether the last request brought so much that the count of attempts starts anew; asking resets it.
    fn progressed(&mut self) -> bool {
        false
    }
    /// Until when the next request may wait for its answer, the fetch as a whole having until `until`.
    fn patience(&self, until: Instant) -> Instant {
        until
    }
}

impl Upstream {
    /// The largest body that is taken from this upstream. Bytes.
    pub(super) fn max(&self, request: &UpstreamRequest<'_>) -> u64 {
        match self.share.is_of_strangers() {
            true => request.max_of_strangers.min(request.max),
            false => request.max,
        }
    }

    /// Runs attempts until one succeeds or none may follow.
    pub(super) async fn fetch<A: Attempt>(
        &self,
        request: &UpstreamRequest<'_>,
        time: Duration,
        attempt: &mut A,
    ) -> Result<A::Done, SourceError> {
        let began = self.clock.instant();
        let until = Instant::now() + time;
        let stopped = |stopped| match stopped {
            Stopped::Open { left, lastly } => SourceError::Open { left, lastly },
            Stopped::Paused(left) => SourceError::Paused(left),
        };
        if let Some(why) = self.breaker.stopped() {
            return Err(stopped(why));
        }
        let priority = &request.context.priority;
        // The place first: a probe of the breaker must not wait for one.
        let waiting = request.context.waiting();
        let place = async {
            let wanted =
                self.limits
                    .place(request.module, waiting.clone(), request.large, priority);
            let mut place = pin!(wanted);
            if priority.is_prefetch() {
                let first = timeout(PREFETCH_PATIENCE, place.as_mut()).await;
                if first.is_ok() || priority.is_prefetch() {
                    return first.ok().flatten();
                }
            }
            place.await
        };
        let place = timeout_at(until, place).await;
        let busy = || self.metrics.fetched("busy", self.clock.instant() - began);
        let Ok(Some(_place)) = place else {
            busy();
            return Err(SourceError::Busy);
        };
        let _shared = match self.share.slots() {
            Some(slots) => {
                let slot = slots.place(request.module, waiting.clone(), request.large, priority);
                let Ok(slot @ Some(_)) = timeout_at(until, slot).await else {
                    busy();
                    return Err(SourceError::Busy);
                };
                slot
            }
            None => None,
        };
        if priority.is_prefetch() && self.breaker.state() != BreakerState::Closed {
            // Whether it is well again is tried with something that is wanted.
            return Err(SourceError::Open {
                left: Duration::ZERO,
                lastly: None,
            });
        }
        // Whether it is well again is found out with what it has answered before, not with what a stranger names.
        if self.breaker.state() == BreakerState::HalfOpen
            && !self.knows(request)
            && let Some(this) = self.this.upgrade()
        {
            // A task of its own, so that it is carried to its end when this fetch has no time left. It ends by itself,
            // within the time that an answer may take.
            let (tell, told) = oneshot::channel();
            tokio::spawn(async move { this.find_out(Some(tell)).await });
            let _ = timeout_at(until, told).await;
        }
        let pass = self.breaker.pass().map_err(stopped)?;
        let result = self.attempts(request, until, attempt).await;
        self.report(request, &pass, &result);
        if let (Ok(_), Some(module)) = (&result, request.module) {
            let small = Some(request.path).filter(|_| !request.large);
            self.known.has_answered(module, small);
        }
        let word = match &result {
            Ok(_) => "ok",
            Err(SourceError::Failed { failure, .. }) => failure.word(),
            Err(_) => "stopped",
        };
        self.metrics.fetched(word, self.clock.instant() - began);
        result
    }

    async fn attempts<A: Attempt>(
        &self,
        request: &UpstreamRequest<'_>,
        until: Instant,
        attempt: &mut A,
    ) -> Result<A::Done, SourceError> {
        let priority = &request.context.priority;
        if !priority.is_prefetch() {
            self.budget.earn();
        }
        let (mut made, mut counted, mut hung) = (0, 0, 0);
        let mut unprocessed = 0;
        loop {
            made += 1;
            let prefetched = priority.is_prefetch();
            let failure = match attempt.run(self, until).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            if matches!(failure, Failure::Limited { .. }) {
                *self.limited.lock() = Some(self.clock.instant());
            }
            if matches!(failure, Failure::Unprocessed(_)) && unprocessed < UNPROCESSED {
                // It costs the upstream nothing, and says nothing of it.
                unprocessed += 1;
                let pause = UNPROCESSED_PAUSE.mul_f64(fastrand::f64());
                if Instant::now() + pause < attempt.patience(until) {
                    self.metrics.retries.inc();
                    sleep(pause).await;
                    continue;
                }
            }
            if !prefetched {
                counted = if attempt.progressed() { 1 } else { counted + 1 };
                hung += u32::from(matches!(failure, Failure::Timeout(_)));
            }
            tracing::debug!(upstream = %self.label, path = request.path, attempt = made, %failure, "an attempt failed");
            let failed = |failure| SourceError::Failed {
                failure,
                attempts: made,
            };
            // A prefetch is made once; of one that somebody has come to wait for that attempt does not count.
            let spent = counted >= self.settings.attempts
                || hung >= self.settings.timeouts
                || priority.is_prefetch();
            if !failure.may_pass() || spent {
                return Err(failed(failure));
            }
            let pause = match &failure {
                Failure::Limited {
                    after: Some(after), ..
                } if *after > WORTH_WAITING => return Err(failed(failure)),
                Failure::Limited {
                    after: Some(after), ..
                } => *after,
                _ => {
                    let most = FIRST_PAUSE
                        .saturating_mul(1 << u32::saturating_sub(counted, 1).min(10))
                        .min(LONGEST_PAUSE);
                    most.mul_f64(fastrand::f64())
                }
            };
            if Instant::now() + pause >= attempt.patience(until) || !self.budget.spend() {
                return Err(failed(failure));
            }
            self.metrics.retries.inc();
            sleep(pause).await;
        }
    }

    /// Tells the breaker how it went, unless that says nothing.
    fn report<T>(
        &self,
        request: &UpstreamRequest<'_>,
        pass: &Pass,
        result: &Result<T, SourceError>,
    ) {
        match result {
            Ok(_) => self.breaker.success(pass),
            Err(error) => {
                if let Some(failure) = error.failure() {
                    self.report_failure(request, pass, failure);
                }
            }
        }
    }

    fn report_failure(&self, request: &UpstreamRequest<'_>, pass: &Pass, failure: &Failure) {
        match failure {
            failure if failure.is_answer() => self.breaker.success(pass),
            // It was tried once, and not for long; and what prefetches provoked is no reason to let clients wait.
            _ if request.context.priority.is_prefetch() => {}
            Failure::Limited { after, .. } => {
                self.breaker.trouble(&failure.brief());
                if let Some(after) = after {
                    self.breaker.pause((*after).min(LONGEST_REST));
                }
            }
            failure if failure.is_outage() => {
                let hung = request
                    .module
                    .filter(|_| matches!(failure, Failure::Timeout(_)))
                    .map(ModulePath::as_str);
                // If nothing is known, there is nothing better to find out with.
                let is_doubtful = !pass.is_probe()
                    && request.module.is_some_and(|module| !self.known.has(module))
                    && self.known.has_paths()
                    && !self.breaker.is_confirmed();
                match hung {
                    Some(_) if is_doubtful => {
                        if self.breaker.doubt(pass, &failure.brief())
                            && let Some(this) = self.this.upgrade()
                        {
                            // As above.
                            tokio::spawn(async move { this.find_out(None).await });
                        }
                    }
                    hung => self.breaker.failure(pass, hung, &failure.brief()),
                }
            }
            // Ours.
            Failure::Sink(SinkError::Store(_)) => {}
            failure => self.breaker.trouble(&failure.brief()),
        }
    }

    /// Whether what is asked for says something of the upstream: it is no stranger's, or there is nothing better.
    fn knows(&self, request: &UpstreamRequest<'_>) -> bool {
        let is_known = |module| self.known.has(module);
        request.module.is_none_or(is_known) || !self.known.has_paths()
    }

    /// Finds out how it is with some things that it has answered before, of different modules: it is well if it answers one
    /// of them. Does nothing if somebody else is at it. Outside the slots, which may be taken by what hangs: one such round
    /// begins at a time, unless something has succeeded since. Drops `tell` as soon as it has answered, and by its end if
    /// it has not.
    async fn find_out(&self, mut tell: Option<oneshot::Sender<()>>) {
        let Some(pass) = self.breaker.probe() else {
            return;
        };
        let context = FetchContext::default();
        let until = Instant::now() + self.settings.first_byte_timeout;
        let ask = |path: Arc<str>| {
            let context = &context;
            async move {
                let request = probe_of(&path, context);
                let answered = self.request(&request, HeaderMap::new(), until).await;
                (path, answered.err())
            }
        };
        let paths = self.known.paths(OPINIONS).into_iter();
        let mut asked: FuturesUnordered<_> = paths.map(ask).collect();
        let mut failed = Vec::new();
        let mut is_well = false;
        while let Some((path, failure)) = asked.next().await {
            match failure {
                Some(failure) if !failure.is_answer() => failed.push((path, failure)),
                _ if is_well => {}
                _ => {
                    is_well = true;
                    self.breaker.success(&pass);
                    drop(tell.take());
                }
            }
        }
        for (path, failure) in &failed {
            if !is_well {
                self.report_failure(&probe_of(path, &context), &pass, failure);
            } else if failure.is_outage() {
                self.known.forget_path(path);
            }
        }
    }
}

/// What is asked for to find out how an upstream is.
fn probe_of<'a>(path: &'a str, context: &'a FetchContext) -> UpstreamRequest<'a> {
    UpstreamRequest {
        path,
        module: None,
        max: 0,
        max_of_strangers: 0,
        large: false,
        first_byte: None,
        context,
    }
}
