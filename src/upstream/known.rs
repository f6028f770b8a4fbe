//! What an upstream has answered lately. Whether it is well is found out with that, rather than with what a stranger names.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::gomod::ModulePath;

/// Modules that are remembered; then the oldest are forgotten.
const MODULES: usize = 4096;

/// Modules that it has had, and something small that it has.
#[derive(Default)]
pub struct KnownModules {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By their hashes: it does no harm if one is taken for another.
    modules: HashSet<u64>,
    order: VecDeque<u64>,
    path: Option<Arc<str>>,
}

impl KnownModules {
    /// It has answered this, whose path below its base URL is given if it is small.
    pub fn has_answered(&self, module: &ModulePath, path: Option<&str>) {
        let hash = self.hasher.hash_one(module);
        let mut state = self.state.lock();
        if state.modules.insert(hash) {
            state.order.push_back(hash);
            if state.order.len() > MODULES
                && let Some(oldest) = state.order.pop_front()
            {
                state.modules.remove(&oldest);
            }
        }
        if let Some(path) = path
            && state.path.as_deref() != Some(path)
        {
            state.path = Some(path.into());
        }
    }

    /// Whether it has had something of this module.
    pub fn has(&self, module: &ModulePath) -> bool {
        let hash = self.hasher.hash_one(module);
        self.state.lock().modules.contains(&hash)
    }

    /// The path of something small that it has.
    pub fn path(&self) -> Option<Arc<str>> {
        self.state.lock().path.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_known_until_much_else_was() {
        let known = KnownModules::default();
        let module = |n: usize| ModulePath::parse(&format!("example.com/m{n}x")).unwrap();
        assert!(!known.has(&module(0)) && known.path().is_none());
        known.has_answered(&module(0), Some("example.com/m0x/@v/list"));
        known.has_answered(&module(1), None);
        assert!(known.has(&module(0)) && known.has(&module(1)));
        assert_eq!(known.path().as_deref(), Some("example.com/m0x/@v/list"));
        for n in 2..=MODULES {
            known.has_answered(&module(n), None);
        }
        assert!(!known.has(&module(0)) && known.has(&module(1)));
    }
}
