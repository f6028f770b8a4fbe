//! `larder index rebuild|verify|dump`

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::{exit, runtime, whereabouts};
use crate::clock::SharedClock;
use crate::config::{Environment, Overrides, load};
use crate::control::Grouped;
use crate::store::catalog::Query;
use crate::store::rebuild::{self, Summary};
use crate::store::walk::Progress;
use crate::store::{DataDir, FactKind, StoreError, Totals};

#[derive(Subcommand)]
pub enum IndexCommand {
    /// Make the index anew from the files: after damage, or after copying a GOMODCACHE's cache/download into modules/
    Rebuild(Overrides),
    /// Read every kept file and compare it with what was recorded
    Verify {
        #[command(flatten)]
        overrides: Overrides,
        /// Remove what is not in order, so that it is fetched again
        #[arg(long)]
        repair: bool,
    },
    /// Print the index, a record a line: key, tab, JSON
    Dump {
        #[command(flatten)]
        overrides: Overrides,
        /// Only keys that start with this, such as file/example.com/
        #[arg(long, default_value = "")]
        prefix: String,
    },
}

impl IndexCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            IndexCommand::Rebuild(overrides)
            | IndexCommand::Verify { overrides, .. }
            | IndexCommand::Dump { overrides, .. } => overrides,
        }
    }
}

pub fn run(command: &IndexCommand, env: &Environment, clock: &SharedClock) -> ExitCode {
    let overrides = match command {
        IndexCommand::Rebuild(overrides)
        | IndexCommand::Verify { overrides, .. }
        | IndexCommand::Dump { overrides, .. } => overrides,
    };
    let loaded = match load(overrides, env) {
        Ok(loaded) => loaded,
        Err(errors) => return exit::config(&errors),
    };
    let store = &loaded.config.store;
    let runtime = match runtime::small() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::OURS, &error),
    };
    runtime.block_on(async {
        if !store.data_dir.is_dir() {
            return exit::fail(exit::DATA_DIR, &whereabouts::missing(&loaded).await);
        }
        let open = match command {
            IndexCommand::Rebuild(_) | IndexCommand::Verify { repair: true, .. } => {
                DataDir::open_to_change
            }
            IndexCommand::Verify { .. } | IndexCommand::Dump { .. } => DataDir::open,
        };
        let data = match open(&store.data_dir, store.reserve, store.index_cache, clock) {
            Ok(data) => data,
            Err(error) => return exit::data_dir_error(&error),
        };
        complain!("larder: data directory {}", whereabouts::named(&loaded));
        if let Some(text) = whereabouts::elsewhere(&loaded).await {
            complain!("larder: warning: {text}");
        }
        let done = match command {
            IndexCommand::Rebuild(_) => rebuild_index(&data, clock).await,
            IndexCommand::Verify { repair, .. } => verify(&data, *repair).await,
            IndexCommand::Dump { prefix, .. } => dump(&data, prefix).await,
        };
        data.store.close().await;
        match done {
            Ok(code) => code,
            Err(error) => exit::fail(exit::OURS, &error),
        }
    })
}

async fn rebuild_index(data: &DataDir, clock: &SharedClock) -> Result<ExitCode, StoreError> {
    let bar = spinner();
    let summary = rebuild::rebuild(&data.store, clock, |seen| told(&bar, seen)).await?;
    bar.finish_and_clear();
    print_bad(&summary, "left out");
    if summary.unknown > 0 {
        say!(
            "not in the layout of the go command's download cache, and left alone: {} files, such as {}",
            summary.unknown,
            summary.unknown_such_as.join(", ")
        );
        say!(
            "What is to be taken over lies in modules/ as MODULE/@v/VERSION.info, .mod and .zip: what is below cache/download in a GOMODCACHE."
        );
    }
    say!(
        "{} files recorded, {} left out, {} records without a file dropped, {} lists taken over",
        summary.good,
        summary.bad.len() as u64 + summary.unknown,
        summary.gone,
        summary.lists
    );
    // Nothing at all is not what anybody wanted.
    Ok(if summary.good == 0 && summary.unknown > 0 {
        ExitCode::from(exit::OURS)
    } else {
        ExitCode::SUCCESS
    })
}

async fn verify(data: &DataDir, repair: bool) -> Result<ExitCode, StoreError> {
    let Totals { files, bytes, .. } = data.store.totals();
    let bar = bar(bytes);
    let summary = rebuild::verify(&data.store, repair, |seen| told(&bar, seen)).await?;
    bar.finish_and_clear();
    print_bad(&summary, if repair { "removed" } else { "bad" });
    say!(
        "{files} files, {} in order, {} not",
        summary.good,
        summary.bad.len()
    );
    Ok(if summary.bad.is_empty() || repair {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::OURS)
    })
}

fn told(bar: &ProgressBar, seen: &Progress) -> bool {
    bar.set_position(seen.bytes);
    bar.set_message(format!("{} files: {}", seen.files, seen.current));
    true
}

fn print_bad(summary: &Summary, word: &'static str) {
    let mut grouped = Grouped::default();
    for (name, why) in &summary.bad {
        if let Some(line) = grouped.line(word, name, why, std::slice::from_ref(name)) {
            say!("{line}");
        }
    }
    for line in grouped.rest() {
        say!("{line}");
    }
}

/// Shown on a terminal only.
fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {bytes} {wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn dump(data: &DataDir, prefix: &str) -> Result<ExitCode, StoreError> {
    const PAGE: usize = 1000;
    let mut out = BufWriter::new(io::stdout());
    let is_wanted = |name: &str| name.starts_with(prefix);
    for kind in FactKind::ALL {
        // What is asked for may be a part of a kind, or several kinds.
        let (kinds, wanted) = (kind.prefix(), prefix);
        if !wanted.starts_with(kinds) && !kinds.starts_with(wanted) {
            continue;
        }
        let mut after = None;
        loop {
            let query = Query::All(kind);
            let page = data
                .store
                .catalog()
                .page(&query, after.as_ref(), PAGE)
                .await?;
            let facts = page.facts.iter().map(|fact| (fact.key().to_string(), fact));
            let facts = facts.filter(|(name, _)| is_wanted(name));
            let lines = facts.map(|(name, fact)| format!("{name}\t{}", fact.to_json()));
            let damaged = page.damaged.iter().map(|name| format!("{name}\t(damaged)"));
            if lines
                .chain(damaged)
                .try_for_each(|line| writeln!(out, "{line}"))
                .is_err()
            {
                // Whoever read has gone (`| head`).
                return Ok(ExitCode::SUCCESS);
            }
            match page.next {
                Some(_) => after = page.next,
                None => break,
            }
        }
    }
    // As above, to the end.
    if is_wanted("totals") {
        let totals = serde_json::json!(data.store.totals());
        let _ = writeln!(out, "totals\t{totals}");
    }
    let _ = out.flush();
    Ok(ExitCode::SUCCESS)
}
