//! The `larder` command: picks the TLS provider, parses the command line, and leaves the rest to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    larder::upstream::install_crypto();
    larder::cli::main()
}
