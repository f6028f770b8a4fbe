//! `?go-get=1` pages: no panic, and the tag that is chosen is one of the page's and for the path. The input is the
//! path, a line break, and the page.
#![no_main]

use larder::gomod::ModulePath;
use larder::vcs::{Allowed, go_imports, select};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (path, page) = input.split_at(end.unwrap_or_default());
    let path = std::str::from_utf8(path).unwrap_or_default();
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
