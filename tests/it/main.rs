//! Larder as its users meet it: the real binary, a real `go`, a real network (loopback), by the contract
//! that scripts rely on and nothing else. Names of tests begin with the number in the protocol's checklist
//! where there is one.
//!
//! A test starts an upstream ([`support::FakeUpstream`]), tells it what to serve and what to do wrong,
//! starts the program ([`support::larder`]) and asks. Waiting is done at gates or by asking again until
//! something observable is true, never by sleeping and hoping.

mod support;

mod cache;
mod crash;
mod escaping;
mod faults;
mod go_client;
mod herd;
mod live;
mod operations;
mod protocol;
