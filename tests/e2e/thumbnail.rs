//! The thumbnail hook: pictures made smaller on the fly from the original.

use http::Request;
use http_body_util::Full;
use image::ImageFormat;
use tests::bucket::{ACCESS_KEY, Bucket, SECRET_KEY};
use tests::{Answer, Folder, LOOPBACK, Node, Origin, picture};
use tokio::task::JoinSet;

use crate::{SITE, site};

async fn node(origin: &Origin) -> Node {
    node_with(origin, "", "config = { sizes = \"64x64,128x128,320x240\" }").await
}

/// A node with more settings for pictures, and a hook with this config and the default limits but of time.
async fn node_with(origin: &Origin, images: &str, hook: &str) -> Node {
    let config = format!(
        r#"{images}
{}
[[site."www.test".route]]
path = "/img/*"
cache = "static"
hooks = ["thumb"]

[cache-policy.static]
key = {{ query = ["w", "h", "fit", "fm", "v"] }}

[hook.thumb]
wasm = "builtin:thumbnail"
on = ["viewer-request", "origin-request", "origin-response", "viewer-response"]
{hook}
limits = {{ wall = "20s" }}
"#,
        site(origin)
    );
    Node::start(&config).await
}

#[tokio::test]
async fn a_thumbnail_has_exactly_the_size_asked_for_and_is_kept() {
    let origin = Origin::start().await;
    let original = picture::jpeg(800, 600);
    origin.on("/img/cat.jpg", move |_| {
        Answer::cacheable(original.clone()).header("content-type", "image/jpeg")
    });
    let node = node(&origin).await;
    let url = format!("{SITE}/img/cat.jpg?w=128&h=128");

    let made = node.viewer().get(&url).await;
    let kept = node.viewer().get(&url).await;

    assert_eq!((made.status, made.header("content-type").as_str()), (200, "image/jpeg"), "{}", made.text());
    assert_eq!(picture::format(&made.body), Some(ImageFormat::Jpeg));
    assert_eq!(picture::size(&made.body), (128, 128));
    assert!(kept.is_hit(), "{}", kept.header("cache-status"));
    assert_eq!(kept.body, made.body);
    assert_eq!(origin.requests_for("/img/cat.jpg").len(), 1);
}

#[tokio::test]
async fn a_head_that_comes_first_keeps_the_thumbnail_and_not_the_original() {
    let origin = Origin::start().await;
    let original = picture::jpeg(800, 600);
    origin.on("/img/cat.jpg", move |_| {
        Answer::cacheable(original.clone()).header("content-type", "image/jpeg")
    });
    let node = node(&origin).await;
    let url = format!("{SITE}/img/cat.jpg?w=64&h=64");

    let head = node.viewer().send(Request::head(&url).body(Full::default()).unwrap()).await;
    let made = node.viewer().get(&url).await;

    assert_eq!((head.status, made.status), (200, 200), "{}", made.text());
    assert!(made.is_hit(), "{}", made.header("cache-status"));
    assert_eq!(picture::size(&made.body), (64, 64));
    assert_eq!(head.header("content-length"), made.body.len().to_string());
    assert_eq!(origin.requests_for("/img/cat.jpg").len(), 1);
}

#[tokio::test]
async fn each_size_is_an_object_of_its_own_and_the_original_stays_untouched() {
    let origin = Origin::start().await;
    let original = picture::jpeg(800, 600);
    let sent = original.clone();
    origin.on("/img/cat.jpg", move |_| Answer::cacheable(sent.clone()).header("content-type", "image/jpeg"));
    let node = node(&origin).await;
    let url = format!("{SITE}/img/cat.jpg");

    for (width, height) in [(64, 64), (128, 128), (320, 240)] {
        let reply = node.viewer().get(&format!("{url}?w={width}&h={height}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(picture::size(&reply.body), (width, height));
    }
    let whole = node.viewer().get(&url).await;

    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, original);
}

#[tokio::test]
async fn a_png_original_works_too() {
    let origin = Origin::start().await;
    let original = picture::png(300, 200);
    origin
        .on("/img/cat.png", move |_| Answer::cacheable(original.clone()).header("content-type", "image/png"));
    let node = node(&origin).await;

    let reply = node.viewer().get(&format!("{SITE}/img/cat.png?w=64&h=64")).await;

    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(picture::size(&reply.body), (64, 64));
}

#[tokio::test]
async fn sizes_that_are_not_listed_are_refused_as_the_viewers_fault() {
    let origin = Origin::start().await;
    let original = picture::jpeg(80, 60);
    origin.on("/img/cat.jpg", move |_| {
        Answer::cacheable(original.clone()).header("content-type", "image/jpeg")
    });
    let node = node(&origin).await;

    for query in
        ["w=129&h=128", "w=99999&h=99999", "w=0&h=0", "w=-1&h=5", "w=a&h=b", "w=064&h=64", "w=64&h=64&w=64"]
    {
        let reply = node.viewer().get(&format!("{SITE}/img/cat.jpg?{query}")).await;
        assert!((400..500).contains(&reply.status), "{query}: {}", reply.status);
    }
}

#[tokio::test]
async fn an_original_that_is_no_picture_is_an_error_and_the_node_goes_on() {
    let origin = Origin::start().await;
    let whole = picture::jpeg(800, 600);
    let half = whole[..whole.len() / 3].to_vec();
    let mut bomb = picture::png(10, 10);
    bomb[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    origin.on("/img/text.jpg", |_| Answer::cacheable("I am no picture").header("content-type", "image/jpeg"));
    origin.on("/img/empty.jpg", |_| Answer::cacheable("").header("content-type", "image/jpeg"));
    origin.on("/img/bomb.png", move |_| Answer::cacheable(bomb.clone()).header("content-type", "image/png"));
    origin.on("/img/half.jpg", move |_| Answer::cacheable(half.clone()).header("content-type", "image/jpeg"));
    origin.on("/img/cat.jpg", move |_| Answer::cacheable(whole.clone()).header("content-type", "image/jpeg"));
    let node = node(&origin).await;

    for name in ["text.jpg", "empty.jpg", "bomb.png"] {
        let reply = node.viewer().get(&format!("{SITE}/img/{name}?w=64&h=64")).await;
        assert!(reply.status >= 400, "{name}: {}", reply.status);
    }
    // A decoder may make something of half a picture; it may not make nothing of the node.
    node.viewer().get(&format!("{SITE}/img/half.jpg?w=64&h=64")).await;
    let good = node.viewer().get(&format!("{SITE}/img/cat.jpg?w=64&h=64")).await;
    assert_eq!((good.status, picture::size(&good.body)), (200, (64, 64)));
}

#[tokio::test]
async fn the_origins_404_is_not_taken_for_a_picture() {
    let origin = Origin::start().await;
    let node = node(&origin).await;

    let reply = node.viewer().get(&format!("{SITE}/img/none.jpg?w=64&h=64")).await;

    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn an_original_of_octets_is_known_by_its_first_bytes() {
    let origin = Origin::start().await;
    let original = picture::jpeg(800, 600);
    for (path, kind) in [("/img/s3", "binary/octet-stream"), ("/img/web", "application/octet-stream")] {
        let original = original.clone();
        origin.on(path, move |_| Answer::cacheable(original.clone()).header("content-type", kind));
    }
    origin.on("/img/none", move |_| Answer::cacheable(original.clone()));
    origin.on("/img/archive", |_| {
        Answer::cacheable("PK\u{3}\u{4} no picture").header("content-type", "application/octet-stream")
    });
    let node = node(&origin).await;

    for path in ["/img/s3", "/img/web", "/img/none"] {
        let made = node.viewer().get(&format!("{SITE}{path}?w=128&h=128")).await;
        assert_eq!((made.status, made.header("content-type").as_str()), (200, "image/jpeg"), "{path}");
        assert_eq!(picture::size(&made.body), (128, 128), "{path}");
    }
    let other = node.viewer().get(&format!("{SITE}/img/archive?w=128&h=128")).await;
    assert_eq!((other.status, other.header("content-type").as_str()), (200, "application/octet-stream"));
    assert_eq!(other.text(), "PK\u{3}\u{4} no picture");
}

#[tokio::test]
async fn an_object_whose_type_nobody_gave_the_bucket_is_made_smaller_too() {
    let bucket = Bucket::start().await;
    bucket.write("img/cat", picture::png(800, 600));
    bucket.write("img/notes", "no picture");
    let folder = Folder::new();
    folder.write("access", ACCESS_KEY);
    folder.write("secret", SECRET_KEY);
    let config = format!(
        r#"{LOOPBACK}
[origin.bucket]
url = "s3://media"
s3 = {{ endpoint = "{}", access-key = {{ file = "access" }}, secret-key = {{ file = "secret" }} }}

[hook.thumb]
wasm = "builtin:thumbnail"
on = ["origin-request", "origin-response"]
limits = {{ wall = "20s" }}

[cache-policy.pictures]
ttl = {{ default = "1d" }}
key = {{ query = ["w", "h"] }}

[site."www.test"]
origin = "bucket"

[[site."www.test".route]]
path = "/img/*"
cache = "pictures"
hooks = ["thumb"]
"#,
        bucket.url()
    );
    let node = Node::start_in(folder, &config).await;

    let whole = node.viewer().get(&format!("{SITE}/img/cat")).await;
    assert!(!whole.header("content-type").starts_with("image/"), "{}", whole.header("content-type"));
    let made = node.viewer().get(&format!("{SITE}/img/cat?w=320&h=240")).await;
    assert_eq!((made.status, picture::size(&made.body)), (200, (320, 240)), "{}", made.text());
    assert_eq!(made.header("content-type"), "image/jpeg");
    assert!(node.viewer().get(&format!("{SITE}/img/cat?w=320&h=240")).await.is_hit());
    let other = node.viewer().get(&format!("{SITE}/img/notes?w=320&h=240")).await;
    assert_eq!((other.status, other.text().as_str()), (200, "no picture"));
}

#[tokio::test]
async fn who_reads_webp_gets_it_and_nobody_else_does() {
    let origin = Origin::start().await;
    let original = picture::png(300, 200);
    origin.on("/img/logo.png", move |_| {
        Answer::cacheable(original.clone()).header("content-type", "image/png")
    });
    let node = node_with(&origin, "", "config = { options = \"fm\", format = \"auto\" }").await;
    let url = format!("{SITE}/img/logo.png?w=64");

    for _ in 0..2 {
        let modern = node.viewer().get_with(&url, &[("accept", "image/webp,*/*")]).await;
        let plain = node.viewer().get_with(&url, &[("accept", "*/*")]).await;

        assert_eq!((modern.status, modern.header("content-type").as_str()), (200, "image/webp"));
        assert_eq!((plain.status, plain.header("content-type").as_str()), (200, "image/png"));
        assert!(modern.header("vary").contains("accept") && plain.header("vary").contains("accept"));
    }
    assert_eq!(origin.requests().len(), 2, "each form is made once");
}

#[tokio::test]
async fn more_pictures_than_may_wait_are_answered_429_and_others_go_on() {
    let origin = Origin::start().await;
    let original = picture::png(3000, 2000);
    origin
        .on("/img/big.png", move |_| Answer::cacheable(original.clone()).header("content-type", "image/png"));
    let settings = "[node.images]\nthreads = 1\nqueue = 1\n";
    let node = node_with(&origin, settings, "config = { sizes = \"64x64\" }").await;

    let mut crowd = JoinSet::new();
    for number in 0..12 {
        let viewer = node.viewer();
        crowd.spawn(async move { viewer.get(&format!("{SITE}/img/big.png?w=64&h=64&v={number}")).await });
    }
    let many = crowd.join_all().await;

    let busy: Vec<_> = many.iter().filter(|answer| answer.status == 429).collect();
    assert!(many.iter().any(|answer| answer.status == 200));
    assert!(!busy.is_empty(), "{:?}", many.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(
        busy.iter()
            .all(|answer| answer.header("retry-after") == "1" && answer.text().contains("images-busy"))
    );
}
