//! An upstream that misbehaves in every way we know (checklist 38, 39, 42 to 46, 55, and design 9).

mod answers;
mod breaker;
mod chain;
mod codings;
mod http2;
mod network;
mod redirects;
mod resume;
mod secrets;
mod standing;
mod timing;
