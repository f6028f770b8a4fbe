//! The `larder` command: picks the TLS provider, parses the command line, and leaves the rest to the library.

use std::process::ExitCode;

use clap::Parser;
use larder::cli::Cli;

fn main() -> ExitCode {
    larder::upstream::install_crypto();
    larder::cli::run(Cli::parse())
}
