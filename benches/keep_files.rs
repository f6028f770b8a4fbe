//! Writes many small files as durably as Larder keeps them and does nothing else: what the disk itself allows, for the
//! benchmark of how fast misses are kept.
//!
//! In groups: each file of a group under a name of its own beside the target folder, one `syncfs`, a rename for each,
//! another `syncfs`. A group of one is synced file by file and folder by folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;

/// Write many small files durably, and report how long that takes
#[derive(Parser)]
#[command(name = "keep-files")]
struct Options {
    /// An empty or new folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// How many; half of them 150 B, half of them 4 KiB
    #[arg(long, default_value_t = 20_000)]
    files: usize,

    /// How many become durable together
    #[arg(long, default_value_t = 256)]
    group: usize,
}

#[allow(
    clippy::disallowed_methods,
    reason = "a program of its own: the rules for the server's clock do not hold here"
)]
fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    ensure!(options.group > 0, "a group has at least one file");
    let staging = options.dir.join("tmp");
    fs::create_dir_all(&staging)?;
    let began = Instant::now();
    let numbers: Vec<usize> = (0..options.files).collect();
    for group in numbers.chunks(options.group) {
        keep(&options.dir, &staging, group)
            .with_context(|| format!("files {:?} and following", group.first()))?;
    }
    println!("seconds={:.4}", began.elapsed().as_secs_f64());
    Ok(())
}

fn keep(dir: &Path, staging: &Path, group: &[usize]) -> anyhow::Result<()> {
    let one_by_one = group.len() == 1;
    for number in group {
        let content = vec![b'x'; if number % 2 == 0 { 150 } else { 4096 }];
        let mut file = File::create(staging.join(number.to_string()))?;
        file.write_all(&content)?;
        if one_by_one {
            file.sync_all()?;
        }
    }
    let root = File::open(dir)?;
    if !one_by_one {
        rustix::fs::syncfs(&root)?;
    }
    for number in group {
        let (module, kind) = (number / 2, if number % 2 == 0 { "info" } else { "mod" });
        let folder = dir.join(format!("modules/bench.example/many{module:05}/@v"));
        fs::create_dir_all(&folder)?;
        fs::rename(
            staging.join(number.to_string()),
            folder.join(format!("v1.0.0.{kind}")),
        )?;
        if one_by_one {
            File::open(&folder)?.sync_all()?;
        }
    }
    if !one_by_one {
        rustix::fs::syncfs(&root)?;
    }
    Ok(())
}
