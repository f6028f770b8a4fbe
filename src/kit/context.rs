//! What a piece of work is told of the request that it is done for. It goes with the work from room to room, also to those
//! that know nothing of modules' rules: how urgent it is, until when, in whose log lines it stands.

use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::{ClientId, WaitingClients};
use super::priority::Priority;
use super::trace::TraceId;

/// What whoever fetches is told of the request. The default is for somebody who waits, and of whom nothing is known.
#[derive(Clone, Debug, Default)]
pub struct FetchContext {
    /// Whose request it is; nobody's if the work is done in the background.
    pub client: Option<ClientId>,
    /// All who wait for the work, where others can come to do so.
    pub waiting: Option<WaitingClients>,
    /// The `Via` of the request, so that a loop through several servers is noticed.
    pub via: Option<HeaderValue>,
    /// The id of the request, for the log.
    pub request_id: Option<Arc<str>>,
    /// The trace that the request belongs to, for the log.
    pub trace_id: Option<TraceId>,
    /// Whether anybody waits for it.
    pub priority: Priority,
    /// When whoever waits must have an answer, if that is not counted from when the work is begun.
    pub deadline: Option<Instant>,
    /// What is remembered does not count: it is to be asked for again.
    pub no_cache: bool,
    /// Who is being asked, for the log.
    pub asking: CurrentSource,
}

/// The source that was asked last on behalf of a request.
#[derive(Clone, Debug, Default)]
pub struct CurrentSource(Arc<Mutex<Option<Arc<str>>>>);

impl CurrentSource {
    /// This one is asked now.
    pub fn set(&self, source: &Arc<str>) {
        *self.0.lock() = Some(Arc::clone(source));
    }

    /// Who was asked last.
    pub fn get(&self) -> Option<Arc<str>> {
        self.0.lock().clone()
    }
}

impl FetchContext {
    /// Who waits for the work.
    pub fn waiting(&self) -> WaitingClients {
        let waiting = self.waiting.clone();
        waiting.unwrap_or_else(|| WaitingClients::from(self.client))
    }

    /// The same for a piece of work of its own: who is asked for that is told apart.
    pub fn forked(&self) -> Self {
        FetchContext {
            asking: CurrentSource::default(),
            ..self.clone()
        }
    }

    /// Somebody waits, from now on and whatever is remembered; otherwise the same request.
    pub fn waited_for(&self) -> Self {
        FetchContext {
            priority: Priority::Foreground,
            deadline: None,
            no_cache: false,
            ..self.clone()
        }
    }

    /// That of a prefetch.
    pub fn prefetch() -> Self {
        FetchContext {
            priority: Priority::prefetch(),
            ..FetchContext::default()
        }
    }
}
