//! The order in which a client asks for the go.mod files of its main module's requirements.

use std::collections::VecDeque;

use crate::gomod::ModulePath;

/// Several requests are under way at once, so paths may come out of order: compared with as many, but at least …
const LEAST_JITTER: usize = 3;
/// … and at most so many.
const MOST_JITTER: usize = 32;
/// The first run over the requirements is over when so many requests in a row are not of it.
const STRAGGLERS: usize = 3;

/// The run over the main module's requirements, in the order of their paths.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The highest paths so far, in order.
    highest: VecDeque<ModulePath>,
    /// The most requests that were under way beside one of these.
    under_way: usize,
    stragglers: usize,
}

impl Run {
    /// Whether a module that is asked for now, while so many others are, goes on with the run.
    pub(super) fn takes(&mut self, path: &ModulePath, under_way: usize) -> bool {
        if self.is_over() {
            return false;
        }
        self.under_way = self.under_way.max(under_way);
        let jitter = (self.under_way + 1).clamp(LEAST_JITTER, MOST_JITTER);
        let full = self.highest.len() >= jitter;
        let is_late = full && self.highest.front().is_some_and(|lowest| path < lowest);
        // Another version of the same module: a main module requires only one.
        if is_late || self.highest.contains(path) {
            self.stragglers += 1;
            return false;
        }
        let at = self.highest.partition_point(|other| other < path);
        let is_next = at == self.highest.len();
        if is_next {
            self.stragglers = 0;
        }
        self.highest.insert(at, path.clone());
        if self.highest.len() > jitter {
            self.highest.pop_front();
        }
        // A request can only be overtaken if others are made at the same time.
        is_next || self.under_way > 0
    }

    fn is_over(&self) -> bool {
        self.stragglers >= STRAGGLERS
    }

    /// Where it is.
    pub(super) fn position(&self) -> Option<&ModulePath> {
        self.highest.back().filter(|_| !self.is_over())
    }
}
