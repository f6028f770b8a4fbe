use std::collections::BTreeMap;

use super::folder::{LAYOUT, make_recent};
use super::*;

const CACHE: u64 = 1 << 20;

type Model = BTreeMap<String, Vec<u8>>;

fn all(layers: &Layers) -> Model {
    let (mut found, mut after) = (Model::new(), None::<String>);
    loop {
        let page = layers.page("", after.as_deref(), 97).unwrap();
        let Some((last, _)) = page.last() else {
            return found;
        };
        after = Some(last.clone());
        found.extend(page);
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| match entry.metadata().ok()? {
            meta if meta.is_dir() => Some(size(&entry.path())),
            meta => Some(meta.len()),
        })
        .sum()
}

/// A change of one of 300 rows.
fn change(random: &mut fastrand::Rng, model: &mut Model) -> (String, Option<Vec<u8>>) {
    let key = format!("version/example.com/m{}", random.u32(..300));
    let value = (random.u32(..4) > 0).then(|| vec![random.u8(..); random.usize(1..60)]);
    match &value {
        Some(value) => drop(model.insert(key.clone(), value.clone())),
        None => drop(model.remove(&key)),
    }
    (key, value)
}

fn wait(layers: &Layers) {
    if let Some(thread) = layers.folding.lock().take() {
        thread.join().unwrap();
    }
}

#[test]
fn layers_are_one_map_whatever_is_folded_when() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut model = Model::new();
        let mut layers = Layers::open_to_fold_at(dir.path(), CACHE, 2000).unwrap();
        for step in 0..200 {
            let changes: Vec<_> = (0..random.usize(1..20))
                .map(|_| change(&mut random, &mut model))
                .collect();
            layers.apply(changes).unwrap();
            layers.flush().unwrap();
            layers.fold_if_due(u64::MAX);
            let key = format!("version/example.com/m{}", random.u32(..300));
            assert_eq!(layers.get(&key).unwrap(), model.get(&key).cloned());
            if step % 50 == 49 {
                assert_eq!(all(&layers), model);
                drop(layers);
                layers = Layers::open_to_fold_at(dir.path(), CACHE, 2000).unwrap();
                assert_eq!(all(&layers), model);
            }
        }
        wait(&layers);
        assert!(layers.shared.parts.read().number > 3, "it was folded");
        let part = layers.page("version/example.com/m1", Some("version/example.com/m15"), 5);
        let from = (
            Bound::Excluded("version/example.com/m15".to_owned()),
            Bound::Unbounded,
        );
        let expected = model
            .range(from)
            .filter(|row| row.0.contains("/m1"))
            .take(5);
        let expected: Vec<_> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(part.unwrap(), expected);
    }
}

/// Each state of the folder between two steps of folding, as an end there leaves it.
#[test]
fn an_end_between_any_two_steps_loses_nothing_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut before, mut model) = (Model::new(), Model::new());
    let layers = Layers::open_to_fold_at(&folder("a"), CACHE, u64::MAX).unwrap();
    let mut write = |layers: &Layers, model: &mut Model| {
        let changes: Vec<_> = (0..200).map(|_| change(&mut random, model)).collect();
        layers.apply(changes).unwrap();
        layers.flush().unwrap();
    };
    write(&layers, &mut before);
    layers.shared.fold().unwrap();
    model.clone_from(&before);
    write(&layers, &mut model);
    drop(layers);
    let copy = |from: &str, to: &str| copy_folder(&folder(from), &folder(to));
    let check = |name: &str, steps: &str| {
        let layers = Layers::open_to_fold_at(&folder(name), CACHE, u64::MAX).unwrap();
        assert_eq!(all(&layers), model, "{steps}");
        layers.shared.fold().unwrap();
        assert_eq!(all(&layers), model, "{steps}");
        drop(layers);
        let mut names: Vec<_> = fs::read_dir(folder(name)).unwrap().collect();
        names.retain(|it| it.as_ref().unwrap().file_name() != LAYOUT);
        assert_eq!(names.len(), 2, "{steps}: {names:?}");
    };
    copy("a", "1");
    check("1", "nothing");
    copy("a", "2");
    fs::create_dir(folder("2/recent-3.new")).unwrap();
    fs::write(folder("2/recent-3.new/conf"), "").unwrap();
    check("2", "a new layer that is not whole");
    copy("a", "3");
    make_recent(&folder("3"), 3, CACHE).unwrap();
    copy("3", "4");
    copy("3", "5");
    check("3", "a new layer");
    fs::write(folder("4/settled-2.new"), "half").unwrap();
    check("4", "a settled file that is not whole");
    let layers = Layers::open_to_fold_at(&folder("5"), CACHE, u64::MAX).unwrap();
    layers.shared.fold().unwrap();
    drop(layers);
    copy("a", "6");
    fs::rename(folder("5/recent-3"), folder("6/recent-3")).unwrap();
    fs::rename(folder("5/settled-2"), folder("6/settled-2")).unwrap();
    check("6", "both settled files, and all layers");
}

#[test]
fn the_folder_stays_small_whatever_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, 256 << 10).unwrap();
    let (mut written, mut most) = (0, 0);
    for n in 0..2000_u32 {
        let value: Vec<u8> = (0..4000).map(|_| fastrand::u8(1..)).collect();
        written += value.len() as u64;
        let changes = [
            (
                format!("metadata/example.com/m{}/@v/list", n % 20),
                Some(value),
            ),
            (format!("absent/{n}"), Some(vec![1; 40])),
            (format!("absent/{}", n.saturating_sub(50)), None),
        ];
        layers.apply(changes).unwrap();
        layers.flush().unwrap();
        layers.fold_if_due(u64::MAX);
        if n % 100 == 0 {
            most = most.max(size(dir.path()));
        }
    }
    wait(&layers);
    assert_eq!(all(&layers).len(), 20 + 50);
    assert!(most < written, "{most} of {written} bytes");
    layers.shared.fold().unwrap();
    assert!(size(dir.path()) < 2 << 20, "{} bytes", size(dir.path()));
}

#[test]
fn what_is_damaged_or_of_a_later_version_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open(dir.path(), CACHE).unwrap();
    layers.apply([("a".to_owned(), Some(vec![1]))]).unwrap();
    layers.shared.fold().unwrap();
    drop(layers);
    fs::write(dir.path().join(LAYOUT), "damaged").unwrap();
    let opened = Layers::open(dir.path(), CACHE);
    assert!(matches!(opened, Err(sled::Error::Unsupported(_))));
    fs::write(dir.path().join(LAYOUT), "larder index 2\n").unwrap();
    assert!(matches!(
        Layers::open(dir.path(), CACHE),
        Err(sled::Error::Io(_))
    ));
    fs::write(dir.path().join(LAYOUT), "larder index 1\n").unwrap();
    assert_eq!(
        Layers::open(dir.path(), CACHE).unwrap().get("a").unwrap(),
        Some(vec![1])
    );
    fs::write(dir.path().join("settled-1"), "damaged").unwrap();
    let opened = Layers::open(dir.path(), CACHE);
    assert!(matches!(opened, Err(sled::Error::Unsupported(_))));
}

#[test]
fn without_room_nothing_is_folded() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, 1000).unwrap();
    layers
        .apply([("a".to_owned(), Some(vec![1; 2000]))])
        .unwrap();
    layers.fold_if_due(MARGIN);
    assert!(layers.folding.lock().is_none());
    layers.fold_if_due(2 * MARGIN);
    wait(&layers);
    assert!(layers.shared.parts.read().settled.is_some());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn folding_goes_on_after_an_attempt_that_could_not_open_what_it_had_made() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, u64::MAX).unwrap();
    let mut model = Model::new();
    let mut random = fastrand::Rng::with_seed(3);
    for left in [2, 3] {
        let changes: Vec<_> = (0..50).map(|_| change(&mut random, &mut model)).collect();
        layers.apply(changes).unwrap();
        make_recent(dir.path(), left, CACHE).unwrap();
        layers.shared.fold().unwrap();
        assert_eq!(layers.shared.parts.read().number, left);
        assert_eq!(all(&layers), model);
    }
}

#[test]
fn folding_waits_for_the_lock_of_what_it_has_made() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, u64::MAX).unwrap();
    layers.apply([("a".to_owned(), Some(vec![1]))]).unwrap();
    make_recent(dir.path(), 2, CACHE).unwrap();
    let held = open_to_hold(&recent(dir.path(), 2));
    std::thread::scope(|scope| {
        let folding = scope.spawn(|| layers.shared.fold());
        drop(held);
        folding.join().unwrap().unwrap();
    });
    assert_eq!(layers.get("a").unwrap(), Some(vec![1]));
}

/// The lock may be held for a moment yet.
fn open_to_hold(path: &Path) -> sled::Db {
    loop {
        if let Ok(db) = open_recent(path, CACHE) {
            return db;
        }
        std::thread::yield_now();
    }
}

/// A page that cannot be read any more does not end folding for ever.
#[test]
fn what_is_left_of_a_damaged_layer_is_folded() {
    let dir = tempfile::tempdir().unwrap();
    let key = |n: u32| format!("version/example.com/m{n:04}");
    let value = |n: u32| format!("value-{n:04}-").repeat(20).into_bytes();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, u64::MAX).unwrap();
    let revoked = "token/revoked".to_owned();
    layers.apply([(revoked.clone(), Some(value(0)))]).unwrap();
    layers.shared.fold().unwrap();
    let rows = (0..2000).map(|n| (key(n), Some(value(n))));
    layers.apply(rows.chain([(revoked.clone(), None)])).unwrap();
    layers.flush().unwrap();
    // Opening, sled reads the end of its log, whole segments of it: these push the damage out of there.
    const OTHERS: usize = 3000;
    let other = |n: usize| format!("version/example.com/other{n:05}");
    let long = value(1).repeat(7);
    for n in 0..OTHERS {
        layers.apply([(other(n), Some(long.clone()))]).unwrap();
    }
    layers.flush().unwrap();
    drop(layers);
    // What sled knows of its pages after it was opened once more it does not read again until it is asked for.
    drop(Layers::open_to_fold_at(dir.path(), CACHE, u64::MAX).unwrap());
    let path = dir.path().join("recent-2/db");
    let mut bytes = fs::read(&path).unwrap();
    let marked = value(1000);
    // In every place where it lies: what is written again leaves the old one behind.
    let places: Vec<_> = bytes
        .windows(marked.len())
        .enumerate()
        .filter_map(|(at, window)| (window == marked).then_some(at))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    let layers = Layers::open_to_fold_at(dir.path(), CACHE, u64::MAX).unwrap();
    let read = catch_unwind(AssertUnwindSafe(|| layers.page("", None, 2000 + OTHERS)));
    assert!(!matches!(read, Ok(Ok(_))), "it is damaged");
    layers.shared.fold().unwrap();
    let found = all(&layers);
    let known = (0..2000).filter(|n| found.get(&key(*n)) == Some(&value(*n)));
    let known = known.count();
    assert!((1000..2000).contains(&known), "{known} rows are left");
    let others = (0..OTHERS).filter(|n| found.contains_key(&other(*n)));
    assert_eq!(others.count(), OTHERS);
    assert_eq!(found.len(), known + OTHERS, "and no others");
    layers.apply([(key(1000), Some(value(7)))]).unwrap();
    layers.shared.fold().unwrap();
    assert_eq!(layers.get(&key(1000)).unwrap(), Some(value(7)));
}
