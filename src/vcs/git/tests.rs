use http::HeaderValue;

use super::*;

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(20),
    output: 1 << 20,
    memory: None,
};

fn git(home: &Path, program: &str) -> Git {
    let environment = |name: &str| (name == "PATH").then(|| std::env::var_os("PATH")).flatten();
    Git::new(
        program.into(),
        home.to_owned(),
        2,
        Gauge::default(),
        environment,
    )
}

fn script(home: &Path, text: &str) -> Git {
    let path = home.join("fake-git");
    // Written by another process: while one of this one's threads starts a program, a file that this one has written
    // may be open for writing there, and then cannot be run.
    let write = std::process::Command::new("sh")
        .args([
            "-c",
            "printf '%s\\n' '#!/bin/sh' \"$2\" > \"$1\"; chmod 755 \"$1\"",
            "sh",
        ])
        .arg(&path)
        .arg(text)
        .status();
    assert!(write.unwrap().success());
    git(home, path.to_str().unwrap())
}

#[tokio::test]
async fn c118_nothing_of_the_operators_configuration_is_read() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".gitconfig"), "[core]\n\tpager = evil\n").unwrap();
    let git = git(home.path(), "git");
    let dir = home.path().join("r");
    let access = GitAccess::default();
    git.run(&dir, &access, &["init", "--bare", "--quiet"], None, BOUNDS)
        .await
        .unwrap();
    let listed = git
        .run(
            &dir,
            &access,
            &["config", "--list", "--show-origin"],
            None,
            BOUNDS,
        )
        .await
        .unwrap();
    let listed = String::from_utf8(listed.to_vec()).unwrap();
    assert!(
        !listed.contains("evil") && !listed.contains("gitconfig"),
        "{listed}"
    );
    assert!(listed.contains("credential.helper="), "{listed}");
}

#[tokio::test]
async fn failures_say_what_git_said() {
    let home = tempfile::tempdir().unwrap();
    let git = script(
        home.path(),
        "echo out; printf 'fatal: no\\ngone\\033\\n' >&2; exit 128",
    );
    let failed = git
        .run(home.path(), &GitAccess::default(), &["x"], None, BOUNDS)
        .await
        .unwrap_err();
    assert_eq!(failed.to_string(), "git: fatal: no; gone");
    let missing = super::tests::git(home.path(), "/no/such/git");
    let missing = missing
        .run(home.path(), &GitAccess::default(), &["x"], None, BOUNDS)
        .await;
    assert!(matches!(missing, Err(GitError::Missing(_))));
}

#[tokio::test]
async fn c129_what_takes_too_long_or_too_much_is_ended_with_its_children() {
    let home = tempfile::tempdir().unwrap();
    let pids = home.path().join("pids");
    let text = format!(
        "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
        pids.display()
    );
    let git = script(home.path(), &text);
    let short = Bounds {
        time: Duration::from_millis(500),
        ..BOUNDS
    };
    let late = git
        .run(home.path(), &GitAccess::default(), &["x"], None, short)
        .await;
    assert!(matches!(late, Err(GitError::Timeout(_))), "{late:?}");
    let child = std::fs::read_to_string(&pids).unwrap();
    let gone = || {
        std::fs::read_to_string(format!("/proc/{}/stat", child.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    };
    for _ in 0..500 {
        if gone() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gone(), "the child of git lives on");
    let git = script(home.path(), "exec cat /dev/zero");
    let small = Bounds {
        output: 1000,
        ..BOUNDS
    };
    let much = git
        .run(home.path(), &GitAccess::default(), &["x"], None, small)
        .await;
    assert!(matches!(much, Err(GitError::TooMuch(1000))), "{much:?}");
}

#[tokio::test]
async fn c127_secrets_stand_in_no_command_line_and_go_to_one_host_only() {
    let home = tempfile::tempdir().unwrap();
    let git = script(home.path(), "tr '\\0' ' ' < /proc/$$/cmdline; echo; env");
    let mut header = HeaderValue::from_static("Basic s3cret");
    header.set_sensitive(true);
    let access = GitAccess {
        authorization: Some(("https://git.example.com/".into(), header)),
        ..GitAccess::default()
    };
    let said = git
        .run(home.path(), &access, &["fetch"], None, BOUNDS)
        .await
        .unwrap();
    let said = String::from_utf8(said.to_vec()).unwrap();
    let (line, environment) = said.split_once('\n').unwrap();
    assert!(!line.contains("s3cret"), "{line}");
    assert!(
        environment.contains("GIT_ALLOW_PROTOCOL=https\n"),
        "{environment}"
    );
    assert!(!format!("{access:?}").contains("s3cret"));
    assert!(
        environment.contains("GIT_CONFIG_KEY_0=http.https://git.example.com/.extraHeader\n"),
        "{environment}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_bounded_where_it_is_to_be() {
    let home = tempfile::tempdir().unwrap();
    // A process that has not been given its limit yet would run on.
    let text = "sleep 0.2; ulimit -d; echo 'fatal: Out of memory, malloc failed' >&2; exit 128";
    let git = script(home.path(), text);
    let bounds = Bounds {
        memory: Some(64 << 20),
        ..BOUNDS
    };
    let access = GitAccess::default();
    let ended = git.run(home.path(), &access, &["x"], None, bounds).await;
    assert!(matches!(ended, Err(GitError::TooMuch(_))), "{ended:?}");
    let git = script(home.path(), "sleep 0.2; ulimit -d");
    let said = git.run(home.path(), &access, &["x"], None, bounds).await;
    assert_eq!(said.unwrap(), "65536\n", "kilobytes");
}

#[tokio::test]
async fn strangers_take_no_slots_of_private_modules() {
    let home = tempfile::tempdir().unwrap();
    let git = script(home.path(), "sleep 1000");
    let strangers = GitAccess::default();
    let hang = || git.stream(home.path(), &strangers, &["x"], BOUNDS);
    let _all = (hang().await.unwrap(), hang().await.unwrap());
    let own = GitAccess {
        tenant: Tenant::Own,
        ..GitAccess::default()
    };
    let short = Bounds {
        time: Duration::from_millis(100),
        ..BOUNDS
    };
    let ended = git.run(home.path(), &own, &["x"], None, short).await;
    assert!(matches!(ended, Err(GitError::Timeout(_))), "{ended:?}");
}

#[tokio::test]
async fn a_place_is_given_back() {
    let home = tempfile::tempdir().unwrap();
    let git = script(home.path(), "cat");
    for _ in 0..5 {
        let said = git
            .run(
                home.path(),
                &GitAccess::default(),
                &["x"],
                Some(Bytes::from_static(b"in")),
                BOUNDS,
            )
            .await;
        assert_eq!(said.unwrap(), "in");
    }
}
