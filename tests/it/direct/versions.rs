//! From names, tags and commits to versions (protocol.md 6.2 to 6.4).

use super::*;

const LIB: &str = "corp.example.com/lib";

differential!(
    c11_hashes_and_branches_lead_to_versions,
    c16_latest_is_the_highest_release,
    c16_latest_without_release_is_the_highest_pre_release,
    c16_latest_without_tags_is_the_head,
    c16_latest_where_all_is_retracted_is_the_head,
    c95_the_base_is_found_through_merges,
    c95_the_base_may_be_on_another_branch,
    c96_a_module_in_a_folder_has_tags_of_its_own,
    c97_malformed_pseudo_versions_are_refused,
    c98_an_older_base_is_as_good,
    c99_a_branch_is_no_version,
    c100_what_nothing_leads_to_does_not_exist,
    c102_incompatible_versions_without_any_gomod,
    c102_incompatible_versions_end_where_gomod_begins,
    c102_a_major_whose_highest_has_a_gomod_is_left_out,
    c103_majors_in_folders,
    c103_majors_by_tag_at_the_root,
    c103_a_root_that_ends_in_a_major,
    c103_a_major_must_be_declared,
    c110_a_fork_keeps_its_name,
    c112_no_gomod_at_all,
    c116_an_annotated_tag_is_its_commit,
    c119_an_empty_repository_has_nothing,
    c120_a_retracted_tag_is_no_base,
    c120_retractions_are_read_from_the_highest_release,
    tags_with_build_metadata,
    tags_that_look_like_something_else,
    tags_of_other_things_than_commits,
    tags_on_one_commit,
    folders_with_several_gomods,
    gomods_that_are_hard_to_read,
    gopkg_in_takes_its_major_from_the_dot,
    long_hashes,
    a_head_that_is_not_main,
    a_moved_tag_moves_nothing_of_the_rest,
    names_that_git_would_understand,
    times_of_all_ages,
    hosts_that_allow_little,
);

fn lib(repo: Repo) -> Scene {
    Scene::with(repo, "lib")
}

fn plain() -> Commit {
    Commit::new().gomod(LIB).file("m.go", "package lib\n")
}

/// One more commit of no importance.
fn more(repo: &Repo, name: &str) -> String {
    repo.commit(Commit::new().file(name, "package lib\n"))
}

fn c11_hashes_and_branches_lead_to_versions() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    let second = more(&repo, "n.go");
    let third = more(&repo, "o.go");
    repo.tag("v1.2.3", &first);
    repo.set_ref("refs/heads/dev", &second);
    let between = repo.pseudo("v1.2.4-0.", &second);
    let head = repo.pseudo("v1.2.4-0.", &third);
    lib(repo)
        .with_origin()
        .is(LIB, &first, "v1.2.3")
        .is(LIB, short(&first), "v1.2.3")
        .is(LIB, &second, &between)
        .is(LIB, &second[..7], &between)
        .is(LIB, &second[..39], &between)
        .not(LIB, &second[..6], "unknown revision")
        .not(LIB, second.to_uppercase(), "unknown revision")
        .is(LIB, "dev", &between)
        .is(LIB, "main", &head)
        .is(LIB, "HEAD", &head)
        .has(LIB, &between)
        .has(LIB, "v1.2.3")
        .not(LIB, "v1.2.4", "unknown revision")
        .not(LIB, "nothing", "unknown revision")
        .is(LIB, "latest", "v1.2.3")
        .list(LIB, &["v1.2.3"])
}

fn c16_latest_is_the_highest_release() -> Scene {
    let repo = Repo::new();
    for tag in ["v1.9.0", "v1.10.0", "v1.11.0-rc.1", "v0.99.0", "v1.2"] {
        let hash = repo.commit(plain().file("tag", tag));
        repo.tag(tag, &hash);
    }
    lib(repo)
        .is(LIB, "latest", "v1.10.0")
        .list(LIB, &["v0.99.0", "v1.9.0", "v1.10.0", "v1.11.0-rc.1"])
}

fn c16_latest_without_release_is_the_highest_pre_release() -> Scene {
    let repo = Repo::new();
    for tag in ["v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0-beta"] {
        let hash = repo.commit(plain().file("tag", tag));
        repo.tag(tag, &hash);
    }
    more(&repo, "n.go");
    lib(repo)
        .is(LIB, "latest", "v1.0.0-rc.10")
        .list(LIB, &["v1.0.0-beta", "v1.0.0-rc.2", "v1.0.0-rc.10"])
}

fn c16_latest_without_tags_is_the_head() -> Scene {
    let repo = Repo::new();
    let hash = repo.commit(plain());
    let version = repo.pseudo("v0.0.0-", &hash);
    lib(repo)
        .with_origin()
        .is(LIB, "latest", &version)
        .has(LIB, version)
        .list(LIB, &[])
}

fn retracting(what: &str) -> String {
    format!("{}\nretract {what}\n", gomod(LIB))
}

fn c16_latest_where_all_is_retracted_is_the_head() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = repo.commit(Commit::new().file("go.mod", retracting("[v1.0.0, v1.0.1]")));
    repo.tag("v1.0.1", &second);
    let head = more(&repo, "n.go");
    let version = repo.pseudo("v0.0.0-", &head);
    lib(repo)
        .is(LIB, "latest", version)
        .has(LIB, "v1.0.0")
        .has(LIB, "v1.0.1")
        .list(LIB, &["v1.0.0", "v1.0.1"])
}

fn c95_the_base_is_found_through_merges() -> Scene {
    let repo = Repo::new();
    let root = repo.commit(plain());
    repo.tag("v1.0.0", &root);
    let side = repo.commit(
        Commit::on("side")
            .after(&root)
            .file("side.go", "package lib\n"),
    );
    repo.tag("v1.5.0", &side);
    more(&repo, "n.go");
    let merge = repo.commit(Commit::new().merging(&side));
    let after = more(&repo, "o.go");
    let (merged, later) = (
        repo.pseudo("v1.5.1-0.", &merge),
        repo.pseudo("v1.5.1-0.", &after),
    );
    let before = repo.git(&["rev-parse", "main~2"]);
    let unmerged = repo.pseudo("v1.0.1-0.", &before);
    lib(repo)
        .is(LIB, merge, merged)
        .is(LIB, "main", later)
        .is(LIB, before, unmerged)
}

fn c95_the_base_may_be_on_another_branch() -> Scene {
    let repo = Repo::new();
    let root = repo.commit(plain());
    let release = repo.commit(
        Commit::on("release")
            .after(&root)
            .file("r.go", "package lib\n"),
    );
    repo.tag("v1.0.0-rc.1", &release);
    let patch = repo.commit(Commit::on("release").file("p.go", "package lib\n"));
    // A higher tag that is no ancestor, and a commit on the main line after the fork.
    let main = more(&repo, "n.go");
    repo.tag("v1.9.0", &main);
    let wanted = repo.pseudo("v1.0.0-rc.1.0.", &patch);
    let untagged = repo.pseudo("v0.0.0-", &root);
    lib(repo)
        .is(LIB, "release", wanted)
        .is(LIB, "v1.9.0", "v1.9.0")
        .is(LIB, root, untagged)
}

fn c96_a_module_in_a_folder_has_tags_of_its_own() -> Scene {
    let sub = "corp.example.com/lib/sub";
    let repo = Repo::new();
    let first = repo.commit(
        plain()
            .gomod_in("sub/", sub)
            .file("sub/s.go", "package sub\n"),
    );
    repo.tag("v1.4.0", &first);
    let second = more(&repo, "n.go");
    repo.tag("sub/v0.1.0", &second);
    repo.tag("other/v0.9.0", &second);
    let third = more(&repo, "o.go");
    let (early, late, root) = (
        repo.pseudo("v0.0.0-", &first),
        repo.pseudo("v0.1.1-0.", &third),
        repo.pseudo("v1.4.1-0.", &third),
    );
    lib(repo)
        .with_origin()
        .is(sub, first, early)
        .is(sub, "main", late)
        .is(LIB, "main", root)
        .has(sub, "v0.1.0")
        .not(sub, "v1.4.0", "unknown revision")
        .not(LIB, "v0.1.0", "unknown revision")
        .is(sub, "latest", "v0.1.0")
        .list(sub, &["v0.1.0"])
        .list(LIB, &["v1.4.0"])
}

fn c97_malformed_pseudo_versions_are_refused() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    let side = repo.commit(
        Commit::on("side")
            .after(&first)
            .file("s.go", "package lib\n"),
    );
    repo.tag("v1.6.0", &side);
    let good = repo.pseudo("v1.0.1-0.", &second);
    let pseudo = |base: &str| repo.pseudo(base, &second);
    let (stamp, at) = (repo.stamp(&second), short(&second));
    let wrong = [
        (
            format!("v1.0.1-0.{stamp}-{}", &second[..11]),
            "revision is shorter than canonical",
        ),
        (
            format!("v1.0.1-0.{stamp}-{}", &second[..13]),
            "revision is longer than canonical",
        ),
        (
            format!("v1.0.1-0.20240301050000-{at}"),
            "does not match version-control timestamp",
        ),
        (pseudo("v1.9.10-0."), "preceding tag (v1.9.9) not found"),
        (pseudo("v1.6.1-0."), "not a descendent of preceding tag"),
        (
            pseudo("v1.0.0-"),
            "major version without preceding tag must be v0",
        ),
        (pseudo("v0.0.0-0."), "would have negative patch number"),
        (repo.pseudo("v1.0.1-0.", &first), "is already canonical"),
        (
            format!("{good}+incompatible"),
            "+incompatible suffix not allowed",
        ),
        (format!("{}+incompatible", pseudo("v2.0.0-")), ""),
        (pseudo("v2.0.0-"), ""),
        (
            pseudo("v1.0.0-rc.1.0."),
            "preceding tag (v1.0.0-rc.1) not found",
        ),
        (format!("v1.0.1-0.{stamp}-000000000000"), "unknown revision"),
    ];
    let untagged = pseudo("v0.0.0-");
    let scene = lib(repo).has(LIB, good).has(LIB, untagged);
    let wrong = wrong.into_iter();
    wrong.fold(scene, |scene, (version, why)| scene.not(LIB, version, why))
}

fn c98_an_older_base_is_as_good() -> Scene {
    let repo = Repo::new();
    let hash = repo.commit(plain());
    repo.tag("v1.0.0", &hash);
    let hash = more(&repo, "n.go");
    repo.tag("v1.1.0", &hash);
    let head = more(&repo, "o.go");
    let (old, new) = (
        repo.pseudo("v1.0.1-0.", &head),
        repo.pseudo("v1.1.1-0.", &head),
    );
    lib(repo).has(LIB, old).has(LIB, &new).is(LIB, "main", new)
}

fn c99_a_branch_is_no_version() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.set_ref("refs/heads/v1.0.0", &first);
    repo.set_ref("refs/heads/v2", &first);
    let second = more(&repo, "n.go");
    // Where there is a tag of the same name, too, it is the tag that counts.
    repo.set_ref("refs/heads/v1.1.0", &first);
    repo.tag("v1.1.0", &second);
    repo.set_ref("refs/heads/both", &first);
    repo.tag("both", &second);
    let third = more(&repo, "o.go");
    let (pseudo, head) = (
        repo.pseudo("v0.0.0-", &first),
        repo.pseudo("v1.1.1-0.", &third),
    );
    lib(repo)
        .not(LIB, "v1.0.0", "is not a tag")
        .has(LIB, "v1.1.0")
        .is(LIB, "both", "v1.1.0")
        .is(LIB, first, pseudo)
        .is(LIB, "main", head)
        .list(LIB, &["v1.1.0"])
}

fn c100_what_nothing_leads_to_does_not_exist() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    let lost = repo.unreachable(
        Commit::on("lost")
            .after(&first)
            .file("l.go", "package lib\n"),
    );
    let proposed = repo.unreachable(Commit::on("pr").after(&first).file("p.go", "package lib\n"));
    repo.set_ref("refs/pull/1/head", &proposed);
    let versions = [&lost, &proposed].map(|hash| repo.pseudo("v0.0.0-", hash));
    let known = repo.pseudo("v0.0.0-", &first);
    let mut scene = lib(repo).is(LIB, &first, known);
    for (hash, version) in [&lost, &proposed].into_iter().zip(versions) {
        scene = scene
            .not(LIB, hash, "unknown revision")
            .not(LIB, short(hash), "unknown revision")
            .not(LIB, version, "unknown revision");
    }
    scene
        .not(LIB, "refs/pull/1/head", "")
        .not(LIB, "pull/1/head", "")
}

/// Commits that have these tags each, and a go.mod or none.
fn tagged(tags: &[(&str, bool)]) -> Repo {
    let repo = Repo::new();
    for (tag, has_gomod) in tags {
        let commit = Commit::new().file("m.go", format!("package lib // {tag}\n"));
        let hash = repo.commit(if *has_gomod {
            commit.gomod(LIB)
        } else {
            commit.without("go.mod")
        });
        repo.tag(tag, &hash);
    }
    repo
}

fn c102_incompatible_versions_without_any_gomod() -> Scene {
    let tags = ["v1.0.0", "v1.1.0", "v2.0.0", "v2.1.0", "v3.0.0-beta"];
    let repo = tagged(&tags.map(|tag| (tag, false)));
    let head = more(&repo, "n.go");
    let pseudo = repo.pseudo("v3.0.0-beta.0.", &head) + "+incompatible";
    lib(repo)
        .with_origin()
        .list(
            LIB,
            &[
                "v1.0.0",
                "v1.1.0",
                "v2.0.0+incompatible",
                "v2.1.0+incompatible",
                "v3.0.0-beta+incompatible",
            ],
        )
        .has(LIB, "v1.1.0")
        .has(LIB, "v2.1.0+incompatible")
        .is(LIB, "v2.0.0", "v2.0.0+incompatible")
        .is(LIB, "latest", "v2.1.0+incompatible")
        .not(LIB, "v1.0.0+incompatible", "suffix not allowed")
        .is(LIB, "main", &pseudo)
        .has(LIB, pseudo)
        .not("corp.example.com/lib/v2", "v2.0.0", "go.mod")
        .list("corp.example.com/lib/v2", &["v2.0.0", "v2.1.0"])
}

fn c102_incompatible_versions_end_where_gomod_begins() -> Scene {
    let repo = tagged(&[("v2.0.0", false), ("v1.0.0", false), ("v1.1.0", true)]);
    lib(repo)
        .list(LIB, &["v1.0.0", "v1.1.0"])
        .is(LIB, "latest", "v1.1.0")
        .has(LIB, "v2.0.0+incompatible")
        .is(LIB, "v2.0.0", "v2.0.0+incompatible")
}

fn c102_a_major_whose_highest_has_a_gomod_is_left_out() -> Scene {
    let repo = tagged(&[
        ("v1.0.0", false),
        ("v2.0.0", false),
        ("v2.1.0", true),
        ("v3.0.0", false),
    ]);
    lib(repo)
        .list(LIB, &["v1.0.0", "v3.0.0+incompatible"])
        .is(LIB, "latest", "v3.0.0+incompatible")
        .has(LIB, "v2.0.0+incompatible")
        .not(LIB, "v2.1.0+incompatible", "module contains a go.mod file")
        .not(LIB, "v2.1.0", "module contains a go.mod file")
}

fn c103_majors_in_folders() -> Scene {
    let (two, sub) = ("corp.example.com/lib/v2", "corp.example.com/lib/sub/v3");
    let repo = Repo::new();
    let first = repo.commit(
        plain()
            .gomod_in("v2/", two)
            .file("v2/m.go", "package lib\n")
            .gomod_in("sub/v3/", sub)
            .file("sub/v3/s.go", "package sub\n"),
    );
    repo.tag("v1.0.0", &first);
    repo.tag("v2.0.0", &first);
    repo.tag("sub/v3.0.0", &first);
    let head = more(&repo, "n.go");
    let [one, second, third] =
        ["v1.0.1-0.", "v2.0.1-0.", "v3.0.1-0."].map(|b| repo.pseudo(b, &head));
    lib(repo)
        .with_origin()
        .has(LIB, "v1.0.0")
        .has(two, "v2.0.0")
        .has(sub, "v3.0.0")
        .not(LIB, "v2.0.0", "")
        .not(two, "v1.0.0", "")
        .is(LIB, "main", one)
        .is(two, "main", second)
        .is(sub, "main", third)
        .is(two, "latest", "v2.0.0")
        .list(LIB, &["v1.0.0"])
        .list(two, &["v2.0.0"])
        .list(sub, &["v3.0.0"])
}

fn c103_majors_by_tag_at_the_root() -> Scene {
    let two = "corp.example.com/lib/v2";
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = repo.commit(Commit::new().gomod(two));
    repo.tag("v2.0.0", &second);
    repo.tag("v1.0.1", &second);
    let head = more(&repo, "n.go");
    let pseudo = repo.pseudo("v2.0.1-0.", &head);
    lib(repo)
        .with_origin()
        .has(LIB, "v1.0.0")
        .has(two, "v2.0.0")
        .is(two, "main", pseudo)
        .not(two, "v1.0.0", "")
        .not(LIB, "v1.0.1", "")
        .not(LIB, "main", "")
        .list(two, &["v2.0.0"])
        .list(LIB, &["v1.0.0", "v1.0.1"])
        .not("corp.example.com/lib/v3", "main", "")
        .list("corp.example.com/lib/v3", &[])
}

fn c103_a_root_that_ends_in_a_major() -> Scene {
    let two = "corp.example.com/far/v2";
    let repo = Repo::new();
    let first = repo.commit(Commit::new().gomod(two).file("m.go", "package far\n"));
    repo.tag("v2.3.0", &first);
    repo.tag("v1.0.0", &first);
    repo.tag("v2.0.0+incompatible", &first);
    let head = more(&repo, "n.go");
    let pseudo = repo.pseudo("v2.3.1-0.", &head);
    let scene = Scene::with(repo, "far/v2");
    scene
        .has(two, "v2.3.0")
        .is(two, "main", pseudo)
        .not(two, "v1.0.0", "")
        .list(two, &["v2.3.0"])
}

fn c103_a_major_must_be_declared() -> Scene {
    let two = "corp.example.com/lib/v2";
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v2.0.0", &first);
    let second = repo.commit(Commit::new().gomod("corp.example.com/lib/v3"));
    repo.tag("v2.1.0", &second);
    let third = repo.commit(Commit::new().without("go.mod"));
    repo.tag("v2.2.0", &third);
    lib(repo)
        .not(two, "v2.0.0", "go.mod has non-.../v2 module path")
        .not(two, "v2.1.0", "go.mod has non-.../v2 module path")
        .not(two, "v2.2.0", "missing")
        .list(two, &["v2.0.0", "v2.1.0", "v2.2.0"])
}

fn c110_a_fork_keeps_its_name() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(
        Commit::new()
            .gomod("example.net/original")
            .file("m.go", "package original\n"),
    );
    repo.tag("v1.0.0", &first);
    let second = repo.commit(Commit::new().gomod("gopkg.in/original.v1"));
    repo.tag("v1.1.0", &second);
    let third = repo.commit(Commit::new().gomod("example.net/original/v2"));
    repo.tag("v2.0.0", &third);
    repo.tag("v1.2.0", &third);
    let fourth = repo.commit(Commit::new().gomod("gopkg.in/original.v3"));
    repo.tag("v1.3.0", &fourth);
    lib(repo)
        .has(LIB, "v1.0.0")
        .has(LIB, "v1.1.0")
        .not(LIB, "v1.2.0", "post-v1 module path")
        // A flaw of old that is kept: any major of gopkg.in will do.
        .has(LIB, "v1.3.0")
        .has("corp.example.com/lib/v2", "v2.0.0")
}

fn c112_no_gomod_at_all() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(
        Commit::new()
            .file("m.go", "package lib\n")
            .file("sub/s.go", "package sub\n"),
    );
    repo.tag("v1.0.0", &first);
    repo.tag("sub/v1.0.0", &first);
    lib(repo)
        .has(LIB, "v1.0.0")
        .is(LIB, "main", "v1.0.0")
        .not("corp.example.com/lib/sub", "v1.0.0", "missing")
        .not("corp.example.com/lib/sub", "main", "missing")
        .not("corp.example.com/lib/nothing", "main", "missing")
}

fn c116_an_annotated_tag_is_its_commit() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    let tag = repo.annotated_tag("v1.0.0", &first);
    // A tag of a tag, and the object's own hash.
    repo.annotated_tag("v1.0.1", &tag);
    let second = more(&repo, "n.go");
    let pseudo = repo.pseudo("v1.0.2-0.", &second);
    lib(repo)
        .with_origin()
        .has(LIB, "v1.0.0")
        .has(LIB, "v1.0.1")
        .is(LIB, first, "v1.0.1")
        .is(LIB, "main", pseudo)
        .is(LIB, "latest", "v1.0.1")
        .list(LIB, &["v1.0.0", "v1.0.1"])
}

fn c119_an_empty_repository_has_nothing() -> Scene {
    lib(Repo::new())
        .not(LIB, "latest", "no matching versions")
        .not(LIB, "main", "unknown revision")
        .not(LIB, "v1.0.0", "unknown revision")
        .list(LIB, &[])
}

fn c120_a_retracted_tag_is_no_base() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    repo.tag("v1.9.0", &second);
    let third = more(&repo, "o.go");
    let fourth = repo.commit(Commit::new().file("go.mod", retracting("v1.9.0")));
    repo.tag("v1.9.1", &fourth);
    let [by_hash, after] = [&second, &third].map(|hash| repo.pseudo("v1.0.1-0.", hash));
    let old = repo.pseudo("v1.9.1-0.", &third);
    lib(repo)
        .has(LIB, "v1.9.0")
        .is(LIB, second, by_hash)
        .is(LIB, third, after)
        .has(LIB, old)
        .is(LIB, "latest", "v1.9.1")
        .list(LIB, &["v1.0.0", "v1.9.0", "v1.9.1"])
}

fn c120_retractions_are_read_from_the_highest_release() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    // Lower than the highest release, and a pre-release above it: neither counts.
    let second = repo.commit(Commit::new().file("go.mod", retracting("v1.2.0")));
    repo.tag("v1.1.0", &second);
    let third = repo.commit(plain().file("n.go", "package lib\n"));
    repo.tag("v1.2.0", &third);
    let fourth = repo.commit(Commit::new().file("go.mod", retracting("[v1.0.0, v1.2.0]")));
    repo.tag("v1.3.0-rc.1", &fourth);
    lib(repo)
        .is(LIB, "latest", "v1.2.0")
        .is(LIB, third, "v1.2.0")
        .is(LIB, first, "v1.0.0")
}

fn tags_with_build_metadata() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(Commit::new().file("m.go", "package lib\n"));
    repo.tag("v1.0.0+build5", &first);
    let second = more(&repo, "n.go");
    repo.tag("v3.0.0+incompatible", &second);
    let third = more(&repo, "o.go");
    let base = repo.pseudo("v1.0.1-0.", &first);
    let later = repo.pseudo("v3.0.1-0.", &third) + "+incompatible";
    lib(repo)
        .not(LIB, "v1.0.0", "unknown revision")
        .is(LIB, "v1.0.0+build5", &base)
        .is(LIB, first, base)
        .not(LIB, "v3.0.0", "unknown revision")
        .not(LIB, "v3.0.0+incompatible", "unknown revision")
        .is(LIB, "main", later)
        .list(LIB, &[])
}

fn tags_that_look_like_something_else() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    let pseudo = repo.pseudo("v0.0.0-", &first);
    let odd = [
        "v01.0.1", "1.0.5", "v1.0.2.3", "V1.0.3", "v1", "v1.2", "release", "v1.0.0-",
    ];
    for tag in odd {
        repo.tag(tag, &first);
    }
    repo.tag("v1.0.0-20200101000000-abcdef123456", &first);
    repo.tag("v2.0.1-0.20200101000000-abcdef123456", &first);
    let mut scene = lib(repo).list(LIB, &[]).is(LIB, "latest", &pseudo).not(
        LIB,
        "v1.0.0-20200101000000-abcdef123456",
        "",
    );
    for tag in odd.into_iter().filter(|tag| !["v1", "v1.2"].contains(tag)) {
        scene = scene.is(LIB, tag, &pseudo);
    }
    scene
}

fn tags_of_other_things_than_commits() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let blob = repo.blob(b"a blob\n");
    let tree = repo.git(&["rev-parse", "main^{tree}"]);
    repo.tag("v1.8.0", &tree);
    repo.tag("v1.9.0", &blob);
    lib(repo)
        .has(LIB, "v1.0.0")
        .list(LIB, &["v1.0.0", "v1.8.0", "v1.9.0"])
        .not(LIB, "v1.8.0", "")
        .not(LIB, "v1.9.0", "")
}

fn tags_on_one_commit() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    for tag in [
        "v1.0.0",
        "v1.0.1",
        "v1.2.0-rc.1",
        "v0.9.0",
        "v1.0.1+meta",
        "name",
    ] {
        repo.tag(tag, &first);
    }
    lib(repo)
        .is(LIB, &first, "v1.2.0-rc.1")
        .is(LIB, "main", "v1.2.0-rc.1")
        .is(LIB, "name", "v1.2.0-rc.1")
        .has(LIB, "v0.9.0")
        .has(LIB, "v1.0.1")
        .is(LIB, "v1.0.1+meta", "v1.0.1")
        .is(LIB, "latest", "v1.0.1")
}

fn folders_with_several_gomods() -> Scene {
    let two = "corp.example.com/lib/v2";
    let repo = Repo::new();
    // Both fit.
    let both = repo.commit(Commit::new().gomod(two).gomod_in("v2/", two));
    repo.tag("v2.0.0", &both);
    // The one in the folder does not.
    let wrong = repo.commit(Commit::new().gomod(two).gomod_in("v2/", LIB));
    repo.tag("v2.1.0", &wrong);
    // The one at the root does not.
    let right = repo.commit(Commit::new().gomod(LIB).gomod_in("v2/", two));
    repo.tag("v2.2.0", &right);
    // A version without go.mod, but with a folder for it.
    let folder = repo.commit(
        Commit::new()
            .without("go.mod")
            .gomod_in("v3/", "corp.example.com/lib/v3"),
    );
    repo.tag("v3.0.0", &folder);
    lib(repo)
        .not(two, "v2.0.0", "")
        .not(two, "v2.1.0", "")
        .has(two, "v2.2.0")
        .has("corp.example.com/lib/v3", "v3.0.0")
        .not(LIB, "v3.0.0", "")
        .has(LIB, "v3.0.0+incompatible")
}

fn gomods_that_are_hard_to_read() -> Scene {
    let repo = Repo::new();
    let versions = [
        (
            "v1.0.0",
            "// comment\n\n\tmodule   corp.example.com/lib // why not\n",
        ),
        ("v1.1.0", "module \"corp.example.com/lib\"\n"),
        ("v1.2.0", "module `corp.example.com/lib`\r\n\r\ngo 1.20\r\n"),
        ("v1.3.0", "module (\n\tcorp.example.com/lib\n)\n"),
        ("v1.4.0", "go 1.20\n"),
        ("v1.5.0", ""),
        ("v1.6.0", "module corp.example.com/lib\n\nnonsense here\n"),
        ("v1.8.0", "\u{feff}module corp.example.com/lib\n"),
        (
            "v1.9.0",
            "module corp.example.com/lib/v2 // +incompatible\n",
        ),
        ("v1.10.0", "module Corp.Example.com/Lib/v0\n"),
    ];
    for (tag, text) in versions {
        let hash = repo.commit(Commit::new().file("go.mod", text).file("tag", tag));
        repo.tag(tag, &hash);
    }
    let link = repo.commit(
        Commit::new()
            .link("go.mod", "real.mod")
            .gomod_in("real/", LIB),
    );
    repo.tag("v1.11.0", &link);
    lib(repo)
        .has(LIB, "v1.0.0")
        .has(LIB, "v1.1.0")
        .has(LIB, "v1.2.0")
        .has(LIB, "v1.3.0")
        .not(LIB, "v1.4.0", "")
        .not(LIB, "v1.5.0", "")
        .has(LIB, "v1.6.0")
        .not(LIB, "v1.8.0", "")
        .not(LIB, "v1.9.0", "")
        .not(LIB, "v1.10.0", "")
        .not(LIB, "v1.11.0", "")
}

fn gopkg_in_takes_its_major_from_the_dot() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(Commit::new().file("m.go", "package yaml\n"));
    repo.tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    repo.tag("v2.0.0", &second);
    repo.tag("v3.0.0", &second);
    let third = repo.commit(Commit::new().gomod("gopkg.in/corp/yaml.v2"));
    repo.tag("v2.1.0", &third);
    let head = more(&repo, "o.go");
    let two = repo.pseudo("v2.1.1-0.", &head);
    let early = repo.pseudo("v0.0.0-", &first);
    let mut scene = Scene::new();
    for version in ["v1", "v2", "v2-unstable"] {
        let path = format!("gopkg.in/corp/yaml.{version}");
        scene.host.publish(&path, &path, &repo);
    }
    scene.repos.push(repo);
    scene
        .has("gopkg.in/corp/yaml.v1", "v1.0.0")
        .has("gopkg.in/corp/yaml.v1", early)
        .has("gopkg.in/corp/yaml.v2", "v2.0.0")
        .has("gopkg.in/corp/yaml.v2", "v2.1.0")
        .is("gopkg.in/corp/yaml.v2", "main", two)
        .not("gopkg.in/corp/yaml.v2", "v1.0.0", "")
        .not("gopkg.in/corp/yaml.v1", "main", "")
        .list("gopkg.in/corp/yaml.v1", &["v1.0.0"])
        .list("gopkg.in/corp/yaml.v2", &["v2.0.0", "v2.1.0"])
        .list("gopkg.in/corp/yaml.v2-unstable", &[])
}

fn long_hashes() -> Scene {
    let repo = Repo::sha256();
    let first = repo.commit(plain());
    repo.annotated_tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    let third = more(&repo, "o.go");
    let [between, head] = [&second, &third].map(|hash| repo.pseudo("v1.0.1-0.", hash));
    lib(repo)
        .with_origin()
        .has(LIB, "v1.0.0")
        .is(LIB, &second, &between)
        .is(LIB, short(&second), &between)
        .is(LIB, &second[..40], &between)
        .has(LIB, between)
        .is(LIB, "main", head)
        .list(LIB, &["v1.0.0"])
}

fn a_head_that_is_not_main() -> Scene {
    let repo = Repo::new();
    repo.commit(plain());
    let trunk = repo.commit(Commit::on("trunk").gomod(LIB).file("t.go", "package lib\n"));
    repo.set_head("trunk");
    let version = repo.pseudo("v0.0.0-", &trunk);
    lib(repo)
        .is(LIB, "latest", &version)
        .is(LIB, "HEAD", &version)
        .is(LIB, "trunk", version)
}

fn a_moved_tag_moves_nothing_of_the_rest() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    repo.tag("v1.0.0", &second);
    let untagged = repo.pseudo("v0.0.0-", &first);
    lib(repo)
        .is(LIB, first, untagged)
        .is(LIB, second, "v1.0.0")
        .has(LIB, "v1.0.0")
}

fn names_that_git_would_understand() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    more(&repo, "n.go");
    repo.tag("tags-name", &first);
    let scene = lib(repo);
    let names = [
        "main~1",
        "HEAD~",
        "@",
        "v1.0.0^0",
        "v1.0.0^{}",
        "main@{0}",
        ":m.go",
        "FETCH_HEAD",
    ];
    names
        .into_iter()
        .fold(scene, |scene, name| scene.not(LIB, name, ""))
}

fn times_of_all_ages() -> Scene {
    let repo = Repo::new();
    let first = repo.commit(plain().at(0));
    let second = repo.commit(plain().at(4_102_444_800).file("n.go", "package lib\n"));
    let third = repo.commit(plain().at(1).file("o.go", "package lib\n"));
    repo.tag("v1.0.0", &second);
    let [oldest, after] =
        [("v0.0.0-", &first), ("v1.0.1-0.", &third)].map(|(base, hash)| repo.pseudo(base, hash));
    assert!(oldest.starts_with("v0.0.0-19700101000000-"));
    lib(repo)
        .is(LIB, first, oldest)
        .has(LIB, "v1.0.0")
        .is(LIB, "main", after)
}

/// Neither parts of a history nor commits by their hash, as older and simpler hosts have it.
fn hosts_that_allow_little() -> Scene {
    let repo = Repo::new();
    for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        repo.git(&["config", setting, "false"]);
    }
    let first = repo.commit(plain());
    repo.tag("v1.0.0", &first);
    let second = more(&repo, "n.go");
    let third = more(&repo, "o.go");
    let [between, head] = [&second, &third].map(|hash| repo.pseudo("v1.0.1-0.", hash));
    lib(repo)
        .has(LIB, &between)
        .is(LIB, second, between)
        .is(LIB, "main", head)
        .has(LIB, "v1.0.0")
        .list(LIB, &["v1.0.0"])
}
