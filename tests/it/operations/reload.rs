//! Reading the configuration again while the server runs: at SIGHUP, at a command, by POST, and when its file changes.

use crate::support::server::{Builder, Finished};
use crate::support::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TAKEN: &str = "the configuration was read again";

/// A server with a configuration file, and an address for its administration.
struct Scene {
    larder: Larder,
    file: PathBuf,
    admin: SocketAddr,
}

impl Scene {
    fn new(builder: Builder, text: &str) -> Scene {
        let admin = format!("127.0.0.1:{}", free_port());
        let file = builder.home().join("larder.toml");
        let builder = builder.config(text).set("admin.listen", &admin);
        Scene {
            larder: builder.start(),
            file,
            admin: admin.parse().unwrap(),
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    fn reload(&self) -> Finished {
        let file = self.file.to_str().unwrap();
        self.larder.run(&["reload", "--json", "--config", file])
    }

    /// Reloads what is good, and says what came of it.
    fn reloaded(&self) -> Value {
        serde_json::from_str(&self.reload().expect(0).stdout).unwrap()
    }

    fn post(&self) -> Response {
        Request::new("POST", "/-/reload").send(self.admin)
    }

    fn metric(&self, name: &str) -> Option<String> {
        let text = Request::get("/metrics").send(self.admin).expect(200).text();
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(' ')
                .map(str::to_owned)
        };
        text.lines().find_map(value)
    }
}

fn chain(up: &FakeUpstream) -> String {
    format!("[upstream]\nchain = \"{}\"\n", up.url())
}

#[test]
fn another_chain_is_in_force_after_each_way_of_asking_for_it() {
    let module = Module::new("example.com/m", "v1.0.0");
    let [one, other] = [FakeUpstream::start(), FakeUpstream::start()];
    let scene = Scene::new(larder(), &chain(&one));
    let fetched_from_other = |version: &str, ask: &dyn Fn(&Scene)| {
        let next = Module::new("example.com/m", version);
        other.add(&next);
        scene.write(&chain(&one));
        assert_eq!(scene.post().status, 200);
        assert_eq!(scene.larder.get(&next.url("mod")).status, 404);
        scene.write(&chain(&other));
        ask(&scene);
        // What was absent a moment ago was so elsewhere.
        scene.larder.get(&next.url("mod")).ok();
    };
    fetched_from_other("v1.0.1", &|scene| {
        let taken = || scene.metric("larder_config_reloads_total{result=\"ok\"}");
        let before = taken();
        scene.larder.signal(Signal::HUP);
        until("the reload", || (taken() != before).then_some(()));
    });
    fetched_from_other("v1.0.2", &|scene| {
        assert_eq!(scene.reloaded()["changed"], json!(["upstream.chain"]));
    });
    fetched_from_other("v1.0.3", &|scene| {
        let answer: Value = serde_json::from_slice(scene.post().ok()).unwrap();
        assert_eq!(answer["changed"], json!(["upstream.chain"]));
        assert!(answer["generation"].as_u64() > Some(1), "{answer}");
    });
    scene.larder.get(&module.url("mod")).refuses(&[404]);
}

/// What the toolchain is set to may be found out later than a reload has said something else.
#[test]
fn a_default_that_is_found_late_does_not_replace_a_chain() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let nothing = FakeUpstream::start();
    let builder = larder();
    let script = format!(
        "#!/bin/sh\nuntil [ -e \"$HOME/go-on\" ]; do sleep 0.05; done\necho {}\n",
        nothing.url()
    );
    let go = builder.write("bin/go", &script);
    std::fs::set_permissions(&go, std::fs::Permissions::from_mode(0o755)).unwrap();
    let go_on = builder.home().join("go-on");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", go.parent().unwrap().display());
    let scene = Scene::new(builder.env("PATH", path), "");
    scene.write(&chain(&up));
    assert_eq!(scene.reloaded()["changed"], json!(["upstream.chain"]));
    scene.larder.get(&module.url("mod")).ok();
    std::fs::write(go_on, "").unwrap();
    scene.larder.wait_stderr(&nothing.addr().to_string());
    scene.larder.get(&module.url("zip")).ok();
    nothing.assert_untouched();
}

#[test]
fn a_wrong_file_changes_nothing_and_every_fault_is_told() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let good = chain(&up);
    let scene = Scene::new(larder(), &good);
    let successful = || scene.metric("larder_config_last_reload_successful");
    assert_eq!(successful().as_deref(), Some("1"));
    scene.write(
        "[upstream]\nchain = \"off\"\nattempts = \"many\"\n\n[modules]\nprivate = [\"[\"]\n",
    );
    // The command reads the file itself if it is named, and else hears from the server.
    for failed in [scene.reload(), scene.larder.run(&["reload"])] {
        let said = failed.expect(2).stderr;
        for fault in [
            "larder.toml:3: upstream.attempts",
            "larder.toml:6: modules.private",
        ] {
            assert!(said.contains(fault), "{said}");
        }
    }
    scene.larder.wait_stderr("larder.toml:3: upstream.attempts");
    let answer = scene.post();
    let text = answer.expect(422).text();
    assert!(text.contains("larder.toml:3: upstream.attempts"), "{text}");
    assert_eq!(successful().as_deref(), Some("0"));
    scene.larder.get(&module.url("mod")).ok();
    // A file that has gone is no empty one.
    std::fs::remove_file(&scene.file).unwrap();
    scene.post().expect(422);
    scene.larder.get(&module.url("zip")).ok();
    scene.write(&good);
    assert_eq!(scene.reloaded()["changed"], json!([]));
    assert_eq!(successful().as_deref(), Some("1"));
    let failures = scene.metric("larder_config_reloads_total{result=\"failed\"}");
    assert_eq!(failures.as_deref(), Some("3"));
}

#[test]
fn what_waits_for_a_restart_and_what_the_environment_shadows_is_told() {
    let scene = Scene::new(
        larder().set("freshness.ttl", "1h"),
        "[upstream]\nchain = \"off\"\n",
    );
    scene.write(
        "[upstream]\nchain = \"off\"\n[server]\nmax_connections = 99\n[freshness]\nttl = \"2m\"\nrefused_ttl = \"3m\"\n",
    );
    let told = scene.reloaded();
    assert_eq!(told["changed"], json!(["freshness.refused_ttl"]));
    assert_eq!(told["needs_restart"], json!(["server.max_connections"]));
    assert_eq!(told["shadowed"][0]["key"], "freshness.ttl");
    assert_eq!(told["shadowed"][0]["by"], "LARDER_FRESHNESS__TTL");
    // The same again is no news; what waits still does.
    let again = scene.reloaded();
    assert_eq!(again["changed"], json!([]));
    assert_eq!(again["shadowed"], json!([]));
    assert_eq!(again["needs_restart"], json!(["server.max_connections"]));
    assert_eq!(again["generation"], told["generation"]);
}

/// Puts a file into the place of another by renaming a link to its folder, as Kubernetes does.
fn bend(folder: &Path, number: u32, text: &str) {
    let data = folder.join(format!("data-{number}"));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("larder.toml"), text).unwrap();
    let link = folder.join("new");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    std::fs::rename(link, folder.join("data")).unwrap();
}

#[test]
fn a_watched_file_is_followed_through_links() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().set("server.watch", "100ms");
    let folder = builder.home().join("configuration");
    std::fs::create_dir(&folder).unwrap();
    bend(&folder, 0, "[upstream]\nchain = \"off\"\n");
    let file = folder.join("data/larder.toml");
    let larder = builder.arg("--config").arg(file.to_str().unwrap()).start();
    assert_ne!(larder.get(&module.url("mod")).status, 200);
    bend(&folder, 1, "[upstream]\nchain = 1\n");
    larder.wait_stderr("the configuration was not reloaded");
    bend(&folder, 2, &chain(&up));
    larder.wait_stderr(TAKEN);
    larder.get(&module.url("mod")).ok();
    let log = larder.stderr();
    let refused = log.matches("was not reloaded: ").count();
    assert_eq!((refused, log.matches(TAKEN).count()), (1, 1), "{log}");
}

#[test]
fn what_becomes_private_is_refused_to_strangers_from_then_on() {
    let module = Module::new("git.example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    // Others reach it, so that being on this machine is no credential.
    let scene = Scene::new(larder().listen("0.0.0.0:0"), &chain(&up));
    let paths = ["mod", "zip", "info"].map(|kind| module.url(kind));
    for path in &paths {
        // From memory, by then.
        scene.larder.get_hit(path).ok();
    }
    let private = "[modules]\nprivate = \"git.example.com/*\"\n";
    scene.write(&format!("{}{private}", chain(&up)));
    assert_eq!(scene.reloaded()["changed"], json!(["modules.private"]));
    for path in &paths {
        scene.larder.get(path).refuses(&[401]);
    }
    scene.write(&chain(&up));
    scene.reloaded();
    for path in &paths {
        scene.larder.get(path).ok();
    }
}

#[test]
fn what_is_known_of_an_upstream_outlasts_a_reload() {
    let dead = DeadPort::new();
    let text = format!("[upstream]\nchain = \"{}\"\n", dead.url());
    let scene = Scene::new(larder().impatient().set("breaker.failures", "2"), &text);
    for n in 0..3 {
        scene.larder.get(&format!("/example.com/m{n}/@v/list"));
    }
    let state = || {
        let text = Request::get("/metrics").send(scene.admin).text();
        let open = |line: &&str| line.starts_with("larder_upstream_breaker_state{");
        text.lines().find(open).map(str::to_owned)
    };
    let before = state().expect("a breaker");
    assert!(before.ends_with(" 2"), "{before}");
    scene.write(&format!("{text}attempts = 2\n"));
    assert_eq!(scene.reloaded()["changed"], json!(["upstream.attempts"]));
    assert_eq!(state().expect("a breaker"), before);
}

#[test]
fn web_pages_and_other_methods_reload_nothing() {
    let scene = Scene::new(larder(), "[upstream]\nchain = \"off\"\n");
    let post = Request::new("POST", "/-/reload");
    let page = post.header("Origin", "https://attacker.example.com");
    page.send(scene.admin).refuses(&[403]);
    let post = Request::new("POST", "/-/reload");
    let page = post.header("Sec-Fetch-Site", "cross-site");
    page.send(scene.admin).refuses(&[403]);
    let get = Request::get("/-/reload").send(scene.admin);
    get.refuses(&[405]);
    assert_eq!(get.header("allow"), Some("POST"));
    // Nor where clients are.
    let public = Request::new("POST", "/-/reload").send(scene.larder.addr());
    assert_ne!(public.status, 200, "{}", public.describe());
    assert!(!scene.larder.stderr().contains(TAKEN));
}

#[test]
fn there_is_nothing_to_reload_without_a_server() {
    let mut larder = larder().upstream("off").start();
    assert_eq!(larder.stop(), 0);
    let failed = larder.run(&["reload"]).expect(1);
    assert!(
        failed.stderr.contains("no server is running"),
        "{}",
        failed.stderr
    );
}

/// State after any sequence of files is that of the last good one; nobody notices, and nothing is left behind.
#[test]
fn a_thousand_reloads_under_load() {
    let _heavy = heavy();
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let good = |n: u32| format!("{}attempts = {}\n", chain(&up), 2 + n % 3);
    let scene = Scene::new(larder(), &good(0));
    let paths = ["mod", "zip", "info"].map(|kind| module.url(kind));
    for path in &paths {
        scene.larder.get_hit(path).ok();
    }
    assert_eq!(scene.post().status, 200);
    let before = scene.larder.descriptors();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut fresh = 0_u32;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for path in &paths {
                    scene.larder.get(path).ok();
                }
                let next = Module::new("example.com/fresh", &format!("v1.0.{fresh}"));
                up.add(&next);
                scene.larder.get(&next.url("mod")).ok();
                fresh += 1;
            }
        });
        let all = (0..1000).try_for_each(|n: u32| {
            let text = good(n);
            let status = match n % 4 {
                0 => (text, 200),
                1 => (format!("{text}nonsense = 1\n"), 422),
                2 => (text[..text.len() / 2].to_owned(), 422),
                _ => (text.replace("[upstream]", "[upstream"), 422),
            };
            scene.write(&status.0);
            let answer = scene.post();
            (answer.status == status.1).then_some(()).ok_or(answer)
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(answer) = all {
            panic!("{}", answer.describe());
        }
    });
    until("the descriptors of before", || {
        (scene.larder.descriptors() <= before + 8).then_some(())
    });
    scene.write(&good(1));
    scene.reloaded();
    assert_eq!(scene.reloaded()["changed"], json!([]));
}

#[test]
fn a_service_manager_is_told() {
    let builder = larder();
    let path = builder.home().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut larder = builder
        .upstream("off")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .start();
    let mut heard = Vec::new();
    let mut hear = |what: &str| {
        within(Duration::from_secs(20), what, || {
            let mut buffer = [0; 256];
            let length = manager.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heard.push(text.clone());
            text.starts_with(what).then_some(())
        });
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    larder.signal(Signal::HUP);
    hear("RELOADING=1\nMONOTONIC_USEC=");
    hear("READY=1");
    larder.terminate();
    hear("STOPPING=1");
    assert_eq!(larder.wait_exit(), 0);
}
