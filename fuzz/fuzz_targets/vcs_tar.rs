//! Archives of git: no panic, bounded work, and every content lies inside, behind the one before.
#![no_main]

use larder::vcs::tar::Tar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|archive: &[u8]| {
    let mut tar = Tar::new(&archive);
    let mut end = 0;
    while let Ok(Some(entry)) = tar.next() {
        assert!(!entry.name.is_empty() && !entry.name.contains(&0));
        assert!(entry.at > end);
        end = entry.at + entry.size;
        assert!(end <= archive.len() as u64);
    }
});
