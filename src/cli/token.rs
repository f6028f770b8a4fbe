//! `larder token new|list|revoke`

use std::process::ExitCode;

use clap::Subcommand;

use super::flags::Flags;
use super::operate::{OperateContext, run};
use super::show::{Form, Show};
use crate::admin::{MadeToken, Never, RevokedToken, TokenList, TokenNew, TokenRevoke, TokenTable};
use crate::config::Overrides;
use crate::engine::TokenName;

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once, as the last word
    New {
        #[command(flatten)]
        flags: Flags,
        /// What to call it: up to 64 letters, digits, dots, underscores and hyphens
        name: TokenName,
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
            | TokenCommand::List(flags)
            | TokenCommand::Revoke { flags, .. } => &mut flags.overrides,
        }
    }

    pub fn run(self, context: &OperateContext<'_>) -> ExitCode {
        match self {
            TokenCommand::New { flags, name } => run(TokenNew { name }, &flags, context),
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

    /// The token is the last word: scripts take it from there.
    fn done((): &(), made: &MadeToken) -> Vec<String> {
        let about = format!(
            "the token of {}, shown this once; clients send it as a password:",
            made.name
        );
        vec![about, made.token.clone()]
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
                Some(created) => format!("made {created}"),
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
