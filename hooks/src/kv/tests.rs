use std::time::Duration;

use bytesize::ByteSize;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn settings(name: &str, settings: KvSettings) -> BTreeMap<String, KvSettings> {
    BTreeMap::from([(name.to_owned(), settings)])
}

/// The stores of a node with one store called `s`, under this folder.
fn opened(folder: &Path, kv: KvSettings) -> (Stores, Arc<Store>) {
    let stores = Stores::default();
    stores.open(&settings("s", kv), folder, at(0));
    let store = stores.get("s").unwrap();
    (stores, store)
}

fn text(store: &Store, key: &str, seconds: u64) -> Option<String> {
    store.get(key, at(seconds)).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn what_is_set_is_there_until_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store) =
        opened(folder.path(), KvSettings { ttl: Some(Duration::from_secs(60)), ..KvSettings::default() });
    store.set("a", b"1".to_vec(), None, at(0)).unwrap();
    store.set("b", b"2".to_vec(), Some(5), at(0)).unwrap();
    for (key, seconds, found) in [
        ("a", 0, Some("1")),
        ("a", 59, Some("1")),
        ("a", 60, None),
        ("b", 4, Some("2")),
        ("b", 5, None),
        ("c", 0, None),
    ] {
        assert_eq!(text(&store, key, seconds).as_deref(), found, "{key} at {seconds}");
    }
    store.set("d", b"4".to_vec(), Some(5), at(0)).unwrap();
    assert!(!store.delete("d", at(5)), "it was over");
    store.set("d", b"4".to_vec(), Some(5), at(6)).unwrap();
    assert!(store.delete("d", at(7)) && !store.delete("d", at(7)));
}

#[test]
fn numbers_add_up_and_a_window_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store) = opened(folder.path(), KvSettings::default());
    assert_eq!(store.increment("n", 2, Some(10), at(0)), Ok(2));
    assert_eq!(store.increment("n", -5, Some(10), at(9)), Ok(-3));
    assert_eq!(store.increment("n", 1, Some(10), at(10)), Ok(1), "its window began anew");
    store.set("t", b"text".to_vec(), None, at(0)).unwrap();
    store.set("m", i64::MAX.to_string().into_bytes(), None, at(0)).unwrap();
    assert_eq!(store.increment("t", 1, None, at(0)), Err(Refusal::NotANumber));
    assert_eq!(store.increment("m", 1, None, at(0)), Err(Refusal::NotANumber));
    assert_eq!(text(&store, "m", 0), Some(i64::MAX.to_string()), "and it stays what it was");
}

#[test]
fn keys_come_in_order_by_prefix_and_no_more_than_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store) = opened(folder.path(), KvSettings::default());
    for key in ["b/1", "a/2", "a/1", "a", "a/3", "ab"] {
        store.set(key, Vec::new(), (key == "a/2").then_some(1), at(0)).unwrap();
    }
    assert_eq!(store.keys("a/", 10, at(0)), ["a/1", "a/2", "a/3"]);
    assert_eq!(store.keys("a/", 2, at(1)), ["a/1", "a/3"]);
    assert_eq!(store.keys("", 2, at(0)), ["a", "a/1"]);
    assert!(store.keys("z", 10, at(0)).is_empty() && store.keys("", 0, at(0)).is_empty());
}

#[test]
fn what_was_used_longest_ago_makes_room_and_the_bound_holds() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = KvSettings { size: ByteSize::kib(4), value: ByteSize::kib(1), ..KvSettings::default() };
    let (_, store) = opened(folder.path(), bounds);
    for number in 0..3 {
        store.set(&format!("k{number}"), vec![b'x'; 1024], None, at(0)).unwrap();
    }
    assert!(text(&store, "k0", 0).is_some(), "used last");
    store.set("k3", vec![b'x'; 1024], None, at(0)).unwrap();
    assert_eq!(store.keys("", 10, at(0)), ["k0", "k2", "k3"]);
    for number in 0..10_000 {
        store.set(&format!("n{number}"), vec![b'x'; number % 1024], None, at(0)).unwrap();
    }
    let held: usize =
        store.keys("", 1000, at(0)).iter().filter_map(|key| text(&store, key, 0)).map(|v| v.len()).sum();
    assert!((1..4096).contains(&held), "{held}");
}

#[test]
fn keys_and_values_have_limits() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = KvSettings { size: ByteSize::kib(4), value: ByteSize::kib(8), ..KvSettings::default() };
    let (_, store) = opened(folder.path(), bounds);
    for key in ["", "a\nb", "\u{7f}", &"k".repeat(513)] {
        assert_eq!(store.set(key, Vec::new(), None, at(0)), Err(Refusal::InvalidKey), "{key:?}");
    }
    for length in [8 << 10, (8 << 10) + 1] {
        assert_eq!(store.set("k", vec![0; length], None, at(0)), Err(Refusal::TooLarge));
    }
    assert_eq!(store.set(&"k".repeat(512), vec![0; 1024], None, at(0)), Ok(()));
}

#[test]
fn ten_cores_that_add_one_make_ten() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store) = opened(folder.path(), KvSettings::default());
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..100).for_each(|_| assert!(store.increment("n", 1, None, at(0)).is_ok())));
        }
    });
    assert_eq!(text(&store, "n", 0).as_deref(), Some("1000"));
}

#[test]
fn a_store_is_there_again_after_a_restart_but_for_what_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, store) = opened(folder.path(), KvSettings::default());
    for number in 0..1000 {
        store.set(&format!("k{number:03}"), number.to_string().into_bytes(), None, at(0)).unwrap();
    }
    store.set("soon", b"x".to_vec(), Some(10), at(0)).unwrap();
    store.set("later", b"y".to_vec(), Some(20), at(0)).unwrap();
    stores.close();
    drop((stores, store));

    let again = Stores::default();
    again.open(&settings("s", KvSettings::default()), folder.path(), at(10));
    let store = again.get("s").unwrap();
    assert_eq!(store.keys("k", 1000, at(10)).len(), 1000);
    assert_eq!(text(&store, "k007", 10).as_deref(), Some("7"));
    assert_eq!((text(&store, "soon", 0), text(&store, "later", 19).as_deref()), (None, Some("y")));
    assert_eq!(text(&store, "later", 20), None, "its time is that of the clock, not of the process");
}

#[test]
fn a_reload_keeps_stores_bounds_them_anew_and_closes_what_is_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, store) = opened(folder.path(), KvSettings::default());
    for key in ["a", "b"] {
        store.set(key, vec![b'x'; 2000], None, at(0)).unwrap();
    }
    let smaller = settings("s", KvSettings { size: ByteSize(3000), ..KvSettings::default() });
    stores.open(&smaller, folder.path(), at(0));
    assert!(Arc::ptr_eq(&store, &stores.get("s").unwrap()));
    assert_eq!(store.keys("", 9, at(0)).len(), 2, "a reload may still fail");
    stores.settle(&smaller);
    assert_eq!(store.keys("", 9, at(0)), ["b"]);
    stores.settle(&BTreeMap::new());
    assert!(stores.get("s").is_none());
    assert!(folder.path().join("kv/s").exists(), "it was saved first");
}

#[test]
fn changes_are_saved_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let often = settings("s", KvSettings { save: Duration::ZERO, ..KvSettings::default() });
    let stores = Stores::default();
    stores.open(&often, folder.path(), at(0));
    stores.settle(&often);
    stores.get("s").unwrap().set("a", b"1".to_vec(), None, at(0)).unwrap();
    let begun = std::time::Instant::now();
    while !folder.path().join("kv/s").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing was saved");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn a_damaged_file_is_told_of_and_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv/s");
    let (stores, store) = opened(folder.path(), KvSettings::default());
    store.set("key", b"value".to_vec(), None, at(0)).unwrap();
    stores.close();
    let whole = std::fs::read(&file).unwrap();
    let mut refused = 0;
    for position in 0..whole.len() {
        for damaged in [whole[..position].to_vec(), {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x81;
            bytes
        }] {
            std::fs::write(&file, damaged).unwrap();
            let stores = Stores::default();
            let told = Arc::new(Mutex::new(Vec::new()));
            let into = Arc::clone(&told);
            stores.told_to(Box::new(move |words| into.lock().unwrap().push(words)));
            stores.open(&settings("s", KvSettings::default()), folder.path(), at(0));
            let words = told.lock().unwrap().join("\n");
            assert!(words.contains("kv/s cannot be read"), "at {position}: {words}");
            assert!(stores.get("s").unwrap().keys("", 9, at(0)).is_empty());
            refused += 1;
        }
    }
    assert_eq!(refused, 2 * whole.len());
    let (stores, store) = opened(folder.path(), KvSettings::default());
    assert!(file.exists(), "looking at it changes nothing");
    store.set("new", b"1".to_vec(), None, at(0)).unwrap();
    stores.close();
    assert!(folder.path().join("kv/s.damaged").exists());
    assert_eq!(text(&opened(folder.path(), KvSettings::default()).1, "new", 0).as_deref(), Some("1"));
}

#[test]
fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (stores, store) = opened(folder.path(), KvSettings::default());
    store.set("session", b"of somebody".to_vec(), None, at(0)).unwrap();
    stores.close();
    let mode = std::fs::metadata(folder.path().join("kv/s")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_store_is_called_as_a_file_can_be() {
    for name in ["sessions", "a-b_C9", &"x".repeat(64)] {
        assert!(is_store_name(name), "{name}");
    }
    for name in ["", "../x", "a/b", "a.new", "é", &"x".repeat(65)] {
        assert!(!is_store_name(name), "{name}");
    }
}

#[test]
fn every_damaged_file_is_kept_aside_and_one_that_is_gone_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv/s");
    std::fs::create_dir_all(folder.path().join("kv")).unwrap();
    for (damaged, aside) in [("one", Some("kv/s.damaged")), ("two", Some("kv/s.damaged-2")), ("three", None)]
    {
        std::fs::write(&file, damaged).unwrap();
        let (_stores, store) = opened(folder.path(), KvSettings::default());
        store.set("new", damaged.into(), None, at(0)).unwrap();
        if aside.is_none() {
            std::fs::remove_file(&file).unwrap();
        }
        store.save().unwrap();
        let kept = aside.map(|aside| std::fs::read_to_string(folder.path().join(aside)).unwrap());
        assert_eq!(kept.as_deref(), aside.map(|_| damaged));
        let (_stores, store) = opened(folder.path(), KvSettings::default());
        assert_eq!(text(&store, "new", 0).as_deref(), Some(damaged));
    }
}

#[test]
fn what_is_refused_or_was_not_there_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_stores, store) = opened(folder.path(), KvSettings::default());
    assert!(store.set("", b"1".to_vec(), None, at(0)).is_err());
    assert!(!store.delete("absent", at(0)));
    store.save().unwrap();
    assert!(!folder.path().join("kv/s").exists());
}

#[test]
fn keys_are_found_behind_many_that_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_stores, store) = opened(folder.path(), KvSettings::default());
    (0..5000).for_each(|number| store.set(&format!("k{number:04}"), Vec::new(), Some(1), at(0)).unwrap());
    for key in ["k0000x", "k2500x", "k9"] {
        store.set(key, Vec::new(), None, at(0)).unwrap();
    }
    assert_eq!(store.keys("k", 9, at(1)), ["k0000x", "k2500x", "k9"]);
    assert_eq!(store.keys("k", 2, at(1)), ["k0000x", "k2500x"]);
    assert_eq!(store.keys("k", 9, at(0)).len(), 3, "what is over has gone");
}
