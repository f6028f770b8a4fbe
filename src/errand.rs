//! On whose behalf something is done, and with which priority.
//!
//! There are two classes of work: what a client waits for (foreground), and what is fetched because one will probably
//! want it (prefetch). The first overtakes the second wherever they meet; and a prefetch that somebody comes to wait for
//! is raised to the foreground, and so is what it waits for itself.

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
    pub priority: Priority,
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

    /// That of a prefetch.
    pub fn prefetch() -> Self {
        Errand {
            priority: Priority::prefetch(),
            ..Errand::default()
        }
    }
}

impl From<Option<HeaderValue>> for Errand {
    /// Somebody waits, who has come through these servers.
    fn from(via: Option<HeaderValue>) -> Self {
        Errand {
            via,
            ..Errand::default()
        }
    }
}

/// How urgent a piece of work is. Clones are of the same piece of work: raising one raises all.
#[derive(Clone, Debug, Default)]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Foreground,
    /// It began as a prefetch.
    Prefetch(Arc<Raised>),
}

/// Whether somebody waits for what began as a prefetch.
#[derive(Debug, Default)]
pub struct Raised {
    raised: watch::Sender<bool>,
    /// When somebody came to wait for it.
    raised_at: OnceLock<Instant>,
    /// Other prefetches that this one waits for; who works on them holds them. As many as one piece of work joins at a
    /// time.
    needs: Mutex<Vec<Weak<Raised>>>,
}

impl Priority {
    /// That of a prefetch for which nobody waits.
    pub fn prefetch() -> Self {
        Priority::Prefetch(Arc::default())
    }

    /// Whether it is a prefetch, and still nobody waits for it.
    pub fn is_prefetch(&self) -> bool {
        match self {
            Priority::Foreground => false,
            Priority::Prefetch(prefetch) => !*prefetch.raised.borrow(),
        }
    }

    /// Somebody waits for it from now on, and so for whatever it waits for.
    pub fn raise(&self) {
        let Priority::Prefetch(prefetch) = self else {
            return;
        };
        let mut left = vec![Arc::clone(prefetch)];
        while let Some(prefetch) = left.pop() {
            // Before it is told: who is told may ask.
            prefetch.raised_at.get_or_init(Instant::now);
            if !prefetch.raised.send_replace(true) {
                let needs = std::mem::take(&mut *prefetch.needs.lock());
                left.extend(needs.iter().filter_map(Weak::upgrade));
            }
        }
    }

    /// When what began as a prefetch was raised.
    pub fn raised_at(&self) -> Option<Instant> {
        match self {
            Priority::Foreground => None,
            Priority::Prefetch(prefetch) => prefetch.raised_at.get().copied(),
        }
    }

    /// This work waits for `other`, which is somebody else's.
    pub fn joins(&self, other: &Priority) {
        let Priority::Prefetch(needed) = other else {
            return;
        };
        match self {
            _ if !other.is_prefetch() => {}
            Priority::Prefetch(prefetch) if Arc::ptr_eq(prefetch, needed) => {}
            Priority::Prefetch(prefetch) if self.is_prefetch() => {
                let mut needs = prefetch.needs.lock();
                needs.retain(|need| need.strong_count() > 0);
                needs.push(Arc::downgrade(needed));
                drop(needs);
                // It may have been raised just before that.
                if !self.is_prefetch() {
                    other.raise();
                }
            }
            _ => other.raise(),
        }
    }

    /// Ends when somebody waits for it; at once if somebody does.
    pub async fn raised(&self) {
        if let Priority::Prefetch(prefetch) = self {
            // The sender is in `self`: it does not go away meanwhile.
            let _ = prefetch.raised.subscribe().wait_for(|raised| *raised).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn prefetches() -> [Priority; 3] {
        std::array::from_fn(|_| Priority::prefetch())
    }

    #[test]
    fn what_is_waited_for_raises_what_it_waits_for() {
        let [a, b, c] = prefetches();
        a.joins(&b);
        b.joins(&c);
        assert!(c.is_prefetch() && c.raised().now_or_never().is_none());
        Priority::Foreground.joins(&a);
        assert!(!a.is_prefetch() && !b.is_prefetch() && !c.is_prefetch());
        assert!(c.raised().now_or_never().is_some());
        // Who is raised already takes what it joins with it.
        let late = Priority::prefetch();
        a.joins(&late);
        assert!(!late.is_prefetch());
    }

    #[test]
    fn a_circle_ends() {
        let [a, b, _] = prefetches();
        a.joins(&b);
        b.joins(&a);
        a.raise();
        assert!(!b.is_prefetch());
    }

    #[test]
    fn nothing_is_held_that_nobody_works_on() {
        let [a, b, _] = prefetches();
        a.joins(&b);
        b.joins(&a);
        a.joins(&a);
        let Priority::Prefetch(held) = &a else {
            panic!("a prefetch");
        };
        let seen = Arc::downgrade(held);
        drop((a, b));
        assert!(seen.upgrade().is_none());
    }
}
