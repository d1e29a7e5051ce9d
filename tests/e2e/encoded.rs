//! What origins have encoded themselves: passed to viewers who read it, decoded for the others.

use tests::coding::{decode, encode};
use tests::{Answer, Node, Origin, Reply, Streaming, Tap};

use crate::{SITE, origin_and_node, site, site_with_policy};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// Text that no coding makes less than a third of.
fn prose(length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.alphanumeric().to_ascii_lowercase()).take(length).collect()
}

/// An encoded body as origins send it.
fn answer(coding: &str, body: impl Into<bytes::Bytes>) -> Answer {
    Answer::cacheable(body)
        .header("content-type", "text/html")
        .header("content-encoding", coding)
        .header("etag", "\"v1\"")
}

async fn ask(node: &Node, path: &str, accepted: &str) -> Reply {
    node.viewer().get_with(&format!("{SITE}{path}"), &[("accept-encoding", accepted)]).await
}

/// The answer to a viewer who reads no coding, as soon as its head is there.
async fn open(node: &Node, path: &str) -> Streaming {
    node.viewer().open_get(&format!("{SITE}{path}")).await
}

#[tokio::test]
async fn who_reads_the_origins_coding_gets_its_very_bytes_and_the_others_what_they_mean() {
    let (origin, node) = origin_and_node().await;
    let text = prose(20_000);
    for coding in CODINGS {
        let path = format!("/{coding}");
        let body = encode(coding, text.as_bytes());
        let sent = body.clone();
        origin.on(&path, move |_| answer(coding, sent.clone()).header("repr-digest", "sha-256=:AAAA:"));

        for attempt in ["miss", "hit"] {
            let same = ask(&node, &path, &format!("{coding}, identity;q=0.1")).await;
            assert_eq!(same.body, body, "{coding} {attempt}");
            assert_eq!(same.header("content-encoding"), coding, "{attempt}");
            assert_eq!(same.header("etag"), "\"v1\"", "{coding} {attempt}");
            assert_eq!(same.header("repr-digest"), "sha-256=:AAAA:", "{coding} {attempt}");
            assert_eq!(same.header("vary"), "Accept-Encoding", "{coding} {attempt}");

            let plain = node.viewer().get(&format!("{SITE}{path}")).await;
            assert_eq!(plain.text(), text, "{coding} {attempt}");
            assert_eq!(plain.header("content-length"), text.len().to_string(), "{coding} {attempt}");
            assert_eq!(plain.header("etag"), "W/\"v1\"", "{coding} {attempt}");
            for of_the_encoded in ["content-encoding", "repr-digest", "accept-ranges"] {
                assert_eq!(plain.header(of_the_encoded), "", "{coding} {attempt}");
            }
            assert_eq!(plain.header("vary"), "Accept-Encoding", "{coding} {attempt}");
        }
        assert_eq!(origin.requests_for(&path).len(), 1);
    }
}

#[tokio::test]
async fn who_reads_another_coding_of_the_config_gets_that() {
    let origin = Origin::start().await;
    let text = prose(20_000);
    let body = encode("br", text.as_bytes());
    origin.on("/page", move |_| answer("br", body.clone()));
    let node = Node::start(&site_with_policy(&origin, "")).await;

    for attempt in ["miss", "hit"] {
        let reply = ask(&node, "/page", "gzip").await;
        assert_eq!(reply.header("content-encoding"), "gzip", "{attempt}");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{attempt}: once for all");
        assert_eq!(reply.header("etag"), "W/\"v1\"", "{attempt}");
        assert_eq!(decode("gzip", &reply.body), text, "{attempt}");
    }
    assert_eq!(ask(&node, "/page", "zstd").await.text(), text, "not a coding of the config");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn head_and_304_say_what_get_does() {
    let (origin, node) = origin_and_node().await;
    let body = encode("br", prose(5_000).as_bytes());
    origin.on("/page", move |_| answer("br", body.clone()));
    let url = format!("{SITE}/page");

    for (accepted, tag) in [("br", "\"v1\""), ("deflate", "W/\"v1\"")] {
        let get = ask(&node, "/page", accepted).await;
        let head = node.viewer().ask("HEAD", &url, &[("accept-encoding", accepted)]).await;
        for name in ["content-encoding", "content-length", "etag", "vary", "accept-ranges"] {
            assert_eq!(head.header(name), get.header(name), "{accepted} {name}");
        }
        for condition in ["\"v1\"", "W/\"v1\""] {
            let headers = [("accept-encoding", accepted), ("if-none-match", condition)];
            let known = node.viewer().get_with(&url, &headers).await;
            assert_eq!((known.status, known.header("etag").as_str()), (304, tag), "{accepted} {condition}");
            assert_eq!(known.header("vary"), "Accept-Encoding", "{accepted} {condition}");
        }
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn parts_are_parts_of_what_the_origin_encoded() {
    let (origin, node) = origin_and_node().await;
    let text = prose(5_000);
    let body = encode("gzip", text.as_bytes());
    let sent = body.clone();
    origin.on("/page", move |_| answer("gzip", sent.clone()));
    let url = format!("{SITE}/page");

    let range = [("accept-encoding", "gzip"), ("range", "bytes=10-19"), ("if-range", "\"v1\"")];
    for _ in 0..2 {
        let part = node.viewer().get_with(&url, &range).await;
        assert_eq!((part.status, &part.body[..]), (206, &body[10..20]));
        assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", body.len()));
        assert_eq!(part.header("content-encoding"), "gzip");
        assert_eq!(part.header("etag"), "\"v1\"");
    }
    let whole = node.viewer().get_with(&url, &range[1..2]).await;
    assert_eq!((whole.status, whole.text()), (200, text), "nobody knows where the parts of the text begin");
}

#[tokio::test]
async fn what_the_edge_may_not_or_cannot_read_passes_as_it_is() {
    let (origin, node) = origin_and_node().await;
    let body = encode("gzip", prose(5_000).as_bytes());
    let cases = [
        ("/list", "gzip, br", ""),
        ("/old", "x-gzip", ""),
        ("/unknown", "deflate", ""),
        ("/untouchable", "gzip", ", no-transform"),
    ];
    for (path, coding, control) in cases {
        let sent = body.clone();
        origin.on(path, move |_| {
            let answer = Answer::ok(sent.clone()).header("content-encoding", coding).header("etag", "\"v1\"");
            answer.header("cache-control", &format!("max-age=60{control}"))
        });
    }

    for (path, coding, _) in cases {
        for accepted in ["gzip", "identity"] {
            let reply = ask(&node, path, accepted).await;
            assert_eq!(reply.body, body, "{path} {accepted}");
            assert_eq!(reply.header("content-encoding"), coding, "{path} {accepted}");
            assert_eq!(reply.header("etag"), "\"v1\"", "{path} {accepted}");
            assert_eq!(reply.header("vary"), "", "{path} {accepted}: everybody gets the same");
        }
        assert_eq!(origin.requests_for(path).len(), 1);
    }
}

#[tokio::test]
async fn an_empty_body_is_no_damaged_one() {
    let (origin, node) = origin_and_node().await;
    for coding in CODINGS {
        origin.on(&format!("/{coding}"), move |_| answer(coding, ""));
        let reply = node.viewer().get(&format!("{SITE}/{coding}")).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{coding}");
    }
}

#[tokio::test]
async fn a_bomb_gets_502_from_whoever_would_have_it_decoded() {
    let origin = Origin::start().await;
    let node = Node::start(&site_with_policy(&origin, "")).await;
    for coding in CODINGS {
        let path = format!("/{coding}");
        let bomb = encode(coding, &vec![0; 20 << 20]);
        let sent = bomb.clone();
        origin.on(&path, move |_| answer(coding, sent.clone()));

        for accepted in ["identity", "identity", if coding == "gzip" { "br" } else { "gzip" }] {
            let reply = ask(&node, &path, accepted).await;
            assert_eq!(reply.status, 502, "{coding} {accepted}");
            let reason = reply.header("proxy-status");
            assert!(reason.contains("http_response_content_coding"), "{coding} {accepted}: {reason}");
            assert!(reason.contains("decode-bomb"), "{coding} {accepted}: {reason}");
        }
        assert_eq!(ask(&node, &path, coding).await.body, bomb, "{coding}: they know what they asked for");
    }
}

#[tokio::test]
async fn how_much_a_body_may_become_is_the_policys_to_say() {
    let origin = Origin::start().await;
    let text = prose(2 << 20);
    let body = encode("gzip", text.as_bytes());
    let steep = encode("gzip", &vec![b' '; 4 << 20]);
    origin.on("/large", move |_| answer("gzip", body.clone()));
    origin.on("/steep", move |_| answer("gzip", steep.clone()));
    let small = Node::start(&site_with_policy(&origin, "compress = { decoded-max = \"1MiB\" }")).await;
    let trusting = Node::start(&site_with_policy(&origin, "compress = { decoded-ratio = 2000 }")).await;

    assert_eq!(small.viewer().get(&format!("{SITE}/large")).await.status, 502);
    assert_eq!(trusting.viewer().get(&format!("{SITE}/large")).await.text(), text);
    assert_eq!(trusting.viewer().get(&format!("{SITE}/steep")).await.body.len(), 4 << 20);
}

#[tokio::test]
async fn a_damaged_body_gets_502_or_never_ends() {
    let (origin, node) = origin_and_node().await;
    let text = prose(4 << 20);
    for coding in CODINGS {
        let whole = encode(coding, text.as_bytes());
        let (early, late) = (format!("/{coding}/early"), format!("/{coding}/late"));
        let cut = whole[..whole.len() - 1].to_vec();
        origin.on(&early, move |_| answer(coding, "<!doctype html>, and no coding at all"));
        origin.on(&late, move |_| answer(coding, cut.clone()));

        for attempt in ["miss", "hit"] {
            let reply = node.viewer().get(&format!("{SITE}{early}")).await;
            assert_eq!(reply.status, 502, "{coding} {attempt}");
            assert!(reply.header("proxy-status").contains("decode-corrupt"), "{coding} {attempt}");
            let beginning = open(&node, &late).await;
            assert_eq!(beginning.status, 200, "{coding} {attempt}");
            assert!(beginning.finish().await.is_err(), "{coding} {attempt}: it looked whole");
            let recoded = if coding == "gzip" { "br" } else { "gzip" };
            assert_ne!(ask_status(&node, &late, recoded).await, Some(200), "{coding} {attempt}");
        }
    }
}

/// The status of an answer that came whole.
async fn ask_status(node: &Node, path: &str, accepted: &str) -> Option<u16> {
    let request = http::Request::get(format!("{SITE}{path}")).header("accept-encoding", accepted);
    let request = request.body(http_body_util::Full::default()).unwrap();
    let opened = node.viewer().connect().await.unwrap().open(request).await.unwrap();
    opened.finish().await.ok().map(|reply| reply.status)
}

#[tokio::test]
async fn an_encoded_body_is_decoded_as_it_comes_and_breaks_off_as_it_does() {
    let (origin, node) = origin_and_node().await;
    let text = prose(3 << 20);
    for coding in CODINGS {
        let body = encode(coding, text.as_bytes());
        for (end, path) in [("whole", format!("/{coding}/whole")), ("cut", format!("/{coding}/cut"))] {
            let tap = Tap::new();
            let played = tap.clone();
            origin.on(&path, move |_| {
                let answer = Answer::streamed(&played).header("content-encoding", coding);
                answer.header("content-type", "text/html").header("cache-control", "max-age=60")
            });
            tap.send(body[..body.len() / 2].to_vec());
            let mut early = open(&node, &path).await;
            assert_eq!(early.headers.get("content-encoding"), None);
            let mut read = early.read(text.len() / 2 - (256 << 10)).await;
            tap.send(body[body.len() / 2..body.len() - 1].to_vec());
            if end == "cut" {
                tap.cut();
                assert!(early.finish().await.is_err(), "{coding}");
                continue;
            }
            tap.send(body[body.len() - 1..].to_vec());
            tap.end();
            read.extend_from_slice(&early.finish().await.unwrap().body);
            assert!(read == text.as_bytes(), "{coding}");
        }
    }
}

#[tokio::test]
async fn beyond_the_limit_of_decoders_there_is_503() {
    let origin = Origin::start().await;
    let body = encode("gzip", prose(5_000).as_bytes());
    origin.on("/page", move |_| answer("gzip", body.clone()));
    let node = Node::start(&format!("{}[node.limits]\ncodings = 0\n", site(&origin))).await;

    let reply = node.viewer().get(&format!("{SITE}/page")).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("proxy-status").contains("decoders-busy"), "{}", reply.header("proxy-status"));
    assert_eq!(ask(&node, "/page", "gzip").await.status, 200);
}

#[tokio::test]
async fn origins_are_asked_for_the_codings_of_the_policy_whatever_the_viewer_reads() {
    let origin = Origin::start().await;
    let text = prose(5_000);
    let (plain, body) = (text.clone(), encode("br", text.as_bytes()));
    origin.on("*", move |request| match request.header("accept-encoding").as_deref() {
        Some("br, gzip") => answer("br", body.clone()).header("vary", "Accept-Encoding"),
        None => Answer::cacheable(plain.clone()),
        Some(_) => Answer::new(406),
    });
    let plain = Node::start(&site_with_policy(&origin, "")).await;
    let encoded =
        Node::start(&site_with_policy(&origin, "compress = { from-origin = [\"br\", \"gzip\"] }")).await;

    for accepted in ["gzip", "br", "deflate"] {
        let path = format!("/{accepted}");
        assert_eq!(ask(&plain, &path, accepted).await.status, 200, "{accepted}");
        assert_eq!(ask(&encoded, &path, "deflate").await.text(), text, "{accepted}");
        let reply = ask(&encoded, &path, "br").await;
        assert_eq!(reply.header("content-encoding"), "br", "{accepted}");
        assert_eq!(reply.header("vary"), "Accept-Encoding", "{accepted}: said once");
        assert_eq!(decode("br", &reply.body), text, "{accepted}");
        assert!(reply.is_hit(), "{accepted}");
    }
}

#[tokio::test]
async fn parts_are_asked_for_plain() {
    let origin = Origin::start().await;
    origin.on("/page", |request| match request.header("accept-encoding") {
        None => Answer::cacheable("plain"),
        Some(_) => Answer::new(406),
    });
    let policy = "compress = { from-origin = [\"gzip\"] }";
    let node = Node::start(&site_with_policy(&origin, policy)).await;

    let part = node.viewer().get_with(&format!("{SITE}/page"), &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status, part.text().as_str()), (206, "la"));
}

#[tokio::test]
async fn hooks_get_plain_bodies() {
    let origin = Origin::start().await;
    origin.on("*", |request| match request.header("accept-encoding") {
        None => Answer::cacheable("plain"),
        Some(_) => Answer::new(406),
    });
    let policy = "key = { query = [\"w\", \"h\"] }\ncompress = { from-origin = [\"gzip\"] }";
    let hook = "[hook.thumb]\nwasm = \"builtin:thumbnail\"\non = \"origin-response\"\nconfig = { sizes = \"64x64\" }\n";
    let config = site_with_policy(&origin, policy)
        .replace("cache = \"static\"", "cache = \"static\"\nhooks = [\"thumb\"]");
    let node = Node::start(&(config + hook)).await;

    assert_eq!(ask(&node, "/text", "gzip").await.text(), "plain");
}
