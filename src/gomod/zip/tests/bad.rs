use super::zipper::{Built, Descriptor, Item, build, build_as, item};
use super::*;

fn p(name: &str) -> String {
    format!("{P}{name}")
}

/// Two ordinary files, with sizes in descriptors or in local headers.
fn two(descriptor: Descriptor) -> Vec<Item> {
    let mut items = vec![
        item(&p("a.go"), "package a, package a, package a\n"),
        item(&p("b.go"), "package b, package b, package b\n"),
    ];
    for item in &mut items {
        item.descriptor = descriptor;
    }
    items
}

macro_rules! refused {
    ($bytes:expr, $pattern:pat $(, $context:expr)?) => {{
        let result = check($bytes);
        assert!(matches!(result, Err($pattern)), "{result:?} {}", concat!($(stringify!($context))?));
        let text = result.unwrap_err().to_string();
        assert!(!text.contains('\n') && !text.is_empty());
    }};
}

#[test]
fn c59_bad_names() {
    use ZipError as E;
    let one = |name: &str| build(&[item(name, "")]).bytes;
    refused!(&one("example.com/m@v1.0.1/a"), E::WrongPrefix { .. });
    refused!(&one("example.com/M@v1.0.0/a"), E::WrongPrefix { .. });
    refused!(&one("example.com/m/a"), E::WrongPrefix { .. });
    refused!(&one("a"), E::WrongPrefix { .. });
    refused!(&one(""), E::WrongPrefix { .. });
    refused!(&one("/example.com/m@v1.0.0/a"), E::WrongPrefix { .. });
    for bad in [
        "/a", "a//b", "./a", "a/./b", "../a", "a/..", "a/../b", "a\\b", "a:b", "a*", "a?", "a|b",
        "a<b", "a>b", "a\"b", "a'b", "a`b", "a;b", "a\nb", "a\0b", "con", "NUL.txt", "x/Aux.go",
        "com1", "a.", "a./b", "...", "☺", "e\u{301}", "a\u{7f}", "sub//", ".", "..",
    ] {
        refused!(&one(&p(bad)), E::BadName { .. }, bad);
    }
    let mut not_utf8 = item(&p("x"), "");
    not_utf8.name.push(0xff);
    refused!(&build(&[not_utf8]).bytes, E::NotUtf8 { .. });
}

#[test]
fn c59_nested_go_mod() {
    use ZipError as E;
    let one = |name: &str| build(&[item(&p(name), "module x\n")]).bytes;
    refused!(&one("GO.MOD"), E::GoModCase { .. });
    refused!(&one("Go.mod"), E::GoModCase { .. });
    refused!(&one("sub/go.mod"), E::GoModNotInRoot { .. });
    refused!(&one("sub/GO.MOD"), E::GoModNotInRoot { .. });
}

#[test]
fn c59_collisions() {
    use ZipError as E;
    let two = |a: &str, b: &str| {
        build(&[a, b].map(|n| item(&p(n), if n.ends_with('/') { "" } else { "x" }))).bytes
    };
    refused!(&two("a.go", "a.go"), E::Duplicate { .. });
    refused!(&two("a.go", "A.go"), E::Collision { .. });
    refused!(&two("sub/a.go", "SUB/b.go"), E::Collision { .. });
    refused!(&two("x/Sub/a.go", "x/sub/"), E::Collision { .. });
    refused!(&two("a", "a/b"), E::FileAndDirectory { .. });
    refused!(&two("a/b", "a"), E::FileAndDirectory { .. });
    refused!(&two("a", "a/"), E::FileAndDirectory { .. });
    refused!(&two("a/", "a"), E::FileAndDirectory { .. });
    assert!(check(&two("a/b", "a/")).is_ok());
    assert!(check(&two("x/a/b", "x/c/b")).is_ok());
}

#[test]
fn c63_fold_collisions() {
    use ZipError as E;
    let two = |a: &str, b: &str| build(&[item(&p(a), "x"), item(&p(b), "x")]).bytes;
    refused!(&two("\u{212A}.go", "k.go"), E::Collision { .. });
    refused!(&two("k.go", "\u{212A}.go"), E::Collision { .. });
    refused!(&two("\u{17F}", "S"), E::Collision { .. });
    refused!(&two("Ǆ/a", "ǆ/b"), E::Collision { .. });
    assert!(check(&two("straße", "STRASSE")).is_ok());
    assert!(check(&two("İ", "i")).is_ok());
}

#[test]
fn c59_sizes() {
    use ZipError as E;
    let declared = |name: &str, size: u64| {
        let mut item = item(&p(name), "x");
        item.declared = Some(size);
        build(&[item]).bytes
    };
    refused!(&declared("go.mod", (16 << 20) + 1), E::FileTooLarge { .. });
    refused!(&declared("LICENSE", (16 << 20) + 1), E::FileTooLarge { .. });
    refused!(&declared("license", (16 << 20) + 1), E::SizeMismatch { .. });
    refused!(&declared("go.mod", 16 << 20), E::SizeMismatch { .. });
    refused!(&declared("a", (500 << 20) + 1), E::TotalTooLarge { .. });
    refused!(&declared("a", u64::from(u32::MAX)), E::TotalTooLarge { .. });
    let mut wide = item(&p("a"), "x");
    wide.zip64 = true;
    wide.declared = Some(u64::MAX);
    refused!(
        &build(&[wide.clone(), item(&p("b"), "x")]).bytes,
        E::TotalTooLarge { .. }
    );
    let mut directory = item(&p("d/"), "x");
    refused!(&build(&[directory.clone()]).bytes, E::SizeMismatch { .. });
    directory.declared = Some(0);
    refused!(&build(&[directory]).bytes, E::SizeMismatch { .. });
    let mut root = item(P, "x");
    root.declared = Some(0);
    refused!(&build(&[root]).bytes, E::SizeMismatch { .. });
}

#[test]
fn limits_are_exact() {
    let bytes = build(&[item(&p("go.mod"), "12345"), item(&p("LICENSE"), "123")]).bytes;
    let exact = ZipLimits {
        zip: bytes.len() as u64,
        total: 8,
        go_mod: 5,
        license: 3,
        directory: 2 * 46 + (P.len() as u64) * 2 + 6 + 7,
        entries: 2,
        name: P.len() + 7,
    };
    assert!(check_limited(&bytes, &exact).is_ok());
    let mut tight = exact.clone();
    tight.zip -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::TooLarge { .. })
    ));
    let mut tight = exact.clone();
    tight.total -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::TotalTooLarge { .. })
    ));
    let mut tight = exact.clone();
    tight.go_mod -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::FileTooLarge { .. })
    ));
    let mut tight = exact.clone();
    tight.license -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::FileTooLarge { .. })
    ));
    let mut tight = exact.clone();
    tight.directory -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::DirectoryTooLarge { .. })
    ));
    let mut tight = exact.clone();
    tight.name -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::NameTooLong { .. })
    ));
    let mut tight = exact;
    tight.entries -= 1;
    assert!(matches!(
        check_limited(&bytes, &tight),
        Err(ZipError::TooManyEntries { .. })
    ));
    assert_eq!(ZipLimits::default().zip, 524_288_000);
    assert_eq!(ZipLimits::default().go_mod, 16_777_216);
}

#[test]
fn deep_paths_are_bounded() {
    let deep = |n: usize| item(&p(&format!("{n}/{}", "a/".repeat(500))), "");
    let items: Vec<_> = (0..10).map(deep).collect();
    let bytes = build(&items).bytes;
    assert!(check(&bytes).is_ok());
    let limits = ZipLimits {
        entries: 2000,
        ..ZipLimits::GO
    };
    assert!(matches!(
        check_limited(&bytes, &limits),
        Err(ZipError::TooManyEntries { .. })
    ));
}

#[test]
fn the_version_must_fit_the_module() {
    let module = ModulePath::parse("example.com/m").unwrap();
    let version = Version::parse("v2.0.0").unwrap();
    let bytes = build(&[]).bytes;
    let error = check_zip(&bytes, &module, &version).unwrap_err();
    assert!(matches!(error, ZipError::VersionMismatch { .. }));
}

#[test]
fn c60_declared_size_smaller_than_content() {
    for descriptor in Descriptor::ALL {
        for method in [0, 8] {
            for declared in [0, 1, 31, 33, 100] {
                let mut items = two(descriptor);
                items[0].method = method;
                items[0].declared = Some(declared);
                refused!(&build(&items).bytes, ZipError::SizeMismatch { .. });
            }
        }
    }
    // A bomb: a few bytes that inflate to far more than they say.
    let mut bomb = item(&p("bomb"), vec![0; 8 << 20]);
    bomb.declared = Some(10);
    refused!(&build(&[bomb]).bytes, ZipError::SizeMismatch { .. });
}

#[test]
fn c61_trailing_and_leading_bytes() {
    use ZipError as E;
    for descriptor in [Descriptor::None, Descriptor::Signed32] {
        let good = build(&two(descriptor));
        let mut trailing = good.bytes.clone();
        trailing.push(0);
        refused!(&trailing, E::TrailingData);
        trailing.extend([0; 70_000]);
        refused!(&trailing, E::NotAZip);
        let leading = |n: usize| {
            let mut bytes = vec![b'#'; n];
            bytes.extend(&good.bytes);
            bytes
        };
        // As Go tolerates it: all offsets off by the same distance.
        refused!(&leading(1), E::Malformed(_));
        refused!(&leading(100), E::Malformed(_));
    }
    // All offsets right, and still something in front.
    let mut shifted = build(&two(Descriptor::None));
    shifted.bytes.splice(0..0, *b"#!/x");
    for at in &shifted.centrals.clone() {
        let at = at + 4 + 42;
        let offset = u32::from_le_bytes(shifted.bytes[at..at + 4].try_into().unwrap()) + 4;
        shifted.set(at, &offset.to_le_bytes());
    }
    let start = (shifted.directory as u32 + 4).to_le_bytes();
    let end = shifted.end + 4;
    shifted.set(end + 16, &start);
    refused!(&shifted.bytes, E::LeadingData);
    // Bytes in front of an empty directory.
    let mut empty = build(&[]);
    empty.bytes.splice(0..0, *b"#!/x");
    empty.set(4 + 16, &4_u32.to_le_bytes());
    refused!(&empty.bytes, E::LeadingData);
}

#[test]
fn c61_comments_end_where_they_say() {
    use ZipError as E;
    let good = build_as(&two(Descriptor::None), false, b"a comment");
    assert!(check(&good.bytes).is_ok());
    let mut long = good.clone();
    long.set(good.end + 20, &10_u16.to_le_bytes());
    refused!(&long.bytes, E::NotAZip);
    let mut short = good.clone();
    short.set(good.end + 20, &8_u16.to_le_bytes());
    refused!(&short.bytes, E::TrailingData);
    // A second zip's end in the comment: readers differ on which one counts.
    let inner = build(&[]).bytes;
    refused!(
        &build_as(&two(Descriptor::None), false, &inner).bytes,
        E::Malformed(_)
    );
    let longest = build_as(&two(Descriptor::None), false, &[b'x'; 65_535]);
    assert!(check(&longest.bytes).is_ok());
}

#[test]
fn c61_local_header_contradicts_directory() {
    use ZipError as E;
    for descriptor in Descriptor::ALL {
        for second in [0, 1] {
            let good = build(&two(descriptor));
            let local = good.locals[second];
            let changed = |at: usize, value: &[u8]| {
                let mut bad = good.clone();
                bad.set(local + at, value);
                bad.bytes
            };
            refused!(&changed(0, b"PK\x03\x05"), E::LocalMismatch { .. });
            refused!(&changed(6, &[9, 0]), E::LocalMismatch { .. });
            refused!(
                &changed(6, &[0x40 | (good.bytes[local + 6]), 0]),
                E::LocalMismatch { .. }
            );
            let other = good.bytes[local + 6] ^ 8;
            refused!(&changed(6, &[other, 0]), E::LocalMismatch { .. });
            refused!(&changed(8, &[0, 0]), E::LocalMismatch { .. });
            refused!(&changed(14, &[1, 2, 3, 4]), E::LocalMismatch { .. });
            refused!(&changed(18, &[1, 0, 0, 0]), E::LocalMismatch { .. });
            refused!(&changed(22, &[1, 0, 0, 0]), E::LocalMismatch { .. });
            refused!(&changed(30 + P.len(), b"x"), E::LocalMismatch { .. });
            refused!(&changed(26, &[24, 0]), E::LocalMismatch { .. });
            assert!(check(&changed(28, &[1, 0])).is_err());
            refused!(&changed(28, &[0xff, 0xff]), E::Overlap { .. });
        }
    }
    // What the header states behind a descriptor's flag must be right as well.
    let mut stated = build(&two(Descriptor::Signed32));
    let crc = crc32fast::hash(b"package a, package a, package a\n");
    stated.set(14, &crc.to_le_bytes());
    assert!(check(&stated.bytes).is_ok());
}

#[test]
fn c61_gaps_and_overlaps() {
    use ZipError as E;
    for descriptor in Descriptor::ALL {
        let mut items = two(descriptor);
        items[0].hidden = b"hidden".to_vec();
        let bytes = build(&items).bytes;
        match descriptor {
            Descriptor::None => refused!(&bytes, E::Gap { .. }),
            _ => refused!(&bytes, E::BadDescriptor { .. }),
        }
        items[0].hidden_counts = true;
        refused!(&build(&items).bytes, E::HiddenData { .. });
        // Between the last entry and the directory.
        let mut items = two(descriptor);
        items[1].hidden = vec![0; 4];
        match descriptor {
            Descriptor::None => refused!(&build(&items).bytes, E::Gap { .. }),
            _ => refused!(&build(&items).bytes, E::BadDescriptor { .. }),
        }
    }
    // An entry that only its local header knows.
    let mut unlisted = build(&two(Descriptor::None));
    let from = unlisted.centrals[0];
    let to = unlisted.centrals[1];
    unlisted.bytes.drain(from..to);
    let len = (to - from) as u32;
    let end = unlisted.end - len as usize;
    unlisted
        .set(end + 8, &[1, 0, 1, 0])
        .set(end + 12, &len.to_le_bytes());
    refused!(&unlisted.bytes, E::LeadingData);
    // The same with the second entry left out of the directory: its bytes are a gap.
    let mut unlisted = build(&two(Descriptor::None));
    unlisted.bytes.drain(to..to + len as usize);
    unlisted
        .set(end + 8, &[1, 0, 1, 0])
        .set(end + 12, &len.to_le_bytes());
    refused!(&unlisted.bytes, E::Gap { .. });
    // Two entries of the directory for one header.
    let mut items = two(Descriptor::None);
    items[1] = items[0].clone();
    items[1].name = p("b.go").into();
    let mut shared = build(&items);
    shared.set(shared.centrals[1] + 42, &[0; 4]);
    refused!(&shared.bytes, E::Overlap { .. });
    // An entry inside the data of another.
    let inner = build(&[item(&p("b.go"), "x")]);
    let mut outer = item(&p("a.go"), &inner.bytes[..inner.directory]);
    outer.method = 0;
    outer.descriptor = Descriptor::None;
    let mut items = vec![outer, item(&p("b.go"), "x")];
    items[1].descriptor = Descriptor::Signed32;
    let mut nested = build(&items);
    let offset = (nested.data[0] as u32).to_le_bytes();
    nested.set(nested.centrals[1] + 42, &offset);
    refused!(&nested.bytes, E::Overlap { .. });
}

#[test]
fn c61_broken_content() {
    use ZipError as E;
    for descriptor in Descriptor::ALL {
        let good = build(&two(descriptor));
        let mut bad = good.clone();
        // A reserved block type.
        let first = good.bytes[good.data[0]];
        bad.set(good.data[0], &[first | 6]);
        refused!(&bad.bytes, E::BadDeflate { .. });
        // Cut off before its end.
        let mut items = two(descriptor);
        items[1].method = 0;
        let content = zipper::deflate(b"package b, package b");
        items[1].content = content[..content.len() - 3].to_vec();
        items[1].declared = Some(20);
        let mut cut = build(&items);
        cut.set(cut.locals[1] + 8, &[8]);
        cut.set(cut.centrals[1] + 10, &[8]);
        refused!(&cut.bytes, E::BadDeflate { .. });
        // No data at all is not even an empty deflate stream.
        items[1].content.clear();
        items[1].declared = None;
        let mut none = build(&items);
        none.set(none.locals[1] + 8, &[8]);
        none.set(none.centrals[1] + 10, &[8]);
        refused!(&none.bytes, E::BadDeflate { .. });
    }
    let mut stored = two(Descriptor::None);
    stored[0].method = 0;
    let mut bad = build(&stored);
    bad.flip(bad.data[0]);
    refused!(&bad.bytes, E::CrcMismatch { .. });
    // A CRC of 0 means nothing special.
    let mut zero = build(&stored);
    zero.set(14, &[0; 4]);
    zero.set(zero.centrals[0] + 16, &[0; 4]);
    refused!(&zero.bytes, E::CrcMismatch { .. });
    for descriptor in &Descriptor::ALL[1..] {
        let good = build(&two(*descriptor));
        let mut bad = good.clone();
        bad.flip(good.locals[1] - 1);
        refused!(&bad.bytes, E::BadDescriptor { .. });
    }
}

#[test]
fn c61_methods_and_encryption() {
    use ZipError as E;
    let both = |at: usize, value: &[u8]| {
        let mut bad = build(&two(Descriptor::None));
        bad.set(bad.locals[0] + 6 + at, value);
        bad.set(bad.centrals[0] + 8 + at, value);
        bad.bytes
    };
    refused!(&both(0, &[1, 0]), E::Encrypted { .. });
    refused!(&both(0, &[0x41, 0]), E::Encrypted { .. });
    refused!(&both(0, &[0, 0x20]), E::Encrypted { .. });
    refused!(&both(0, &[0x20, 0]), E::UnknownMethod { .. });
    for method in [1_u16, 6, 9, 12, 14, 93, 99] {
        refused!(&both(2, &method.to_le_bytes()), E::UnknownMethod { .. });
    }
    // The language flag and the compression level do not change what is read.
    assert!(check(&both(0, &[0, 8])).is_ok());
    assert!(check(&both(0, &[6, 0])).is_ok());
}

#[test]
fn c61_directory_structure() {
    use ZipError as E;
    let good = build(&two(Descriptor::None));
    let changed = |at: usize, value: &[u8]| {
        let mut bad: Built = good.clone();
        bad.set(at, value);
        bad.bytes
    };
    let (end, central) = (good.end, good.centrals[0]);
    for bytes in [
        b"".as_slice(),
        b"PK\x05\x06",
        b"<!DOCTYPE html>",
        &[0; 21],
        &[0; 22],
    ] {
        refused!(bytes, E::NotAZip);
    }
    for cut in 1..good.bytes.len() {
        assert!(
            check(&good.bytes[..good.bytes.len() - cut]).is_err(),
            "{cut}"
        );
        assert!(check(&good.bytes[cut..]).is_err(), "{cut}");
    }
    refused!(&changed(end + 10, &[1, 0]), E::Malformed(_));
    refused!(&changed(end + 8, &[1, 0, 1, 0]), E::Malformed(_));
    refused!(&changed(end + 8, &[3, 0, 3, 0]), E::Malformed(_));
    refused!(&changed(end + 4, &[1]), E::Malformed(_));
    refused!(&changed(end + 12, &[0]), E::Malformed(_));
    refused!(&changed(end + 16, &[0]), E::Malformed(_));
    refused!(&changed(end + 16, &[0xff; 4]), E::Malformed(_));
    refused!(&changed(central, b"PK\x01\x03"), E::Malformed(_));
    refused!(&changed(central + 28, &[0xff, 0xff]), E::Malformed(_));
    refused!(&changed(central + 30, &[0xff, 0xff]), E::Malformed(_));
    refused!(&changed(central + 32, &[1]), E::Malformed(_));
    refused!(&changed(central + 34, &[1]), E::Malformed(_));
    assert!(check(&changed(central + 42, &[0xff; 4])).is_err());
    refused!(&changed(central + 42, &[1]), E::LeadingData);
}

#[test]
fn c61_zip64_structure() {
    use ZipError as E;
    let good = build_as(&two(Descriptor::None), true, b"");
    assert!(check(&good.bytes).is_ok());
    let (record, locator, end) = (good.end - 76, good.end - 20, good.end);
    let changed = |at: usize, value: &[u8]| {
        let mut bad = good.clone();
        bad.set(at, value);
        bad.bytes
    };
    for at in [0, 4, 16, 20, 24, 32, 40, 48] {
        refused!(&changed(record + at, &[0x99]), E::Malformed(_), at);
    }
    for at in [0, 4, 8, 16] {
        refused!(&changed(locator + at, &[0x99]), E::Malformed(_), at);
    }
    refused!(&changed(end + 12, &[5, 0, 0, 0]), E::Malformed(_));
    // Both records may state the truth.
    let size = (record - good.directory) as u32;
    let mut both = good.clone();
    both.set(end + 8, &[2, 0, 2, 0])
        .set(end + 12, &size.to_le_bytes())
        .set(end + 16, &(good.directory as u32).to_le_bytes());
    assert!(check(&both.bytes).is_ok());
    // A zip64 field that is too short for what is missing.
    let mut items = two(Descriptor::None);
    items[0].zip64 = true;
    let mut short = build(&items);
    short.set(short.centrals[0] + 46 + items[0].name.len() + 2, &[8]);
    refused!(&short.bytes, E::Malformed(_));
}

#[test]
fn errors_show_names_safely() {
    let long = "x\n\u{1b}[31m".repeat(100);
    let text = check(&build(&[item(&long, "")]).bytes)
        .unwrap_err()
        .to_string();
    assert!(
        text.len() < 1000 && !text.contains(['\n', '\u{1b}']),
        "{text}"
    );
}
