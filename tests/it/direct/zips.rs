//! Module zips from git (protocol.md 5 and 6.5): what is in them, by their hash.

use super::*;

const LIB: &str = "corp.example.com/lib";
const SUB: &str = "corp.example.com/lib/sub";

differential!(
    c112_export_attributes_are_off_and_text_attributes_are_on,
    c112_attributes_below_the_root,
    c113_vendored_files_before_1_24,
    c113_vendored_files_from_1_24_on,
    c113_vendored_files_without_gomod,
    c114_a_license_of_its_own,
    c114_the_license_of_the_root,
    c114_a_linked_license,
    c114_a_link_for_a_license_in_the_folder,
    c114_a_license_in_small_letters,
    c115_links_and_submodules_are_left_out,
    c115_modules_inside_are_left_out,
    c115_bad_names_fail_the_zip,
    c115_names_that_differ_by_case_only,
    c115_the_gomod_in_other_letters,
    c118_the_operators_git_settings_change_nothing,
    files_of_all_kinds,
    large_files_that_are_limited,
    nothing_to_zip,
    lfs_pointers_stay_pointers,
    a_folder_that_looks_like_an_option,
);

/// One repository, a commit and `v1.0.0` for each module path.
fn zipped(commit: Commit) -> Scene {
    let repo = Repo::new();
    let hash = repo.commit(commit);
    repo.tag("v1.0.0", &hash);
    repo.tag("sub/v1.0.0", &hash);
    Scene::with(repo, "lib")
}

fn c112_export_attributes_are_off_and_text_attributes_are_on() -> Scene {
    let attributes = "secret.txt export-ignore\nsubst.txt export-subst\ndos.txt text eol=crlf\n\
        auto.txt text=auto\nident.txt ident\nbinary.dat -text\nlatin.txt working-tree-encoding=ISO-8859-1\n\
        diff.go diff=golang merge=union\n";
    zipped(
        Commit::new()
            .gomod(LIB)
            .file(".gitattributes", attributes)
            .file("secret.txt", "kept\n")
            .file("subst.txt", "$Format:%H %d %an$\n")
            .file("dos.txt", "one\ntwo\n")
            .file("auto.txt", "one\r\ntwo\n")
            .file("ident.txt", "$Id$\n")
            .file("binary.dat", "a\r\nb\n\0")
            .file("latin.txt", "caf\u{e9}\n")
            .file("diff.go", "package lib\n"),
    )
    .has(LIB, "v1.0.0")
}

fn c112_attributes_below_the_root() -> Scene {
    zipped(
        Commit::new()
            .gomod(LIB)
            .gomod_in("sub/", SUB)
            .file(
                ".gitattributes",
                "*.txt text eol=crlf\n/sub/x.go export-ignore\n",
            )
            .file(
                "sub/.gitattributes",
                "plain.txt -text\ndeep/** export-ignore\n",
            )
            .file("sub/crlf.txt", "one\ntwo\n")
            .file("sub/plain.txt", "one\ntwo\n")
            .file("sub/x.go", "package sub\n")
            .file("sub/deep/y.go", "package deep\n"),
    )
    .has(LIB, "v1.0.0")
    .has(SUB, "v1.0.0")
}

fn vendoring(commit: Commit) -> Commit {
    let names = [
        "vendor/modules.txt",
        "vendor/a.go",
        "vendor/x/y/y.go",
        "pkg/vendor/v.go",
        "pkg/vendor/z/z.go",
        "pkg/vendor/vendor/w.go",
        "long/er/vendor/u.go",
        "notvendor/a/b.go",
    ];
    names
        .into_iter()
        .fold(commit, |commit, name| commit.file(name, "package v\n"))
}

fn c113_vendored_files_before_1_24() -> Scene {
    let gomod = "module corp.example.com/lib\n\ngo 1.23.9\n";
    zipped(vendoring(Commit::new().file("go.mod", gomod))).has(LIB, "v1.0.0")
}

fn c113_vendored_files_from_1_24_on() -> Scene {
    let gomod = "module corp.example.com/lib\n\ngo 1.24rc1\n";
    zipped(vendoring(Commit::new().file("go.mod", gomod))).has(LIB, "v1.0.0")
}

fn c113_vendored_files_without_gomod() -> Scene {
    zipped(vendoring(Commit::new())).has(LIB, "v1.0.0")
}

fn sub() -> Commit {
    Commit::new()
        .gomod(LIB)
        .gomod_in("sub/", SUB)
        .file("sub/s.go", "package sub\n")
}

fn c114_a_license_of_its_own() -> Scene {
    zipped(sub().file("LICENSE", "root\n").file("sub/LICENSE", "sub\n")).has(SUB, "v1.0.0")
}

fn c114_the_license_of_the_root() -> Scene {
    zipped(
        sub()
            .file("LICENSE", "root\n")
            .file("LICENSE.txt", "no\n")
            .file(".gitattributes", "LICENSE text eol=crlf\n"),
    )
    .has(SUB, "v1.0.0")
    .has(LIB, "v1.0.0")
}

fn c114_a_linked_license() -> Scene {
    zipped(
        sub()
            .link("LICENSE", "docs/LICENSE")
            .file("docs/LICENSE", "text\n"),
    )
    .has(SUB, "v1.0.0")
    .has(LIB, "v1.0.0")
}

fn c114_a_link_for_a_license_in_the_folder() -> Scene {
    zipped(
        sub()
            .file("LICENSE", "root\n")
            .link("sub/LICENSE", "../LICENSE"),
    )
    .has(SUB, "v1.0.0")
}

fn c114_a_license_in_small_letters() -> Scene {
    zipped(sub().file("LICENSE", "root\n").file("sub/license", "sub\n")).no_zip(
        SUB,
        "v1.0.0",
        "case-insensitive file name collision",
    )
}

fn c115_links_and_submodules_are_left_out() -> Scene {
    zipped(
        Commit::new()
            .gomod(LIB)
            .file("m.go", "package lib\n")
            .link("link.go", "m.go")
            .link("away", "../../etc/passwd")
            .link("absolute", "/etc/passwd")
            .link("vendor/x/link", "y")
            .submodule("module", &"1".repeat(40))
            .file(
                ".gitmodules",
                "[submodule \"module\"]\n\tpath = module\n\turl = https://evil.example.com/x\n",
            ),
    )
    .has(LIB, "v1.0.0")
}

fn c115_modules_inside_are_left_out() -> Scene {
    zipped(
        sub()
            .file("other/GO.MOD", "module x\n")
            .file("other/o.go", "package other\n")
            .file("third/deep/go.mod", "")
            .file("third/deep/d.go", "package deep\n")
            .file("third/t.go", "package third\n")
            // A link is no module's border, and neither is a folder of that name.
            .link("fourth/go.mod", "../go.mod")
            .file("fourth/f.go", "package fourth\n")
            .file("fifth/go.mod/x.go", "package x\n"),
    )
    .has(LIB, "v1.0.0")
    .has(SUB, "v1.0.0")
}

fn c115_bad_names_fail_the_zip() -> Scene {
    let repo = Repo::new();
    let names = [
        "a:b",
        "con",
        "aux.txt",
        "a*b",
        "q?",
        "a\"b",
        "a<b",
        "a|b",
        "a\\b",
        "dot.",
        "`tick`",
        "a'b",
        "new\nline",
        "sub/PRN",
        "snow\u{2603}",
        "a;b",
    ];
    for (n, name) in names.into_iter().enumerate() {
        let commit = Commit::new().root().gomod(LIB).file(name, "x");
        repo.tag(&format!("v1.{n}.0"), &repo.commit(commit));
    }
    let linked = Commit::new().root().gomod(LIB).link("a:b", "m.go");
    repo.tag(
        "v2.0.0",
        &repo.commit(linked.gomod("corp.example.com/lib/v2")),
    );
    let mut scene = Scene::with(repo, "lib");
    for n in 0..names.len() {
        scene = scene.no_zip(LIB, format!("v1.{n}.0"), "malformed file path");
    }
    scene.no_zip("corp.example.com/lib/v2", "v2.0.0", "malformed file path")
}

fn c115_names_that_differ_by_case_only() -> Scene {
    let repo = Repo::new();
    let pairs = [
        ("a.go", "A.go"),
        ("dir/x.go", "DIR/y.go"),
        // Folded by Unicode's simple rules, which is not the same as small letters.
        ("k.go", "\u{212a}.go"),
        ("s.go", "\u{17f}.go"),
        ("\u{df}.go", "\u{1e9e}.go"),
    ];
    for (n, (a, b)) in pairs.into_iter().enumerate() {
        let commit = Commit::new().root().gomod(LIB).file(a, "x").file(b, "y");
        repo.tag(&format!("v1.{n}.0"), &repo.commit(commit));
    }
    let linked = Commit::new()
        .root()
        .gomod(LIB)
        .file("a.go", "x")
        .link("A.go", "a.go");
    repo.tag("v1.9.0", &repo.commit(linked));
    let different = Commit::new()
        .root()
        .gomod(LIB)
        .file("ss.go", "x")
        .file("\u{df}.go", "y");
    repo.tag("v1.10.0", &repo.commit(different));
    let mut scene = Scene::with(repo, "lib");
    for n in 0..pairs.len() {
        scene = scene.no_zip(
            LIB,
            format!("v1.{n}.0"),
            "case-insensitive file name collision",
        );
    }
    scene
        .no_zip(LIB, "v1.9.0", "case-insensitive file name collision")
        .has(LIB, "v1.10.0")
}

fn c115_the_gomod_in_other_letters() -> Scene {
    let repo = Repo::new();
    let alone = Commit::new()
        .file("Go.mod", gomod(LIB))
        .file("m.go", "package lib\n");
    repo.tag("v1.0.0", &repo.commit(alone));
    Scene::with(repo, "lib").no_zip(LIB, "v1.0.0", "go.mod files must have lowercase names")
}

fn c118_the_operators_git_settings_change_nothing() -> Scene {
    let scene = zipped(
        Commit::new()
            .gomod(LIB)
            .file(".gitattributes", "dos.txt text eol=crlf\n")
            .file("dos.txt", "one\ntwo\n")
            .file("plain.txt", "one\ntwo\n"),
    );
    let head = scene.repos[0].commit(Commit::new().file("n.go", "package lib\n"));
    let pseudo = scene.repos[0].pseudo("v1.0.1-0.", &head);
    scene
        .git_config(
            "[safe]\n\tbareRepository = explicit\n[log]\n\tdecorate = full\n\tshowSignature = true\n\
             [core]\n\tautocrlf = true\n\teol = crlf\n\tabbrev = 4\n[fetch]\n\tprune = true\n\tpruneTags = true\n\
             [transfer]\n\tfsckObjects = true\n[init]\n\tdefaultObjectFormat = sha1\n[color]\n\tui = always\n\
             [tag]\n\tsort = -version:refname\n[column]\n\tui = always\n",
        )
        .has(LIB, "v1.0.0")
        .is(LIB, "main", pseudo)
        .list(LIB, &["v1.0.0"])
}

fn files_of_all_kinds() -> Scene {
    let noise = zip::noise(300_000, 7);
    zipped(
        Commit::new()
            .gomod(LIB)
            .file("empty", "")
            .file("noise.bin", noise)
            .executable("run.sh", "#!/bin/sh\n")
            .file("Upper/Case.GO", "package x\n")
            .file("umlaut-\u{fc}.txt", "x")
            .file("chinese-\u{4e2d}.go", "package x\n")
            .file(".hidden/.x", "x")
            .file(".hg_archival.txt", "left out")
            .file("sub/.hg_archival.txt", "kept")
            .file("with space/a b.txt", "x")
            .file("a@b/c+d=e,f!g%h#i", "x")
            .file("-option", "x")
            .file("x~1", "x")
            .file(".github/workflows/x.yml", "x")
            .file("testdata/go.mod.txt", "x"),
    )
    .has(LIB, "v1.0.0")
}

fn large_files_that_are_limited() -> Scene {
    let repo = Repo::new();
    let too_large = vec![b'x'; (16 << 20) + 1];
    let license = Commit::new().gomod(LIB).file("LICENSE", &too_large);
    repo.tag("v1.0.0", &repo.commit(license));
    let elsewhere = Commit::new()
        .without("LICENSE")
        .file("docs/LICENSE", &too_large);
    repo.tag("v1.1.0", &repo.commit(elsewhere));
    let mut text = gomod(LIB).into_bytes();
    text.extend_from_slice(b"\n// ");
    text.extend_from_slice(&too_large);
    repo.tag("v1.2.0", &repo.commit(Commit::new().file("go.mod", text)));
    Scene::with(repo, "lib")
        .no_zip(LIB, "v1.0.0", "LICENSE file too large")
        .has(LIB, "v1.1.0")
        .no_zip(LIB, "v1.2.0", "")
}

fn nothing_to_zip() -> Scene {
    zipped(Commit::new().link("only", "nowhere")).has(LIB, "v1.0.0")
}

fn lfs_pointers_stay_pointers() -> Scene {
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
        "a".repeat(64)
    );
    zipped(
        Commit::new()
            .gomod(LIB)
            .file(
                ".gitattributes",
                "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            )
            .file("large.bin", pointer),
    )
    .has(LIB, "v1.0.0")
}

/// Paths of modules cannot begin with a dash, but those of their folders can be given by the host.
fn a_folder_that_looks_like_an_option() -> Scene {
    let repo = Repo::new();
    let commit = Commit::new()
        .gomod_in("x/--output=y/", "corp.example.com/lib")
        .file("x/--output=y/m.go", "package lib\n");
    repo.commit(commit);
    let scene = Scene::with(repo, "lib");
    let content = format!("{LIB} git https://git.example.com/lib x/--output=y");
    scene.host.go_import(LIB, &content);
    let hash = scene.repos[0].git(&["rev-parse", "main"]);
    let version = scene.repos[0].pseudo("v0.0.0-", &hash);
    scene.is(LIB, "main", version)
}

#[test]
fn go_refuses_a_language_newer_than_itself() {
    let verdict = newer().oracle().ask(LIB, "v1.0.0");
    assert_eq!(verdict.version, "v1.0.0");
    assert!(
        verdict.error.contains("requires go >= 1.999"),
        "{verdict:?}"
    );
    assert_eq!(verdict.h1, None);
}

fn newer() -> Scene {
    let text = format!("module {LIB}\n\ngo 1.999\n");
    zipped(vendoring(Commit::new().file("go.mod", text)))
}

/// A server is not to be the one that says so: the client may be newer than it knows.
#[test]
fn a_language_newer_than_ours_is_served() {
    let scene = newer();
    let larder = scene.larder().start();
    larder.get(&file_path(LIB, "v1.0.0", "mod")).ok();
    let zip = larder.get(&file_path(LIB, "v1.0.0", "zip"));
    let names = modules::read_zip(zip.ok())
        .into_iter()
        .map(|(name, _)| name);
    let names: Vec<String> = names.collect();
    // By the newest rules known.
    assert!(!names.contains(&format!("{LIB}@v1.0.0/vendor/modules.txt")));
    assert!(names.contains(&format!("{LIB}@v1.0.0/pkg/vendor/v.go")));
}

/// The bytes are our own choice, but not a matter of chance.
#[test]
fn c15_a_zip_stays_the_same() {
    let scene = c112_export_attributes_are_off_and_text_attributes_are_on();
    let path = file_path(LIB, "v1.0.0", "zip");
    let mut first = scene.larder().start();
    let zip = first.get(&path).ok().to_vec();
    // Another one, later, made the same.
    let second = scene.larder().start();
    assert_eq!(second.get(&path).ok(), zip);
    // And the first one keeps it whatever becomes of the tag.
    let moved = scene.repos[0].commit(Commit::new().file("n.go", "package lib\n"));
    scene.repos[0].tag("v1.0.0", &moved);
    first.stop();
    first.restart();
    assert_eq!(first.get(&path).ok(), zip);
}

/// A `.mod` needs neither the zip nor the list of versions to be possible.
#[test]
fn a_gomod_does_not_depend_on_the_zip() {
    let scene = c115_bad_names_fail_the_zip();
    let larder = scene.larder().start();
    assert_eq!(
        larder.get(&file_path(LIB, "v1.0.0", "mod")).ok(),
        gomod(LIB).as_bytes()
    );
    let reason = larder.get(&file_path(LIB, "v1.0.0", "zip")).refuses(&[404]);
    assert!(reason.contains("a:b"), "{reason}");
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
}
