//! `larder config check|show|print-default`

use std::process::ExitCode;

use clap::Subcommand;

use super::exit;
use crate::app;
use crate::config::{Environment, Overrides, load, print_default, show};

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration: every fault at once, exit code 2 if there is one
    Check(Overrides),
    /// Show the values in effect, as a configuration file
    Show {
        #[command(flatten)]
        overrides: Overrides,
        /// Beside each value, where it comes from
        #[arg(long)]
        sources: bool,
    },
    /// Print a configuration file with every key, its default and what it means
    PrintDefault,
}

impl ConfigCommand {
    pub fn overrides(&mut self) -> Option<&mut Overrides> {
        match self {
            ConfigCommand::Check(overrides) | ConfigCommand::Show { overrides, .. } => {
                Some(overrides)
            }
            ConfigCommand::PrintDefault => None,
        }
    }
}

pub fn run(command: &ConfigCommand, env: &Environment) -> ExitCode {
    let (overrides, sources) = match command {
        ConfigCommand::PrintDefault => {
            say!("{}", print_default().trim_end());
            return ExitCode::SUCCESS;
        }
        ConfigCommand::Check(overrides) => (overrides, None),
        ConfigCommand::Show { overrides, sources } => (overrides, Some(*sources)),
    };
    let loaded = match load(overrides, env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    for warning in &loaded.warnings {
        complain!("warning: {warning}");
    }
    match sources {
        Some(sources) => say!("{}", show(&loaded, sources).trim_end()),
        None => {
            if let Err(error) = app::tls(&loaded) {
                return exit::start_error(&error);
            }
            for remark in app::chain_remarks(&loaded.config) {
                complain!("warning: {remark}");
            }
            match &loaded.file {
                Some(file) => say!("{}: in order", file.display()),
                None => say!(
                    "in order (no configuration file was named; all else is as the defaults, the environment and the flags say)"
                ),
            }
        }
    }
    ExitCode::SUCCESS
}
