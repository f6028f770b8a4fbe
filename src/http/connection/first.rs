//! What a client sends first: by that it is known which HTTP it speaks, and whether it is a probe.

use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::sleep;

use super::io::LEFT;

/// Read of a request at first. Bytes; whole requests of `go` are shorter.
const AT_FIRST: usize = 4 << 10;
/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How requests begin that are answered although all slots are taken.
const PROBES: [&[u8]; 4] = [
    b"GET /healthz ",
    b"HEAD /healthz ",
    b"GET /readyz ",
    b"HEAD /readyz ",
];

/// The first bytes of a connection; empty if there are none.
pub struct FirstBytes(pub Vec<u8>);

impl FirstBytes {
    /// Reads until it is known what they are.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut first = Vec::new();
        loop {
            let begins = PREFACE.starts_with(&first) && first.len() < PREFACE.len();
            if !begins || !read_some(stream, &mut first).await? {
                return Ok(FirstBytes(first));
            }
        }
    }

    /// Waits until the client counts as gone, and keeps what it sends until then. One that has closed its side may only
    /// have asked all it wants; one that has sent much is not looked at any more.
    pub async fn until_gone(&mut self, stream: &mut (impl AsyncRead + Unpin)) {
        while self.0.len() < AT_FIRST {
            match read_some(stream, &mut self.0).await {
                Ok(true) => {}
                Ok(false) => return sleep(LEFT).await,
                Err(_) => return,
            }
        }
        pending().await
    }

    /// Whether the client speaks HTTP/2 without having asked.
    pub fn are_http2(&self) -> bool {
        self.0.starts_with(PREFACE)
    }

    /// Whether somebody asks how the server is.
    pub fn are_a_probe(&self) -> bool {
        PROBES.iter().any(|probe| self.0.starts_with(probe))
    }
}

/// Appends what comes next; false at the end. Nothing is held while nothing comes.
async fn read_some(stream: &mut (impl AsyncRead + Unpin), first: &mut Vec<u8>) -> io::Result<bool> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); AT_FIRST];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        first.extend_from_slice(read.filled());
        Poll::Ready(Ok(!read.filled().is_empty()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Context;

    /// Gives these, one at a time, and then ends.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buf.put_slice(&self.0.pop_front().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn as_much_is_read_as_is_needed() {
        for (sent, taken, http2) in [
            (&[&b"GET / HT"[..], b"TP/1.1"][..], 8, false),
            (&[b"P", b"OST / HTTP/1.1"], 15, false),
            (
                &[b"PRI * HT", b"TP/2.0\r\n\r\nSM", b"\r\n\r\n\0\0\0"],
                27,
                true,
            ),
            (&[b"PRI * HTTP/2.0\r\n\r\n"], 18, false),
            (&[b"\x16\x03\x01"], 3, false),
            (&[], 0, false),
        ] {
            let mut stream = Pieces(sent.iter().map(|piece| piece.to_vec()).collect());
            let first = FirstBytes::read(&mut stream).await.unwrap();
            assert_eq!(first.0, sent.concat()[..taken]);
            assert_eq!(first.are_http2(), http2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_is_noticed_and_what_was_sent_is_kept() {
        let mut first = FirstBytes(b"GET / ".to_vec());
        let mut stream = Pieces([b"HTTP/1.1\r\n".to_vec(), b"\r\n".to_vec()].into());
        first.until_gone(&mut stream).await;
        assert_eq!(first.0, b"GET / HTTP/1.1\r\n\r\n");
        let mut much = FirstBytes(vec![b'x'; AT_FIRST]);
        let gone = much.until_gone(&mut stream);
        let limit = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(limit, gone).await.is_err());
    }

    #[test]
    fn probes() {
        for (text, is) in [
            ("GET /healthz HTTP/1.1\r\n", true),
            ("HEAD /readyz HTTP/1.0\r\n", true),
            ("GET /healthz/x HTTP/1.1\r\n", false),
            ("GET /example.com/m/@v/list HTTP/1.1\r\n", false),
            ("", false),
        ] {
            assert_eq!(FirstBytes(text.into()).are_a_probe(), is, "{text}");
        }
    }
}
