//! A module at a version, as a predictor knows it.

use crate::gomod::{ModulePath, Version, semver};
use crate::protocol::{FileKey, Kind};

/// A module at a version: where it stands among the nodes.
pub(super) type Id = u32;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) module: ModulePath,
    pub(super) version: Version,
    /// The client has asked for its go.mod …
    pub(super) asked: bool,
    /// … and has it.
    pub(super) has_mod: bool,
    /// Some go.mod names it.
    pub(super) required: bool,
    /// Counted among the versions that none does.
    pub(super) counted: bool,
    /// The client will want its requirements whatever it says itself.
    pub(super) whole: bool,
    /// Nobody's requirement that explains why it was asked for, or in the order of the main module's own, or more than its
    /// go.mod is wanted.
    pub(super) is_root: bool,
    /// That of its `.info` among those that were asked for.
    pub(super) rank: u32,
    pub(super) states: States,
    pub(super) content: Option<GoMod>,
    pub(super) followed: Followed,
}

/// What is known of each file of a module version.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct States {
    pub(super) go_mod: State,
    pub(super) info: State,
    pub(super) zip: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    #[default]
    None,
    /// It will be prefetched when its turn comes.
    Wanted,
    /// It has been, and the client has not asked for it yet.
    Open,
    /// It need not be any more.
    Over,
}

impl States {
    pub(super) fn of(&mut self, kind: Kind) -> &mut State {
        match kind {
            Kind::Info => &mut self.info,
            Kind::Mod => &mut self.go_mod,
            Kind::Zip => &mut self.zip,
        }
    }
}

#[derive(Debug)]
pub(super) struct GoMod {
    pub(super) pruned: bool,
    pub(super) requires: Box<[Id]>,
}

/// How far a node's requirements have been followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Followed {
    No,
    /// As the main module's own, perhaps.
    Perhaps,
    Wholly,
}

impl Node {
    pub(super) fn new(module: ModulePath, version: Version) -> Self {
        Node {
            module,
            version,
            asked: false,
            has_mod: false,
            required: false,
            counted: false,
            whole: false,
            is_root: false,
            rank: u32::MAX,
            states: States::default(),
            content: None,
            followed: Followed::No,
        }
    }

    pub(super) fn key(&self, kind: Kind) -> FileKey {
        FileKey {
            module: self.module.clone(),
            version: self.version.clone(),
            kind,
        }
    }

    pub(super) fn is_above(&self, other: &Node) -> bool {
        semver::compare(self.version.as_str(), other.version.as_str()).is_gt()
    }
}
