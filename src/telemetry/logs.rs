//! Logs: events of `tracing` and the lines of the access log, on standard error.
//!
//! Everything goes through a [`LogSink`], so that a slow reader of standard error (a full pipe, a
//! stopped terminal) never holds up a request. Lines are for people or, as JSON, one flat object
//! each: `{"ts":…,"level":…,"target":…,"msg":…, fields…}`. Whatever a stranger sent is escaped:
//! no line of ours can be forged, and no terminal be driven, from outside.

pub(in crate::telemetry) mod encode;
mod event;
mod format;
mod sink;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

pub use format::{Format, Now};
pub use sink::{LogSink, Queue, Tell};

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not what `tracing` understands.
    #[error("{level:?} is not a log level: {source}")]
    Level {
        /// The level as it was given.
        level: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// This process has a subscriber already.
    #[error("logging has been set up already")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// Nobody is told anything any more.
    #[error("the log level cannot be changed: {0}")]
    Gone(#[from] reload::Error),
}

/// Sends the events of the whole process to `sink`. `level` is a level or a list such as
/// `info,larder::upstream=debug`; `colours` concerns [`Format::Text`] only.
///
/// # Errors
/// If `level` is wrong, or if this process has called it before.
pub fn init(
    format: Format,
    level: &str,
    colours: bool,
    sink: LogSink,
    now: Now,
) -> Result<LogLevel, LogError> {
    let (subscriber, level) = subscriber(format, level, colours, sink, now)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(level)
}

/// How much is told, which can be changed.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// From now on so much is told.
    ///
    /// # Errors
    /// If `level` is wrong, or nothing is told any more.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        Ok(self.0.reload(targets(level)?)?)
    }
}

fn targets(level: &str) -> Result<Targets, LogError> {
    level.parse().map_err(|source| LogError::Level {
        level: level.into(),
        source,
    })
}

/// What [`init`] installs, for tests that want it on one thread.
///
/// # Errors
/// If `level` is wrong.
pub fn subscriber(
    format: Format,
    level: &str,
    colours: bool,
    sink: LogSink,
    now: Now,
) -> Result<(impl Subscriber + Send + Sync, LogLevel), LogError> {
    let (targets, handle) = reload::Layer::new(targets(level)?);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(colours && format == Format::Text)
        .event_format(event::Events::new(format, now))
        .with_writer(sink);
    let subscriber = tracing_subscriber::registry().with(targets).with(layer);
    Ok((subscriber, LogLevel(handle)))
}

/// Whether standard error is a terminal that may show colours. `no_color` is the value of the
/// environment variable `NO_COLOR`: set to anything it forbids them.
pub fn colours(no_color: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_wrong_level_is_an_error() {
        let sink = LogSink::start(
            Queue::default(),
            Format::Text,
            Arc::new(|| 0),
            std::io::sink(),
        );
        let sink = sink.expect("a thread");
        let error = subscriber(Format::Text, "larder=loud", false, sink, Arc::new(|| 0)).err();
        let error = error.expect("an error").to_string();
        assert!(
            error.starts_with("\"larder=loud\" is not a log level"),
            "{error}"
        );
    }

    #[test]
    fn colours_can_be_forbidden() {
        assert!(!colours(Some("1")));
    }
}
