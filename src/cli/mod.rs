//! The command line: one file per command.

/// Writes a line to standard output. Whoever reads may have gone (`| head`), and then there is nobody to tell.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The same, to standard error.
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod auth;
mod command;
mod config;
mod doctor;
mod exit;
mod first_seen;
mod flags;
mod grouped;
mod index;
mod operate;
mod reload;
mod runtime;
mod serve;
mod show;
mod sumdb;
mod token;
mod usage;
mod whereabouts;

use std::process::ExitCode;
use std::sync::Arc;

use crate::admin::ConfigReload;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Environment;
use command::{Cli, Command};
use operate::OperateContext;

/// Reads the command line of this process and does what it says.
pub fn main() -> ExitCode {
    match usage::parse(std::env::args_os().collect()) {
        Ok(cli) => run(cli),
        Err(error) => {
            // Whoever reads may have gone.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::CONFIG))
        }
    }
}

/// Runs the command that was given.
fn run(cli: Cli) -> ExitCode {
    let env: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let clock: SharedClock = Arc::new(SystemClock);
    let context = OperateContext {
        env: &env,
        clock: &clock,
    };
    match cli.command {
        Command::Serve(overrides) => serve::run(&overrides, &env, clock),
        Command::Config(command) => config::run(&command, &env),
        Command::Doctor(command) => doctor::run(&command, &env, &clock),
        Command::Index(command) => command.run(&context),
        Command::FirstSeen(command) => command.run(&context),
        Command::Token(command) => command.run(&context),
        Command::Sumdb(command) => command.run(&context),
        Command::Auth(command) => command.run(&env),
        Command::Reload(flags) => operate::run(ConfigReload {}, &flags, &context),
        Command::Version => {
            say!("larder {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}
