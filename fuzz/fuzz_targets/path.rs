//! Module paths: what is accepted survives escaping, and patterns never panic.
#![no_main]

use larder::gomod::{ModulePath, Patterns, fold, path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(module) = ModulePath::parse(text) {
        assert_eq!(module.as_str(), text);
        assert_eq!(
            ModulePath::unescape(&module.escaped()).as_ref(),
            Ok(&module)
        );
        assert_eq!(format!("{}{}", module.prefix(), module.path_major()), text);
        assert!(path::check_import_path(text).is_ok());
    }
    if let Ok(module) = ModulePath::unescape(text) {
        assert_eq!(module.escaped(), text);
    }
    if path::check_import_path(text).is_ok() {
        assert!(path::check_file_path(text).is_ok());
    }
    let key = fold::key(text);
    assert_eq!(fold::key(&key), key);
    assert!(fold::equal(text, &key));
    let (patterns, subject) = text.split_once('\n').unwrap_or((text, text));
    let patterns = Patterns::parse(patterns);
    assert_eq!(
        patterns.matches(subject),
        patterns.matching(subject).is_some()
    );
});
