//! The composition root: turns a configuration into a running server. The only room that knows every type.

mod audit;
mod chain;
mod compose;
mod direct;
mod egress;
mod handed_over;
mod listeners;
mod logins;
mod oidc;
mod plain_client;
mod reload;
mod routes;
mod rules;
mod serve;
mod service_manager;
mod settings;
mod signals;
mod start_error;
mod supervise;
mod tls;
mod upstreams;

pub use audit::audit;
pub use chain::{
    Chosen, NoteLevel, Ourselves, chain_remarks, choose_chain, memory_file, operators_chain,
};
pub use compose::{assemble, databases};
pub use direct::left;
pub use handed_over::HandedOver;
pub use listeners::{further_listeners, module_addresses};
pub use plain_client::plain_client;
pub use routes::routes;
pub use rules::policy;
pub use serve::serve;
pub use settings::{blocking_threads, log_format};
pub use start_error::StartError;
pub use tls::tls;
pub use upstreams::UpstreamMaker;
