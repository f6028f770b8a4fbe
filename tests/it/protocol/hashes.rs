//! Hashes of module files (checklist 56, 57, 62).

use crate::support::*;

#[test]
fn c56_vectors() {
    let plain = Module::new("example.com/m", "v1.0.0")
        .gomod("module example.com/m\n")
        .file("m.go", "package m\n");
    assert_eq!(
        plain.mod_h1(),
        "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k="
    );
    assert_eq!(
        plain.h1(),
        "h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg="
    );
    let up = FakeUpstream::serving(std::slice::from_ref(&plain));
    let larder = larder().of(&up).start();
    for (kind, hash) in [("mod", plain.mod_h1()), ("zip", plain.h1())] {
        larder.get(&plain.url(kind)).ok();
        let answer = larder.get(&plain.url(kind));
        assert_eq!(answer.header("etag").unwrap(), format!("\"{hash}\""));
    }
}

#[test]
fn c57_directory_entries_are_hashed_and_kept() {
    let prefix = "example.com/m@v1.0.0/";
    let zip = Zip::new()
        .file(format!("{prefix}go.mod"), "module example.com/m\n")
        .file(format!("{prefix}m.go"), "package m\n")
        .file(format!("{prefix}sub/"), "")
        .build();
    let module = Module::new("example.com/m", "v1.0.0")
        .gomod("module example.com/m\n")
        .zip(zip.clone());
    assert_eq!(
        module.h1(),
        "h1:8qOrKE7XNjK42DsWKc+AJAlTSJxQ70jV8EOLMmS8E5w="
    );
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    assert_eq!(larder.get(&module.url("zip")).ok(), zip);
    let hit = larder.get(&module.url("zip"));
    assert_eq!(hit.ok(), zip);
    assert_eq!(hit.header("etag").unwrap(), format!("\"{}\"", module.h1()));
}

#[test]
fn c62_ziphash_lies_beside_the_zip() {
    let module = Module::new("example.com/Upper", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    larder.get(&module.url("zip")).ok();
    let hash = until("the .ziphash", || {
        std::fs::read_to_string(larder.blob(&module.url("ziphash"))).ok()
    });
    assert_eq!(hash, module.h1(), "47 bytes, no newline");
    let kept = until("the zip", || {
        std::fs::read(larder.blob(&module.url("zip"))).ok()
    });
    assert_eq!(kept, module.zip_bytes(), "byte for byte as upstream had it");
}
