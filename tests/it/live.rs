//! Against the upstream that this machine's `go` is set to; ignored unless asked for with `--ignored live_`.
//! A handful of runs, a few requests at a time: these are other people's servers.

use crate::support::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A setting of the machine's `go`.
fn go_env(name: &str) -> String {
    let output = Command::new("go")
        .args(["env", name])
        .output()
        .expect("go in PATH");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A client with the machine's way to the outside and its checksum database.
fn go(proxy: &str) -> Go {
    let go = Go::new(proxy)
        .deadline(Duration::from_secs(900))
        .env("GOSUMDB", &go_env("GOSUMDB"));
    machine_network()
        .iter()
        .fold(go, |go, (name, value)| go.env(name, value))
}

/// Bytes and number of files by kind below a folder.
fn kinds(folder: &Path) -> BTreeMap<String, (usize, u64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() {
                open.push(path);
            } else if let Some(kind) = path.extension().and_then(|e| e.to_str())
                && ["zip", "mod", "info"].contains(&kind)
            {
                let slot: &mut (usize, u64) = found.entry(kind.to_owned()).or_default();
                slot.0 += 1;
                slot.1 += meta.len();
            }
        }
    }
    found
}

/// Finished requests in the output of `go … -x`, by kind and status.
fn requests(trace: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in trace.lines().filter(|l| l.starts_with("# get ")) {
        let Some((url, outcome)) = line["# get ".len()..].split_once(": ") else {
            continue;
        };
        let kind = match url.rsplit('/').next().unwrap_or("") {
            _ if url.contains("/sumdb/") && url.contains("/lookup/") => "lookup",
            _ if url.contains("/sumdb/") && url.contains("/tile/") => "tile",
            _ if url.contains("/sumdb/") => "sumdb",
            "list" => "list",
            "@latest" => "@latest",
            name => name.rsplit('.').next().unwrap_or("other"),
        };
        let status = outcome.split(' ').next().unwrap_or("");
        *found.entry(format!("{kind} {status}")).or_default() += 1;
    }
    found
}

struct Run {
    name: &'static str,
    took: Duration,
    trace: String,
    sums: String,
}

/// Downloads the whole graph of the go.mod into an empty module cache.
fn download(name: &'static str, go: &Go, gomod: &str) -> Run {
    go.forget_modules();
    let _ = std::fs::remove_file(go.work().join("go.sum"));
    go.write("go.mod", gomod);
    let started = Instant::now();
    let output = go.ok(&["mod", "download", "-x"]);
    Run {
        name,
        took: started.elapsed(),
        trace: output.stderr,
        sums: go.read("go.sum"),
    }
}

/// The graph straight, then through an empty, a full and a cut-off Larder.
fn graph(path: &str, version: &str) {
    let _heavy = heavy();
    let chain = go_env("GOPROXY");
    let mut larder = larder()
        .upstream(&chain)
        .sumdb(&go_env("GOSUMDB"))
        .machine_network()
        .start();
    let gomod = larder
        .get(&format!("/{path}/@v/{version}.mod"))
        .ok()
        .to_vec();
    let gomod = String::from_utf8(gomod).unwrap();

    let outside = go(&chain);
    let straight = download("straight", &outside, &gomod);
    let files = kinds(&outside.module_cache().join("cache/download"));
    let client = go(&larder.url());
    let cold = download("cold", &client, &gomod);
    let metrics = larder.metrics();
    let warm = download("warm", &client, &gomod);
    let unasked = go(&larder.url()).env("GOSUMDB", "off");
    let warm_off = download("warm, GOSUMDB=off", &unasked, &gomod);
    assert_eq!(larder.stop(), 0);
    let dead = DeadPort::new();
    larder.restart_with(|builder| builder.upstream(&dead.url()));
    let client = go(&larder.url());
    let offline = download("upstream unreachable", &client, &gomod);

    let mut report = format!("\n{path}@{version} from {chain}\n");
    for run in [&straight, &cold, &warm, &warm_off, &offline] {
        let ratio = run.took.as_secs_f64() / straight.took.as_secs_f64();
        let _ = writeln!(
            report,
            "{:>22} {:7.2} s ({ratio:.2} of straight) {:?}",
            run.name,
            run.took.as_secs_f64(),
            requests(&run.trace)
        );
    }
    let kept = kinds(&larder.data_dir().join("modules"));
    let _ = writeln!(report, "files of the client (number, bytes): {files:?}");
    let _ = writeln!(report, "files kept by larder: {kept:?}");
    for line in metrics.lines() {
        if (line.contains("upstream") || line.contains("sumdb"))
            && !line.starts_with('#')
            && !line.contains("_bucket")
        {
            let _ = writeln!(report, "    {line}");
        }
    }
    let verified = larder.run(&["sumdb", "verify"]).expect(0);
    let _ = writeln!(report, "larder sumdb verify: {}", verified.stdout.trim());
    println!("{report}");
    for run in [&cold, &warm, &offline] {
        assert_eq!(run.sums, straight.sums, "{}: the same go.sum", run.name);
    }
}

#[test]
#[ignore = "live: about 200 MB from the outside, twice"]
fn live_prometheus_straight_cold_warm_and_unreachable() {
    graph("github.com/prometheus/prometheus", "v0.302.0");
}

#[test]
#[ignore = "live: asks for a few small modules"]
fn live_refusals_of_the_upstream_are_passed_on() {
    let chain = go_env("GOPROXY");
    let larder = larder().upstream(&chain).machine_network().start();
    // A filtering mirror may say 403 for what it does not offer, and 400 for hosts that it does not know.
    let unknown = larder.get("/github.com/larder-no-such-owner/no-such-module/@v/list");
    unknown.refuses(&[403, 404, 410]);
    let host = larder.get("/example.com/no/such/module/@v/list");
    host.refuses(&[403, 404, 410, 502]);
    let go = go(&larder.url());
    go.module(&[]);
    go.fails(&["get", "example.com/no/such/module@latest"]);
}

#[test]
#[ignore = "live: toolchains of about 70 MB each"]
fn live_c132_oldest_newest_and_local_toolchain() {
    let _heavy = heavy();
    let chain = go_env("GOPROXY");
    // Clients insist on a database for toolchains, and so does Larder.
    let larder = larder()
        .upstream(&chain)
        .sumdb(&go_env("GOSUMDB"))
        .machine_network()
        .start();
    let list = go(&larder.url());
    list.module(&[]);
    let versions = list.run(&["list", "-m", "-versions", "go"]);
    let offered: Vec<&str> = versions.stdout.split_whitespace().skip(1).collect();
    let switchable = |v: &&&str| {
        let minor = v.split('.').nth(1).and_then(|m| m.parse::<u32>().ok());
        minor.is_some_and(|m| m >= 21) && v.split('.').count() == 3
    };
    let mut toolchains = vec!["local".to_owned()];
    let mut found = offered.iter().filter(switchable);
    toolchains.extend(found.next().map(|v| format!("go{v}")));
    toolchains.extend(found.next_back().map(|v| format!("go{v}")));
    println!("toolchains: {toolchains:?} of {} offered", offered.len());
    for toolchain in toolchains {
        let go = go(&larder.url()).env("GOTOOLCHAIN", &toolchain);
        go.module(&["rsc.io/quote v1.5.2"]);
        let work =
            "package main\n\nimport \"rsc.io/quote\"\n\nfunc main() { println(quote.Hello()) }\n";
        go.write("main.go", work);
        println!("{}", go.ok(&["version"]).stdout);
        for arguments in [
            &["mod", "download", "all"][..],
            &["get", "rsc.io/quote@v1.5.1"],
            &["list", "-m", "-versions", "rsc.io/quote"],
            &["mod", "verify"],
        ] {
            let output = go.run(arguments);
            // A filtering mirror may refuse a list; what it said has to reach the client.
            let refused = output.stderr.contains("403");
            assert!(
                output.ok || refused,
                "{toolchain} {arguments:?}: {output:#?}"
            );
        }
    }
}
