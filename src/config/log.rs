//! `[log]`: what is told on standard error, and what is kept of who did what.

use std::path::PathBuf;

use super::codec::{Codec, Context, Raw, choice, flag, optional, path, quote, text};
use super::section::section;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// Among the lines of the log.
    Log,
    File(PathBuf),
}

section! {
    /// What is told on standard error.
    pub struct Log = "log" {
        /// "text" for people, "json" for machines (one object per line).
        format: LogFormat = "text" => choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

        /// How much: off, error, warn, info, debug or trace, and for parts of the program apart:
        /// "info,larder::upstream=debug".
        level: String = "info" => text(level);

        /// A line per request.
        access: bool = true => flag();

        /// A file for the audit log, or "stderr": a JSON object a line for each caller who was refused
        /// because of who they are, each operation that changes something, and each reload. It is
        /// opened anew at SIGUSR1. Empty: there is none.
        audit: Option<AuditTarget> = "" => optional(audit());
    }
}

/// A path, or the word "stderr".
#[derive(Debug)]
pub(super) struct AuditName;

fn audit() -> AuditName {
    AuditName
}

const STDERR: &str = "stderr";

impl Codec for AuditName {
    type Value = AuditTarget;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<AuditTarget, String> {
        match raw.as_text("a path in quotes, or \"stderr\"")?.trim() {
            STDERR => Ok(AuditTarget::Log),
            _ => path().read(raw, context).map(AuditTarget::File),
        }
    }

    fn write(&self, value: &AuditTarget) -> String {
        match value {
            AuditTarget::Log => quote(STDERR),
            AuditTarget::File(file) => path().write(file),
        }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks directives more strictly than `tracing`, to which a misspelt level is the name of a target.
fn level(text: &str) -> Result<String, String> {
    let known = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let levels = LEVELS.join(", ");
    let mut directives = Vec::new();
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            None if known(directive) => directives.push(directive.to_owned()),
            None => {
                return Err(format!(
                    "is not a log level: {directive:?} is none of {levels}, nor of the form \
                     \"larder::upstream=debug\""
                ));
            }
            Some((target, word)) => {
                let (target, word) = (target.trim(), word.trim());
                let is_target = !target.is_empty()
                    && target
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_:-.".contains(&b));
                if !is_target || !known(word) {
                    return Err(format!(
                        "is not a log level: in {directive:?} write a part of the program and one \
                         of {levels}, as in \"larder::upstream=debug\""
                    ));
                }
                directives.push(format!("{target}={word}"));
            }
        }
    }
    Ok(directives.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracing_subscriber::filter::Targets;

    #[test]
    fn levels() {
        for (text, expected) in [
            ("info", "info"),
            ("WARN", "WARN"),
            ("info,larder::upstream=debug", "info,larder::upstream=debug"),
            ("warn, larder = trace", "warn,larder=trace"),
        ] {
            assert_eq!(level(text), Ok(expected.into()));
        }
        for text in [
            "",
            "inof",
            "info,",
            "larder",
            "larder=",
            "=debug",
            "larder=loud",
            "a[{b}]=info",
            "3",
            "a=b=info",
        ] {
            assert!(
                level(text).is_err_and(|e| e.starts_with("is not a log level")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_audit_log_goes_to_a_file_or_the_log() {
        use super::super::codec::testing::*;
        let read = |toml: &str| from_toml(&optional(audit()), toml);
        assert_eq!(read("\"\""), Ok(None));
        assert_eq!(read("\"stderr\""), Ok(Some(AuditTarget::Log)));
        let file = AuditTarget::File("/var/log/larder/audit.log".into());
        assert_eq!(
            read("\"/var/log/larder/audit.log\""),
            Ok(Some(file.clone()))
        );
        assert_eq!(audit().write(&file), "\"/var/log/larder/audit.log\"");
        assert!(read("true").is_err_and(|error| error.contains("stderr")));
    }

    proptest! {
        #[test]
        fn what_passes_is_understood_by_tracing(text in "[a-z:=,]{0,20}|((info|warn|larder::[a-z]{1,8}=(debug|off)),?){1,4}") {
            if let Ok(text) = level(&text) {
                prop_assert!(text.parse::<Targets>().is_ok(), "{}", text);
            }
        }
    }
}
