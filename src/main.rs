//! The `larder` command: picks the TLS provider, parses the command line, and leaves the rest to the library.

use std::process::ExitCode;

/// The system's allocator keeps what a burst of misses took; this one gives it back (`.cargo/config.toml` says how soon).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    larder::upstream::install_crypto();
    larder::cli::main()
}
