//! The lines of `tracing`'s events.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::encode::{self, Escape, Escaped};
use super::format::{Format, Now};

/// The most bytes of a message or of a field's value.
const LONGEST: usize = 8 << 10;

/// Writes an event as one line.
pub(super) struct Events {
    format: Format,
    now: Now,
}

impl Events {
    pub(super) fn new(format: Format, now: Now) -> Self {
        Self { format, now }
    }

    fn text(&self, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let colours = out.has_ansi_escapes();
        let (dim, plain) = if colours {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        out.write_str(dim)?;
        encode::timestamp(&mut out, (self.now)())?;
        let (level, colour) = match *event.metadata().level() {
            Level::ERROR => ("ERROR", "\x1b[31m"),
            Level::WARN => (" WARN", "\x1b[33m"),
            Level::INFO => (" INFO", "\x1b[32m"),
            Level::DEBUG => ("DEBUG", "\x1b[34m"),
            Level::TRACE => ("TRACE", "\x1b[35m"),
        };
        let colour = if colours { colour } else { "" };
        write!(
            out,
            "{plain} {colour}{level}{plain} {dim}{}:{plain} ",
            event.metadata().target()
        )?;
        let mut message = Visitor::new(&mut out, Part::Message, Format::Text);
        event.record(&mut message);
        let separate = message.finish()?;
        let mut fields = Visitor::new(&mut out, Part::Fields, Format::Text);
        fields.separate = separate;
        event.record(&mut fields);
        fields.finish()?;
        out.write_char('\n')
    }

    fn json(&self, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        out.write_str("{\"ts\":\"")?;
        encode::timestamp(&mut out, (self.now)())?;
        write!(
            out,
            "\",\"level\":\"{}\",\"target\":\"",
            event.metadata().level()
        )?;
        encode::text(&mut out, event.metadata().target(), Escape::Json, LONGEST)?;
        out.write_str("\",\"msg\":\"")?;
        let mut message = Visitor::new(&mut out, Part::Message, Format::Json);
        event.record(&mut message);
        message.finish()?;
        out.write_char('"')?;
        let mut fields = Visitor::new(&mut out, Part::Fields, Format::Json);
        fields.separate = true;
        event.record(&mut fields);
        fields.finish()?;
        out.write_str("}\n")
    }
}

impl<S, N> FormatEvent<S, N> for Events
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.format {
            Format::Text => self.text(out, event),
            Format::Json => self.json(out, event),
        }
    }
}

/// Which fields a visitor writes: the message stands apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    Fields,
}

const MESSAGE: &str = "message";

#[derive(Debug)]
struct Visitor<'v, 'w> {
    out: &'v mut Writer<'w>,
    part: Part,
    format: Format,
    /// Whether something stands before the next field.
    separate: bool,
    result: fmt::Result,
}

impl<'v, 'w> Visitor<'v, 'w> {
    fn new(out: &'v mut Writer<'w>, part: Part, format: Format) -> Self {
        Visitor {
            out,
            part,
            format,
            separate: false,
            result: Ok(()),
        }
    }

    /// Whether something was written.
    fn finish(self) -> Result<bool, fmt::Error> {
        self.result.map(|()| self.separate)
    }

    /// Writes the name of a field, and then its value.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Self) -> fmt::Result) {
        let is_message = field.name() == MESSAGE;
        let wanted = match self.part {
            Part::Message => is_message,
            Part::Fields => !is_message,
        };
        if wanted && self.result.is_ok() {
            self.result = self.name(field, is_message).and_then(|()| value(self));
            self.separate = true;
        }
    }

    fn name(&mut self, field: &Field, is_message: bool) -> fmt::Result {
        if is_message {
            return Ok(());
        }
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        match self.format {
            Format::Text => {
                if self.separate {
                    self.out.write_char(' ')?;
                }
                write!(self.out, "{name}=")
            }
            Format::Json => {
                if self.separate {
                    self.out.write_char(',')?;
                }
                self.out.write_char('"')?;
                encode::text(self.out, name, Escape::Json, LONGEST)?;
                // An object has every key once.
                let taken = matches!(name, "ts" | "level" | "target" | "msg");
                self.out.write_str(if taken { "_\":" } else { "\":" })
            }
        }
    }

    /// A value that needs no quotes in either form.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.field(field, |visitor| write!(visitor.out, "{value}"));
    }

    /// Whatever can be printed, as a text.
    fn printed(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let is_message = field.name() == MESSAGE;
        self.field(field, |visitor| match (visitor.format, is_message) {
            (Format::Text, true) => {
                Escaped::new(visitor.out, Escape::Controls, LONGEST).write_fmt(value)
            }
            (Format::Text, false) => encode::printed(visitor.out, value, LONGEST),
            (Format::Json, true) => {
                Escaped::new(visitor.out, Escape::Json, LONGEST).write_fmt(value)
            }
            (Format::Json, false) => {
                visitor.out.write_char('"')?;
                Escaped::new(visitor.out, Escape::Json, LONGEST).write_fmt(value)?;
                visitor.out.write_char('"')
            }
        });
    }
}

impl Visit for Visitor<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.printed(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.printed(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        // The whole story: "cannot fetch: connection refused".
        struct Chain<'e>(&'e (dyn Error + 'static));
        impl fmt::Display for Chain<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)?;
                let mut source = self.0.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
        }
        self.printed(field, format_args!("{}", Chain(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, value);
        } else {
            // JSON has no such numbers.
            self.printed(field, format_args!("{value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::testing::Pipe;
    use super::super::subscriber;
    use super::*;
    use std::sync::Arc;

    /// What is logged while `log` runs.
    fn logged(format: Format, level: &str, colours: bool, log: impl FnOnce()) -> String {
        let pipe = Pipe::default();
        let now: Now = Arc::new(|| 1_795_277_045_123);
        let sink = pipe.sink(format);
        let made = subscriber(format, level, colours, sink.clone(), now);
        let (subscriber, _) = made.expect("a level");
        tracing::subscriber::with_default(subscriber, log);
        assert!(sink.flush(std::time::Duration::from_secs(10)));
        pipe.text()
    }

    #[test]
    fn lines_for_people() {
        let text = logged(Format::Text, "info", false, || {
            tracing::info!(target: "larder::x", count = 3, name = "two words", word = "one", ok = true, "it\nworks");
            tracing::warn!(target: "larder::x", path = %"a b", debug = ?Some("q"), ratio = 0.5);
            tracing::debug!(target: "larder::x", "not told");
        });
        assert_eq!(
            text,
            "2026-11-21T16:04:05.123Z  INFO larder::x: it\\nworks count=3 name=\"two words\" word=one ok=true\n\
             2026-11-21T16:04:05.123Z  WARN larder::x: path=\"a b\" debug=Some(\"q\") ratio=0.5\n"
        );
    }

    #[test]
    fn lines_for_machines() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot fetch")]
        struct Outer(#[source] std::io::Error);
        let text = logged(Format::Json, "debug", true, || {
            let error = Outer(std::io::Error::other("no \"route\""));
            let error: &(dyn Error + 'static) = &error;
            tracing::error!(target: "larder::x", error, level = "x", nan = f64::NAN, n = -1, "quote \" {}", "\u{1b}");
            tracing::debug!(target: "larder::y", r#type = "t");
        });
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                r#"{"ts":"2026-11-21T16:04:05.123Z","level":"ERROR","target":"larder::x","msg":"quote \" \u001b","error":"cannot fetch: no \"route\"","level_":"x","nan":"NaN","n":-1}"#
            )
        );
        assert_eq!(
            lines.next(),
            Some(
                r#"{"ts":"2026-11-21T16:04:05.123Z","level":"DEBUG","target":"larder::y","msg":"","type":"t"}"#
            )
        );
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        let text = logged(
            Format::Text,
            "info",
            true,
            || tracing::info!(target: "larder::x", "hello"),
        );
        assert!(text.contains("\x1b[32m INFO\x1b[0m"), "{text:?}");
    }

    #[test]
    fn levels_can_differ_by_target() {
        let text = logged(Format::Text, "warn,larder::upstream=debug", false, || {
            tracing::info!(target: "larder::http", "no");
            tracing::debug!(target: "larder::upstream::retry", "yes");
        });
        assert!(text.contains("yes") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn a_long_value_is_cut() {
        let text = logged(Format::Json, "info", false, || {
            tracing::info!(target: "larder::x", body = "x".repeat(100_000), "long");
        });
        assert!(text.len() < 10_000 && text.ends_with("…\"}\n"));
    }
}
