//! What holds inside a room: no circle of files, and files and folders only where they are somebody's business.

use std::collections::BTreeSet;

use super::imports::{File, Files};

/// Rooms under reconstruction: what stands in them is not looked at yet.
const WAITS: &[&str] = &[];

/// The circles that still stand, each with the reason. A list that only ever gets shorter.
const CIRCLES: &[(&[&str], &str)] = &[];

/// Where files, folders and their errors may be spoken of.
#[rustfmt::skip]
const FILES: &[&str] = &[
    "src/cli/", "src/config/", "src/http/connection/", "src/store/local/", "src/store/catalog/sled/", "src/vcs/",
    "migrations/",
];

#[rustfmt::skip]
/// Files outside these that have to speak of them, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("src/admin/socket/client.rs", "the socket is a file of the data directory"),
    ("src/admin/socket/place.rs", "the socket is a file of the data directory"),
    ("src/admin/socket/server.rs", "the socket is a file of the data directory"),
    ("src/gomod/zip/source.rs", "zips are checked where they lie"),
    ("src/gomod/zip/write.rs", "writes to anything that can be interrupted"),
    ("src/store/dir.rs", "joins the folders of the data directory"),
    ("src/store/keeper.rs", "joins the folders of the data directory"),
    ("src/telemetry/audit/file.rs", "a file of its own"),
    ("src/telemetry/logs/sink.rs", "standard error as a file"),
    ("src/upstream/local.rs", "an upstream that is a folder"),
    ("src/upstream/toolchain.rs", "reads the files of go env"),
    ("src/upstream/trust.rs", "reads the certificates of the system"),
];

#[test]
fn no_circle_of_files_stands_inside_a_room() {
    let files = Files::read();
    let mut faults = Vec::new();
    let mut listed: Vec<BTreeSet<String>> = CIRCLES
        .iter()
        .map(|(files, _)| files.iter().map(|name| (*name).to_owned()).collect())
        .collect();
    for circle in files.circles() {
        if circle.files.iter().all(|name| waits(name)) {
            continue;
        }
        match listed.iter().position(|files| *files == circle.files) {
            Some(at) => drop(listed.remove(at)),
            None => {
                let files: Vec<_> = circle.files.into_iter().collect();
                let ties = circle.ties.join("\n    ");
                faults.push(format!("a circle: {}\n    {ties}", files.join(", ")));
            }
        }
    }
    for files in listed {
        faults.push(format!(
            "this circle does not stand as it is listed: shorten the list: {files:?}"
        ));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Connections can be read, and replaced, without the rest of `http`.
#[test]
fn connections_know_nothing_of_what_is_asked() {
    let files = Files::read();
    let below = |file: &&File| file.name.starts_with("src/http/connection/");
    let mut seen = 0;
    for file in files.files.iter().filter(below) {
        for (line, path) in &file.uses {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            let inside = path.starts_with(&["http", "connection"]);
            seen += usize::from(inside);
            let outside = matches!(
                path.as_slice(),
                [
                    "http" | "engine" | "policy" | "protocol" | "gomod" | "app" | "config",
                    ..
                ]
            );
            let shown = path.join("::");
            assert!(inside || !outside, "{}:{line}: {shown}", file.name);
        }
    }
    assert!(seen > 10, "the folder was not read");
}

#[test]
fn files_and_folders_are_spoken_of_in_few_rooms() {
    let mut faults = Vec::new();
    let mut needless: BTreeSet<_> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    let files = Files::read();
    for file in files.files.iter().filter(|file| files.is_shipped(file)) {
        let name = file.name.as_str();
        if FILES.iter().any(|folder| name.starts_with(folder)) || waits(name) {
            continue;
        }
        let of_files = |path: &[String]| {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            matches!(
                path.as_slice(),
                ["::", "std" | "tokio", "fs", ..]
                    | ["::", "std", "path", ..]
                    | ["::", "std" | "tokio", "io", "ErrorKind", ..]
            )
        };
        let mut found = file
            .uses
            .iter()
            .filter(|(_, path)| of_files(path))
            .peekable();
        if found.peek().is_some() && needless.remove(name) {
            continue;
        }
        if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
            continue;
        }
        let found = found.map(|(line, path)| format!("{name}:{line}: {}", path[1..].join("::")));
        faults.extend(found);
    }
    let needless = needless
        .iter()
        .map(|name| format!("{name} needs no exception"));
    faults.extend(needless);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn waits(name: &str) -> bool {
    WAITS.iter().any(|room| name.starts_with(room))
}
