//! HTTP/2 beneath requests that look as those of HTTP/1.1 do.

use http::header::{CONNECTION, HOST};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};

/// Gives a request the form that one of HTTP/1.1 has, so that nobody above needs to know two: the host in `Host`, the
/// target without it. A request that names two hosts has two `Host` then, which is refused (RFC 9113 8.3.1).
pub fn in_origin_form<B>(request: &mut Request<B>) {
    let uri = request.uri();
    let is_http = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    let (Some(authority), Some(path), true) = (uri.authority(), uri.path_and_query(), is_http)
    else {
        return;
    };
    let target = Uri::from(path.clone());
    // An authority has no byte that a header may not have.
    let host = HeaderValue::from_str(authority.as_str()).ok();
    *request.uri_mut() = target;
    let said = request.headers().get(HOST);
    let same = |said: &HeaderValue| {
        host.as_ref()
            .is_some_and(|host| said.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    };
    if !said.is_some_and(same)
        && let Some(host) = host
    {
        request.headers_mut().append(HOST, host);
    }
}

/// Takes out of an answer what HTTP/2 does not have.
pub fn without_connection<B>(response: &mut Response<B>) {
    response.headers_mut().remove(CONNECTION);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_look_like_those_of_http_1() {
        for (uri, said, expected, hosts) in [
            ("http://x:1/a?b", None, "/a?b", &["x:1"][..]),
            ("https://x/", Some("X"), "/", &["X"]),
            ("http://x/a", Some("y"), "/a", &["y", "x"]),
            ("/a", Some("y"), "/a", &["y"]),
            ("/a", None, "/a", &[]),
            ("ftp://x/a", None, "ftp://x/a", &[]),
        ] {
            let mut request = Request::get(uri).body(()).unwrap();
            if let Some(said) = said {
                let value = HeaderValue::from_static(said);
                request.headers_mut().insert(HOST, value);
            }
            in_origin_form(&mut request);
            assert_eq!(request.uri().to_string(), expected);
            let found: Vec<_> = request.headers().get_all(HOST).iter().collect();
            assert_eq!(found, hosts, "{uri}");
        }
    }
}
