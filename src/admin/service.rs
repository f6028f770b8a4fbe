//! What operations work on.

use std::sync::Arc;

use crate::engine::{self, Engine, Inventory};

/// A whole server, or what would be one.
#[derive(Clone)]
pub struct Service {
    /// What is kept.
    pub inventory: Inventory,
    /// Who serves from it.
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<engine::Tokens>,
}

impl Service {
    /// Of an engine and its tokens.
    pub fn new(engine: Arc<Engine>, tokens: Arc<engine::Tokens>) -> Self {
        Service {
            inventory: Inventory::from(&engine),
            engine,
            tokens,
        }
    }
}

impl AsRef<Service> for Service {
    fn as_ref(&self) -> &Service {
        self
    }
}

impl AsRef<Inventory> for Service {
    fn as_ref(&self) -> &Inventory {
        &self.inventory
    }
}
