//! An upstream that misbehaves in every way we know (checklist 38, 39, 42 to 46, 55, and design 9).

mod answers;
mod breaker;
mod chain;
mod redirects;
mod resume;
mod timing;
