//! Walking the chain: who is asked next, and what to say when nobody has it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::direct::{self, Direct, Found};
use super::error::{Class, EngineError};
use crate::errand::Errand;
use crate::gomod::ModulePath;
use crate::protocol::{FileKey, Key};
use crate::upstream::{
    Check, Failure, Fall, Fetched, Sink, SinkError, SourceError, Upstream, Validators, Want,
    ZipStream,
};
use crate::vcs::direct::Lodging;
use crate::vcs::party::Party;

/// A fetch that has not shown a byte is given up after this: clients are answered within 45 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(42);
/// What a source gets at the least.
const LEAST: Duration = Duration::from_secs(3);

/// Where a module may come from.
#[derive(Clone)]
pub enum Source {
    /// Another GOPROXY.
    Proxy(Arc<Upstream>),
    /// Straight from version control.
    Direct(Arc<Direct>),
    /// Nowhere.
    Off,
}

/// The chain, with its parts made.
#[derive(Clone)]
pub struct Sources {
    list: Vec<(Source, Fall)>,
    /// There are others, which are not to be asked this time.
    partial: bool,
}

/// Where all modules come from.
#[derive(Clone)]
pub struct AllSources {
    /// The chain, once it is known.
    pub chain: watch::Receiver<Option<Sources>>,
    /// Of private modules.
    pub private: Sources,
    /// Of routes, by their number; those that go by the chain have none.
    pub routes: Vec<Option<Sources>>,
}

impl AllSources {
    /// Of a route.
    pub fn route(&self, number: usize) -> Sources {
        let own = self.routes.get(number).cloned().flatten();
        own.unwrap_or_else(|| Sources::new(Vec::new()))
    }
}

/// Asks one source; state that lasts from one to the next is the asker's.
trait Ask: Send {
    type Found: Send;
    /// Asks an upstream.
    fn ask(
        &mut self,
        upstream: &Upstream,
        time: Duration,
    ) -> impl Future<Output = Result<Self::Found, SourceError>> + Send;
    /// Asks the repository that the module lies in, which a stranger has named unless the module is `private`.
    fn ask_direct(
        &mut self,
        lodging: &Lodging,
        private: bool,
        what: &str,
    ) -> impl Future<Output = Result<Self::Found, EngineError>> + Send;
    /// Whether a client has seen something: then there is no hurry.
    fn began(&self) -> bool {
        false
    }
}

/// Why a source has not brought it.
enum Fault {
    Upstream(Arc<Upstream>, SourceError),
    Direct(EngineError),
}

impl Fault {
    fn is_absent(&self) -> bool {
        match self {
            Fault::Upstream(_, error) => error.is_absent(),
            Fault::Direct(error) => error.is_absent(),
        }
    }

    /// Whether the source itself has said that it does not exist.
    fn is_said(&self) -> bool {
        match self {
            Fault::Upstream(_, error) => error.is_absent(),
            Fault::Direct(error) => error.said_by_all,
        }
    }

    /// What we cannot store from one source we cannot store from another.
    fn is_ours(&self) -> bool {
        match self {
            Fault::Upstream(_, error) => {
                matches!(error.failure(), Some(Failure::Sink(SinkError::Store(_))))
            }
            Fault::Direct(error) => error.class == Class::Ours,
        }
    }

    /// Whether it was there once, and will not be again.
    fn is_gone(&self) -> bool {
        match self {
            Fault::Upstream(_, error) => {
                matches!(error.failure(), Some(Failure::Absent { status, .. }) if status.as_u16() == 410)
            }
            Fault::Direct(_) => false,
        }
    }

    /// What is said of it when it is not the only one.
    fn said(&self) -> String {
        match self {
            Fault::Upstream(upstream, error) => match error.failure() {
                Some(Failure::Absent { status, text }) if text.is_empty() => {
                    format!("{} says {status}", upstream.label())
                }
                Some(Failure::Absent { text, .. }) => format!("{} says: {text}", upstream.label()),
                _ => String::new(),
            },
            Fault::Direct(error) => {
                let line = error.lines.first().map_or("", String::as_str);
                format!("direct: {}", line.trim_start_matches("not found: "))
            }
        }
    }

    fn verdict(self, what: &str) -> EngineError {
        match self {
            Fault::Upstream(upstream, error) => {
                let mut verdict = fault(what, &upstream, &error);
                verdict.upstream = Some(upstream.label().to_string());
                verdict
            }
            Fault::Direct(error) => error,
        }
    }
}

impl Sources {
    /// In order.
    pub fn new(sources: Vec<(Source, Fall)>) -> Self {
        Sources {
            list: sources,
            partial: false,
        }
    }

    /// Only the upstreams, up to the first source that is none.
    pub fn proxies_only(&self) -> Self {
        let is_proxy = |(source, _): &&(Source, Fall)| matches!(source, Source::Proxy(_));
        let list: Vec<_> = self.list.iter().take_while(is_proxy).cloned().collect();
        Sources {
            partial: self.partial || list.len() < self.list.len(),
            list,
        }
    }

    /// Whether prefetches may be asked for: there is somebody, who is healthy and does not want to be left alone.
    pub fn welcome_prefetches(&self) -> bool {
        match self.list.first() {
            Some((Source::Proxy(upstream), _)) => !upstream.wants_rest(),
            Some((Source::Direct(_), _)) => true,
            Some((Source::Off, _)) | None => false,
        }
    }

    /// The upstreams in it.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.list.iter().filter_map(|(source, _)| match source {
            Source::Proxy(upstream) => Some(upstream),
            Source::Direct(_) | Source::Off => None,
        })
    }

    /// How long an answer may take that needs a fetch from a repository, if these may do that.
    pub fn patience(&self) -> Option<Duration> {
        let direct = self.list.iter().filter_map(|(source, _)| match source {
            Source::Direct(direct) => Some(direct.patience()),
            Source::Proxy(_) | Source::Off => None,
        });
        direct.max()
    }

    /// Fetches something small; also says from where. `what` names it in error texts; `known` are the validators of
    /// what is kept and the source that gave them.
    pub async fn small<T: Send>(
        &self,
        what: &str,
        key: &Key,
        want: &Want<'_>,
        known: Option<(&str, &Validators)>,
        check: Check<'_, T>,
    ) -> Result<(Fetched<T>, Arc<str>), EngineError> {
        struct Small<'a, T> {
            key: &'a Key,
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
            async fn ask_direct(
                &mut self,
                lodging: &Lodging,
                private: bool,
                what: &str,
            ) -> Result<Fetched<T>, EngineError> {
                // Own repositories have the bounds of what reads them, which are the go command's.
                let max = (!private).then_some(self.want.max_of_strangers);
                direct::small(lodging, self.key, max, what, self.check).await
            }
        }
        let mut small = Small {
            key,
            want,
            known,
            check,
        };
        self.walk(what, key.module(), want.errand, &mut small).await
    }

    /// Fetches a zip into `stream`; says from where.
    pub async fn zip<S: Sink>(
        &self,
        what: &str,
        key: &FileKey,
        want: &Want<'_>,
        stream: &mut ZipStream<S>,
    ) -> Result<Arc<str>, EngineError> {
        struct Zip<'a, S> {
            key: &'a FileKey,
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
            async fn ask_direct(
                &mut self,
                lodging: &Lodging,
                _private: bool,
                what: &str,
            ) -> Result<(), EngineError> {
                direct::zip(lodging, self.key, what, self.stream).await
            }
            fn began(&self) -> bool {
                self.stream.shown()
            }
        }
        let mut zip = Zip { key, want, stream };
        Ok(self.walk(what, &key.module, want.errand, &mut zip).await?.1)
    }

    async fn walk<A: Ask>(
        &self,
        what: &str,
        module: &ModulePath,
        errand: &Errand,
        ask: &mut A,
    ) -> Result<(A::Found, Arc<str>), EngineError> {
        let until = errand.until.unwrap_or(Instant::now() + PATIENCE);
        let mut tried = Tried::default();
        for (at, (source, fall)) in self.list.iter().enumerate() {
            let left = if ask.began() {
                PATIENCE
            } else {
                until.saturating_duration_since(Instant::now())
            };
            let time = (left / self.sharers(at)).max(LEAST.min(left));
            let fault = match source {
                Source::Proxy(upstream) => {
                    errand.asked.set(upstream.label());
                    match ask.ask(upstream, time).await {
                        Ok(found) => return Ok((found, Arc::clone(upstream.label()))),
                        Err(error) => Fault::Upstream(Arc::clone(upstream), error),
                    }
                }
                Source::Direct(direct) => {
                    errand.asked.set(&Arc::from("direct"));
                    match ask_direct(direct, what, module, ask).await {
                        Ok(found) => return Ok(found),
                        Err(fault) => fault,
                    }
                }
                Source::Off => {
                    tried.off = true;
                    break;
                }
            };
            let go_on = (*fall == Fall::AnyError && !fault.is_ours()) || fault.is_absent();
            tried.faults.push(fault);
            if !go_on {
                break;
            }
        }
        let mut verdict = tried.verdict(what);
        verdict.said_by_all &= !self.partial;
        Err(verdict)
    }

    /// Whether one of the upstreams has answered anybody since then.
    pub fn has_answered_since(&self, then: std::time::Instant) -> bool {
        self.upstreams()
            .any(|upstream| upstream.has_answered_since(then))
    }

    /// Among how many upstreams the time is shared: this one and those that are asked whatever becomes of it.
    fn sharers(&self, at: usize) -> u32 {
        let mut sharers = 1;
        for pair in self.list[at..].windows(2) {
            match pair {
                [(_, Fall::AnyError), (Source::Proxy(_), _)] => sharers += 1,
                _ => break,
            }
        }
        sharers
    }
}

/// Asks straight where the module lies, in a repository or at another proxy that its page names.
async fn ask_direct<A: Ask>(
    direct: &Direct,
    what: &str,
    module: &ModulePath,
    ask: &mut A,
) -> Result<(A::Found, Arc<str>), Fault> {
    match direct.find(module, what).await.map_err(Fault::Direct)? {
        Found::Repository(lodging) => {
            let private = direct.way().rules().party() == Party::Own;
            let found = ask.ask_direct(&lodging, private, what).await;
            Ok((found.map_err(Fault::Direct)?, direct::label(&lodging)))
        }
        Found::Proxy(upstream) => match ask.ask(&upstream, PATIENCE).await {
            Ok(found) => Ok((found, Arc::clone(upstream.label()))),
            Err(error) => Err(Fault::Upstream(upstream, error)),
        },
    }
}

#[derive(Default)]
struct Tried {
    faults: Vec<Fault>,
    off: bool,
}

impl Tried {
    /// What to say when no source has brought it: "not found" only if each that may have it said so, else the last
    /// fault.
    fn verdict(mut self, what: &str) -> EngineError {
        if let Some(at) = self.faults.iter().rposition(|fault| !fault.is_absent()) {
            return self.faults.swap_remove(at).verdict(what);
        }
        let class = Class::Absent {
            gone: !self.faults.is_empty() && self.faults.iter().all(Fault::is_gone),
        };
        let upstream = self.faults.iter().rev().find_map(|fault| match fault {
            Fault::Upstream(upstream, _) => Some(upstream.label().to_string()),
            Fault::Direct(_) => None,
        });
        let doubtful = |fault: &Fault| matches!(fault, Fault::Direct(error) if error.doubtful);
        let doubtful = self.faults.iter().any(doubtful);
        let mut verdict = match self.faults.as_mut_slice() {
            [] if self.off => EngineError::new(
                class,
                format!("not found: {what} is not kept here, and the chain of upstreams is off"),
            ),
            [] => EngineError::new(
                class,
                format!("not found: {what} is not kept here, and the chain names no upstream"),
            ),
            [Fault::Direct(error)] => error.clone(),
            [only] => EngineError::new(class, format!("not found: {what}: {}", only.said())),
            several => {
                let start = EngineError::new(class, format!("not found: {what}: no source has it"));
                let each = several.iter();
                let verdict = each
                    .clone()
                    .fold(start, |verdict, fault| verdict.detail(fault.said()));
                let advice = each.filter_map(|fault| match fault {
                    Fault::Direct(error) => Some(error.lines.iter().skip(1)),
                    Fault::Upstream(..) => None,
                });
                advice.flatten().fold(verdict, EngineError::and)
            }
        };
        verdict.doubtful = doubtful;
        verdict.upstream = upstream;
        verdict.nobody_asked = self.faults.is_empty();
        verdict.said_by_all = !self.faults.is_empty() && self.faults.iter().all(Fault::is_said);
        verdict
    }
}

/// What to say about an upstream that could not answer.
fn fault(what: &str, upstream: &Upstream, error: &SourceError) -> EngineError {
    let label = upstream.label();
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { left, .. } | SourceError::Paused(left) => {
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
        Failure::TooLarge(_) => {
            let mut verdict = EngineError::new(Class::Upstream, format!("{what}: upstream {label}: {error}"));
            verdict.too_large = true;
            verdict
        }
        Failure::Crowded => {
            let mut verdict = EngineError::new(Class::Overloaded, format!("{what}: upstream {label}: {error}"))
                .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(Duration::from_secs(2));
            verdict
        }
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
