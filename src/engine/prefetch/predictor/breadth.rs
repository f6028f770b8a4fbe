//! How many modules a client is after: one, as everybody now and then, or a graph of them, or every version of some.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::gomod::{ModulePath, Version};

/// Modules count together if they were asked for within this time.
const WITHIN: Duration = Duration::from_secs(2);
/// The last modules that are compared.
const RECENT: usize = 8;
/// A client that builds takes one version of a module, and perhaps one more to compare. Who asks for more of them,
/// which no go.mod names, looks through what there is.
const VERSIONS: u32 = 2;
/// Modules of one client that are counted.
const MODULES: usize = 4096;

/// What a client has asked for and got, by module.
#[derive(Debug, Default)]
pub(super) struct Breadth {
    /// The last distinct ones.
    recent: VecDeque<(ModulePath, Version, Instant)>,
    modules: HashMap<ModulePath, Asked>,
    /// How many of them are looked through.
    looked_through: usize,
}

#[derive(Debug, Default)]
struct Asked {
    /// Versions that no go.mod names.
    versions: u32,
    /// Its versions, or which is the latest.
    listed: bool,
}

impl Breadth {
    /// The client has a file of this version. Gives of how many modules it has had one lately.
    pub(super) fn note(&mut self, module: &ModulePath, version: &Version, now: Instant) -> usize {
        let mut outermost = module.clone();
        self.recent.retain(|(known, at_version, at)| {
            // The paths that a package may belong to are one question.
            let same = known == module || (at_version == version && is_nested(known, module));
            if same && known.as_str().len() < outermost.as_str().len() {
                outermost = known.clone();
            }
            !same && now.saturating_duration_since(*at) <= WITHIN
        });
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((outermost, version.clone(), now));
        self.recent.len()
    }

    /// Another version of this module that no go.mod names.
    pub(super) fn version(&mut self, module: &ModulePath) {
        let Some(asked) = self.of(module) else { return };
        asked.versions += 1;
        if asked.versions == VERSIONS + 1 {
            self.looked_through += 1;
        }
    }

    /// The client has this module's list, or its latest version.
    pub(super) fn listed(&mut self, module: &ModulePath) {
        if let Some(asked) = self.of(module) {
            asked.listed = true;
        }
    }

    fn of(&mut self, module: &ModulePath) -> Option<&mut Asked> {
        if self.modules.len() >= MODULES && !self.modules.contains_key(module) {
            return None;
        }
        Some(self.modules.entry(module.clone()).or_default())
    }

    /// Whether the client looks through this module's versions.
    pub(super) fn looks_through(&self, module: &ModulePath) -> bool {
        let asked = self.modules.get(module);
        asked.is_some_and(|asked| asked.versions > VERSIONS)
    }

    /// Whether the client has asked which versions of this module there are.
    pub(super) fn is_listed(&self, module: &ModulePath) -> bool {
        self.modules.get(module).is_some_and(|asked| asked.listed)
    }

    /// How many modules the client looks through.
    pub(super) fn looked_through(&self) -> usize {
        self.looked_through
    }
}

/// Whether one of the paths is below the other.
fn is_nested(one: &ModulePath, other: &ModulePath) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let (outer, inner) = match one.len() < other.len() {
        true => (one, other),
        false => (other, one),
    };
    let below = inner.strip_prefix(outer);
    below.is_some_and(|rest| rest.starts_with('/'))
}
