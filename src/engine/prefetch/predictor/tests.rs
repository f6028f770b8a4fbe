use super::needs::at_least_1_17;
use super::*;

/// A graph of go.mod files, and a client in it.
struct Scene {
    predictor: GraphPredictor,
    now: Instant,
    mods: HashMap<String, String>,
    fetched: Vec<String>,
}

fn key(file: &str) -> FileKey {
    let (name, ext) = file.rsplit_once('.').unwrap();
    let (module, version) = name.split_once('@').unwrap();
    FileKey {
        module: ModulePath::parse(module).unwrap(),
        version: Version::parse(version).unwrap(),
        kind: Kind::from_ext(ext).unwrap(),
    }
}

/// A client asks for a file, and gets it.
fn gets(predictor: &mut GraphPredictor, file: &str, now: Instant) {
    predictor.asked(&key(file), now);
    predictor.got(&key(file), now);
}

fn name(key: &FileKey) -> String {
    format!("{}@{}.{}", key.module, key.version, key.kind.ext())
}

impl Scene {
    /// Lines such as `a.io/a@v1.0.0 1.20: a.io/b@v1.0.0 a.io/c@v1.2.0`.
    fn new(graph: &str) -> Self {
        let mods = graph.lines().filter(|line| !line.trim().is_empty());
        let mods = mods.map(|line| {
            let (head, requires) = line.trim().split_once(':').unwrap();
            let (name, go) = head.split_once(' ').unwrap();
            let mut text = format!("module x\ngo {go}\n");
            for required in requires.split_whitespace() {
                text += &format!("require {}\n", required.replace('@', " "));
            }
            (name.to_owned(), text)
        });
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        Scene {
            mods: mods.collect(),
            now,
            predictor: GraphPredictor::new(now),
            fetched: Vec::new(),
        }
    }

    /// The client asks for a file; then everything that is prefetched comes. Gives what that was.
    fn asks(&mut self, file: &str) -> Vec<String> {
        self.now += Duration::from_millis(20);
        let asked = key(file);
        gets(&mut self.predictor, file, self.now);
        self.came(&asked);
        self.prefetched_now()
    }

    /// What is prefetched now, and comes.
    fn prefetched_now(&mut self) -> Vec<String> {
        let mut prefetched = Vec::new();
        loop {
            let Some(key) = self
                .predictor
                .next_small(|_| true)
                .or_else(|| self.predictor.next_zip())
            else {
                self.fetched.extend(prefetched.iter().cloned());
                return prefetched;
            };
            self.came(&key);
            prefetched.push(name(&key));
        }
    }

    fn came(&mut self, key: &FileKey) {
        let name = format!("{}@{}", key.module, key.version);
        if let (Kind::Mod, Some(text)) = (key.kind, self.mods.get(&name)) {
            let needs = Needs::read(text.as_bytes()).unwrap();
            self.predictor.came(&key.module, &key.version, needs);
        }
    }

    fn asks_all(&mut self, files: &str) {
        for file in files.split_whitespace() {
            self.asks(file);
        }
    }

    fn prefetched(&self, end: &str) -> Vec<&str> {
        let prefetched = self.fetched.iter().map(String::as_str);
        prefetched.filter(|file| file.ends_with(end)).collect()
    }
}

#[test]
fn a_lone_module_costs_what_it_costs() {
    let mut scene = Scene::new("a.io/a@v1.0.0 1.16: a.io/b@v1.0.0");
    for file in ["info", "mod", "zip", "info"] {
        assert!(scene.asks(&format!("a.io/a@v1.0.0.{file}")).is_empty());
    }
    scene.now += Duration::from_millis(2001);
    assert!(scene.asks("a.io/x@v1.0.0.mod").is_empty(), "much later");
    assert_eq!(scene.asks("a.io/y@v1.0.0.mod"), ["a.io/b@v1.0.0.mod"]);
}

#[test]
fn below_what_is_not_pruned_all_is_wanted() {
    let mut scene = Scene::new(
        "a.io/a@v1.0.0 1.16: a.io/c@v1.0.0
         a.io/c@v1.0.0 1.20: a.io/d@v1.0.0
         a.io/d@v1.0.0 1.20: a.io/e@v1.0.0
         a.io/e@v1.0.0 1.20:",
    );
    scene.asks("a.io/a@v1.0.0.mod");
    let prefetched = scene.asks("a.io/b@v1.0.0.mod");
    assert_eq!(
        prefetched,
        [
            "a.io/c@v1.0.0.mod",
            "a.io/d@v1.0.0.mod",
            "a.io/e@v1.0.0.mod"
        ]
    );
}

#[test]
fn below_what_is_pruned_only_what_comes_next_is_prefetched_at_its_highest_version() {
    let mut scene = Scene::new(
        "a.io/b@v1.0.0 1.20: a.io/a@v1.0.0 a.io/x@v1.1.0 a.io/y@v1.0.0
         a.io/x@v1.2.0 1.20: a.io/z@v1.0.0
         a.io/c@v1.0.0 1.20: a.io/x@v1.2.0",
    );
    assert!(scene.asks("a.io/b@v1.0.0.mod").is_empty());
    let prefetched = scene.asks("a.io/c@v1.0.0.mod");
    // a.io/a has had its turn, a.io/z is required by nobody who is known to be wanted.
    assert_eq!(prefetched, ["a.io/x@v1.2.0.mod", "a.io/y@v1.0.0.mod"]);
}

#[test]
fn what_comes_next_in_the_run_goes_before_what_is_below() {
    let mut below = String::new();
    for n in 0..600 {
        below += &format!(" z.io/m{n}@v1.0.0");
    }
    let mut scene = Scene::new(&format!(
        "a.io/a@v1.0.0 1.16:{below}
         a.io/b@v1.0.0 1.20: a.io/d@v1.0.0
         a.io/c@v1.0.0 1.20: a.io/e@v1.0.0"
    ));
    scene.asks("a.io/a@v1.0.0.mod");
    let prefetched = scene.asks("a.io/b@v1.0.0.mod");
    assert_eq!(prefetched[0], "a.io/d@v1.0.0.mod", "before all of z.io");
    assert_eq!(prefetched.len(), MODS.0 - WINDOW);
    // There is always room for it.
    assert_eq!(scene.asks("a.io/c@v1.0.0.mod")[0], "a.io/e@v1.0.0.mod");
}

#[test]
fn zips_of_what_the_main_module_requires_in_order_and_no_others() {
    let mut scene = Scene::new(
        "a.io/a@v1.0.0 1.16: b.io/old@v1.0.0 a.io/c@v0.9.0
         a.io/b@v1.0.0 1.20:
         a.io/c@v1.0.0 1.20:
         b.io/old@v1.0.0 1.16:
         a.io/c@v0.9.0 1.20:
         c.io/d@v1.0.0 1.20:
         c.io/e@v1.0.0 1.20:",
    );
    scene.asks_all(
        "a.io/a@v1.0.0.mod a.io/b@v1.0.0.mod a.io/c@v1.0.0.mod c.io/d@v1.0.0.mod c.io/e@v1.0.0.mod",
    );
    scene.asks_all("a.io/c@v0.9.0.mod b.io/old@v1.0.0.mod");
    assert_eq!(
        scene.prefetched(".zip"),
        ["a", "b", "c"]
            .map(|name| format!("a.io/{name}@v1.0.0.zip"))
            .into_iter()
            .chain(["d", "e"].map(|name| format!("c.io/{name}@v1.0.0.zip")))
            .collect::<Vec<_>>()
    );
    // A zip that only the graph explains.
    assert!(
        scene
            .asks("b.io/old@v1.0.0.info")
            .contains(&"b.io/old@v1.0.0.zip".to_owned())
    );
}

#[test]
fn several_modules_that_only_the_graph_explains_are_those_of_an_old_main_module() {
    let mut world = "a.io/a@v1.0.0 1.16:".to_owned();
    for n in 0..8 {
        world += &format!(" a.io/{n}@v1.0.0");
    }
    let mut scene = Scene::new(&world);
    scene.asks_all("a.io/a@v1.0.0.mod b.io/b@v1.0.0.mod c.io/c@v1.0.0.mod");
    for n in 0..8 {
        scene.asks(&format!("a.io/{n}@v1.0.0.mod"));
    }
    assert_eq!(scene.prefetched(".zip").len(), 3, "a, b and c");
    for n in 0..3 {
        scene.asks(&format!("a.io/{n}@v1.0.0.info"));
        assert_eq!(scene.prefetched(".zip").len(), 3 + n + 1, "its own");
    }
    scene.asks("a.io/3@v1.0.0.info");
    assert_eq!(scene.prefetched(".zip").len(), 3 + 8);
}

#[test]
fn many_requests_at_a_time_do_not_hide_the_order() {
    // All of them are required by the first one, too, which is followed wholly.
    let names: Vec<_> = (0..60).map(|n| format!("b.io/m{n:02}@v1.0.0")).collect();
    let mut scene = Scene::new(&format!("a.io/a@v1.0.0 1.16: {}", names.join(" ")));
    scene.asks("a.io/a@v1.0.0.mod");
    // Sixteen at a time, which overtake each other.
    for group in names.chunks(16) {
        let order = || (0..group.len()).map(|n| format!("{}.mod", group[n * 5 % group.len()]));
        for file in order() {
            scene.predictor.asked(&key(&file), scene.now);
        }
        for file in order() {
            scene.predictor.got(&key(&file), scene.now);
        }
    }
    let roots = scene
        .predictor
        .nodes
        .iter()
        .filter(|node| node.is_root)
        .count();
    assert!(roots > 55, "{roots}");
}

#[test]
fn one_info_brings_all_infos() {
    let mut scene = Scene::new("");
    scene.asks_all("a.io/a@v1.0.0.mod a.io/b@v1.0.0.mod a.io/c@v1.0.0.mod");
    assert!(scene.prefetched(".info").is_empty());
    let prefetched = scene.asks("a.io/a@v1.0.0.info");
    assert_eq!(prefetched, ["a.io/b@v1.0.0.info", "a.io/c@v1.0.0.info"]);
    assert_eq!(scene.prefetched(".zip").len(), 3);
}

#[test]
fn the_order_of_infos_is_that_of_zips() {
    let mut predictor = GraphPredictor::new(Scene::new("").now);
    let now = predictor.heard();
    for name in ["a", "b", "c", "d"] {
        gets(&mut predictor, &format!("a.io/{name}@v1.0.0.mod"), now);
    }
    for name in ["c", "b"] {
        gets(&mut predictor, &format!("a.io/{name}@v1.0.0.info"), now);
    }
    let zips = std::iter::from_fn(|| predictor.next_zip());
    let zips: Vec<_> = zips.map(|key| key.module.to_string()).collect();
    assert_eq!(zips, ["a.io/c", "a.io/b", "a.io/a", "a.io/d"]);
}

#[test]
fn only_the_highest_version_of_a_module() {
    let mut predictor = GraphPredictor::new(Scene::new("").now);
    let now = predictor.heard();
    for file in [
        "a.io/a@v1.10.0",
        "a.io/a@v1.9.0",
        "a.io/b@v1.0.0",
        "a.io/c@v1.0.0",
    ] {
        gets(&mut predictor, &format!("{file}.mod"), now);
    }
    let zips = std::iter::from_fn(|| predictor.next_zip());
    let zips: Vec<_> = zips.map(|key| name(&key)).collect();
    assert_eq!(
        zips,
        [
            "a.io/a@v1.10.0.zip",
            "a.io/b@v1.0.0.zip",
            "a.io/c@v1.0.0.zip"
        ]
    );
}

#[test]
fn it_does_not_grow_without_bounds() {
    let mut predictor = GraphPredictor::new(Scene::new("").now);
    let now = predictor.heard();
    for round in 0..10 {
        let mut text = "module x\n".to_owned();
        for n in 0..1000 {
            text += &format!("require r{round}.io/m{n} v1.0.0\n");
        }
        let file = format!("a.io/m{round}@v1.0.0.mod");
        gets(&mut predictor, &file, now);
        let (asked, needs) = (key(&file), Needs::read(text.as_bytes()).unwrap());
        predictor.came(&asked.module, &asked.version, needs);
    }
    assert_eq!(predictor.nodes.len(), NODES);
    assert!(predictor.small.len() <= NODES);
}

#[test]
fn language_versions() {
    for (go, pruned) in [
        ("1.16", false),
        ("1.17", true),
        ("1.9", false),
        ("1.21.3", true),
        ("1.21rc1", true),
        ("2.0", true),
    ] {
        assert_eq!(at_least_1_17(go), pruned, "{go}");
    }
}

/// A client that has the go.mod files of so many modules, after what is prefetched then.
fn walker(modules: usize) -> Scene {
    let mut scene = Scene::new("");
    for n in 0..modules {
        scene.asks(&format!("a.io/m{n:03}@v1.0.0.mod"));
    }
    scene
}

#[test]
fn who_wants_the_graph_only_gets_a_dozen_zips_and_who_takes_them_gets_more() {
    let mut scene = walker(300);
    assert_eq!(scene.prefetched(".zip").len(), 12);
    scene.asks_all("a.io/m000@v1.0.0.info a.io/m100@v1.0.0.info");
    assert_eq!(scene.prefetched(".zip").len(), 12);
    for n in 0..12 {
        scene.asks(&format!("a.io/m{n:03}@v1.0.0.zip"));
    }
    assert_eq!(scene.prefetched(".zip").len(), 36, "twice as many are open");
    // Not further ahead than that.
    for n in 12..212 {
        scene.asks(&format!("a.io/m{n:03}@v1.0.0.zip"));
    }
    assert_eq!(scene.prefetched(".zip").len(), 212 + ZIPS.1);
}

#[test]
fn who_takes_few_of_them_in_another_order_leaves_few() {
    let mut scene = walker(300);
    for n in (50..300).step_by(4) {
        scene.asks(&format!("a.io/m{n:03}@v1.0.0.zip"));
    }
    let taken = |file: &&str| file[6..9].parse::<usize>().unwrap() % 4 == 2;
    let prefetched = scene.prefetched(".zip");
    let in_vain = prefetched.iter().filter(|file| !taken(file)).count();
    assert!(in_vain <= ZIPS.1, "{in_vain} of {}", prefetched.len());
}

#[test]
fn a_prefetch_that_comes_to_nothing_makes_room_for_another() {
    let mut scene = walker(40);
    scene.predictor.given_up(&key("a.io/m000@v1.0.0.zip"));
    assert_eq!(scene.prefetched_now(), ["a.io/m012@v1.0.0.zip"]);
    // Once.
    scene.predictor.given_up(&key("a.io/m000@v1.0.0.zip"));
    assert!(scene.prefetched_now().is_empty());
}

#[test]
fn a_question_alone_starts_nothing() {
    let mut scene = Scene::new("a.io/a@v1.0.0 1.16: a.io/b@v1.0.0");
    for path in ["a", "x", "y", "z"] {
        for kind in ["info", "mod", "zip"] {
            let file = format!("a.io/{path}@v1.0.0.{kind}");
            scene.predictor.asked(&key(&file), scene.now);
            assert!(scene.prefetched_now().is_empty(), "{file}");
        }
    }
    assert!(scene.asks("a.io/a@v1.0.0.mod").is_empty(), "the first one");
}

#[test]
fn an_info_brings_neither_go_mod_nor_zip() {
    let mut scene = Scene::new("");
    for n in 0..300 {
        assert!(scene.asks(&format!("a.io/m{n}@v1.0.0.info")).is_empty());
    }
    for n in 0..3000 {
        let (module, version) = (n % 10, n / 10);
        let file = format!("b.io/m{module}@v1.{version}.0.info");
        assert!(scene.asks(&file).is_empty());
    }
}

#[test]
fn the_paths_that_a_package_may_belong_to_are_one_module() {
    let mut scene = Scene::new("a.io/a@v1.0.0 1.16: b.io/b@v1.0.0");
    for path in ["a/b/c", "a", "a/b", "a/b/c/d"] {
        scene.asks(&format!("a.io/{path}@v1.0.0.mod"));
    }
    assert!(scene.fetched.is_empty(), "{:?}", scene.fetched);
    // Neighbours are not.
    assert_eq!(scene.asks("a.io/ab@v1.0.0.mod"), ["b.io/b@v1.0.0.mod"]);
}

#[test]
fn who_looks_through_all_versions_of_modules_gets_nothing() {
    let world = "a.io/m5@v1.0.0 1.16: c.io/c@v1.0.0";
    // One module after the other.
    let mut scene = Scene::new(world);
    for module in 0..10 {
        for version in 0..30 {
            scene.asks(&format!("a.io/m{module}@v1.{version}.0.mod"));
        }
    }
    assert!(scene.fetched.is_empty(), "{:?}", scene.fetched);
    // All at the same time, after their lists.
    let mut scene = Scene::new(world);
    for module in 0..10 {
        let path = format!("a.io/m{module}");
        scene
            .predictor
            .got_versions(&ModulePath::parse(&path).unwrap());
    }
    for version in 0..30 {
        for module in 0..10 {
            scene.asks(&format!("a.io/m{module}@v1.{version}.0.mod"));
        }
    }
    assert_eq!(scene.fetched, ["c.io/c@v1.0.0.mod"]);
}

#[test]
fn a_graph_may_have_many_versions_of_a_module() {
    let mut scene = Scene::new(
        "a.io/a@v1.0.0 1.16: c.io/c@v1.0.0 d.io/d@v1.0.0
         a.io/b@v1.0.0 1.16: c.io/c@v1.1.0 d.io/d@v1.1.0
         c.io/c@v1.0.0 1.16: c.io/c@v1.2.0 d.io/d@v1.2.0
         c.io/c@v1.1.0 1.16: c.io/c@v1.3.0 d.io/d@v1.3.0
         c.io/c@v1.3.0 1.16: c.io/c@v1.4.0 d.io/d@v1.4.0
         d.io/d@v1.4.0 1.16: e.io/e@v1.0.0",
    );
    scene.asks_all("a.io/a@v1.0.0.mod a.io/b@v1.0.0.mod");
    for n in 0..5 {
        scene.asks_all(&format!("c.io/c@v1.{n}.0.mod d.io/d@v1.{n}.0.mod"));
    }
    let e = "e.io/e@v1.0.0.mod".to_owned();
    assert!(scene.fetched.contains(&e), "{:?}", scene.fetched);
    assert!(!scene.predictor.looks_around());
}

#[test]
fn who_compares_versions_gets_no_zips_until_it_takes_some() {
    let mut scene = Scene::new("");
    for n in 0..20 {
        let path = format!("a.io/m{n:02}");
        scene.asks(&format!("{path}@v1.0.0.mod"));
        let before = scene.prefetched(".zip").len();
        scene
            .predictor
            .got_versions(&ModulePath::parse(&path).unwrap());
        scene.asks_all(&format!("{path}@v1.1.0.info {path}@v1.1.0.mod"));
        assert_eq!(scene.prefetched(".zip").len(), before);
    }
    assert!(!scene.asks("a.io/m19@v1.1.0.zip").is_empty());
}
