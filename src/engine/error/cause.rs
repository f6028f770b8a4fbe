//! Why a request has no answer: one variant for each cause, with what it came of. The text of each is what happened; what
//! to do about it is for whoever shows it to people (`http/advice.rs`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::class::{Class, Stale};
use super::upstream::AskedUpstream;
use super::{database, repository, upstream};
use crate::gomod::{H1, ModulePath};
use crate::store::{CatalogError, StoreError};
use crate::sumdb::SumdbError;
use crate::upstream::{Failure, SourceError};
use crate::vcs::direct::DirectError;
use crate::vcs::resolve::ResolveError;
use crate::vcs::{NoVersion, RepoError};

/// When what had no room here may be asked for again.
const NO_ROOM: Duration = Duration::from_secs(60);
/// When those may come again who were sent away while as much as may be is under way.
const TOO_MANY: Duration = Duration::from_secs(2);
/// When those may come again who are sent away by a server that stops: whoever restarts it takes a moment for that.
const RESTARTED: Duration = Duration::from_secs(5);
/// Why a request has no answer.
#[derive(Clone, Debug, Error)]
pub enum Cause {
    /// A route refuses the module.
    #[error("{module} is refused here, by the route for {pattern:?}")]
    RefusedByRoute {
        module: ModulePath,
        pattern: Arc<str>,
    },
    /// A pattern keeps the module's name from checksum databases.
    #[error("{module} matches {pattern:?}, and so no checksum database is asked about it")]
    Unlisted {
        module: ModulePath,
        pattern: Arc<str>,
    },
    /// The module is not for everyone, and whoever asks has not shown that they may have it.
    #[error("unauthorized: {module} {lacking}")]
    Unauthorized {
        module: ModulePath,
        lacking: Lacking,
    },
    /// The same of what is about no module.
    #[error("unauthorized: this larder serves only those who show who they are")]
    UnknownCaller,
    /// Whoever asks has shown something that nobody can be asked about.
    #[error("unavailable: who asks cannot be found out at the moment: {0}")]
    CallerUndecided(Arc<str>),
    /// A path that names nothing.
    #[error("not found: {0}")]
    NoSuchPath(String),
    /// No checksum database of that name is served.
    #[error("not found: this larder serves no checksum database of that name")]
    NoSuchDatabase,
    /// The request has come through this server before.
    #[error("loop detected: this request was made by this very server")]
    Loop,
    /// It is not kept, and nobody was to be asked.
    #[error("not found: {0} is not kept here, and this request asked not to fetch it")]
    NotKept(String),
    /// As many fetches as may be are under way.
    #[error("larder is fetching as much as it may already")]
    TooManyFetches,
    /// A client takes as much as it may, and this would have had to wait for too long.
    #[error("{who} has {waiting} request{} waiting ({limit})", if *waiting == 1 { "" } else { "s" })]
    OverLimit {
        /// The client, as it may be told to itself.
        who: String,
        /// This one included.
        waiting: usize,
        /// The key of the configuration.
        limit: String,
        /// When to come again.
        again: Duration,
    },
    /// Which chain it is was not found out before the server stopped: that says nothing of what exists.
    #[error("larder is stopping, and had not yet found out which upstreams to ask")]
    ChainUnknown,
    /// The chain has nobody to ask.
    #[error("not found: {what} is not kept here, and the chain {}", if *off { "of upstreams is off" } else { "names no upstream" })]
    NobodyToAsk {
        what: String,
        /// It says `off`, rather than nothing.
        off: bool,
    },
    /// Each of several sources says that it does not have it.
    #[error("not found: {what}: no source has it")]
    NoSource {
        what: String,
        each: Arc<[OriginError]>,
    },
    /// An upstream has not brought it.
    #[error("{}", upstream::text(what, upstream, source))]
    Upstream {
        what: String,
        upstream: AskedUpstream,
        source: SourceError,
    },
    /// A repository has not brought it.
    #[error("{}", repository::text(what, source))]
    Direct { what: String, source: DirectError },
    /// The module's page names a proxy that may not be asked.
    #[error("not found: {what}: its page names the module proxy {url}: {why}")]
    BarredProxy {
        what: String,
        url: String,
        why: String,
    },
    /// A repository of strangers has more of it than is taken.
    #[error("{what}: what {url} has of it is larger than {max} bytes")]
    TooLargeThere { what: String, url: String, max: u64 },
    /// What a repository has cannot be what is asked for.
    #[error("not found: {what}: what {url} has of it is not to be used: {why}")]
    UnusableThere {
        what: String,
        url: String,
        why: String,
    },
    /// A zip that was made of a repository is none.
    #[error("{what}: the zip made from {from} cannot be used: {source}")]
    UnusableZip {
        what: String,
        from: Arc<str>,
        source: Failure,
    },
    /// A zip breaks the rules for zips.
    #[error("{what}: the zip from {from} failed verification: {why}")]
    BadZip {
        what: String,
        from: String,
        why: String,
    },
    /// A file is not the one that is known by its name.
    #[error("SECURITY ERROR: {what}: checksum mismatch: {from} serves something else than {}", known.says())]
    Mismatch {
        what: String,
        from: String,
        downloaded: H1,
        known: KnownSum,
    },
    /// The databases do not know a version.
    #[error(
        "{what}: not served, because the checksum database {database} does not know this version ({text})"
    )]
    UnknownToDatabase {
        what: String,
        module: ModulePath,
        database: Arc<str>,
        /// Its words.
        text: String,
    },
    /// The databases cannot be asked about a file that is not served unverified.
    #[error("{}", database::text(what, database, source))]
    Unverifiable {
        what: String,
        database: Arc<str>,
        source: SumdbError,
    },
    /// A checksum database has not answered.
    #[error("{}", database::text(what, database, source))]
    Database {
        what: String,
        database: Arc<str>,
        source: SumdbError,
    },
    /// A checksum database cannot be served, so that clients ask elsewhere.
    #[error("not found: the checksum database {database} cannot be served at the moment: {source}")]
    DatabaseNotServed {
        database: Arc<str>,
        source: SumdbError,
    },
    /// No version of a list fits.
    #[error("not found: {0}: no version of it fits")]
    NoVersionFits(String),
    /// There is no list to derive it from.
    #[error("no list of it is kept")]
    NoListKept,
    /// What it is derived from did not come in time.
    #[error("{0}: what it is derived from did not come in time")]
    DerivedTooSlowly(String),
    /// Every source has said before that it does not exist, and nobody can be asked now.
    #[error("{}", words.first().map_or("not found", String::as_str))]
    StillAbsent {
        /// What was said then.
        words: Vec<String>,
        gone: bool,
        from: Option<String>,
        stale: Stale,
        /// Why nobody can be asked.
        why: String,
    },
    /// It is said not to exist on weak evidence, though it was had from there once.
    #[error("{}", without_not_found(source))]
    HadFromThere { source: EngineError },
    /// What is kept could not be read or written.
    #[error("{}", of_store(.0))]
    Store(#[source] Arc<StoreError>),
    /// Another fault of this server. The details are in the log.
    #[error("{0}")]
    Internal(String),
    /// One that a test wants.
    #[cfg(test)]
    #[error("{text}")]
    Scripted {
        class: Class,
        text: String,
        from: Option<String>,
        too_large: bool,
    },
}

/// What somebody lacks who asks for a module that is not for everyone; the end of a sentence that begins with the module.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Lacking {
    /// What they have shown is not good.
    #[error("is private here, and the token that was sent {0}")]
    GoodToken(Arc<str>),
    /// They have shown none.
    #[error(
        "is private here, and this larder serves private modules only to those who have a token"
    )]
    Token,
    /// Nor are they a program on this machine.
    #[error(
        "is private here, and without a token it is served only to programs on this machine that ask for localhost, with no other server in between"
    )]
    TokenOrThisMachine,
    /// Nothing is served to those who show nothing.
    #[error("is served only to those who show who they are, by a token for instance")]
    Identity,
    /// What is shown is good, and not for this module.
    #[error("is not for {0} here")]
    Grant(String),
    /// Somebody else may have it.
    #[error("is not for everyone here")]
    Exempt,
}

/// What a file is held to.
#[derive(Clone, Debug)]
pub enum KnownSum {
    /// What a checksum database has recorded.
    Recorded {
        database: Arc<str>,
        sums: Vec<String>,
    },
    /// What was first seen here.
    FirstSeen {
        h1: H1,
        /// As commands take it: `PATH@VERSION`.
        version: String,
    },
}

impl KnownSum {
    fn says(&self) -> String {
        match self {
            KnownSum::Recorded { database, .. } => {
                format!("the checksum database {database} has recorded")
            }
            KnownSum::FirstSeen { .. } => "was first seen here".to_owned(),
        }
    }
}

impl Cause {
    /// Its class.
    fn class(&self) -> Class {
        match self {
            Cause::RefusedByRoute { .. } | Cause::Unlisted { .. } => Class::Refused,
            Cause::Unauthorized { .. } | Cause::UnknownCaller => Class::Unauthorized,
            Cause::NoSuchPath(_)
            | Cause::NoSuchDatabase
            | Cause::NotKept(_)
            | Cause::NobodyToAsk { .. }
            | Cause::BarredProxy { .. }
            | Cause::UnusableThere { .. }
            | Cause::DatabaseNotServed { .. }
            | Cause::NoVersionFits(_)
            | Cause::NoListKept => Class::Absent { gone: false },
            Cause::NoSource { each, .. } => Class::Absent {
                gone: each.iter().all(OriginError::is_gone),
            },
            Cause::StillAbsent { gone, .. } => Class::Absent { gone: *gone },
            Cause::Loop => Class::Loop,
            Cause::TooManyFetches | Cause::OverLimit { .. } => Class::Overloaded,
            Cause::ChainUnknown | Cause::CallerUndecided(_) => Class::Unavailable,
            Cause::Upstream { source, .. } => upstream::class(source),
            Cause::Direct { source, .. } => repository::class(source),
            Cause::TooLargeThere { .. }
            | Cause::UnusableZip { .. }
            | Cause::HadFromThere { .. } => Class::Upstream,
            Cause::BadZip { .. } | Cause::Mismatch { .. } => Class::VerificationFailed,
            Cause::UnknownToDatabase { .. } => Class::UnknownToDatabase,
            Cause::Unverifiable { source, .. } => match database::class(source) {
                // It is the database that is refused, not the module.
                Class::Refused => Class::Upstream,
                class => class,
            },
            Cause::Database { source, .. } => database::class(source),
            Cause::DerivedTooSlowly(_) => Class::Timeout,
            Cause::Store(_) | Cause::Internal(_) => Class::Internal,
            #[cfg(test)]
            Cause::Scripted { class, .. } => *class,
        }
    }

    /// What else happened, a line each.
    fn details(&self) -> Vec<String> {
        match self {
            Cause::NoSource { each, .. } => each.iter().map(|it| it.brief.clone()).collect(),
            Cause::Mismatch {
                downloaded, known, ..
            } => vec![
                format!("downloaded: {downloaded}"),
                match known {
                    KnownSum::Recorded { sums, .. } => format!("recorded:   {}", sums.join(" ")),
                    KnownSum::FirstSeen { h1, .. } => format!("first seen: {h1}"),
                },
            ],
            Cause::HadFromThere { source } => source.cause().details(),
            _ => Vec::new(),
        }
    }

    /// When to come again.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Cause::TooManyFetches => Some(TOO_MANY),
            Cause::OverLimit { again, .. } => Some(*again),
            Cause::ChainUnknown => Some(RESTARTED),
            Cause::Upstream { source, .. } => upstream::retry_after(source),
            Cause::Direct { source, .. } if repository::class(source) == Class::Unavailable => {
                Some(NO_ROOM)
            }
            Cause::Database { source, .. } | Cause::Unverifiable { source, .. } => {
                database::retry_after(source)
            }
            Cause::HadFromThere { source } => source.retry_after(),
            _ => None,
        }
    }

    /// The source that it is about.
    fn upstream(&self) -> Option<&str> {
        match self {
            Cause::Upstream { upstream, .. } => Some(&upstream.label),
            Cause::BadZip { from, .. } | Cause::Mismatch { from, .. } => Some(from),
            Cause::NoSource { each, .. } => {
                each.iter().rev().find_map(|failed| failed.error.upstream())
            }
            Cause::StillAbsent { from, .. } => from.as_deref(),
            Cause::HadFromThere { source } => source.upstream(),
            #[cfg(test)]
            Cause::Scripted { from, .. } => from.as_deref(),
            _ => None,
        }
    }

    /// Whether it was decided here: nobody was asked, and nothing was looked up.
    fn is_unasked(&self) -> bool {
        matches!(
            self,
            Cause::RefusedByRoute { .. }
                | Cause::Unlisted { .. }
                | Cause::Unauthorized { .. }
                | Cause::UnknownCaller
                | Cause::CallerUndecided(_)
                | Cause::NoSuchPath(_)
                | Cause::NoSuchDatabase
                | Cause::Loop
                | Cause::NotKept(_)
        )
    }

    /// Whether a page that names no repository is all that speaks against it: for what was had from there once, that is a
    /// fault.
    fn is_doubtful(&self) -> bool {
        match self {
            Cause::Direct { source, .. } => matches!(
                source,
                DirectError::Resolve(ResolveError::Untagged { .. } | ResolveError::Closed(_))
            ),
            Cause::NoSource { each, .. } => each.iter().any(|it| it.error.is_doubtful()),
            Cause::HadFromThere { source } => source.is_doubtful(),
            _ => false,
        }
    }

    /// Whether every source that may have it has just said that it does not exist.
    fn is_said_by_all(&self) -> bool {
        match self {
            Cause::Upstream { source, .. } => source.is_absent(),
            Cause::Direct { source, .. } => repository::is_said(source),
            Cause::NoSource { each, .. } => each.iter().all(|it| it.error.is_said_by_all()),
            #[cfg(test)]
            Cause::Scripted { class, .. } => matches!(class, Class::Absent { .. }),
            _ => false,
        }
    }

    /// Whether what was sent is more than is taken.
    fn is_too_large(&self) -> bool {
        match self {
            Cause::Upstream { source, .. } => {
                matches!(source.failure(), Some(Failure::TooLarge(_)))
            }
            Cause::Direct { source, .. } => matches!(
                source,
                DirectError::Version(NoVersion::Repo(RepoError::TooLarge(_)))
            ),
            Cause::TooLargeThere { .. } => true,
            Cause::HadFromThere { source } => source.is_too_large(),
            #[cfg(test)]
            Cause::Scripted { too_large, .. } => *too_large,
            _ => false,
        }
    }
}

fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::Catalog(full @ CatalogError::NoRoom) => full.to_string(),
        _ => "larder's store failed".to_owned(),
    }
}

fn without_not_found(error: &EngineError) -> String {
    let text = error.cause().to_string();
    match text.strip_prefix("not found: ") {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// Lines of an error that clients get, at the most.
pub const LINES: usize = 8;

/// A request without an answer. As text, for the log, it is what happened; what to do about that is for clients.
#[derive(Clone, Debug)]
pub struct EngineError {
    /// Those who wait for the same fetch share it.
    cause: Arc<Cause>,
    /// It was remembered rather than asked for now.
    pub cached: bool,
    /// It holds for this request only: no cache may keep it.
    pub passing: bool,
    /// There are sources that were not asked this time.
    pub partial: bool,
    /// Less was taken than of what somebody waits for.
    pub bounded: bool,
}

impl From<Cause> for EngineError {
    fn from(cause: Cause) -> Self {
        let passing = matches!(cause, Cause::NotKept(_) | Cause::DatabaseNotServed { .. });
        EngineError {
            cause: Arc::new(cause),
            cached: false,
            passing,
            partial: false,
            bounded: false,
        }
    }
}

impl EngineError {
    /// As many fetches as may be are under way.
    pub fn too_many() -> Self {
        tracing::warn!(
            "a miss was refused: as many fetches as may be are under way (store.max_flights, store.max_zip_flights)"
        );
        Cause::TooManyFetches.into()
    }

    /// A fault of this server. The details are for the log, not for clients.
    pub fn ours(reason: impl Into<String>) -> Self {
        Cause::Internal(reason.into()).into()
    }

    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// What kind of thing it is.
    pub fn class(&self) -> Class {
        self.cause.class()
    }

    /// The reason and the details; of the first line there is always something.
    pub fn happened(&self) -> Vec<String> {
        let details = self.cause.details().into_iter();
        let details = details.filter(|line| !line.is_empty());
        let lines = [self.cause.to_string()].into_iter().chain(details);
        lines.take(LINES).collect()
    }

    /// What its sources say of what to do, a line each.
    pub fn told(&self) -> Vec<String> {
        match &*self.cause {
            Cause::Direct { source, .. } if self.class() != Class::Internal => {
                let text = source.to_string();
                text.lines().skip(1).map(str::to_owned).collect()
            }
            Cause::NoSource { each, .. } => {
                let one = |failed: &OriginError| {
                    let details = failed.error.happened().into_iter().skip(1);
                    details.chain(failed.error.told()).collect::<Vec<_>>()
                };
                each.iter().flat_map(one).collect()
            }
            Cause::StillAbsent { words, .. } => words.iter().skip(1).cloned().collect(),
            Cause::HadFromThere { source } => source.told(),
            _ => Vec::new(),
        }
    }

    /// Everything that sources have said: what is kept of an absence.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.happened();
        words.extend(self.told().into_iter().filter(|line| !line.is_empty()));
        words.truncate(LINES);
        words
    }

    /// When to come again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.cause.retry_after()
    }

    /// The source that it is about.
    pub fn upstream(&self) -> Option<&str> {
        self.cause.upstream()
    }

    /// It was said a while ago, and nobody can be asked now.
    pub fn stale(&self) -> Option<Stale> {
        match &*self.cause {
            Cause::StillAbsent { stale, .. } => Some(*stale),
            _ => None,
        }
    }

    /// It was decided here: nobody was asked, and nothing was looked up.
    pub fn is_unasked(&self) -> bool {
        self.cause.is_unasked()
    }

    /// A page that names no repository is all that speaks against it: for what was had from there once, that is a fault.
    pub(in crate::engine) fn is_doubtful(&self) -> bool {
        self.cause.is_doubtful()
    }

    /// That it does not exist was just said by every source that may have it.
    pub fn is_said_by_all(&self) -> bool {
        !self.partial && self.cause.is_said_by_all()
    }

    /// What was sent is more than is taken; so it will be if it is asked for again at once.
    pub fn is_too_large(&self) -> bool {
        !self.bounded && self.cause.is_too_large()
    }

    /// Nobody was asked, since the chain has nobody to ask: that something is not kept here says nothing of whether it
    /// exists.
    pub fn nobody_was_asked(&self) -> bool {
        matches!(&*self.cause, Cause::NobodyToAsk { .. })
    }

    /// Whether nobody could be asked, rather than somebody having said no.
    pub fn is_fault(&self) -> bool {
        matches!(
            self.class(),
            Class::Upstream | Class::Overloaded | Class::Unavailable | Class::Timeout
        )
    }

    /// The same, as somebody's fault.
    pub fn as_fault(self) -> Self {
        EngineError {
            cached: self.cached,
            passing: self.passing,
            ..Cause::HadFromThere { source: self }.into()
        }
    }

    /// Whether somebody says that it does not exist: then no older answer counts.
    pub fn is_denied(&self) -> bool {
        self.is_absent() && !self.nobody_was_asked()
    }

    /// Whether every source says that it does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self.class(), Class::Absent { .. })
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.happened().join("; "))
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.cause)
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Cause::Store(Arc::new(error)).into()
    }
}

/// Why an origin has not brought something.
#[derive(Clone, Debug)]
pub struct OriginError {
    /// The answer, if no other origin has a better one.
    pub error: EngineError,
    /// Of an absence: what is said of it beside that of other origins.
    pub brief: String,
}

impl OriginError {
    /// What larder cannot store from one origin it cannot store from another.
    pub(in crate::engine) fn is_ours(&self) -> bool {
        self.error.class() == Class::Internal
    }

    /// Whether it was there once, and will not be again.
    fn is_gone(&self) -> bool {
        self.error.class() == Class::Absent { gone: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_not_for_the_log() {
        let words = ["not found: x", "say so", ""].map(str::to_owned);
        let stale = Stale {
            age: Duration::from_secs(60),
            over: Duration::ZERO,
        };
        let error = EngineError::from(Cause::StillAbsent {
            words: words.to_vec(),
            gone: true,
            from: None,
            stale,
            why: "it is down".into(),
        });
        assert_eq!(error.to_string(), "not found: x");
        assert_eq!(error.words(), ["not found: x", "say so"]);
        assert_eq!(error.class(), Class::Absent { gone: true });
        assert_eq!(EngineError::ours("broken").to_string(), "broken");
    }

    #[test]
    fn several_absences_are_one() {
        let absent = |label: &str, status: u16| {
            let source = SourceError::Failed {
                failure: Failure::Absent {
                    status: http::StatusCode::from_u16(status).unwrap(),
                    text: String::new(),
                },
                attempts: 1,
            };
            let brief = upstream::absence(label, &source);
            let error = Cause::Upstream {
                what: "m@v1".into(),
                upstream: AskedUpstream {
                    label: label.into(),
                    host: label.to_owned(),
                    has_credentials: false,
                },
                source,
            };
            OriginError {
                error: error.into(),
                brief,
            }
        };
        let of = |each: Vec<OriginError>| {
            EngineError::from(Cause::NoSource {
                what: "m@v1".into(),
                each: each.into(),
            })
        };
        let both = of(vec![absent("a", 410), absent("b", 404)]);
        assert_eq!(
            both.to_string(),
            "not found: m@v1: no source has it; a says 410 Gone; b says 404 Not Found"
        );
        assert_eq!(both.class(), Class::Absent { gone: false });
        assert_eq!(both.upstream(), Some("b"));
        assert!(both.is_said_by_all() && both.is_denied());
        let gone = of(vec![absent("a", 410)]);
        assert_eq!(gone.class(), Class::Absent { gone: true });
        let fault = absent("a", 404).error.as_fault();
        assert_eq!(fault.to_string(), "m@v1: a says 404 Not Found");
        assert_eq!(fault.class(), Class::Upstream);
        assert!(!fault.is_said_by_all() && fault.is_fault());
        assert!(std::error::Error::source(&fault).is_some());
    }
}
