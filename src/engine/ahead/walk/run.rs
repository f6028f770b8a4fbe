//! The order in which a client asks for the go.mod files of its main module's requirements.

use std::collections::VecDeque;

use crate::gomod::ModulePath;

/// Several requests are under way at once, so paths may come a little out of order: compared with as many.
const JITTER: usize = 3;
/// The first run over the requirements is over when so many requests in a row are not of it.
const STRAGGLERS: usize = 3;

/// The run over the main module's requirements, in the order of their paths.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The highest paths so far, in order.
    highest: VecDeque<ModulePath>,
    stragglers: usize,
}

impl Run {
    /// Whether a module that is asked for now goes on with the run.
    pub(super) fn takes(&mut self, path: &ModulePath) -> bool {
        if self.stragglers >= STRAGGLERS {
            return false;
        }
        let full = self.highest.len() >= JITTER;
        if full && self.highest.front().is_some_and(|lowest| path < lowest) {
            self.stragglers += 1;
            return false;
        }
        let at = self.highest.partition_point(|other| other < path);
        let is_next = at == self.highest.len();
        if is_next {
            self.stragglers = 0;
        }
        self.highest.insert(at, path.clone());
        if self.highest.len() > JITTER {
            self.highest.pop_front();
        }
        is_next
    }

    /// Where it is.
    pub(super) fn position(&self) -> Option<&ModulePath> {
        match self.stragglers < STRAGGLERS {
            true => self.highest.back(),
            false => None,
        }
    }
}
