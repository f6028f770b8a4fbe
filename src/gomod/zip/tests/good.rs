use super::zipper::{Descriptor, Item, build, build_as, item};
use super::*;
use crate::gomod::zip::source::Window;

fn p(name: &str) -> String {
    format!("{P}{name}")
}

fn sample() -> Vec<Item> {
    vec![
        item(&p("go.mod"), "module example.com/m\n"),
        item(&p("m.go"), "package m\n"),
    ]
}

const SAMPLE_H1: &str = "h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg=";

#[test]
fn c56_h1_vectors() {
    let checked = check(&build(&sample()).bytes).unwrap();
    assert_eq!(checked.h1.to_string(), SAMPLE_H1);
    assert_eq!((checked.files, checked.uncompressed), (2, 31));
}

#[test]
fn c57_directory_entries_are_hashed() {
    let mut items = sample();
    items.push(item(&p("sub/"), ""));
    let built = build(&items);
    let checked = check(&built.bytes).unwrap();
    assert_eq!(
        checked.h1.to_string(),
        "h1:8qOrKE7XNjK42DsWKc+AJAlTSJxQ70jV8EOLMmS8E5w="
    );
    assert_eq!(checked.files, 2);
    assert_eq!(streamed(&built.bytes), 3);
    // Go lets a directory come twice, and the prefix itself; each is a line of the hash.
    items.push(item(&p("sub/"), ""));
    items.push(item(P, ""));
    assert_eq!(check(&build(&items).bytes).unwrap().files, 2);
    // Some tools deflate directories.
    let mut deflated = item(&p("d/"), "");
    deflated.method = 8;
    assert!(check(&build(&[deflated]).bytes).is_ok());
}

#[test]
fn an_empty_zip_is_legal() {
    let nothing = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for built in [
        build(&[]),
        build_as(&[], true, b""),
        build_as(&[], false, b"c"),
    ] {
        let checked = check(&built.bytes).unwrap();
        assert_eq!(checked.h1.to_string(), nothing);
        assert_eq!((checked.files, checked.uncompressed), (0, 0));
    }
}

#[test]
fn the_bytes_of_the_zip_do_not_matter() {
    for descriptor in Descriptor::ALL {
        for method in [0, 8] {
            for zip64 in [false, true] {
                for comment in ["", "PK\u{5}\u{6} is no end record here"] {
                    let mut items = sample();
                    for item in &mut items {
                        item.descriptor = descriptor;
                        item.method = method;
                        item.zip64 = zip64;
                        item.comment = b"what".to_vec();
                        item.local_extra = vec![0x55, 0x54, 1, 0, 9];
                    }
                    let comment = comment.strip_prefix("PK\u{5}\u{6}").unwrap_or(comment);
                    let built = build_as(&items, zip64, comment.as_bytes());
                    let checked = check(&built.bytes).unwrap();
                    assert_eq!(checked.h1.to_string(), SAMPLE_H1);
                    // Stored data behind a descriptor does not tell its end.
                    let hidden_end = method == 0 && descriptor != Descriptor::None;
                    let expected = if hidden_end { 0 } else { 2 };
                    assert_eq!(streamed(&built.bytes), expected, "{descriptor:?} {method}");
                }
            }
        }
    }
}

#[test]
fn descriptors_that_look_like_something_else() {
    // Stored data that contains signatures, and empty files of both methods.
    let mut items = vec![
        item(&p("a"), b"PK\x03\x04PK\x01\x02PK\x05\x06PK\x07\x08"),
        item(&p("b"), ""),
        item(&p("c"), ""),
        item(&p("d"), b"PK\x05\x06".repeat(40)),
    ];
    items[0].method = 0;
    items[0].descriptor = Descriptor::None;
    items[2].method = 0;
    for descriptor in Descriptor::ALL {
        items[1].descriptor = descriptor;
        items[2].descriptor = descriptor;
        items[3].descriptor = descriptor;
        let built = build(&items);
        assert_eq!(check(&built.bytes).unwrap().files, 4);
        assert_eq!(streamed(&built.bytes), 4, "{descriptor:?}");
    }
}

#[test]
fn names_that_are_allowed() {
    for name in [
        "a~1",
        "a..b",
        ".gitignore",
        "испытание.go",
        "a b",
        "!#$%&()+,-.=@[]^_{}~",
        "go.mod/x",
        "_go.mod",
        "license",
    ] {
        assert!(
            check(&build(&[item(&p(name), "x")]).bytes).is_ok(),
            "{name}"
        );
    }
    // Only regular files make a nested module.
    assert!(check(&build(&[item(&p("sub/go.mod/"), "")]).bytes).is_ok());
}

#[test]
fn c84_toolchain_zips() {
    let module = ModulePath::parse("golang.org/toolchain").unwrap();
    let version = Version::parse("v0.0.1-go1.25.3.linux-amd64").unwrap();
    let items = [item(
        &format!("{module}@{version}/src/_go.mod"),
        "module std\n",
    )];
    let bytes = build(&items).bytes;
    assert_eq!(check_zip(&bytes, &module, &version).unwrap().files, 1);
}

#[test]
fn large_entries_in_small_pieces() {
    // Several times the buffers, compressible and not.
    let mut noise = Vec::new();
    let mut x = 1_u32;
    while noise.len() < 3 * Window::SIZE {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        noise.extend(x.to_le_bytes());
    }
    let mut stored = item(&p("stored"), &noise);
    stored.method = 0;
    stored.descriptor = Descriptor::None;
    let items = [
        item(&p("noise"), &noise),
        item(&p("zeros"), vec![0; 5 << 20]),
        stored,
        item(&p("small"), "x"),
    ];
    let built = build(&items);
    let checked = check(&built.bytes).unwrap();
    assert_eq!(checked.uncompressed, 2 * noise.len() as u64 + (5 << 20) + 1);
    assert_eq!(streamed(&built.bytes), 4);
}

#[test]
fn files_are_sources() {
    let bytes = build(&sample()).bytes;
    let path = std::env::temp_dir().join(format!("larder-zip-{}", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    let source = FileAt::new(std::fs::File::open(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (m, v) = module();
    assert_eq!(source.size(), bytes.len() as u64);
    assert_eq!(
        check_zip(&source, &m, &v).unwrap().h1.to_string(),
        SAMPLE_H1
    );
}

#[test]
fn reading_errors_are_no_verdict() {
    /// Fails, or ends too early, from some offset on.
    struct Broken(Vec<u8>, u64, bool);
    impl ReadAt for Broken {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
            if offset >= self.1 && self.2 {
                return Err(std::io::Error::other("worn out"));
            }
            let good = &self.0[..self.0.len().min(self.1 as usize)];
            let n = buf.len().min(3);
            good.read_at(&mut buf[..n], offset)
        }
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
    }
    let (m, v) = module();
    let bytes = build(&sample()).bytes;
    for end in 0..bytes.len() as u64 {
        for fails in [true, false] {
            let error = check_zip(&Broken(bytes.clone(), end, fails), &m, &v).unwrap_err();
            assert!(error.is_io(), "{error}");
        }
    }
    // Short reads alone are no error.
    let whole = Broken(bytes.clone(), u64::MAX, true);
    assert_eq!(check_zip(&whole, &m, &v).unwrap().h1.to_string(), SAMPLE_H1);
}

#[test]
fn any_part_of_the_work_may_be_done_before() {
    let (m, v) = module();
    let bytes = build(&sample()).bytes;
    for n in 0..=bytes.len() {
        let mut pre = StreamHasher::default();
        pre.push(&bytes[..n]);
        assert_eq!(pre.received(), n as u64);
        let checked = check_zip_with(&bytes, &m, &v, pre).unwrap();
        assert_eq!(checked.h1.to_string(), SAMPLE_H1);
    }
    // More bytes than there are: those were of something else.
    let mut pre = StreamHasher::new();
    pre.push(&bytes);
    pre.push(b"x");
    let checked = check_zip_with(&bytes, &m, &v, pre).unwrap();
    assert_eq!(checked.h1.to_string(), SAMPLE_H1);
}

#[test]
fn work_on_other_bytes_does_not_count() {
    // The same zip but for the content of one file: its CRC tells.
    let (m, v) = module();
    let bytes = build(&sample()).bytes;
    let mut other = sample();
    other[1].content = b"package n\n".to_vec();
    let other = build(&other).bytes;
    assert_eq!(bytes.len(), other.len());
    let mut pre = StreamHasher::new();
    pre.push(&other);
    assert_eq!(pre.entries(), 2);
    let checked = check_zip_with(&bytes, &m, &v, pre).unwrap();
    assert_eq!(checked.h1.to_string(), SAMPLE_H1);
}

#[test]
fn precomputed_entries_are_not_read_again() {
    /// Counts the bytes that are read.
    struct Counted(Vec<u8>, std::cell::Cell<u64>);
    impl ReadAt for Counted {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let n = self.0.read_at(buf, offset)?;
            self.1.set(self.1.get() + n as u64);
            Ok(n)
        }
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
    }
    let mut stored = item(&p("stored"), vec![7; 1 << 20]);
    stored.method = 0;
    stored.descriptor = Descriptor::None;
    let bytes = build(&[stored]).bytes;
    let mut pre = StreamHasher::new();
    pre.push(&bytes);
    let (m, v) = module();
    let counted = Counted(bytes.clone(), Default::default());
    assert!(check_zip_with(&counted, &m, &v, pre).is_ok());
    assert!(counted.1.get() < 70 << 10);
}
