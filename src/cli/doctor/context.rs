//! What both reports look at: the settings, and what they lead to outside.

use std::path::Path;
use std::sync::Arc;

use crate::app::{self, Chosen, Ourselves, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{Environment, Loaded};
use crate::telemetry::metrics::Metrics;
use crate::vcs::workspace::Folders;

/// Where this runs.
pub struct DoctorContext<'a> {
    pub loaded: &'a Loaded,
    pub env: &'a Environment,
    pub clock: &'a SharedClock,
    /// For repositories that are looked at; nothing of them stays.
    pub folder: &'a Path,
}

impl DoctorContext<'_> {
    /// The chain that a start with these settings would use.
    pub async fn chain(&self) -> Chosen {
        let config = &self.loaded.config;
        match app::operators_chain(config) {
            Some(chain) => Chosen::by_operator(chain, &config.upstream),
            None => {
                let ourselves = Ourselves::new(config, app::module_addresses(config));
                app::choose_chain(self.env, ourselves, &app::memory_file(&config.store)).await
            }
        }
    }

    pub fn maker(&self) -> Result<UpstreamMaker, app::StartError> {
        UpstreamMaker::new(
            &self.loaded.config,
            self.env,
            "larder-doctor",
            Folders::passing(self.folder),
            Arc::clone(self.clock),
            Arc::new(Metrics::new()),
        )
    }
}
