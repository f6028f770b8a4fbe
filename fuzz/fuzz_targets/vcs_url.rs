//! Addresses of repositories: no panic; what is accepted is allowed, plain, and accepted again as it is, but for the user of
//! a web address, who is kept beside it.
#![no_main]

use larder::vcs::{Allowed, RepoUrl, Scheme};
use libfuzzer_sys::fuzz_target;

/// The address as it is written, but for such a user.
fn plain(text: &str, scheme: Scheme) -> String {
    let Some((before, rest)) = text.split_once("://").filter(|_| !scheme.is_ssh()) else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{before}://{host}{path}")
}

fuzz_target!(|text: &str| {
    for (ssh, insecure) in [(false, false), (true, false), (false, true), (true, true)] {
        let allowed = Allowed { ssh, insecure };
        let Ok(url) = RepoUrl::parse(text, allowed) else {
            continue;
        };
        assert!(allowed.permits(url.scheme()));
        assert!(!url.as_str().starts_with('-'));
        assert!(
            url.as_str()
                .eq_ignore_ascii_case(&plain(text, url.scheme()))
        );
        assert!(!url.host().is_empty() && url.as_str().contains(url.host()));
        let again = RepoUrl::parse(url.as_str(), allowed).unwrap();
        assert_eq!(again.as_str(), url.as_str());
        assert_eq!((again.host(), again.port()), (url.host(), url.port()));
        if url.user().is_none() {
            assert_eq!(again, url);
        }
    }
});
