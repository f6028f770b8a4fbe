//! Addresses of repositories: no panic; what is accepted is allowed, plain, and accepted again as it is.
#![no_main]

use larder::vcs::{Allowed, RepoUrl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for (ssh, insecure) in [(false, false), (true, false), (false, true), (true, true)] {
        let allowed = Allowed { ssh, insecure };
        let Ok(url) = RepoUrl::parse(text, allowed) else {
            continue;
        };
        assert!(allowed.permits(url.scheme()));
        assert!(!url.as_str().starts_with('-') && url.as_str().eq_ignore_ascii_case(text));
        assert!(!url.host().is_empty() && url.as_str().contains(url.host()));
        assert_eq!(RepoUrl::parse(url.as_str(), allowed).as_ref(), Ok(&url));
    }
});
