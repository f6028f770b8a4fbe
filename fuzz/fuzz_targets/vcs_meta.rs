//! `?go-get=1` pages: no panic, and the tag that is chosen is one of the page's and for the path.
#![no_main]

use larder::gomod::ModulePath;
use larder::vcs::{Allowed, go_imports, select};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (path, page) = input;
    let Ok(imports) = go_imports(page) else {
        return;
    };
    // A path that the page is for, if the one given is none.
    let of_page = || {
        let mut prefixes = imports.iter().map(|import| import.prefix.as_str());
        prefixes.find_map(|prefix| ModulePath::parse(prefix).ok())
    };
    let Some(path) = ModulePath::parse(path).ok().or_else(of_page) else {
        return;
    };
    if let Ok(import) = select(&imports, &path) {
        assert!(imports.contains(import));
        assert!(path.as_str().starts_with(&import.prefix));
        assert!(import.confirm(&imports, &path).is_ok());
        if let Ok(root) = import.root(Allowed::default()) {
            assert!(!root.subdir.starts_with('/') && !root.subdir.ends_with('/'));
        }
    }
});
