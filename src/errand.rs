//! On whose behalf something is done, and whether anybody waits for it.
//!
//! There are two classes of work: what a client waits for, and what is only guessed that one will want. The first
//! overtakes the second wherever they meet; and a guess that somebody comes to wait for is one no longer, nor is what
//! it waits for itself.

use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Somebody's wish, as it is passed on from room to room.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    /// The `Via` of the request that wants it, so that a loop through several servers is noticed.
    pub via: Option<HeaderValue>,
    /// Whether anybody waits for it.
    pub urgency: Urgency,
}

impl Errand {
    /// A guess.
    pub fn guess() -> Self {
        Errand {
            via: None,
            urgency: Urgency(Some(Arc::new(Guess::default()))),
        }
    }
}

impl From<Option<HeaderValue>> for Errand {
    /// Somebody waits, who has come through these servers.
    fn from(via: Option<HeaderValue>) -> Self {
        Errand {
            via,
            urgency: Urgency::default(),
        }
    }
}

/// Whether anybody waits for a piece of work; the default is that somebody does.
#[derive(Clone, Debug, Default)]
pub struct Urgency(Option<Arc<Guess>>);

#[derive(Debug, Default)]
struct Guess {
    awaited: watch::Sender<bool>,
    /// Other guesses that this one waits for; each is dropped when it is promoted. As many as one piece of work joins.
    needs: Mutex<Vec<Urgency>>,
}

impl Urgency {
    /// Whether it is a guess, and still nobody waits for it.
    pub fn is_guess(&self) -> bool {
        self.0.as_ref().is_some_and(|it| !*it.awaited.borrow())
    }

    /// Somebody waits for it from now on, and so for whatever it waits for.
    pub fn promote(&self) {
        let Some(guess) = &self.0 else { return };
        if guess.awaited.send_replace(true) {
            return;
        }
        let needs = std::mem::take(&mut *guess.needs.lock());
        needs.iter().for_each(Urgency::promote);
    }

    /// This work waits for `other`, which is somebody else's.
    pub fn joins(&self, other: &Urgency) {
        if !other.is_guess() {
            return;
        }
        match &self.0 {
            Some(guess) if self.is_guess() => {
                guess.needs.lock().push(other.clone());
                // It may have been promoted just before that.
                if !self.is_guess() {
                    other.promote();
                }
            }
            _ => other.promote(),
        }
    }

    /// Ends when somebody waits for it; at once if somebody does.
    pub async fn promoted(&self) {
        if let Some(guess) = &self.0 {
            // The sender is in `self`: it does not go away meanwhile.
            let _ = guess.awaited.subscribe().wait_for(|awaited| *awaited).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn what_is_waited_for_makes_urgent_what_it_waits_for() {
        let (a, b, c) = (Errand::guess(), Errand::guess(), Errand::guess());
        a.urgency.joins(&b.urgency);
        b.urgency.joins(&c.urgency);
        assert!(c.urgency.is_guess() && c.urgency.promoted().now_or_never().is_none());
        Urgency::default().joins(&a.urgency);
        assert!(!a.urgency.is_guess() && !b.urgency.is_guess() && !c.urgency.is_guess());
        assert!(c.urgency.promoted().now_or_never().is_some());
        // Who is promoted already takes what it joins with it.
        let late = Errand::guess();
        a.urgency.joins(&late.urgency);
        assert!(!late.urgency.is_guess());
    }

    #[test]
    fn a_circle_ends() {
        let (a, b) = (Errand::guess(), Errand::guess());
        a.urgency.joins(&b.urgency);
        b.urgency.joins(&a.urgency);
        a.urgency.promote();
        assert!(!b.urgency.is_guess());
    }
}
