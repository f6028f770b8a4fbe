use proptest::prelude::*;

use super::zipper::{Descriptor, Item, build_as, item};
use super::*;
use crate::gomod::H1;

fn items() -> impl Strategy<Value = Vec<Item>> {
    let one = (
        "[a-zA-Z]{1,3}(/[a-z]{1,3}){0,2}/?|go.mod|LICENSE|Ж/k",
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            (any::<u8>(), 0..5000_usize).prop_map(|(b, n)| vec![b; n]),
        ],
        prop_oneof![Just(0_u16), Just(8), Just(8)],
        proptest::sample::select(&Descriptor::ALL[..]),
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), 0..6),
    )
        .prop_map(|(name, content, method, descriptor, zip64, extra)| {
            let is_dir = name.ends_with('/');
            let mut item = item(&format!("{P}{name}"), content);
            if is_dir {
                item.content.clear();
            }
            item.method = method;
            item.descriptor = descriptor;
            item.zip64 = zip64;
            item.local_extra = extra;
            item
        });
    proptest::collection::vec(one, 0..7)
}

/// The h1 of the contents themselves.
fn expected(items: &[Item]) -> H1 {
    use sha2::Digest;
    crate::gomod::dirhash::hash1(items.iter().map(|i| {
        let name = String::from_utf8(i.name.clone()).unwrap();
        (name, sha2::Sha256::digest(&i.content).into())
    }))
    .unwrap()
}

fn check_in_pieces(bytes: &[u8], pieces: &[usize]) -> Result<CheckedZip, ZipError> {
    let mut pre = StreamHasher::new();
    let mut rest = bytes;
    for &n in pieces {
        let (head, tail) = rest.split_at(n.min(rest.len()));
        pre.push(head);
        rest = tail;
    }
    pre.push(rest);
    let (m, v) = module();
    check_zip_with(&bytes, &m, &v, pre)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn streaming_gives_the_same_verdict(
        items in items(),
        zip64 in any::<bool>(),
        comment in "[a-z]{0,4}",
        pieces in proptest::collection::vec(0..300_usize, 0..20),
    ) {
        let built = build_as(&items, zip64, comment.as_bytes());
        let (m, v) = module();
        let whole = check_zip(&built.bytes, &m, &v);
        let with = check_in_pieces(&built.bytes, &pieces);
        match (whole, with) {
            (Ok(whole), Ok(with)) => {
                prop_assert_eq!(&whole.h1, &expected(&items));
                prop_assert_eq!(whole, with);
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Whatever single byte changes: the zip is refused, or it means the same as before.
    #[test]
    fn corruption_never_changes_the_h1_silently(
        items in items(),
        zip64 in any::<bool>(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        pieces in proptest::collection::vec(0..300_usize, 0..5),
    ) {
        let mut bytes = build_as(&items, zip64, b"comment").bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (m, v) = module();
        let whole = check_zip(&bytes, &m, &v);
        let with = check_in_pieces(&bytes, &pieces);
        match (whole, with) {
            (Ok(whole), Ok(with)) => {
                prop_assert_eq!(&whole.h1, &expected(&items));
                prop_assert_eq!(whole, with);
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        end in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if end {
            bytes.extend(b"PK\x05\x06");
            bytes.extend([0; 18]);
        }
        let _ = check(&bytes);
    }
}

/// Every byte of a zip that has one of everything, every bit of it.
#[test]
fn c61_every_bit_counts_or_means_nothing() {
    let mut items = vec![
        item(&format!("{P}go.mod"), "module example.com/m\n"),
        item(&format!("{P}a/b.go"), "package b\n".repeat(9)),
        item(&format!("{P}d/"), ""),
        item(&format!("{P}s"), "stored"),
    ];
    items[1].zip64 = true;
    items[1].descriptor = Descriptor::Plain64;
    items[3].method = 0;
    items[3].descriptor = Descriptor::None;
    let (m, v) = module();
    for zip64 in [false, true] {
        let good = build_as(&items, zip64, b"c").bytes;
        let h1 = check(&good).unwrap().h1;
        let mut accepted = 0;
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let whole = check_zip(&bad, &m, &v);
                let with = check_in_pieces(&bad, &[5, at]);
                assert_eq!(whole.is_ok(), with.is_ok(), "byte {at} bit {bit}");
                for checked in [whole, with].into_iter().flatten() {
                    assert_eq!(checked.h1, h1, "byte {at} bit {bit}");
                    accepted += 1;
                }
            }
        }
        // Times, versions, attributes and comments.
        assert!(
            accepted < 2 * good.len() * 8 / 4,
            "{accepted} of {}",
            good.len() * 8
        );
    }
}
