//! `larder sumdb verify|status|acknowledge`

use std::process::ExitCode;

use clap::Subcommand;

use super::flags::Flags;
use super::grouped::Grouped;
use super::operate::{OperateContext, run};
use super::show::{Form, Show};
use crate::admin::{
    AcknowledgedDatabase, DatabaseState, DatabaseStates, DoubtfulFile, FileVerdict, Never,
    SumdbAcknowledge, SumdbStatus, SumdbVerify, VerifiedFiles,
};
use crate::config::Overrides;

#[derive(Subcommand)]
pub enum SumdbCommand {
    /// Verify everything that is kept: its content, and what the checksum databases say of it
    Verify {
        #[command(flatten)]
        flags: Flags,
        /// Drop what is wrong, so that it is fetched again
        #[arg(long)]
        repair: bool,
    },
    /// Print tree heads, last contact and alarms of the checksum databases
    Status(Flags),
    /// End the alarms of a checksum database, once you know what they mean
    Acknowledge {
        #[command(flatten)]
        flags: Flags,
        /// The database, as sum.golang.org
        name: String,
        /// Forget its history as well: for a database of your own that was made anew
        #[arg(long)]
        begin_anew: bool,
    },
}

impl SumdbCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            SumdbCommand::Verify { flags, .. }
            | SumdbCommand::Status(flags)
            | SumdbCommand::Acknowledge { flags, .. } => &mut flags.overrides,
        }
    }

    pub fn run(self, context: &OperateContext<'_>) -> ExitCode {
        match self {
            SumdbCommand::Verify { flags, repair } => run(SumdbVerify { repair }, &flags, context),
            SumdbCommand::Status(flags) => run(SumdbStatus {}, &flags, context),
            SumdbCommand::Acknowledge {
                flags,
                name,
                begin_anew,
            } => run(SumdbAcknowledge { name, begin_anew }, &flags, context),
        }
    }
}

impl Show for SumdbStatus {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), states: &DatabaseStates) -> Vec<String> {
        if states.databases.is_empty() {
            return vec!["no checksum database is configured: what is kept is held to the checksums seen first".to_owned()];
        }
        states.databases.iter().flat_map(state).collect()
    }
}

fn state(database: &DatabaseState) -> Vec<String> {
    let size = database
        .records
        .map_or("no tree head yet".to_owned(), |records| {
            format!("{records} records")
        });
    let heard = database
        .last_contact
        .map_or("not since the start".to_owned(), |time| time.to_string());
    let mut lines = vec![
        database.name.clone(),
        format!("  tree          {size}"),
        format!("  last contact  {heard}"),
    ];
    if database.alarms.is_empty() {
        lines.push("  alarms        none".to_owned());
    }
    for alarm in &database.alarms {
        let known = if alarm.acknowledged {
            ", acknowledged"
        } else {
            ""
        };
        lines.push(format!(
            "  ALARM         {} since {}{known}",
            alarm.kind, alarm.since
        ));
        let text = alarm.text.lines();
        lines.extend(text.map(|line| format!("                {line}")));
    }
    let head = database.head.iter().flat_map(|head| head.split('\n'));
    lines.extend(head.map(|line| format!("  | {line}").trim_end().to_owned()));
    lines
}

impl Show for SumdbVerify {
    const FORM: Form = Form::Report;
    type Seen = Grouped;

    fn item(seen: &mut Grouped, doubtful: &DoubtfulFile) -> Option<String> {
        let word = match doubtful.verdict {
            FileVerdict::Wrong if doubtful.removed => "WRONG, removed",
            FileVerdict::Wrong => "WRONG",
            FileVerdict::Untrusted => "NOT TRUSTED",
            FileVerdict::Unknown => "not known",
            FileVerdict::Unavailable => "not verified",
        };
        // The version, as in requests and as people write it.
        let escaped = doubtful.file.replacen("/@v/", "@", 1);
        let escaped = escaped.rsplit_once('.').map_or("", |(version, _)| version);
        let names = [
            doubtful.file.clone(),
            escaped.to_owned(),
            format!("{}@{}", doubtful.module, doubtful.version),
        ];
        seen.line(word, &doubtful.file, &doubtful.reason, &names)
    }

    fn done(seen: &Grouped, done: &VerifiedFiles) -> Vec<String> {
        let mut lines = seen.rest();
        if done.untrusted > 0 {
            lines.push(format!(
                "{} files could not be verified, because what came from the checksum database is not what it has signed: larder sumdb status",
                done.untrusted
            ));
        }
        let names = match done.databases.as_slice() {
            [] => "a checksum database".to_owned(),
            names => names.join(", "),
        };
        lines.push(format!(
            "{} files: {} vouched for by {names}, {} as first seen, {} wrong, {} not known to the database, {} could not be asked about",
            done.files, done.verified, done.first_seen, done.wrong, done.unknown, done.unavailable
        ));
        lines
    }
}

impl Show for SumdbAcknowledge {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), done: &AcknowledgedDatabase) -> Vec<String> {
        let name = &done.name;
        let mut lines = vec![format!("{name}: {} alarms acknowledged", done.alarms)];
        if done.begun_anew {
            lines.push(format!(
                "{name}: its history is forgotten; the next head that comes begins a new one"
            ));
        }
        lines
    }
}
