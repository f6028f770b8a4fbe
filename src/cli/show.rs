//! How what operations tell is printed: as text for people, or as JSON for programs.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::exit;
use crate::admin::{AdminError, Event, EventOf, Operation, OperationProgress};

/// Programs are told how far it is so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What is printed as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value at the end, as one document.
    Document,
    /// The items, an object a line.
    Items,
    /// `{"item": …}`, `{"progress": …}` and at the end `{"done": …}`, an object a line.
    Report,
}

/// How the values of an operation look.
pub trait Show: Operation {
    /// As JSON.
    const FORM: Form;
    /// What of the items is needed at the end.
    type Seen: Default;

    /// An item as text, if it is told.
    fn item(seen: &mut Self::Seen, item: &Self::Item) -> Option<String>;

    /// The lines at the end.
    fn done(seen: &Self::Seen, output: &Self::Output) -> Vec<String>;
}

/// Why something was not printed.
enum Unprinted {
    /// Whoever reads has gone (`| head`), so nobody misses it.
    Gone,
    /// It cannot be written, as on a full disk.
    Failed(io::Error),
}

impl From<io::Error> for Unprinted {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Unprinted::Gone,
            _ => Unprinted::Failed(error),
        }
    }
}

/// Prints the events of an operation; gives the exit code.
pub async fn told<O: Show>(
    mut events: mpsc::Receiver<EventOf<O>>,
    json: bool,
    only_reads: bool,
) -> ExitCode {
    let mut printer = Printer::<O>::new(json);
    let mut unprinted = None;
    let end = loop {
        let event = events.recv().await.unwrap_or_else(|| {
            let text = "the server ended before the command did";
            Event::Failed(AdminError::internal(text))
        });
        let mut printed = printer.event(&event);
        if events.is_empty() {
            printed = printed.and_then(|()| printer.flush());
        }
        match printed {
            Ok(()) => {}
            Err(Unprinted::Gone) if only_reads => return ExitCode::SUCCESS,
            // What changes something is carried out all the same.
            Err(Unprinted::Gone) => {}
            Err(Unprinted::Failed(error)) if only_reads => return not_printed(&error),
            Err(Unprinted::Failed(error)) => unprinted = unprinted.or(Some(error)),
        }
        match event {
            Event::Done(output) => break Ok(output),
            Event::Failed(error) => break Err(error),
            Event::Item(_) | Event::Progress(_) => {}
        }
    };
    match (end, unprinted) {
        (Err(error), _) => exit::admin_error(&error),
        (Ok(_), Some(error)) => not_printed(&error),
        (Ok(output), None) if O::is_well(&output) => ExitCode::SUCCESS,
        (Ok(_), None) => ExitCode::from(exit::OURS),
    }
}

fn not_printed(error: &io::Error) -> ExitCode {
    exit::fail(
        exit::OURS,
        &format!("standard output cannot be written: {error}"),
    )
}

struct Printer<O: Show> {
    json: bool,
    out: BufWriter<Stdout>,
    seen: O::Seen,
    bar: Option<ProgressBar>,
    told: Option<Instant>,
}

impl<O: Show> Printer<O> {
    fn new(json: bool) -> Self {
        Printer {
            json,
            out: BufWriter::new(io::stdout()),
            seen: O::Seen::default(),
            bar: None,
            told: None,
        }
    }

    fn event(&mut self, event: &EventOf<O>) -> Result<(), Unprinted> {
        match event {
            Event::Item(item) if self.json => match O::FORM {
                Form::Document => Ok(()),
                Form::Items => self.value(item),
                Form::Report => self.value(&json!({ "item": item })),
            },
            Event::Item(item) => match O::item(&mut self.seen, item) {
                Some(line) => self.line(&line),
                None => Ok(()),
            },
            Event::Progress(progress) => self.progress(progress),
            Event::Done(output) => {
                self.end_bar();
                match (self.json, O::FORM) {
                    (false, _) => {
                        let lines = O::done(&self.seen, output);
                        lines.iter().try_for_each(|line| self.line(line))
                    }
                    (true, Form::Document) => self.value(output),
                    (true, Form::Items) => Ok(()),
                    (true, Form::Report) => self.value(&json!({ "done": output })),
                }
            }
            Event::Failed(error) => {
                self.end_bar();
                match self.json {
                    true => self.value(&json!({ "error": error })),
                    false => Ok(()),
                }
            }
        }
    }

    fn value(&mut self, value: &impl Serialize) -> Result<(), Unprinted> {
        // Values have no way to fail.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.line(&text)
    }

    fn line(&mut self, line: &str) -> Result<(), Unprinted> {
        let out = &mut self.out;
        let written = match &self.bar {
            Some(bar) => bar.suspend(|| writeln!(out, "{line}").and_then(|()| out.flush())),
            None => writeln!(out, "{line}"),
        };
        Ok(written?)
    }

    fn flush(&mut self) -> Result<(), Unprinted> {
        Ok(self.out.flush()?)
    }

    fn progress(&mut self, progress: &OperationProgress) -> Result<(), Unprinted> {
        if self.json {
            let due = self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
            if O::FORM != Form::Report || !due {
                return Ok(());
            }
            self.told = Some(Instant::now());
            return self.value(&json!({ "progress": progress }));
        }
        // Shown on a terminal only.
        if !io::stderr().is_terminal() {
            return Ok(());
        }
        let bar = self.bar.get_or_insert_with(|| bar(progress));
        match progress.bytes {
            Some(bytes) => {
                bar.set_position(bytes);
                bar.set_message(format!("{} files: {}", progress.files, progress.current));
            }
            None => {
                bar.set_position(progress.files);
                bar.set_message(progress.current.clone());
            }
        }
        Ok(())
    }

    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl<O: Show> Drop for Printer<O> {
    fn drop(&mut self) {
        self.end_bar();
    }
}

fn bar(progress: &OperationProgress) -> ProgressBar {
    let in_all = match progress.bytes {
        Some(_) => progress.bytes_in_all,
        None => progress.files_in_all,
    };
    let (bar, template) = match (in_all, progress.bytes) {
        (None, _) => (ProgressBar::new_spinner(), "{spinner} {bytes} {wide_msg}"),
        (Some(in_all), Some(_)) => (
            ProgressBar::new(in_all),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}",
        ),
        (Some(in_all), None) => (ProgressBar::new(in_all), "{bar:30} {pos}/{len} {wide_msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
