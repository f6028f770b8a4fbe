//! Hosts and repositories that mean harm, and the bounds of everything (protocol.md 6.6).

use super::*;
use crate::support::fault::At;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const LIB: &str = "corp.example.com/lib";
const URL: &str = "https://git.example.com/lib";
const WAYS: [&str; 5] = [
    "@v/list",
    "@latest",
    "@v/v1.0.0.info",
    "@v/v1.0.0.mod",
    "@v/v1.0.0.zip",
];

fn released() -> Scene {
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    Scene::with(repo, "lib")
}

/// Larder refuses every way to the module, with one of these statuses; the reasons.
#[track_caller]
fn refused(larder: &Larder, statuses: &[u16]) -> String {
    let ask = |way: &&str| larder.get(&format!("/{LIB}/{way}")).refuses(statuses);
    WAYS.map(|way| ask(&way)).concat()
}

/// Processes below Larder, by their command lines.
fn children(larder: &Larder) -> Vec<String> {
    let mut open = vec![larder.pid().to_string()];
    let mut found = Vec::new();
    while let Some(pid) = open.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            for child in children.unwrap_or_default().split_whitespace() {
                let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
                open.push(child.to_owned());
            }
        }
    }
    found
}

/// Nothing runs and nothing lies around.
#[track_caller]
fn clean(larder: &Larder) {
    until("all processes to have ended", || {
        children(larder).is_empty().then_some(())
    });
    let folder = larder.data_dir().parent().unwrap().join("tmp");
    until("temporary files to be gone", || {
        std::fs::read_dir(&folder)
            .unwrap()
            .next()
            .is_none()
            .then_some(())
    });
}

#[test]
fn c122_nothing_asked_for_becomes_an_option() {
    let scene = released();
    let mark = scene.folder.path().join("mark");
    let mark = mark.to_str().unwrap();
    let larder = scene.larder().start();
    let names = [
        "--upload-pack=touch".to_owned(),
        "-h".to_owned(),
        "--help".to_owned(),
        "--output=x".to_owned(),
        "--exec=touch".to_owned(),
        format!("--output={mark}").replace('/', "%2f"),
    ];
    for name in names {
        larder.get(&query_path(LIB, &name)).refuses(&[400, 404]);
        larder
            .get(&format!("/{LIB}/@v/{name}.zip"))
            .refuses(&[400, 404]);
    }
    for path in [
        "corp.example.com/-lib",
        "-corp.example.com/lib",
        "corp.example.com/--upload-pack=x",
    ] {
        larder.get(&format!("/{path}/@v/list")).refuses(&[400, 404]);
    }
    assert!(!Path::new(mark).exists());
    clean(&larder);
    scene.control(&larder);
}

#[test]
fn c122_references_that_look_like_options_do_no_harm() {
    let scene = released();
    let repo = &scene.repos[0];
    let hash = repo.git(&["rev-parse", "main"]);
    for name in ["--upload-pack=touch", "-v1.1.0", "--output=x"] {
        repo.set_ref(&format!("refs/heads/{name}"), &hash);
        repo.set_ref(&format!("refs/tags/{name}"), &hash);
    }
    let larder = scene.larder().start();
    assert_eq!(lines(&larder.get(&format!("/{LIB}/@v/list"))), ["v1.0.0"]);
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
    // What such a name leads to is a commit as any other, or nothing.
    let answer = larder.get(&query_path(LIB, "-v1.1.0"));
    assert!([200, 404].contains(&answer.status), "{}", answer.describe());
    clean(&larder);
}

#[test]
fn c122_c123_pages_with_evil_values_are_refused() {
    let scene = released();
    let mark = scene.folder.path().join("mark");
    let repo = scene.repos[0].folder();
    let (mark_name, repo) = (mark.to_str().unwrap(), repo.to_str().unwrap());
    let port = scene.host.port();
    let larder = scene.larder().no_breaker().start();
    let values = [
        format!("git --upload-pack=touch{mark_name}"),
        "git -oProxyCommand=x".to_owned(),
        format!("git {URL} -sub"),
        format!("git {URL} --output=x"),
        format!("git {URL} /etc"),
        format!("git {URL} ../../etc"),
        format!("git file://{repo}"),
        format!("git {repo}"),
        format!("git ext::sh%20-c%20touch%20{mark_name}"),
        "git ext::https://git.example.com/lib".to_owned(),
        format!("git git://127.0.0.1:{port}/lib"),
        "git git://git.example.com/lib".to_owned(),
        "git http://git.example.com/lib".to_owned(),
        "git ftp://git.example.com/lib".to_owned(),
        "git git.example.com:lib".to_owned(),
        "git git@git.example.com:lib".to_owned(),
        "git git.example.com/lib".to_owned(),
        "git ssh://-oProxyCommand=touch/lib".to_owned(),
        "git https://-oProxyCommand=touch/lib".to_owned(),
        "git https:///lib".to_owned(),
        "git https://".to_owned(),
        "git transport::https://git.example.com/lib".to_owned(),
        "git HTTP://git.example.com/lib".to_owned(),
        "mod file:///etc".to_owned(),
        "mod http://git.example.com/proxy".to_owned(),
    ];
    for (n, value) in values.iter().enumerate() {
        println!("{value}");
        // A path of its own each: what is remembered of pages is not the point here.
        let path = format!("corp.example.com/evil{n}");
        scene.host.go_import(&path, &format!("{path} {value}"));
        for way in WAYS {
            larder.get(&format!("/{path}/{way}")).refuses(&[404]);
        }
    }
    assert!(!mark.exists());
    assert_eq!(scene.host.strays(), Vec::<Vec<u8>>::new());
    assert_eq!(
        scene.host.count("git.example.com*"),
        0,
        "{:?}",
        scene.host.names()
    );
    clean(&larder);
    scene.control(&larder);
}

#[test]
fn c123_ssh_needs_permission_and_the_reason_says_so() {
    let scene = released();
    for url in [
        "ssh://git@git.example.com/lib",
        "git+ssh://git@git.example.com/lib",
    ] {
        scene.host.go_import(LIB, &format!("{LIB} git {url}"));
        let builder = settings::public(&scene.host, &scene.up);
        let larder = builder.start();
        let reason = refused(&larder, &[404]);
        assert!(reason.contains("ssh"), "{reason}");
        clean(&larder);
        scene.control(&larder);
    }
}

#[test]
fn c124_go_follows_no_page_to_plain_http() {
    let scene = released();
    scene
        .host
        .redirect(LIB, "http://corp.example.com/lib?go-get=1");
    let verdict = scene.oracle().ask(LIB, "v1.0.0");
    assert!(verdict.error.contains("insecure"), "{verdict:?}");
}

#[test]
fn c124_no_redirect_to_plain_http_is_followed() {
    // Pages, the first request of git, and a later one.
    for (pattern, to) in [
        (
            "corp.example.com/lib?go-get=1",
            "http://corp.example.com/lib?go-get=1",
        ),
        (
            "git.example.com/lib/info/refs*",
            "http://git.example.com/lib/info/refs?service=git-upload-pack",
        ),
        (
            "git.example.com/lib/git-upload-pack",
            "http://git.example.com/lib/git-upload-pack",
        ),
        ("git.example.com/lib*", "git://git.example.com/lib"),
        ("git.example.com/lib*", "file:///etc/passwd"),
    ] {
        println!("{pattern} to {to}");
        let scene = released();
        scene.host.rule(pattern, Fault::redirect(to));
        let larder = scene.larder().no_breaker().start();
        refused(&larder, &[404, 502]);
        let plain: Vec<_> = scene
            .host
            .requests()
            .into_iter()
            .filter(|s| !s.tls)
            .collect();
        assert!(plain.is_empty(), "{plain:#?}");
        clean(&larder);
        scene.control(&larder);
    }
}

#[test]
fn a_redirect_to_https_is_followed_as_renamed_repositories_need() {
    let scene = released();
    scene.host.serve("git.example.com/renamed", &scene.repos[0]);
    let to = "https://git.example.com/renamed/info/refs?service=git-upload-pack";
    scene
        .host
        .rule("git.example.com/lib/info/refs*", Fault::redirect(to));
    let verdict = scene.oracle().ask(LIB, "v1.0.0");
    let larder = scene.larder().start();
    let zip = larder.get(&file_path(LIB, "v1.0.0", "zip"));
    assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
}

#[test]
fn c124_endless_redirects_end() {
    for pattern in ["corp.example.com/lib?go-get=1", "git.example.com/lib*"] {
        let scene = released();
        let to = format!("https://{}", pattern.trim_end_matches('*'));
        scene.host.rule(pattern, Fault::redirect(&to));
        let larder = scene.larder().no_breaker().start();
        refused(&larder, &[404, 502]);
        assert!(scene.host.total() < 200, "{}", scene.host.total());
        scene.control(&larder);
    }
}

#[test]
fn c125_our_own_network_is_out_of_bounds() {
    let scene = released();
    let inside = FakeUpstream::start_tls();
    let port = inside.port();
    let hosts = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f000001:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        "169.254.169.254".to_owned(),
        "10.0.0.1".to_owned(),
        "192.168.0.1".to_owned(),
        "172.16.0.1".to_owned(),
        "100.64.0.1".to_owned(),
        "[fe80::1]".to_owned(),
        "[fd00::1]".to_owned(),
    ];
    let larder = scene.larder().no_breaker().start();
    for (n, host) in hosts.iter().enumerate() {
        println!("{host}");
        let path = format!("corp.example.com/inside{n}");
        scene
            .host
            .go_import(&path, &format!("{path} git https://{host}/lib"));
        for way in WAYS {
            let answer = larder.get(&format!("/{path}/{way}"));
            answer.refuses(&[403, 404]);
            assert!(
                answer.elapsed < Duration::from_secs(5),
                "{host}: {:?}",
                answer.elapsed
            );
        }
        let path = format!("corp.example.com/proxied{n}");
        scene
            .host
            .go_import(&path, &format!("{path} mod https://{host}/lib"));
        larder.get(&format!("/{path}/@v/list")).refuses(&[403, 404]);
        let path = format!("corp.example.com/redirected{n}");
        scene
            .host
            .redirect(&path, &format!("https://{host}/{path}?go-get=1"));
        larder.get(&format!("/{path}/@v/list")).refuses(&[403, 404]);
    }
    inside.assert_untouched();
    for tunnel in scene.host.tunnels() {
        assert!(tunnel.ends_with(".example.com:443"), "{tunnel}");
    }
    scene.control(&larder);
}

#[test]
fn c125_a_git_redirect_does_not_lead_inside() {
    let scene = released();
    let inside = FakeUpstream::start_tls();
    let to = format!(
        "https://127.0.0.1:{}/lib/info/refs?service=git-upload-pack",
        inside.port()
    );
    scene
        .host
        .rule("git.example.com/lib*", Fault::redirect(&to));
    let larder = scene.larder().no_breaker().start();
    refused(&larder, &[403, 404, 502]);
    inside.assert_untouched();
    scene.control(&larder);
}

#[test]
fn c125_hosts_that_are_allowed_are_served() {
    let scene = released();
    let url = format!("https://127.0.0.1:{}/lib", scene.host.port());
    scene.host.serve("127.0.0.1/lib", &scene.repos[0]);
    scene.host.go_import(LIB, &format!("{LIB} git {url}"));
    let builder = settings::allow_hosts(scene.larder(), "corp.example.com,127.0.0.1");
    let larder = builder.start();
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
}

/// A program that leaves a mark when it is run.
fn trap(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (program, mark) = (folder.join("trap"), folder.join("mark"));
    let script = format!("#!/bin/sh\necho ran >> {}\ncat\n", mark.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (program, mark)
}

/// A repository whose attributes want filters, and git settings that have them.
fn filtered() -> (Scene, std::path::PathBuf) {
    let repo = Repo::new();
    let attributes = "*.txt filter=evil diff=evil merge=evil\n*.go filter=evil\n";
    let hash = repo.commit(
        Commit::new()
            .gomod(LIB)
            .file(".gitattributes", attributes)
            .file("a.txt", "text\n")
            .file("m.go", "package lib\n")
            .file(".gitconfig", "[core]\n\tfsmonitor = touch mark\n")
            .file(".git-hooks/post-checkout", "#!/bin/sh\n"),
    );
    repo.tag("v1.0.0", &hash);
    let scene = Scene::with(repo, "lib");
    scene.host.serve("evil.example.com/lib", &scene.repos[0]);
    let (program, mark) = trap(scene.folder.path());
    let program = program.display();
    let config = format!(
        "[filter \"evil\"]\n\tsmudge = {program}\n\tclean = {program}\n\tprocess = {program}\n\trequired = true\n\
         [diff \"evil\"]\n\ttextconv = {program}\n[core]\n\tfsmonitor = {program}\n\thooksPath = {}\n\
         \tsshCommand = {program}\n\tpager = {program}\n\taskPass = {program}\n\tattributesFile = /dev/null\n\
         [credential]\n\thelper = {program}\n[uploadpack]\n\tpackObjectsHook = {program}\n\
         [url \"https://evil.example.com/\"]\n\tinsteadOf = https://git.example.com/\n\
         [http]\n\textraHeader = X-Evil: yes\n",
        scene.folder.path().display()
    );
    std::fs::write(scene.folder.path().join(".gitconfig"), config).unwrap();
    (scene, mark)
}

#[test]
fn c126_the_trap_works() {
    // Were the settings read, the program would run: so it does for a `go` that reads them.
    let (scene, mark) = filtered();
    let home = scene.folder.path().to_str().unwrap().to_owned();
    scene.oracle().env("HOME", &home).ask(LIB, "v1.0.0");
    assert!(mark.exists());
    assert!(scene.host.count("evil.example.com/*") > 0);
}

#[test]
fn c126_nothing_of_the_operator_or_the_repository_is_run() {
    let (scene, mark) = filtered();
    let verdict = scene.oracle().ask(LIB, "v1.0.0");
    let home = scene.folder.path();
    let builder = scene
        .larder()
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home);
    let file = home.join(".gitconfig");
    let trap = home.join("trap");
    let larder = builder
        .env("GIT_CONFIG_GLOBAL", &file)
        .env("GIT_CONFIG_SYSTEM", &file)
        .env("GIT_SSH_COMMAND", &trap)
        .env("GIT_ASKPASS", &trap)
        .env("GIT_PAGER", &trap)
        .env("GIT_EXTERNAL_DIFF", &trap)
        .env("GIT_PROXY_COMMAND", &trap)
        .env("GIT_TEMPLATE_DIR", home)
        .env("GIT_DIR", home)
        .env("GIT_TRACE", home.join("trace"))
        .env("GIT_TRACE_CURL", home.join("trace"))
        .start();
    let zip = larder.get(&file_path(LIB, "v1.0.0", "zip"));
    assert_eq!(Some(zip_h1(zip.ok())), verdict.h1);
    assert!(!mark.exists(), "{:?}", std::fs::read_to_string(&mark));
    assert!(!home.join("trace").exists(), "variables of git's reach it");
    assert_eq!(scene.host.count("evil.example.com/*"), 0);
    assert!(
        scene
            .host
            .requests()
            .iter()
            .all(|s| s.header("x-evil").is_none())
    );
    // And hooks have no place in what is kept.
    for file in larder.files("") {
        let shown = file.display().to_string();
        assert!(!shown.contains("/hooks/"), "{shown}");
    }
}

#[test]
fn c129_a_host_that_hangs_is_given_up() {
    for pattern in [
        "corp.example.com/lib?go-get=1",
        "git.example.com/lib/info/refs*",
        "git.example.com/lib/git-upload-pack",
    ] {
        println!("{pattern}");
        let scene = released();
        scene.host.rule(pattern, Fault::hang());
        let builder = settings::fetch_timeout(scene.larder().impatient().no_breaker(), "2s");
        let larder = builder.start();
        let answer = larder.get(&file_path(LIB, "v1.0.0", "zip"));
        answer.refuses(&[504, 502]);
        assert!(
            answer.elapsed < Duration::from_secs(15),
            "{:?}",
            answer.elapsed
        );
        clean(&larder);
        scene.host.clear_rules();
        until("the release", || {
            larder.get(&query_path(LIB, "v1.0.0")).is_ok().then_some(())
        });
    }
}

#[test]
fn c129_a_host_that_is_too_slow_is_given_up() {
    let scene = released();
    scene.repos[0].history("main", 50, 50_000);
    scene
        .host
        .rule("git.example.com/lib/git-upload-pack", Fault::rate(2_000));
    let builder = settings::fetch_timeout(scene.larder().no_breaker(), "3s");
    let larder = builder.start();
    let answer = larder.get(&query_path(LIB, "main"));
    answer.refuses(&[504, 502]);
    assert!(
        answer.elapsed < Duration::from_secs(20),
        "{:?}",
        answer.elapsed
    );
    clean(&larder);
}

#[test]
fn c129_what_breaks_off_is_fetched_again() {
    let scene = released();
    scene.repos[0].history("main", 20, 20_000);
    scene.host.rule_n(
        "git.example.com/lib/git-upload-pack",
        3,
        Fault::at(700, At::Cut),
    );
    let larder = scene.larder().no_breaker().start();
    let verdict = scene.oracle();
    let path = query_path(LIB, "main");
    // The first ones fail or are tried again, which is the product's choice; none of them is a 404.
    let answer = until("a whole answer", || {
        let answer = larder.get(&path);
        assert_ne!(answer.status, 404, "{}", answer.describe());
        answer.is_ok().then_some(answer)
    });
    scene.host.clear_rules();
    assert_eq!(version_of(&answer), verdict.ask(LIB, "main").version);
    clean(&larder);
}

#[test]
fn c129_a_repository_that_is_too_large_is_given_up() {
    let scene = released();
    scene.repos[0].history("main", 40, 500_000);
    let builder = settings::max_repository(scene.larder().no_breaker(), "4MiB");
    let larder = builder.start();
    let hash = scene.repos[0].git(&["rev-parse", "main~20"]);
    let reason = larder
        .get(&query_path(LIB, &hash))
        .refuses(&[403, 404, 502, 503]);
    assert!(!reason.contains("unknown revision"), "{reason}");
    clean(&larder);
    let kept: u64 = larder
        .files("")
        .iter()
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum();
    assert!(kept < 40 << 20, "{kept} bytes left behind");
    scene.control(&larder);
}

#[test]
fn c129_few_fetches_at_a_time_from_one_host() {
    let mut scene = Scene::new();
    for n in 0..8 {
        let path = format!("corp.example.com/m{n}");
        let repo = Repo::module(&path);
        repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
        scene.add(repo, &format!("m{n}"));
    }
    let gate = Gate::new();
    scene
        .host
        .rule("git.example.com/*/info/refs*", Fault::gate(&gate));
    let larder = settings::per_host(scene.larder(), 2).start();
    std::thread::scope(|scope| {
        let ask = |n| {
            let larder = &larder;
            scope.spawn(move || {
                larder
                    .get(&file_path(
                        &format!("corp.example.com/m{n}"),
                        "v1.0.0",
                        "zip",
                    ))
                    .ok()
                    .len()
            })
        };
        let asking: Vec<_> = (0..8).map(ask).collect();
        gate.wait_arrived(2);
        let running = children(&larder)
            .iter()
            .filter(|line| line.contains("ls-remote"))
            .count();
        assert!(
            running <= 2 && gate.arrived() == 2,
            "{running}, {}",
            gate.arrived()
        );
        gate.open();
        for asking in asking {
            assert!(asking.join().unwrap() > 0);
        }
    });
    clean(&larder);
}

#[test]
fn c129_many_clients_are_one_fetch() {
    let scene = released();
    let gate = Gate::new();
    scene
        .host
        .rule("git.example.com/lib/git-upload-pack", Fault::gate(&gate));
    let larder = scene.larder().start();
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| larder.get(&file_path(LIB, "v1.0.0", "zip")).ok().to_vec());
        let asking: Vec<_> = (0..10).map(ask).collect();
        gate.wait_arrived(1);
        gate.open();
        let zips: Vec<_> = asking.into_iter().map(|a| a.join().unwrap()).collect();
        assert!(zips.windows(2).all(|pair| pair[0] == pair[1]));
    });
    assert_eq!(scene.host.count("corp.example.com/lib?go-get=1"), 1);
    assert!(
        scene.host.count("*/info/refs*") <= 3,
        "{:?}",
        scene.host.names()
    );
}

#[test]
fn c129_a_client_that_leaves_leaves_no_process() {
    let scene = released();
    scene
        .host
        .rule("git.example.com/lib/git-upload-pack", Fault::hang());
    let builder = settings::fetch_timeout(scene.larder().no_breaker(), "3s");
    let mut larder = builder.start();
    let mut conn = Conn::open(larder.addr()).unwrap();
    let request = Request::get(&file_path(LIB, "v1.0.0", "zip"));
    conn.write(&request.bytes(larder.addr())).unwrap();
    scene
        .host
        .wait_count("git.example.com/lib/git-upload-pack", 1);
    drop(conn);
    clean(&larder);
    // Nor does a server that is told to stop.
    let mut conn = Conn::open(larder.addr()).unwrap();
    conn.write(&request.bytes(larder.addr())).unwrap();
    scene
        .host
        .wait_count("git.example.com/lib/git-upload-pack", 2);
    larder.stop();
    until("the host to be left", || {
        (scene.host.open() == 0).then_some(())
    });
}

#[test]
fn a_full_disk_is_no_missing_module() {
    let scene = released();
    let larder = scene.larder().set("store.reserve", "1000TB").start();
    let list = larder.get(&format!("/{LIB}/@v/list"));
    assert_eq!(lines(&list), ["v1.0.0"], "for that nothing is kept");
    for kind in ["info", "zip"] {
        let answer = larder.get(&file_path(LIB, "v1.0.0", kind));
        let reason = answer.refuses(&[503]);
        assert!(reason.contains("store.reserve"), "{reason}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(scene.host.count("git.example.com/lib/git-upload-pack"), 1);
    clean(&larder);
}

#[test]
fn hostile_trees_are_bounded() {
    let repo = Repo::new();
    // Very deep, very many, very repetitive.
    let deep = format!("{}x.go", "d/".repeat(1_500));
    let many = (0..3_000).fold(Commit::new().root().gomod(LIB), |commit, n| {
        commit.file(&format!("f{n}.go"), "package lib\n")
    });
    let zeros = repo.blob(&vec![0; 10 << 20]);
    let bomb = (0..60).fold(Commit::new().root().gomod(LIB), |commit, n| {
        commit.known(&format!("b{n}"), &zeros)
    });
    for (tag, commit) in [
        (
            "v1.0.0",
            Commit::new().gomod(LIB).file(&deep, "package x\n"),
        ),
        ("v1.1.0", many),
        ("v1.2.0", bomb),
    ] {
        let hash = repo.commit(commit);
        repo.tag(tag, &hash);
    }
    let scene = Scene::with(repo, "lib");
    let larder = scene.larder().start();
    larder.reset_peak();
    let oracle = scene.oracle();
    for tag in ["v1.0.0", "v1.1.0"] {
        let verdict = oracle.ask(LIB, tag);
        let zip = larder.get(&file_path(LIB, tag, "zip"));
        match verdict.h1 {
            Some(h1) => assert_eq!(zip_h1(zip.ok()), h1, "{tag}"),
            None => drop(zip.refuses(&[404])),
        }
    }
    // 600 MB of nothing: above what a module may have.
    larder.get(&file_path(LIB, "v1.2.0", "zip")).refuses(&[404]);
    larder.get(&file_path(LIB, "v1.2.0", "mod")).ok();
    assert!(larder.memory().peak < 300 << 20, "{}", larder.memory());
    clean(&larder);
}
