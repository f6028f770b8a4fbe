//! New zips against those that x/mod/zip v0.42.0 makes of the same files.

use std::io::{self, Read};

use proptest::prelude::*;
use serde::Deserialize;

use super::super::*;
use crate::gomod::{ModulePath, Version};

const VECTORS: &str = include_str!("data/create.jsonl");

/// The zip that Go makes of the files in [`c114_bytes_as_go_writes_them`].
const GO: &str = include_str!("data/go.hex");

#[derive(Deserialize)]
struct Case {
    /// Path, kind (`r` regular, `l` link, `o` other), content or size.
    files: Vec<(String, char, serde_json::Value)>,
    /// The paths in the zip; absent if there can be none.
    valid: Option<Vec<String>>,
    /// Absent also where only sizes are given.
    h1: Option<String>,
}

fn module() -> (ModulePath, Version) {
    (
        ModulePath::parse("example.com/M").unwrap(),
        Version::parse("v1.0.0").unwrap(),
    )
}

fn writer() -> ZipWriter<Vec<u8>> {
    let (module, version) = module();
    ZipWriter::new(Vec::new(), &module, &version).unwrap()
}

fn h1(bytes: &[u8]) -> String {
    let (module, version) = module();
    check_zip(&bytes, &module, &version).unwrap().h1.to_string()
}

#[test]
fn c113_c115_the_files_that_go_chooses() {
    let (mut cases, mut zips) = (0, 0);
    for line in VECTORS.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let files: Vec<_> = case
            .files
            .iter()
            .map(|(path, kind, content)| Candidate {
                path: path.as_bytes(),
                kind: match kind {
                    'r' => FileKind::Regular,
                    'l' => FileKind::Symlink,
                    _ => FileKind::Other,
                },
                size: match content {
                    serde_json::Value::String(content) => content.len() as u64,
                    size => size.as_u64().unwrap(),
                },
            })
            .collect();
        let go_mod = case.files.iter().find(|(path, ..)| path == "go.mod");
        let go_mod = go_mod.and_then(|(_, _, content)| content.as_str());
        let chosen = select_files(&files, go_mod.map(str::as_bytes));
        let paths = chosen.as_ref().ok().map(|chosen| {
            let path = |at: &usize| case.files[*at].0.clone();
            chosen.iter().map(path).collect::<Vec<_>>()
        });
        assert_eq!(paths, case.valid, "{line}");
        cases += 1;

        let (Ok(chosen), Some(expected)) = (chosen, case.h1) else {
            continue;
        };
        let mut zip = writer();
        for at in chosen {
            let (path, _, content) = &case.files[at];
            let mut content = content.as_str().unwrap().as_bytes();
            zip.add(path, content.len() as u64, &mut content).unwrap();
        }
        assert_eq!(h1(&zip.finish().unwrap()), expected, "{line}");
        zips += 1;
    }
    assert!(cases > 300 && zips > 150, "{cases} {zips}");
}

/// Local headers are Go's to the byte; entries of the directory are but for compressed sizes and
/// places.
#[test]
fn c114_bytes_as_go_writes_them() {
    let theirs: Vec<u8> = (0..GO.trim().len() / 2)
        .map(|at| u8::from_str_radix(&GO[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let abc = "abc".repeat(100);
    let mut zip = writer();
    for (path, content) in [
        ("go.mod", "module example.com/M\n"),
        ("empty", ""),
        ("é.go", "package e\n"),
        ("a~b.go", "content of a~b.go\n"),
        ("d/}x.go", &abc),
    ] {
        zip.add(path, content.len() as u64, &mut content.as_bytes())
            .unwrap();
    }
    let ours = zip.finish().unwrap();
    assert_eq!(h1(&ours), h1(&theirs));

    let at = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let headers = |bytes: &[u8]| {
        let end = bytes.len() - 22;
        let (size, mut entry) = (at(bytes, end + 12), at(bytes, end + 16) as usize);
        let mut found = vec![bytes[end..end + 12].to_vec(), size.to_le_bytes().to_vec()];
        while entry < end {
            let len = usize::from(bytes[entry + 28]);
            let local = at(bytes, entry + 42) as usize;
            found.push(bytes[local..local + 30 + len].to_vec());
            let mut central = bytes[entry..entry + 46 + len].to_vec();
            central[20..24].fill(0);
            central[42..46].fill(0);
            found.push(central);
            entry += 46 + len;
        }
        found
    };
    assert_eq!(headers(&ours), headers(&theirs));
    assert_eq!(headers(&ours).len(), 12);
}

#[test]
fn sizes_must_be_what_was_said() {
    let add = |content: &str, size| writer().add("a", size, &mut content.as_bytes());
    assert!(add("abc", 3).is_ok());
    for size in [0, 2, 4] {
        assert!(matches!(
            add("abc", size),
            Err(CreateError::WrongSize { declared, .. }) if declared == size
        ));
    }
}

#[test]
fn the_version_must_fit() {
    let (module, _) = module();
    let v2 = Version::parse("v2.0.0").unwrap();
    let zip = ZipWriter::new(Vec::new(), &module, &v2);
    assert!(matches!(
        zip.err(),
        Some(CreateError::Rule(ZipError::VersionMismatch { .. }))
    ));
}

#[test]
fn the_zip_itself_is_bounded() {
    let (module, version) = module();
    let limits = ZipLimits {
        zip: 2000,
        entries: 3,
        ..ZipLimits::GO
    };
    let start = || ZipWriter::limited(Vec::new(), &module, &version, limits.clone()).unwrap();
    let noise: Vec<u8> = (0..100_000_u64)
        .map(|n| ((n * n * 7919) >> 7) as u8)
        .collect();
    let large = start().add("a", noise.len() as u64, &mut &*noise);
    assert!(matches!(
        large,
        Err(CreateError::Rule(ZipError::TooLarge { limit: 2000, .. }))
    ));
    let mut zip = start();
    for name in ["a", "b", "c"] {
        zip.add(name, 0, &mut io::empty()).unwrap();
    }
    assert!(matches!(
        zip.add("d", 0, &mut io::empty()),
        Err(CreateError::Rule(ZipError::TooManyEntries { limit: 3 }))
    ));
}

#[test]
fn more_entries_than_sixteen_bits_count() {
    for count in [65_534, 65_535, 65_536] {
        let mut zip = writer();
        for n in 0..count {
            zip.add(&format!("{n}"), 0, &mut io::empty()).unwrap();
        }
        let bytes = zip.finish().unwrap();
        let (module, version) = module();
        let checked = check_zip(&bytes, &module, &version).unwrap();
        assert_eq!(checked.files, count);
    }
}

/// Gives its bytes in small pieces, with interruptions.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = self.0.len().min(buf.len()).min(1 + self.1 % 7000);
        let (head, rest) = self.0.split_at(n);
        buf[..n].copy_from_slice(head);
        self.0 = rest;
        Ok(n)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_the_content_it_comes_out_again(
        contents in proptest::collection::vec((any::<u64>(), 0_usize..300_000, any::<bool>()), 0..4),
    ) {
        use sha2::Digest;
        let mut zip = writer();
        let mut hashes = Vec::new();
        for (n, (seed, len, random)) in contents.into_iter().enumerate() {
            let mut rng = fastrand::Rng::with_seed(seed);
            let content: Vec<u8> = (0..len).map(|at| if random { rng.u8(..) } else { (at / 50) as u8 }).collect();
            let name = format!("d/{n}.go");
            zip.add(&name, len as u64, &mut Slow(&content, 0)).unwrap();
            hashes.push((format!("example.com/M@v1.0.0/{name}"), sha2::Sha256::digest(&content).into()));
        }
        let expected = crate::gomod::dirhash::hash1(hashes).unwrap();
        prop_assert_eq!(h1(&zip.finish().unwrap()), expected.to_string());
    }
}
