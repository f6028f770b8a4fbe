//! Fair shares: which client may have one more fetch begun.
//!
//! The turn is taken by the request that begins a flight, and held by the flight until it has fetched: so it counts for
//! the client that wanted it, whether that still waits or not. Who joins a flight needs no turn, and waits for no other
//! client's; and a request that is in the queue joins as soon as anybody has begun what it wants. What a fetch asks for
//! itself is a part of it. Hits, and what is known to be absent, never come here; nor do prefetches, which nobody waits
//! for and which have bounds of their own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::context::RequestContext;
use super::error::{Cause, EngineError};
use crate::kit::{Turn, TurnOutcome, TurnReply, machine};
use crate::policy::Caller;
use crate::telemetry::metrics::Limit;

/// When those may come again who were sent away by a full queue.
const AGAIN: Duration = Duration::from_secs(5);

/// A piece of work that several requests may want.
pub(super) fn work(key: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Engine {
    /// Waits until this request may begin a fetch; nothing if it needs no turn, because it is not counted or somebody
    /// `has_begun` it.
    ///
    /// # Errors
    /// If its client waits for too much, or it would have waited for longer than may be.
    pub(super) async fn turn(
        &self,
        context: &RequestContext,
        work: u64,
        has_begun: impl Fn() -> bool,
    ) -> Result<Option<Turn>, EngineError> {
        let limits = &context.rules.limits;
        let (false, Some(client)) = (context.has_turn, context.limited_as()) else {
            return Ok(None);
        };
        if limits.exempt(&context.caller) {
            return Ok(None);
        }
        self.pace_miss(context).await?;
        if limits.misses == 0 || has_begun() {
            return Ok(None);
        }
        let outcome = match self.turns.ask(client, work) {
            TurnReply::Now(turn) => return Ok(Some(turn)),
            TurnReply::Full(waiting) => TurnOutcome::TooLong(waiting + 1),
            // Anybody may have begun it before this one stood in the queue.
            TurnReply::Later(_) if has_begun() => TurnOutcome::Begun,
            TurnReply::Later(wait) => {
                let _delayed = self.metrics.limits.delayed(Limit::Misses);
                wait.turn(Instant::now() + limits.queue).await
            }
        };
        match outcome {
            TurnOutcome::Turn(turn) => Ok(Some(turn)),
            TurnOutcome::Begun => Ok(None),
            TurnOutcome::TooLong(waiting) => {
                Err(self.over_limit(context, Limit::Misses, waiting, AGAIN))
            }
        }
    }

    /// A request is refused because of this limit, since so many of its client wait, this one included.
    pub(super) fn over_limit(
        &self,
        context: &RequestContext,
        limit: Limit,
        waiting: usize,
        again: Duration,
    ) -> EngineError {
        self.metrics.limits.refused(limit);
        let who = who(&context.caller);
        let limit = format!("limits.{}", limit.key());
        let request_id = context.fetch.request_id.as_deref();
        tracing::warn!(client = %who, waiting, limit, request_id, "a request was refused: its client takes as much as it may");
        Cause::OverLimit {
            who,
            waiting,
            limit,
            again,
        }
        .into()
    }
}

/// A client, in words that may be told to itself.
fn who(caller: &Caller) -> String {
    let address = caller.address.map(machine);
    match (caller.name(), address) {
        (Some(name), _) => name,
        (None, Some(IpAddr::V6(network))) if !network.is_loopback() => {
            format!("client {network}/64")
        }
        (None, Some(address)) => format!("client {address}"),
        (None, None) => "this client".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Identity, Proof, Standing};
    use std::sync::Arc;

    #[test]
    fn clients_are_named_as_they_know_themselves() {
        let caller = |address: &str, standing| Caller {
            address: Some(address.parse().unwrap()),
            standing,
        };
        for (address, named) in [
            ("192.0.2.7", "client 192.0.2.7"),
            ("::ffff:192.0.2.7", "client 192.0.2.7"),
            ("2001:db8::1:2", "client 2001:db8::/64"),
            ("::1", "client ::1"),
        ] {
            assert_eq!(who(&caller(address, Standing::default())), named);
        }
        let token = Standing::Known(Arc::new(Identity::by(Proof::Token("ci".into()))));
        assert_eq!(who(&caller("192.0.2.7", token)), "token:ci");
    }
}
