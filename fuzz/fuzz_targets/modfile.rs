//! go.mod files: no panic, and requirements are canonical.
#![no_main]

use larder::gomod::{Version, dirhash, modfile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = modfile::module_path(body);
    let _ = modfile::go_version(body);
    let _ = dirhash::hash_go_mod(body);
    for (_, version) in modfile::requirements(body) {
        assert!(Version::parse(&version).is_ok());
    }
    if let Ok(version) = Version::parse("v1.2.3") {
        for retract in modfile::retractions(body) {
            let _ = retract.covers(&version);
        }
    }
});
