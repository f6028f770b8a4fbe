//! How a path is written in a request to an upstream.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `url.PathEscape` of Go leaves alone, and the slash: the `go` command sends `!` as `%21`, `+` as it is
/// (protocol.md 1.1).
const KEEP: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Percent-encodes a bang-escaped path below a GOPROXY base URL as the `go` command does.
pub fn upstream_path(path: &str) -> String {
    utf8_percent_encode(path, KEEP).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_go_command_sends_it() {
        assert_eq!(
            upstream_path("github.com/!burnt!sushi/toml/@v/v2.0.0+incompatible.info"),
            "github.com/%21burnt%21sushi/toml/@v/v2.0.0+incompatible.info"
        );
        assert_eq!(
            upstream_path("a.b/c/@v/x y%.info"),
            "a.b/c/@v/x%20y%25.info"
        );
    }
}
