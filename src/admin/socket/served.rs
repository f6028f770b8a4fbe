//! The operations that a running server carries out, by their names.

use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frames::{FrameError, FrameReader, FrameWriter, Greeting, Request};
use crate::admin::error::{AdminError, ErrorKind};
use crate::admin::first_seen::{FirstSeenAccept, FirstSeenList, FirstSeenRemove};
use crate::admin::index::{IndexDump, IndexVerify};
use crate::admin::operation::{BEHIND, Event, EventOf, Never, Operation, perform};
use crate::admin::service::AdminService;
use crate::admin::sumdb::{SumdbAcknowledge, SumdbStatus, SumdbVerify};
use crate::admin::token::{TokenList, TokenNew, TokenRevoke};

macro_rules! served {
    ($($Operation:ty),+ $(,)?) => {
        /// Carries out what is asked for, and sends what comes of it.
        pub async fn serve(
            request: &Request,
            service: &AdminService,
            read: &mut FrameReader,
            write: &mut FrameWriter,
            stop: &CancellationToken,
        ) -> Result<(), FrameError> {
            $(if request.operation == <$Operation as Operation>::NAME {
                return carry_out::<$Operation>(request, service, read, write, stop).await;
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
);

/// Says why nothing is done.
pub async fn fail(write: &mut FrameWriter, kind: ErrorKind, text: &str) -> Result<(), FrameError> {
    let failed: Event<Never, Never> = Event::Failed(AdminError::new(kind, text));
    write.send(&failed).await
}

async fn carry_out<O>(
    request: &Request,
    service: &AdminService,
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
    let only_reads = operation.only_reads();
    let (sender, mut events) = mpsc::channel(BEHIND);
    let on: &O::On = service.as_ref();
    let work = tokio::spawn(perform(operation, on.clone(), sender));
    let forwarded = forward::<O>(&mut events, read, write);
    let sent = match only_reads {
        true => match stop.run_until_cancelled(forwarded).await {
            Some(sent) => sent,
            None => Err(FrameError::Stopped),
        },
        false => forwarded.await,
    };
    drop(events);
    match sent.is_err() && only_reads {
        // Nobody waits for the rest.
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
