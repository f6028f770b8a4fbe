//! What every [`Index`] must do. Run for each implementation.

use std::time::Duration;

use super::memory::MemoryIndex;
use super::*;

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
            seen: crate::clock::Millis(1),
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

#[tokio::test]
async fn sled_and_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    // sled's own thread lets go of the folder a moment after the last handle is gone.
    let open = || {
        let db = (0..200).find_map(|_| {
            let opened = super::sled_index::open_db(&path, 1 << 20);
            opened
                .inspect_err(|_| std::thread::sleep(Duration::from_millis(10)))
                .ok()
        });
        SledIndex::new(db.unwrap(), path.clone(), 1 << 20).unwrap()
    };
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

#[test]
fn a_shortened_database_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    {
        let db = super::sled_index::open_db(&path, 1 << 20).unwrap();
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
    let _ = super::sled_index::open_db(&path, 1 << 20);
}
