//! `[log]`: what is told on standard error.

use super::codec::{choice, flag, text};
use super::section::section;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object per line.
    Json,
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

    proptest! {
        #[test]
        fn what_passes_is_understood_by_tracing(text in "[a-z:=,]{0,20}|((info|warn|larder::[a-z]{1,8}=(debug|off)),?){1,4}") {
            if let Ok(text) = level(&text) {
                prop_assert!(text.parse::<Targets>().is_ok(), "{}", text);
            }
        }
    }
}
