//! Larder: a caching Go module proxy.
//!
//! # The rooms
//!
//! * [`cli`]: one file per command. Parses, calls, prints, decides the exit code.
//! * [`app`]: the composition root: configuration → concrete parts → a running server. The only file that knows every
//!   type.
//! * [`config`]: what an operator writes; layers default < file < environment < command line.
//! * [`admin`]: what an operator does, typed in and out, to a running server or without one.
//! * [`http`]: the server: connections, routes, bodies, and the one place where an error becomes a status.
//! * [`jobs`]: work in the background.
//! * [`engine`]: the product: look up → fresh? → flight → fetch → verify → publish.
//! * [`identity`]: who asks: tokens of our own, OpenID providers and their keys.
//! * [`policy`]: what may be asked of whom, and by whom.
//! * [`upstream`]: other GOPROXY servers: chain, client, credentials, retries, breaker.
//! * [`vcs`]: direct mode: where a module's repository is, and what it holds.
//! * [`sumdb`]: checksum databases: a verifying client of each, which the relay serves from.
//! * [`store`]: what is kept: a catalog of facts, and files.
//! * [`gomod`]: the rules of Go modules, pure.
//! * [`protocol`]: request paths and caching headers, pure.
//! * [`flights`]: one shared piece of work per key.
//! * [`telemetry`]: logs and metrics.
//! * [`credentials`]: who we are to whom; [`breaker`]: when somebody is not asked for a while; [`proxies`]: the way out;
//!   [`coding`]: gzip that nobody asked for.
//! * [`kit`]: what a request's work is told from room to room (priority, deadline, trace), whose requests belong together,
//!   and tasks with owners.
//! * [`clock`]: the time; nothing else reads it.
//!
//! # Which way things point
//!
//! `cli → app → http, jobs, admin → engine → {policy, upstream, vcs, sumdb, store} → {gomod, protocol}`; `kit`, `flights`,
//! `credentials`, `breaker`, `proxies`, `telemetry` and `clock` serve all. `upstream`, `vcs`, `sumdb` and `store` do not know each
//! other: `engine` joins them. `config` reads chains, databases and patterns by the grammars of `upstream`, `sumdb` and
//! `gomod`. `tests/architecture` fails on any other edge.
//!
//! # The life of a request
//!
//! `GET /<module>/@v/<version>.zip`, in six files:
//!
//! 1. [`http`] `connection/serve.rs`: reads it, or answers a plain hit at once by `connection/fast`.
//! 2. `http/modules.rs`: parses the path once into a [`protocol::Key`], makes its `RequestContext`, asks the engine.
//! 3. [`engine`] `files/lookup.rs`: the memory cache, then the [`store`]: fact first, then file.
//! 4. `engine/files/flight.rs`: a miss joins or starts a flight, a task that no client owns.
//! 5. `engine/files/zip/mod.rs`: fetches through the chain of origins into a staged file, hashing while bytes arrive;
//!    checks it, waits for the checksum database's word, releases the last part, publishes: file first, fact last.
//! 6. `http/body.rs`: sends a kept file, or follows a growing one, all but its last part until it is released.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "this page is for those who work on it"
)]

mod admin;
mod app;
mod breaker;
pub mod cli;
pub mod clock;
mod coding;
pub mod config;
pub mod credentials;
pub mod engine;
mod flights;
pub mod gomod;
mod http;
mod identity;
mod jobs;
mod kit;
mod policy;
pub mod protocol;
mod proxies;
pub mod store;
pub mod sumdb;
mod telemetry;
pub mod upstream;
pub mod vcs;
