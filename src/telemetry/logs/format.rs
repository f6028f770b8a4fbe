//! What the sinks and the writers of lines have in common.

use std::sync::Arc;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Tells the time of day, in milliseconds since 1970-01-01T00:00:00Z.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;
