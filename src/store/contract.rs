//! What every [`Catalog`] must do, as its documentation says. Run for each implementation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::absent::AbsentSet;
use super::catalog::memory::MemoryCatalog;
use super::catalog::{Changes, Claim, ClaimKey, Claimed};
use super::model::{StateKey, SumdbKey};
use super::*;
use crate::clock::{Manual, SharedClock};

mod on_disk;

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
        expires: Some(Timestamp(9)),
        replaced: None,
        read: None,
        note: None,
        last_used: None,
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
