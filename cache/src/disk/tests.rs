use super::*;
use bytesize::ByteSize;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// In memory where there is such a place: waiting for a disk hundreds of times proves nothing more.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn open(folder: &Path) -> Disk {
    open_sized(folder, MIB)
}

fn open_sized(folder: &Path, size: u64) -> Disk {
    try_open(folder, size).unwrap()
}

fn try_open(folder: &Path, size: u64) -> Result<Disk, DiskError> {
    Disk::open(&DiskSettings::new(folder.to_owned(), ByteSize::b(size)), Box::new(|_, _| {}))
}

fn record(key: &str, variant: u32, body: impl Into<Bytes>) -> Record {
    let (key, meta) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from_static(b"200 OK"));
    Record { key, variant, labels: vec![name_of(b"site"), u64::from(variant)], meta, body: body.into() }
}

fn label(label: u64, strength: Strength) -> Mark {
    Mark { reach: Reach::Label(label), strength }
}

async fn body(disk: &Disk, key: &str) -> Option<Bytes> {
    disk.newest(key.as_bytes()).await.map(|found| found.record.body)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    files.sort();
    files
}

/// The folder of a process that was killed: the last segment has no index.
fn killed(from: &Path) -> tempfile::TempDir {
    let copy = folder();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_is_put_is_found_now_and_after_a_restart() {
    let folder = folder();
    let disk = open(folder.path());
    assert!(disk.newest(b"/a").await.is_none());
    assert!(disk.put(record("/a", 0, "one")));
    assert!(disk.settled().await);
    assert_eq!(body(&disk, "/a").await.unwrap(), "one");
    drop(disk);

    let disk = open(folder.path());
    let found = disk.newest(b"/a").await.unwrap();
    assert_eq!((found.record, found.stale_since), (record("/a", 0, "one"), None));
    assert!(disk.put(record("/a", 0, "two")));
    assert!(disk.settled().await);
    assert_eq!(body(&disk, "/a").await.unwrap(), "two");
    drop(disk);

    assert_eq!(body(&open(folder.path()), "/a").await.unwrap(), "two");
}

#[tokio::test]
async fn variants_are_found_apart() {
    let folder = folder();
    let disk = open(folder.path());
    for variant in 1..4 {
        disk.put(record("/a", variant, format!("variant {variant}")));
    }
    disk.settled().await;
    for variant in 1..4 {
        let found = disk.variant(b"/a", variant).await.unwrap();
        assert_eq!(found.record.body, format!("variant {variant}"));
    }
    assert_eq!(disk.newest(b"/a").await.unwrap().record.variant, 3);
    assert!(disk.variant(b"/a", 9).await.is_none());
}

#[tokio::test]
async fn a_purge_covers_what_came_before_it_also_after_a_restart() {
    let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for (mark, gone, stale) in [
        (label(name_of(b"/a/1"), Strength::Gone), vec!["/a/1"], vec![]),
        (label(2, Strength::Gone), vec!["/b/2"], vec![]),
        (label(name_of(b"site"), Strength::Gone), vec!["/a/1", "/b/2", "/b/3"], vec![]),
        (label(name_of(b"site"), Strength::Stale(since)), vec![], vec!["/a/1", "/b/2", "/b/3"]),
        (Mark { reach: Reach::Prefix("/b/".into()), strength: Strength::Gone }, vec!["/b/2", "/b/3"], vec![]),
    ] {
        let folder = folder();
        let disk = open(folder.path());
        let keys = ["/a/1", "/b/2", "/b/3"];
        for (variant, key) in (1..).zip(keys) {
            disk.put(record(key, variant, "before"));
        }
        // Purged before it was written, as often as not.
        disk.mark(&mark);
        disk.put(record("/a/4", 4, "after"));
        assert!(disk.settled().await);
        let killed = killed(folder.path());
        for disk in [disk, open(killed.path())] {
            for key in keys {
                let found = disk.newest(key.as_bytes()).await;
                assert_eq!(found.is_none(), gone.contains(&key), "{mark:?} {key}");
                let expected = stale.contains(&key).then_some(since);
                assert!(found.is_none_or(|found| found.stale_since == expected), "{mark:?} {key}");
            }
            assert_eq!(disk.newest(b"/a/4").await.unwrap().stale_since, None);
        }
    }
}

#[tokio::test]
async fn what_is_removed_can_be_put_again() {
    let folder = folder();
    let disk = open(folder.path());
    disk.put(record("/a", 0, "one"));
    disk.put(record("/a", 1, "other"));
    disk.forget(b"/a", Strength::Gone);
    disk.put(record("/a", 0, "two"));
    disk.settled().await;
    drop(disk);
    let disk = open(folder.path());
    assert_eq!(body(&disk, "/a").await.unwrap(), "two");
    assert!(disk.variant(b"/a", 1).await.is_none());
}

/// The log of a killed process with some records, and where each of them ends.
async fn log() -> (tempfile::TempDir, PathBuf, Vec<(String, Bytes, usize)>) {
    let folder = folder();
    let disk = open(folder.path());
    let (mut written, mut end) = (Vec::new(), 0);
    for number in 0..4 {
        let (key, body) = (format!("/{number}"), Bytes::from(format!("body {number} ").repeat(number + 1)));
        let record = record(&key, 0, body.clone());
        end += record.length() as usize;
        disk.put(record);
        written.push((key, body, end));
    }
    disk.settled().await;
    let killed = killed(folder.path());
    let segment = segments(killed.path()).pop().unwrap();
    assert_eq!(fs::metadata(&segment).unwrap().len(), end as u64);
    (killed, segment, written)
}

#[tokio::test]
async fn a_log_that_breaks_off_anywhere_yields_what_was_whole() {
    let (folder, segment, written) = log().await;
    let whole = fs::read(&segment).unwrap();
    for length in 0..=whole.len() {
        fs::write(&segment, &whole[..length]).unwrap();
        // Twice: the first start cuts off and completes, the second reads what that wrote.
        for _ in 0..2 {
            let disk = open(folder.path());
            for (key, expected, end) in &written {
                let expected = (*end <= length).then(|| expected.clone());
                assert_eq!(body(&disk, key).await, expected, "{key} of {length} bytes");
            }
        }
        // The next writes into another segment.
        let disk = open(folder.path());
        disk.put(record("/new", 0, "new"));
        disk.settled().await;
        assert_eq!(body(&disk, "/new").await.unwrap(), "new");
        drop(disk);
        segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    }
}

#[tokio::test]
async fn a_changed_byte_never_reaches_anybody() {
    let (folder, segment, written) = log().await;
    let whole = fs::read(&segment).unwrap();
    for position in 0..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 0x20;
        fs::write(&segment, &changed).unwrap();
        let disk = open(folder.path());
        for (key, expected, end) in &written {
            let found = body(&disk, key).await;
            assert!(found.is_none() || found.as_ref() == Some(expected), "{key} after byte {position}");
            let is_before = *end <= position;
            assert!(found.is_some() || !is_before, "{key} was lost to byte {position}");
        }
        drop(disk);
        segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    }
}

#[tokio::test]
async fn a_damaged_index_is_made_again() {
    let (folder, _, written) = log().await;
    drop(open(folder.path()));
    let segment = segments(folder.path()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let items = written.last().unwrap().2;
    for position in items..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 0x20;
        fs::write(&segment, &changed).unwrap();
        let disk = open(folder.path());
        for (key, expected, _) in &written {
            assert_eq!(body(&disk, key).await.as_ref(), Some(expected), "{key} after byte {position}");
        }
    }
}

#[tokio::test]
async fn a_purge_that_a_bad_disk_lost_takes_everything_before_it_along() {
    let folder = folder();
    let disk = open(folder.path());
    disk.put(record("/a", 0, "purged"));
    disk.settled().await;
    drop(disk);
    let disk = open(folder.path());
    disk.forget(b"/a", Strength::Gone);
    disk.settled().await;
    drop(disk);
    let disk = open(folder.path());
    disk.put(record("/b", 0, "later"));
    disk.settled().await;
    drop(disk);
    let with_purge = &segments(folder.path())[1];
    let mut bytes = fs::read(with_purge).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(with_purge, bytes).unwrap();

    let disk = open(folder.path());
    assert_eq!((body(&disk, "/a").await, body(&disk, "/b").await), (None, Some("later".into())));
}

#[tokio::test]
async fn the_oldest_leave_when_there_is_no_more_room() {
    let folder = folder();
    let disk = open(folder.path());
    for number in 0..1_000 {
        disk.put(record(&format!("/{number}"), 0, vec![b'x'; 4_000]));
        if number % 100 == 0 {
            disk.settled().await;
            assert!(on_disk(folder.path()) <= MIB, "{} bytes", on_disk(folder.path()));
        }
    }
    assert!(disk.settled().await);
    assert!(body(&disk, "/0").await.is_none());
    assert!(body(&disk, "/999").await.is_some());
    let statistics = disk.statistics();
    assert!((200..=256).contains(&statistics.records), "{statistics:?}");
    assert_eq!((statistics.written, statistics.dropped, statistics.errors), (1_000, 0, 0));
    assert_eq!(statistics.bytes, on_disk(folder.path()));
}

fn on_disk(folder: &Path) -> u64 {
    segments(folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[tokio::test]
async fn what_is_read_or_wanted_stays_when_the_oldest_leave() {
    let folder = folder();
    let disk = open(folder.path());
    disk.put(record("/read", 0, "read"));
    disk.put(record("/purged", 0, "purged"));
    disk.put(record("/unread", 0, "unread"));
    disk.put(record("/wanted", 0, "wanted"));
    disk.keep(Box::new(|key| key == b"/wanted" || key == b"/purged"));
    disk.settled().await;
    assert!(body(&disk, "/purged").await.is_some());
    disk.forget(b"/purged", Strength::Gone);
    for number in 0..2_000 {
        assert!(body(&disk, "/read").await.is_some(), "after {number}");
        disk.put(record(&format!("/{number}"), 0, vec![b'x'; 4_000]));
        if number % 10 == 0 {
            disk.settled().await;
        }
    }
    disk.settled().await;
    drop(disk);
    let disk = open(folder.path());
    assert_eq!(body(&disk, "/read").await.unwrap(), "read");
    assert_eq!(body(&disk, "/wanted").await.unwrap(), "wanted");
    assert!(body(&disk, "/unread").await.is_none());
    assert!(body(&disk, "/purged").await.is_none());
}

#[tokio::test]
async fn a_smaller_tier_forgets_what_is_too_much() {
    let folder = folder();
    let disk = open_sized(folder.path(), 4 * MIB);
    for number in 0..800 {
        disk.put(record(&format!("/{number}"), 0, vec![b'x'; 4_000]));
    }
    disk.settled().await;
    drop(disk);
    assert!(on_disk(folder.path()) > 2 * MIB);
    let disk = open_sized(folder.path(), MIB);
    disk.put(record("/new", 0, "new"));
    disk.settled().await;
    assert!(on_disk(folder.path()) <= MIB);
}

#[tokio::test]
async fn what_is_too_large_or_too_much_at_once_is_not_kept() {
    let folder = folder();
    let settings = DiskSettings {
        queue: ByteSize::b(10_000),
        ..DiskSettings::new(folder.path().to_owned(), ByteSize::b(MIB))
    };
    let disk = Disk::open(&settings, Box::new(|_, _| {})).unwrap();
    assert!(!disk.put(record("/large", 0, vec![0; 16 << 10])));
    assert!(!disk.put(record("/more than may wait", 0, vec![0; 10_000])));
    assert!(disk.put(record("/small", 0, "small")));
    disk.settled().await;
    let statistics = disk.statistics();
    assert_eq!((statistics.dropped, statistics.written, statistics.queued_bytes), (2, 1, 0));

    // What it would have replaced is not served in its place.
    assert!(!disk.put(record("/small", 0, vec![0; 16 << 10])));
    assert!(body(&disk, "/small").await.is_none());
    disk.close();
    drop(disk);
    assert!(body(&open(folder.path()), "/small").await.is_none());
}

#[tokio::test]
async fn a_folder_belongs_to_one_node() {
    let folder = folder();
    let disk = open(folder.path());
    assert!(matches!(try_open(folder.path(), MIB), Err(DiskError::Locked(_))));
    assert!(check(folder.path()).is_ok());
    drop(disk);
    assert!(try_open(folder.path(), MIB).is_ok());
}

#[tokio::test]
async fn a_folder_of_other_things_is_left_alone() {
    let folder = folder();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = try_open(folder.path(), MIB).unwrap_err();
    assert!(matches!(error, DiskError::Foreign(_)));
    assert!(error.to_string().contains("choose another folder"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(check(&folder.path().join("thesis.txt")), Err(DiskError::Folder { .. })));
    assert!(check(&folder.path().join("not/there")).is_ok());
}

#[tokio::test]
async fn another_format_is_emptied() {
    let folder = folder();
    let disk = open(folder.path());
    disk.put(record("/a", 0, "old"));
    drop(disk);
    fs::write(folder.path().join("selvedge-disk-tier"), "format 0\n").unwrap();
    let disk = open(folder.path());
    assert!(body(&disk, "/a").await.is_none());
    assert!(segments(folder.path()).is_empty());
}

#[tokio::test]
async fn a_tier_of_nothing_is_refused() {
    let folder = folder();
    assert!(matches!(try_open(folder.path(), MIB - 1), Err(DiskError::TooSmall(_))));
}

#[tokio::test]
async fn what_the_disk_refuses_is_told_and_the_rest_goes_on() {
    let folder = folder();
    let (tell, told) = std::sync::mpsc::channel();
    let complain: Complain = Box::new(move |what, error| drop(tell.send(format!("{what}: {error}"))));
    let settings = DiskSettings::new(folder.path().to_owned(), ByteSize::b(MIB));
    let disk = Disk::open(&settings, complain).unwrap();
    // A segment cannot begin where something else has its name.
    fs::create_dir(folder.path().join("0000000001.segment")).unwrap();
    disk.put(record("/a", 0, "lost"));
    disk.mark(&label(name_of(b"/b"), Strength::Gone));
    assert!(!disk.settled().await);
    assert!(told.try_recv().unwrap().starts_with("write: "));
    assert!(disk.statistics().errors > 0);

    fs::remove_dir(folder.path().join("0000000001.segment")).unwrap();
    disk.put(record("/c", 0, "kept"));
    assert!(disk.settled().await);
    assert_eq!((body(&disk, "/a").await, body(&disk, "/c").await), (None, Some("kept".into())));
}

/// Whatever is done in whatever order, across restarts and crashes: what is found is what was put last, and what was purged
/// stays away.
#[tokio::test]
async fn it_does_what_a_map_does() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut folder = folder();
        let mut disk = open(folder.path());
        let mut model: HashMap<(u8, u32), Bytes> = HashMap::new();
        for _ in 0..300 {
            let (number, variant) = (random.u8(0..20), random.u32(0..3));
            let key = format!("/{}/{number}", number % 3);
            match random.u8(0..12) {
                0..6 => {
                    let body = Bytes::from(vec![random.u8(..); random.usize(0..8_000)]);
                    assert!(disk.put(record(&key, variant, body.clone())));
                    model.insert((number, variant), body);
                }
                6 => {
                    disk.forget(key.as_bytes(), Strength::Gone);
                    model.retain(|(other, _), _| *other != number);
                }
                7 => {
                    disk.mark(&label(u64::from(variant), Strength::Gone));
                    model.retain(|(_, other), _| *other != variant);
                }
                8 => {
                    let prefix = format!("/{}/", number % 3).into();
                    disk.mark(&Mark { reach: Reach::Prefix(prefix), strength: Strength::Gone });
                    model.retain(|(other, _), _| other % 3 != number % 3);
                }
                9 => {
                    drop(disk);
                    disk = open(folder.path());
                }
                10 => {
                    disk.settled().await;
                    let after = killed(folder.path());
                    drop(disk);
                    folder = after;
                    disk = open(folder.path());
                }
                _ => {
                    disk.settled().await;
                    let found = disk.variant(key.as_bytes(), variant).await.map(|found| found.record.body);
                    let expected = model.get(&(number, variant)).cloned();
                    // The oldest may leave, for there is not room for all; what is there is right.
                    assert!(found.is_none() || found == expected, "seed {seed}");
                }
            }
        }
        disk.settled().await;
        let mut hits = 0;
        for ((number, variant), expected) in &model {
            let key = format!("/{}/{number}", number % 3);
            let found = disk.variant(key.as_bytes(), *variant).await;
            hits += usize::from(found.is_some());
            assert!(found.is_none_or(|found| found.record.body == expected), "seed {seed}");
        }
        assert!(hits * 2 >= model.len(), "seed {seed}: {hits} of {}", model.len());
    }
}
