//! Zips: no panic, bounded work, and the same verdict with and without precomputation.
#![no_main]

use larder::gomod::zip::{StreamHasher, check_zip, check_zip_with};
use larder::gomod::{ModulePath, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, bytes) = input;
    let (Ok(module), Ok(version)) = (ModulePath::parse("a.b"), Version::parse("v1.0.0")) else {
        return;
    };
    let whole = check_zip(&bytes, &module, &version);
    let mut pre = StreamHasher::new();
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        pre.push(piece);
    }
    let with = check_zip_with(&bytes, &module, &version, pre);
    match (whole, with) {
        (Ok(whole), Ok(with)) => assert_eq!(whole, with),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (whole, with) => panic!("{whole:?} but {with:?}"),
    }
});
