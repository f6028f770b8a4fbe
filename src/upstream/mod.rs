//! Other GOPROXY servers: the chain of them, and for each its client, credentials, limits, retries and breaker.
//!
//! An answer is classified here, once: found, absent (404, 410), refused (403) or a fault. Who asked decides what is
//! done about it. `docs/limits.md` has the numbers, ARCHITECTURE.md section 4 the reasons.

mod budget;
mod chain;
mod client;
mod error;
mod fetch;
mod known;
mod limits;
mod local;
mod request;
mod roster;
mod server;
mod share;
mod sink;
mod small;
mod stream;
mod text;
mod toolchain;
mod trust;
mod upstream_request;

pub use chain::{ChainError, ChainSpec, OnFailure, SourceSpec};
pub use client::{ClientSettings, Guarded, Judge, Pool, install_crypto, with_causes};
pub use error::{Failure, SourceError};
pub use limits::Limits;
pub use roster::{Roster, RosterEdition};
pub use server::{Upstream, UpstreamSettings};
pub use share::Share;
pub use sink::{Sink, SinkError};
pub use small::{Check, Revalidated, Validators};
pub use stream::{Received, ZipStream};
pub use text::clean;
pub use toolchain::{SettingOrigin, Toolchain};
pub use trust::Trust;
pub use upstream_request::UpstreamRequest;
