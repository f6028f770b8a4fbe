//! Commands about what is kept, which a running server carries out itself: `larder first-seen …`, `larder token …`,
//! `larder sumdb …`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::{exit, runtime, whereabouts};
use crate::app::{self, Ourselves, StartError, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{Environment, Loaded, Overrides, load};
use crate::control::{self, BEHIND, Control, Controls, Event};
use crate::engine::TokenName;
use crate::gomod::{ModulePath, Version};
use crate::store::DataDir;
use crate::telemetry::metrics::Metrics;
use crate::vcs::workspace::Folders;

#[derive(Subcommand)]
pub enum FirstSeenCommand {
    /// Print the checksums to which modules are held that no checksum database covers
    List(Overrides),
    /// Take whatever is fetched next for a version, and hold it to that from then on
    Accept {
        #[command(flatten)]
        overrides: Overrides,
        /// The version, as example.com/module@v1.2.3
        #[arg(value_name = "PATH@VERSION", value_parser = path_version)]
        version: String,
    },
    /// Forget to which checksums a version is held
    Remove {
        #[command(flatten)]
        overrides: Overrides,
        /// The version, as example.com/module@v1.2.3
        #[arg(value_name = "PATH@VERSION", value_parser = path_version)]
        version: String,
    },
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once, as the last word
    New {
        #[command(flatten)]
        overrides: Overrides,
        /// What to call it: up to 64 letters, digits, dots, underscores and hyphens
        name: TokenName,
    },
    /// Print the names of the tokens there are
    List(Overrides),
    /// End a token
    Revoke {
        #[command(flatten)]
        overrides: Overrides,
        /// What it is called
        name: TokenName,
    },
}

#[derive(Subcommand)]
pub enum SumdbCommand {
    /// Verify everything that is kept: its content, and what the checksum databases say of it
    Verify {
        #[command(flatten)]
        overrides: Overrides,
        /// Drop what is wrong, so that it is fetched again
        #[arg(long)]
        repair: bool,
    },
    /// Print tree heads, last contact and alarms of the checksum databases
    Status(Overrides),
    /// End the alarms of a checksum database, once you know what they mean
    Acknowledge {
        #[command(flatten)]
        overrides: Overrides,
        /// The database, as sum.golang.org
        name: String,
        /// Forget its history as well: for a database of your own that was made anew
        #[arg(long)]
        begin_anew: bool,
    },
}

/// A module and one version of it.
fn path_version(text: &str) -> Result<String, String> {
    let form = |why: String| format!("{why}; write it as example.com/module@v1.2.3");
    let (path, version) = text
        .split_once('@')
        .ok_or_else(|| form("it has no @".into()))?;
    ModulePath::parse(path).map_err(|error| form(error.to_string()))?;
    Version::parse(version).map_err(|error| form(error.to_string()))?;
    Ok(text.to_owned())
}

impl FirstSeenCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            FirstSeenCommand::List(overrides)
            | FirstSeenCommand::Accept { overrides, .. }
            | FirstSeenCommand::Remove { overrides, .. } => overrides,
        }
    }
}

impl TokenCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            TokenCommand::New { overrides, .. }
            | TokenCommand::List(overrides)
            | TokenCommand::Revoke { overrides, .. } => overrides,
        }
    }
}

impl SumdbCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            SumdbCommand::Verify { overrides, .. }
            | SumdbCommand::Status(overrides)
            | SumdbCommand::Acknowledge { overrides, .. } => overrides,
        }
    }
}

pub fn first_seen(command: &FirstSeenCommand, env: &Environment, clock: &SharedClock) -> ExitCode {
    let (overrides, control) = match command {
        FirstSeenCommand::List(overrides) => (overrides, Control::FirstSeenList),
        FirstSeenCommand::Accept { overrides, version } => {
            (overrides, Control::FirstSeenAccept(version.clone()))
        }
        FirstSeenCommand::Remove { overrides, version } => {
            (overrides, Control::FirstSeenRemove(version.clone()))
        }
    };
    run(overrides, &control, env, clock)
}

pub fn token(command: &TokenCommand, env: &Environment, clock: &SharedClock) -> ExitCode {
    let (overrides, control) = match command {
        TokenCommand::New { overrides, name } => (overrides, Control::TokenNew(name.clone())),
        TokenCommand::List(overrides) => (overrides, Control::TokenList),
        TokenCommand::Revoke { overrides, name } => (overrides, Control::TokenRevoke(name.clone())),
    };
    run(overrides, &control, env, clock)
}

pub fn sumdb(command: &SumdbCommand, env: &Environment, clock: &SharedClock) -> ExitCode {
    let (overrides, control) = match command {
        SumdbCommand::Verify { overrides, repair } => {
            (overrides, Control::SumdbVerify { repair: *repair })
        }
        SumdbCommand::Status(overrides) => (overrides, Control::SumdbStatus),
        SumdbCommand::Acknowledge {
            overrides,
            name,
            begin_anew,
        } => {
            let (name, begin_anew) = (name.clone(), *begin_anew);
            (overrides, Control::SumdbAcknowledge { name, begin_anew })
        }
    };
    run(overrides, &control, env, clock)
}

fn run(
    overrides: &Overrides,
    control: &Control,
    env: &Environment,
    clock: &SharedClock,
) -> ExitCode {
    let loaded = match load(overrides, env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    let data_dir = &loaded.config.store.data_dir;
    let runtime = match runtime::small() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    runtime.block_on(async {
        if !data_dir.is_dir() {
            return exit::fail(exit::DATA_DIR, &whereabouts::missing(&loaded).await);
        }
        match control::ask(data_dir, control).await {
            Ok(Some(events)) => {
                complain!(
                    "larder: done by the running server{}, data directory {}",
                    whereabouts::holder(data_dir),
                    data_dir.display()
                );
                told(events).await
            }
            Ok(None) => match alone(&loaded, control, env, clock).await {
                Ok(code) => code,
                Err(error) => exit::start_error(&error),
            },
            Err(error) => exit::fail(
                exit::DATA_DIR,
                &format!(
                    "the server that holds {} cannot be asked: {error}",
                    data_dir.display()
                ),
            ),
        }
    })
}

/// No server holds the data directory: does the work here.
async fn alone(
    loaded: &Loaded,
    control: &Control,
    env: &Environment,
    clock: &SharedClock,
) -> Result<ExitCode, StartError> {
    let config = &loaded.config;
    let databases = app::databases(loaded)?;
    let routes = app::routes(loaded)?;
    let store = &config.store;
    let chain = match app::operators_chain(loaded)? {
        Some(chain) => chain,
        None => {
            let ourselves = Ourselves::new(config, config.server.listen);
            app::choose_chain(env, ourselves, &app::memory_file(store))
                .await
                .chain
        }
    };
    // Nobody holds it. What is changed in it would not reach a server that has another one.
    if let Some(text) = whereabouts::elsewhere(loaded).await {
        if !control.only_reads() {
            return Ok(exit::fail(
                exit::DATA_DIR,
                &format!("nothing was done: {text}"),
            ));
        }
        complain!("larder: warning: {text}");
    }
    let data = DataDir::open_to_change(&store.data_dir, store.reserve, store.index_cache, clock)?;
    complain!(
        "larder: no server is running on the data directory {}; it is worked on here",
        whereabouts::named(loaded)
    );
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
    assembled.chains.set(&chain);
    let controls = Controls {
        engine: assembled.engine,
        tokens: assembled.tokens,
        clock: Arc::clone(clock),
    };
    let (sender, events) = mpsc::channel(BEHIND);
    let (code, ()) = tokio::join!(told(events), controls.run(control, sender));
    data.store.close().await;
    Ok(code)
}

/// Prints what a command says.
async fn told(mut events: mpsc::Receiver<Event>) -> ExitCode {
    let bar = bar();
    while let Some(event) = events.recv().await {
        match event {
            Event::Line(line) => bar.suspend(|| say!("{line}")),
            Event::Trouble(line) => bar.suspend(|| complain!("larder: {line}")),
            Event::Progress { done, of, current } => {
                bar.set_length(of);
                bar.set_position(done);
                bar.set_message(current);
            }
            Event::End(well) => {
                bar.finish_and_clear();
                return ExitCode::from(if well { 0 } else { exit::OURS });
            }
        }
    }
    bar.finish_and_clear();
    exit::fail(exit::OURS, &"the server ended before the command did")
}

/// Shown on a terminal only.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
