//! Carries operations out: by the server that holds the data directory, or here if none does.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::flags::Flags;
use super::show::{Show, told};
use super::{exit, runtime, whereabouts};
use crate::admin::{self, AdminService, BEHIND, Performer};
use crate::app::{self, Ourselves, StartError, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{Environment, Loaded, load};
use crate::engine::Inventory;
use crate::store::DataDir;
use crate::telemetry::logs::{LogSink, Queue};
use crate::telemetry::metrics::Metrics;
use crate::vcs::workspace::Folders;

/// How long the last lines of the audit log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What a command runs with.
pub struct OperateContext<'a> {
    pub env: &'a Environment,
    pub clock: &'a SharedClock,
}

/// Carries an operation out, by the server if there is one.
pub fn run<O>(operation: O, flags: &Flags, context: &OperateContext<'_>) -> ExitCode
where
    O: Show,
    O::On: Here,
{
    start(flags, context, async |loaded: &Loaded| {
        let data_dir = &loaded.config.store.data_dir;
        let asked = match admin::ask(data_dir, &operation).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return alone(operation, flags, loaded, context).await,
            Err(error) => {
                let what = format!(
                    "the server that holds {} cannot be asked: {error}",
                    data_dir.display()
                );
                return exit::fail(exit::DATA_DIR, &what);
            }
        };
        complain!(
            "larder: done by the running server{}, data directory {}",
            whereabouts::holder(data_dir),
            data_dir.display()
        );
        if let Some(theirs) = asked.other_version {
            complain!(
                "larder: the running server is larder {theirs}, and this is larder {}",
                env!("CARGO_PKG_VERSION")
            );
        }
        told::<O>(asked.events, flags.json, operation.only_reads()).await
    })
}

/// Carries out an operation that no server may be in the way of.
pub fn run_alone<O>(operation: O, flags: &Flags, context: &OperateContext<'_>) -> ExitCode
where
    O: Show,
    O::On: Here,
{
    start(flags, context, async |loaded: &Loaded| {
        alone(operation, flags, loaded, context).await
    })
}

/// Reads the configuration, and goes on if there is a data directory.
fn start(
    flags: &Flags,
    context: &OperateContext<'_>,
    work: impl AsyncFnOnce(&Loaded) -> ExitCode,
) -> ExitCode {
    let loaded = match load(&flags.overrides, context.env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    let runtime = match runtime::small() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    runtime.block_on(async {
        if !loaded.config.store.data_dir.is_dir() {
            return exit::fail(exit::DATA_DIR, &whereabouts::missing(&loaded).await);
        }
        work(&loaded).await
    })
}

/// No server holds the data directory: does the work here.
async fn alone<O>(
    operation: O,
    flags: &Flags,
    loaded: &Loaded,
    context: &OperateContext<'_>,
) -> ExitCode
where
    O: Show,
    O::On: Here,
{
    let only_reads = operation.only_reads();
    let (on, data) = match O::On::open(loaded, context, only_reads).await {
        Ok(opened) => opened,
        Err(code) => return code,
    };
    let by = match only_reads {
        true => Performer::default(),
        false => match performer(loaded, context.clock) {
            Ok(by) => by,
            Err(error) => {
                data.store.close().await;
                return exit::start_error(&error);
            }
        },
    };
    let (sender, events) = mpsc::channel(BEHIND);
    // The signal that ends this process ends it at once.
    let stop = CancellationToken::new();
    let work = pin!(admin::perform(operation, on, sender, stop, &by));
    let told = pin!(told::<O>(events, flags.json, only_reads));
    let code = match select(told, work).await {
        Either::Left((code, _)) => code,
        Either::Right(((), told)) => told.await,
    };
    data.store.close().await;
    if !by.audit.flush(LAST_LINES) {
        complain!(
            "larder: warning: what was done could not be written to the audit log (log.audit)"
        );
    }
    code
}

/// This user, and the audit log in which it stands what they do: what is not kept is not done.
fn performer(loaded: &Loaded, clock: &SharedClock) -> Result<Performer, StartError> {
    let now = Arc::clone(clock);
    let log = || {
        let format = app::log_format(&loaded.config);
        LogSink::stderr(Queue::default(), format, Arc::new(move || now.now().0))
    };
    let metrics = Metrics::new().audit;
    Ok(Performer {
        who: format!("uid:{}", rustix::process::getuid().as_raw()),
        audit: app::audit(&loaded.config, clock, log, &metrics)?,
    })
}

/// What operations work on, as it is opened where no server has it.
pub trait Here: Sized {
    /// Opens it, or says why not and gives the exit code.
    async fn open(
        loaded: &Loaded,
        context: &OperateContext<'_>,
        only_reads: bool,
    ) -> Result<(Self, DataDir), ExitCode>;
}

impl Here for Inventory {
    async fn open(
        loaded: &Loaded,
        context: &OperateContext<'_>,
        only_reads: bool,
    ) -> Result<(Self, DataDir), ExitCode> {
        let data = data_dir(loaded, context, only_reads)?;
        if let Some(text) = whereabouts::elsewhere(loaded).await {
            complain!("larder: warning: {text}");
        }
        let clock = Arc::clone(context.clock);
        Ok((Inventory::of(data.store.clone(), clock), data))
    }
}

impl Here for AdminService {
    async fn open(
        loaded: &Loaded,
        context: &OperateContext<'_>,
        only_reads: bool,
    ) -> Result<(Self, DataDir), ExitCode> {
        let assembled = assembled(loaded, context, only_reads).await;
        assembled.unwrap_or_else(|error| Err(exit::start_error(&error)))
    }
}

fn data_dir(
    loaded: &Loaded,
    context: &OperateContext<'_>,
    only_reads: bool,
) -> Result<DataDir, ExitCode> {
    let open = match only_reads {
        true => DataDir::open,
        false => DataDir::open_to_change,
    };
    let store = &loaded.config.store;
    let data = open(
        &store.data_dir,
        store.reserve,
        store.index_cache,
        context.clock,
    );
    let data = data.map_err(|error| exit::data_dir_error(&error))?;
    complain!(
        "larder: no server is running on the data directory {}; it is worked on here",
        whereabouts::named(loaded)
    );
    Ok(data)
}

async fn assembled(
    loaded: &Loaded,
    context: &OperateContext<'_>,
    only_reads: bool,
) -> Result<Result<(AdminService, DataDir), ExitCode>, StartError> {
    let (env, clock) = (context.env, context.clock);
    let config = &loaded.config;
    let databases = app::databases(config);
    let routes = app::routes(config);
    let store = &config.store;
    let chain = match app::operators_chain(config) {
        Some(chain) => chain,
        None => {
            let ourselves = Ourselves::new(config, app::module_addresses(config));
            app::choose_chain(env, ourselves, &app::memory_file(store))
                .await
                .chain
        }
    };
    // Nobody holds it. What is changed in it would not reach a server that has another one.
    if let Some(text) = whereabouts::elsewhere(loaded).await {
        if !only_reads {
            let text = format!("nothing was done: {text}");
            return Ok(Err(exit::fail(exit::DATA_DIR, &text)));
        }
        complain!("larder: warning: {text}");
    }
    // Verifications are recorded, tokens restored.
    let data = match data_dir(loaded, context, false) {
        Ok(data) => data,
        Err(code) => return Ok(Err(code)),
    };
    let metrics = Arc::new(Metrics::new());
    let maker = UpstreamMaker::new(
        config,
        env,
        "larder-command",
        Folders::of(&config.store.data_dir, app::left(&data.disk)),
        Arc::clone(clock),
        Arc::clone(&metrics),
    )?;
    let assembled = app::assemble(config, databases, routes, maker, &data, clock, &metrics).await?;
    assembled.chains.set_first(&chain);
    let service = AdminService::new(assembled.engine, assembled.tokens);
    Ok(Ok((service, data)))
}
