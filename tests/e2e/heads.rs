//! The heads of hits: drafted once when an answer is in use, and the same as those that were made step by step before.

use std::collections::HashSet;

use tests::{Answer, Node, Reply, eventually};

use crate::{SITE, origin_and_node, site};

/// So often that the answer is in use by the end.
const OFTEN: usize = 20;

/// An origin that says itself all that the node says too.
fn talkative() -> Answer {
    Answer::cacheable(
        "a text that is long enough to be compressed for whoever reads compressed texts ".repeat(20),
    )
    .header("x-request-id", "the origin's")
    .header("content-type", "text/plain")
    .header("via", "1.1 origin")
    .header("age", "100")
    .header("etag", "\"a\"")
    .header("cache-status", "origin; fwd=miss")
    .header("accept-ranges", "none")
    .header("vary", "Accept")
}

async fn hits(node: &Node, path: &str, fields: &[(&str, &str)]) -> Vec<Reply> {
    let mut hits = Vec::new();
    for _ in 0..OFTEN {
        let reply = node.viewer().get_with(&format!("{SITE}{path}"), fields).await;
        assert!(reply.is_hit(), "{:?}", reply.headers);
        hits.push(reply);
    }
    hits
}

/// The fields in their order, but for what differs from one answer to the next.
fn lines(reply: &Reply) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (name, value) in &reply.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = match name.as_str() {
            "age" | "x-request-id" => "…",
            "cache-status" => value.split("ttl=").next().unwrap(),
            _ => &value,
        };
        lines.push((name.to_string(), value.to_owned()));
    }
    lines
}

#[tokio::test]
async fn hits_of_what_is_in_use_have_the_head_that_the_first_one_had() {
    let (origin, node) = origin_and_node().await;
    origin.on("/talkative", |_| talkative());
    origin.on("/silent", |_| Answer::cacheable("x"));
    origin.on("/empty", |_| Answer::cacheable(""));
    for path in ["/talkative", "/silent", "/empty"] {
        node.viewer().get(&format!("{SITE}{path}")).await;

        let hits = hits(&node, path, &[]).await;

        for hit in &hits {
            assert_eq!(lines(hit), lines(&hits[0]));
            assert_eq!(hit.body, hits[0].body);
        }
        let ids: HashSet<String> = hits.iter().map(|hit| hit.header("x-request-id")).collect();
        assert_eq!(ids.len(), OFTEN, "each has its own: {ids:?}");
    }
    let last = node.viewer().get(&format!("{SITE}/talkative")).await;
    assert!(
        last.header("age").parse::<u64>().is_ok_and(|age| (100..200).contains(&age)),
        "{:?}",
        last.headers
    );
    assert!(last.header("via").starts_with("1.1 origin, 1.1 "), "{}", last.header("via"));
    assert_eq!(last.header("vary"), "Accept, Accept-Encoding");
    let status = last.header("cache-status");
    assert!(status.starts_with("origin; fwd=miss, ") && status.contains("; hit; ttl="), "{status}");
}

#[tokio::test]
async fn whoever_wants_another_answer_gets_it_of_what_is_in_use_too() {
    let (origin, node) = origin_and_node().await;
    origin.on("/talkative", |_| talkative());
    let url = format!("{SITE}/talkative");
    node.viewer().get(&url).await;
    let fields: [&[(&str, &str)]; 4] = [
        &[("accept-encoding", "gzip")],
        &[("range", "bytes=1-3")],
        &[("if-none-match", "\"a\"")],
        &[("range", "bytes=5000-")],
    ];
    let ask = async || {
        let mut replies = Vec::new();
        for fields in fields {
            replies.push(node.viewer().get_with(&url, fields).await);
        }
        replies
    };

    let before = ask().await;
    hits(&node, "/talkative", &[]).await;
    let after = ask().await;

    assert_eq!(after.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 206, 304, 416]);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.status, lines(before), &before.body), (after.status, lines(after), &after.body));
    }
}

#[tokio::test]
async fn a_reload_changes_the_heads_of_what_is_in_use() {
    let (origin, node) = origin_and_node().await;
    origin.on("/talkative", |_| talkative());
    node.viewer().get(&format!("{SITE}/talkative")).await;
    hits(&node, "/talkative", &[]).await;

    let uncompressed = "cache = \"plain\"\n[cache-policy.plain]\ncompress = { formats = [] }";
    for (setting, name, expected) in [
        ("headers = { set = { X-Flavour = \"mint\" } }", "x-flavour", "mint"),
        (uncompressed, "vary", "Accept"),
    ] {
        let route = format!("[[site.\"www.test\".route]]\npath = \"/*\"\n{setting}\n");
        node.reconfigure(&format!("{}{route}", site(&origin))).await;
        eventually(setting, async || {
            let reply = node.viewer().get(&format!("{SITE}/talkative")).await;
            (reply.is_hit() && reply.header(name) == expected).then_some(())
        })
        .await;
        for hit in hits(&node, "/talkative", &[]).await {
            assert_eq!(hit.header(name), expected);
            assert_eq!(hit.header("x-flavour").is_empty(), name != "x-flavour", "{:?}", hit.headers);
        }
    }
}
