//! What operations work on.

use std::sync::Arc;

use crate::engine::{self, Engine, Inventory};

/// A whole server, or what would be one.
#[derive(Clone)]
pub struct AdminService {
    /// What is kept.
    pub inventory: Inventory,
    /// Who serves from it.
    pub engine: Arc<Engine>,
    /// Who may have private modules.
    pub tokens: Arc<engine::Tokens>,
}

impl AdminService {
    /// Of an engine and its tokens.
    pub fn new(engine: Arc<Engine>, tokens: Arc<engine::Tokens>) -> Self {
        AdminService {
            inventory: Inventory::from(&engine),
            engine,
            tokens,
        }
    }
}

impl AsRef<AdminService> for AdminService {
    fn as_ref(&self) -> &AdminService {
        self
    }
}

impl AsRef<Inventory> for AdminService {
    fn as_ref(&self) -> &Inventory {
        &self.inventory
    }
}
