//! What a module path says about its repository: no panic, and a root is the path or a part of it that ends at a slash.
#![no_main]

use larder::gomod::ModulePath;
use larder::vcs::{Scheme, Static, static_root};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(path) = ModulePath::parse(text) else {
        return;
    };
    let prefix = match static_root(&path) {
        Static::Repository(root) => root.prefix,
        Static::Suffixed(suffixed) => {
            for scheme in [Scheme::Https, Scheme::Ssh] {
                if let Ok(root) = suffixed.by(scheme) {
                    assert_eq!(root.url.scheme(), scheme);
                }
            }
            suffixed.prefix
        }
        Static::NeedsMeta | Static::Impossible(_) => return,
    };
    let rest = text.strip_prefix(&prefix);
    assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
});
