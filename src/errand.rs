//! On whose behalf something is done, and whether anybody waits for it.
//!
//! There are two classes of work: what a client waits for, and what is only guessed that one will want. The first
//! overtakes the second wherever they meet; and a guess that somebody comes to wait for is one no longer, nor is what
//! it waits for itself.

use std::sync::{Arc, OnceLock, Weak};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Somebody's wish, as it is passed on from room to room.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    /// The `Via` of the request that wants it, so that a loop through several servers is noticed.
    pub via: Option<HeaderValue>,
    /// The id of that request, for the log.
    pub request_id: Option<Arc<str>>,
    /// Whether anybody waits for it.
    pub urgency: Urgency,
    /// When whoever waits must have an answer, if that is not counted from when it is begun.
    pub until: Option<Instant>,
    /// Who is being asked, for the log.
    pub asked: Asked,
    /// What is remembered does not count: it is to be asked for again.
    pub anew: bool,
}

/// The source that was asked last on an errand.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<Option<Arc<str>>>>);

impl Asked {
    /// This one is asked now.
    pub fn set(&self, source: &Arc<str>) {
        *self.0.lock() = Some(Arc::clone(source));
    }

    /// Who was asked last.
    pub fn get(&self) -> Option<Arc<str>> {
        self.0.lock().clone()
    }
}

impl Errand {
    /// The same for a piece of work of its own: who is asked for that is told apart.
    pub fn apart(&self) -> Self {
        Errand {
            asked: Asked::default(),
            ..self.clone()
        }
    }

    /// A guess.
    pub fn guess() -> Self {
        Errand {
            via: None,
            request_id: None,
            until: None,
            asked: Asked::default(),
            anew: false,
            urgency: Urgency(Some(Arc::new(Guess::default()))),
        }
    }
}

impl From<Option<HeaderValue>> for Errand {
    /// Somebody waits, who has come through these servers.
    fn from(via: Option<HeaderValue>) -> Self {
        Errand {
            via,
            request_id: None,
            until: None,
            asked: Asked::default(),
            anew: false,
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
    /// When somebody came to wait for it.
    since: OnceLock<Instant>,
    /// Other guesses that this one waits for; who works on them holds them. As many as one piece of work joins at a time.
    needs: Mutex<Vec<Weak<Guess>>>,
}

impl Urgency {
    /// Whether it is a guess, and still nobody waits for it.
    pub fn is_guess(&self) -> bool {
        self.0.as_ref().is_some_and(|it| !*it.awaited.borrow())
    }

    /// Somebody waits for it from now on, and so for whatever it waits for.
    pub fn promote(&self) {
        let Some(guess) = &self.0 else { return };
        let mut left = vec![Arc::clone(guess)];
        while let Some(guess) = left.pop() {
            // Before it is told: who is told may ask.
            guess.since.get_or_init(Instant::now);
            if !guess.awaited.send_replace(true) {
                let needs = std::mem::take(&mut *guess.needs.lock());
                left.extend(needs.iter().filter_map(Weak::upgrade));
            }
        }
    }

    /// Since when somebody waits for what was a guess.
    pub fn awaited_since(&self) -> Option<Instant> {
        self.0.as_ref().and_then(|guess| guess.since.get().copied())
    }

    /// This work waits for `other`, which is somebody else's.
    pub fn joins(&self, other: &Urgency) {
        let Some(needed) = other.0.as_ref().filter(|_| other.is_guess()) else {
            return;
        };
        match &self.0 {
            Some(guess) if Arc::ptr_eq(guess, needed) => {}
            Some(guess) if self.is_guess() => {
                let mut needs = guess.needs.lock();
                needs.retain(|need| need.strong_count() > 0);
                needs.push(Arc::downgrade(needed));
                drop(needs);
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

    #[test]
    fn nothing_is_held_that_nobody_works_on() {
        let (a, b) = (Errand::guess(), Errand::guess());
        a.urgency.joins(&b.urgency);
        b.urgency.joins(&a.urgency);
        a.urgency.joins(&a.urgency);
        let seen = Arc::downgrade(a.urgency.0.as_ref().unwrap());
        drop((a, b));
        assert!(seen.upgrade().is_none());
    }
}
