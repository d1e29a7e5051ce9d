//! Large objects: fetched and stored in slices, tied to one version.

mod film;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::{Answer, Folder, Gate, LOOPBACK, Node, Origin, RawConnection, Reply, Tap, Viewer};

use crate::{SITE, site};
use film::Film;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The slices of most stories are small, so that they may be many.
const SMALL: &str = "\n[cache]\nslice = { size = \"64KiB\", over = \"256KiB\" }\n";
const SLICE: u64 = 64 * KIB;

/// An origin with this film, and a node that is told to keep it in slices.
async fn showing(film: &Film, slices: &str) -> (Origin, Node) {
    let origin = Origin::start().await;
    let played = film.clone();
    origin.on("/film", move |request| played.answer(request));
    let node = Node::start(&format!("{}{slices}", site(&origin))).await;
    (origin, node)
}

async fn part(node: &Node, range: &str) -> Reply {
    node.viewer().get_with(&film_url(), &[("range", range)]).await
}

fn film_url() -> String {
    format!("{SITE}/film")
}

#[tokio::test]
async fn a_seek_in_five_gibibytes_costs_a_few_slices_and_no_memory() {
    let film = Film::new(5 * GIB);
    let (_origin, node) = showing(&film, "").await;
    let before = node.resident_bytes();

    let middle = 3 * GIB + MIB - 50;
    for (range, expected) in [
        (format!("bytes={middle}-{}", middle + 99), middle..middle + 100),
        ("bytes=-100".to_owned(), film.total - 100..film.total),
        (format!("bytes={}-", film.total - 10), film.total - 10..film.total),
        ("bytes=0-0".to_owned(), 0..1),
        (format!("bytes={middle}-{}", middle + 99), middle..middle + 100),
    ] {
        let reply = part(&node, &range).await;
        assert_eq!(reply.status, 206, "{range}");
        let content_range = format!("bytes {}-{}/{}", expected.start, expected.end - 1, film.total);
        assert_eq!(reply.header("content-range"), content_range);
        assert_eq!(reply.body, film.bytes(expected), "{range}");
    }

    assert!(film.asked().iter().all(Option::is_some), "the whole was asked for: {:?}", film.asked());
    assert_eq!(film.asked().len(), 4, "two slices in the middle, the last and the first: {:?}", film.asked());
    assert!(film.cost() <= 4 * MIB, "{} bytes", film.cost());
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "the node grew by {grown} bytes");
    assert!(part(&node, &format!("bytes={middle}-{}", middle + 99)).await.is_hit());
}

#[tokio::test]
async fn a_film_that_is_watched_whole_is_fetched_once_and_stays_in_slices() {
    let film = Film::new(20 * SLICE + 17);
    let (_origin, node) = showing(&film, SMALL).await;

    let first = node.viewer().get(&film_url()).await;
    let second = node.viewer().get(&film_url()).await;
    let seek = part(&node, "bytes=100000-299999").await;

    assert_eq!((first.status, first.header("content-length")), (200, film.total.to_string()));
    assert!(first.header("cache-status").ends_with("fwd=uri-miss; stored"), "{:?}", first.headers);
    assert!(first.body == film.bytes(0..film.total), "other bytes came");
    assert!(second.is_hit() && second.body == first.body, "{:?}", second.headers);
    assert!(seek.is_hit() && seek.body == film.bytes(100_000..300_000), "{:?}", seek.headers);
    assert_eq!(film.asked(), [None]);
    assert_eq!(first.header("selvedge-slices"), "", "it is the node's own");
}

#[tokio::test]
async fn a_purge_knows_a_film_with_its_slices() {
    let film = Film::new(20 * SLICE + 17);
    let (_origin, node) = showing(&film, SMALL).await;
    let admin = node.admin().to_string();
    let purge = async |what: &[&str]| {
        let outcome = node.folder().run(&[&["purge"], what, &["--json", "--admin", &admin]].concat()).await;
        serde_json::from_str::<serde_json::Value>(&outcome.stdout).expect(&outcome.stderr)
    };
    node.viewer().get(&film_url()).await;

    let soft = purge(&[&film_url()]).await;
    let confirmed = part(&node, "bytes=100000-299999").await;
    assert_eq!(soft["matched"], 1, "{soft}");
    assert!(confirmed.body == film.bytes(100_000..300_000), "other bytes came");
    assert!(film.cost() <= film.total + SLICE, "the version was confirmed: {:?}", film.asked());

    let hard = purge(&["--hard", &film_url()]).await;
    let asked = film.asked().len();
    assert_eq!((&hard["matched"], &hard["variants"]), (&1.into(), &1.into()), "{hard}");
    assert!(hard["bytes"].as_u64() > Some(film.total), "{hard}");
    assert!(!part(&node, "bytes=100000-299999").await.is_hit());
    assert!(film.asked().len() > asked);
}

#[tokio::test]
async fn what_was_watched_in_parts_is_completed_in_slices() {
    let film = Film::new(9 * SLICE);
    let (_origin, node) = showing(&film, SMALL).await;

    let seek = part(&node, &format!("bytes={}-{}", 3 * SLICE, 4 * SLICE - 1)).await;
    assert!(seek.body == film.bytes(3 * SLICE..4 * SLICE), "other bytes came");
    let whole = node.viewer().get(&film_url()).await;

    assert_eq!(whole.status, 200);
    assert!(whole.header("cache-status").contains("fwd=partial"), "{:?}", whole.headers);
    assert!(whole.body == film.bytes(0..film.total), "other bytes came");
    let mut asked: Vec<_> = film.asked().into_iter().map(|part| part.unwrap().start / SLICE).collect();
    asked.sort_unstable();
    assert_eq!(asked, (0..9).collect::<Vec<_>>(), "each slice once");
}

#[tokio::test]
async fn five_hundred_viewers_of_one_slice_reach_the_origin_once() {
    let film = Film::new(GIB);
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let (played, held) = (film.clone(), gate.clone());
    origin.on("/film", move |request| played.answer(request).behind(&held));
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    let seek = "GET /film HTTP/1.1\r\nHost: www.test\r\nRange: bytes=536870912-536870921\r\nConnection: close\r\n\r\n";

    let mut crowd = Vec::new();
    for _ in 0..500 {
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(seek).await;
        crowd.push(viewer);
    }
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;
    gate.open();

    let expected = film.bytes(GIB / 2..GIB / 2 + 10);
    for viewer in &mut crowd {
        let answer = viewer.read_bytes_to_end().await;
        assert!(answer.starts_with(b"HTTP/1.1 206"), "{}", String::from_utf8_lossy(answer));
        assert!(answer.ends_with(&expected));
    }
    assert_eq!(film.asked(), [Some(GIB / 2..GIB / 2 + SLICE)]);
}

#[tokio::test]
async fn a_seek_does_not_wait_for_what_comes_before() {
    let film = Film::new(GIB);
    let origin = Origin::start().await;
    let (played, tap) = (film.clone(), Tap::new());
    let slow = tap.clone();
    origin.on("/film", move |request| match request.header("range") {
        None => played.described(Answer::streamed(&slow)).header("content-length", &GIB.to_string()),
        Some(_) => played.answer(request),
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    tap.send(film.bytes(0..SLICE + 1000));

    let mut watching = node.viewer().open_get(&film_url()).await;
    let begun = watching.read((SLICE + 1000) as usize).await;
    let seek = part(&node, &format!("bytes={}-{}", GIB / 2, GIB / 2 + 9)).await;

    assert!(begun == film.bytes(0..SLICE + 1000), "other bytes came");
    assert_eq!((seek.status, seek.body.to_vec()), (206, film.bytes(GIB / 2..GIB / 2 + 10)));
    assert_eq!(film.asked(), [Some(GIB / 2..GIB / 2 + SLICE)]);
}

#[tokio::test]
async fn a_viewer_who_leaves_lets_the_rest_go_and_leaves_what_is_complete() {
    let film = Film::new(GIB);
    let origin = Origin::start().await;
    let (played, tap) = (film.clone(), Tap::new());
    let slow = tap.clone();
    origin.on("/film", move |request| match request.header("range") {
        None => played.described(Answer::streamed(&slow)).header("content-length", &GIB.to_string()),
        Some(_) => played.answer(request),
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    tap.send(film.bytes(0..2 * SLICE));

    let mut watching = node.viewer().open_get(&film_url()).await;
    watching.read(2 * SLICE as usize).await;
    drop(watching);
    // The node stops to read, so the socket takes only so much.
    let rest = film.bytes(2 * SLICE..34 * SLICE);
    (0..32).for_each(|_| tap.send(rest.clone()));

    let again = part(&node, &format!("bytes=10-{}", 2 * SLICE - 1)).await;
    assert!(again.is_hit() && again.body == film.bytes(10..2 * SLICE), "{:?}", again.headers);
    assert_eq!(origin.requests_for("/film").len(), 1);
    tests::eventually("the fetch to be given up after the slice at hand", async || {
        let metrics = node.ask_admin("/metrics").await.text();
        let figure = |name: &str| -> u64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a figure").trim().parse().expect("a number")
        };
        let stored = figure("selvedge_cache_bytes ");
        (figure("selvedge_fill_bytes ") == 0 && (3 * SLICE..4 * SLICE).contains(&stored)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_version_is_served_from_the_next_request_on_and_versions_never_mix() {
    let film = Film::new(9 * SLICE);
    let (_origin, node) = showing(&film, SMALL).await;
    part(&node, "bytes=0-9").await;

    film.change();
    let known = part(&node, "bytes=0-9").await;
    let unknown = part(&node, &format!("bytes={}-{}", 5 * SLICE, 5 * SLICE + 9)).await;
    let whole = node.viewer().get(&film_url()).await;

    assert!(known.is_hit(), "the record is fresh and the slice is there: {:?}", known.headers);
    assert_eq!((unknown.status, unknown.header("etag").as_str()), (206, "\"v2\""));
    assert_eq!(unknown.body.to_vec(), film.bytes(5 * SLICE..5 * SLICE + 10));
    assert_eq!(whole.header("etag"), "\"v2\"");
    assert!(whole.body == film.bytes(0..film.total), "versions are mixed");
}

#[tokio::test]
async fn a_version_that_changes_on_the_way_breaks_the_transfer_off() {
    let film = Film::new(9 * SLICE);
    let (_origin, node) = showing(&film, SMALL).await;
    part(&node, "bytes=0-9").await;
    let old = film.bytes(0..SLICE);

    // The first slice is stored, so what the change shows on is the second, after bytes have been sent.
    film.change();
    let mut watching = node.viewer().open_get(&film_url()).await;
    let begun = watching.read(1).await;
    assert_eq!(begun, old[..begun.len()]);
    assert!(watching.finish().await.is_err(), "the viewer took two versions for one");

    let next = node.viewer().get(&film_url()).await;
    assert!(next.body == film.bytes(0..film.total), "other bytes came");
}

#[tokio::test]
async fn an_origin_that_answers_with_another_part_is_not_believed() {
    for wrong in ["bytes 1-65536/1048576", "bytes 0-65534/1048576", "bytes 0-65535/*", "nonsense", ""] {
        let origin = Origin::start().await;
        let film = Film::new(16 * SLICE);
        let played = film.clone();
        origin.on("/film", move |request| match request.header("range").as_deref() {
            Some("bytes=0-65535") => {
                let answer = Answer::new(206).body(vec![b'!'; SLICE as usize]);
                played.described(if wrong.is_empty() {
                    answer
                } else {
                    answer.header("content-range", wrong)
                })
            }
            _ => played.answer(request),
        });
        let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
        part(&node, &format!("bytes={}-{}", 8 * SLICE, 8 * SLICE + 9)).await;

        // From the record, which the wrong slice makes the node forget; then from the whole.
        let beginning = part(&node, "bytes=0-9").await;
        assert_eq!((beginning.status, beginning.body.to_vec()), (206, film.bytes(0..10)), "{wrong}");
        let whole = node.viewer().get(&film_url()).await;
        assert!(whole.body == film.bytes(0..film.total), "{wrong}");
    }
}

#[tokio::test]
async fn a_slice_that_breaks_off_is_asked_for_again_where_it_broke_off() {
    let origin = Origin::start().await;
    let film = Film::new(9 * SLICE);
    let (played, attempts) = (film.clone(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&attempts);
    origin.on("/film", move |request| match request.header("range").as_deref() {
        Some("bytes=131072-196607") if counted.fetch_add(1, Ordering::SeqCst) == 0 => {
            let half = played.bytes(2 * SLICE..2 * SLICE + SLICE / 2);
            let answer = played.described(Answer::new(206).body(half)).header("content-length", "65536");
            answer.header("content-range", &format!("bytes 131072-196607/{}", played.total))
        }
        _ => played.answer(request),
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    part(&node, "bytes=0-9").await;

    let whole = node.viewer().get(&film_url()).await;

    assert!(whole.body == film.bytes(0..film.total), "other bytes came");
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_origin_that_fails_half_way_breaks_the_transfer_off() {
    let origin = Origin::start().await;
    let film = Film::new(9 * SLICE);
    let played = film.clone();
    origin.on("/film", move |request| match request.header("range").as_deref() {
        Some(range) if range.starts_with("bytes=131072-") => Answer::new(503),
        _ => played.answer(request),
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    part(&node, "bytes=0-9").await;

    let watching = node.viewer().open_get(&film_url()).await;
    assert!(watching.finish().await.is_err(), "the viewer took a part for the whole");
    let beginning = part(&node, "bytes=0-99").await;
    assert!(beginning.is_hit(), "what is stored stays good: {:?}", beginning.headers);
    let there = part(&node, "bytes=131072-131081").await;
    assert_eq!(there.status, 503, "the origin's own answer");
}

#[tokio::test]
async fn what_a_record_can_answer_asks_no_origin() {
    let film = Film::new(GIB);
    let (_origin, node) = showing(&film, SMALL).await;
    part(&node, "bytes=0-9").await;
    let url = film_url();
    let length = GIB.to_string();

    let head = node.viewer().ask("HEAD", &url, &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, length));
    assert_eq!((head.header("accept-ranges"), head.header("content-range")), ("bytes".into(), String::new()));
    let same = node.viewer().get_with(&url, &[("if-none-match", "\"v1\"")]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let beyond = part(&node, "bytes=1073741824-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, format!("bytes */{GIB}")));
    let conditions = [("range", "bytes=5-9"), ("if-range", "\"v1\"")];
    let known = node.viewer().get_with(&url, &conditions).await;
    assert_eq!((known.status, known.body.to_vec()), (206, film.bytes(5..10)));
    assert_eq!(film.asked().len(), 1);
}

#[tokio::test]
async fn a_range_beyond_the_end_of_what_is_not_known_yet_costs_one_slice() {
    let film = Film::new(GIB);
    let (_origin, node) = showing(&film, SMALL).await;

    let beyond = part(&node, "bytes=1073741824-").await;

    assert_eq!((beyond.status, beyond.header("content-range")), (416, format!("bytes */{GIB}")));
    assert_eq!(
        film.cost(),
        GIB.min(SLICE) + film.total,
        "a refusal, which Film counts as a whole, and a slice"
    );
}

#[tokio::test]
async fn several_ranges_of_a_film_come_from_its_slices() {
    let film = Film::new(GIB);
    let (_origin, node) = showing(&film, SMALL).await;

    let reply = part(&node, "bytes=0-3, 536870912-536870915").await;

    assert_eq!((reply.status, reply.header("content-length")), (206, reply.body.len().to_string()));
    let boundary = reply.header("content-type").replace("multipart/byteranges; boundary=", "");
    let head = |range: &str| {
        format!("--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {range}/{GIB}\r\n\r\n")
    };
    let mut expected = head("0-3").into_bytes();
    expected.extend(film.bytes(0..4));
    expected.extend(b"\r\n");
    expected.extend(head("536870912-536870915").bytes());
    expected.extend(film.bytes(GIB / 2..GIB / 2 + 4));
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert_eq!(reply.body, expected);
    assert_eq!(film.asked(), [Some(0..SLICE), Some(GIB / 2..GIB / 2 + SLICE)]);
}

#[tokio::test]
async fn a_stale_record_is_confirmed_and_its_slices_stay() {
    let film = Film::new(9 * SLICE);
    let origin = Origin::start().await;
    let played = film.clone();
    origin.on("/film", move |request| played.answer(request).header("cache-control", "no-cache"));
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;

    let first = part(&node, "bytes=0-9").await;
    let second = part(&node, "bytes=10-19").await;
    film.change();
    let third = part(&node, "bytes=20-29").await;

    assert_eq!(first.body.to_vec(), first_version(&film, 0..10));
    assert!(second.header("cache-status").contains("fwd-status=304"), "{:?}", second.headers);
    assert_eq!(second.body.to_vec(), first_version(&film, 10..20));
    assert_eq!((third.header("etag").as_str(), third.body.to_vec()), ("\"v2\"", film.bytes(20..30)));
    assert_eq!(origin.requests_for("/film").len(), 3);
}

/// What the first version of a film holds.
fn first_version(film: &Film, part: Range<u64>) -> Vec<u8> {
    Film::new(film.total).bytes(part)
}

#[tokio::test]
async fn a_small_object_that_is_first_asked_for_in_part_is_stored_whole() {
    let film = Film::new(SLICE);
    let (_origin, node) = showing(&film, SMALL).await;

    let first = part(&node, "bytes=10-19").await;
    let whole = node.viewer().get(&film_url()).await;

    assert_eq!((first.status, first.body.to_vec()), (206, film.bytes(10..20)));
    assert!(whole.body == film.bytes(0..SLICE), "other bytes came");
    assert_eq!(film.asked().len(), 1);
}

#[tokio::test]
async fn an_origin_without_ranges_is_asked_for_the_whole_once() {
    let film = Film::new(9 * SLICE);
    let origin = Origin::start().await;
    let played = film.clone();
    origin.on("/film", move |_| {
        let answer = Answer::cacheable(played.bytes(0..played.total));
        answer.header("etag", &played.etag())
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;

    let first = part(&node, "bytes=100000-100009").await;
    let second = part(&node, "bytes=200000-200009").await;

    assert_eq!((first.status, first.body.to_vec()), (206, film.bytes(100_000..100_010)));
    assert_eq!((second.status, second.body.to_vec()), (206, film.bytes(200_000..200_010)));
    assert_eq!(origin.requests_for("/film").len(), 1);
}

#[tokio::test]
async fn what_has_no_strong_validator_or_is_compressed_is_not_sliced() {
    for (name, value, kind) in
        [("etag", "W/\"v1\"", "video/mp4"), ("x-etag", "none", "video/mp4"), ("etag", "\"v1\"", "text/plain")]
    {
        let film = Film::new(9 * SLICE);
        let origin = Origin::start().await;
        let played = film.clone();
        origin.on("/film", move |_| {
            let answer = Answer::cacheable(played.bytes(0..played.total));
            answer.header(name, value).header("accept-ranges", "bytes").header("content-type", kind)
        });
        let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;

        let first = node.viewer().get(&film_url()).await;
        let seek = part(&node, "bytes=100000-100009").await;

        assert!(first.body == film.bytes(0..film.total), "{kind}");
        assert!(seek.is_hit() && seek.body == film.bytes(100_000..100_010), "{kind}: {:?}", seek.headers);
        assert_eq!(origin.requests_for("/film").len(), 1);
    }
}

#[tokio::test]
async fn a_film_that_may_not_be_stored_goes_through_in_the_part_that_was_asked_for() {
    let film = Film::new(9 * SLICE);
    let origin = Origin::start().await;
    let played = film.clone();
    origin.on("/film", move |request| played.answer(request).header("cache-control", "private"));
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;

    for position in [100_000, 300_000] {
        let seek = part(&node, &format!("bytes={position}-{}", position + 9)).await;
        assert_eq!((seek.status, seek.body.to_vec()), (206, film.bytes(position..position + 10)));
    }
    assert_eq!(film.asked().last(), Some(&Some(300_000..300_010)), "as the viewer asked");
}

#[tokio::test]
async fn the_slices_of_a_film_come_from_whichever_member_of_the_group_answers() {
    let film = Film::new(9 * SLICE);
    let (mut first, second) = (Origin::start().await, Origin::start().await);
    for origin in [&first, &second] {
        let played = film.clone();
        origin.on("/film", move |request| played.answer(request));
    }
    let config = format!(
        "{LOOPBACK}{SMALL}\n[origin.a]\nurl = \"{}\"\n[origin.b]\nurl = \"{}\"\n\
         [origin-group.both]\nmembers = [\"a\", \"b\"]\n[site.\"www.test\"]\norigin = \"both\"\n",
        first.url(),
        second.url()
    );
    let node = Node::start_in(Folder::new(), &config).await;
    part(&node, "bytes=0-9").await;

    first.stop().await;
    let whole = node.viewer().get(&film_url()).await;

    assert!(whole.body == film.bytes(0..film.total), "other bytes came");
    assert_eq!(first.requests_for("/film").len(), 1);
    assert_eq!(second.requests_for("/film").len(), 8);
}

#[tokio::test]
async fn viewers_who_begin_together_share_what_arrives() {
    let film = Film::new(40 * SLICE);
    let (_origin, node) = showing(&film, SMALL).await;

    let viewers: Vec<_> = (0..8)
        .map(|_| {
            let viewer: Viewer = node.viewer();
            tokio::spawn(async move { viewer.get(&film_url()).await.body })
        })
        .collect();

    let expected = film.bytes(0..film.total);
    for viewer in viewers {
        assert!(viewer.await.unwrap() == expected, "other bytes came");
    }
    assert!(film.cost() < 2 * film.total, "{:?}", film.asked());
}

#[tokio::test]
async fn a_viewer_who_takes_nothing_holds_nobody_up() {
    // More than sockets take by themselves.
    let film = Film::new(24 * MIB);
    let (origin, node) = showing(&film, SMALL).await;
    let mut idle = RawConnection::open(node.http()).await;
    idle.send("GET /film HTTP/1.1\r\nHost: www.test\r\n\r\n").await;
    origin.until("the whole to be asked for", |requests| !requests.is_empty()).await;

    let other = node.viewer().get(&film_url()).await;

    assert!(other.body == film.bytes(0..film.total), "other bytes came");
    let end = film.bytes(film.total - SLICE..film.total);
    let is_all = |bytes: &[u8]| bytes.len() as u64 > film.total && bytes.ends_with(&end);
    let taken = idle.read_bytes_until("the rest", is_all).await;
    assert!(is_all(taken), "{} bytes came", taken.len());
}

#[tokio::test]
async fn asking_for_the_head_of_a_large_object_does_not_fetch_it() {
    let film = Film::new(GIB);
    let origin = Origin::start().await;
    let (played, tap) = (film.clone(), Tap::new());
    let endless = tap.clone();
    origin.on("/film", move |_| {
        played.described(Answer::streamed(&endless)).header("content-length", &GIB.to_string())
    });
    let node = Node::start(&format!("{}{SMALL}", site(&origin))).await;
    let piece = film.bytes(0..32 * SLICE);
    (0..16).for_each(|_| tap.send(piece.clone()));

    let head = node.viewer().ask("HEAD", &film_url(), &[]).await;

    assert_eq!((head.status, head.header("content-length")), (200, GIB.to_string()));
    tests::eventually("the fetch to be given up at its beginning", async || {
        let metrics = node.ask_admin("/metrics").await.text();
        let is_idle = metrics.lines().any(|line| line == "selvedge_fill_bytes 0");
        let stored = metrics.lines().find_map(|line| line.strip_prefix("selvedge_cache_bytes "));
        let stored: u64 = stored.expect("a figure").trim().parse().expect("a number");
        (is_idle && stored < 3 * SLICE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_wants_only_what_is_stored_gets_stored_slices() {
    let film = Film::new(GIB);
    let (_origin, node) = showing(&film, SMALL).await;
    part(&node, "bytes=0-9").await;
    let stored_only = |range| [("range", range), ("cache-control", "only-if-cached")];

    let stored = node.viewer().get_with(&film_url(), &stored_only("bytes=10-19")).await;
    let missing = node.viewer().get_with(&film_url(), &stored_only("bytes=536870912-536870921")).await;

    assert_eq!((stored.status, stored.body.to_vec()), (206, film.bytes(10..20)));
    assert_eq!(missing.status, 504);
    assert_eq!(film.asked().len(), 1);
}

#[tokio::test]
async fn a_purge_reaches_the_slices_and_a_soft_one_confirms_their_version() {
    let film = Film::new(GIB);
    let (origin, node) = showing(&film, SMALL).await;
    let seek = "bytes=536870912-536870921";
    let expected = film.bytes(GIB / 2..GIB / 2 + 10);
    part(&node, "bytes=0-9").await;
    part(&node, seek).await;
    let admin = node.admin().to_string();
    let url = film_url();

    let soft = node.folder().run(&["purge", &url, "--json", "--admin", &admin]).await;
    let confirmed = part(&node, seek).await;
    assert_eq!(soft.code, Some(0), "{}", soft.stderr);
    assert!(confirmed.header("cache-status").contains("fwd-status=304"), "{:?}", confirmed.headers);
    assert_eq!(confirmed.body, expected);
    assert_eq!(origin.requests_for("/film").len(), 3, "two slices and a question");

    let hard = node.folder().run(&["purge", &url, "--hard", "--json", "--admin", &admin]).await;
    let receipt: serde_json::Value = serde_json::from_str(&hard.stdout).unwrap();
    assert!(receipt["bytes"].as_u64().unwrap() > 2 * SLICE, "both slices are gone: {receipt}");
    let again = part(&node, seek).await;
    assert_eq!(again.body, expected);
    assert_eq!(origin.requests_for("/film").len(), 4);
}
