//! Why a request has no answer. The cause decides the class, and the class the status (in `http/error`); what to do about
//! it is said there as well (`http/advice`).

mod cause;
mod class;
mod database;
mod repository;
mod upstream;

pub use cause::{Cause, EngineError, KnownSum, LINES, Lacking, OriginError};
pub use class::{Class, Stale};
pub use upstream::{AskedUpstream, absence};

pub use crate::sumdb::SumdbError;
pub use crate::upstream::{Failure, SinkError, SourceError};
