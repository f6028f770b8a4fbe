//! The operations that a running server carries out, by their names.

use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frames::{FrameError, FrameReader, FrameWriter, Greeting, Request};
use crate::admin::error::{AdminError, ErrorKind};
use crate::admin::first_seen::{FirstSeenAccept, FirstSeenList, FirstSeenRemove};
use crate::admin::index::{IndexDump, IndexVerify};
use crate::admin::operation::{BEHIND, Event, EventOf, Never, Operation, Performer, perform};
use crate::admin::reload::ConfigReload;
use crate::admin::service::AdminService;
use crate::admin::sumdb::{SumdbAcknowledge, SumdbStatus, SumdbVerify};
use crate::admin::token::{TokenList, TokenNew, TokenRevoke, TokenRotate};

macro_rules! served {
    ($($Operation:ty),+ $(,)?) => {
        /// Carries out what is asked for, and sends what comes of it.
        pub async fn serve(
            request: &Request,
            service: &AdminService,
            by: &Performer,
            read: &mut FrameReader,
            write: &mut FrameWriter,
            stop: &CancellationToken,
        ) -> Result<(), FrameError> {
            $(if request.operation == <$Operation as Operation>::NAME {
                return carry_out::<$Operation>(request, service, by, read, write, stop).await;
            })+
            let text = format!(
                "larder {}, which is running, cannot do this ({:?})",
                Greeting::ours().larder, request.operation,
            );
            fail(write, ErrorKind::Version, &text).await
        }
    };
}

served!(
    ConfigReload,
    FirstSeenAccept,
    FirstSeenList,
    FirstSeenRemove,
    IndexDump,
    IndexVerify,
    SumdbAcknowledge,
    SumdbStatus,
    SumdbVerify,
    TokenList,
    TokenNew,
    TokenRevoke,
    TokenRotate,
);

/// Says why nothing is done.
pub async fn fail(write: &mut FrameWriter, kind: ErrorKind, text: &str) -> Result<(), FrameError> {
    let failed: Event<Never, Never> = Event::Failed(AdminError::new(kind, text));
    write.send(&failed).await
}

async fn carry_out<O>(
    request: &Request,
    service: &AdminService,
    by: &Performer,
    read: &mut FrameReader,
    write: &mut FrameWriter,
    stop: &CancellationToken,
) -> Result<(), FrameError>
where
    O: Operation,
    AdminService: AsRef<O::On>,
{
    let input = request.input.get();
    let operation: O = match serde_json::from_str(input) {
        Ok(operation) => operation,
        Err(error) => return fail(write, ErrorKind::Invalid, &error.to_string()).await,
    };
    tracing::info!(operation = O::NAME, input, "an operator's command");
    let on: &O::On = service.as_ref();
    perform_for(operation, on.clone(), by, read, write, stop).await
}

/// Carries an operation out for who has asked for it.
async fn perform_for<O: Operation>(
    operation: O,
    on: O::On,
    by: &Performer,
    read: &mut FrameReader,
    write: &mut FrameWriter,
    stop: &CancellationToken,
) -> Result<(), FrameError> {
    let only_reads = operation.only_reads();
    let (sender, mut events) = mpsc::channel(BEHIND);
    let (by, over) = (by.clone(), stop.clone());
    let work = tokio::spawn(async move { perform(operation, on, sender, over, &by).await });
    let forwarded = forward::<O>(&mut events, read, write);
    let sent = match only_reads {
        true => match stop.run_until_cancelled(forwarded).await {
            Some(sent) => sent,
            None => Err(FrameError::Stopped),
        },
        false => forwarded.await,
    };
    drop(events);
    match only_reads {
        // Whatever was sent last, nobody waits for the rest.
        true => work.abort(),
        // What changes something is not left half done.
        false => drop(work.await),
    }
    sent
}

async fn forward<O: Operation>(
    events: &mut mpsc::Receiver<EventOf<O>>,
    read: &mut FrameReader,
    write: &mut FrameWriter,
) -> Result<(), FrameError> {
    loop {
        if events.is_empty() {
            write.flush().await?;
        }
        let event = select! {
            event = events.recv() => event,
            () = read.is_over() => return Err(FrameError::Ended),
        };
        let Some(event) = event else {
            return fail(
                write,
                ErrorKind::Internal,
                "the command broke off; see the server's log",
            )
            .await;
        };
        let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
        match write.add(&event).await {
            Err(FrameError::TooLarge(size)) => {
                let text = format!("an answer is larger than {size} bytes");
                return fail(write, ErrorKind::Internal, &text).await;
            }
            added => added?,
        }
        if is_last {
            return write.flush().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde::{Deserialize, Serialize};
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;
    use crate::admin::operation::EventSink;
    use crate::admin::socket::frames::{LONGEST_EVENT, framed};

    /// Tells something of a size, then works for ever, unless it looks whether it goes on.
    #[derive(Serialize, Deserialize)]
    struct Endless {
        size: usize,
        only_reads: bool,
    }

    impl Operation for Endless {
        const NAME: &'static str = "endless";
        /// Held as long as it runs.
        type On = Arc<()>;
        type Item = String;
        type Output = ();

        fn only_reads(&self) -> bool {
            self.only_reads
        }

        async fn run(self, on: &Arc<()>, out: &EventSink<Self>) -> Result<(), AdminError> {
            let _held = Arc::clone(on);
            out.item("x".repeat(self.size)).await;
            loop {
                if !self.only_reads {
                    out.goes_on()?;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    async fn has_ended(held: &Arc<()>) {
        let ended = async {
            while Arc::strong_count(held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), ended)
            .await
            .expect("the work has ended");
    }

    #[tokio::test]
    async fn what_only_reads_ends_with_an_answer_that_is_too_large() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut read, mut write) = framed(ours);
        let (mut answers, _asks) = framed(theirs);
        let (held, stop) = (Arc::new(()), CancellationToken::new());
        let by = Performer::default();
        let size = usize::try_from(LONGEST_EVENT).unwrap();
        let endless = Endless {
            size,
            only_reads: true,
        };
        let sent = perform_for(
            endless,
            Arc::clone(&held),
            &by,
            &mut read,
            &mut write,
            &stop,
        );
        let sent = timeout(Duration::from_secs(10), sent).await;
        sent.expect("an end").unwrap();
        let answer: serde_json::Value = answers.next(LONGEST_EVENT).await.unwrap();
        assert_eq!(answer["failed"]["kind"], "internal");
        has_ended(&held).await;
    }

    #[tokio::test]
    async fn many_changes_end_between_two_of_them() {
        for stops in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (mut read, mut write) = framed(ours);
            let (held, stop) = (Arc::new(()), CancellationToken::new());
            let by = Performer::default();
            let theirs = match stops {
                true => {
                    stop.cancel();
                    Some(theirs)
                }
                false => {
                    drop(theirs);
                    None
                }
            };
            let endless = Endless {
                size: 1,
                only_reads: false,
            };
            let sent = perform_for(
                endless,
                Arc::clone(&held),
                &by,
                &mut read,
                &mut write,
                &stop,
            );
            let sent = timeout(Duration::from_secs(10), sent).await;
            assert_eq!(sent.expect("an end").is_ok(), stops);
            has_ended(&held).await;
            drop(theirs);
        }
    }
}
