//! `.info` bodies: no panic, and a stand-in names the same version and is its own stand-in.
#![no_main]

use larder::gomod::info::{parse_info, stand_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let info = parse_info(body);
    let stand_in_of = stand_in(body);
    assert_eq!(info.is_ok(), stand_in_of.is_some());
    if let Some(body) = stand_in_of {
        assert_eq!(parse_info(&body), info);
        assert_eq!(stand_in(&body), Some(body));
    }
});
