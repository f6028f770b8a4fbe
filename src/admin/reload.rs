//! The configuration, read again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{AdminError, ErrorKind};
use super::operation::{EventSink, Never, Operation};
use crate::kit::reload::{Reload, ReloadError, Reloaded};

/// Read the configuration again and put it in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigReload {}

/// A server's configuration, which only a server has that runs.
#[derive(Clone, Default)]
pub struct ServedConfig(Option<Arc<dyn Reload>>);

impl ServedConfig {
    /// Read again by this one.
    pub fn of(reload: Arc<dyn Reload>) -> Self {
        ServedConfig(Some(reload))
    }
}

impl Operation for ConfigReload {
    const NAME: &'static str = "config/reload";
    type On = ServedConfig;
    type Item = Never;
    type Output = Reloaded;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(self, on: &ServedConfig, _: &EventSink<Self>) -> Result<Reloaded, AdminError> {
        let Some(reload) = &on.0 else {
            return Err(AdminError::internal("no server is running"));
        };
        reload.reload().await.map_err(|error| {
            let kind = match &error {
                ReloadError::Wrong(_) => ErrorKind::Configuration,
                ReloadError::Failed(_) => ErrorKind::Internal,
            };
            AdminError::new(kind, error)
        })
    }
}
