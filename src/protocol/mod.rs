//! What the GOPROXY protocol says on the wire: request paths and caching headers. Pure.

mod cache_control;
mod checked;
mod escape;
mod target;

pub use cache_control::{Lifetime, cache_control, for_its_reader};
pub use checked::CheckedBody;
pub use escape::upstream_path;
pub use target::{BadTarget, FileKey, Key, Kind, Meta, MetaKey, Target, parse};
