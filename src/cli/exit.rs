//! Exit codes, on which scripts rely.

use std::process::ExitCode;

use crate::admin::{AdminError, ErrorKind};
use crate::app::StartError;
use crate::config::ConfigErrors;
use crate::store::DataDirError;

/// Our own fault.
pub const OURS: u8 = 1;
/// Usage or configuration.
pub const CONFIG: u8 = 2;
/// The address is taken or not permitted.
pub const ADDRESS: u8 = 3;
/// The data directory is unusable, held by another process, or newer than the program.
pub const DATA_DIR: u8 = 4;

/// Says what went wrong on standard error.
pub fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    complain!("larder: {error}");
    ExitCode::from(code)
}

/// Says everything that is wrong with a configuration, each fault in a line that says who says so.
pub fn config(errors: &ConfigErrors) -> ExitCode {
    for problem in errors.problems() {
        complain!("larder: {problem}");
    }
    ExitCode::from(CONFIG)
}

/// The code for a server that does not start, or does not go on.
pub fn start_error(error: &StartError) -> ExitCode {
    let code = match error {
        StartError::Config(errors) => return config(errors),
        StartError::Files(_) => CONFIG,
        StartError::Address(_) => ADDRESS,
        StartError::DataDir(_) => DATA_DIR,
        StartError::Died(_) | StartError::NotClosed | StartError::Internal(_) => OURS,
    };
    fail(code, error)
}

/// The code for an operation that was not carried out.
pub fn admin_error(error: &AdminError) -> ExitCode {
    let code = match error.kind {
        ErrorKind::Configuration => CONFIG,
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Limit
        | ErrorKind::Invalid
        | ErrorKind::Version
        | ErrorKind::Internal => OURS,
    };
    for line in error.to_string().lines() {
        complain!("larder: {line}");
    }
    ExitCode::from(code)
}

/// The code for a data directory that does not open.
pub fn data_dir_error(error: &DataDirError) -> ExitCode {
    fail(DATA_DIR, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::tasks::Death;

    #[test]
    fn a_server_that_cannot_go_on_ends_with_1() {
        let died = StartError::Died(Death {
            task: "the listener".into(),
            why: "has died: no more sockets".into(),
        });
        let reason = "the server cannot go on: the listener has died: no more sockets";
        assert_eq!(died.to_string(), reason);
        // Codes can be compared by what is shown of them only.
        let shown = |code: ExitCode| format!("{code:?}");
        assert_eq!(shown(start_error(&died)), shown(ExitCode::from(1)));
    }
}
