//! `larder token new|list|revoke`

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::flags::Flags;
use super::operate::{OperateContext, run};
use super::show::{Form, Show};
use crate::admin::{
    MadeToken, Never, RevokedToken, TokenList, TokenNew, TokenRevoke, TokenRotate, TokenTable,
};
use crate::config::Overrides;
use crate::gomod::Patterns;
use crate::identity::TokenName;

/// A shorter life is a slip of the pen.
const SHORTEST: Duration = Duration::from_secs(60);
/// Characters.
const LONGEST_NOTE: usize = 200;

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once, as the last word
    New {
        #[command(flatten)]
        flags: Flags,
        /// What to call it: up to 64 letters, digits, dots, underscores and hyphens
        name: TokenName,
        /// How long it opens anything, such as 90d; without this, until it is revoked
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
        /// The modules that it opens, written as GOPRIVATE; may be given several times; without this, all
        #[arg(long, value_name = "PATTERNS", value_parser = patterns)]
        read: Vec<String>,
        /// What there is to say of it: who has it, and what for
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: Option<String>,
    },
    /// Make a token in the place of another one, which goes on for a while, and print it as the last word
    Rotate {
        #[command(flatten)]
        flags: Flags,
        /// What it is called
        name: TokenName,
        /// How long the old one goes on; 0s for not at all
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "24h")]
        overlap: Duration,
        /// How long the new one opens anything; without this, as long as the old one was made for
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
    },
    /// Print the names of the tokens there are
    List(Flags),
    /// End a token
    Revoke {
        #[command(flatten)]
        flags: Flags,
        /// What it is called
        name: TokenName,
    },
}

impl TokenCommand {
    pub fn overrides(&mut self) -> &mut Overrides {
        match self {
            TokenCommand::New { flags, .. }
            | TokenCommand::Rotate { flags, .. }
            | TokenCommand::List(flags)
            | TokenCommand::Revoke { flags, .. } => &mut flags.overrides,
        }
    }

    pub fn run(self, context: &OperateContext<'_>) -> ExitCode {
        match self {
            TokenCommand::New {
                flags,
                name,
                expires,
                read,
                note,
            } => {
                let new = TokenNew {
                    name,
                    lifetime: expires.map(|lifetime| lifetime.as_secs()),
                    read: (!read.is_empty()).then(|| read.join(",")),
                    note,
                };
                run(new, &flags, context)
            }
            TokenCommand::Rotate {
                flags,
                name,
                overlap,
                expires,
            } => {
                let rotate = TokenRotate {
                    name,
                    overlap: overlap.as_secs(),
                    lifetime: expires.map(|lifetime| lifetime.as_secs()),
                };
                run(rotate, &flags, context)
            }
            TokenCommand::List(flags) => run(TokenList {}, &flags, context),
            TokenCommand::Revoke { flags, name } => run(TokenRevoke { name }, &flags, context),
        }
    }
}

impl Show for TokenNew {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), made: &MadeToken) -> Vec<String> {
        shown_once(made)
    }
}

impl Show for TokenRotate {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), made: &MadeToken) -> Vec<String> {
        shown_once(made)
    }
}

/// The token is the last word: scripts take it from there.
fn shown_once(made: &MadeToken) -> Vec<String> {
    let until = made.expires.map(|at| format!(" until {at}"));
    let about = format!(
        "the token of {}, shown this once; clients send it as a password{}:",
        made.name,
        until.unwrap_or_default()
    );
    vec![about, made.token.clone()]
}

/// A time that a token can live for.
fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match lifetime >= SHORTEST {
        true => Ok(lifetime),
        false => Err("a token lives for a minute at least".to_owned()),
    }
}

/// Patterns that can match something.
fn patterns(text: &str) -> Result<String, String> {
    let text = Patterns::tidy(text);
    match Patterns::faults(&text).first() {
        Some(fault) => Err(fault.to_string()),
        None if Patterns::parse(&text).is_empty() => {
            Err("there is no pattern; write it as git.example.com/team".to_owned())
        }
        None => Ok(text),
    }
}

/// A line for people.
fn note(text: &str) -> Result<String, String> {
    match text.chars().count() <= LONGEST_NOTE && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a note is one line of {LONGEST_NOTE} characters at most"
        )),
    }
}

impl Show for TokenList {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), known: &TokenTable) -> Vec<String> {
        if known.tokens.is_empty() {
            return vec!["there are no tokens".to_owned()];
        }
        let lines = known.tokens.iter().map(|token| {
            let about = match token.created {
                Some(created) => {
                    let expires = token.expires.map(|at| match token.expired {
                        true => format!(", expired {at}"),
                        false => format!(", expires {at}"),
                    });
                    let replaced = token.replaced_until;
                    let replaced =
                        replaced.map(|at| format!(", the one before goes on until {at}"));
                    let used = match token.last_used {
                        Some(day) => format!(", last used {}", day.date()),
                        None => ", never used".to_owned(),
                    };
                    let read = token.read.as_ref().map(|read| format!(", for {read}"));
                    let note = token.note.as_ref().map(|note| format!(": {note}"));
                    format!(
                        "made {created}{}{}{used}{}{}",
                        expires.unwrap_or_default(),
                        replaced.unwrap_or_default(),
                        read.unwrap_or_default(),
                        note.unwrap_or_default()
                    )
                }
                None => "its record is damaged; revoke it and make another one".to_owned(),
            };
            format!("{}  {about}", token.name)
        });
        lines.collect()
    }
}

impl Show for TokenRevoke {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), revoked: &RevokedToken) -> Vec<String> {
        vec![format!(
            "{}: its token opens nothing any more",
            revoked.name
        )]
    }
}
