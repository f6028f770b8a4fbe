//! What goes over the socket: JSON values, each followed by a line feed.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf,
};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Changes with whatever goes over the socket, but for new operations and new fields.
const PROTOCOL: u32 = 1;

/// The longest greeting or request. Bytes.
pub const LONGEST_REQUEST: u64 = 64 << 10;
/// The longest event: a list of versions up to 64 KiB may be in one. Bytes.
pub const LONGEST_EVENT: u64 = 4 << 20;
/// How long whoever reads may leave what is sent unread: somebody may be paging through it.
const UNREAD: Duration = Duration::from_secs(3600);

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The program's version.
    pub larder: String,
    /// What it speaks.
    pub protocol: u32,
}

impl Greeting {
    /// Of this program.
    pub fn ours() -> Self {
        Greeting {
            larder: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
        }
    }

    /// Whether each side understands the other.
    pub fn is_understood(&self) -> bool {
        self.protocol == PROTOCOL
    }
}

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Which operation.
    pub operation: String,
    /// Its value.
    pub input: Box<RawValue>,
}

/// Why a frame did not arrive.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ended.
    #[error("the connection has ended")]
    Ended,
    /// It is larger than it may be.
    #[error("more than {0} bytes were sent at once")]
    TooLarge(u64),
    /// It is not what is expected.
    #[error("what was sent is not understood: {0}")]
    NotUnderstood(#[from] serde_json::Error),
    /// The server stops.
    #[error("the server stops")]
    Stopped,
    /// Nobody reads.
    #[error("what is sent is not read")]
    Unread,
}

/// Reads frames.
pub struct FrameReader(BufReader<ReadHalf<UnixStream>>);

impl FrameReader {
    /// The next frame, of at most so many bytes.
    pub async fn next<T: DeserializeOwned>(&mut self, longest: u64) -> Result<T, FrameError> {
        let mut frame = Vec::new();
        let mut bounded = (&mut self.0).take(longest + 1);
        bounded.read_until(b'\n', &mut frame).await?;
        match frame.last() {
            Some(b'\n') => Ok(serde_json::from_slice(&frame)?),
            _ if frame.len() as u64 > longest => Err(FrameError::TooLarge(longest)),
            _ => Err(FrameError::Ended),
        }
    }

    /// Returns when the other side has gone, or sends more than it should.
    pub async fn is_over(&mut self) {
        // However it ends, it ends.
        let _ = self.0.fill_buf().await;
    }
}

/// Writes frames.
pub struct FrameWriter(BufWriter<WriteHalf<UnixStream>>);

impl FrameWriter {
    /// Adds a frame to what is to be sent.
    pub async fn add<T: Serialize>(&mut self, value: &T) -> Result<(), FrameError> {
        let mut frame = serde_json::to_vec(value)?;
        if frame.len() as u64 > LONGEST_EVENT {
            return Err(FrameError::TooLarge(LONGEST_EVENT));
        }
        frame.push(b'\n');
        let written = timeout(UNREAD, self.0.write_all(&frame)).await;
        Ok(written.map_err(|_| FrameError::Unread)??)
    }

    /// Sends what was added.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        let flushed = timeout(UNREAD, self.0.flush()).await;
        Ok(flushed.map_err(|_| FrameError::Unread)??)
    }

    /// Sends one frame.
    pub async fn send<T: Serialize>(&mut self, value: &T) -> Result<(), FrameError> {
        self.add(value).await?;
        self.flush().await
    }
}

/// Both ways of a connection.
pub fn framed(stream: UnixStream) -> (FrameReader, FrameWriter) {
    let (read, write) = tokio::io::split(stream);
    (
        FrameReader(BufReader::new(read)),
        FrameWriter(BufWriter::new(write)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_whole_bounded_and_understood() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut read, _write) = framed(ours);
        theirs.write_all(b"[1]\n[2,").await.unwrap();
        assert_eq!(read.next::<Vec<u8>>(8).await.unwrap(), [1]);
        theirs.write_all(b"3]\n{}\n").await.unwrap();
        assert_eq!(read.next::<Vec<u8>>(8).await.unwrap(), [2, 3]);
        let other = read.next::<Vec<u8>>(8).await;
        assert!(
            matches!(other, Err(FrameError::NotUnderstood(_))),
            "{other:?}"
        );
        theirs.write_all(b"[1,2,3,4]\n[1,2,3,4,5]\n").await.unwrap();
        let large = read.next::<Vec<u8>>(8).await;
        assert!(matches!(large, Err(FrameError::TooLarge(8))), "{large:?}");
        theirs.write_all(b"[1").await.unwrap();
        drop(theirs);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut read, _write) = framed(ours);
        theirs.write_all(b"[1").await.unwrap();
        drop(theirs);
        let cut = read.next::<Vec<u8>>(8).await;
        assert!(matches!(cut, Err(FrameError::Ended)), "{cut:?}");
    }
}
