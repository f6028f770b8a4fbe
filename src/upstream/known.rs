//! What an upstream has answered. Whether it is well is found out with that, rather than with what a stranger names.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::gomod::ModulePath;

/// Modules that are remembered; then the oldest are forgotten.
const MODULES: usize = 4096;
/// Paths that are kept to ask again.
const PATHS: usize = 8;
/// Of these, how many of one host, and of one owner there: whoever has a few modules must not have the word alone.
const OF_A_HOST: usize = 4;
const OF_AN_OWNER: usize = 2;

/// Modules that it has had, and some small things that it has.
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
    paths: Vec<KnownPath>,
}

#[derive(Clone)]
struct KnownPath {
    module: u64,
    /// First element of the module's path.
    host: u64,
    /// First two elements.
    owner: u64,
    path: Arc<str>,
}

impl KnownModules {
    /// It has answered this, whose path below its base URL is given if it is small. Those that came first stay: what is
    /// asked for later may be chosen by somebody who wants it to be asked for.
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
        let Some(path) = path.filter(|_| state.paths.len() < PATHS) else {
            return;
        };
        let mut ends = module.as_str().match_indices('/').map(|(at, _)| at);
        let mut part = || {
            let end = ends.next().unwrap_or(module.as_str().len());
            self.hasher.hash_one(&module.as_str()[..end])
        };
        let (host, owner) = (part(), part());
        let count =
            |of: &dyn Fn(&KnownPath) -> bool| state.paths.iter().filter(|it| of(it)).count();
        if count(&|it| it.module == hash) == 0
            && count(&|it| it.host == host) < OF_A_HOST
            && count(&|it| it.owner == owner) < OF_AN_OWNER
        {
            state.paths.push(KnownPath {
                module: hash,
                host,
                owner,
                path: path.into(),
            });
        }
    }

    /// Whether it has had something of this module.
    pub fn has(&self, module: &ModulePath) -> bool {
        let hash = self.hasher.hash_one(module);
        self.state.lock().modules.contains(&hash)
    }

    /// Whether there is anything to ask for.
    pub fn has_paths(&self) -> bool {
        !self.state.lock().paths.is_empty()
    }

    /// Paths of up to so many different modules, of as many hosts and owners as there are; any of those that are as good.
    pub fn paths(&self, most: usize) -> Vec<Arc<str>> {
        let mut left = self.state.lock().paths.clone();
        fastrand::shuffle(&mut left);
        let mut chosen: Vec<KnownPath> = Vec::new();
        while chosen.len() < most {
            let is_like = |it: &KnownPath| {
                let host = chosen.iter().any(|other| other.host == it.host);
                let owner = chosen.iter().any(|other| other.owner == it.owner);
                (host, owner)
            };
            let best = left.iter().enumerate().min_by_key(|(_, it)| is_like(it));
            let Some((at, _)) = best else { break };
            chosen.push(left.swap_remove(at));
        }
        chosen.into_iter().map(|it| it.path).collect()
    }

    /// This says nothing of the upstream: it fails while others are answered.
    pub fn forget_path(&self, path: &str) {
        self.state.lock().paths.retain(|it| &*it.path != path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str) -> ModulePath {
        ModulePath::parse(path).unwrap()
    }

    #[test]
    fn what_was_answered_is_known_until_much_else_was() {
        let known = KnownModules::default();
        let module = |n: usize| module(&format!("example.com/m{n}x"));
        assert!(!known.has(&module(0)) && !known.has_paths());
        known.has_answered(&module(0), Some("example.com/m0x/@v/list"));
        known.has_answered(&module(1), None);
        assert!(known.has(&module(0)) && known.has(&module(1)));
        assert_eq!(known.paths(3), ["example.com/m0x/@v/list".into()]);
        for n in 2..=MODULES {
            known.has_answered(&module(n), None);
        }
        assert!(!known.has(&module(0)) && known.has(&module(1)));
    }

    fn answered(known: &KnownModules, path: &str) {
        known.has_answered(&module(path), Some(path));
    }

    #[test]
    fn whoever_has_many_modules_has_not_the_word_alone() {
        let known = KnownModules::default();
        answered(&known, "honest.example/m");
        for n in 0..100 {
            answered(&known, &format!("stranger.example/m{n}"));
            answered(&known, &format!("github.com/stranger/m{n}"));
        }
        assert_eq!(known.paths(PATHS).len(), 1 + OF_A_HOST + OF_AN_OWNER);
        for _ in 0..100 {
            let asked = known.paths(3);
            let of = |begin: &str| asked.iter().filter(|path| path.starts_with(begin)).count();
            assert_eq!(of("honest.example/"), 1, "{asked:?}");
            assert_eq!(of("stranger.example/"), 1, "{asked:?}");
            assert_eq!(of("github.com/"), 1, "{asked:?}");
        }
        // What came first stays, but for what turns out to be no help.
        answered(&known, "late.example/a");
        answered(&known, "late.example/b");
        assert_eq!(known.paths(100).len(), PATHS);
        known.forget_path("honest.example/m");
        answered(&known, "late.example/b");
        assert!(known.paths(100).contains(&"late.example/b".into()));
    }

    #[test]
    fn of_one_module_there_is_one_path() {
        let known = KnownModules::default();
        known.has_answered(&module("honest.example/m"), Some("a"));
        known.has_answered(&module("honest.example/m"), Some("b"));
        assert_eq!(known.paths(3), ["a".into()]);
    }
}
