//! Rows of the index: no panic; a name of a fact is written in one way only, and a fact that is read is written and read
//! back the same. The input is the fact's name, a line break, and what is between a row's version and its checksum.
#![no_main]

use larder::store::fuzzing::{read_row, sealed, write_row};
use larder::store::{Fact, FactKey, TokenRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (name, body) = (&input[..end], &input[end + 1..]);
    if let Ok(token) = serde_json::from_slice::<TokenRecord>(body) {
        let line = serde_json::to_vec(&token).unwrap();
        assert_eq!(serde_json::from_slice::<TokenRecord>(&line).unwrap(), token);
    }
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let Some(key) = FactKey::parse(name) else {
        return;
    };
    assert_eq!(key.to_string(), name);
    assert!(name.starts_with(key.kind().prefix()));
    // A row as it is found on a bad disk.
    let _ = read_row(key.clone(), body);
    if let Ok(fact) = read_row(key.clone(), &sealed(body)) {
        // A token has its name in itself.
        if !matches!(fact, Fact::Token(_)) {
            assert_eq!(fact.key(), key);
        }
        let row = write_row(&fact);
        assert_eq!(read_row(key, &row).unwrap(), fact);
        let _ = fact.to_json().to_string();
    }
});
