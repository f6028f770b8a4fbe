//! Larder as its users meet it: the real binary, a real `go`, a real network (loopback), by the contract
//! that scripts rely on and nothing else. Names of tests begin with the number in the protocol's checklist
//! where there is one.
//!
//! A test starts an upstream ([`support::FakeUpstream`]), tells it what to serve and what to do wrong,
//! starts the program ([`support::larder`]) and asks. Waiting is done at gates or by asking again until
//! something observable is true, never by sleeping and hoping.
//!
//! To add one, put a `#[test]` into the module it belongs to:
//!
//! ```ignore
//! let module = Module::new("example.com/m", "v1.0.0");
//! let up = FakeUpstream::serving(std::slice::from_ref(&module));
//! up.rule_n("*.zip", 1, Fault::cut(100)); // the next zip breaks off after 100 bytes
//! let larder = larder().of(&up).set("upstream.attempts", "2").start();
//! assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
//! assert_eq!(up.count("*.zip"), 2);
//! ```
//!
//! What measures time or memory takes `heavy()` first. What takes longer than ten seconds by its nature is
//! `#[ignore = "slow: …"]`; what leaves the machine is called `live_…` and `#[ignore = "live: …"]`.

// A test that unwraps says where it failed, its helpers included; and tests do measure time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod support;

mod cache;
mod crash;
mod direct;
mod escaping;
mod faults;
mod go_client;
mod herd;
mod live;
mod operations;
mod prefetch;
mod protocol;
mod ready;
mod sumdb;
