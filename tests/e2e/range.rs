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

#[tokio::test]
async fn many_ranges_never_cost_more_than_the_object() {
    let (_origin, node, url) = warm().await;
    let many = format!("bytes={}", ["0-25"; 200].join(","));

    let reply = node.viewer().get_with(&url, &[("range", &many)]).await;

    assert!(matches!(reply.status, 200 | 416), "{}", reply.status);
    assert!(reply.body.len() <= 26 || reply.status == 416, "{} bytes", reply.body.len());
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
