//! `[direct]`: modules straight from their git repositories.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::codec::{
    Checked, Codec, Context, Raw, count, duration, host_port, list, path, patterns, quote, size,
    text,
};
use super::section::section;
use crate::gomod::Patterns;

section! {
    /// Modules straight from their git repositories: those that a chain has "direct" for, or a route
    /// (see below).
    pub struct Direct = "direct" {
        /// Hosts of repositories and their pages that may have addresses inside (loopback, private,
        /// link-local), for private modules and routes; public modules never lead inside. Hosts that
        /// private patterns or routes begin with may have them anyway.
        /// Each is a name, a name with "*." for everything under it, or an address.
        allow_hosts: Vec<String> = [] => list(text(host_pattern), &[',']);

        /// How long the references of a repository are believed.
        refs_ttl: Duration = "10s" => duration().between(Duration::ZERO, Duration::from_hours(24));

        /// How long one fetch from a git host may take.
        timeout: Duration = "5m" => timeout();

        /// The largest repository that is mirrored.
        max_repository: u64 = "4GiB" => room();

        /// Room of all mirrors together; the least recently used go first. Mirrors for private
        /// modules and routes are not driven out of their half of it by others.
        mirrors: u64 = "20GiB" => room();

        /// The most fetches from one host at a time; private modules and routes have as many of
        /// their own.
        per_host: usize = 4 => count(1, 64);

        /// The most git processes at a time; private modules and routes have as many of their own.
        processes: usize = 16 => count(1, 256);

        /// The git program: a name that is looked up in PATH, or a path.
        git: PathBuf = "git" => program();

        /// Modules, written as GOINSECURE, whose hosts may be asked over plain http.
        insecure: Patterns = "" => patterns();
    }
}

/// How long a fetch from a git host may take.
pub(super) fn timeout() -> impl Codec<Value = Duration> {
    duration().between(Duration::from_millis(1), Duration::from_hours(1))
}

/// How large a repository, or all of them, may be.
pub(super) fn room() -> impl Codec<Value = u64> {
    size().between(1 << 20, i64::MAX.unsigned_abs())
}

/// A host, everything under one (`*.example.com`), or an address without brackets; in lower case.
fn host_pattern(text: &str) -> Result<String, String> {
    const WANTED: &str =
        "is not a host; write it as \"git.example.com\", \"*.example.com\" or \"10.1.2.3\"";
    let address = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = address.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains([':', '[']) || name.split('.').any(str::is_empty) {
        return Err(WANTED.into());
    }
    host_port(name).map_err(|_| WANTED)?;
    if text.len() > name.len() && !name.contains('.') {
        return Err(format!(
            "is a whole top-level domain, which is not one network; write it as \"*.corp.{name}\", or name the hosts"
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// A program.
#[derive(Debug)]
struct Program;

/// A name without a slash, which is looked up in PATH where it is run, or a path.
fn program() -> Program {
    Program
}

impl Codec for Program {
    type Value = PathBuf;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<PathBuf, String> {
        let name = name().read(raw, context)?;
        if name.contains('/') {
            return path().read(raw, context);
        }
        Ok(name.into())
    }

    fn write(&self, value: &PathBuf) -> String {
        quote(&value.to_string_lossy())
    }
}

fn name() -> Checked {
    text(|name| match name {
        "" | "." | ".." => Err("is no program; write \"git\", or a path".into()),
        name => Ok(name.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::codec::testing::*;
    use super::super::testing::{errors, loaded, loaded_with};
    use super::*;

    #[test]
    fn the_defaults_are_those_promised() {
        let direct = loaded("").config.direct;
        assert_eq!(direct.allow_hosts, Vec::<String>::new());
        assert_eq!(direct.refs_ttl, Duration::from_secs(10));
        assert_eq!(direct.timeout, Duration::from_mins(5));
        assert_eq!((direct.max_repository, direct.mirrors), (4 << 30, 20 << 30));
        assert_eq!((direct.per_host, direct.processes), (4, 16));
        assert_eq!(direct.git, PathBuf::from("git"));
        assert!(direct.insecure.is_empty());
    }

    #[test]
    fn hosts_that_may_be_inside() {
        let expected = ["git.example.com", "*.corp.example.com", "10.1.2.3", "::1"];
        let file = "[direct]\nallow_hosts = [\"Git.example.com\", \"*.Corp.example.com\", \"10.1.2.3\", \"[::1]\"]\n";
        assert_eq!(loaded(file).config.direct.allow_hosts, expected);
        let word = "Git.example.com, *.Corp.example.com,10.1.2.3,0:0::1,";
        let by_env = loaded_with("", &[("LARDER_DIRECT__ALLOW_HOSTS", word)]);
        assert_eq!(by_env.config.direct.allow_hosts, expected);
        for wrong in [
            "*",
            "*.",
            "a.*",
            "*x.example.com",
            "a..b",
            ".example.com",
            "example.com.",
            "a:443",
            "10.0.0.0/8",
            "https://a",
            "a b",
            "[a]",
            "[::1]:443",
        ] {
            assert!(
                host_pattern(wrong).is_err_and(|e| e.starts_with("is not a host; write it as")),
                "{wrong}"
            );
        }
        for wrong in ["*.com", "*.internal"] {
            let error = host_pattern(wrong).expect_err(wrong);
            assert!(error.contains("a whole top-level domain"), "{error}");
        }
    }

    #[test]
    fn the_program_is_a_name_or_a_path() {
        assert_eq!(from_word(&program(), " git "), Ok("git".into()));
        assert_eq!(
            from_word(&program(), "/opt/git/bin/git"),
            Ok("/opt/git/bin/git".into())
        );
        for wrong in ["\"\"", "\".\"", "7", "\"a\\u0000/b\""] {
            assert!(from_toml(&program(), wrong).is_err(), "{wrong}");
        }
        let config = loaded("[direct]\ngit = \"bin/git\"\n").config;
        assert!(config.direct.git.is_absolute() && config.direct.git.ends_with("bin/git"));
    }

    #[test]
    fn bounds() {
        assert_eq!(
            errors(
                "[direct]\nrefs_ttl = \"25h\"\ntimeout = \"0s\"\nmax_repository = \"1KiB\"\n\
                 mirrors = 0\nper_host = 0\nprocesses = 257\nallow_hosts = \"a\"\n"
            ),
            "larder.toml:2: direct.refs_ttl: \"25h\" is too long; allowed is 0s to 1d\n\
             larder.toml:3: direct.timeout: \"0s\" is too short; allowed is 1ms to 1h\n\
             larder.toml:4: direct.max_repository: \"1KiB\" is too little; allowed is 1MiB or more\n\
             larder.toml:5: direct.mirrors: 0 is too little; allowed is 1MiB or more\n\
             larder.toml:6: direct.per_host: 0 is not allowed; write 1 to 64\n\
             larder.toml:7: direct.processes: 257 is not allowed; write 1 to 256\n\
             larder.toml:8: direct.allow_hosts: \"a\" is not a list; write it in brackets, as [\"one\", \"two\"]"
        );
    }
}
