//! The contract on a disk, and what sled's catalog does beyond it: what it held is there again, and a disk that is full or
//! damaged takes nothing down.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::catalog::sled::SledCatalog;
use crate::store::catalog::sled::base::{self, Base, Held, OpenError, Opener};
use crate::store::catalog::sled::layers::Layers;
use crate::store::catalog::sled::migrate;
use crate::store::local::Volume;

/// On a disk with so many bytes free.
fn opener(data: &Path, free: u64) -> Opener {
    let measure = move |_: &Path| {
        Ok(Volume {
            free,
            total: 1 << 40,
        })
    };
    let clock = Arc::new(crate::clock::SystemClock);
    let places = vec![data.to_owned()];
    let disk = Disk::measured(places, 0, clock, Box::new(measure));
    Opener::new(data, 1 << 20, Arc::new(disk))
}

/// sled's own thread lets go of a folder a moment after the last handle is gone.
fn opened(opener: &Opener) -> Layers {
    let open = |_| {
        (opener.open)(&opener.path)
            .inspect_err(|_| std::thread::sleep(Duration::from_millis(10)))
            .ok()
    };
    (0..200).find_map(open).unwrap()
}

fn open(opener: Opener, clock: &Arc<Manual>) -> SledCatalog {
    let db = opened(&opener);
    migrate::apply_index(&db).unwrap();
    let shared: SharedClock = clock.clone();
    SledCatalog::new(Base::Disk(db), opener, &shared).unwrap()
}

#[tokio::test]
async fn sled_and_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let open = || open(opener(dir.path(), 1 << 30), &clock);
    let catalog = open();
    contract(&catalog, &clock).await;
    let totals = *catalog.totals().borrow();
    assert_eq!(totals.files, 49);
    let before = *catalog.sequence().borrow();
    let key = ClaimKey::job("evict");
    let lease = Duration::from_secs(600);
    let claim = catalog.claim(&key, "before", lease).await.unwrap();
    catalog.close().await;
    let read = catalog.read(&token("t000").key()).await;
    assert!(matches!(read, Err(CatalogError::Unavailable)));

    clock.pass(Duration::from_secs(1));
    let again = open();
    let kept = again.read(&token("t000").key()).await.unwrap();
    assert_eq!(kept, Some(token("t000")));
    assert_eq!(*again.totals().borrow(), totals);
    // A claim ends with its process, and what changed before it is not known to the feed.
    let (Claimed::Given(old), Claimed::Given(new)) =
        (claim, again.claim(&key, "after", lease).await.unwrap())
    else {
        panic!("given twice");
    };
    assert!(new.epoch > old.epoch);
    let missed = again.changes(before).await.unwrap();
    assert!(matches!(missed, Changes::Missed { .. }), "{missed:?}");
    again.close().await;
}

#[tokio::test]
async fn held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let held = Base::Held(Held::new(BTreeMap::new(), false));
    let shared: SharedClock = clock.clone();
    let catalog = SledCatalog::new(held, opener(dir.path(), 0), &shared).unwrap();
    assert_eq!(catalog.health(), Health::InMemory);
    let refused = catalog.apply(vec![], put([token("a")])).await;
    assert!(
        matches!(refused, Err(CatalogError::NoRoom)),
        "it would be forgotten"
    );
    let file = file("example.com/m/@v/v1.0.0.mod", 5);
    // Those that come with it are not refused for that.
    let both = futures_util::future::join(
        catalog.apply(vec![], put([token("a")])),
        catalog.apply(vec![], put([file.clone()])),
    );
    assert!(matches!(
        both.await,
        (Err(CatalogError::NoRoom), Ok(Applied::Done))
    ));
    assert_eq!(catalog.read(&file.key()).await.unwrap(), Some(file));
    assert_eq!(catalog.totals().borrow().files, 1);
}

#[tokio::test]
async fn totals_that_cannot_be_read_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let before = open(opener(dir.path(), 1 << 30), &clock);
    let facts = one_of_each()
        .into_iter()
        .filter(|it| it.key() != token("ci").key());
    apply(&before, put(facts)).await;
    let totals = *before.totals().borrow();
    assert_eq!((totals.files, totals.pending), (1, 1));
    before.close().await;
    let opener = opener(dir.path(), 1 << 30);
    {
        let db = opened(&opener);
        for name in ["totals", "file/example.com/n/@v/v1.0.0.zip"] {
            let rubbish = (name.to_owned(), Some(b"rubbish".to_vec()));
            db.apply([rubbish]).unwrap();
        }
        db.flush().unwrap();
    }
    let after = open(opener, &clock);
    assert_eq!(*after.totals().borrow(), totals);
    // What is damaged counts as unknown: it is told of, and written anew.
    let page = after
        .page(&Query::All(FactKind::File), None, 10)
        .await
        .unwrap();
    assert_eq!(page.damaged, ["file/example.com/n/@v/v1.0.0.zip"]);
    assert_eq!(page.facts.len(), 1);
    let new = file("example.com/n/@v/v1.0.0.zip", 3);
    assert_eq!(after.read(&new.key()).await.unwrap(), None);
    apply(&after, put([new.clone()])).await;
    assert_eq!(after.read(&new.key()).await.unwrap(), Some(new));
    assert_eq!(after.totals().borrow().files, 2);
    after.close().await;
}

#[tokio::test]
async fn an_index_that_finds_no_room_to_open_is_read_from_a_copy_and_goes_back_by_itself() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = clock();
    let shared: SharedClock = clock.clone();
    let before = open(opener(dir.path(), 1 << 30), &clock);
    let (kept, seen) = (file("example.com/m/@v/v1.0.0.mod", 5), |n| {
        first_seen(&format!("example.com/m{n}/@v/v1.0.0.mod"), "here")
    });
    apply(&before, put([kept.clone(), seen(1), token("ci")])).await;
    before.close().await;

    let full = Arc::new(AtomicBool::new(true));
    let mut full_opener = opener(dir.path(), 1 << 30);
    let (real, is_full) = (full_opener.path.clone(), Arc::clone(&full));
    full_opener.open =
        Box::new(
            move |path| match is_full.load(Ordering::Relaxed) && *path == *real {
                true => Err(OpenError::NoRoom("no space left on device".into())),
                false => base::open_db(path, 1 << 20),
            },
        );
    full_opener.copies = vec!["/nowhere/at/all".into(), copies.path().to_owned()];
    assert!(matches!(full_opener.open(), Err(OpenError::NoRoom(_))));
    let held = full_opener.read_copy().unwrap();
    let left = std::fs::read_dir(copies.path()).unwrap().count();
    assert_eq!(left, 0, "the copy is gone again");
    let disk = Arc::clone(&full_opener.disk);
    let catalog = SledCatalog::new(Base::Held(held), full_opener, &shared).unwrap();
    assert_eq!(catalog.read(&seen(1).key()).await.unwrap(), Some(seen(1)));
    assert_eq!(catalog.totals().borrow().files, 1);
    assert_eq!(catalog.health(), Health::InMemory);
    assert_eq!(disk.room(), Room::Low, "nothing is kept");
    // What would be forgotten is refused; what is found out meanwhile is remembered.
    let refused = catalog.apply(vec![], put([token("new")])).await;
    assert!(matches!(refused, Err(CatalogError::NoRoom)));
    apply(
        &catalog,
        vec![Change::Put(seen(2)), Change::Remove(kept.key())],
    )
    .await;

    catalog.tend();
    full.store(false, Ordering::Relaxed);
    while catalog.health() != Health::Ready {
        catalog.tend();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    apply(&catalog, put([seen(3)])).await;
    assert_eq!(disk.room(), Room::Enough);
    catalog.close().await;
    let after = open(opener(dir.path(), 1 << 30), &clock);
    for (fact, is_kept) in [
        (kept, false),
        (seen(1), true),
        (seen(2), true),
        (seen(3), true),
        (token("ci"), true),
        (token("new"), false),
    ] {
        let found = after.read(&fact.key()).await.unwrap();
        assert_eq!(found.is_some(), is_kept, "{}", fact.key());
    }
    assert_eq!(after.totals().borrow().files, 0);
    after.close().await;
}

#[tokio::test]
async fn all_but_full_a_disk_is_not_written_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let before = open(opener(dir.path(), 1 << 30), &clock);
    apply(&before, put([token("a")])).await;
    before.close().await;
    let catalog = open(opener(dir.path(), 1000), &clock);
    for change in [Change::Put(token("b")), Change::Remove(token("a").key())] {
        let refused = catalog.apply(vec![], vec![change]).await;
        assert!(matches!(refused, Err(CatalogError::NoRoom)));
    }
    let kept = catalog.read(&token("a").key()).await.unwrap();
    assert_eq!(kept, Some(token("a")));
    assert_eq!(catalog.health(), Health::Ready);
    catalog.close().await;
}

#[test]
fn a_shortened_database_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    {
        let db = base::open_db(&path, 1 << 20).unwrap();
        for n in 0..20_000_u32 {
            let row = (format!("{n:010}"), Some(vec![7; 200]));
            db.apply([row]).unwrap();
        }
        db.flush().unwrap();
    }
    let db = std::fs::File::options()
        .write(true)
        .open(path.join("recent-1/db"))
        .unwrap();
    let size = db.metadata().unwrap().len();
    db.set_len(size / 2 - 100).unwrap();
    // Either it is noticed, or what is left opens; it must not take the process down.
    let _ = base::open_db(&path, 1 << 20);
}
