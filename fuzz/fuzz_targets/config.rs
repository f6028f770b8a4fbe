//! Configuration files: no panic; what is accepted and shown is accepted again and shown the same.
#![no_main]

use std::cell::OnceCell;

use larder::config::{Environment, Overrides, load, show};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// On a disk, each file that is written in place of another would be synced.
fn folder_in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// Loads a text as a file, and writes what is in effect; `None` if it is refused.
fn shown(text: &str) -> Option<String> {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(folder_in_memory);
        let file = folder.path().join("larder.toml");
        std::fs::write(&file, text).unwrap();
        let home = folder.path().join("home").to_string_lossy().into_owned();
        let env = Environment::from([("HOME".to_owned(), home)]);
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        match load(&overrides, &env) {
            Ok(loaded) => {
                let _ = show(&loaded, true);
                Some(show(&loaded, false))
            }
            Err(errors) => {
                assert!(!errors.to_string().is_empty());
                None
            }
        }
    })
}

/// Whether reading it would ask for the address of a host, or open a file that is not the target's.
fn reaches_out(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // Escapes and lines of several lines hide such a key.
    let names = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or((line, line));
        key.contains("listen") && value.contains(|c: char| c.is_ascii_alphabetic())
            || (key.contains("file") || key.contains("cert") || key.contains("key"))
                && value.contains('/')
    };
    text.contains("\\")
        || text.contains("\"\"\"")
        || text.contains("'''")
        || text.lines().any(names)
}

fuzz_target!(|text: &str| {
    if reaches_out(text) {
        return;
    }
    if let Some(first) = shown(text) {
        let again = shown(&first);
        assert_eq!(again.as_deref(), Some(&*first));
    }
});
