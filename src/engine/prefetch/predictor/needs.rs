//! What a go.mod says of the graph below it.

use crate::gomod::{ModulePath, Version, modfile};

/// Requirements of one go.mod that are looked at.
const REQUIREMENTS: usize = 1024;
/// The largest go.mod that is looked into. Bytes.
const LARGEST: usize = 1 << 20;

/// What a go.mod says of what is needed below it.
#[derive(Debug)]
pub struct Needs {
    /// Its own requirements are all.
    pub(super) pruned: bool,
    pub(super) requires: Vec<(ModulePath, Version)>,
}

impl Needs {
    /// None of one that is larger than any that makes sense.
    pub fn read(go_mod: &[u8]) -> Option<Self> {
        if go_mod.len() > LARGEST {
            return None;
        }
        let parsed = |(path, version): (String, String)| {
            let module = ModulePath::parse(&path).ok()?;
            let version = Version::parse(&version).ok()?;
            version.fits(&module).then_some((module, version))
        };
        let requires = modfile::requirements(go_mod).into_iter();
        Some(Needs {
            pruned: modfile::go_version(go_mod).is_some_and(|go| at_least_1_17(&go)),
            requires: requires.take(REQUIREMENTS).filter_map(parsed).collect(),
        })
    }
}

/// Whether a go.mod of this language version lists everything that is needed (go.dev/ref/mod#graph-pruning).
pub(super) fn at_least_1_17(go: &str) -> bool {
    let mut parts = go.split('.');
    let mut number = || {
        let digits = parts.next().unwrap_or_default();
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        digits[..end].parse::<u32>().unwrap_or_default()
    };
    (number(), number()) >= (1, 17)
}
