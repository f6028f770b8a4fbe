use super::super::testing::{all, key, scene, shell, space};
use super::read::COMMIT;
use super::upkeep::{PACKS, each_file};
use super::*;
use std::ffi::OsStr;

const TWO: &str = "echo module a > go.mod; git add .; git commit -qm one; git tag v1.0.0; \
    echo two > f; ln -s f link; git add .; git commit -qm two; git tag -a -m t v1.1.0";

#[tokio::test]
async fn one_version_is_fetched_without_its_history() {
    let scene = scene(TWO);
    let refs = scene.refs().await.unwrap();
    let id = refs.tag("v1.1.0").unwrap().clone();
    assert_eq!(id, scene.id("v1.1.0"), "annotated tags are peeled");
    assert_eq!(refs.head(), Some(&id));
    scene.ensure(&id, "refs/tags/v1.1.0").await;
    assert!(scene.mirror.has(&id).await.unwrap());
    assert!(!scene.mirror.has(&scene.id("v1.0.0")).await.unwrap());
    assert_eq!(
        scene.mirror.times(&id).await.unwrap().committed,
        1_700_000_000
    );
    let file = async |path: &str| scene.mirror.file(&id, path).await.unwrap();
    assert_eq!(file("f").await.unwrap(), "two\n");
    assert_eq!(file("link").await.unwrap(), "f", "the link's own text");
    assert_eq!(file("none").await, None);
    assert_eq!(file("").await, None, "a folder is no file");
    let archive = scene
        .mirror
        .archive(
            &id,
            &[],
            Bounds {
                output: 1 << 20,
                ..COMMIT
            },
        )
        .await
        .unwrap();
    let tar = all(archive).await.unwrap();
    assert!(tar.windows(9).any(|name| name == b"prefix/f\0"));
}

#[tokio::test]
async fn the_history_comes_when_it_is_asked_for_and_grows() {
    let scene = scene(&format!(
        "{TWO}; git checkout -qb side v1.0.0; echo s > s; git add .; git commit -qm s; git checkout -q main"
    ));
    let (one, two, side) = (scene.id("v1.0.0"), scene.id("v1.1.0"), scene.id("side"));
    scene.ensure(&two, "refs/tags/v1.1.0").await;
    scene.complete(&two).await;
    assert!(scene.mirror.is_ancestor(&one, &two).await.unwrap());
    assert!(scene.mirror.is_ancestor(&two, &two).await.unwrap());
    assert!(!scene.mirror.is_ancestor(&side, &two).await.unwrap());
    assert_eq!(
        scene.mirror.tags_before(&two).await.unwrap(),
        ["v1.0.0", "v1.1.0"]
    );
    assert_eq!(scene.mirror.tags_before(&side).await.unwrap(), ["v1.0.0"]);
    // A merge of the branch, tagged on the branch.
    shell(
        scene.dir.path(),
        "cd r; git tag v1.0.1 side; git merge -qm m side",
    );
    scene.complete(&two).await;
    let merged = scene.id("main");
    assert_eq!(
        scene.mirror.tags_before(&merged).await.unwrap(),
        ["v1.0.0", "v1.0.1", "v1.1.0"]
    );
}

#[tokio::test]
async fn c100_only_what_heads_and_tags_lead_to_is_found() {
    let scene = scene(&format!(
        "{TWO}; echo x > x; git add .; git commit -qm lost; git tag lost; git reset -q --hard v1.1.0"
    ));
    let (one, lost) = (scene.id("v1.0.0"), scene.id("lost"));
    scene.complete(&one).await;
    let find = async |id: &ObjectId| scene.mirror.in_history(id.short()).await.unwrap();
    assert_eq!(find(&one).await.as_ref(), Some(&one));
    assert_eq!(find(&lost).await.as_ref(), Some(&lost));
    shell(scene.dir.path(), "git -C r tag -d lost");
    scene.complete(&one).await;
    assert_eq!(
        find(&lost).await,
        None,
        "it is still here, but nothing leads to it"
    );
    assert_eq!(scene.mirror.in_history("0123456789ab").await.unwrap(), None);
    scene.mirror.hold(&lost).await;
    assert_eq!(
        find(&lost).await.as_ref(),
        Some(&lost),
        "what was given out stays"
    );
}

#[tokio::test]
async fn c112_attributes_neither_hide_nor_expand() {
    let scene = scene(
        "printf 'secret export-ignore\\nv export-subst\\n' > .gitattributes; echo s > secret; \
        echo '$Format:%H$' > v; git add .; git commit -qm one; git tag v1.0.0",
    );
    let id = scene.id("v1.0.0");
    scene.ensure(&id, "refs/tags/v1.0.0").await;
    let archive = scene
        .mirror
        .archive(
            &id,
            &[],
            Bounds {
                output: 1 << 20,
                ..COMMIT
            },
        )
        .await
        .unwrap();
    let tar = all(archive).await.unwrap();
    let has = |text: &[u8]| tar.windows(text.len()).any(|piece| piece == text);
    assert!(has(b"prefix/secret\0"));
    assert!(has(b"$Format:%H$"));
}

#[tokio::test]
async fn c119_an_empty_repository_has_no_references() {
    let scene = scene("true");
    assert!(scene.refs().await.unwrap().is_empty());
    let gone = Remote {
        url: "file:///no/such",
        ..scene.remote()
    };
    let limits = RefsLimit::OWN;
    assert!(matches!(
        scene.mirror.refs(gone, limits).await,
        Err(MirrorError::Git(GitError::Failed { .. }))
    ));
}

#[tokio::test]
async fn after_the_history_nothing_is_cut_off_again() {
    let scene = scene(TWO);
    let one = scene.id("v1.0.0");
    scene.complete(&one).await;
    shell(
        scene.dir.path(),
        "cd r; git commit -q --allow-empty -m a; git commit -q --allow-empty -m b; git tag v1.2.0",
    );
    let three = scene.id("v1.2.0");
    scene.ensure(&three, "refs/tags/v1.2.0").await;
    assert!(scene.mirror.is_ancestor(&one, &three).await.unwrap());
}

#[tokio::test]
async fn c129_what_is_too_large_is_given_up_and_leaves_nothing() {
    let scene = scene(&format!(
        "{TWO}; head -c 3000000 /dev/urandom > big; git add .; git commit -qm big"
    ));
    let small = Remote {
        size: 1 << 20,
        ..scene.remote()
    };
    let mirrors = scene.dir.path().join("small");
    let mirror = Mirror::new(
        scene.mirror.git.clone(),
        &mirrors,
        &key(&scene.url),
        1 << 20,
    );
    let id = scene.id("main");
    let lock = mirror.lock().await.unwrap();
    let large = mirror.ensure(&lock, small, &id, "refs/heads/main").await;
    assert!(matches!(large, Err(MirrorError::TooLarge(_))), "{large:?}");
    assert!(!mirror.dir().exists());
    let full = space(0);
    let no_room = Remote {
        space: &full,
        ..scene.remote()
    };
    let full = mirror.ensure(&lock, no_room, &id, "refs/heads/main").await;
    assert!(matches!(full, Err(MirrorError::NoRoom)), "{full:?}");
    assert!(!mirror.dir().exists(), "nothing of it stays");
    // Only together too large: begun anew.
    let one = scene.id("v1.0.0");
    let both = Remote {
        size: 3_100_000,
        ..small
    };
    mirror
        .ensure(&lock, both, &id, "refs/heads/main")
        .await
        .unwrap();
    let tight = Remote {
        size: size(mirror.dir()).await + 100,
        ..small
    };
    let together = mirror.ensure(&lock, tight, &one, "refs/tags/v1.0.0").await;
    assert!(
        matches!(together, Err(MirrorError::Damaged(_))),
        "{together:?}"
    );
    mirror
        .ensure(&lock, tight, &one, "refs/tags/v1.0.0")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    for damage in ["HEAD", "pack"] {
        let scene = scene(TWO);
        let (one, two) = (scene.id("v1.0.0"), scene.id("v1.1.0"));
        scene.ensure(&one, "refs/tags/v1.0.0").await;
        let dir = scene.mirror.dir().to_owned();
        match damage {
            "HEAD" => std::fs::remove_file(dir.join("HEAD")).unwrap(),
            _ => {
                let mut packs = Vec::new();
                each_file(&dir, &mut |path, _| packs.push(path.to_owned()));
                packs.retain(|path| path.extension() == Some(OsStr::new("pack")));
                let mut rights = packs[0].metadata().unwrap().permissions();
                #[allow(
                    clippy::permissions_set_readonly_false,
                    reason = "git makes packs read-only"
                )]
                rights.set_readonly(false);
                std::fs::set_permissions(&packs[0], rights).unwrap();
                let pack = std::fs::OpenOptions::new().write(true).open(&packs[0]);
                pack.unwrap().set_len(40).unwrap();
            }
        }
        // Trouble, and not "there is no such file".
        let read = scene.mirror.file(&one, "go.mod").await;
        assert!(read.is_err(), "{damage}: {read:?}");
        let lock = scene.mirror.lock().await.unwrap();
        let ensured = scene
            .mirror
            .ensure(&lock, scene.remote(), &two, "refs/tags/v1.1.0");
        if let Err(error) = ensured.await {
            let damaged = error.is_damage() || matches!(error, MirrorError::Damaged(_));
            assert!(damaged, "{damage}: {error}");
        }
        drop(lock);
        scene.mirror.condemn("a test").await;
        scene.ensure(&two, "refs/tags/v1.1.0").await;
        assert!(scene.mirror.has(&two).await.unwrap());
    }
}

#[tokio::test]
async fn many_packs_become_one_and_stale_locks_are_no_obstacle() {
    let scene = scene(TWO);
    let (one, two) = (scene.id("v1.0.0"), scene.id("v1.1.0"));
    scene.ensure(&one, "refs/tags/v1.0.0").await;
    std::fs::write(scene.mirror.dir().join("shallow.lock"), "").unwrap();
    scene.ensure(&two, "refs/tags/v1.1.0").await;
    let packs = scene.mirror.dir().join("objects/pack");
    let count = || {
        let names = std::fs::read_dir(&packs).unwrap().flatten();
        let pack = |name: &OsStr| name.to_string_lossy().ends_with(".pack");
        names.filter(|it| pack(&it.file_name())).count()
    };
    assert_eq!(count(), 2);
    scene.mirror.tidy().await;
    assert_eq!(count(), 2, "two are not many");
    for n in 0..PACKS {
        std::fs::write(packs.join(format!("pack-{n}.pack")), "").unwrap();
    }
    scene.mirror.tidy().await;
    assert!(scene.mirror.has(&one).await.unwrap());
    assert!(scene.mirror.has(&two).await.unwrap());
}

#[tokio::test]
async fn c122_c123_what_looks_like_an_option_or_another_protocol_is_neither() {
    let scene = scene(TWO);
    let marker = scene.dir.path().join("marker");
    for url in [
        format!("--upload-pack=touch {}", marker.display()),
        format!("ext::sh -c touch% {}", marker.display()),
    ] {
        let access = GitAccess::default();
        let bad = Remote {
            url: &url,
            access: &access,
            ..scene.remote()
        };
        let limits = RefsLimit::OWN;
        let refs = scene.mirror.refs(bad, limits).await;
        assert!(refs.is_err(), "{url}");
        let id = scene.id("main");
        let lock = scene.mirror.lock().await.unwrap();
        let ensured = scene
            .mirror
            .ensure(&lock, bad, &id, "refs/heads/main")
            .await;
        assert!(ensured.is_err(), "{url}");
        assert!(!marker.exists(), "{url}");
    }
    let access = GitAccess::default();
    let local = Remote {
        access: &access,
        ..scene.remote()
    };
    let refs = scene.mirror.refs(local, RefsLimit::OWN);
    assert!(refs.await.is_err(), "folders are for tests only");
}
