//! Versions: what is accepted survives escaping, the order is total. The input is one, or two with a line break between.
#![no_main]

use larder::gomod::{Rev, Version, semver, version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pair: &str| {
    let (a, b) = pair.split_once('\n').unwrap_or((pair, "v1.0.0"));
    if let Ok(rev) = Rev::parse(a) {
        assert_eq!(rev.as_str(), a);
        assert_eq!(Rev::unescape(&rev.escaped()).as_ref(), Ok(&rev));
        assert_eq!(matches!(rev, Rev::Version(_)), Version::parse(a).is_ok());
    }
    if let Ok(rev) = Rev::unescape(a) {
        assert_eq!(rev.escaped(), a);
    }
    if let Ok(v) = Version::parse(a) {
        assert!(Rev::parse(a).is_ok());
        assert_eq!(v.is_pseudo(), v.pseudo_time().is_some());
        assert_eq!(Version::canonicalize(a), Ok(v));
    }
    assert_eq!(
        version::is_pseudo_version(a),
        version::is_pseudo_version(a) && semver::is_valid(a)
    );
    assert_eq!(
        semver::compare_total(a, b),
        semver::compare_total(b, a).reverse()
    );
    assert_eq!(semver::compare_total(a, b).is_eq(), a == b);
    if let Some(canonical) = semver::canonical(a) {
        assert!(semver::compare(a, &canonical).is_eq());
        assert_eq!(semver::canonical(&canonical).as_ref(), Some(&canonical));
    }
});
