//! Why a database has no answer.

use std::time::Duration;

use thiserror::Error;

/// The class decides what becomes of the module or request that depends on it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SumdbError {
    /// The database says that it does not know the thing: 404, or 410 if `gone`.
    #[error("{text}")]
    Unknown {
        /// 410 rather than 404.
        gone: bool,
        /// What it said.
        text: String,
    },
    /// Whoever was asked refuses to say: 403.
    #[error("{0}")]
    Refused(String),
    /// It was not reached in time.
    #[error("{0}")]
    Timeout(String),
    /// It was not asked, because it is in trouble or wants to be left alone.
    #[error("{text}")]
    Unavailable {
        /// Why.
        text: String,
        /// When to come again.
        retry_after: Option<Duration>,
    },
    /// It, or the way to it, is at fault.
    #[error("{0}")]
    Fault(String),
    /// What came is not what the database has signed.
    #[error("{0}")]
    Forged(String),
    /// A tile that does not belong to the tree; what is forged here raises an alarm.
    #[error("{0}")]
    Inconsistent(String),
    /// The database has signed two histories that contradict each other.
    #[error("{0}")]
    Fork(String),
    /// As much is under way as may be.
    #[error("too many look-ups are under way")]
    Overloaded,
    /// Our own store failed.
    #[error("the store failed: {0}")]
    Store(String),
    /// A request of ours came back to us.
    #[error("{0}")]
    Loop(String),
}

impl SumdbError {
    /// Whether nobody could say, rather than somebody having said something.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            SumdbError::Refused(_)
                | SumdbError::Timeout(_)
                | SumdbError::Unavailable { .. }
                | SumdbError::Fault(_)
                | SumdbError::Overloaded
                | SumdbError::Store(_)
                | SumdbError::Loop(_)
        )
    }
}
