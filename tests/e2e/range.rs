//! Parts of a stored object (RFC 9110 §14).

use tests::{Answer, Node, Origin};

use crate::{SITE, origin_and_node};

/// A node that has twenty-six letters in its cache.
async fn warm() -> (Origin, Node, String) {
    let (origin, node) = origin_and_node().await;
    let letters = "abcdefghijklmnopqrstuvwxyz";
    origin.on("/letters", move |_| Answer::cacheable(letters).header("etag", "\"v1\""));
    let url = format!("{SITE}/letters");
    node.viewer().get(&url).await;
    (origin, node, url)
}

#[tokio::test]
async fn a_range_of_a_stored_object_is_cut_at_the_edge() {
    let (origin, node, url) = warm().await;

    for (range, bytes, content_range) in [
        ("bytes=0-4", "abcde", "bytes 0-4/26"),
        ("bytes=23-", "xyz", "bytes 23-25/26"),
        ("bytes=-2", "yz", "bytes 24-25/26"),
        ("bytes=20-1000", "uvwxyz", "bytes 20-25/26"),
        ("bytes=-1000", "abcdefghijklmnopqrstuvwxyz", "bytes 0-25/26"),
    ] {
        let reply = node.viewer().get_with(&url, &[("range", range)]).await;
        assert_eq!((reply.status, reply.text().as_str()), (206, bytes), "{range}");
        assert_eq!(reply.header("content-range"), content_range, "{range}");
        assert_eq!(reply.header("content-length"), bytes.len().to_string(), "{range}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_range_beyond_the_end_is_416_with_the_length() {
    let (_origin, node, url) = warm().await;

    let reply = node.viewer().get_with(&url, &[("range", "bytes=26-")]).await;

    assert_eq!(reply.status, 416);
    assert_eq!(reply.header("content-range"), "bytes */26");
}

#[tokio::test]
async fn a_range_that_is_not_understood_is_ignored() {
    let (_origin, node, url) = warm().await;

    for range in ["letters=0-4", "bytes=4-2", "bytes=a-b", "bytes", "bytes=-"] {
        let reply = node.viewer().get_with(&url, &[("range", range)]).await;
        assert_eq!((reply.status, reply.body.len()), (200, 26), "{range}");
    }
}

#[tokio::test]
async fn if_range_gives_the_part_only_of_the_same_version() {
    let (_origin, node, url) = warm().await;

    let same = node.viewer().get_with(&url, &[("range", "bytes=0-0"), ("if-range", "\"v1\"")]).await;
    let other = node.viewer().get_with(&url, &[("range", "bytes=0-0"), ("if-range", "\"v0\"")]).await;

    assert_eq!((same.status, same.text().as_str()), (206, "a"));
    assert_eq!((other.status, other.body.len()), (200, 26));
}

/// The parts of a multipart body: where each lies, as its `Content-Range` says, and its bytes.
fn parts(reply: &tests::Reply) -> Vec<(String, String)> {
    let kind = reply.header("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a multipart type").to_owned();
    let text = reply.text();
    let body = text.strip_suffix(&format!("\r\n--{boundary}--\r\n")).expect("a closing boundary");
    let (delimiter, next) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}\r\n"));
    let parts = body.strip_prefix(&delimiter).expect("an opening boundary").split(&next);
    let part = |part: &str| {
        let (head, bytes) = part.split_once("\r\n\r\n").expect("a part has a head");
        let (kind, range) = head.split_once("\r\n").expect("two fields");
        assert_eq!(kind, "Content-Type: text/x-letters");
        (range.strip_prefix("Content-Range: ").expect("a range").to_owned(), bytes.to_owned())
    };
    parts.map(part).collect()
}

#[tokio::test]
async fn several_ranges_come_as_parts_in_the_order_asked_for() {
    let (origin, node) = origin_and_node().await;
    let letters = "abcdefghijklmnopqrstuvwxyz";
    origin.on("/letters", move |_| Answer::cacheable(letters).header("content-type", "text/x-letters"));
    let url = format!("{SITE}/letters");
    node.viewer().get(&url).await;

    let reply = node.viewer().get_with(&url, &[("range", "bytes=20-21, 0-2,-1,40-50")]).await;

    assert_eq!(reply.status, 206);
    assert_eq!(reply.header("content-range"), "", "it belongs to the parts");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    let expected = [("bytes 20-21/26", "uv"), ("bytes 0-2/26", "abc"), ("bytes 25-25/26", "z")]
        .map(|(range, bytes)| (range.to_owned(), bytes.to_owned()));
    assert_eq!(parts(&reply), expected);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn several_ranges_of_which_one_is_there_come_plain() {
    let (_origin, node, url) = warm().await;

    for (range, bytes, content_range) in [
        ("bytes=26-30,0-2", "abc", "bytes 0-2/26"),
        ("bytes=0-3,2-5", "abcdef", "bytes 0-5/26"),
        ("bytes=,1-1,", "b", "bytes 1-1/26"),
    ] {
        let reply = node.viewer().get_with(&url, &[("range", range)]).await;
        assert_eq!((reply.status, reply.text().as_str()), (206, bytes), "{range}");
        assert_eq!(reply.header("content-range"), content_range, "{range}");
    }
    let nowhere = node.viewer().get_with(&url, &[("range", "bytes=26-30,40-")]).await;
    assert_eq!((nowhere.status, nowhere.header("content-range").as_str()), (416, "bytes */26"));
}

#[tokio::test]
async fn a_config_says_how_many_ranges_a_viewer_may_ask_for() {
    let origin = Origin::start().await;
    origin.on("/letters", |_| Answer::cacheable("abcdefghij"));
    let limits = "\n[node.limits]\nranges = 2\n";
    let node = Node::start(&format!("{}{limits}", crate::site(&origin))).await;
    let url = format!("{SITE}/letters");
    node.viewer().get(&url).await;

    let two = node.viewer().get_with(&url, &[("range", "bytes=0-0,9-9")]).await;
    let three = node.viewer().get_with(&url, &[("range", "bytes=0-0,9-9,5-5")]).await;

    assert_eq!(two.status, 206);
    assert_eq!((three.status, three.text().as_str()), (200, "abcdefghij"));
}

#[tokio::test]
async fn several_ranges_of_what_still_arrives_get_the_whole() {
    let (origin, node) = origin_and_node().await;
    let tap = tests::Tap::new();
    let played = tap.clone();
    origin.on("/slow", move |_| {
        Answer::streamed(&played).header("content-length", "10").header("cache-control", "max-age=60")
    });
    let url = format!("{SITE}/slow");
    tap.send("abcde");
    let mut first = node.viewer().open_get(&url).await;
    assert_eq!(first.read(5).await, b"abcde");

    let mut second = tests::RawConnection::open(node.http()).await;
    let request = "GET /slow HTTP/1.1\r\nHost: www.test\r\nRange: bytes=0-0,9-9\r\nConnection: close\r\n\r\n";
    second.send(request).await;
    let head = second.read_until("\r\n\r\n").await;
    tap.send("fghij");
    tap.end();

    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(second.read_to_end().await.ends_with("\r\n\r\nabcdefghij"));
    assert_eq!(first.finish().await.unwrap().text(), "fghij");
}

#[tokio::test]
async fn many_ranges_never_cost_more_than_the_object() {
    let (_origin, node, url) = warm().await;
    for many in [["0-25"; 200].join(","), ["0-"; 16].join(","), "0-9,5-14,10-19".to_owned()] {
        let reply = node.viewer().get_with(&url, &[("range", &format!("bytes={many}"))]).await;

        assert_eq!((reply.status, reply.body.len()), (200, 26), "{many}");
    }
}

#[tokio::test]
async fn a_range_of_a_cold_object_leaves_no_broken_entry() {
    let (origin, node) = origin_and_node().await;
    origin.on("/letters", |request| match request.header("range").as_deref() {
        Some("bytes=0-1") => {
            let part = Answer::new(206).body("ab").header("content-range", "bytes 0-1/4");
            part.header("cache-control", "max-age=3600")
        }
        _ => Answer::cacheable("abcd"),
    });
    let url = format!("{SITE}/letters");

    let part = node.viewer().get_with(&url, &[("range", "bytes=0-1")]).await;
    let whole = node.viewer().get(&url).await;

    assert_eq!((part.status, part.text().as_str()), (206, "ab"));
    assert_eq!((whole.status, whole.text().as_str()), (200, "abcd"));
}

#[tokio::test]
async fn a_part_that_came_alone_answers_for_what_it_holds() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("range").as_deref() {
        Some("bytes=-5") => Answer::new(206)
            .header("content-range", "bytes 5-9/10")
            .header("cache-control", "max-age=60")
            .body("56789"),
        _ => Answer::new(206).header("content-range", "bytes 0-9/10").body("0123456789"),
    });
    let url = format!("{SITE}/page");
    let viewer = node.viewer();
    let asked = async |range: &str| viewer.get_with(&url, &[("range", range)]).await;

    assert_eq!(asked("bytes=-5").await.text(), "56789");
    for (range, text, part) in [
        ("bytes=-5", "56789", "bytes 5-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=6-7", "67", "bytes 6-7/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
    ] {
        let reply = asked(range).await;
        assert_eq!((reply.status, reply.text().as_str()), (206, text), "{range}");
        assert_eq!(reply.header("content-range"), part);
        assert!(reply.is_hit(), "{range}: {}", reply.header("cache-status"));
    }
    for range in ["bytes=4-6", "bytes=-6", "bytes=0-"] {
        assert!(!asked(range).await.is_hit(), "{range} is not in it");
    }
    let conditional = [("range", "bytes=-1"), ("if-range", "\"a\"")];
    assert!(!viewer.get_with(&url, &conditional).await.is_hit(), "nothing says which version the part is of");
}
