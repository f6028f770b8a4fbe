//! Where the audit log goes.

use super::start_error::StartError;
use crate::clock::SharedClock;
use crate::config::{AuditTarget, Config};
use crate::telemetry::audit::{Audit, AuditFile};
use crate::telemetry::logs::LogSink;
use crate::telemetry::metrics::AuditMetrics;

/// Begins it as the configuration says; `log` gives the log, where it is to go there.
pub fn audit(
    config: &Config,
    clock: &SharedClock,
    log: impl FnOnce() -> std::io::Result<LogSink>,
    metrics: &AuditMetrics,
) -> Result<Audit, StartError> {
    let clock = SharedClock::clone(clock);
    let begun = match &config.log.audit {
        None => return Ok(Audit::default()),
        Some(AuditTarget::Log) => log().map(|log| Audit::to_log(log, clock)),
        Some(AuditTarget::File(path)) => AuditFile::open(path, metrics.failures.clone())
            .and_then(|file| Audit::to_file(file, clock)),
    };
    begun.map_err(|error| {
        let target = match &config.log.audit {
            Some(AuditTarget::File(path)) => path.display().to_string(),
            _ => "stderr".to_owned(),
        };
        StartError::Files(format!(
            "log.audit: {target} cannot be written to: {error}; its folder must be there, and this user must be able to write to it"
        ))
    })
}
