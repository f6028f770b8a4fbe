//! Whose modules something is done for.

/// What strangers name shares no slots, no memory and no room with the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Tenant {
    /// Public modules, which anybody may name.
    #[default]
    Strangers,
    /// Private modules, and those of routes.
    Own,
}
