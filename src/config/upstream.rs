//! `[upstream]`: where modules come from, and how patiently they are asked for.

use std::path::PathBuf;
use std::time::Duration;

use super::codec::{
    Codec, Context, Grammar, Raw, Written, count, duration, flag, grammar, home, list, optional,
    path, readable,
};
use super::files::NetrcFile;
use super::origin::ValueSource;
use super::raw::Environment;
use super::reader::Reader;
use super::section::section;
use crate::upstream::ChainSpec;

section! {
    /// Where modules come from, and how patiently they are asked for. HTTPS_PROXY, HTTP_PROXY,
    /// ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR are read as the go command reads them.
    pub struct Upstream = "upstream" {
        /// Other module proxies, written as GOPROXY: "https://proxy.example.com,direct". After a comma
        /// the next one is asked if this one says 404 or 410, after "|" at any failure. Empty: what
        /// the Go toolchain of this machine is set to, as found at the first start and remembered.
        chain: Option<Written<ChainSpec>> = "" => optional(chain()), twin "--upstream" "LARDER_UPSTREAM";

        /// How long connecting may take.
        connect_timeout: Duration = "5s" => timeout();

        /// How long the first byte of an answer may take.
        first_byte_timeout: Duration = "20s" => timeout();

        /// How long an answer may pause between two bytes.
        idle_timeout: Duration = "20s" => timeout();

        /// How often a fetch is tried in all; at most two attempts may run into a timeout.
        attempts: u32 = 3 => count(1, 10);

        /// The most requests at a time to each upstream.
        concurrency: usize = 64 => count(1, 65_536);

        /// Files of further root certificates (PEM), for upstreams behind a company's own authority, or of
        /// servers' own certificates if they sign themselves. They add to all others.
        ca_files: Vec<PathBuf> = [] => list(path().readable(), &[',']);

        /// A client certificate (PEM), shown to upstreams that ask for one; needs client_key.
        client_cert: Option<PathBuf> = "" => optional(path().readable());

        /// The private key of that certificate (PEM).
        client_key: Option<PathBuf> = "" => optional(path().readable());

        /// A netrc file with user and password per host. The credentials below go before it. Empty:
        /// the file that $NETRC names, else ~/.netrc, if it is there.
        netrc: Option<PathBuf> = "" => netrc();

        /// Ask over HTTP/1.1 only.
        no_http2: bool = false => flag();
    }
    derived {
        /// Where `chain` comes from, if it is set: an operator's chain is taken at its word, the
        /// toolchain's is not.
        chain_source: ValueSource = |reader: &Reader<'_>| match &chain {
            Some(Some(_)) => reader.source("upstream.chain"),
            _ => ValueSource::Default,
        };
    }
}

impl Upstream {
    /// The netrc file that is read: the one that is named here, by $NETRC, or the usual one.
    pub fn netrc_file(&self, env: &Environment) -> Option<NetrcFile> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let named = self.netrc.clone().or_else(|| set("NETRC").map(Into::into));
        let usual = || set("HOME").map(|home| PathBuf::from(home).join(".netrc"));
        named.or_else(usual).map(NetrcFile::new)
    }
}

fn timeout() -> impl Codec<Value = Duration> {
    duration().between(Duration::from_millis(1), Duration::from_mins(10))
}

/// A chain, written as GOPROXY.
pub(super) fn chain() -> Grammar<ChainSpec> {
    grammar(|text| ChainSpec::parse(text).map_err(|error| error.to_string()))
}

/// A netrc file that may be missing only if nobody named it.
#[derive(Debug)]
struct Netrc;

fn netrc() -> Netrc {
    Netrc
}

impl Netrc {
    /// The file that the environment points to, if it can be read, and the variable that did.
    fn usual(context: Context<'_>) -> Option<(PathBuf, &'static str)> {
        let (file, from) = match context.env.get("NETRC").filter(|name| !name.is_empty()) {
            Some(name) => (
                path().read(&Raw::Word(name.clone()), context).ok()?,
                "NETRC",
            ),
            None => (home(context.env)?.join(".netrc"), "HOME"),
        };
        readable(&file).is_ok().then_some((file, from))
    }
}

impl Codec for Netrc {
    type Value = Option<PathBuf>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String> {
        match optional(path().readable()).read(raw, context)? {
            Some(file) => Ok(Some(file)),
            None => Ok(Self::usual(context).map(|(file, _)| file)),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        optional(path()).write(value)
    }

    fn derived(&self, context: Context<'_>) -> Option<&'static str> {
        Self::usual(context).map(|(_, from)| from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::testing::*;
    use super::*;

    #[test]
    fn chains_are_judged() {
        for fine in [
            "direct",
            "off",
            "https://goproxy.cn,direct",
            "https://a.example|https://b.example,off",
            "proxy.example.com",
            " https://a.example , direct ",
            "file:///srv/modules",
        ] {
            let read = from_word(&chain(), fine).expect(fine);
            assert_eq!(read.text, fine.trim());
        }
        assert!(from_word(&chain(), ",").is_err_and(|e| e.contains("names no source")));
    }

    #[test]
    fn the_usual_netrc_is_taken_if_it_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let mut env = crate::config::Environment::from([("HOME".into(), place(""))]);
        let read = |env: &crate::config::Environment, text: &str| {
            Netrc.read(&Raw::Text(text.into()), Context { env, base: None })
        };
        assert_eq!(read(&env, ""), Ok(None));
        std::fs::write(place(".netrc"), "").expect("a file");
        assert_eq!(read(&env, ""), Ok(Some(place(".netrc").into())));
        env.insert("NETRC".into(), place("gone"));
        assert_eq!(read(&env, ""), Ok(None));
        assert!(read(&env, &place("gone")).is_err_and(|e| e.starts_with("cannot read")));
    }
}
