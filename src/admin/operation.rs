//! What an operation is, and what it tells.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::AdminError;
use crate::telemetry::audit::{Audit, AuditAction};

/// Events that a slow reader may be behind.
pub const BEHIND: usize = 256;

/// Something that an operator does: the value says what exactly.
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name on the socket.
    const NAME: &'static str;
    /// What it works on.
    type On: Clone + Send + Sync + 'static;
    /// What it tells while it works, one by one.
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// What it tells at its end.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Whether it leaves everything as it is: then it ends at once when nobody waits for it any more. What changes something
    /// is not left half done; where it consists of many changes, it looks itself whether to go on ([`EventSink::goes_on`]).
    fn only_reads(&self) -> bool {
        true
    }

    /// Whether what it found is as it should be.
    fn is_well(_: &Self::Output) -> bool {
        true
    }

    /// Carries it out.
    fn run(
        self,
        on: &Self::On,
        out: &EventSink<Self>,
    ) -> impl Future<Output = Result<Self::Output, AdminError>> + Send
    where
        Self: Sized;
}

/// What an operation tells; the last is `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event<I, D> {
    /// Something that it found.
    Item(I),
    /// How far it is.
    Progress(OperationProgress),
    /// It has been carried out.
    Done(D),
    /// It has not.
    Failed(AdminError),
}

/// The events of an operation.
pub type EventOf<O> = Event<<O as Operation>::Item, <O as Operation>::Output>;

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationProgress {
    /// Files looked at.
    pub files: u64,
    /// Files in all, if that is known.
    pub files_in_all: Option<u64>,
    /// Bytes of those, where bytes are what takes time.
    pub bytes: Option<u64>,
    /// Bytes in all, if that is known.
    pub bytes_in_all: Option<u64>,
    /// What was looked at last.
    pub current: String,
}

/// There is no such value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Never {}

/// The end of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// How many items there were.
    pub count: u64,
}

/// Where the events of an operation go. Whoever reads may have gone; the work goes on, unless it looks.
pub struct EventSink<O: Operation> {
    events: mpsc::Sender<EventOf<O>>,
    stop: CancellationToken,
}

impl<O: Operation> EventSink<O> {
    /// Tells something that was found.
    pub async fn item(&self, item: O::Item) {
        let _ = self.events.send(Event::Item(item)).await;
    }

    /// Tells how far it is.
    pub fn progress(&self, progress: OperationProgress) {
        // Whoever is behind can do without.
        let _ = self.events.try_send(Event::Progress(progress));
    }

    /// An error if whoever waits for it has gone, or the process is to end.
    pub fn goes_on(&self) -> Result<(), AdminError> {
        match self.stop.is_cancelled() || self.events.is_closed() {
            true => Err(broken_off()),
            false => Ok(()),
        }
    }

    /// Waits for work that may be left at any point, as long as it goes on.
    pub async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, AdminError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(broken_off()),
            () = self.events.closed() => Err(broken_off()),
            done = work => Ok(done),
        }
    }
}

fn broken_off() -> AdminError {
    AdminError::internal(
        "the command was broken off before its end; what it did until then is done",
    )
}

/// Who has something done, and where that is kept.
#[derive(Clone, Default)]
pub struct Performer {
    /// `uid:1000`.
    pub who: String,
    pub audit: Audit,
}

/// Carries an operation out and tells what comes of it; `stop` says that the process is to end.
pub async fn perform<O: Operation>(
    operation: O,
    on: O::On,
    events: mpsc::Sender<EventOf<O>>,
    stop: CancellationToken,
    by: &Performer,
) {
    let out = EventSink { events, stop };
    // No operation takes a secret; what comes of one may be one.
    let changes = !operation.only_reads();
    let input = changes.then(|| serde_json::to_value(&operation).unwrap_or_default());
    let end = match operation.run(&on, &out).await {
        Ok(output) => Event::Done(output),
        Err(error) => Event::Failed(error),
    };
    if changes {
        let error = match &end {
            Event::Failed(error) => Some(error.to_string()),
            _ => None,
        };
        by.audit.acted(&AuditAction {
            operation: O::NAME,
            who: &by.who,
            address: None,
            request_id: None,
            input: input.as_ref(),
            error: error.as_deref(),
        });
    }
    // As above.
    let _ = out.events.send(end).await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::admin::IndexVerify;

    #[tokio::test]
    async fn work_is_left_when_the_process_is_to_end_or_who_waits_has_gone() {
        let sink = || {
            let (events, reads) = mpsc::channel(1);
            let stop = CancellationToken::new();
            (EventSink::<IndexVerify> { events, stop }, reads)
        };
        let (out, _reads) = sink();
        assert_eq!(out.unless_over(ready(7)).await, Ok(7));
        out.stop.cancel();
        assert_eq!(out.unless_over(pending::<()>()).await, Err(broken_off()));
        let (out, reads) = sink();
        drop(reads);
        assert_eq!(out.unless_over(pending::<()>()).await, Err(broken_off()));
    }
}
