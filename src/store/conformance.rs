//! What every [`Index`] must do. Run for each implementation.

use std::time::Duration;

use super::base::{Base, Held, OpenError, Opener};
use super::memory::MemoryIndex;
use super::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

async fn story(index: &dyn Index) {
    assert_eq!(index.get("file/a").await.unwrap(), None);
    let put = |key: &str, value: &str| Change::Put(key.to_owned(), value.as_bytes().to_vec());
    index
        .commit(vec![
            put("file/a", "1"),
            put("file/b", "2"),
            put("file/c", "3"),
            put("meta/a", "4"),
        ])
        .await
        .unwrap();
    assert_eq!(index.get("file/a").await.unwrap().unwrap(), b"1");

    index
        .commit(vec![put("file/a", "5"), Change::Remove("file/c".into())])
        .await
        .unwrap();
    assert_eq!(index.get("file/a").await.unwrap().unwrap(), b"5");
    assert_eq!(index.get("file/c").await.unwrap(), None);

    let swap = |expected: Option<&str>, value: &str| {
        let bytes = |text: &str| text.as_bytes().to_vec();
        index.swap("head", expected.map(bytes), bytes(value))
    };
    assert!(!swap(Some("0"), "1").await.unwrap());
    assert!(swap(None, "1").await.unwrap());
    assert!(!swap(None, "2").await.unwrap());
    assert!(!swap(Some("0"), "2").await.unwrap());
    assert!(swap(Some("1"), "2").await.unwrap());
    assert_eq!(index.get("head").await.unwrap().unwrap(), b"2");

    let keys = |entries: Vec<(String, Vec<u8>)>| {
        entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(
        keys(index.scan("file/", None, 10).await.unwrap()),
        ["file/a", "file/b"]
    );
    assert_eq!(
        keys(index.scan("file/", Some("file/a"), 10).await.unwrap()),
        ["file/b"]
    );
    assert_eq!(
        keys(index.scan("file/", None, 1).await.unwrap()),
        ["file/a"]
    );
    assert!(index.scan("none/", None, 10).await.unwrap().is_empty());

    // The totals go with what is kept.
    let file = |size| {
        FileRecord {
            size,
            sha256: "0".repeat(64),
            h1: None,
            from: "here".into(),
            seen: crate::clock::Timestamp(1),
            verified: Verified::None,
            by: None,
        }
        .encode()
    };
    while !index.count(false).await.unwrap() {}
    let before = index.totals().unwrap();
    assert_eq!(before.files, 2);
    let many = (0..50_u64).map(|n| index.commit(vec![Change::Put(format!("file/n{n}"), file(n))]));
    futures_util::future::join_all(many).await;
    index
        .commit(vec![
            Change::Put("file/n7".into(), file(1000)),
            Change::Put("file/n7".into(), file(100)),
            Change::Remove("file/n9".into()),
            Change::Remove("file/none".into()),
            put("unsettled/n1", ""),
        ])
        .await
        .unwrap();
    let old = index.get("file/n7").await.unwrap();
    assert!(index.swap("file/n7", old, file(10)).await.unwrap());
    let expected = Totals {
        files: before.files + 49,
        bytes: (0..50).sum::<u64>() - 7 - 9 + 10,
        unsettled: 1,
    };
    assert_eq!(index.totals(), Some(expected));
    let mut anew = true;
    while !index.count(std::mem::take(&mut anew)).await.unwrap() {}
    assert_eq!(index.totals(), Some(expected));

    // Many at once: each is answered only when it is in.
    let many = (0..200).map(|n| async move {
        let key = format!("many/{n:03}");
        index
            .commit(vec![Change::Put(key.clone(), vec![1])])
            .await
            .unwrap();
        assert!(index.get(&key).await.unwrap().is_some());
    });
    futures_util::future::join_all(many).await;
    assert_eq!(index.scan("many/", None, 1000).await.unwrap().len(), 200);
    assert!(index.healthy());
}

#[tokio::test]
async fn memory() {
    story(&MemoryIndex::default()).await;
}

/// On a disk with so many bytes free.
fn opener(data: &Path, free: u64) -> Opener {
    let measure = move |_: &Path| {
        Ok(super::disk::Volume {
            free,
            total: 1 << 40,
        })
    };
    let clock = Arc::new(crate::clock::SystemClock);
    let places = vec![data.to_owned()];
    let disk = Disk::measured(places, 0, clock, Box::new(measure));
    Opener::new(data, 1 << 20, Arc::new(disk))
}

fn open(opener: Opener) -> SledIndex {
    // sled's own thread lets go of the folder a moment after the last handle is gone.
    let db = (0..200).find_map(|_| {
        let opened = (opener.open)(&opener.path);
        opened
            .inspect_err(|_| std::thread::sleep(Duration::from_millis(10)))
            .ok()
    });
    SledIndex::new(Base::Sled(db.unwrap()), opener).unwrap()
}

#[tokio::test]
async fn sled_and_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let open = || open(opener(dir.path(), 1 << 30));
    let index = open();
    story(&index).await;
    index.close().await;
    assert!(index.get("file/a").await.is_err());
    let again = open();
    assert_eq!(again.get("file/a").await.unwrap().unwrap(), b"5");
    assert_eq!(again.totals().unwrap().files, 51);
    // As an index of an earlier version has it: counted, with changes meanwhile.
    again
        .commit(vec![Change::Remove("totals".into())])
        .await
        .unwrap();
    again.close().await;
    let older = open();
    assert_eq!(older.totals(), None);
    let change = older.commit(vec![Change::Remove("file/a".into())]);
    let (changed, first) = futures_util::future::join(change, older.count(false)).await;
    changed.unwrap();
    assert!(!first.unwrap());
    while !older.count(false).await.unwrap() {}
    assert_eq!(older.totals().unwrap().files, 50);
    older.close().await;
}

#[tokio::test]
async fn held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let held = Base::Held(Held::new(BTreeMap::new(), false));
    let index = SledIndex::new(held, opener(dir.path(), 0)).unwrap();
    story(&index).await;
    assert!(index.in_memory());
}

fn put(key: &str, value: &str) -> Change {
    Change::Put(key.to_owned(), value.as_bytes().to_vec())
}

#[tokio::test]
async fn an_index_that_finds_no_room_to_open_is_read_from_a_copy_and_goes_back_by_itself() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = open(opener(dir.path(), 1 << 30));
    let entries = vec![put("file/a", "1"), put("pin/a", "2"), put("token/ci", "3")];
    before.commit(entries).await.unwrap();
    before.close().await;

    let full = Arc::new(AtomicBool::new(true));
    let mut opener = opener(dir.path(), 1 << 30);
    let (real, is_full) = (opener.path.clone(), Arc::clone(&full));
    opener.open = Box::new(
        move |path| match is_full.load(Ordering::Relaxed) && *path == *real {
            true => Err(OpenError::NoRoom("no space left on device".into())),
            false => super::base::open_db(path, 1 << 20),
        },
    );
    opener.copies = vec!["/nowhere/at/all".into(), copies.path().to_owned()];
    assert!(matches!(opener.open(), Err(OpenError::NoRoom(_))));
    let held = opener.read_copy().unwrap();
    assert_eq!(
        std::fs::read_dir(copies.path()).unwrap().count(),
        0,
        "it is gone again"
    );
    let disk = Arc::clone(&opener.disk);
    let index = SledIndex::new(Base::Held(held), opener).unwrap();
    assert_eq!(index.get("pin/a").await.unwrap().unwrap(), b"2");
    assert_eq!(index.totals().unwrap().files, 1);
    assert!(index.healthy() && index.in_memory());
    assert_eq!(disk.room(), Room::Low, "nothing is kept");
    // What would be forgotten is refused; what is found out meanwhile is remembered.
    let token = index.commit(vec![put("token/new", "4")]).await;
    assert!(matches!(token, Err(IndexError::NoRoom)));
    let changes = vec![put("pin/b", "5"), Change::Remove("file/a".into())];
    index.commit(changes).await.unwrap();

    index.tend();
    full.store(false, Ordering::Relaxed);
    while index.in_memory() {
        index.tend();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    index.commit(vec![put("pin/c", "6")]).await.unwrap();
    assert_eq!(disk.room(), Room::Enough);
    index.close().await;
    let after = open(super::conformance::opener(dir.path(), 1 << 30));
    for (key, value) in [
        ("file/a", None),
        ("pin/a", Some("2")),
        ("pin/b", Some("5")),
        ("pin/c", Some("6")),
        ("token/ci", Some("3")),
        ("token/new", None),
    ] {
        let found = after.get(key).await.unwrap();
        assert_eq!(found.as_deref(), value.map(str::as_bytes), "{key}");
    }
    assert_eq!(after.totals().unwrap().files, 0);
    after.close().await;
}

#[tokio::test]
async fn all_but_full_a_disk_is_not_written_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(opener(dir.path(), 1 << 30));
    before.commit(vec![put("file/a", "1")]).await.unwrap();
    before.close().await;
    let index = open(opener(dir.path(), 1000));
    for change in [put("file/b", "2"), Change::Remove("file/a".into())] {
        let refused = index.commit(vec![change]).await;
        assert!(matches!(refused, Err(IndexError::NoRoom)));
    }
    let swapped = index.swap("head", None, vec![1]).await;
    assert!(matches!(swapped, Err(IndexError::NoRoom)));
    assert_eq!(index.get("file/a").await.unwrap().unwrap(), b"1");
    assert!(index.healthy() && !index.in_memory());
    index.close().await;
}

#[test]
fn a_shortened_database_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    {
        let db = super::base::open_db(&path, 1 << 20).unwrap();
        for n in 0..20_000_u32 {
            db.insert(n.to_be_bytes(), vec![7; 200]).unwrap();
        }
        db.flush().unwrap();
    }
    let db = std::fs::File::options()
        .write(true)
        .open(path.join("db"))
        .unwrap();
    let size = db.metadata().unwrap().len();
    db.set_len(size / 2 - 100).unwrap();
    // Either it is noticed, or what is left opens; it must not take the process down.
    let _ = super::base::open_db(&path, 1 << 20);
}
