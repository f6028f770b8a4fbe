mod bad;
mod create;
mod good;
mod properties;
mod zipper;

use super::*;
use crate::gomod::{ModulePath, Version};

/// The prefix of all entries of [`module`].
pub const P: &str = "example.com/m@v1.0.0/";

pub fn module() -> (ModulePath, Version) {
    (
        ModulePath::parse("example.com/m").unwrap(),
        Version::parse("v1.0.0").unwrap(),
    )
}

/// Both ways to check must agree, whatever the pieces in which the bytes arrive; errors by their
/// text.
pub fn check_limited(bytes: &[u8], limits: &ZipLimits) -> Result<CheckedZip, ZipError> {
    let (m, v) = module();
    let whole = check_zip_limited(&bytes, &m, &v, None, limits);
    for size in [1, 7, 4096, usize::MAX] {
        let mut pre = StreamHasher::new();
        bytes.chunks(size).for_each(|piece| pre.push(piece));
        let with = check_zip_limited(&bytes, &m, &v, Some(pre), limits);
        match (&whole, &with) {
            (Ok(a), Ok(b)) => assert_eq!(a, b),
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
            other => panic!("{other:?}"),
        }
    }
    whole
}

pub fn check(bytes: &[u8]) -> Result<CheckedZip, ZipError> {
    check_limited(bytes, &ZipLimits::GO)
}

/// How many entries are hashed on arrival.
pub fn streamed(bytes: &[u8]) -> usize {
    let mut pre = StreamHasher::new();
    bytes.chunks(11).for_each(|piece| pre.push(piece));
    pre.entries()
}
