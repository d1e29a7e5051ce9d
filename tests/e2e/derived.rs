//! What hooks make and a bucket keeps: made once, found there by whoever asks next, on any node.

use tests::bucket::{ACCESS_KEY, Bucket, SECRET_KEY};
use tests::{Answer, Folder, Node, Origin, eventually, picture};

use crate::{SITE, site};

const NAME: &str = "thumbnails/img/cat.jpg@128x128.jpg";

/// A node that makes thumbnails of the origin's pictures, and keeps them in a bucket of the service at `store`.
async fn node(origin: &Origin, store: &str, more: &str) -> Node {
    let folder = Folder::new();
    folder.write("access", ACCESS_KEY);
    folder.write("secret", SECRET_KEY);
    let config = format!(
        r#"{}
[[site."www.test".route]]
path = "/img/*"
cache = "static"
hooks = ["thumb"]

[cache-policy.static]
key = {{ query = ["w", "h", "v"] }}

[origin.bucket]
url = "s3://media"
s3 = {{ endpoint = "{store}", access-key = {{ file = "access" }}, secret-key = {{ file = "secret" }} }}

[hook.thumb]
wasm = "builtin:thumbnail"
on = ["origin-request", "origin-response"]
store = "bucket"
{more}
config = {{ sizes = "64x64,128x128", store-as = "/thumbnails{{path}}@{{size}}.jpg" }}
limits = {{ cpu = "10s", wall = "20s" }}
"#,
        site(origin)
    );
    Node::start_in(folder, &config).await
}

async fn origin_with_a_picture() -> Origin {
    let origin = Origin::start().await;
    let original = picture::jpeg(800, 600);
    origin.on("/img/cat.jpg", move |_| {
        let answer = Answer::ok(original.clone()).header("content-type", "image/jpeg");
        answer.header("cache-control", "public, max-age=600").header("etag", "\"v1\"")
    });
    origin
}

#[tokio::test]
async fn a_missing_thumbnail_is_made_answered_and_stored_and_served_from_there_next_time() {
    let (origin, bucket) = (origin_with_a_picture().await, Bucket::start().await);
    let url = format!("{SITE}/img/cat.jpg?w=128&h=128");
    let first = node(&origin, bucket.url(), "").await;

    let made = first.viewer().get(&url).await;
    assert_eq!((made.status, picture::size(&made.body)), (200, (128, 128)), "{}", made.text());
    let stored = eventually("the thumbnail to be stored", async || bucket.read(NAME)).await;
    assert_eq!(stored, made.body);
    assert_eq!(origin.requests().len(), 1);

    // Another node knows nothing but the bucket.
    let second = node(&origin, bucket.url(), "").await;
    let found = second.viewer().get(&url).await;
    assert_eq!((found.status, found.body.as_ref()), (200, &stored[..]));
    assert_eq!(found.header("content-type"), "image/jpeg");
    assert_eq!(found.header("cache-control"), "public, max-age=600");
    assert_eq!(found.header("x-amz-meta-selvedge-etag"), "");
    assert_eq!(origin.requests().len(), 1, "the origin was not asked again");
    assert!(second.viewer().get(&url).await.is_hit(), "and the node has it now");
    let metrics = second.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_derived_total{outcome=\"found\"} 1"), "{metrics}");
}

#[tokio::test]
async fn the_rest_of_the_query_is_part_of_the_name() {
    let (origin, bucket) = (origin_with_a_picture().await, Bucket::start().await);
    let node = node(&origin, bucket.url(), "").await;
    node.viewer().get(&format!("{SITE}/img/cat.jpg?v=2&w=64&h=64")).await;
    let name = "thumbnails/img/cat.jpg?v=2@64x64.jpg";
    eventually("the thumbnail to be stored", async || bucket.read(name)).await;
}

#[tokio::test]
async fn a_store_that_fails_is_nobodys_trouble_but_the_operators() {
    let (origin, store) = (origin_with_a_picture().await, Origin::start().await);
    store.on("*", |_| Answer::new(500));
    let node = node(&origin, &store.url(), "").await;
    for size in [64, 128] {
        let reply = node.viewer().get(&format!("{SITE}/img/cat.jpg?w={size}&h={size}")).await;
        assert_eq!((reply.status, picture::size(&reply.body)), (200, (size, size)), "{}", reply.text());
    }
    node.log_contains("cannot=ask").await;
    assert_eq!(store.requests().len(), 1, "a store that failed rests");
}

#[tokio::test]
async fn a_name_that_the_store_refuses_keeps_it_from_nobody_else() {
    let (origin, store) = (origin_with_a_picture().await, Origin::start().await);
    store.on("*", |asked| Answer::new(if asked.target.contains("long") { 400 } else { 404 }));
    let node = node(&origin, &store.url(), "").await;
    for query in ["v=%00", "v=/../x", "v=%zz", "v=long", "v=2"] {
        let reply = node.viewer().get(&format!("{SITE}/img/cat.jpg?{query}&w=64&h=64")).await;
        assert_eq!((reply.status, picture::size(&reply.body)), (200, (64, 64)), "{query}: {}", reply.text());
    }
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(!metrics.contains("outcome=\"resting\""), "{metrics}");
    store
        .until("the last to be asked for", |asked| asked.iter().any(|asked| asked.target.contains("v%3D2")))
        .await;
}

#[tokio::test]
async fn two_urls_never_share_what_is_kept() {
    let (origin, bucket) = (origin_with_a_picture().await, Bucket::start().await);
    let node = node(&origin, bucket.url(), "").await;
    node.viewer().get(&format!("{SITE}/img/cat.jpg?v=2&w=64&h=64")).await;
    let name = "thumbnails/img/cat.jpg?v=2@64x64.jpg";
    eventually("the thumbnail to be stored", async || bucket.read(name)).await;
    let other = node.viewer().get(&format!("{SITE}/img/cat.jpg%3Fv=2?w=64&h=64")).await;
    assert_eq!(other.status, 404, "the origin has no such picture");
}

#[tokio::test]
async fn what_cannot_be_stored_is_answered_all_the_same() {
    let (origin, store) = (origin_with_a_picture().await, Origin::start().await);
    store.on("*", |asked| Answer::new(if asked.method == "PUT" { 503 } else { 404 }));
    let node = node(&origin, &store.url(), "").await;
    let reply = node.viewer().get(&format!("{SITE}/img/cat.jpg?w=64&h=64")).await;
    assert_eq!(reply.status, 200);
    node.log_contains("cannot=store").await;
}

#[tokio::test]
async fn what_is_too_old_is_made_anew() {
    let (origin, store) = (origin_with_a_picture().await, Origin::start().await);
    store.on("*", |_| Answer::ok("old").header("last-modified", "Fri, 24 May 2013 00:00:00 GMT"));
    let node = node(&origin, &store.url(), "store-for = \"30d\"").await;
    let reply = node.viewer().get(&format!("{SITE}/img/cat.jpg?w=64&h=64")).await;
    assert_eq!((reply.status, picture::size(&reply.body)), (200, (64, 64)));
    store.until("the new one", |asked| asked.iter().any(|asked| asked.method == "PUT")).await;
    let put = store.requests().into_iter().find(|asked| asked.method == "PUT").unwrap();
    assert_eq!(put.header("x-amz-meta-selvedge-etag").as_deref(), Some("W/\"v1;64x64\""));
}

#[tokio::test]
async fn refusals_and_what_is_private_are_not_stored() {
    let (origin, bucket) = (Origin::start().await, Bucket::start().await);
    origin.on("/img/no.jpg", |_| Answer::ok("no picture").header("content-type", "image/jpeg"));
    let original = picture::jpeg(80, 60);
    origin.on("/img/mine.jpg", move |_| {
        Answer::ok(original.clone()).header("content-type", "image/jpeg").header("cache-control", "private")
    });
    let node = node(&origin, bucket.url(), "").await;
    for (path, status) in [("no", 415), ("mine", 200), ("none", 404)] {
        let reply = node.viewer().get(&format!("{SITE}/img/{path}.jpg?w=64&h=64")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_derived_total{outcome=\"missing\"} 3"), "{metrics}");
    assert!(!metrics.contains("outcome=\"stored\"") && !metrics.contains("outcome=\"failed\""), "{metrics}");
}
