//! What a downloaded zip must be like (checklist 59, 60, 61, 63).

use crate::support::*;
use bytes::Bytes;

const PREFIX: &str = "example.com/m@v1.0.0/";

/// A zip with a good go.mod and one file more.
fn with(name: &str, content: impl Into<Bytes>) -> Zip {
    good().file(format!("{PREFIX}{name}"), content)
}

fn good() -> Zip {
    Zip::new().file(format!("{PREFIX}go.mod"), "module example.com/m\n")
}

fn module(zip: impl Into<Bytes>) -> Module {
    Module::new("example.com/m", "v1.0.0").zip(zip)
}

/// Serves the zip as that of `example.com/m@v1.0.0`: it must be refused, not kept, and a good one must be
/// taken as soon as there is one.
#[track_caller]
fn refused(what: &str, zip: impl Into<Bytes>) {
    let bad = module(zip);
    let up = FakeUpstream::serving(std::slice::from_ref(&bad));
    let larder = larder().of(&up).start();
    let answer = larder.get(&bad.url("zip"));
    if bad.zip_bytes().len() > 64 << 10 && answer.status == 200 {
        assert!(!answer.complete, "{what}: delivered whole");
    } else {
        assert_eq!(answer.status, 502, "{what}: {}", answer.describe());
        let text = answer.refuses(&[502]);
        assert!(text.contains("example.com/m"), "{what}: {text}");
    }
    assert!(!larder.blob(&bad.url("zip")).exists(), "{what}: kept");
    larder.get_kept(&bad.url("zip")).refuses(&[404]);
    let healed = Module::new("example.com/m", "v1.0.0");
    up.add(&healed);
    until("the good zip", || {
        let answer = larder.get(&bad.url("zip"));
        (answer.status == 200).then(|| assert_eq!(answer.ok(), healed.zip_bytes()))
    });
    // The rest of the version never depended on it.
    larder.get(&bad.url("mod")).ok();
    larder.get(&bad.url("info")).ok();
}

/// Serves the zip: it must pass, byte for byte.
#[track_caller]
fn taken(what: &str, zip: impl Into<Bytes>) {
    let module = module(zip);
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        let answer = larder.get(&module.url("zip"));
        assert_eq!(answer.status, 200, "{what}: {}", answer.describe());
        assert_eq!(answer.ok(), module.zip_bytes(), "{what}");
    }
    assert_eq!(up.total(), 1, "{what}");
}

#[test]
fn c59_wrong_prefix() {
    let other = |prefix: &str| {
        Zip::new()
            .file(format!("{prefix}m.go"), "package m\n")
            .build()
    };
    refused("another version", other("example.com/m@v1.0.1/"));
    refused("another module", other("example.com/n@v1.0.0/"));
    refused("escaped", other("example.com/!m@v1.0.0/"));
    refused("none", other(""));
    refused(
        "one of many",
        good()
            .file("example.com/m@v1.0.1/x.go", "package m\n")
            .build(),
    );
}

#[test]
fn c59_collisions() {
    refused(
        "duplicate",
        with("a.go", "1").file(format!("{PREFIX}a.go"), "2").build(),
    );
    refused(
        "case",
        with("a.go", "1").file(format!("{PREFIX}A.go"), "2").build(),
    );
    let folders = with("Dir/a.go", "1").file(format!("{PREFIX}dir/b.go"), "2");
    refused("case of a folder", folders.build());
    let clash = with("a", "1").file(format!("{PREFIX}a/b.go"), "2");
    refused("file and folder", clash.build());
}

#[test]
fn c59_bad_names() {
    for name in [
        "a:b.go",
        "aux.go",
        "dir/CON",
        "a*b",
        "a\\b",
        "../m.go",
        "a/../b",
        "./a",
        "/a",
        "a//b",
        "trailing./x",
        "tab\tname",
        "smile\u{1F600}.go",
        "combining\u{301}.go",
        "quote\".go",
        "q'uote.go",
    ] {
        refused(name, with(name, "x").build());
    }
    let mut entry = Entry::new("", "x");
    entry.name = [PREFIX.as_bytes(), b"a\xff.go"].concat();
    refused("no UTF-8", good().entry(entry).build());
}

#[test]
fn c59_go_mod_elsewhere() {
    refused(
        "nested",
        with("sub/go.mod", "module example.com/m/sub\n").build(),
    );
    refused(
        "upper case",
        Zip::new()
            .file(format!("{PREFIX}GO.MOD"), "module x\n")
            .build(),
    );
    refused("nested, mixed case", with("sub/Go.Mod", "x").build());
    refused("beside the right one", with("Go.mod", "x").build());
}

#[test]
fn c59_oversize_members() {
    let large = Bytes::from(vec![b'/'; (16 << 20) + 1]);
    let gomod = Zip::new().file(format!("{PREFIX}go.mod"), large.clone());
    refused("go.mod over 16 MiB", gomod.build());
    refused(
        "LICENSE over 16 MiB",
        with("LICENSE", large.clone()).build(),
    );
    // Only these two names are limited.
    taken("another file of that size", with("data.txt", large).build());
}

#[test]
fn c60_declared_sizes_that_lie() {
    let name = format!("{PREFIX}a.txt");
    let lie = |size| good().entry(Entry::new(&name, vec![b'a'; 5000]).declared_size(size));
    refused("more than declared", lie(100).build());
    refused("less than declared", lie(9000).build());
    let stored = Entry::new(&name, vec![b'a'; 5000]).stored();
    refused(
        "stored, more than declared",
        good().entry(stored.declared_size(100)).build(),
    );
    let crc = Entry::new(&name, "content").declared_crc(1);
    refused("another checksum", good().entry(crc).build());
}

#[test]
fn c60_a_bomb_is_refused_in_bounded_memory() {
    let _heavy = heavy();
    let zeros = Bytes::from(vec![0; 100 << 20]);
    let bomb = Entry::new(format!("{PREFIX}bomb"), zeros.clone());
    let lying = module(good().entry(bomb.clone().declared_size(1000)).build());
    let mut honest = good();
    for n in 0..6 {
        let mut entry = bomb.clone();
        entry.name = format!("{PREFIX}bomb{n}").into_bytes();
        honest = honest.entry(entry);
    }
    let up = FakeUpstream::start();
    let larder = larder().of(&up).start();
    for module in [lying, module(honest.build())] {
        up.add(&module);
        larder.reset_peak();
        let before = larder.memory().now;
        let answer = larder.get(&module.url("zip"));
        assert!(!answer.is_ok(), "{}", answer.status);
        assert!([200, 502].contains(&answer.status), "{}", answer.status);
        let grown = larder.memory().peak.saturating_sub(before);
        assert!(grown < 48 << 20, "grown by {grown}");
    }
}

#[test]
fn c61_bytes_around_and_contradicting_headers() {
    refused("trailing garbage", good().trailing(b"garbage").build());
    refused("bytes before", good().before(b"#!/bin/sh\n").build());
    let other = Entry::new(format!("{PREFIX}a.go"), "x");
    let other = other.local_name(&format!("{PREFIX}b.go"));
    refused(
        "another name in the local header",
        good().entry(other).build(),
    );
}

#[test]
fn c59_what_is_no_zip_at_all() {
    refused("nothing", Bytes::new());
    refused("noise", zip::noise(5000, 9));
    refused("text", Bytes::from_static(b"not found: sorry\n"));
    let whole = with("a.go", "package m\n").build();
    refused("a cut one", whole.slice(..whole.len() - 30));
    refused("its end only", whole.slice(40..));
    let mut flipped = with("a.txt", zip::noise(4000, 5)).build().to_vec();
    flipped[2000] ^= 1;
    refused("a flipped bit", flipped);
}

#[test]
fn c63_simple_folding() {
    let kelvin = with("k.go", "1").file(format!("{PREFIX}\u{212A}.go"), "2");
    refused("Kelvin", kelvin.build());
    let long_s = with("s.go", "1").file(format!("{PREFIX}\u{17F}.go"), "2");
    refused("long s", long_s.build());
    let sigma = with("\u{3C3}.go", "1").file(format!("{PREFIX}\u{3C2}.go"), "2");
    refused("final sigma", sigma.build());
    let sharp = with("stra\u{DF}e", "1").file(format!("{PREFIX}STRASSE"), "2");
    taken("sharp s", sharp.build());
}

#[test]
fn c59_odd_but_legal() {
    taken("no entry", Zip::new().build());
    taken(
        "no go.mod",
        Zip::new().file(format!("{PREFIX}m.go"), "x").build(),
    );
    taken("the prefix itself", good().file(PREFIX, "").build());
    taken(
        "folders",
        with("a/", "").file(format!("{PREFIX}a/b/"), "").build(),
    );
    taken(
        "stored",
        good()
            .entry(Entry::new(format!("{PREFIX}a"), "x").stored())
            .build(),
    );
    let link = Entry::new(format!("{PREFIX}link"), "../../etc/passwd").mode(0o120_777);
    taken("symlink mode", good().entry(link).build());
    for name in [
        "a~1.go",
        "a..b",
        "\u{E9}\u{4E2D}.go",
        "#%{}^.txt",
        "a b",
        ".hidden/x",
    ] {
        taken(name, with(name, "x").build());
    }
    taken("vendor", with("vendor/modules.txt", "x").build());
    taken(
        "empty files",
        with("empty", "")
            .file(format!("{PREFIX}empty2"), "")
            .build(),
    );
}

#[test]
fn c59_a_large_bad_zip_never_arrives_whole() {
    let bad = module(
        with("data", zip::noise(3_000_000, 11))
            .file(format!("{PREFIX}nested/go.mod"), "module x\n")
            .build(),
    );
    let up = FakeUpstream::serving(std::slice::from_ref(&bad));
    let larder = larder().of(&up).start();
    for _ in 0..2 {
        let answer = larder.get(&bad.url("zip"));
        if answer.status == 200 {
            assert!(!answer.complete, "a bad zip was delivered whole");
            let missing = bad.zip_bytes().len() - answer.body.len();
            assert!(missing >= 64 << 10, "the last {missing} bytes only");
        } else {
            answer.refuses(&[502]);
        }
    }
    larder.get_kept(&bad.url("zip")).refuses(&[404]);
    assert!(!larder.blob(&bad.url("zip")).exists());
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
}

#[test]
fn c47_a_zip_over_the_limit_is_refused() {
    let up = FakeUpstream::start();
    let path = "/example.com/m/@v/v1.0.0.zip";
    up.put(
        path,
        "application/zip",
        Body::repeat(b"PK\x03\x04", 524_288_001),
    );
    let larder = larder().of(&up).start();
    let text = larder.get(path).refuses(&[502]);
    assert!(text.contains("example.com/m"), "{text}");
    assert!(up.sent() < 64 << 20, "the declared length said enough");
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
}

#[test]
#[ignore = "slow: half a gigabyte through the loopback"]
fn c47_a_zip_over_the_limit_that_does_not_say_so() {
    let _heavy = heavy();
    let up = FakeUpstream::start();
    let path = "/example.com/m/@v/v1.0.0.zip";
    up.put(
        path,
        "application/zip",
        Body::repeat(b"PK\x03\x04", 700 << 20),
    );
    up.rule("*", Fault::length(Length::Chunked));
    let larder = larder().of(&up).start();
    let answer = larder.get(path);
    assert!(!answer.is_ok(), "{}", answer.status);
    assert!(up.requests().iter().all(|r| r.sent < 560 << 20));
    until("no temporary file", || {
        larder.files("tmp").is_empty().then_some(())
    });
}

#[test]
fn c48_oversize_text_is_refused() {
    let up = FakeUpstream::start();
    let larder = larder().of(&up).no_breaker().start();
    let gomod = |len: u64| {
        let mut text = b"module example.com/m\n//".to_vec();
        text.resize(len as usize, b'x');
        Body::from(text)
    };
    let path = "/example.com/m/@v/v1.0.0.mod";
    let kind = "text/plain; charset=utf-8";
    up.put(path, kind, gomod((16 << 20) + 1));
    larder.get(path).refuses(&[502]);
    up.rule_n(path, 3, Fault::length(Length::Chunked));
    larder.get(path).refuses(&[502]);
    up.clear_rules();
    up.put(path, kind, gomod(16 << 20));
    until("go.mod of 16 MiB to pass", || {
        larder.get(path).is_ok().then_some(())
    });
    for (path, unit) in [
        (
            "/example.com/m/@v/v1.0.0.info",
            &b"{\"Version\":\"v1.0.0\"} "[..],
        ),
        ("/example.com/m/@v/list", b"v1.0.0\n"),
        ("/example.com/m/@latest", b"{\"Version\":\"v1.0.0\"} "),
    ] {
        for length in [Length::Exact, Length::Chunked] {
            up.clear_rules();
            up.rule("*", Fault::length(length));
            up.put(path, kind, Body::repeat(unit, 256 << 20));
            let answer = larder.get(path);
            assert_eq!(answer.status, 502, "{path}: {}", answer.describe());
        }
    }
}
