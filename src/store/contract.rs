//! What every [`Catalog`] must do, as its documentation says. Run for each implementation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::absent::AbsentSet;
use super::catalog::memory::MemoryCatalog;
use super::catalog::sled::SledCatalog;
use super::catalog::sled::base::{self, Base, Held, OpenError, Opener};
use super::catalog::sled::layers::Layers;
use super::catalog::sled::migrate;
use super::catalog::{Changes, Claim, ClaimKey, Claimed};
use super::model::{StateKey, SumdbKey};
use super::*;
use crate::clock::{Manual, SharedClock};

fn clock() -> Arc<Manual> {
    Arc::new(Manual::at(Timestamp(1_000_000)))
}

fn file_key(path: &str) -> FileKey {
    FileKey::from_path(path).unwrap()
}

fn file(path: &str, size: u64) -> Fact {
    let record = FileRecord {
        size,
        sha256: Sha256::of(path.as_bytes()),
        h1: None,
        from: "here".into(),
        seen: Timestamp(1),
        verified: Verified::None,
        by: None,
    };
    Fact::File(file_key(path), record)
}

fn meta(path: &str, body: &str) -> Fact {
    let record = MetaRecord {
        body: body.to_owned(),
        ..MetaRecord::default()
    };
    Fact::Metadata(MetaKey::from_path(path).unwrap(), record)
}

fn first_seen(path: &str, from: &str) -> Fact {
    let record = FirstSeenRecord {
        h1: crate::gomod::dirhash::hash_go_mod(path.as_bytes()),
        from: from.to_owned(),
        seen: Timestamp(2),
        unknown: false,
        accept: true,
    };
    Fact::FirstSeen(file_key(path), record)
}

fn pending(path: &str, not_before: u64) -> Fact {
    let record = PendingRecord {
        since: Timestamp(1),
        unknown: 3,
        not_before: Timestamp(not_before),
    };
    Fact::Pending(file_key(path), record)
}

fn token(name: &str) -> Fact {
    Fact::Token(TokenRecord {
        sha256: Sha256::of(name.as_bytes()),
        created: Timestamp(3),
        name: name.to_owned(),
    })
}

fn sumdb(database: &str, name: &str, value: &'static [u8]) -> Fact {
    let key = SumdbKey {
        database: database.to_owned(),
        name: name.to_owned(),
    };
    Fact::Sumdb(key, Bytes::from_static(value))
}

fn state(value: &str) -> Fact {
    Fact::State(StateKey::Rules, value.to_owned())
}

/// One of each kind.
fn one_of_each() -> Vec<Fact> {
    let fallback = MetaRecord {
        body: "{}".to_owned(),
        file: Some(ListFile {
            size: 9,
            sha256: Sha256::of(b"list"),
        }),
        etag: Some("\"x\"".to_owned()),
        ..MetaRecord::default()
    };
    vec![
        file("example.com/m/@v/v1.0.0.mod", 5),
        meta("example.com/m/@latest", "{}"),
        Fact::FallbackInfo(file_key("example.com/m/@v/v1.0.0.info"), fallback),
        first_seen("example.com/m/@v/v1.0.0.zip", "here"),
        pending("example.com/m/@v/v1.0.0.zip", 7),
        token("ci"),
        Fact::Absent("00ff".parse().unwrap(), AbsentSet::default()),
        sumdb("sum.example.com", "head", b"\x00any\xff"),
        state("rules"),
    ]
}

fn put(facts: impl IntoIterator<Item = Fact>) -> Vec<Change> {
    facts.into_iter().map(Change::Put).collect()
}

fn names(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(|fact| fact.key().to_string()).collect()
}

async fn apply(catalog: &dyn Catalog, changes: Vec<Change>) {
    assert_eq!(catalog.apply(vec![], changes).await.unwrap(), Applied::Done);
}

async fn listed(catalog: &dyn Catalog, query: &Query, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = catalog.page(query, after.as_ref(), limit).await.unwrap();
        assert!(page.facts.len() <= limit);
        found.extend(names(&page.facts));
        after = match page.next {
            Some(next) => Some(next),
            None => return found,
        };
    }
}

/// The whole contract, on a catalog that knows nothing.
async fn contract(catalog: &dyn Catalog, clock: &Manual) {
    facts_of_every_kind(catalog).await;
    expectations(catalog).await;
    pages(catalog).await;
    totals(catalog).await;
    claims(catalog, clock).await;
    feed(catalog).await;
    many_at_once(catalog).await;
    assert_ne!(catalog.health(), Health::Unavailable);
}

async fn facts_of_every_kind(catalog: &dyn Catalog) {
    for fact in one_of_each() {
        assert_eq!(catalog.read(&fact.key()).await.unwrap(), None);
    }
    apply(catalog, put(one_of_each())).await;
    for fact in one_of_each() {
        let key = fact.key();
        assert_eq!(catalog.read(&key).await.unwrap(), Some(fact), "{key}");
        let query = Query::All(key.kind());
        assert_eq!(listed(catalog, &query, 10).await, [key.to_string()]);
    }
    // Later changes of one transaction win, and others of the same version stay.
    let path = "example.com/m/@v/v1.0.0.zip";
    let changes = vec![
        Change::Put(file(path, 1)),
        Change::Put(file(path, 2)),
        Change::Remove(FactKey::Token("ci".into())),
        Change::Remove(FactKey::Token("none".into())),
    ];
    apply(catalog, changes).await;
    let zip = FactKey::File(file_key(path));
    assert_eq!(catalog.read(&zip).await.unwrap(), Some(file(path, 2)));
    let go_mod = file("example.com/m/@v/v1.0.0.mod", 5);
    assert_eq!(catalog.read(&go_mod.key()).await.unwrap(), Some(go_mod));
    let info = FactKey::File(file_key("example.com/m/@v/v1.0.0.info"));
    assert_eq!(catalog.read(&info).await.unwrap(), None);
    assert_eq!(
        catalog.read(&FactKey::Token("ci".into())).await.unwrap(),
        None
    );
    apply(catalog, vec![Change::Remove(zip.clone())]).await;
    assert_eq!(catalog.read(&zip).await.unwrap(), None);
    let removed = one_of_each();
    let removed = removed.iter().map(|it| Change::Remove(it.key()));
    apply(catalog, removed.collect()).await;
    for fact in one_of_each() {
        assert_eq!(catalog.read(&fact.key()).await.unwrap(), None);
    }
}

async fn expectations(catalog: &dyn Catalog) {
    let (old, new) = (sumdb("s", "head", b"1"), sumdb("s", "head", b"2"));
    let swap = async |expect: Expect, fact: &Fact| {
        let changes = vec![Change::Put(fact.clone()), Change::Put(token("beside"))];
        catalog.apply(vec![expect], changes).await.unwrap()
    };
    let unknown = || Expect::Unknown(old.key());
    assert_eq!(swap(Expect::Is(old.clone()), &new).await, Applied::Conflict);
    let beside = token("beside").key();
    assert_eq!(catalog.read(&beside).await.unwrap(), None, "all or none");
    assert_eq!(swap(unknown(), &old).await, Applied::Done);
    assert_eq!(swap(unknown(), &new).await, Applied::Conflict);
    assert_eq!(swap(Expect::Is(new.clone()), &new).await, Applied::Conflict);
    assert_eq!(swap(Expect::Is(old.clone()), &new).await, Applied::Done);
    assert_eq!(catalog.read(&new.key()).await.unwrap(), Some(new.clone()));
    // All of several, and of one kind with another.
    let both = vec![Expect::Is(new.clone()), Expect::Unknown(beside.clone())];
    let remove = vec![Change::Remove(beside), Change::Remove(new.key())];
    let applied = catalog.apply(both, remove.clone()).await.unwrap();
    assert_eq!(applied, Applied::Conflict);
    let right = vec![Expect::Is(token("beside")), Expect::Is(new)];
    assert_eq!(catalog.apply(right, remove).await.unwrap(), Applied::Done);
    // Of many that want to be the first, one is.
    let many = (0..50_u64).map(|n| {
        let path = "example.com/first/@v/v1.0.0.mod";
        let fact = file(path, n);
        catalog.apply(vec![Expect::Unknown(fact.key())], vec![Change::Put(fact)])
    });
    let outcomes = futures_util::future::join_all(many).await;
    let done = |outcome: &Result<Applied, _>| matches!(outcome, Ok(Applied::Done));
    assert_eq!(outcomes.iter().filter(|it| done(it)).count(), 1);
    let first = FactKey::File(file_key("example.com/first/@v/v1.0.0.mod"));
    apply(catalog, vec![Change::Remove(first)]).await;
}

async fn pages(catalog: &dyn Catalog) {
    let mut facts = Vec::new();
    for module in ["example.com/a", "example.com/a/b", "example.com/ab"] {
        for version in ["v1.0.0", "v1.1.0"] {
            for kind in ["info", "mod", "zip"] {
                facts.push(file(&format!("{module}/@v/{version}.{kind}"), 1));
            }
        }
        facts.push(meta(&format!("{module}/@v/list"), "v1.0.0\n"));
        facts.push(meta(&format!("{module}/@latest"), "{}"));
        facts.push(meta(&format!("{module}/@v/main.info"), "{}"));
    }
    for n in 0..5 {
        facts.push(pending(&format!("example.com/a/@v/v1.0.{n}.mod"), n));
        facts.push(sumdb("one.example.com", &format!("f{n}"), b"x"));
        facts.push(sumdb("two.example.com", &format!("f{n}"), b"x"));
    }
    let removed: Vec<_> = facts.iter().map(|it| Change::Remove(it.key())).collect();
    apply(catalog, put(facts.clone())).await;
    let module = ModulePath::parse("example.com/a").unwrap();
    let expected = |wanted: &dyn Fn(&str) -> bool| {
        let mut names = names(&facts);
        names.retain(|name| wanted(name));
        names.sort();
        names
    };
    type Wanted = Box<dyn Fn(&str) -> bool>;
    let starts =
        |prefix: &'static str| -> Wanted { Box::new(move |name| name.starts_with(prefix)) };
    let queries: Vec<(Query, Wanted)> = vec![
        (Query::All(FactKind::File), starts("file/")),
        (Query::All(FactKind::Metadata), starts("meta/")),
        (Query::All(FactKind::FirstSeen), starts("first-seen/")),
        (
            Query::OfModule(FactKind::File, module.clone()),
            starts("file/example.com/a/@"),
        ),
        (
            Query::OfModule(FactKind::Metadata, module),
            starts("meta/example.com/a/@"),
        ),
        (
            Query::Below(FactKind::File, "example.com/a".into()),
            starts("file/example.com/a/"),
        ),
        (
            Query::Database("one.example.com".into()),
            starts("sumdb/one.example.com/"),
        ),
        (
            Query::Due(Timestamp(2)),
            Box::new(|name| {
                ["0", "1", "2"]
                    .iter()
                    .any(|n| name == format!("pending/example.com/a/@v/v1.0.{n}.mod"))
            }),
        ),
    ];
    for (query, wanted) in &queries {
        for limit in [1, 2, 5, 1000] {
            let found = listed(catalog, query, limit).await;
            let again = listed(catalog, query, 3).await;
            assert_eq!(found, again, "{query:?}: the order stays the same");
            let mut found = found;
            found.sort();
            assert_eq!(found, expected(wanted), "{query:?} by {limit}");
        }
    }
    apply(catalog, removed).await;
    for (query, _) in &queries {
        assert!(listed(catalog, query, 10).await.is_empty(), "{query:?}");
    }
}

async fn totals(catalog: &dyn Catalog) {
    let totals = catalog.totals();
    assert_eq!(*totals.borrow(), Totals::default());
    let path = |n: u64| format!("example.com/n{n}/@v/v1.0.0.mod");
    let many = (0..50).map(|n| catalog.apply(vec![], put([file(&path(n), n)])));
    futures_util::future::join_all(many).await;
    let changes = vec![
        Change::Put(file(&path(7), 1000)),
        Change::Put(file(&path(7), 100)),
        Change::Remove(FactKey::File(file_key(&path(9)))),
        Change::Remove(FactKey::File(file_key(&path(9)))),
        Change::Remove(FactKey::File(file_key(&path(99)))),
        Change::Put(pending(&path(1), 0)),
        Change::Put(pending(&path(1), 1)),
    ];
    apply(catalog, changes).await;
    let refused = vec![Expect::Is(file(&path(7), 7))];
    let put_more = put([file(&path(100), 1)]);
    let applied = catalog.apply(refused, put_more).await.unwrap();
    assert_eq!(applied, Applied::Conflict);
    let expected = Totals {
        files: 49,
        bytes: (0..50).sum::<u64>() - 7 - 9 + 100,
        pending: 1,
    };
    assert_eq!(*totals.borrow(), expected);
}

async fn claims(catalog: &dyn Catalog, clock: &Manual) {
    let key = ClaimKey::job("evict");
    let lease = Duration::from_secs(15);
    let take = async |owner| catalog.claim(&key, owner, lease).await.unwrap();
    let Claimed::Given(first) = take("a").await else {
        panic!("nobody has it");
    };
    clock.pass(Duration::from_secs(5));
    let held = Claimed::Held {
        owner: "a".into(),
        left: Duration::from_secs(10),
    };
    assert_eq!(take("b").await, held);
    assert_eq!(take("a").await, held, "its owner is no exception");
    let other = catalog.claim(&ClaimKey::job("scrub"), "b", lease).await;
    assert!(matches!(other, Ok(Claimed::Given(_))), "another name");
    // It ends by itself, unless it is renewed.
    assert!(catalog.renew(&first, lease).await.unwrap());
    clock.pass(Duration::from_secs(14));
    let with = async |claim: &Claim, fact| {
        let expect = vec![Expect::Held(claim.clone())];
        catalog.apply(expect, put([fact])).await.unwrap()
    };
    assert_eq!(with(&first, state("1")).await, Applied::Done);
    clock.pass(Duration::from_secs(1));
    assert_eq!(with(&first, state("2")).await, Applied::Conflict);
    assert!(!catalog.renew(&first, lease).await.unwrap());
    let Claimed::Given(second) = take("b").await else {
        panic!("its lease has ended");
    };
    assert!(second.epoch > first.epoch);
    // Whoever has lost it can do nothing with it, nor to who has it now.
    assert!(!catalog.renew(&first, lease).await.unwrap());
    catalog.release(&first).await.unwrap();
    assert_eq!(with(&first, state("2")).await, Applied::Conflict);
    assert_eq!(with(&second, state("3")).await, Applied::Done);
    let rules = FactKey::State(StateKey::Rules);
    assert_eq!(catalog.read(&rules).await.unwrap(), Some(state("3")));
    catalog.release(&second).await.unwrap();
    assert_eq!(with(&second, state("4")).await, Applied::Conflict);
    let Claimed::Given(third) = take("c").await else {
        panic!("it was given back");
    };
    assert!(third.epoch > second.epoch);
    catalog.release(&third).await.unwrap();
    // Of all that ask at once one gets it.
    let all = (0..20).map(|n| async move {
        let owner = n.to_string();
        catalog.claim(&ClaimKey::job("gc"), &owner, lease).await
    });
    let given = futures_util::future::join_all(all).await;
    let given = given
        .iter()
        .filter(|it| matches!(it, Ok(Claimed::Given(_))));
    assert_eq!(given.count(), 1);
    apply(catalog, vec![Change::Remove(rules)]).await;
}

async fn feed(catalog: &dyn Catalog) {
    let mut end = catalog.sequence();
    let start = *end.borrow_and_update();
    let none = Changes::Since {
        changed: vec![],
        next: start,
    };
    assert_eq!(catalog.changes(start).await.unwrap(), none);
    let (a, b) = (token("a"), token("b"));
    apply(catalog, put([a.clone()])).await;
    apply(
        catalog,
        vec![Change::Put(b.clone()), Change::Remove(a.key())],
    )
    .await;
    let conflict = catalog.apply(vec![Expect::Is(a.clone())], put([token("c")]));
    assert_eq!(conflict.await.unwrap(), Applied::Conflict);
    assert!(end.has_changed().unwrap());
    let Changes::Since { changed, next } = catalog.changes(start).await.unwrap() else {
        panic!("three changes are remembered");
    };
    assert_eq!(changed, [a.key(), b.key(), a.key()]);
    assert_eq!(next, *end.borrow_and_update());
    // Every change of many that come at once is told of, each after it can be read.
    let name = |n: u32| format!("many{n}");
    let writers = async {
        let many = (0..300).map(|n| catalog.apply(vec![], put([token(&name(n))])));
        futures_util::future::join_all(many).await
    };
    let reader = async {
        let (mut at, mut seen) = (next, std::collections::BTreeSet::new());
        while seen.len() < 300 {
            end.changed().await.unwrap();
            let Changes::Since { changed, next } = catalog.changes(at).await.unwrap() else {
                panic!("it keeps up");
            };
            for key in &changed {
                assert!(catalog.read(key).await.unwrap().is_some());
                assert!(seen.insert(key.to_string()));
            }
            at = next;
        }
    };
    futures_util::future::join(writers, reader).await;
    let removed = (0..300).map(|n| Change::Remove(token(&name(n)).key()));
    apply(catalog, removed.collect()).await;
    // Too long ago, or before this process: everything may have changed.
    let lots = (0..10_000).map(|_| Change::Put(b.clone()));
    apply(catalog, lots.collect()).await;
    let end = *end.borrow();
    assert_eq!(
        catalog.changes(start).await.unwrap(),
        Changes::Missed { next: end }
    );
    apply(catalog, vec![Change::Remove(b.key())]).await;
}

async fn many_at_once(catalog: &dyn Catalog) {
    let many = (0..200).map(|n| async move {
        let fact = token(&format!("t{n:03}"));
        apply(catalog, put([fact.clone()])).await;
        // Each is answered only when it is in.
        assert_eq!(catalog.read(&fact.key()).await.unwrap(), Some(fact));
    });
    futures_util::future::join_all(many).await;
    let all = Query::All(FactKind::Token);
    assert_eq!(listed(catalog, &all, 1000).await.len(), 200);
}

#[tokio::test]
async fn memory() {
    let clock = clock();
    let shared: SharedClock = clock.clone();
    contract(&MemoryCatalog::new(&shared), &clock).await;
}

/// On a disk with so many bytes free.
fn opener(data: &Path, free: u64) -> Opener {
    let measure = move |_: &Path| {
        Ok(super::local::Volume {
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
