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

mod config;
mod doctor;
mod doctor_module;
mod exit;
mod index;
mod operate;
mod serve;
mod usage;
mod whereabouts;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::clock::{SharedClock, SystemClock};
use crate::config::{Environment, Overrides};

/// A caching Go module proxy: fetched once, verified, kept, and served when the world outside does not answer.
#[derive(Parser)]
#[command(
    name = "larder",
    version,
    about,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 something is wrong, 2 usage or configuration, 3 address taken or not permitted, \
                  4 data directory unusable or held by another process."
)]
pub struct Cli {
    /// Flags before the command; those behind it go before them.
    #[command(flatten)]
    before: Overrides,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve modules; `larder serve` alone is enough to begin with
    Serve(Overrides),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what this server would use, whether it can be reached, and how clients are set up
    Doctor(doctor::DoctorCommand),
    /// Look after the index of what is kept (the server must be stopped)
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// Look after the checksums to which modules are held that no checksum database covers
    #[command(subcommand)]
    FirstSeen(operate::FirstSeenCommand),
    /// Look after the tokens of those who may have private modules
    #[command(subcommand)]
    Token(operate::TokenCommand),
    /// Look after the checksum databases, and verify what is kept with them
    #[command(subcommand)]
    Sumdb(operate::SumdbCommand),
    /// Print the version
    Version,
}

impl Command {
    /// The flags that make the configuration, if the command needs one.
    fn overrides(&mut self) -> Option<&mut Overrides> {
        match self {
            Command::Serve(overrides) => Some(overrides),
            Command::Config(command) => command.overrides(),
            Command::Doctor(command) => Some(command.overrides()),
            Command::Index(command) => Some(command.overrides()),
            Command::FirstSeen(command) => Some(command.overrides()),
            Command::Token(command) => Some(command.overrides()),
            Command::Sumdb(command) => Some(command.overrides()),
            Command::Version => None,
        }
    }
}

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
    match cli.command {
        Command::Serve(overrides) => serve::run(&overrides, &env, clock),
        Command::Config(command) => config::run(&command, &env),
        Command::Doctor(command) => doctor::run(&command, &env, &clock),
        Command::Index(command) => index::run(&command, &env, &clock),
        Command::FirstSeen(command) => operate::first_seen(&command, &env, &clock),
        Command::Token(command) => operate::token(&command, &env, &clock),
        Command::Sumdb(command) => operate::sumdb(&command, &env, &clock),
        Command::Version => {
            say!("larder {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

/// A runtime for commands that only pass by.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
