//! Why there is no token to give, and what to do about it. No text has a token in it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("{0} is not set")]
    NotSet(String),
    #[error("{} cannot be read: {why}", path.display())]
    File { path: PathBuf, why: String },
    /// What came is no token.
    #[error("{whence} {what}: a token is one word of printable characters")]
    NoToken { whence: String, what: &'static str },
    #[error(
        "GitHub gave no identity token: {0}; the job needs `permissions: id-token: write`, and https to {1}"
    )]
    GitHub(String, String),
    #[error("buildkite-agent gave no identity token: {0}")]
    Buildkite(String),
    #[error("{0}")]
    NoSource(String),
    /// A fault of this machine.
    #[error("{0}")]
    Machine(String),
}
