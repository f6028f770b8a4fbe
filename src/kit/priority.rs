//! With which priority something is done. There are two classes of work: what a client waits for (foreground), and what is
//! fetched because one will probably want it (prefetch). The first overtakes the second wherever they meet; and a prefetch
//! that somebody comes to wait for is raised to the foreground.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::Instant;

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

    /// Somebody waits for it from now on.
    pub fn raise(&self) {
        if let Priority::Prefetch(prefetch) = self {
            // Before it is told: who is told may ask.
            prefetch.raised_at.get_or_init(Instant::now);
            prefetch.raised.send_replace(true);
        }
    }

    /// When what began as a prefetch was raised.
    pub fn raised_at(&self) -> Option<Instant> {
        match self {
            Priority::Foreground => None,
            Priority::Prefetch(prefetch) => prefetch.raised_at.get().copied(),
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
    use std::time::Duration;

    use super::*;
    use futures_util::FutureExt;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_prefetch_is_raised_once_and_for_all_who_hold_it() {
        let prefetch = Priority::prefetch();
        let held = prefetch.clone();
        assert!(held.is_prefetch() && held.raised_at().is_none());
        assert!(held.raised().now_or_never().is_none());
        prefetch.raise();
        assert!(!held.is_prefetch());
        assert!(held.raised().now_or_never().is_some());
        let first = held.raised_at();
        assert_eq!(first, Some(Instant::now()));
        advance(Duration::from_secs(1)).await;
        prefetch.raise();
        assert_eq!(held.raised_at(), first);
    }
}
