//! Sudden death: whatever was going on, nothing partial is ever served (checklist 51).

use crate::support::*;
use std::time::Duration;

/// The versions of one round, small enough that a round is quick, large enough to be caught in the middle.
fn round_of(round: usize) -> Vec<Module> {
    (0..20)
        .map(|n| {
            let version = format!("v1.{round}.{n}");
            let data = zip::noise(150_000 + 20_000 * n, (round * 100 + n) as u64);
            let content = Entry::new(format!("example.com/m@{version}/data"), data).stored();
            let gomod = format!("example.com/m@{version}/go.mod");
            let zip = Zip::new()
                .file(gomod, "module example.com/m\n\ngo 1.20\n")
                .entry(content);
            Module::new("example.com/m", &version).zip(zip.build())
        })
        .collect()
}

#[test]
fn c51_kill_9_in_the_middle_of_twenty_fetches_thirty_times() {
    let _heavy = heavy();
    let up = FakeUpstream::start();
    let mut larder = larder().of(&up).start();
    let (mut kept, mut partial) = (0, 0);
    for round in 0..30 {
        let modules = round_of(round);
        for module in &modules {
            up.add(module);
        }
        let total: u64 = modules.iter().map(|m| m.zip_bytes().len() as u64).sum();
        // A different moment in every round: from the first bytes to almost the last.
        let moment = total * (round as u64 + 1) / 31;
        up.clear_rules();
        up.rule(&format!("*/v1.{round}.*.zip"), Fault::rate(4_000_000));
        up.forget();
        std::thread::scope(|scope| {
            for module in &modules {
                let addr = larder.addr();
                scope.spawn(move || {
                    let answer = Request::get(&module.url("zip")).try_send(addr);
                    if let Ok(answer) = answer {
                        assert!(module.zip_bytes().starts_with(&answer.body));
                    }
                });
            }
            up.wait("enough bytes", |all| {
                all.iter().map(|r| r.sent).sum::<u64>() >= moment
            });
            larder.kill9();
        });
        larder.restart();
        up.clear_rules();
        for module in &modules {
            // What is there is whole.
            let answer = larder.get_kept(&module.url("zip"));
            match answer.status {
                200 => {
                    assert_eq!(answer.ok(), module.zip_bytes(), "{}", module.version);
                    kept += 1;
                }
                _ => {
                    answer.refuses(&[404]);
                    partial += 1;
                }
            }
        }
        // What is not there is fetched again as if nothing had been.
        std::thread::scope(|scope| {
            for module in &modules {
                let larder = &larder;
                scope.spawn(move || {
                    assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
                });
            }
        });
    }
    println!("kept {kept}, cut off {partial}");
    assert!(partial > 50, "the fetches were to be caught in the middle");
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
    assert_eq!(larder.stop(), 0);
    larder.run(&["index", "verify"]).expect(0);
}

/// Has 20 new modules asked for by several clients at once, and is killed in the middle of it.
fn killed_while_asked(
    larder: &mut Larder,
    up: &FakeUpstream,
    round: usize,
    name: &str,
    paths: impl Fn(&Module) -> [String; 3] + Sync,
) -> Vec<Module> {
    let name = |n: usize| format!("example.com/{name}{round}m{n}x");
    let modules: Vec<Module> = (0..20).map(|n| Module::new(&name(n), "v1.0.0")).collect();
    for module in &modules {
        up.add(module);
    }
    up.forget();
    std::thread::scope(|scope| {
        for quarter in modules.chunks(5) {
            let (addr, paths) = (larder.addr(), &paths);
            scope.spawn(move || {
                for path in quarter.iter().flat_map(paths) {
                    let _ = Request::get(&path).try_send(addr);
                }
            });
        }
        up.wait("some requests", |all| all.len() > 5 + round * 6);
        larder.kill9();
    });
    modules
}

#[test]
fn c51_kill_9_while_small_files_and_lists_are_written() {
    let up = FakeUpstream::start();
    let mut larder = larder().of(&up).start();
    for round in 0..8 {
        let modules = killed_while_asked(&mut larder, &up, round, "r", |module| {
            [module.list_url(), module.url("info"), module.url("mod")]
        });
        larder.restart();
        for module in &modules {
            assert_eq!(larder.get(&module.list_url()).ok(), b"v1.0.0\n");
            assert_eq!(larder.get(&module.url("info")).ok(), module.info_bytes());
            assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
        }
    }
}

/// The number that the totals in the index have under this name, and how many files it knows.
fn recorded(larder: &Larder) -> (usize, usize) {
    let dump = larder.run(&["index", "dump"]);
    let files = dump.stdout.lines().filter(|line| line.starts_with("file/"));
    let totals = dump
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("totals\t{\"files\":"));
    let totals = totals.and_then(|rest| rest.split(',').next()?.parse().ok());
    // Killed before anything was kept, it has none.
    (totals.unwrap_or(0), files.count())
}

#[test]
fn kill_9_leaves_totals_that_are_right() {
    let up = FakeUpstream::start();
    let mut larder = larder().of(&up).start();
    for round in 0..8 {
        killed_while_asked(&mut larder, &up, round, "t", |module| {
            ["info", "mod", "zip"].map(|kind| module.url(kind))
        });
        let (totals, files) = recorded(&larder);
        assert_eq!(totals, files, "round {round}");
        larder.restart();
    }
}

#[test]
fn c51_kill_9_while_the_index_is_rebuilt() {
    let modules: Vec<Module> = (0..60)
        .map(|n| Module::new(&format!("example.com/m{n}x"), "v1.0.0"))
        .collect();
    let up = FakeUpstream::serving(&modules);
    let mut larder = larder().of(&up).start();
    for module in &modules {
        for kind in ["info", "mod", "zip"] {
            larder.get(&module.url(kind)).ok();
        }
    }
    larder.stop();
    std::fs::remove_dir_all(larder.data_dir().join("index")).unwrap();
    for n in 0..4 {
        larder.kill_during(&["index", "rebuild"], Duration::from_millis(5 << n));
    }
    larder.run(&["index", "rebuild"]).expect(0);
    let dead = DeadPort::new();
    larder.restart_with(|b| b.upstream(&dead.url()));
    for module in &modules {
        assert_eq!(larder.get(&module.url("zip")).ok(), module.zip_bytes());
        assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    }
}
