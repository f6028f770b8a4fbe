//! Walking the chain: who is asked next, and what to say when nobody has it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Class, EngineError};
use crate::upstream::{
    Check, Failure, Fall, Fetched, Sink, SinkError, SourceError, Upstream, Validators, Want,
    ZipStream,
};

/// A fetch that has not shown a byte is given up after this: clients are answered within 45 s.
const PATIENCE: Duration = Duration::from_secs(42);
/// What a source gets at the least.
const LEAST: Duration = Duration::from_secs(3);

/// Where a module may come from.
#[derive(Clone)]
pub enum Source {
    /// Another GOPROXY.
    Proxy(Arc<Upstream>),
    /// Straight from version control.
    Direct,
    /// Nowhere.
    Off,
}

/// The chain, with its parts made.
#[derive(Clone)]
pub struct Sources(Vec<(Source, Fall)>);

/// Asks one upstream; state that lasts from one to the next is the asker's.
trait Ask: Send {
    type Found: Send;
    fn ask(
        &mut self,
        upstream: &Upstream,
        time: Duration,
    ) -> impl Future<Output = Result<Self::Found, SourceError>> + Send;
    /// Whether a client has seen something: then there is no hurry.
    fn began(&self) -> bool {
        false
    }
}

impl Sources {
    /// In order.
    pub fn new(sources: Vec<(Source, Fall)>) -> Self {
        Sources(sources)
    }

    /// The upstreams in it.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter().filter_map(|(source, _)| match source {
            Source::Proxy(upstream) => Some(upstream),
            Source::Direct | Source::Off => None,
        })
    }

    /// Fetches something small; also says from where. `what` names it in error texts; `known` are the validators of
    /// what is kept and the source that gave them.
    pub async fn small<T: Send>(
        &self,
        what: &str,
        want: &Want<'_>,
        known: Option<(&str, &Validators)>,
        check: Check<'_, T>,
    ) -> Result<(Fetched<T>, Arc<str>), EngineError> {
        struct Small<'a, T> {
            want: &'a Want<'a>,
            known: Option<(&'a str, &'a Validators)>,
            check: Check<'a, T>,
        }
        impl<T: Send> Ask for Small<'_, T> {
            type Found = Fetched<T>;
            async fn ask(
                &mut self,
                upstream: &Upstream,
                time: Duration,
            ) -> Result<Fetched<T>, SourceError> {
                let of_this_one = |(from, _): &(&str, _)| **upstream.label() == **from;
                let known = self
                    .known
                    .filter(of_this_one)
                    .map(|(_, validators)| validators);
                upstream.small(self.want, known, time, self.check).await
            }
        }
        self.walk(what, &mut Small { want, known, check }).await
    }

    /// Fetches a zip into `stream`; says from where.
    pub async fn zip<S: Sink>(
        &self,
        what: &str,
        want: &Want<'_>,
        stream: &mut ZipStream<S>,
    ) -> Result<Arc<str>, EngineError> {
        struct Zip<'a, S> {
            want: &'a Want<'a>,
            stream: &'a mut ZipStream<S>,
        }
        impl<S: Sink> Ask for Zip<'_, S> {
            type Found = ();
            async fn ask(
                &mut self,
                upstream: &Upstream,
                time: Duration,
            ) -> Result<(), SourceError> {
                self.stream.fetch(upstream, self.want, time).await
            }
            fn began(&self) -> bool {
                self.stream.shown()
            }
        }
        Ok(self.walk(what, &mut Zip { want, stream }).await?.1)
    }

    async fn walk<A: Ask>(
        &self,
        what: &str,
        ask: &mut A,
    ) -> Result<(A::Found, Arc<str>), EngineError> {
        let until = Instant::now() + PATIENCE;
        let mut tried = Tried::default();
        for (at, (source, fall)) in self.0.iter().enumerate() {
            let upstream = match source {
                Source::Proxy(upstream) => upstream,
                Source::Direct => {
                    tried.direct = true;
                    break;
                }
                Source::Off => {
                    tried.off = true;
                    break;
                }
            };
            let left = if ask.began() {
                PATIENCE
            } else {
                until.saturating_duration_since(Instant::now())
            };
            let time = (left / self.sharers(at)).max(LEAST.min(left));
            let error = match ask.ask(upstream, time).await {
                Ok(found) => return Ok((found, Arc::clone(upstream.label()))),
                Err(error) => error,
            };
            // What we cannot store from one source we cannot store from another.
            let ours = matches!(error.failure(), Some(Failure::Sink(SinkError::Store(_))));
            let go_on = (*fall == Fall::AnyError && !ours) || error.is_absent();
            tried.errors.push((Arc::clone(upstream), error));
            if !go_on {
                break;
            }
        }
        Err(tried.verdict(what))
    }

    /// Among how many upstreams the time is shared: this one and those that are asked whatever becomes of it.
    fn sharers(&self, at: usize) -> u32 {
        let mut sharers = 1;
        for pair in self.0[at..].windows(2) {
            match pair {
                [(_, Fall::AnyError), (Source::Proxy(_), _)] => sharers += 1,
                _ => break,
            }
        }
        sharers
    }
}

#[derive(Default)]
struct Tried {
    errors: Vec<(Arc<Upstream>, SourceError)>,
    direct: bool,
    off: bool,
}

impl Tried {
    /// What to say when no source has brought it: "not found" only if each that may have it said so, else the last
    /// fault.
    fn verdict(&self, what: &str) -> EngineError {
        if let Some((upstream, error)) = self
            .errors
            .iter()
            .rev()
            .find(|(_, error)| !error.is_absent())
        {
            let mut verdict = fault(what, upstream, error);
            verdict.upstream = Some(upstream.label().to_string());
            return verdict;
        }
        let gone = |error: &SourceError| matches!(error.failure(), Some(Failure::Absent { status, .. }) if status.as_u16() == 410);
        let all_gone = !self.errors.is_empty() && self.errors.iter().all(|(_, error)| gone(error));
        let class = Class::Absent {
            gone: all_gone && !self.direct,
        };
        let said = |upstream: &Upstream, error: &SourceError| match error.failure() {
            Some(Failure::Absent { status, text }) if text.is_empty() => {
                format!("{} says {status}", upstream.label())
            }
            Some(Failure::Absent { text, .. }) => format!("{} says: {text}", upstream.label()),
            _ => String::new(),
        };
        let mut verdict = match self.errors.as_slice() {
            [] if self.off => EngineError::new(
                class,
                format!("not found: {what} is not kept here, and the chain of upstreams is off"),
            ),
            [] => EngineError::new(
                class,
                format!("not found: {what} is not kept here, and the chain names no upstream"),
            ),
            [(upstream, error)] => EngineError::new(
                class,
                format!("not found: {what}: {}", said(upstream, error)),
            ),
            several => {
                let start =
                    EngineError::new(class, format!("not found: {what}: no upstream has it"));
                several.iter().fold(start, |verdict, (upstream, error)| {
                    verdict.and(said(upstream, error))
                })
            }
        };
        verdict.upstream = self
            .errors
            .last()
            .map(|(upstream, _)| upstream.label().to_string());
        if self.direct {
            verdict = verdict.and("direct: fetching straight from version control is not built into this version of larder");
        }
        verdict
    }
}

/// What to say about an upstream that could not answer.
fn fault(what: &str, upstream: &Upstream, error: &SourceError) -> EngineError {
    let label = upstream.label();
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open(left) | SourceError::Paused(left) => {
            let mut verdict = EngineError::new(
                Class::Unavailable,
                format!("{what}: upstream {label} is not available: {error}"),
            )
            .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(*left);
            return verdict;
        }
        SourceError::Busy => {
            let mut verdict = EngineError::new(
                Class::Unavailable,
                format!("{what}: upstream {label}: {error}"),
            )
            .and("It is slow at the moment. Try again in a moment.");
            verdict.retry_after = Some(Duration::from_secs(5));
            return verdict;
        }
    };
    let retry = "What is kept here goes on being served. Try again; if it stays so, look at that upstream's state.";
    match failure {
        Failure::Refused { text } => {
            let words = if text.is_empty() { "403 Forbidden" } else { text };
            EngineError::new(Class::Refused, format!("{words} ({what}: refused by {label} with 403)"))
                .and("Ask whoever runs that upstream whether the module may be used.")
        }
        Failure::Login(status) => EngineError::new(
            Class::Upstream,
            format!("{what}: upstream {label} answered {status}: {}", if upstream.has_credentials() {
                "it does not accept larder's credentials"
            } else {
                "it wants credentials and larder has none for it"
            }),
        )
        .and(format!("Larder's operator sets them as [[credentials]] host = \"{}\" in its configuration, or in netrc.", upstream.base().host_str().unwrap_or_default())),
        Failure::Limited { after, .. } => {
            let mut verdict = EngineError::new(Class::Unavailable, format!("{what}: upstream {label}: {error}"))
                .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(after.unwrap_or(Duration::from_secs(5)).min(Duration::from_secs(60)));
            verdict
        }
        Failure::Timeout(_) => EngineError::new(Class::Timeout, format!("{what}: upstream {label}: {error}")).and(retry),
        Failure::Loop => EngineError::new(Class::Upstream, format!("{what}: upstream {label}: {error}"))
            .and("Larder's operator must take it out of the chain of upstreams (--upstream)."),
        Failure::Sink(SinkError::Store(text)) => {
            tracing::error!(%text, what, "a fetched file could not be written");
            EngineError::ours(format!("{what}: larder could not store what it fetched"))
        }
        Failure::Sink(SinkError::Content(text)) => {
            EngineError::new(Class::Upstream, format!("{what}: upstream {label}: its answer is not what was asked for: {text}")).and(retry)
        }
        _ => EngineError::new(Class::Upstream, format!("{what}: upstream {label} failed: {error}")).and(retry),
    }
}
