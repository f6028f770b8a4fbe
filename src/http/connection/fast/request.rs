//! Which requests are plain enough for the fast path. They are read by the parser that the library uses as well, so that
//! there are no two opinions of what a head says, and by stricter rules on top.

use std::mem::MaybeUninit;

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, HOST, USER_AGENT};
use http::{Method, Version};
use httparse::{Header, Request, Status};

/// As many headers as the library takes.
pub const MOST_HEADERS: usize = 100;
/// Longer heads take the long way. Bytes.
const LONGEST_HEAD: usize = 4 << 10;

/// A GET of HTTP/1.1 or HTTP/2 that asks for nothing but a path.
#[derive(Debug, PartialEq, Eq)]
pub struct PlainRequest<'a> {
    /// Visible ASCII without a query.
    pub path: &'a str,
    /// The value of its one `Host`, whatever that is.
    pub host: &'a [u8],
    /// Empty if it does not say.
    pub agent: &'a [u8],
    /// The value of its one `Authorization`, if it has one.
    pub authorization: Option<&'a [u8]>,
}

/// Reads a request of a kind that has no body, if this is its whole head and no more.
pub fn one_head<'h, 'a>(
    read: &'a [u8],
    room: &'h mut [MaybeUninit<Header<'a>>],
) -> Option<Request<'h, 'a>> {
    // The parser passes over empty lines before a request, and takes lines that end with a bare LF.
    let begins = read.starts_with(b"GET ") || read.starts_with(b"HEAD ");
    let bare = |two: &[u8]| two[1] == b'\n' && two[0] != b'\r';
    if !begins || !read.ends_with(b"\r\n\r\n") || read.windows(2).any(bare) {
        return None;
    }
    let mut request = Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(read, room);
    let of_a_body = |header: &Header<'_>| {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        is("content-length") || is("transfer-encoding")
    };
    let whole = parsed == Ok(Status::Complete(read.len()));
    (whole && !request.headers.iter().any(of_a_body)).then_some(request)
}

impl<'a> PlainRequest<'a> {
    /// A whole head, unless it has anything in it that is not known to make no difference.
    pub fn of(head: &Request<'_, 'a>) -> Option<Self> {
        let path = head.path?;
        let is_plain = head.method == Some("GET")
            && head.version == Some(1)
            && path.starts_with('/')
            // Neither a query nor anything that is not ASCII.
            && path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'?');
        if !is_plain {
            return None;
        }
        let (mut agent, mut host): (&[u8], Option<&[u8]>) = (b"", None);
        let mut authorization = None;
        let mut length = path.len();
        for header in head.headers.iter() {
            let (name, value) = (header.name, header.value);
            length += name.len() + value.len();
            if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                return None;
            }
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("host") {
                if host.replace(value).is_some() {
                    return None;
                }
            } else if is("user-agent") {
                agent = value;
            } else if is("authorization") {
                if authorization.replace(value).is_some() {
                    return None;
                }
            } else if is("connection") {
                if !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            } else if !is("accept") && !is("accept-encoding") && !is("accept-language") {
                return None;
            }
        }
        (length <= LONGEST_HEAD).then_some(PlainRequest {
            path,
            host: host?,
            agent,
            authorization,
        })
    }

    /// The same of a request of HTTP/2, by the same rules; its host is where `in_origin_form` has put it.
    pub fn of_http2<B>(request: &'a http::Request<B>) -> Option<Self> {
        let (uri, headers) = (request.uri(), request.headers());
        let is_plain = request.version() == Version::HTTP_2
            && request.method() == Method::GET
            && uri.authority().is_none()
            && uri.query().is_none()
            && uri.path().bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return None;
        }
        let (mut agent, mut host): (&[u8], Option<&[u8]>) = (b"", None);
        let mut authorization = None;
        let mut length = uri.path().len();
        for (name, value) in headers {
            let value = value.as_bytes();
            length += name.as_str().len() + value.len();
            if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                return None;
            }
            if name == HOST {
                if host.replace(value).is_some() {
                    return None;
                }
            } else if name == USER_AGENT {
                agent = value;
            } else if name == AUTHORIZATION {
                if authorization.replace(value).is_some() {
                    return None;
                }
            } else if ![ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name) {
                return None;
            }
        }
        (length <= LONGEST_HEAD).then_some(PlainRequest {
            path: uri.path(),
            host: host?,
            agent,
            authorization,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::http2::in_origin_form;
    use super::*;

    fn with<T>(head: &str, look: impl FnOnce(Option<Request<'_, '_>>) -> T) -> T {
        let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        look(one_head(head.as_bytes(), &mut room))
    }

    fn path(head: &str) -> Option<String> {
        with(head, |head| {
            let plain = head.as_ref().and_then(PlainRequest::of);
            plain.map(|plain| plain.path.to_owned())
        })
    }

    #[test]
    fn plain_requests() {
        let go = "GET /example.com/m/@v/v1.0.0.info HTTP/1.1\r\nHost: x:1\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
        with(go, |head| {
            assert_eq!(
                head.as_ref().and_then(PlainRequest::of),
                Some(PlainRequest {
                    path: "/example.com/m/@v/v1.0.0.info",
                    host: b"x:1",
                    agent: b"Go-http-client/1.1",
                    authorization: None,
                })
            );
        });
        for fine in [
            "GET /a%21b HTTP/1.1\r\nhost:x\r\n\r\n",
            "GET / HTTP/1.1\r\nAccept: */*\r\nHOST: x\r\nConnection: Keep-Alive\r\n\r\n",
        ] {
            assert!(path(fine).is_some(), "{fine:?}");
        }
    }

    #[test]
    fn plain_requests_of_http_2() {
        let request = |method: &str, uri: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder()
                .method(method)
                .version(Version::HTTP_2)
                .uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(()).unwrap();
            in_origin_form(&mut request);
            request
        };
        // As the go command asks.
        let go = [
            ("accept-encoding", "gzip"),
            ("user-agent", "Go-http-client/2.0"),
        ];
        assert_eq!(
            PlainRequest::of_http2(&request("GET", "https://x:1/a/@v/list", &go)),
            Some(PlainRequest {
                path: "/a/@v/list",
                host: b"x:1",
                agent: b"Go-http-client/2.0",
                authorization: None,
            })
        );
        let long = "x".repeat(LONGEST_HEAD);
        for (method, uri, header) in [
            ("HEAD", "https://x/a", ("accept", "*/*")),
            ("GET", "https://x/a?b", ("accept", "*/*")),
            ("GET", "https://x/a", ("host", "y")),
            ("GET", "/a", ("accept", "*/*")),
            ("GET", "https://x/a", ("range", "bytes=0-1")),
            ("GET", "https://x/a", ("via", "2 y")),
            ("GET", "https://x/a", ("accept", "\u{e9}")),
            ("GET", "https://x/a", ("accept", &long)),
        ] {
            let doubtful = request(method, uri, &[header]);
            assert_eq!(
                PlainRequest::of_http2(&doubtful),
                None,
                "{method} {uri} {}",
                header.0
            );
        }
        let mut old = request("GET", "https://x/a", &go);
        *old.version_mut() = Version::HTTP_11;
        assert_eq!(PlainRequest::of_http2(&old), None);
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
            "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\nAuthorization: Basic eDp5\r\n\r\n",
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
    fn one_head_and_no_more() {
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
            assert_eq!(with(read, |head| head.is_some()), is, "{read:?}");
        }
    }
}
