//! Which chain it is, for every order in which people set things.

use super::super::memory::Told;
use super::*;

const SELF: &str = "http://127.0.0.1:3080";

fn is_self(url: &Url) -> bool {
    url.port() == Some(3080)
}

fn user() -> SettingOrigin {
    SettingOrigin::UserFile("/home/me/.config/go/env".into())
}

fn root() -> SettingOrigin {
    SettingOrigin::RootFile("/usr/local/go/go.env".into())
}

fn remembered(chain: &str, from: SettingOrigin) -> Memory {
    Memory {
        found: Some(Remembered {
            chain: chain.to_owned(),
            from,
            used: true,
            at: 7,
        }),
        told: None,
    }
}

fn told(chain: &str) -> Memory {
    Memory {
        found: None,
        told: Some(Told {
            chain: chain.to_owned(),
            by: "--upstream".to_owned(),
        }),
    }
}

fn decided(memory: &Memory, settings: &[(&str, SettingOrigin)]) -> (String, NoteLevel, Chosen) {
    let settings = settings.iter();
    let settings = settings.map(|(text, origin)| ((*text).to_owned(), origin.clone()));
    let found = look(settings.collect(), &is_self);
    let chosen = decide(memory, found, &is_self);
    let level = chosen
        .note
        .as_ref()
        .map_or(NoteLevel::Fine, |note| note.level);
    (chosen.chain.to_string(), level, chosen)
}

#[test]
fn the_first_start_takes_what_the_toolchain_says() {
    let nothing = Memory::default();
    let (chain, level, chosen) = decided(&nothing, &[("https://a.example.com", user())]);
    assert_eq!(
        (chain.as_str(), level),
        ("https://a.example.com", NoteLevel::Fine)
    );
    assert!(chosen.as_toolchain);
    let memory = chosen.memory.found.unwrap();
    assert_eq!(
        (memory.chain.as_str(), memory.from),
        ("https://a.example.com", user())
    );
    // With the toolchain set to us already, what is below counts, and it is said so.
    let (chain, level, chosen) = decided(
        &nothing,
        &[(SELF, user()), ("https://b.example.com,direct", root())],
    );
    assert_eq!(
        (chain.as_str(), level),
        ("https://b.example.com,direct", NoteLevel::Warning)
    );
    assert!(!chosen.as_toolchain);
    let text = chosen.note.unwrap().text;
    assert!(
        text.contains("is set to this server itself") && text.contains("/usr/local/go/go.env"),
        "{text}"
    );
    let (chain, level, chosen) = decided(&nothing, &[(SELF, user())]);
    assert_eq!((chain.as_str(), level), ("direct", NoteLevel::Warning));
    assert_eq!(chosen.memory.found, None);
    assert_eq!(decided(&nothing, &[]).0, "direct");
    // What another layer says goes before the default.
    let layers = [
        (SELF, SettingOrigin::Environment),
        ("https://c.example.com", user()),
        ("https://b.example.com", root()),
    ];
    assert_eq!(decided(&nothing, &layers).0, "https://c.example.com");
}

#[test]
fn setting_the_toolchain_to_us_changes_nothing() {
    for (memory, own) in [
        (remembered("https://a.example.com", user()), SELF.to_owned()),
        (
            remembered("https://a.example.com", user()),
            format!("{SELF},direct"),
        ),
        (
            remembered("https://a.example.com", user()),
            format!("{SELF}|https://x.example.com,direct"),
        ),
        (
            remembered("https://a.example.com", root()),
            format!("{SELF}|https://x.example.com,direct"),
        ),
        (
            remembered(&format!("{SELF},https://a.example.com"), user()),
            SELF.to_owned(),
        ),
    ] {
        for origin in [user(), SettingOrigin::Environment, SettingOrigin::GoCommand] {
            let settings = [(own.as_str(), origin), ("https://b.example.com", root())];
            let (chain, level, chosen) = decided(&memory, &settings);
            assert_eq!(
                (chain.as_str(), level),
                ("https://a.example.com", NoteLevel::Fine),
                "{own}"
            );
            assert_eq!(chosen.memory.found, memory.found);
            assert!(!chosen.as_toolchain);
        }
    }
}

#[test]
fn what_was_set_first_stays_until_an_operator_says_otherwise() {
    let memory = remembered("https://a.example.com", user());
    for settings in [
        &[("https://b.example.com", user())][..],
        &[("off", user())],
        &[("https://b.example.com", SettingOrigin::Environment)],
        &[("https://b.example.com,direct", root())],
    ] {
        let (chain, level, chosen) = decided(&memory, settings);
        assert_eq!(
            (chain.as_str(), level),
            ("https://a.example.com", NoteLevel::Fault)
        );
        let text = chosen.note.unwrap().text;
        assert!(
            text.contains("--upstream https://a.example.com") && text.contains(settings[0].0),
            "{text}"
        );
        assert_eq!(chosen.memory.found, memory.found);
    }
    let (chain, level, _) = decided(&memory, &[]);
    assert_eq!(
        (chain.as_str(), level),
        ("https://a.example.com", NoteLevel::Warning)
    );
    let (_, level, chosen) = decided(&memory, &[("https://a.example.com", user())]);
    assert_eq!(level, NoteLevel::Fine);
    assert!(chosen.as_toolchain);
}

#[test]
fn what_somebody_sets_goes_before_a_default_and_is_told_once() {
    let memory = remembered("https://b.example.com,direct", root());
    let settings = [
        ("https://a.example.com", user()),
        ("https://b.example.com,direct", root()),
    ];
    let (chain, level, chosen) = decided(&memory, &settings);
    assert_eq!(
        (chain.as_str(), level),
        ("https://a.example.com", NoteLevel::Fault)
    );
    assert!(chosen.note.unwrap().text.contains("--upstream"));
    let (_, level, _) = decided(&chosen.memory, &settings);
    assert_eq!(level, NoteLevel::Fine);
}

#[test]
fn what_cannot_be_read_sends_no_name_elsewhere() {
    let settings = [
        ("https://a.example.com;direct", user()),
        ("https://b.example.com", root()),
    ];
    let (chain, level, _) = decided(&Memory::default(), &settings);
    assert_eq!((chain.as_str(), level), ("off", NoteLevel::Fault));
    let memory = remembered("https://a.example.com", user());
    let (chain, level, _) = decided(&memory, &settings);
    assert_eq!(
        (chain.as_str(), level),
        ("https://a.example.com", NoteLevel::Fault)
    );
}

#[test]
fn an_operator_s_word_that_is_gone_is_missed() {
    let settings = [(SELF, user()), ("https://b.example.com", root())];
    let (chain, level, chosen) = decided(&told("https://a.example.com"), &settings);
    assert_eq!(
        (chain.as_str(), level),
        ("https://a.example.com", NoteLevel::Warning)
    );
    assert_eq!(chosen.memory.told, told("https://a.example.com").told);
    let mut both = remembered("https://b.example.com", root());
    both.told = told("https://a.example.com").told;
    // A flag of one start is no more than that where something else was in use before.
    let (chain, level, _) = decided(&both, &settings);
    assert_eq!(
        (chain.as_str(), level),
        ("https://b.example.com", NoteLevel::Warning)
    );
    if let Some(found) = &mut both.found {
        found.used = false;
    }
    assert_eq!(decided(&both, &settings).0, "https://a.example.com");
    assert_eq!(decided(&told("off"), &settings).0, "https://b.example.com");
    // Where the toolchain has a word of its own, that counts, and the change is told.
    let (chain, level, _) = decided(&both, &[("https://b.example.com", root())]);
    assert_eq!(
        (chain.as_str(), level),
        ("https://b.example.com", NoteLevel::Warning)
    );
    let (_, level, _) = decided(
        &told("https://b.example.com"),
        &[("https://b.example.com", root())],
    );
    assert_eq!(level, NoteLevel::Fine);
}

#[test]
fn passwords_are_not_told() {
    let memory = remembered("https://me:hunter2@a.example.com", user());
    let (_, _, chosen) = decided(&memory, &[("https://b.example.com", user())]);
    assert!(!format!("{} {}", chosen.chain, chosen.note.unwrap().text).contains("hunter2"));
}
