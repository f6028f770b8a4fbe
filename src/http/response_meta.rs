//! What handlers and those who note requests tell each other.

use std::sync::Arc;

use crate::telemetry::metrics::{Endpoint, Outcome};

/// What a handler says about its answer, as an extension of the response.
#[derive(Clone, Debug)]
pub struct ResponseMeta {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// What became of it.
    pub outcome: Outcome,
    /// Who was asked.
    pub upstream: Option<Arc<str>>,
}

/// The id of a request, as an extension of it.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);
