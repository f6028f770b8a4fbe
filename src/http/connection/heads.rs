//! A look at the heads of requests on their way to the HTTP library, which takes lines that end with a bare LF. A server in
//! front may take such an LF for part of a value, and so see other headers than we do: none is let through.

/// What is looked for among headers.
const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";
/// So much of each line is looked at.
const BEGINNING: usize = 32;

/// Where in a connection's requests the next byte is.
#[derive(Debug, Default)]
pub struct Heads {
    /// The beginning of the line, and how long that is by now.
    line: [u8; BEGINNING],
    length: usize,
    /// The last byte was a CR.
    cr: bool,
    /// The head has a line that is not empty.
    begun: bool,
    /// Its request has a body.
    body: bool,
    /// A body has come, whose end is not known here; the connection ends after its answer.
    over: bool,
}

impl Heads {
    /// Looks at what has been read. A bare LF becomes a NUL, which the library answers with 400.
    pub fn check(&mut self, read: &mut [u8]) {
        for byte in read {
            if self.over {
                return;
            }
            match *byte {
                b'\n' if self.cr => self.end_line(),
                b'\n' => {
                    *byte = 0;
                    self.over = true;
                }
                other => {
                    self.cr = other == b'\r';
                    if let Some(slot) = self.line.get_mut(self.length) {
                        *slot = other;
                    }
                    self.length += 1;
                }
            }
        }
    }

    fn end_line(&mut self) {
        let length = self.length - 1;
        let line = &self.line[..length.min(BEGINNING)];
        if length > 0 {
            self.begun = true;
            let begins = |with: &[u8]| {
                let head = line.get(..with.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(with))
            };
            let nothing = |value: &[u8]| length <= BEGINNING && value.trim_ascii() == b"0";
            self.body |= begins(CODING) || (begins(LENGTH) && !nothing(&line[LENGTH.len()..]));
        } else if self.begun {
            (self.begun, self.over) = (false, self.body);
        }
        (self.length, self.cr) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library gets to see, however the bytes arrive.
    fn seen(text: &str) -> String {
        let whole = |size: usize| {
            let mut heads = Heads::default();
            let mut bytes = text.as_bytes().to_vec();
            bytes.chunks_mut(size).for_each(|piece| heads.check(piece));
            String::from_utf8(bytes).unwrap()
        };
        let all = whole(text.len());
        assert!((1..text.len()).all(|size| whole(size) == all));
        all
    }

    #[test]
    fn sound_requests_pass_as_they_are() {
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na\nb",
            "GET / HTTP/1.1\r\nTransfer-Encoding : x\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n1\na\n0\n\n",
        ] {
            assert_eq!(seen(text), text);
        }
    }

    #[test]
    fn bare_line_ends_do_not() {
        for text in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nA: b\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\nHost: x\r\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(seen(text).contains('\0'), "{text:?}");
        }
    }
}
