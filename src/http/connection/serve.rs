//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::fast::FastPath;
use super::files::FileBodies;
use super::first::FirstBytes;
use super::handler::{ConnectionInfo, Handler};
use super::heads::Heads;
use super::http2::{in_origin_form, without_connection};
use super::io::{ClientStream, Http1};
use super::keep_alive::KeepAlive;
use super::mapped::Regions;
use super::outgoing::Outgoing;
use super::remote::RemoteAddress;
use super::stream::Stream;
use super::streams::Streams;

/// The largest head of a request. Bytes.
pub const HEAD: usize = 64 << 10;

/// Streams of a connection at a time: what RFC 9113 6.5.2 asks for at the least. Each holds two frames of a body at the
/// most.
const STREAMS: u32 = 100;
/// What may come unasked of bodies of requests, which nobody reads: the least that HTTP/2 knows. Bytes.
const WINDOW: u32 = 65_535;
/// So much of a stream waits in the library. Bytes.
const SEND_BUFFER: usize = 64 << 10;
/// Who speaks HTTP/2 is asked so often whether it is still there, …
const PING: Duration = Duration::from_secs(30);
/// … and has so long to answer.
const PONG: Duration = Duration::from_secs(20);
/// Between the word that a connection of HTTP/2 ends, or what an idle one was last sent after that, and its end: for
/// requests that are on their way, and for answers that the library still holds.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is said to those for whom there is no slot.
const FULL: &str = "larder has no room for another connection now\n";

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// Open at once; further ones wait.
    pub max: usize,
    /// The same of one address, if not only its share counts when there are few left.
    pub max_per_address: Option<usize>,
    /// A request's head must be whole within this; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
}

/// A connection that has been accepted.
pub struct Connection<S, H> {
    pub stream: S,
    pub remote: RemoteAddress,
    pub handler: Arc<H>,
    pub settings: ConnectionSettings,
    pub stop: CancellationToken,
}

impl<S: Stream, H: Handler> Connection<S, H> {
    /// What comes first, if anything does in time.
    pub async fn first(&mut self, within: Duration) -> Option<FirstBytes> {
        tokio::select! {
            first = timeout(within, FirstBytes::read(&mut self.stream)) => first.ok()?.ok(),
            () = self.stop.cancelled() => None,
        }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        let keep_alive = Arc::new(KeepAlive::default());
        if let Some(first) = self.first(self.settings.header_timeout).await {
            self.serve_from(first, keep_alive).await;
        }
    }

    /// The same where the first bytes are known.
    pub async fn serve_from(self, first: FirstBytes, keep_alive: Arc<KeepAlive>) {
        match first.are_http2() {
            true => self.http2(first, keep_alive).await,
            false => self.http1(first, keep_alive, false).await,
        }
    }

    /// Answers the one request of HTTP/1.1 that it begins with.
    pub async fn answer_once(self, first: FirstBytes) {
        self.http1(first, Arc::default(), true).await;
    }

    /// Says that there is no slot for it.
    pub async fn refuse(mut self, first: &FirstBytes) {
        if first.are_http2() {
            return;
        }
        let length = FULL.len();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nretry-after: 1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{FULL}"
        );
        // Short enough for what the system holds of a new connection; whoever has left does not read it.
        let _ = timeout(LAST_WORDS, self.stream.write_all(answer.as_bytes())).await;
    }

    async fn http1(self, first: FirstBytes, keep_alive: Arc<KeepAlive>, once: bool) {
        let regions = Arc::new(Regions::default());
        let (handler, remote) = (self.handler, self.remote);
        let info = ConnectionInfo {
            remote,
            files: match S::SENDS_FILES {
                true => FileBodies::Mapped(Arc::clone(&regions)),
                false => FileBodies::Read,
            },
            is_tls: S::IS_TLS,
            certificate: self.stream.certificate(),
        };
        let fast = || FastPath::new(Arc::clone(&handler), info.clone(), Arc::clone(&keep_alive));
        let http1 = Http1 {
            fast: (!once).then(fast),
            heads: Heads::default(),
        };
        let stream = ClientStream::new(
            self.stream,
            first.0,
            Some(http1),
            Arc::clone(&keep_alive),
            regions,
        );
        let answers = Arc::clone(&keep_alive);
        let service = service_fn(move |request: Request<Incoming>| {
            let answering = answers.begin();
            // Where a body ends that nobody reads is a matter of opinion: nothing after it is taken for a request.
            let last = has_body(&request);
            let answer = Arc::clone(&handler).answer(request, &info);
            async move {
                let mut response = answer.await;
                if last {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| Outgoing::new(body, answering)))
            }
        });
        let connection = http1::Builder::new()
            // Its own clock does not see what the fast path answers.
            .header_read_timeout(None)
            // The stream itself tells who has left from who has only asked all they want.
            .half_close(false)
            .keep_alive(!once)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        Clocks {
            keep_alive,
            settings: self.settings,
            is_http2: false,
            remote,
            tried: None,
        }
        .watch(connection, self.stop)
        .await;
    }

    async fn http2(self, first: FirstBytes, keep_alive: Arc<KeepAlive>) {
        let (handler, remote) = (self.handler, self.remote);
        let info = ConnectionInfo {
            remote,
            // The library copies the ends of what it is given.
            files: FileBodies::Read,
            is_tls: S::IS_TLS,
            certificate: self.stream.certificate(),
        };
        let stream = ClientStream::<S, H>::new(
            self.stream,
            first.0,
            None,
            Arc::clone(&keep_alive),
            Arc::default(),
        );
        let streams = Streams::new(self.settings.write_timeout, Arc::clone(&keep_alive));
        let _over = streams.end_with();
        let (answers, executor) = (Arc::clone(&keep_alive), streams.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (answering, taking) = (answers.begin_stream(), streams.begin());
            in_origin_form(&mut request);
            let is_head = request.method() == Method::HEAD;
            let answer = Arc::clone(&handler).answer(request, &info);
            async move {
                let mut response = answer.await;
                without_connection(&mut response);
                // The library leaves it to us.
                if is_head && let Some(length @ 1..) = response.body().size_hint().exact() {
                    let headers = response.headers_mut();
                    headers.entry(CONTENT_LENGTH).or_insert(length.into());
                }
                let outgoing = |body| {
                    let body = Some(body).filter(|_| !is_head);
                    Outgoing::of_stream(body, answering, taking)
                };
                Ok::<_, Infallible>(response.map(outgoing))
            }
        });
        // Floods of resets, of settings and of continued heads are bounded by the library.
        let connection = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD as u32)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .serve_connection(TokioIo::new(stream), service);
        Clocks {
            keep_alive,
            settings: self.settings,
            is_http2: true,
            remote,
            tried: None,
        }
        .watch(connection, self.stop)
        .await;
    }
}

/// Whether something follows the head of a request that belongs to it.
fn has_body<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.into_iter().any(|length| length != "0")
}

/// The time-outs of a connection that speaks HTTP.
struct Clocks {
    keep_alive: Arc<KeepAlive>,
    settings: ConnectionSettings,
    is_http2: bool,
    remote: RemoteAddress,
    /// Since when the write had been waiting that was tried last.
    tried: Option<Instant>,
}

/// What is to be done when a time is over.
enum Over {
    /// Look again then.
    Look(Instant),
    /// Try the write that waits, and look again.
    TryWrite,
    /// Say that it ends.
    Announce,
    End(&'static str),
}

impl Clocks {
    /// Runs a connection until it ends, or a time is over.
    async fn watch<C>(mut self, connection: C, stop: CancellationToken)
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        tokio::pin!(connection);
        let settings = self.settings;
        let clock = tokio::time::sleep(settings.header_timeout.min(settings.write_timeout));
        tokio::pin!(clock);
        // Since when the client has been told that it ends.
        let mut told = None;
        let ended = loop {
            tokio::select! {
                // First, so that a write that is to be tried has been when the clock is looked at.
                biased;
                ended = connection.as_mut() => break ended,
                () = stop.cancelled(), if told.is_none() => {
                    told = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                    if self.is_http2 {
                        clock.as_mut().reset(Instant::now() + LAST_WORDS);
                    }
                }
                () = clock.as_mut() => match self.over(told) {
                    Over::Look(then) => clock.as_mut().reset(then),
                    Over::TryWrite => {
                        self.keep_alive.try_write();
                        clock.as_mut().reset(Instant::now());
                    }
                    Over::Announce => {
                        told = Some(Instant::now());
                        connection.as_mut().graceful_shutdown();
                        clock.as_mut().reset(Instant::now() + LAST_WORDS);
                    }
                    Over::End(why) => {
                        tracing::debug!(remote = %self.remote, why, "a connection is closed");
                        return;
                    }
                },
            }
        };
        if let Err(error) = ended {
            // Clients come and go; what matters was said in the access line.
            tracing::debug!(remote = %self.remote, %error, "a connection ended early");
        }
    }

    fn over(&mut self, told: Option<Instant>) -> Over {
        let now = Instant::now();
        let settings = &self.settings;
        let (waiting, stalled) = (
            self.keep_alive.waiting_since(),
            self.keep_alive.stalled_since(),
        );
        let stuck = stalled.unwrap_or(now) + settings.write_timeout;
        if stuck <= now {
            if self.tried == stalled {
                return Over::End("its client takes nothing");
            }
            self.tried = stalled;
            return Over::TryWrite;
        }
        if let Some(told) = told
            && self.is_http2
        {
            let last = self.keep_alive.last_taken().map_or(told, |at| at.max(told));
            let quiet = last + LAST_WORDS;
            return match waiting {
                Some(_) if stalled.is_none() && quiet <= now => {
                    Over::End("it is idle, and was told")
                }
                // What the library still holds may take as long as the client may.
                _ => Over::Look(quiet.max(now + LAST_WORDS).min(stuck)),
            };
        }
        let idle = waiting.unwrap_or(now) + settings.header_timeout;
        match idle <= now {
            true if self.is_http2 => Over::Announce,
            true => Over::End("no request came in time"),
            false => Over::Look(idle.min(stuck)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Text;
    use super::*;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
    use tokio::time::{Sleep, sleep};

    /// Between two reads of a slow client, each of which takes what the stream holds, …
    const PACE: Duration = Duration::from_millis(200);
    /// … so much. Bytes.
    const HOLDS: usize = 2 << 10;

    /// A client's end that is read slowly.
    struct Slow {
        stream: DuplexStream,
        pause: Pin<Box<Sleep>>,
    }

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            ready!(self.pause.as_mut().poll(cx));
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            self.pause.as_mut().reset(Instant::now() + PACE);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.stream).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    /// A slow client of a server whose every answer is of so many bytes, which fit into the library.
    fn start(size: usize, stop: &CancellationToken) -> (Slow, tokio::task::JoinHandle<()>) {
        let (client, server) = duplex(HOLDS);
        let connection = Connection {
            stream: server,
            remote: RemoteAddress::Unix,
            handler: Arc::new(Text("x".repeat(size))),
            settings: ConnectionSettings {
                max: 1,
                max_per_address: None,
                header_timeout: Duration::from_secs(75),
                write_timeout: Duration::from_secs(60),
            },
            stop: stop.clone(),
        };
        let slow = Slow {
            stream: client,
            pause: Box::pin(sleep(PACE)),
        };
        (slow, tokio::spawn(connection.serve()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_library_holds_of_http_2_goes_out_although_the_server_stops() {
        const SIZE: usize = 60_000;
        let stop = CancellationToken::new();
        let (slow, server) = start(SIZE, &stop);
        let (mut send, connection) = h2::client::handshake(slow).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://x/a").body(()).unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        stop.cancel();
        let began = Instant::now();
        let mut size = 0;
        while let Some(part) = body.data().await {
            let part = part.expect("all of it");
            size += part.len();
            body.flow_control().release_capacity(part.len()).unwrap();
        }
        assert_eq!(size, SIZE);
        assert!(began.elapsed() > 3 * LAST_WORDS, "{:?}", began.elapsed());
        drop(send);
        server.await.unwrap();
        // The client has been told.
        let _ = connection.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_not_waited_for() {
        let stop = CancellationToken::new();
        let (slow, server) = start(10, &stop);
        let (send, connection) = h2::client::handshake(slow).await.unwrap();
        // Nobody runs the client's side: nothing is read.
        stop.cancel();
        let began = Instant::now();
        server.await.unwrap();
        assert!(began.elapsed() <= 2 * LAST_WORDS, "{:?}", began.elapsed());
        drop((send, connection));
    }
}
