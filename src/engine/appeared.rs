//! Versions whose `.info` has come lately. A list that was asked for before may lack them.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::gomod::{ModulePath, Version};
use crate::protocol::FileKey;

/// So many are remembered.
const MOST: usize = 256;

/// The last versions that have appeared; bounded.
#[derive(Default)]
pub(super) struct Appeared(Mutex<State>);

#[derive(Default)]
struct State {
    /// How many have appeared so far.
    count: u64,
    last: VecDeque<(ModulePath, Version)>,
}

impl Appeared {
    /// This one has.
    pub(super) fn note(&self, file: &FileKey) {
        let mut state = self.0.lock();
        state.count += 1;
        if state.last.len() == MOST {
            state.last.pop_front();
        }
        let version = (file.module.clone(), file.version.clone());
        state.last.push_back(version);
    }

    /// How many have so far.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// Whether everything that has appeared of a module after the first `count` fits; not if it is not known any more.
    pub(super) fn all_since(
        &self,
        count: u64,
        module: &ModulePath,
        fits: impl Fn(&Version) -> bool,
    ) -> bool {
        let state = self.0.lock();
        let new = usize::try_from(state.count - count).unwrap_or(usize::MAX);
        new <= state.last.len()
            && (state.last.iter().rev().take(new))
                .all(|(of, version)| of != module || fits(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Kind;

    fn file(module: &str, version: &str) -> FileKey {
        FileKey {
            module: ModulePath::parse(module).unwrap(),
            version: Version::parse(version).unwrap(),
            kind: Kind::Info,
        }
    }

    #[test]
    fn only_what_came_later_counts() {
        let appeared = Appeared::default();
        let (first, second) = (
            file("example.com/m", "v1.0.0"),
            file("example.com/m", "v1.1.0"),
        );
        appeared.note(&first);
        let count = appeared.count();
        let none = |_: &Version| false;
        assert!(appeared.all_since(count, &first.module, none));
        appeared.note(&second);
        assert!(!appeared.all_since(count, &first.module, none));
        assert!(appeared.all_since(count, &first.module, |it| *it == second.version));
        let other = file("example.com/other", "v1.0.0");
        assert!(appeared.all_since(count, &other.module, none));
        for _ in 0..MOST {
            appeared.note(&other);
        }
        assert!(
            !appeared.all_since(count, &first.module, |_| true),
            "it is not known"
        );
        assert!(appeared.all_since(count + 1, &first.module, none));
    }
}
