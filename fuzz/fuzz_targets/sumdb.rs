//! What comes from a checksum database: no panic; a record is a part of its body, a path is written in one way only, and a
//! note of somebody else does not open.
#![no_main]

use bytes::Bytes;
use larder::sumdb::{DatabaseSpec, Head, Record, TilePath, VerifierKey, open_note};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let bytes = Bytes::copy_from_slice(body);
    if let Ok(record) = Record::parse(&bytes) {
        let number = record.id.to_string();
        let again = [number.as_bytes(), b"\n", &record.text, b"\n", &record.note].concat();
        assert_eq!(again, body);
    }
    if let Ok(spec) = DatabaseSpec::parse("sum.golang.org") {
        assert!(open_note(body, &spec.key).is_err());
        assert!(Head::open(bytes, &spec.key).is_err());
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    if let Some(path) = TilePath::parse(text) {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }
    let _ = DatabaseSpec::parse(text).map(|spec| spec.to_string());
});
