//! What the audit log is told of requests.

use http::request::Parts;

use super::app_state::AppState;
use super::error;
use super::response_meta::RequestId;
use crate::engine::{Class, EngineError};
use crate::gomod::ModulePath;
use crate::kit::machine;
use crate::policy::Caller;
use crate::telemetry::audit::AuditRefusal;

/// A caller was not given what a request is about, because of who they are.
pub fn refused(
    state: &AppState,
    request: &Parts,
    caller: &Caller,
    module: Option<&ModulePath>,
    error: &EngineError,
) {
    // Who somebody is may not be known at the moment: that refuses nothing.
    if !matches!(error.class(), Class::Unauthorized | Class::Refused) {
        return;
    }
    let name = caller.name();
    let id = request.extensions.get::<RequestId>();
    state.audit.refused(&AuditRefusal {
        name: name.as_deref(),
        address: caller.address,
        machine: caller.address.map(machine),
        module: module.map(ModulePath::as_str),
        path: request.uri.path(),
        request_id: id.map(|id| &*id.0),
        outcome: error::kind(error.class()),
    });
}
