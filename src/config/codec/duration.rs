//! Spans of time: `"60s"`, `"1m30s"`, `"500ms"`.

use std::time::Duration;

use super::{Codec, Context, Raw, quote};

const WHAT: &str = r#"a duration; write it as "60s", "1m30s" or "500ms""#;

/// A span of time between two bounds, both allowed.
#[derive(Debug)]
pub(in crate::config) struct Span {
    least: Duration,
    most: Duration,
}

/// A span of time, up to thirty days unless narrowed by [`Span::between`].
pub(in crate::config) fn duration() -> Span {
    Span {
        least: Duration::ZERO,
        most: Duration::from_hours(30 * 24),
    }
}

impl Span {
    /// Allows only values from `least` to `most`.
    pub(in crate::config) fn between(self, least: Duration, most: Duration) -> Self {
        Self { least, most }
    }
}

impl Codec for Span {
    type Value = Duration;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<Duration, String> {
        let text = raw.as_text(WHAT)?.trim();
        let value = humantime::parse_duration(text).map_err(|_| {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                format!(
                    "{} has no unit; write it as \"{text}s\" or \"{text}ms\"",
                    raw.quoted()
                )
            } else {
                format!("{} is not {WHAT}", raw.quoted())
            }
        })?;
        if (self.least..=self.most).contains(&value) {
            Ok(value)
        } else {
            let size = if value < self.least { "short" } else { "long" };
            Err(format!(
                "{} is too {size}; allowed is {}",
                raw.quoted(),
                self.allowed()
            ))
        }
    }

    fn write(&self, value: &Duration) -> String {
        quote(&format(*value))
    }

    fn show(&self, raw: &Raw, value: &Duration) -> String {
        raw.as_written().unwrap_or_else(|| self.write(value))
    }

    fn allowed(&self) -> String {
        format!("{} to {}", format(self.least), format(self.most))
    }
}

/// The shortest way to write a duration: `1m30s`.
fn format(value: Duration) -> String {
    let seconds = value.as_secs();
    let nanos = value.subsec_nanos();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(nanos / 1_000_000), "ms"),
        (u64::from(nanos / 1_000 % 1_000), "us"),
        (u64::from(nanos % 1_000), "ns"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    // A minute reads better as the "60s" that everybody writes.
    match text.as_str() {
        "" => "0s".into(),
        "1m" => "60s".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("0s", 0),
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            (" 2h ", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(
                from_toml(&duration(), &format!("{text:?}")),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let codec = duration().between(Duration::from_secs(1), Duration::from_secs(30));
        for (toml, message) in [
            (
                r#""abc""#,
                r#""abc" is not a duration; write it as "60s", "1m30s" or "500ms""#,
            ),
            (
                r#""""#,
                r#""" is not a duration; write it as "60s", "1m30s" or "500ms""#,
            ),
            (
                r#""60""#,
                r#""60" has no unit; write it as "60s" or "60ms""#,
            ),
            (
                "60",
                r#"60 is not a duration; write it as "60s", "1m30s" or "500ms""#,
            ),
            (
                "true",
                r#"true is not a duration; write it as "60s", "1m30s" or "500ms""#,
            ),
            (
                r#""-5s""#,
                r#""-5s" is not a duration; write it as "60s", "1m30s" or "500ms""#,
            ),
            (r#""31s""#, r#""31s" is too long; allowed is 1s to 30s"#),
            (r#""10ms""#, r#""10ms" is too short; allowed is 1s to 30s"#),
        ] {
            assert_eq!(from_toml(&codec, toml), Err(message.into()), "{toml}");
        }
    }

    #[test]
    fn is_written_short() {
        for (millis, text) in [
            (0, "0s"),
            (60_000, "60s"),
            (90_000, "1m30s"),
            (500, "500ms"),
            (1_500, "1s500ms"),
            (90_061_000, "1d1h1m1s"),
        ] {
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
    }

    proptest! {
        #[test]
        fn every_duration_comes_back(nanos in 0..30u64 * 86_400 * 1_000_000_000) {
            let value = Duration::from_nanos(nanos);
            prop_assert_eq!(there_and_back(&duration(), &value), value);
        }
    }
}
