//! That the ground under the tests is firm.
use crate::support::*;

#[test]
fn go_straight_from_the_fake() {
    let a = Module::new("example.com/a", "v1.0.0").requires("example.com/b", "v1.1.0");
    let b = Module::new("example.com/b", "v1.1.0");
    let up = FakeUpstream::serving(&[a, b]);
    let go = Go::new(&up.url());
    go.module(&["example.com/a v1.0.0"]);
    go.ok(&["mod", "download", "all"]);
    println!("{:#?}", up.paths());
    println!("{}", go.ok(&["list", "-m", "-versions", "example.com/a"]).stdout);
}

#[test]
fn toolchain_straight() {
    let t = Module::new("golang.org/toolchain", "v0.0.1-go1.999testmod.linux-amd64").gomod("module golang.org/toolchain\n");
    let zip = Zip::new().file("golang.org/toolchain@v0.0.1-go1.999testmod.linux-amd64/bin/go", "#!/bin/sh\necho go1.999testmod here!\n")
      .file("golang.org/toolchain@v0.0.1-go1.999testmod.linux-amd64/pkg/tool/fake", "")
      .build();
    let t = t.zip(zip);
    let up = FakeUpstream::serving(std::slice::from_ref(&t));
    let db = FakeUpstream::start();
    let db_env = sumdb::serve(&db, &[t]);
    let go = Go::new(&up.url()).env("GOTOOLCHAIN", "go1.999testmod").env("GOSUMDB", &db_env);
    let out = go.run(&["version"]);
    println!("{out:#?} {:#?} {:#?}", up.paths(), db.paths());
    assert!(out.ok);
}
