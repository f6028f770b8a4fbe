//! Names of kept files: no panic; what is taken for a file, a list, a tile or an answer has that one name, and it stays below
//! its folder.
#![no_main]

use std::path::{Component, Path};

use larder::protocol::{MetaKey, Target, parse};
use larder::store::local::{BlobName, Namespace, is_of_layout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for namespace in [Namespace::Modules, Namespace::Sumdb] {
        let Some(name) = BlobName::parse(namespace, text) else {
            continue;
        };
        assert_eq!(name.to_string(), text);
        assert_eq!(name.namespace(), namespace);
        let parts: Vec<_> = Path::new(text).components().collect();
        assert!(
            parts
                .iter()
                .all(|part| matches!(part, Component::Normal(_)))
        );
        assert_eq!(parts.len(), text.split('/').count());
        if let BlobName::File(key) = name {
            // It is asked for by the same path, and no answer of a query.
            let asked = parse(&format!("/{text}"));
            assert_eq!(asked, Ok(Target::Module(key.into())));
            assert_eq!(MetaKey::from_path(text), None);
        }
    }
    let _ = is_of_layout(text);
    if let Some(key) = MetaKey::from_path(text) {
        assert_eq!(key.to_string(), text);
    }
    // A path of a request may be written in many ways; what it asks for has one name.
    if let Ok(Target::Module(key)) = parse(text) {
        let name = format!("/{key}");
        assert_eq!(parse(&name), Ok(Target::Module(key)));
    }
});
