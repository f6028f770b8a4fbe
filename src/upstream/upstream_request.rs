//! What is asked of an upstream.

use std::time::Duration;

use crate::gomod::ModulePath;
use crate::kit::FetchContext;

/// What is wanted of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamRequest<'a> {
    /// Below the base URL, bang-escaped.
    pub path: &'a str,
    /// Whose, if it is about a module: one module's fetches leave room for others.
    pub module: Option<&'a ModulePath>,
    /// The largest body that can be right. Bytes.
    pub max: u64,
    /// The same at an upstream that a stranger has named.
    pub max_of_strangers: u64,
    /// Whether it may take long: such fetches leave some of the places to others.
    pub large: bool,
    /// How long the head of the answer may take, where that is not the upstream's usual time.
    pub first_byte: Option<Duration>,
    /// On whose behalf.
    pub context: &'a FetchContext,
}
