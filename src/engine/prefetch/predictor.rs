//! What one client is doing, as far as its requests tell, and what it will ask for next.
//!
//! The `go` command asks for the go.mod files of its main module's requirements first, in the order of their paths.
//! Below a go.mod that is not pruned (its language version is below 1.17) it goes on with everything that is required
//! there, and so on; below a pruned one it does not (go.dev/ref/mod#graph-pruning). Then come the `.info` files and the
//! zips, or the zips alone, of what the main module needs: at the highest version that any go.mod wanted. Nothing here
//! asks anybody or looks at a clock; times are given.
//!
//! Everything follows from what the client has got, or a go.mod names. A question alone starts nothing, since what it
//! is about may not exist; nor does an `.info` without its go.mod, since whoever looks for updates wants many of these.

mod breadth;
mod lead;
mod needs;
mod node;
mod run;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::gomod::{ModulePath, Version};
use crate::protocol::{FileKey, Kind};
use breadth::Breadth;
use lead::Lead;
pub use needs::Needs;
use node::{Followed, GoMod, Id, Node, State};
use run::Run;

/// Who has got files of so many modules lately …
const FETCHING: usize = 3;
/// … or so many, walks a graph and will want requirements.
const WALKING: usize = 2;
/// A graph is over when nothing has been heard of it for so long.
const OVER: Duration = Duration::from_secs(10);
/// Module versions of one client that are looked at.
const NODES: usize = 4096;
/// So many of the modules that come next in the order of paths are prefetched.
const WINDOW: usize = 16;
/// So many modules that only the graph explains are wanted before it is taken for one of before 1.17.
const STRAYS: usize = 4;

/// How far ahead of the client each kind of file may be: at first, and at the most. A client that wants the graph only
/// takes no zips, so there is hardly a dozen of them until it does.
const MODS: (usize, usize) = (256, 512);
const INFOS: (usize, usize) = (256, 512);
const ZIPS: (usize, usize) = (12, 64);

/// One client's predictor.
#[derive(Debug)]
pub struct GraphPredictor {
    breadth: Breadth,
    stage: Stage,
    heard: Instant,
    nodes: Vec<Node>,
    ids: HashMap<(ModulePath, Version), Id>,
    run: Run,
    /// go.mod files that the client has asked for, and not got yet.
    mods_under_way: usize,
    /// Of what may come later in the run, the highest version that somebody requires.
    later: BTreeMap<ModulePath, Id>,
    /// The highest version of each module that the client has asked about.
    selected: BTreeMap<ModulePath, Id>,
    /// It asks for `.info` files: those of the others will follow.
    wants_info: bool,
    /// It wants modules that are no requirements of the main module's own: so many …
    strays: usize,
    /// … or all.
    wants_all: bool,
    small: VecDeque<(Id, Kind)>,
    /// Zips to be prefetched, in the order in which the client will want them: by rank, which is that of the `.info`
    /// among those that were asked for, then by path.
    zips: BTreeSet<Turn>,
    ranks: u32,
    leads: Leads,
}

/// When a zip's turn is.
type Turn = (u32, ModulePath, Id);

/// How far ahead of the client the predictor is, in each kind.
#[derive(Debug)]
struct Leads {
    go_mod: Lead,
    info: Lead,
    zip: Lead,
}

impl Leads {
    fn of(&mut self, kind: Kind) -> &mut Lead {
        match kind {
            Kind::Info => &mut self.info,
            Kind::Mod => &mut self.go_mod,
            Kind::Zip => &mut self.zip,
        }
    }
}

/// How much is known of what the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It looks at one module.
    Alone,
    /// It walks a graph: go.mod files are prefetched.
    Walking,
    /// And zips.
    Fetching,
}

impl GraphPredictor {
    /// Of a client that was not heard of before.
    pub fn new(now: Instant) -> Self {
        let lead = |(first, most)| Lead::new(first, most);
        GraphPredictor {
            breadth: Breadth::default(),
            stage: Stage::Alone,
            heard: now,
            nodes: Vec::new(),
            ids: HashMap::new(),
            run: Run::default(),
            mods_under_way: 0,
            later: BTreeMap::new(),
            selected: BTreeMap::new(),
            wants_info: false,
            strays: 0,
            wants_all: false,
            small: VecDeque::new(),
            zips: BTreeSet::new(),
            ranks: 0,
            leads: Leads {
                go_mod: lead(MODS),
                info: lead(INFOS),
                zip: lead(ZIPS),
            },
        }
    }

    /// When the client was last heard of.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Whether it has asked for zips: then it does not want the graph only.
    pub fn takes_zips(&self) -> bool {
        self.leads.zip.credit() > 0
    }

    /// The client asks for a file that is not kept, or is because it was prefetched. Whether it exists is not known
    /// yet: this says only what need not be prefetched, and in which order it asks.
    pub fn asked(&mut self, key: &FileKey, now: Instant) {
        self.heard = now;
        let Some(id) = self.id(&key.module, &key.version) else {
            return;
        };
        let state = self.nodes[id as usize].states.of(key.kind);
        let lead = self.leads.of(key.kind);
        if std::mem::replace(state, State::Over) == State::Open {
            lead.closed();
            lead.earned();
        } else if key.kind == Kind::Zip {
            // In whatever order it takes them.
            lead.earned();
        }
        if key.kind == Kind::Mod {
            self.asked_mod(id);
            self.mods_under_way += 1;
        }
    }

    /// The client gets what it has asked for.
    pub fn got(&mut self, key: &FileKey, now: Instant) {
        self.note(key, now);
        let Some(id) = self.id(&key.module, &key.version) else {
            return;
        };
        let node = &mut self.nodes[id as usize];
        if !node.required && !std::mem::replace(&mut node.counted, true) {
            self.breadth.version(&key.module);
        }
        match key.kind {
            Kind::Mod => {
                self.mods_under_way = self.mods_under_way.saturating_sub(1);
                self.got_mod(id);
            }
            Kind::Info => self.got_info(id),
            Kind::Zip => self.got_zip(id),
        }
    }

    /// The client has got the list of a module's versions, or the latest.
    pub fn got_versions(&mut self, module: &ModulePath) {
        self.breadth.listed(module);
    }

    /// A prefetch has come to nothing, or its file is there and this client will not be seen to take it.
    pub fn given_up(&mut self, key: &FileKey) {
        let Some(id) = self.id(&key.module, &key.version) else {
            return;
        };
        let state = self.nodes[id as usize].states.of(key.kind);
        if std::mem::replace(state, State::Over) == State::Open {
            self.leads.of(key.kind).closed();
        }
    }

    /// Whether nothing has been heard of the client for so long, or so much has, that it begins anew.
    pub fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= OVER || self.nodes.len() >= NODES
    }

    /// A go.mod is there, whoever asked for it.
    pub fn came(&mut self, module: &ModulePath, version: &Version, needs: Needs) {
        let Some(id) = self.id(module, version) else {
            return;
        };
        if self.nodes[id as usize].content.is_some() {
            return;
        }
        let pruned = needs.pruned;
        let requires = needs.requires.iter();
        let requires: Box<[Id]> = requires
            .filter_map(|(module, version)| self.id(module, version))
            .collect();
        for id in &requires {
            self.nodes[*id as usize].required = true;
        }
        self.nodes[id as usize].content = Some(GoMod { pruned, requires });
        self.follow(id);
    }

    /// Whether it has seen this go.mod.
    pub fn knows(&self, key: &FileKey) -> bool {
        self.node(key).is_some_and(|node| node.content.is_some())
    }

    /// Whether the client has asked for this go.mod, or it is prefetched, and it has not come.
    pub fn waits_for(&self, key: &FileKey) -> bool {
        let node = self.node(key).filter(|node| node.content.is_none());
        node.is_some_and(|node| node.asked || node.states.go_mod == State::Open)
    }

    fn node(&self, key: &FileKey) -> Option<&Node> {
        let name = (key.module.clone(), key.version.clone());
        self.ids.get(&name).map(|id| &self.nodes[*id as usize])
    }

    /// The next file to be prefetched that is small, of the kinds allowed.
    pub fn next_small(&mut self, allowed: impl Fn(Kind) -> bool) -> Option<FileKey> {
        if self.stage < Stage::Walking || self.looks_around() {
            return None;
        }
        // The client goes through its main module's requirements before it goes down.
        if self.leads.go_mod.allows()
            && allowed(Kind::Mod)
            && let Some(id) = self.next_in_run()
        {
            return Some(self.open(id, Kind::Mod));
        }
        let mods = self.leads.go_mod.allows_beside(WINDOW);
        let infos = self.leads.info.allows();
        let allowed = |kind: Kind| allowed(kind) && if kind == Kind::Mod { mods } else { infos };
        loop {
            let at = self.small.iter().position(|(_, kind)| allowed(*kind))?;
            let (id, kind) = self.small.remove(at)?;
            let node = &mut self.nodes[id as usize];
            // The client may have been faster.
            if *node.states.of(kind) == State::Wanted && !self.breadth.looks_through(&node.module) {
                return Some(self.open(id, kind));
            }
        }
    }

    /// The next zip to be prefetched.
    pub fn next_zip(&mut self) -> Option<FileKey> {
        if self.stage < Stage::Fetching || self.looks_around() {
            return None;
        }
        if !self.leads.zip.allows() {
            return None;
        }
        let takes_zips = self.takes_zips();
        let may_come = |(_, module, id): &&Turn| {
            // A higher version may have turned up since; and who asks what versions there are may only compare them.
            self.selected.get(module) == Some(id)
                && self.nodes[*id as usize].states.zip == State::Wanted
                && !self.breadth.looks_through(module)
                && (takes_zips || !self.breadth.is_listed(module))
        };
        let turn = self.zips.iter().find(may_come)?.clone();
        self.zips.remove(&turn);
        Some(self.open(turn.2, Kind::Zip))
    }

    fn open(&mut self, id: Id, kind: Kind) -> FileKey {
        self.leads.of(kind).opened();
        let node = &mut self.nodes[id as usize];
        *node.states.of(kind) = State::Open;
        node.key(kind)
    }

    /// Whether the client looks through the versions of several modules, more than it has taken of what was prefetched
    /// for it: then it does not build.
    fn looks_around(&self) -> bool {
        let taken = self.leads.go_mod.credit() + self.leads.zip.credit();
        self.breadth.looked_through() > 1 + taken
    }

    fn note(&mut self, key: &FileKey, now: Instant) {
        if self.stage == Stage::Fetching {
            return;
        }
        let stage = match self.breadth.note(&key.module, &key.version, now) {
            FETCHING.. => Stage::Fetching,
            WALKING.. => Stage::Walking,
            _ => Stage::Alone,
        };
        self.stage = self.stage.max(stage);
    }

    /// The node of a module version; none if there are too many.
    fn id(&mut self, module: &ModulePath, version: &Version) -> Option<Id> {
        let name = (module.clone(), version.clone());
        if let Some(id) = self.ids.get(&name) {
            return Some(*id);
        }
        let id = Id::try_from(self.nodes.len()).ok()?;
        if self.nodes.len() >= NODES {
            return None;
        }
        self.nodes.push(Node::new(name.0.clone(), name.1.clone()));
        self.ids.insert(name, id);
        Some(id)
    }

    fn asked_mod(&mut self, id: Id) {
        let path = self.nodes[id as usize].module.clone();
        let under_way = self.mods_under_way;
        let mut in_run = self.run.takes(&path, under_way);
        if self.run.position().is_none() && !self.nodes[id as usize].whole {
            // Nothing explains it but another run: of another program, perhaps.
            self.run = Run::default();
            in_run = self.run.takes(&path, under_way);
        }
        let node = &mut self.nodes[id as usize];
        if !std::mem::replace(&mut node.asked, true) {
            node.is_root = in_run || !node.whole;
        }
    }

    fn got_mod(&mut self, id: Id) {
        if std::mem::replace(&mut self.nodes[id as usize].has_mod, true) {
            return;
        }
        self.select(id);
        if self.nodes[id as usize].is_root || self.wants_all {
            self.want_zip(id);
            if self.wants_info {
                self.want_small(id, Kind::Info);
            }
        }
        self.follow(id);
    }

    fn got_info(&mut self, id: Id) {
        self.ranks += 1;
        self.rank(id, self.ranks);
        let node = &self.nodes[id as usize];
        if !node.has_mod {
            return;
        }
        self.want_zip(id);
        if !self.wants_info && self.stage >= Stage::Walking {
            self.wants_info = true;
            self.want_all_infos();
        }
        self.is_wanted(id);
    }

    fn got_zip(&mut self, id: Id) {
        if self.nodes[id as usize].has_mod {
            self.is_wanted(id);
        }
    }

    /// The client wants more than the go.mod of this one: it is one of the main module's own requirements, or those are
    /// not all that it wants.
    fn is_wanted(&mut self, id: Id) {
        if std::mem::replace(&mut self.nodes[id as usize].is_root, true) {
            return;
        }
        self.strays += 1;
        if self.strays >= STRAYS {
            self.want_all();
        }
    }

    /// Not only what the main module requires itself is wanted.
    fn want_all(&mut self) {
        if std::mem::replace(&mut self.wants_all, true) {
            return;
        }
        let selected: Vec<Id> = self.selected.values().copied().collect();
        for id in selected {
            self.want_zip(id);
        }
        if self.wants_info {
            self.want_all_infos();
        }
    }

    fn want_all_infos(&mut self) {
        let selected: Vec<Id> = self.selected.values().copied().collect();
        for id in selected {
            let node = &self.nodes[id as usize];
            if node.is_root || self.wants_all {
                self.want_small(id, Kind::Info);
            }
        }
    }

    /// Of each module the highest version counts.
    fn select(&mut self, id: Id) {
        let node = &self.nodes[id as usize];
        match self.selected.get(&node.module) {
            Some(known) if !node.is_above(&self.nodes[*known as usize]) => {}
            _ => {
                self.selected.insert(node.module.clone(), id);
            }
        }
    }

    fn want_small(&mut self, id: Id, kind: Kind) {
        let state = self.nodes[id as usize].states.of(kind);
        if *state == State::None {
            *state = State::Wanted;
            self.small.push_back((id, kind));
        }
    }

    fn want_zip(&mut self, id: Id) {
        let node = &mut self.nodes[id as usize];
        if node.states.zip == State::None {
            node.states.zip = State::Wanted;
            self.zips.insert((node.rank, node.module.clone(), id));
        }
    }

    /// When its zip's turn is.
    fn rank(&mut self, id: Id, rank: u32) {
        let node = &mut self.nodes[id as usize];
        let before = (node.rank, node.module.clone(), id);
        node.rank = rank;
        if self.zips.remove(&before) {
            self.zips.insert((rank, node.module.clone(), id));
        }
    }

    /// Follows the requirements of a go.mod that is there, as far as the client will.
    fn follow(&mut self, id: Id) {
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            let node = &mut self.nodes[id as usize];
            let Some(content) = &node.content else {
                continue;
            };
            if !node.whole && self.breadth.looks_through(&node.module) {
                continue;
            }
            let wholly = node.whole || (node.asked && !content.pruned);
            let (before, now) = match (wholly, node.asked) {
                (true, _) => (node.followed, Followed::Wholly),
                (false, true) => (node.followed, Followed::Perhaps),
                (false, false) => continue,
            };
            if before >= now {
                continue;
            }
            node.followed = now;
            let requires = content.requires.clone();
            for id in requires {
                if wholly {
                    self.nodes[id as usize].whole = true;
                    self.want_small(id, Kind::Mod);
                    left.push(id);
                } else {
                    self.comes_later(id);
                }
            }
        }
    }

    /// A requirement of one of the main module's requirements may be one itself. Then the client asks for it when its
    /// turn comes, if it is not required at a higher version.
    fn comes_later(&mut self, id: Id) {
        let node = &self.nodes[id as usize];
        if self.run.position().is_none_or(|now| node.module <= *now) {
            return;
        }
        match self.later.get(&node.module) {
            Some(known) if !node.is_above(&self.nodes[*known as usize]) => {}
            _ => {
                self.later.insert(node.module.clone(), id);
            }
        }
    }

    /// The next of those that come soon in the run.
    fn next_in_run(&self) -> Option<Id> {
        let now = self.run.position()?;
        let range = (Bound::Excluded(now), Bound::Unbounded);
        let mut soon = self.later.range::<ModulePath, _>(range).take(WINDOW);
        let next = soon.find(|(module, id)| {
            let state = self.nodes[**id as usize].states.go_mod;
            state == State::None && !self.breadth.looks_through(module)
        });
        next.map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests;
