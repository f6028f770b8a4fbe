//! Files as bodies of answers, in the way that suits the stream they go out on.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::mapped::Regions;
use crate::store::LocalFile;

/// Parts below this are read and copied; mapping them costs more. Bytes.
const WORTH_MAPPING: u64 = 32 << 10;
/// One frame of a mapped body. Bytes.
const MAPPED_FRAME: u64 = 2 << 20;
/// One frame of a body that is read. Bytes; so much is held for a client that reads slowly.
const READ_FRAME: u64 = 32 << 10;

/// How files are sent over a connection.
#[derive(Clone, Default)]
pub enum FileBodies {
    /// As mapped memory that nobody touches: the stream has the kernel send the file in its place.
    Mapped(Arc<Regions>),
    /// Read a piece at a time, for streams that must look at what they send.
    #[default]
    Read,
}

impl FileBodies {
    /// The most of a file that is taken at once. Bytes.
    pub fn frame(&self) -> u64 {
        match self {
            FileBodies::Mapped(_) => MAPPED_FRAME,
            FileBodies::Read => READ_FRAME,
        }
    }

    /// A part of a file, no longer than a frame.
    pub async fn part(&self, file: &LocalFile, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            FileBodies::Mapped(regions) => mapped(regions, file, range),
            FileBodies::Read => match read_at_once(file, &range)? {
                Some(bytes) => Ok(bytes),
                None => read(file, range).await.map_err(io::Error::other)?,
            },
        }
    }

    /// A part of a whole file as a body.
    pub fn body(&self, file: &LocalFile, range: Range<u64>) -> io::Result<FileBody> {
        Ok(match self {
            FileBodies::Mapped(_) if range.is_empty() => FileBody::Bytes(Bytes::new()),
            FileBodies::Mapped(regions) => FileBody::Bytes(mapped(regions, file, range)?),
            FileBodies::Read => FileBody::Read {
                file: file.clone(),
                left: range,
                reading: None,
            },
        })
    }
}

fn mapped(regions: &Arc<Regions>, file: &LocalFile, range: Range<u64>) -> io::Result<Bytes> {
    let len = length(&range)?;
    if (len as u64) < WORTH_MAPPING {
        let mut buffer = vec![0; len];
        file.read_exact_at(&mut buffer, range.start)?;
        return Ok(buffer.into());
    }
    regions.map(file, range.start, len)
}

/// What is in the page cache; nothing if any of it is not.
fn read_at_once(file: &LocalFile, range: &Range<u64>) -> io::Result<Option<Bytes>> {
    let mut buffer = vec![0; length(range)?];
    let read = file.read_at_once(&mut buffer, range.start);
    Ok(read.then(|| buffer.into()))
}

/// Reads where waiting for a disk holds nobody up.
fn read(file: &LocalFile, range: Range<u64>) -> JoinHandle<io::Result<Bytes>> {
    let file = file.clone();
    spawn_blocking(move || {
        let mut buffer = vec![0; length(&range)?];
        file.read_exact_at(&mut buffer, range.start)?;
        Ok(buffer.into())
    })
}

fn length(range: &Range<u64>) -> io::Result<usize> {
    usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)
}

/// A file, or a part of one, given out a frame at a time.
pub enum FileBody {
    /// Mapped, or small.
    Bytes(Bytes),
    Read {
        file: LocalFile,
        /// What has not been given out.
        left: Range<u64>,
        /// The next frame, if the disk has to be waited for.
        reading: Option<JoinHandle<io::Result<Bytes>>>,
    },
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match self.get_mut() {
            FileBody::Bytes(bytes) => {
                let len = bytes.len().min(MAPPED_FRAME as usize);
                bytes.split_to(len)
            }
            FileBody::Read { left, .. } if left.is_empty() => Bytes::new(),
            FileBody::Read {
                file,
                left,
                reading,
            } => {
                let next = left.start..left.end.min(left.start + READ_FRAME);
                let bytes = match reading {
                    Some(_) => None,
                    None => read_at_once(file, &next)?,
                };
                let bytes = match bytes {
                    Some(bytes) => bytes,
                    None => {
                        let task = reading.get_or_insert_with(|| read(file, next.clone()));
                        let read = ready!(Pin::new(task).poll(cx));
                        *reading = None;
                        read.map_err(io::Error::other)??
                    }
                };
                left.start = next.end;
                bytes
            }
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            FileBody::Bytes(bytes) => bytes.is_empty(),
            FileBody::Read { left, .. } => left.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            FileBody::Bytes(bytes) => bytes.len() as u64,
            FileBody::Read { left, .. } => left.end - left.start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn collected(mut body: FileBody) -> (Vec<u8>, usize) {
        let (mut all, mut frames) = (Vec::new(), 0);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let left = body.size_hint().exact().unwrap();
            let data = frame.unwrap().into_data().unwrap();
            assert!(!data.is_empty());
            assert_eq!(body.is_end_stream(), left == 0);
            all.extend_from_slice(&data);
            frames += 1;
        }
        (all, frames)
    }

    #[tokio::test]
    async fn both_ways_give_the_same_bytes() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n * 7) as u8).collect();
        let file = LocalFile::of(&content);
        for range in [0..200_000, 0..1, 5..5, 70_000..170_001, 199_999..200_000] {
            let expected = &content[range.start as usize..range.end as usize];
            for files in [FileBodies::Mapped(Arc::default()), FileBodies::Read] {
                let body = files.body(&file, range.clone()).unwrap();
                assert_eq!(body.size_hint().exact(), Some(range.end - range.start));
                let (all, frames) = collected(body).await;
                assert_eq!(all, expected, "{range:?}");
                let most = files.frame();
                assert_eq!(frames as u64, (range.end - range.start).div_ceil(most));
                let end = range.end.min(range.start + most);
                let part = files.part(&file, range.start..end).await.unwrap();
                assert_eq!(part, expected[..part.len()]);
            }
        }
        let beyond = FileBodies::Read.body(&file, 199_990..200_010).unwrap();
        let mut beyond = beyond;
        let frame = poll_fn(|cx| Pin::new(&mut beyond).poll_frame(cx)).await;
        assert!(frame.unwrap().is_err(), "a file shorter than promised");
    }
}
