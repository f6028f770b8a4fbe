//! A client that speaks HTTP/2 without having asked, one call at a time.

use super::DEADLINE;
use super::http::Response;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub struct H2Client {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    authority: String,
}

/// A request that has been sent.
pub struct Asked {
    response: ResponseFuture,
    started: Instant,
}

/// An answer of which the body has still to be read.
pub struct Body {
    pub head: Response,
    stream: RecvStream,
}

impl H2Client {
    pub fn open(addr: SocketAddr) -> H2Client {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (send, connection) = runtime.block_on(async {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            // As Go's client has it: what one stream does not read holds up no other.
            let client = h2::client::Builder::new()
                .initial_connection_window_size(1 << 30)
                .handshake(stream);
            let (send, connection) = client.await.unwrap();
            (send, tokio::spawn(connection))
        });
        H2Client {
            runtime,
            send,
            connection,
            authority: addr.to_string(),
        }
    }

    fn run<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(2 * DEADLINE, future).await };
        let result = self.runtime.block_on(limited);
        result.unwrap_or_else(|_| panic!("{what}: not in time"))
    }

    /// Sends a request with these headers; `:authority` among them stands for the one that is usual.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Asked {
        let authority = headers.iter().find(|(name, _)| *name == ":authority");
        let authority = authority.map_or(self.authority.as_str(), |(_, value)| value);
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{authority}{path}"));
        for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let mut send = self.send.clone();
        let started = Instant::now();
        let sent = self.run("room for a stream", async {
            std::future::poll_fn(|cx| send.poll_ready(cx)).await?;
            send.send_request(request, true)
        });
        let (response, _) = sent.expect("a request that is sent");
        Asked { response, started }
    }

    /// The head of an answer, or how its stream was reset.
    pub fn head(&mut self, asked: Asked) -> Result<Body, Reason> {
        let answer = self.run("an answer", asked.response);
        let answer = answer.map_err(|error| error.reason().unwrap_or(Reason::INTERNAL_ERROR))?;
        let (head, stream) = answer.into_parts();
        let headers = head.headers.iter();
        let first_byte = asked.started.elapsed();
        let head = Response {
            version: format!("{:?}", head.version),
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.to_string(), value.into_owned())
                })
                .collect(),
            body: Vec::new(),
            complete: false,
            first_byte,
            elapsed: first_byte,
        };
        Ok(Body { head, stream })
    }

    /// The next part of a body; nothing at its end.
    pub fn part(&mut self, body: &mut Body) -> Result<Option<Bytes>, Reason> {
        let part = self.run("more of a body", async {
            let part = body.stream.data().await.transpose();
            if let Ok(Some(part)) = &part {
                let _ = body.stream.flow_control().release_capacity(part.len());
            }
            part
        });
        part.map_err(|error| error.reason().unwrap_or(Reason::INTERNAL_ERROR))
    }

    /// The whole answer; with the reason if its body was reset.
    pub fn finish(&mut self, asked: Asked) -> (Response, Option<Reason>) {
        let started = asked.started;
        let mut body = self.head(asked).expect("an answer");
        let reset = loop {
            match self.part(&mut body) {
                Ok(Some(part)) => body.head.body.extend_from_slice(&part),
                Ok(None) => break None,
                Err(reason) => break Some(reason),
            }
        };
        body.head.complete = reset.is_none();
        body.head.elapsed = started.elapsed();
        (body.head, reset)
    }

    /// One request and its whole answer.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let asked = self.ask(method, path, headers);
        self.finish(asked).0
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[])
    }

    /// Gives up a request.
    pub fn cancel(&mut self, asked: Asked) {
        drop(asked);
        // What is dropped is said by the connection's own task.
        self.run("the word of it", tokio::task::yield_now());
    }

    /// Waits until the server has ended the connection; whether it said that it would.
    pub fn ended(&mut self, within: Duration) -> bool {
        let connection = &mut self.connection;
        let limited = async { tokio::time::timeout(within, connection).await };
        let ended = self.runtime.block_on(limited).expect("an end in time");
        match ended.unwrap() {
            Ok(()) => true,
            Err(error) => error.is_go_away(),
        }
    }
}
