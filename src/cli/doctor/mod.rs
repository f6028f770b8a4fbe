//! `larder doctor`: how this server is set up, or what becomes of one module.

mod context;
mod module;
mod server;

use std::process::ExitCode;

use clap::Args;

use super::{exit, runtime};
use crate::clock::SharedClock;
use crate::config::{Environment, Overrides, load};
use crate::gomod::ModulePath;
use context::DoctorContext;

/// `larder doctor`.
#[derive(Args)]
pub struct DoctorCommand {
    /// Explain this module: which rule it is under, where it comes from, and what versions there are
    #[arg(value_name = "MODULE[@VERSION]", value_parser = asked_for)]
    module: Option<AskedFor>,
    #[command(flatten)]
    overrides: Overrides,
}

impl DoctorCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        &mut self.overrides
    }
}

/// A module, and which version of it somebody wants to know about.
#[derive(Clone, Debug)]
pub struct AskedFor {
    pub module: ModulePath,
    pub version: Option<String>,
}

/// As people have it at hand: with a version, or as the address of a page.
fn asked_for(text: &str) -> Result<AskedFor, String> {
    let (path, version) = match text.split_once('@') {
        Some((path, version)) => (path, Some(version.to_owned()).filter(|it| !it.is_empty())),
        None => (text, None),
    };
    let module = ModulePath::parse(path).map_err(|error| {
        let bare = path.split_once("://").map_or(path, |(_, rest)| rest);
        let bare = bare.trim_matches('/').trim_end_matches(".git");
        let meant = ModulePath::parse(bare).ok().filter(|_| bare != path);
        let meant = meant.map(|meant| format!("; did you mean {meant}?"));
        format!("{error}{}", meant.unwrap_or_default())
    })?;
    Ok(AskedFor { module, version })
}

pub fn run(command: &DoctorCommand, env: &Environment, clock: &SharedClock) -> ExitCode {
    let loaded = match load(&command.overrides, env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    let runtime = match runtime::small() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    let context = DoctorContext {
        loaded: &loaded,
        env,
        clock,
        folder: folder.path(),
    };
    let report = async {
        match &command.module {
            Some(asked) => module::explain(&context, &asked.module, asked.version.as_deref()).await,
            None => server::report(&context).await,
        }
    };
    match runtime.block_on(report) {
        Ok(healthy) => ExitCode::from(if healthy { 0 } else { exit::OURS }),
        Err(error) => exit::start_error(&error),
    }
}
