//! Connections below HTTP: addresses and descriptors.

mod bind;
mod descriptors;
mod holder;

pub use bind::{BindError, bind};
pub use descriptors::{open_descriptors, raise_descriptor_limit};
pub use holder::port_holder;
