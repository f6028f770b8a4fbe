//! What one client is doing, as far as its requests tell, and what it will ask for next.
//!
//! The `go` command asks for the go.mod files of its main module's requirements first, in the order of their paths.
//! Below a go.mod that is not pruned (its language version is below 1.17) it goes on with everything that is required
//! there, and so on; below a pruned one it does not (go.dev/ref/mod#graph-pruning). Then come the `.info` files and the
//! zips, or the zips alone, of what the main module needs: at the highest version that any go.mod wanted. Nothing here
//! asks anybody or looks at a clock; times are given.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::gomod::{ModulePath, Version, modfile, semver};
use crate::protocol::{FileKey, Kind};

/// Who asked for so many modules …
const FETCHING: usize = 3;
/// … or so many, walks a graph and will want requirements …
const WALKING: usize = 2;
/// … if it was within this time.
const WITHIN: Duration = Duration::from_secs(2);
/// A walk is over when nothing has been heard of it for so long.
const OVER: Duration = Duration::from_secs(10);
/// Module versions of one walk that are looked at.
const NODES: usize = 4096;
/// Requirements of one go.mod that are looked at.
const REQUIREMENTS: usize = 1024;
/// The largest go.mod that is looked into. Bytes.
const LARGEST: usize = 1 << 20;
/// So many of the modules that come next in the order of paths are guessed.
const WINDOW: usize = 16;
/// Several requests are under way at once, so paths may come a little out of order: compared with as many.
const JITTER: usize = 3;
/// The first run over the requirements is over when so many requests in a row are not of it.
const STRAGGLERS: usize = 3;

/// A zip is asked for out of its turn if so many that were guessed before it are not asked for yet.
const PASSED_OVER: usize = 16;
/// So many such make a picky client, …
const PICKY: usize = 4;
/// … of whose zips so many are guessed, and two more for each that it takes.
const MODEST: usize = 24;

/// A module at a version: where it stands among the walk's nodes.
type Id = u32;

/// One client's walk.
#[derive(Debug)]
pub struct Walk {
    /// The last distinct modules that it missed.
    missed: VecDeque<(ModulePath, Instant)>,
    stage: Stage,
    heard: Instant,
    nodes: Vec<Node>,
    ids: HashMap<(ModulePath, Version), Id>,
    run: Run,
    /// Of what may come later in the run, the highest version that somebody requires.
    ahead: BTreeMap<ModulePath, Id>,
    /// The highest version of each module that the client has asked about.
    selected: BTreeMap<ModulePath, Id>,
    /// It asks for `.info` files: those of the others will follow.
    wants_info: bool,
    /// It wants modules that are no requirements of the main module's own.
    wants_all: bool,
    small: VecDeque<(Id, Kind)>,
    zips: Zips,
}

/// How much is known of what the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It looks at one module.
    Alone,
    /// It walks a graph: go.mod files are guessed.
    Walking,
    /// And zips.
    Fetching,
}

#[derive(Debug)]
struct Node {
    module: ModulePath,
    version: Version,
    /// The client has asked for its go.mod, or its `.info`.
    asked: bool,
    /// The client will want its requirements whatever it says itself.
    whole: bool,
    /// Nobody's requirement that explains why it was asked for, or in the order of the main module's own.
    is_root: bool,
    /// That of its `.info` among those that were asked for.
    rank: u32,
    guessed: Guessed,
    content: Option<GoMod>,
    followed: Followed,
}

/// What has been guessed of a module version, or need not be any more.
#[derive(Clone, Copy, Debug, Default)]
struct Guessed {
    go_mod: bool,
    info: bool,
    zip: bool,
}

impl Guessed {
    fn of(&mut self, kind: Kind) -> &mut bool {
        match kind {
            Kind::Info => &mut self.info,
            Kind::Mod => &mut self.go_mod,
            Kind::Zip => &mut self.zip,
        }
    }
}

#[derive(Debug)]
struct GoMod {
    pruned: bool,
    requires: Box<[Id]>,
}

/// How far a node's requirements have been followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Followed {
    No,
    /// As the main module's own, perhaps.
    Perhaps,
    Wholly,
}

/// The run over the main module's requirements, in the order of their paths.
#[derive(Debug, Default)]
struct Run {
    /// The highest paths so far, in order.
    highest: VecDeque<ModulePath>,
    stragglers: usize,
}

impl Run {
    /// Whether a module that is asked for now goes on with the run.
    fn takes(&mut self, path: &ModulePath) -> bool {
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
    fn position(&self) -> Option<&ModulePath> {
        match self.stragglers < STRAGGLERS {
            true => self.highest.back(),
            false => None,
        }
    }
}

/// Zips to be guessed, in the order in which the client will want them.
#[derive(Debug, Default)]
struct Zips {
    /// By rank, which is that of the `.info` among those that were asked for, then by path.
    waiting: BTreeSet<Turn>,
    ranks: u32,
    /// Guessed, and not asked for yet.
    open: BTreeSet<Turn>,
    guessed: usize,
    asked: usize,
    /// How many more were asked for out of their turn than in turn, lately.
    odd: usize,
}

/// When a zip's turn is.
type Turn = (u32, ModulePath, Id);

impl Zips {
    /// One is asked for whose turn this would be.
    fn asked(&mut self, turn: &Turn) {
        self.asked += 1;
        self.waiting.remove(turn);
        let passed_over = self.open.range(..turn).take(PASSED_OVER).count();
        self.open.remove(turn);
        self.odd = match passed_over >= PASSED_OVER {
            true => (self.odd + 1).min(2 * PICKY),
            false => self.odd.saturating_sub(1),
        };
    }

    /// Whether another may be guessed. A client that takes them in another order compiles a program, and will not take
    /// all: then not many more than it has taken.
    fn may_go_on(&self) -> bool {
        self.odd < PICKY || self.guessed < MODEST + 2 * self.asked
    }
}

/// What a go.mod says of what is needed below it.
#[derive(Debug)]
pub struct Needs {
    /// Its own requirements are all.
    pruned: bool,
    requires: Vec<(ModulePath, Version)>,
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

impl Walk {
    /// Of a client that was not heard of before.
    pub fn new(now: Instant) -> Self {
        Walk {
            missed: VecDeque::new(),
            stage: Stage::Alone,
            heard: now,
            nodes: Vec::new(),
            ids: HashMap::new(),
            run: Run::default(),
            ahead: BTreeMap::new(),
            selected: BTreeMap::new(),
            wants_info: false,
            wants_all: false,
            small: VecDeque::new(),
            zips: Zips::default(),
        }
    }

    /// When the client was last heard of.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// The client asks for a file that is not kept, or is because it was guessed.
    pub fn asked(&mut self, key: &FileKey, now: Instant) {
        self.heard = now;
        self.note(&key.module, now);
        let Some(id) = self.id(&key.module, &key.version) else {
            return;
        };
        *self.nodes[id as usize].guessed.of(key.kind) = true;
        match key.kind {
            Kind::Mod => self.asked_mod(id),
            Kind::Info => self.asked_info(id),
            Kind::Zip => self.asked_zip(id),
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
        let requires = requires.filter_map(|(module, version)| self.id(module, version));
        let requires = requires.collect();
        self.nodes[id as usize].content = Some(GoMod { pruned, requires });
        self.follow(id);
    }

    /// The next file to be guessed that is small, of the kinds allowed.
    pub fn next_small(&mut self, allowed: impl Fn(Kind) -> bool) -> Option<FileKey> {
        if self.stage < Stage::Walking {
            return None;
        }
        while let Some(at) = self.small.iter().position(|(_, kind)| allowed(*kind)) {
            let Some((id, kind)) = self.small.remove(at) else {
                break;
            };
            let node = &self.nodes[id as usize];
            // The client may have been faster.
            if kind != Kind::Mod || !node.asked {
                return Some(node.key(kind));
            }
        }
        self.next_in_run().filter(|_| allowed(Kind::Mod))
    }

    /// The next zip to be guessed.
    pub fn next_zip(&mut self) -> Option<FileKey> {
        if self.stage < Stage::Fetching || !self.zips.may_go_on() {
            return None;
        }
        while let Some(turn) = self.zips.waiting.pop_first() {
            let (_, module, id) = &turn;
            let node = &mut self.nodes[*id as usize];
            // A higher version may have turned up since.
            if !node.guessed.zip && self.selected.get(module) == Some(id) {
                node.guessed.zip = true;
                let key = node.key(Kind::Zip);
                self.zips.guessed += 1;
                self.zips.open.insert(turn);
                return Some(key);
            }
        }
        None
    }

    fn note(&mut self, module: &ModulePath, now: Instant) {
        if self.stage == Stage::Fetching {
            return;
        }
        self.missed
            .retain(|(known, at)| known != module && now.saturating_duration_since(*at) <= WITHIN);
        self.missed.push_back((module.clone(), now));
        let stage = match self.missed.len() {
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
        self.nodes.push(Node {
            module: name.0.clone(),
            version: name.1.clone(),
            asked: false,
            whole: false,
            is_root: false,
            rank: u32::MAX,
            guessed: Guessed::default(),
            content: None,
            followed: Followed::No,
        });
        self.ids.insert(name, id);
        Some(id)
    }

    fn asked_mod(&mut self, id: Id) {
        let path = self.nodes[id as usize].module.clone();
        let mut in_run = self.run.takes(&path);
        if self.run.position().is_none() && !self.nodes[id as usize].whole {
            // Nothing explains it but another run: of another program, perhaps.
            self.run = Run::default();
            in_run = self.run.takes(&path);
        }
        let node = &mut self.nodes[id as usize];
        if node.asked {
            return;
        }
        node.asked = true;
        node.is_root = in_run || !node.whole;
        self.select(id);
        if self.nodes[id as usize].is_root || self.wants_all {
            self.want_zip(id);
            if self.wants_info {
                self.want_small(id, Kind::Info);
            }
        }
        self.follow(id);
    }

    fn asked_info(&mut self, id: Id) {
        self.zips.ranks += 1;
        self.want_zip_at(id, self.zips.ranks);
        let node = &self.nodes[id as usize];
        if !node.asked {
            // As of a module that is to be added: its go.mod comes next.
            self.select(id);
            self.want_small(id, Kind::Mod);
            return;
        }
        let is_root = node.is_root;
        if !self.wants_info && self.stage >= Stage::Walking {
            self.wants_info = true;
            self.want_all_infos();
        }
        if !is_root {
            self.want_all();
        }
    }

    fn asked_zip(&mut self, id: Id) {
        let node = &self.nodes[id as usize];
        self.zips.asked(&(node.rank, node.module.clone(), id));
        if node.asked && !node.is_root {
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
            if self.nodes[id as usize].asked {
                self.want_zip(id);
            }
        }
        if self.wants_info {
            self.want_all_infos();
        }
    }

    fn want_all_infos(&mut self) {
        let selected: Vec<Id> = self.selected.values().copied().collect();
        for id in selected {
            let node = &self.nodes[id as usize];
            if node.asked && (node.is_root || self.wants_all) {
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
        let node = &mut self.nodes[id as usize];
        if !std::mem::replace(node.guessed.of(kind), true) {
            self.small.push_back((id, kind));
        }
    }

    fn want_zip(&mut self, id: Id) {
        let rank = self.nodes[id as usize].rank;
        self.want_zip_at(id, rank);
    }

    fn want_zip_at(&mut self, id: Id, rank: u32) {
        let node = &mut self.nodes[id as usize];
        let before = (node.rank, node.module.clone(), id);
        let turn = (rank, node.module.clone(), id);
        node.rank = rank;
        self.zips.waiting.remove(&before);
        if self.zips.open.remove(&before) {
            self.zips.open.insert(turn);
        } else if !node.guessed.zip {
            self.zips.waiting.insert(turn);
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
        match self.ahead.get(&node.module) {
            Some(known) if !node.is_above(&self.nodes[*known as usize]) => {}
            _ => {
                self.ahead.insert(node.module.clone(), id);
            }
        }
    }

    /// The next of those that come soon in the run.
    fn next_in_run(&mut self) -> Option<FileKey> {
        let now = self.run.position()?;
        let range = (Bound::Excluded(now), Bound::Unbounded);
        let mut soon = self.ahead.range::<ModulePath, _>(range).take(WINDOW);
        let (_, id) = soon.find(|(_, id)| !self.nodes[**id as usize].guessed.go_mod)?;
        let node = &mut self.nodes[*id as usize];
        node.guessed.go_mod = true;
        Some(node.key(Kind::Mod))
    }
}

impl Node {
    fn key(&self, kind: Kind) -> FileKey {
        FileKey {
            module: self.module.clone(),
            version: self.version.clone(),
            kind,
        }
    }

    fn is_above(&self, other: &Node) -> bool {
        semver::compare(self.version.as_str(), other.version.as_str()).is_gt()
    }
}

/// Whether a go.mod of this language version lists everything that is needed (go.dev/ref/mod#graph-pruning).
fn at_least_1_17(go: &str) -> bool {
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

#[cfg(test)]
mod tests;
