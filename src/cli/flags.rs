//! Flags that the commands about what is kept have in common.

use clap::Args;

use crate::config::Overrides;

// A comment that documents would become the description of the commands that have the flags.
#[derive(Args)]
#[command(about = None, long_about = None)]
pub struct Flags {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Print JSON for programs: one document, or an object a line
    #[arg(long)]
    pub json: bool,
}
