use super::*;

/// A graph of go.mod files, and a client in it.
struct Scene {
    walk: Walk,
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
            walk: Walk::new(now),
            fetched: Vec::new(),
        }
    }

    /// The client asks for a file; then everything that is guessed comes. Gives what that was.
    fn asks(&mut self, file: &str) -> Vec<String> {
        self.now += Duration::from_millis(20);
        let asked = key(file);
        self.walk.asked(&asked, self.now);
        self.came(&asked);
        let mut guessed = Vec::new();
        loop {
            let Some(key) = self
                .walk
                .next_small(|_| true)
                .or_else(|| self.walk.next_zip())
            else {
                self.fetched.extend(guessed.iter().cloned());
                return guessed;
            };
            self.came(&key);
            guessed.push(name(&key));
        }
    }

    fn came(&mut self, key: &FileKey) {
        let name = format!("{}@{}", key.module, key.version);
        if let (Kind::Mod, Some(text)) = (key.kind, self.mods.get(&name)) {
            let needs = Needs::read(text.as_bytes()).unwrap();
            self.walk.came(&key.module, &key.version, needs);
        }
    }

    fn asks_all(&mut self, files: &str) {
        for file in files.split_whitespace() {
            self.asks(file);
        }
    }

    fn guessed(&self, end: &str) -> Vec<&str> {
        let guessed = self.fetched.iter().map(String::as_str);
        guessed.filter(|file| file.ends_with(end)).collect()
    }
}

#[test]
fn a_lone_module_costs_what_it_costs() {
    let mut scene = Scene::new("a.io/a@v1.0.0 1.16: a.io/b@v1.0.0");
    for file in ["info", "mod", "zip", "info"] {
        assert!(scene.asks(&format!("a.io/a@v1.0.0.{file}")).is_empty());
    }
    scene.now += WITHIN + Duration::from_millis(1);
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
    let guessed = scene.asks("a.io/b@v1.0.0.mod");
    assert_eq!(
        guessed,
        [
            "a.io/c@v1.0.0.mod",
            "a.io/d@v1.0.0.mod",
            "a.io/e@v1.0.0.mod"
        ]
    );
}

#[test]
fn below_what_is_pruned_only_what_comes_next_is_guessed_at_its_highest_version() {
    let mut scene = Scene::new(
        "a.io/b@v1.0.0 1.20: a.io/a@v1.0.0 a.io/x@v1.1.0 a.io/y@v1.0.0
         a.io/x@v1.2.0 1.20: a.io/z@v1.0.0
         a.io/c@v1.0.0 1.20: a.io/x@v1.2.0",
    );
    assert!(scene.asks("a.io/b@v1.0.0.mod").is_empty());
    let guessed = scene.asks("a.io/c@v1.0.0.mod");
    // a.io/a has had its turn, a.io/z is required by nobody who is known to be wanted.
    assert_eq!(guessed, ["a.io/x@v1.2.0.mod", "a.io/y@v1.0.0.mod"]);
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
        scene.guessed(".zip"),
        ["a", "b", "c"]
            .map(|name| format!("a.io/{name}@v1.0.0.zip"))
            .into_iter()
            .chain(["d", "e"].map(|name| format!("c.io/{name}@v1.0.0.zip")))
            .collect::<Vec<_>>()
    );
    // A zip that only the graph explains: the main module is one of before 1.17.
    assert!(
        scene
            .asks("b.io/old@v1.0.0.info")
            .contains(&"b.io/old@v1.0.0.zip".to_owned())
    );
}

#[test]
fn one_info_brings_all_infos() {
    let mut scene = Scene::new("");
    scene.asks_all("a.io/a@v1.0.0.mod a.io/b@v1.0.0.mod a.io/c@v1.0.0.mod");
    assert!(scene.guessed(".info").is_empty());
    let guessed = scene.asks("a.io/a@v1.0.0.info");
    assert_eq!(guessed, ["a.io/b@v1.0.0.info", "a.io/c@v1.0.0.info"]);
    assert_eq!(scene.guessed(".zip").len(), 3);
}

#[test]
fn the_order_of_infos_is_that_of_zips() {
    let mut walk = Walk::new(Scene::new("").now);
    let now = walk.heard();
    for name in ["a", "b", "c", "d"] {
        walk.asked(&key(&format!("a.io/{name}@v1.0.0.mod")), now);
    }
    for name in ["c", "b"] {
        walk.asked(&key(&format!("a.io/{name}@v1.0.0.info")), now);
    }
    let zips = std::iter::from_fn(|| walk.next_zip());
    let zips: Vec<_> = zips.map(|key| key.module.to_string()).collect();
    assert_eq!(zips, ["a.io/c", "a.io/b", "a.io/a", "a.io/d"]);
}

#[test]
fn only_the_highest_version_of_a_module() {
    let mut walk = Walk::new(Scene::new("").now);
    let now = walk.heard();
    for file in [
        "a.io/a@v1.10.0",
        "a.io/a@v1.9.0",
        "a.io/b@v1.0.0",
        "a.io/c@v1.0.0",
    ] {
        walk.asked(&key(&format!("{file}.mod")), now);
    }
    let zips = std::iter::from_fn(|| walk.next_zip());
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
    let mut walk = Walk::new(Scene::new("").now);
    let now = walk.heard();
    for round in 0..10 {
        let mut text = "module x\n".to_owned();
        for n in 0..1000 {
            text += &format!("require r{round}.io/m{n} v1.0.0\n");
        }
        let asked = key(&format!("a.io/m{round}@v1.0.0.mod"));
        walk.asked(&asked, now);
        let needs = Needs::read(text.as_bytes()).unwrap();
        walk.came(&asked.module, &asked.version, needs);
    }
    assert_eq!(walk.nodes.len(), NODES);
    assert!(walk.small.len() <= NODES);
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

#[test]
fn who_takes_zips_in_another_order_gets_few_more() {
    let start = |n: u32| {
        let mut walk = Walk::new(Scene::new("").now);
        for n in 0..n {
            walk.asked(&key(&format!("a.io/m{n:03}@v1.0.0.mod")), walk.heard());
        }
        for _ in 0..100 {
            assert!(walk.next_zip().is_some());
        }
        walk
    };
    let rest = |walk: &mut Walk| std::iter::from_fn(|| walk.next_zip()).count();
    // In their order, but for what the number of requests under way does to it.
    let mut walk = start(300);
    for n in [1, 0, 3, 2, 5, 4, 7, 8, 6] {
        walk.asked(&key(&format!("a.io/m{n:03}@v1.0.0.zip")), walk.heard());
    }
    assert_eq!(rest(&mut walk), 200);
    // As a program imports them.
    let mut walk = start(300);
    for n in [250, 40, 90, 60, 290] {
        walk.asked(&key(&format!("a.io/m{n:03}@v1.0.0.zip")), walk.heard());
    }
    assert_eq!(rest(&mut walk), 0);
    // If it takes most of them in the end, it gets the others, too.
    for n in 0..100 {
        walk.asked(&key(&format!("a.io/m{n:03}@v1.0.0.zip")), walk.heard());
    }
    assert_eq!(rest(&mut walk), 198);
}
