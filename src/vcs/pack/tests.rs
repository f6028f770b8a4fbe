use super::super::testing::{Scene, scene, shell};
use super::*;
use crate::gomod::zip::check_zip;
use crate::vcs::mirror::MirrorError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(60),
    output: 64 << 20,
    memory: None,
};

/// A repository, a version of a module in it, and the h1 that the `go` command has for it (go 1.26, GOPROXY=direct).
struct Case {
    what: &'static str,
    module: &'static str,
    dir: &'static str,
    tag: &'static str,
    script: &'static str,
    h1: &'static str,
}

const CASES: &[Case] = &[
    Case {
        what: "c113_an_old_module_with_all_kinds_of_files",
        module: "github.com/x/y",
        dir: "",
        tag: "v1.0.0",
        script: "printf 'module github.com/x/y\n\ngo 1.23\n' > go.mod; echo 'package y' > a.go; : > empty; \
            echo run > run; chmod 755 run; ln -s a.go link; mkdir -p d/.e nested/in GoMod vendor/p pkg/vendor/z; ln -s d linked; \
            echo d > d/.e/f; echo 'module github.com/x/y/nested' > nested/go.mod; echo n > nested/in/n; \
            echo m > GoMod/GO.MOD; echo m > GoMod/m; echo m > vendor/modules.txt; echo v > vendor/v.go; \
            echo v > vendor/p/p.go; echo z > pkg/vendor/z.go; echo z > pkg/vendor/z/z.go; echo LICENSE > LICENSE; \
            seq 1 200000 > numbers",
        h1: "h1:nZfRRB/UNH/XfrwiPDYW4YBvWPJRXdb9xGCusM9N4Zo=",
    },
    Case {
        what: "c113_a_new_module_with_vendored_packages",
        module: "github.com/x/y/v2",
        dir: "",
        tag: "v2.0.1",
        script: "printf 'module github.com/x/y/v2\n\ngo 1.24\n' > go.mod; mkdir -p vendor/p pkg/vendor/z; \
            echo m > vendor/modules.txt; echo v > vendor/v.go; echo v > vendor/p/p.go; \
            echo z > pkg/vendor/z.go; echo z > pkg/vendor/z/z.go",
        h1: "h1:zUufUWgXHg3gfCtHTDPPXqWBYq0WnBFhKOPWwXy0mCE=",
    },
    Case {
        what: "long_names",
        module: "github.com/x/y",
        dir: "",
        tag: "v1.0.0",
        script: "a=$(printf '%0100d' 0); b=$(printf '%0150d' 1); c=$(printf '%0240d' 2); echo 0 > ${a#0000000}; echo 1 > $a; \
            echo 2 > $b; mkdir -p d/$a/$b $c/$c/$c; echo 3 > d/$a/f; echo 4 > d/$a/$b/f; echo 5 > $c/f; \
            echo 6 > $c/$c/$c/$c; ln -s $c/$c/$c link; echo 7 > \"$(printf 'd/\\303\\244\\344\\272\\272')\"",
        h1: "h1:UBTJt+kMyjs5Ifojw/2/ZflE9BY0EnqjLvSdONUNedI=",
    },
    Case {
        what: "c114_the_license_of_the_root",
        module: "github.com/x/y/sub/dir",
        dir: "sub/dir",
        tag: "sub/dir/v0.1.0",
        script: "printf '* text eol=crlf\n' > .gitattributes; echo root > LICENSE; echo 'module github.com/x/y' > go.mod; \
            mkdir -p sub/dir/LICENSES; echo 'module github.com/x/y/sub/dir' > sub/dir/go.mod; echo in > sub/dir/f; \
            echo x > sub/other; echo x > sub/dir/LICENSES/MIT",
        h1: "h1:1UCqDJC0tnwSwrZqbIFPhExGHFf1IPKkXbA4dXFTUIo=",
    },
    Case {
        what: "c114_the_license_of_the_root_is_a_link",
        module: "github.com/x/y/sub",
        dir: "sub",
        tag: "sub/v0.1.0",
        script: "ln -s COPYING LICENSE; echo c > COPYING; mkdir sub; echo 'module github.com/x/y/sub' > sub/go.mod; \
            echo i > sub/license.go",
        h1: "h1:Ceb830nVqssSZ3SP0GxsuDDLuyTjSN4lq2ssbWEF3Os=",
    },
    Case {
        what: "c114_the_license_of_the_root_is_a_folder",
        module: "github.com/x/y/sub",
        dir: "sub",
        tag: "sub/v0.1.0",
        script: "mkdir sub LICENSE; echo c > LICENSE/c; echo 'module github.com/x/y/sub' > sub/go.mod",
        h1: "h1:J/InkSi9oUpX7yf64Jng1w7xLHXFVIzAqENiwRdD6hE=",
    },
    Case {
        what: "c114_a_license_of_its_own_even_if_it_is_a_link",
        module: "github.com/x/y/sub",
        dir: "sub",
        tag: "sub/v0.1.0",
        script: "echo c > LICENSE; mkdir sub; echo 'module github.com/x/y/sub' > sub/go.mod; ln -s ../LICENSE sub/LICENSE",
        h1: "h1:J/InkSi9oUpX7yf64Jng1w7xLHXFVIzAqENiwRdD6hE=",
    },
    Case {
        what: "c112_attributes_that_are_applied_and_some_that_are_not",
        module: "github.com/x/y",
        dir: "",
        tag: "v1.0.0",
        script: "printf '*.txt text eol=crlf\nsecret export-ignore\nv export-subst\nid ident\nwide working-tree-encoding=UTF-16LE\ngo.mod text eol=crlf\n' \
            > .gitattributes; echo 'module github.com/x/y' > go.mod; printf 'a\nb\n' > a.txt; echo s > secret; \
            echo '$Format:%H$' > v; echo '$Id$' > id; printf 'w\\000\n\\000' > wide; mkdir d; echo '* -text' > d/.gitattributes; \
            echo c > d/c.txt",
        h1: "h1:6Mg3E+o6ctE7e8RmIJRz+dekyPujyNBfzG5efBMeaGM=",
    },
    Case {
        what: "no_go_mod_and_a_submodule",
        module: "github.com/x/y",
        dir: "",
        tag: "v3.0.0",
        script: "echo f > f; mkdir module; git update-index --add --cacheinfo 160000,$(printf '%040d' 1),module",
        h1: "h1:KxFiDCkoutBvDnfDb3Rbxk93D6Ew2CnunTTtx/E+wSU=",
    },
];

/// Scripts for trees that no module zip can have.
const REFUSED: &[(&str, &str)] = &[
    ("a line break", "echo x > \"$(printf 'a\nb')\""),
    (
        "what reads like a record in a long name",
        "echo x > \"$(printf '%0200d\n17 path=prefix' 0)\"; echo x > \"$(printf '%0200d\n9 size=9\nx' 0)\"",
    ),
    ("no UTF-8", "echo x > \"$(printf 'a\\377b')\""),
    ("no UTF-8 in a link", "ln -s x \"$(printf 'a\\377b')\""),
    ("a backslash", "echo x > 'a\\b'"),
    ("a star", "mkdir '*'; echo x > '*/x'"),
    ("two cases", "mkdir d D; echo x > d/x; echo x > D/y"),
    (
        "a go.mod in capitals",
        "git rm -q --cached go.mod; rm go.mod; echo m > GO.MOD",
    ),
];

fn repository(script: &str, tag: &str) -> Scene {
    scene(&format!(
        "{script}; git add .; git commit -qm one; git tag {tag}"
    ))
}

/// The zip of a tag, and the pieces it came in.
async fn zip(
    scene: &Scene,
    (module, dir, tag): (&str, &str, &str),
    bounds: Bounds,
) -> Result<(Vec<u8>, usize), PackError> {
    let id = scene.id(tag);
    let reference = format!("refs/tags/{tag}");
    scene.ensure(&id, &reference).await;
    let tmp = scene.dir.path().join("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let source = ModuleTree {
        mirror: &scene.mirror,
        commit: &id,
        dir,
    };
    let (module, version) = names(module, tag);
    let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
    let read = async {
        let (mut whole, mut count) = (Vec::new(), 0);
        while let Some(piece) = pieces.recv().await {
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            whole.extend_from_slice(&piece);
            count += 1;
        }
        (whole, count)
    };
    let space = disk(&tmp);
    let make = module_zip(source, &module, &version, &space, bounds, sender);
    let (made, read) = tokio::join!(make, read);
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "nothing stays");
    made.map(|()| read)
}

/// A disk with room.
fn disk(tmp: &Path) -> Workspace {
    Workspace::new(tmp.to_owned(), Arc::new(|| u64::MAX))
}

fn names(module: &str, tag: &str) -> (ModulePath, Version) {
    let version = tag.rsplit('/').next().unwrap();
    // Without a go.mod.
    let version = match version {
        "v3.0.0" => "v3.0.0+incompatible",
        version => version,
    };
    (
        ModulePath::parse(module).unwrap(),
        Version::parse(version).unwrap(),
    )
}

#[tokio::test]
async fn c112_c113_c114_the_zips_are_those_of_go() {
    for case in CASES {
        let scene = repository(case.script, case.tag);
        let place = (case.module, case.dir, case.tag);
        let (zip, pieces) = zip(&scene, place, BOUNDS).await.unwrap();
        let (module, version) = names(case.module, case.tag);
        let checked = check_zip(&zip, &module, &version).unwrap();
        assert_eq!(checked.h1.to_string(), case.h1, "{}", case.what);
        assert_eq!(pieces, zip.len().div_ceil(PIECE), "full pieces");
    }
}

#[tokio::test]
async fn c115_names_that_no_zip_may_have_are_refused() {
    for (what, script) in REFUSED {
        let script = format!("echo 'module github.com/x/y' > go.mod; git add .; {script}");
        let scene = repository(&script, "v1.0.0");
        let refused = zip(&scene, ("github.com/x/y", "", "v1.0.0"), BOUNDS).await;
        assert!(
            matches!(refused, Err(PackError::Rule(_))),
            "{what}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_version_of_another_module_is_refused() {
    let scene = repository("echo f > f", "v2.0.0");
    let refused = zip(&scene, ("github.com/x/y", "", "v2.0.0"), BOUNDS).await;
    assert!(matches!(refused, Err(PackError::Rule(_))), "{refused:?}");
}

#[tokio::test]
async fn c129_what_is_too_large_is_refused() {
    let scene = repository(
        "seq 1 400000 > LICENSE; mkdir sub; echo 'module github.com/x/y/sub' > sub/go.mod",
        "sub/v1.0.0",
    );
    let small = Bounds {
        output: 1 << 20,
        ..BOUNDS
    };
    let root = ("github.com/x/y", "", "sub/v1.0.0");
    let large = zip(&scene, root, small).await.unwrap_err();
    assert_eq!(
        large.to_string(),
        "the tree of the commit is too large (over 1 MB)"
    );
    let sub = ("github.com/x/y/sub", "sub", "sub/v1.0.0");
    let large = zip(&scene, sub, small).await.unwrap_err();
    assert_eq!(
        large.to_string(),
        "the LICENSE in the repository's root is too large (over 1 MB)"
    );
}

#[tokio::test]
async fn faults_have_their_own_names() {
    let scene = repository("echo f > f", "v1.0.0");
    let gone = zip(&scene, ("github.com/x/y", "no/such", "v1.0.0"), BOUNDS).await;
    assert!(
        matches!(
            gone,
            Err(PackError::Git(MirrorError::Git(GitError::Failed { .. })))
        ),
        "{gone:?}"
    );
    let id = scene.id("v1.0.0");
    let source = ModuleTree {
        mirror: &scene.mirror,
        commit: &id,
        dir: "",
    };
    let (module, version) = names("github.com/x/y", "v1.0.0");
    let nowhere = scene.dir.path().join("nowhere");
    let (sender, _receiver) = mpsc::channel(1);
    let no_disk = module_zip(source, &module, &version, &disk(&nowhere), BOUNDS, sender).await;
    assert!(matches!(no_disk, Err(PackError::Disk(_))), "{no_disk:?}");
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let tmp = scene.dir.path();
    let unwanted = module_zip(source, &module, &version, &disk(tmp), BOUNDS, sender).await;
    assert!(matches!(unwanted, Err(PackError::Gone)), "{unwanted:?}");
}

#[tokio::test]
async fn c129_a_zip_that_is_given_up_ends() {
    let scene = repository("seq 1 2000000 > n", "v1.0.0");
    let refs = scene.refs().await.unwrap();
    let id = refs.tag("v1.0.0").unwrap().clone();
    scene.ensure(&id, "refs/tags/v1.0.0").await;
    let tmp = scene.dir.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let (sender, mut receiver) = mpsc::channel(1);
    let (mirror, folder) = (std::sync::Arc::clone(&scene.mirror), tmp.clone());
    let task = tokio::spawn(async move {
        let source = ModuleTree {
            mirror: &mirror,
            commit: &id,
            dir: "",
        };
        let (module, version) = names("github.com/x/y", "v1.0.0");
        module_zip(source, &module, &version, &disk(&folder), BOUNDS, sender).await
    });
    assert!(receiver.recv().await.is_some());
    assert_eq!(
        std::fs::read_dir(&tmp).unwrap().count(),
        0,
        "it has no name"
    );
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // What was on the way, then the end, though this side is open.
    while receiver.recv().await.is_some() {}
    shell(&tmp, "rmdir ../tmp");
}

#[tokio::test]
async fn a_tree_is_judged_before_it_is_unpacked() {
    // 600 MB of one blob, in a pack of next to nothing: no file is made of it.
    let script = "echo 'module github.com/x/y' > go.mod; head -c 10000000 /dev/zero > zeros; \
        blob=$(git hash-object -w zeros); rm zeros; for n in $(seq 60); do \
        git update-index --add --cacheinfo 100644,$blob,z$n; done";
    let scene = scene(&format!(
        "{script}; git add go.mod; git commit -qm one; git tag v1.0.0"
    ));
    let id = scene.id("v1.0.0");
    scene.ensure(&id, "refs/tags/v1.0.0").await;
    let source = ModuleTree {
        mirror: &scene.mirror,
        commit: &id,
        dir: "",
    };
    let (module, version) = names("github.com/x/y", "v1.0.0");
    let (sender, _pieces) = mpsc::channel::<Bytes>(1);
    let nowhere = disk(Path::new("/nonexistent"));
    let refused = module_zip(source, &module, &version, &nowhere, BOUNDS, sender).await;
    assert!(matches!(refused, Err(PackError::Rule(_))), "{refused:?}");
}

#[tokio::test]
async fn other_modules_are_not_unpacked_and_room_is_asked_for() {
    let script = "echo 'module github.com/x/y' > go.mod; mkdir -p a/other b; echo m > a/other/go.mod; \
        echo x > b/x; head -c 3000000 /dev/urandom > a/other/big";
    let scene = repository(script, "v1.0.0");
    let id = scene.id("v1.0.0");
    scene.ensure(&id, "refs/tags/v1.0.0").await;
    let source = ModuleTree {
        mirror: &scene.mirror,
        commit: &id,
        dir: "",
    };
    let (module, version) = names("github.com/x/y", "v1.0.0");
    for (left, fits) in [(100_000, true), (1000, false)] {
        let tmp = scene.dir.path().to_owned();
        let space = Workspace::new(tmp, Arc::new(move || left));
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1000);
        let made = module_zip(source, &module, &version, &space, BOUNDS, sender).await;
        assert_eq!(made.is_ok(), fits, "{made:?}");
        match made {
            Ok(()) => assert!(pieces.recv().await.is_some()),
            Err(error) => assert!(matches!(error, PackError::NoRoom), "{error:?}"),
        }
    }
}
