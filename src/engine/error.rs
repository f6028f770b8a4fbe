//! Why a request has no answer. The class decides the status (in `http/error`), the text is for the developer who
//! reads it in the output of `go`.

use std::time::Duration;

use thiserror::Error;

use crate::store::{CatalogError, StoreError};

/// Classes of design section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It does not exist, says every source that may have it. `gone` if they said 410.
    Absent {
        /// 410 rather than 404.
        gone: bool,
    },
    /// It exists perhaps, but is not given out: 403.
    Refused,
    /// It is given out to those who show a token: 401.
    Unauthorized,
    /// What came failed verification: 502.
    Rejected,
    /// No checksum database knows it: 502.
    Unvouched,
    /// An upstream is at fault: 502.
    Upstream,
    /// We are doing as much as we may: 503.
    Overloaded,
    /// No source can be asked at the moment: 503.
    Unavailable,
    /// No source answered in time: 504.
    Timeout,
    /// An upstream leads back to this server: 508, which no other server asks again for.
    Loop,
    /// Our own fault: 500.
    Ours,
}

/// A request without an answer. As text, for the log, it is what happened; what to do about that is for clients.
#[derive(Clone, Debug, Error)]
#[error("{}", self.happened().join("; "))]
pub struct EngineError {
    /// What kind of thing it is.
    pub class: Class,
    /// The reason, then details and the next step. At most eight lines, none empty.
    pub lines: Vec<String>,
    /// How many lines after the first one say what happened; the rest says what to do.
    details: usize,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// The upstream that it is about.
    pub upstream: Option<String>,
    /// It was remembered rather than asked for now.
    pub cached: bool,
    /// It holds for this request only: no cache may keep it.
    pub passing: bool,
    /// It was decided here: nobody was asked, and nothing was looked up.
    pub unasked: bool,
    /// A page that names no repository is all that speaks against it: for what was had from there once, that is a fault.
    pub doubtful: bool,
    /// That it does not exist was just said by every source that may have it.
    pub said_by_all: bool,
    /// What was sent is more than is taken; so it will be if it is asked for again at once.
    pub too_large: bool,
    /// Nobody was asked, since the chain has nobody to ask: that something is not kept here says nothing of whether it
    /// exists.
    pub nobody_asked: bool,
    /// It was said a while ago, and nobody can be asked now.
    pub stale: Option<Stale>,
}

/// How old something is that is said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since it was said.
    pub age: Duration,
    /// Since it should have been asked again.
    pub over: Duration,
}

impl EngineError {
    /// As many fetches as may be are under way.
    pub fn too_many() -> Self {
        tracing::warn!(
            "a miss was refused: as many fetches as may be are under way (store.max_flights, store.max_zip_flights)"
        );
        let mut error = EngineError::new(
            Class::Overloaded,
            "larder is fetching as much as it may already",
        )
        .and("What is kept here goes on being served. Try again in a moment.");
        error.retry_after = Some(Duration::from_secs(2));
        error
    }

    /// Nobody was to be asked, and it is not kept.
    pub fn not_kept(what: &str) -> Self {
        let mut error = EngineError::absent(format!(
            "not found: {what} is not kept here, and this request asked not to fetch it"
        ));
        // It is true for this request only.
        error.passing = true;
        error.without_asking()
    }

    /// With a first line.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        EngineError {
            class,
            lines: vec![reason.into()],
            details: 0,
            retry_after: None,
            upstream: None,
            cached: false,
            passing: false,
            doubtful: false,
            said_by_all: false,
            too_large: false,
            nobody_asked: false,
            stale: None,
            unasked: false,
        }
    }

    /// With one more line that says what happened; to be called before [`EngineError::and`].
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        let before = self.lines.len();
        self = self.and(line);
        self.details += self.lines.len() - before;
        self
    }

    /// The reason and the details.
    pub fn happened(&self) -> &[String] {
        self.lines.get(..=self.details).unwrap_or(&self.lines)
    }

    /// What to do, and what goes on all the same.
    pub fn advice(&self) -> &[String] {
        self.lines.get(self.details + 1..).unwrap_or_default()
    }

    /// With one more line, for clients: what to do, what goes on.
    pub fn and(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        if !line.is_empty() && self.lines.len() < 8 {
            self.lines.push(line);
        }
        self
    }

    /// Decided here, without asking anybody.
    pub fn without_asking(mut self) -> Self {
        self.unasked = true;
        self
    }

    /// Something that does not exist.
    pub fn absent(reason: impl Into<String>) -> Self {
        EngineError::new(Class::Absent { gone: false }, reason)
    }

    /// A fault of this server. The details are for the log, not for clients.
    pub fn ours(reason: impl Into<String>) -> Self {
        EngineError::new(Class::Ours, reason)
            .and("This is a fault of the Larder server, not of your build; its log says more. Try again, and tell its operator.")
    }

    /// Whether nobody could be asked, rather than somebody having said no.
    pub fn is_fault(&self) -> bool {
        matches!(
            self.class,
            Class::Upstream | Class::Overloaded | Class::Unavailable | Class::Timeout
        )
    }

    /// The same, as somebody's fault.
    pub fn as_fault(mut self) -> Self {
        self.class = Class::Upstream;
        self.said_by_all = false;
        if let Some(first) = self.lines.first_mut()
            && let Some(rest) = first.strip_prefix("not found: ")
        {
            *first = rest.to_owned();
        }
        self.and("Larder has had the module from there: what is kept goes on being served.")
    }

    /// Whether somebody says that it does not exist: then no older answer counts.
    pub fn is_denied(&self) -> bool {
        self.is_absent() && !self.nobody_asked
    }

    /// Whether every source says that it does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self.class, Class::Absent { .. })
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        if let StoreError::Catalog(full @ CatalogError::NoRoom) = &error {
            return EngineError::ours(full.to_string());
        }
        EngineError::ours("larder's store failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_for_clients_and_not_for_the_log() {
        let error = EngineError::new(Class::Rejected, "checksum mismatch")
            .detail("downloaded: h1:a")
            .detail("recorded:   h1:b")
            .and("Try again.")
            .and("Ask somebody.");
        assert_eq!(error.lines.len(), 5);
        let text = error.to_string();
        assert_eq!(
            text,
            "checksum mismatch; downloaded: h1:a; recorded:   h1:b"
        );
        assert_eq!(EngineError::ours("broken").to_string(), "broken");
    }
}
