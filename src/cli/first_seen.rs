//! `larder first-seen list|accept|remove`

use std::process::ExitCode;

use clap::Subcommand;

use super::flags::Flags;
use super::operate::{OperateContext, run};
use super::show::{Form, Show};
use crate::admin::{
    ChangedVersion, FirstSeenAccept, FirstSeenList, FirstSeenRemove, HeldFile, Listed,
    ModuleVersion, Never,
};
use crate::config::Overrides;

#[derive(Subcommand)]
pub enum FirstSeenCommand {
    /// Print the checksums to which modules are held that no checksum database covers
    List(Flags),
    /// Take whatever is fetched next for a version, and hold it to that from then on
    Accept {
        #[command(flatten)]
        flags: Flags,
        /// The version, as example.com/module@v1.2.3
        #[arg(value_name = "PATH@VERSION")]
        version: ModuleVersion,
    },
    /// Forget to which checksums a version is held
    Remove {
        #[command(flatten)]
        flags: Flags,
        /// The version, as example.com/module@v1.2.3
        #[arg(value_name = "PATH@VERSION")]
        version: ModuleVersion,
    },
}

impl FirstSeenCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            FirstSeenCommand::List(flags)
            | FirstSeenCommand::Accept { flags, .. }
            | FirstSeenCommand::Remove { flags, .. } => &mut flags.overrides,
        }
    }

    pub fn run(self, context: &OperateContext<'_>) -> ExitCode {
        match self {
            FirstSeenCommand::List(flags) => run(FirstSeenList {}, &flags, context),
            FirstSeenCommand::Accept { flags, version } => {
                run(FirstSeenAccept { version }, &flags, context)
            }
            FirstSeenCommand::Remove { flags, version } => {
                run(FirstSeenRemove { version }, &flags, context)
            }
        }
    }
}

impl Show for FirstSeenList {
    const FORM: Form = Form::Items;
    type Seen = ();

    fn item((): &mut (), held: &HeldFile) -> Option<String> {
        // As in go.sum.
        let suffix = if held.file == "mod" { "/go.mod" } else { "" };
        let mut notes = String::new();
        if held.unknown_to_database {
            notes.push_str("  (not known to the checksum database)");
        }
        if held.change_accepted {
            notes.push_str("  (a change is accepted)");
        }
        Some(format!(
            "{} {}{suffix} {}  first seen {} from {}{notes}",
            held.module, held.version, held.h1, held.first_seen, held.from
        ))
    }

    fn done((): &(), listed: &Listed) -> Vec<String> {
        match listed.count {
            0 => vec!["nothing is held to a first-seen checksum".to_owned()],
            _ => Vec::new(),
        }
    }
}

impl Show for FirstSeenAccept {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), changed: &ChangedVersion) -> Vec<String> {
        vec![format!(
            "{}@{}: what is fetched next is accepted, and held to from then on; what was kept of it is dropped",
            changed.module, changed.version
        )]
    }
}

impl Show for FirstSeenRemove {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), changed: &ChangedVersion) -> Vec<String> {
        vec![format!(
            "{}@{}: its first-seen checksums are forgotten",
            changed.module, changed.version
        )]
    }
}
