//! Compression at the edge, after CloudFront's rules.

use tests::coding::decode;
use tests::{Answer, Node, Origin, Reply, Streaming, Tap};

use crate::{SITE, site_with_policy};

const HTML: (&str, &str) = ("content-type", "text/html");

const MODIFIED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

type Headers = &'static [(&'static str, &'static str)];

fn page(length: usize) -> String {
    "the quick brown fox ".chars().cycle().take(length).collect()
}

async fn ask(node: &Node, path: &str) -> Reply {
    node.viewer().get_with(&format!("{SITE}{path}"), &[("accept-encoding", "gzip")]).await
}

/// The answer as soon as its head is there.
async fn open(node: &Node, path: &str, coding: &str) -> Streaming {
    let request = http::Request::get(format!("{SITE}{path}")).header("accept-encoding", coding);
    let request = request.body(http_body_util::Full::default()).unwrap();
    node.viewer().connect().await.unwrap().open(request).await.unwrap()
}

fn gunzip(body: &[u8]) -> String {
    decode("gzip", body)
}

#[tokio::test]
async fn a_page_is_sent_smaller_and_unpacks_to_the_original() {
    let origin = Origin::start().await;
    let text = page(50_000);
    let sent = text.clone();
    origin.on("/page", move |_| {
        Answer::cacheable(sent.clone())
            .header("content-type", "text/html; charset=utf-8")
            .header("etag", "\"v1\"")
            .header("accept-ranges", "bytes")
            .header("content-digest", "sha-256=:AAAA:")
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;

    for attempt in ["miss", "hit", "hit again"] {
        let reply = ask(&node, "/page").await;
        assert_eq!(reply.header("content-encoding"), "gzip", "{attempt}");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{attempt}: encoded once");
        for of_the_original in ["accept-ranges", "content-digest"] {
            assert_eq!(reply.header(of_the_original), "", "{attempt}");
        }
        assert!(reply.body.len() < text.len() / 10, "{attempt}: {} bytes", reply.body.len());
        assert_eq!(gunzip(&reply.body), text, "{attempt}");
        assert_eq!(
            reply.header("etag"),
            "W/\"v1\"",
            "{attempt}: the bytes are others, the meaning is the same"
        );
        assert!(reply.header("vary").to_lowercase().contains("accept-encoding"), "{attempt}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_viewer_who_does_not_ask_for_gzip_gets_the_plain_page() {
    let origin = Origin::start().await;
    origin.on("/page", |_| {
        Answer::cacheable(page(50_000)).header("content-type", "text/html").header("etag", "\"v1\"")
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;
    ask(&node, "/page").await;
    let url = format!("{SITE}/page");

    for headers in [&[][..], &[("accept-encoding", "gzip;q=0")], &[("accept-encoding", "br")]] {
        let plain = node.viewer().get_with(&url, headers).await;
        assert_eq!(plain.header("content-encoding"), "", "{headers:?}");
        assert_eq!(plain.text(), page(50_000), "{headers:?}");
        assert_eq!(plain.header("etag"), "\"v1\"", "{headers:?}");
        assert!(plain.header("vary").to_lowercase().contains("accept-encoding"), "{headers:?}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_does_not_gain_from_it_is_sent_as_it_is() {
    let origin = Origin::start().await;
    let cases: [(&str, usize, Headers); 5] = [
        ("/short", 999, &[HTML]),
        ("/long", 10_000_001, &[HTML]),
        ("/picture", 5_000, &[("content-type", "image/jpeg")]),
        ("/untyped", 5_000, &[]),
        ("/untouchable", 5_000, &[HTML, ("cache-control", "max-age=3600, no-transform")]),
    ];
    for (path, length, headers) in cases {
        origin.on(path, move |_| {
            headers.iter().fold(Answer::ok(page(length)), |answer, (name, value)| answer.header(name, value))
        });
    }
    let node = Node::start(&site_with_policy(&origin, "")).await;

    for (path, length, _) in cases {
        for _ in 0..2 {
            let reply = ask(&node, path).await;
            assert_ne!(reply.header("content-encoding"), "gzip", "{path}");
            assert_eq!(reply.body.len(), length, "{path}");
        }
    }
}

#[tokio::test]
async fn the_bounds_and_the_formats_come_from_the_policy() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable(page(500)).header("content-type", "text/css"));
    let small = Node::start(&site_with_policy(&origin, "compress = { min = \"100B\" }")).await;
    let off = Node::start(&site_with_policy(&origin, "compress = { formats = [] , min = \"100B\" }")).await;

    assert_eq!(ask(&small, "/page").await.header("content-encoding"), "gzip");
    assert_eq!(ask(&off, "/page").await.header("content-encoding"), "");
}

#[tokio::test]
async fn each_viewer_gets_the_coding_that_it_likes_best() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable(page(50_000)).header("content-type", "text/html"));
    let policy = "compress = { formats = [\"zstd\", \"br\", \"gzip\"] }";
    let node = Node::start(&site_with_policy(&origin, policy)).await;
    let url = format!("{SITE}/page");

    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip, br;q=0.5", "gzip"),
        ("gzip;q=0.1, br;q=0.2", "br"),
        ("deflate", ""),
        ("identity, gzip;q=0.5", ""),
    ] {
        for _ in 0..2 {
            let reply = node.viewer().get_with(&url, &[("accept-encoding", accepted)]).await;
            assert_eq!(reply.header("content-encoding"), coding, "{accepted}");
            assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{accepted}");
            assert_eq!(decode(coding, &reply.body), page(50_000), "{accepted}");
        }
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_large_page_is_encoded_as_it_comes() {
    let origin = Origin::start().await;
    let length = 600_000;
    let taps: Vec<(&str, Tap)> = ["gzip", "br", "zstd"].map(|coding| (coding, Tap::new())).into();
    for (coding, tap) in &taps {
        let played = tap.clone();
        origin.on(&format!("/{coding}"), move |_| {
            let answer = Answer::streamed(&played).header("content-length", &length.to_string());
            answer.header("content-type", "text/html").header("cache-control", "max-age=60")
        });
    }
    let policy = "compress = { formats = [\"zstd\", \"br\", \"gzip\"] }";
    let node = Node::start(&site_with_policy(&origin, policy)).await;

    let text = page(length);
    for (coding, tap) in taps {
        tap.send(text[..4_000].to_owned());
        let mut early = open(&node, &format!("/{coding}"), coding).await;
        assert_eq!(early.headers["content-encoding"], coding);
        let mut body = early.read(1).await;
        tap.send(text[4_000..].to_owned());
        tap.end();

        body.extend_from_slice(&early.finish().await.unwrap().body);
        assert!(body.len() < length / 50, "{coding}: {} bytes", body.len());
        assert_eq!(decode(coding, &body), text, "{coding}");
    }
}

#[tokio::test]
async fn a_page_that_breaks_off_never_looks_whole_in_any_coding() {
    let origin = Origin::start().await;
    let policy = "compress = { formats = [\"zstd\", \"br\", \"gzip\"] }";
    let node = Node::start(&site_with_policy(&origin, policy)).await;
    for coding in ["gzip", "br", "zstd"] {
        let (tap, path) = (Tap::new(), format!("/{coding}"));
        let played = tap.clone();
        origin.on(&path, move |_| {
            let answer = Answer::streamed(&played).header("content-length", "600000");
            answer.header("content-type", "text/html").header("cache-control", "max-age=60")
        });
        tap.send(page(300_000));
        let early = open(&node, &path, coding).await;
        tap.cut();
        assert!(early.finish().await.is_err(), "{coding}");
    }
}

#[tokio::test]
async fn parts_of_a_page_are_parts_of_the_plain_one() {
    let origin = Origin::start().await;
    origin.on("/page", |_| {
        let answer = Answer::cacheable(page(5_000)).header("content-type", "text/html");
        answer.header("etag", "\"v1\"").header("last-modified", MODIFIED)
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let url = format!("{SITE}/page");
    let ask = |condition: &'static str| {
        let node = node.viewer();
        let url = url.clone();
        async move {
            let headers = [("accept-encoding", "gzip"), ("range", "bytes=4-8"), ("if-range", condition)];
            node.get_with(&url, &headers).await
        }
    };

    let part = ask("\"v1\"").await;
    assert_eq!((part.status, part.text().as_str()), (206, "quick"));
    assert_eq!((part.header("etag").as_str(), part.header("content-encoding").as_str()), ("\"v1\"", ""));
    assert_eq!(part.header("vary"), "Accept-Encoding");
    // RFC 9110 §13.1.5: who has a part of the encoded page has no strong tag for it, and its date is that of the plain one too.
    for condition in ["W/\"v1\"", MODIFIED] {
        let whole = ask(condition).await;
        assert_eq!((whole.status, whole.header("content-encoding").as_str()), (200, "gzip"), "{condition}");
        assert_eq!(gunzip(&whole.body), page(5_000), "{condition}");
    }
}

#[tokio::test]
async fn head_says_of_the_encoded_page_what_get_does() {
    let origin = Origin::start().await;
    origin.on("/page", |_| {
        Answer::cacheable(page(5_000)).header("content-type", "text/html").header("etag", "\"v1\"")
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let get = ask(&node, "/page").await;
    let head = node.viewer().ask("HEAD", &format!("{SITE}/page"), &[("accept-encoding", "gzip")]).await;

    for name in ["content-encoding", "content-length", "etag", "vary", "accept-ranges", "content-type"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_viewer_who_forbids_to_transform_gets_the_page_as_it_is() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable(page(5_000)).header("content-type", "text/html"));
    let node = Node::start(&site_with_policy(&origin, "")).await;

    let headers = [("accept-encoding", "gzip"), ("cache-control", "no-transform")];
    let reply = node.viewer().get_with(&format!("{SITE}/page"), &headers).await;
    assert_eq!((reply.header("content-encoding").as_str(), reply.text()), ("", page(5_000)));
}

#[tokio::test]
async fn beyond_the_limit_of_encoders_pages_come_as_they_are() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/page", move |_| {
        let answer = Answer::streamed(&played).header("content-length", "300000");
        answer.header("content-type", "text/html").header("cache-control", "max-age=60")
    });
    let config = site_with_policy(&origin, "") + "[node.limits]\ncodings = 0\n";
    let node = Node::start(&config).await;
    tap.send(page(1_000));
    let early = open(&node, "/page", "gzip").await;
    tap.send(page(300_000)[1_000..].to_owned());
    tap.end();

    let reply = early.finish().await.unwrap();
    assert_eq!((reply.header("content-encoding").as_str(), reply.text()), ("", page(300_000)));
    assert_eq!(ask(&node, "/page").await.header("content-encoding"), "gzip", "once for all is no limit");
}

#[tokio::test]
async fn a_viewer_who_has_the_weak_version_gets_304() {
    let origin = Origin::start().await;
    origin.on("/page", |_| {
        Answer::cacheable(page(5_000)).header("content-type", "text/html").header("etag", "\"v1\"")
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let url = format!("{SITE}/page");
    assert_eq!(ask(&node, "/page").await.header("etag"), "W/\"v1\"");

    // RFC 9110 §15.4.5: each 304 names the version that the 200 would have been.
    for (coding, tag) in [("gzip", "W/\"v1\""), ("br", "\"v1\"")] {
        let headers = [("accept-encoding", coding), ("if-none-match", "W/\"v1\"")];
        let reply = node.viewer().get_with(&url, &headers).await;
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{coding}");
        assert_eq!(reply.header("etag"), tag, "{coding}");
        assert_eq!(reply.header("vary"), "Accept-Encoding", "{coding}");
        assert_eq!(reply.header("content-encoding"), "", "{coding}");
    }
}

#[tokio::test]
async fn a_page_that_may_be_compressed_later_varies_from_its_first_byte() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let played = tap.clone();
    let kept =
        |answer: Answer| answer.header("content-type", "text/html").header("cache-control", "max-age=60");
    origin.on("/page", move |_| kept(Answer::streamed(&played)));
    let node = Node::start(&site_with_policy(&origin, "")).await;
    tap.send(page(5_000));

    let mut early = node.viewer().open_get(&format!("{SITE}/page")).await;
    early.read(4_000).await;
    tap.end();

    assert_eq!(early.headers["vary"], "Accept-Encoding");
    early.finish().await.unwrap();
    assert_eq!(ask(&node, "/page").await.header("content-encoding"), "gzip");
}

#[tokio::test]
async fn a_small_page_that_comes_slowly_still_comes_while_it_does() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let played = tap.clone();
    let length = 10_000;
    origin.on("/page", move |_| {
        let answer = Answer::streamed(&played).header("content-length", &length.to_string());
        answer.header("content-type", "text/html").header("cache-control", "max-age=60")
    });
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let text = page(length);
    tap.send(text[..4_000].to_owned());

    let early = open(&node, "/page", "gzip").await;
    assert_eq!(early.headers["content-encoding"], "gzip");
    tap.send(text[4_000..].to_owned());
    tap.end();

    assert_eq!(gunzip(&early.finish().await.unwrap().body), text);
}
