//! What operations work on.

use std::sync::Arc;

use super::reload::ServedConfig;
use crate::engine::{Engine, Inventory};
use crate::identity::Tokens;
use crate::kit::reload::Reload;

/// A whole server, or what would be one.
#[derive(Clone)]
pub struct AdminService {
    /// What is kept.
    pub inventory: Inventory,
    /// Who serves from it.
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<Tokens>,
    /// By what it goes.
    config: ServedConfig,
}

impl AdminService {
    /// Of an engine and its tokens.
    pub fn new(engine: Arc<Engine>, tokens: Arc<Tokens>) -> Self {
        AdminService {
            inventory: Inventory::from(&engine),
            engine,
            tokens,
            config: ServedConfig::default(),
        }
    }

    /// Of a running server, whose configuration is read again by this one.
    pub fn reloaded_by(self, reload: Arc<dyn Reload>) -> Self {
        AdminService {
            config: ServedConfig::of(reload),
            ..self
        }
    }
}

impl AsRef<AdminService> for AdminService {
    fn as_ref(&self) -> &AdminService {
        self
    }
}

impl AsRef<ServedConfig> for AdminService {
    fn as_ref(&self) -> &ServedConfig {
        &self.config
    }
}

impl AsRef<Inventory> for AdminService {
    fn as_ref(&self) -> &Inventory {
        &self.inventory
    }
}
