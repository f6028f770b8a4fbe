//! The short way: a plain request whose response is cached is answered where it is read, below the HTTP library, which
//! never sees it. Everything else, and everything in doubt, takes the long way.
//!
//! A connection takes the short way only while the library is between two requests: it has seen none, or all that it
//! was handed were whole, single requests, each answered and flushed. See ARCHITECTURE.md section 8.

use std::net::SocketAddr;
use std::sync::Arc;

use super::caller::is_host;
use super::keep_alive::KeepAlive;
use super::observe::Observer;
use super::router::Site;
use super::write_buffer::WriteBuffer;

/// Requests longer than this take the long way. Bytes.
const LONGEST_HEAD: usize = 4 << 10;
/// The short way of one connection.
pub struct Shortcut {
    site: Arc<Site>,
    observer: Arc<Observer>,
    remote: SocketAddr,
    keep_alive: Arc<KeepAlive>,
    /// What the library has been handed, if anything that is not answered yet.
    handed: Handed,
    /// The library has written, and not flushed since.
    unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Handed {
    Nothing,
    /// A whole request, so that nothing of a next one is left with the library once it is answered; and how many it had
    /// begun to answer before.
    Whole(u64),
    /// Something else: where its requests begin and end is the library's business from now on.
    Rest,
}

impl Shortcut {
    /// Of a new connection.
    pub fn new(
        site: Arc<Site>,
        observer: Arc<Observer>,
        remote: SocketAddr,
        keep_alive: Arc<KeepAlive>,
    ) -> Self {
        Shortcut {
            site,
            observer,
            remote,
            keep_alive,
            handed: Handed::Nothing,
            unflushed: false,
        }
    }

    /// Takes what has been read, if it can be answered here: then `out`, which is empty, is the answer. Else it is for the
    /// library.
    pub fn take(&mut self, read: &[u8], out: &mut WriteBuffer) -> bool {
        if self.handed == Handed::Nothing
            && !self.unflushed
            && let Some(request) = Plain::parse(read)
            && let Some(response) =
                self.site
                    .cached_at(request.path, request.host, self.remote.ip())
            && let Some(body) = self.observer.answer_at_once(
                request.path,
                request.agent,
                self.remote,
                &response,
                out,
            )
        {
            if response.file.is_some() {
                self.site
                    .was_read(request.path, &response, &out.bytes[body..]);
            }
            self.keep_alive.busy();
            return true;
        }
        if !read.is_empty() {
            self.handed = match is_one_head(read) && self.handed == Handed::Nothing {
                true => Handed::Whole(self.keep_alive.begun()),
                false => Handed::Rest,
            };
        }
        false
    }

    /// Everything that was asked for has been answered.
    pub fn is_idle(&self) -> bool {
        self.keep_alive.is_idle()
    }

    /// The library writes.
    pub fn wrote(&mut self) {
        self.unflushed = true;
    }

    /// The library has nothing more to write.
    pub fn flushed(&mut self) {
        self.keep_alive.flushed();
        self.unflushed = false;
        if let Handed::Whole(before) = self.handed
            && self.keep_alive.begun() > before
            && self.keep_alive.is_idle()
        {
            self.handed = Handed::Nothing;
        }
    }

    /// The answer that was given is sent.
    pub fn sent(&self) {
        self.keep_alive.wait();
    }
}

/// Whether this is the head of one request, to its end and no further, of a kind that has no body.
fn is_one_head(read: &[u8]) -> bool {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n");
    // The library takes lines that end with a bare LF, too.
    let bare = |two: &[u8]| two[1] == b'\n' && two[0] != b'\r';
    let methods: [&[u8]; 2] = [b"GET ", b"HEAD "];
    end == read.len().checked_sub(4)
        && methods.iter().any(|method| read.starts_with(method))
        && !read.windows(2).any(bare)
        && !has_header(read, b"content-length")
        && !has_header(read, b"transfer-encoding")
}

fn has_header(head: &[u8], name: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let end = line.iter().position(|byte| *byte == b':');
        end.is_some_and(|end| line[..end].trim_ascii().eq_ignore_ascii_case(name))
    })
}

/// A request that asks for nothing but a path.
#[derive(Debug, PartialEq, Eq)]
struct Plain<'a> {
    path: &'a str,
    host: &'a [u8],
    agent: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Reads a whole head by the strictest reading (RFC 9112): what has anything in it that is not known to make no
    /// difference is no plain request.
    fn parse(read: &'a [u8]) -> Option<Self> {
        if read.len() > LONGEST_HEAD || !read.starts_with(b"GET /") || !read.ends_with(b"\r\n\r\n")
        {
            return None;
        }
        let mut lines = Lines(&read[..read.len() - 2]);
        let path = lines.next()?.strip_prefix(b"GET ")?;
        let path = path.strip_suffix(b" HTTP/1.1")?;
        // Neither a query nor a space, nor anything that is not ASCII.
        if !path.iter().all(|byte| matches!(byte, b'!'..=b'~')) || path.contains(&b'?') {
            return None;
        }
        let (mut agent, mut host): (&[u8], Option<&[u8]>) = (b"", None);
        for line in lines.by_ref() {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..at], &line[at + 1..]);
            if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                return None;
            }
            let value = value.trim_ascii();
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"host") {
                if host.replace(value).is_some() {
                    return None;
                }
            } else if is(b"user-agent") {
                agent = value;
            } else if is(b"connection") {
                if !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            } else if !is(b"accept") && !is(b"accept-encoding") && !is(b"accept-language") {
                return None;
            }
        }
        // An empty line within means that there is more behind it than one head.
        if !lines.0.is_empty() {
            return None;
        }
        let host = host.filter(|host| is_host(host))?;
        let path = std::str::from_utf8(path).ok()?;
        Some(Plain { path, host, agent })
    }
}

/// Lines that end with CR LF, up to an empty one.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.windows(2).position(|two| two == b"\r\n")?;
        let (line, rest) = self.0.split_at(end);
        if line.is_empty() {
            return None;
        }
        self.0 = &rest[2..];
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(head: &str) -> Option<String> {
        Plain::parse(head.as_bytes()).map(|plain| plain.path.to_owned())
    }

    #[test]
    fn plain_requests() {
        let go = "GET /example.com/m/@v/v1.0.0.info HTTP/1.1\r\nHost: x:1\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
        assert_eq!(
            Plain::parse(go.as_bytes()),
            Some(Plain {
                path: "/example.com/m/@v/v1.0.0.info",
                host: b"x:1",
                agent: b"Go-http-client/1.1"
            })
        );
        assert!(is_one_head(go.as_bytes()));
        for fine in [
            "GET /a%21b HTTP/1.1\r\nhost:x\r\n\r\n",
            "GET / HTTP/1.1\r\nAccept: */*\r\nHOST: x\r\nConnection: Keep-Alive\r\n\r\n",
        ] {
            assert!(path(fine).is_some(), "{fine:?}");
        }
    }

    #[test]
    fn everything_else_takes_the_long_way() {
        for doubtful in [
            "",
            "GET",
            "GET /a HTTP/1.1\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n",
            "GET /a HTTP/1.1\r\nHost: x\n\r\n\r\n",
            "GET /a HTTP/1.1\n\nHost: x\r\n\r\n",
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: y\r\n\r\n",
            "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nVia: 1.1 y\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nX-Request-Id: 1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n Accept: y\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nAccept: a\u{1}b\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n",
        ] {
            assert_eq!(path(doubtful), None, "{doubtful:?}");
        }
    }

    #[test]
    fn one_head() {
        for (read, is) in [
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\nG", false),
            (
                "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                false,
            ),
            (
                "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
                false,
            ),
            (
                "GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                false,
            ),
            ("POST /a HTTP/1.1\r\nHost: x\r\n\r\n", false),
            ("GET /a HTTP/1.1\r\nHos", false),
            (
                "GET /a HTTP/1.1\nHost: x\n\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_one_head(read.as_bytes()), is, "{read:?}");
        }
    }

    #[test]
    fn answers_end_when_they_are_dropped() {
        let keep_alive = Arc::new(KeepAlive::default());
        assert!(keep_alive.waiting_since().is_some());
        let answering = keep_alive.begin();
        keep_alive.flushed();
        assert!(keep_alive.waiting_since().is_none() && !keep_alive.is_idle());
        drop(answering);
        assert!(keep_alive.waiting_since().is_none(), "it is not sent yet");
        keep_alive.flushed();
        assert!(keep_alive.waiting_since().is_some());
    }
}
