//! What `fuzz/fuzz_targets` need of the forms on disk. Nothing else may use it.

pub use super::catalog::sled::rows::{read as read_row, write as write_row};
pub use super::codec::encode_bytes as sealed;
