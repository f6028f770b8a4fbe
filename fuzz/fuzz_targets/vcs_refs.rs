//! Lists of references: no panic, bounded, and every name means what the list says.
#![no_main]

use larder::vcs::{ObjectId, RefLimits, RefTable, Resolved};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (revision, list) = input;
    if let Some(id) = ObjectId::parse(revision) {
        assert_eq!(id.as_str(), revision);
    }
    let limits = RefLimits { refs: 50, name: 40 };
    let Ok(table) = RefTable::parse(list, limits) else {
        return;
    };
    assert!(table.heads().count() + table.tags("").count() <= limits.refs);
    for (name, id) in table.tags("") {
        assert!(name.len() <= limits.name + "refs/tags/".len());
        assert_eq!(table.resolve(name), Resolved::Tag(id));
        assert!(table.tags_of(id).any(|tag| tag == name));
    }
    for (name, id) in table.heads() {
        let resolved = table.resolve(name);
        assert!(resolved == Resolved::Head(id) || table.tag(name).is_some());
    }
    let _ = table.resolve(revision);
});
