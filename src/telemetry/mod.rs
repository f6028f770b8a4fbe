//! Logs and metrics. Nothing global but the log subscriber, which `tracing` wants so.

pub mod access;
pub mod audit;
pub mod logs;
pub mod metrics;
