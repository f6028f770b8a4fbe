//! The side of the socket that asks.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::value::to_raw_value;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frames::{FrameError, Greeting, LONGEST_EVENT, LONGEST_REQUEST, Request, framed};
use super::place;
use crate::admin::error::{AdminError, ErrorKind};
use crate::admin::operation::{BEHIND, Event, EventOf, Operation};

/// How long a server may take to greet.
const GREET: Duration = Duration::from_secs(10);

/// Why a server could not be asked.
#[derive(Debug, Error)]
pub enum AskError {
    /// The connection failed.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// It said nothing.
    #[error("it said nothing for {} s", GREET.as_secs())]
    Silent,
    /// It speaks otherwise.
    #[error(
        "it is larder {0}, and this is larder {ours}: run the command of that version, or restart the server with this one",
        ours = Greeting::ours().larder
    )]
    OtherVersion(String),
    /// It does not greet as this version does.
    #[error(
        "it does not answer as larder {ours} does, so it is of another version: run the command of that version, or restart the server with this one",
        ours = Greeting::ours().larder
    )]
    Foreign,
}

/// What a server tells.
pub struct PendingReply<O: Operation> {
    /// Its version, if that is another one.
    pub other_version: Option<String>,
    /// What it tells. If that ends without `Done` or `Failed`, the server has ended.
    pub events: mpsc::Receiver<EventOf<O>>,
}

/// Whether a server holds a data directory and can be asked.
pub async fn is_served(data_dir: &Path) -> io::Result<bool> {
    Ok(place::connect(data_dir).await?.is_some())
}

/// Asks the server that holds a data directory; `None` if there is none.
pub async fn ask<O: Operation>(
    data_dir: &Path,
    operation: &O,
) -> Result<Option<PendingReply<O>>, AskError> {
    let connected = place::connect(data_dir).await.map_err(FrameError::from)?;
    let Some(stream) = connected else {
        return Ok(None);
    };
    let (mut read, mut write) = framed(stream);
    let ours = Greeting::ours();
    let request = Request {
        operation: O::NAME.to_owned(),
        input: to_raw_value(operation).map_err(FrameError::from)?,
    };
    let asked = async {
        write.add(&ours).await?;
        write.send(&request).await
    };
    let asked = asked.await;
    let greeted = timeout(GREET, read.next::<Greeting>(LONGEST_REQUEST)).await;
    let theirs = match greeted.map_err(|_| AskError::Silent)? {
        Ok(theirs) => theirs,
        Err(FrameError::NotUnderstood(_) | FrameError::Ended) => return Err(AskError::Foreign),
        Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(AskError::Foreign);
        }
        Err(error) => return Err(error.into()),
    };
    if !theirs.is_understood() {
        return Err(AskError::OtherVersion(theirs.larder));
    }
    asked?;
    let other_version = (theirs.larder != ours.larder).then(|| theirs.larder.clone());
    let (sender, events) = mpsc::channel(BEHIND);
    tokio::spawn(async move {
        // Its end would tell the server that nobody waits.
        let _write = write;
        loop {
            let event = match read.next::<EventOf<O>>(LONGEST_EVENT).await {
                Ok(event) => event,
                Err(FrameError::Ended | FrameError::Io(_)) => return,
                Err(error) => {
                    let text = format!(
                        "{error} (the running server is larder {}, this is larder {})",
                        theirs.larder, ours.larder
                    );
                    Event::Failed(AdminError::new(ErrorKind::Version, text))
                }
            };
            let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
            if sender.send(event).await.is_err() || is_last {
                return;
            }
        }
    });
    Ok(Some(PendingReply {
        other_version,
        events,
    }))
}
