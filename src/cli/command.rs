//! The commands and their flags.

use clap::{Parser, Subcommand};

use super::auth::AuthCommand;
use super::config::ConfigCommand;
use super::doctor::DoctorCommand;
use super::first_seen::FirstSeenCommand;
use super::flags::Flags;
use super::index::IndexCommand;
use super::sumdb::SumdbCommand;
use super::token::TokenCommand;
use crate::config::Overrides;

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
    pub before: Overrides,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve modules; `larder serve` alone is enough to begin with
    Serve(Overrides),
    /// Have the running server read its configuration again: all of it is put in force, or nothing
    Reload(Flags),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what this server would use, whether it can be reached, and how clients are set up
    Doctor(DoctorCommand),
    /// Look after the index of what is kept
    #[command(subcommand)]
    Index(IndexCommand),
    /// Look after the checksums to which modules are held that no checksum database covers
    #[command(subcommand)]
    FirstSeen(FirstSeenCommand),
    /// Look after the tokens of those who may have private modules
    #[command(subcommand)]
    Token(TokenCommand),
    /// On clients: give the go command a token, as GOAUTH="larder auth URL"
    Auth(AuthCommand),
    /// Look after the checksum databases, and verify what is kept with them
    #[command(subcommand)]
    Sumdb(SumdbCommand),
    /// Print the version
    Version,
}

impl Command {
    /// The flags that make the configuration, if the command needs one.
    pub fn overrides(&mut self) -> Option<&mut Overrides> {
        match self {
            Command::Serve(overrides) => Some(overrides),
            Command::Reload(flags) => Some(&mut flags.overrides),
            Command::Config(command) => command.overrides(),
            Command::Doctor(command) => Some(command.overrides()),
            Command::Index(command) => Some(command.overrides()),
            Command::FirstSeen(command) => Some(command.overrides()),
            Command::Token(command) => Some(command.overrides()),
            Command::Sumdb(command) => Some(command.overrides()),
            Command::Auth(_) | Command::Version => None,
        }
    }
}
