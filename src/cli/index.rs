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

    pub fn run(self, context: &OperateContext<'_>) -> ExitCode {
        match self {
            IndexCommand::Rebuild(flags) => run_alone(IndexRebuild {}, &flags, context),
            IndexCommand::Verify { flags, repair } => run(IndexVerify { repair }, &flags, context),
            IndexCommand::Dump { flags, prefix } => run(IndexDump { prefix }, &flags, context),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::admin::{Event, perform};
    use crate::clock::{SharedClock, SystemClock};
    use crate::engine::Inventory;
    use crate::store::DataDir;

    #[tokio::test]
    async fn comparing_ends_when_the_process_is_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let data = DataDir::open(dir.path(), 0, 1 << 20, &clock).unwrap();
        let on = Inventory::of(data.store.clone(), Arc::clone(&clock));
        for is_over in [false, true] {
            let (events, mut reads) = mpsc::channel(8);
            let stop = CancellationToken::new();
            if is_over {
                stop.cancel();
            }
            let by = crate::admin::Performer::default();
            perform(IndexVerify { repair: true }, on.clone(), events, stop, &by).await;
            let end = reads.recv().await.unwrap();
            assert_eq!(matches!(end, Event::Failed(_)), is_over);
            assert_eq!(matches!(end, Event::Done(_)), !is_over);
        }
    }
}
