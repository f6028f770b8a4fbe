//! `larder serve`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::exit;
use crate::app;
use crate::clock::SharedClock;
use crate::config::{Environment, Overrides, load};
use crate::telemetry::logs::{self, LogSink, Queue};

/// How long the last log lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

pub fn run(overrides: &Overrides, env: &Environment, clock: SharedClock) -> ExitCode {
    // Before anything else has begun.
    let handed_over = app::HandedOver::take(env);
    let loaded = match load(overrides, env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    let log = &loaded.config.log;
    let now: logs::Now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now().0)
    };
    let format = app::log_format(&loaded.config);
    let sink = match LogSink::stderr(Queue::default(), format, Arc::clone(&now)) {
        Ok(sink) => sink,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    let colours = logs::colours(env.get("NO_COLOR").map(String::as_str));
    let level = match logs::init(format, &log.level, colours, sink.clone(), now) {
        Ok(level) => level,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let handed_over = match handed_over {
        Ok(handed_over) => handed_over,
        Err(error) => return exit::start_error(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("larder")
        .max_blocking_threads(app::blocking_threads(&loaded.config))
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    let served = runtime.block_on(app::serve(
        &loaded,
        overrides,
        env,
        handed_over,
        clock,
        sink.clone(),
        level,
    ));
    // What is still under way has had its time.
    runtime.shutdown_timeout(Duration::from_millis(100));
    sink.flush(LAST_LINES);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::start_error(&error),
    }
}
