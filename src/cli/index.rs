//! `larder index rebuild|verify|dump`

use std::process::ExitCode;

use clap::Subcommand;

use super::flags::Flags;
use super::grouped::Grouped;
use super::operate::{OperateContext, run, run_alone};
use super::show::{Form, Show};
use crate::admin::{
    DumpedFact, FlawedFile, IndexDump, IndexRebuild, IndexVerify, LeftOutFile, Listed,
    RebuiltIndex, VerifiedIndex,
};
use crate::config::Overrides;

#[derive(Subcommand)]
pub enum IndexCommand {
    /// Make the index anew from the files: after damage, or after copying a GOMODCACHE's cache/download into modules/ (the
    /// server must be stopped)
    Rebuild(Flags),
    /// Read every kept file and compare it with what was recorded
    Verify {
        #[command(flatten)]
        flags: Flags,
        /// Remove what is not in order, so that it is fetched again
        #[arg(long)]
        repair: bool,
    },
    /// Print the index, a record a line: key, tab, JSON
    Dump {
        #[command(flatten)]
        flags: Flags,
        /// Only keys that start with this, such as file/example.com/
        #[arg(long, default_value = "")]
        prefix: String,
    },
}

impl IndexCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            IndexCommand::Rebuild(flags)
            | IndexCommand::Verify { flags, .. }
            | IndexCommand::Dump { flags, .. } => &mut flags.overrides,
        }
    }

    pub fn run(self, world: &OperateContext<'_>) -> ExitCode {
        match self {
            IndexCommand::Rebuild(flags) => run_alone(IndexRebuild {}, &flags, world),
            IndexCommand::Verify { flags, repair } => run(IndexVerify { repair }, &flags, world),
            IndexCommand::Dump { flags, prefix } => run(IndexDump { prefix }, &flags, world),
        }
    }
}

impl Show for IndexDump {
    const FORM: Form = Form::Items;
    type Seen = ();

    fn item((): &mut (), fact: &DumpedFact) -> Option<String> {
        let value = fact.value.as_ref().map_or("(damaged)", |value| value.get());
        Some(format!("{}\t{value}", fact.key))
    }

    fn done((): &(), _: &Listed) -> Vec<String> {
        Vec::new()
    }
}

impl Show for IndexVerify {
    const FORM: Form = Form::Report;
    type Seen = Grouped;

    fn item(seen: &mut Grouped, flawed: &FlawedFile) -> Option<String> {
        let word = if flawed.removed { "removed" } else { "bad" };
        let name = &flawed.file;
        seen.line(word, name, &flawed.reason, std::slice::from_ref(name))
    }

    fn done(seen: &Grouped, done: &VerifiedIndex) -> Vec<String> {
        let mut lines = seen.rest();
        lines.push(format!(
            "{} files, {} in order, {} not",
            done.files, done.in_order, done.not_in_order
        ));
        lines
    }
}

impl Show for IndexRebuild {
    const FORM: Form = Form::Report;
    type Seen = Grouped;

    fn item(seen: &mut Grouped, left_out: &LeftOutFile) -> Option<String> {
        let name = &left_out.file;
        seen.line(
            "left out",
            name,
            &left_out.reason,
            std::slice::from_ref(name),
        )
    }

    fn done(seen: &Grouped, done: &RebuiltIndex) -> Vec<String> {
        let mut lines = seen.rest();
        if done.unknown > 0 {
            lines.push(format!(
                "not in the layout of the go command's download cache, and left alone: {} files, such as {}",
                done.unknown,
                done.unknown_such_as.join(", ")
            ));
            lines.push("What is to be taken over lies in modules/ as MODULE/@v/VERSION.info, .mod and .zip: what is below cache/download in a GOMODCACHE.".to_owned());
        }
        let unknown = match done.unknown {
            0 => String::new(),
            unknown => format!(" ({unknown} of them in another layout)"),
        };
        lines.push(format!(
            "{} files recorded, {} left out{unknown}, {} records without a file dropped, {} lists taken over",
            done.recorded,
            done.left_out + done.unknown,
            done.dropped,
            done.lists
        ));
        lines
    }
}
