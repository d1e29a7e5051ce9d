//! Bodies that a hook rewrites as they pass.

use tests::{Answer, Node, Origin, Tap, coding};

use crate::{SITE, guest, site, site_with_policy};

const MIB: usize = 1024 * 1024;

/// The hook that rewrites everything in this way.
fn hook(transform: &str, more: &str) -> String {
    format!(
        "[hook.writer]\nwasm = \"{}\"\non = \"origin-response\"\n{more}\nconfig = {{ do = \"rewrite\", transform = \"{transform}\" }}\n",
        guest::outward().display()
    )
}

/// A node that stores nothing.
async fn passing(origin: &Origin, transform: &str, more: &str) -> Node {
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\ncache = \"off\"\nhooks = [\"writer\"]\n";
    Node::start(&format!("{}\n{route}\n{}", site(origin), hook(transform, more))).await
}

/// A node that stores what the hook has made, by a policy.
async fn storing(origin: &Origin, transform: &str) -> Node {
    let config = site_with_policy(origin, "compress = { min = \"1B\" }")
        .replace("cache = \"static\"", "cache = \"static\"\nhooks = [\"writer\"]");
    Node::start(&format!("{config}\n{}", hook(transform, ""))).await
}

#[tokio::test]
async fn the_first_bytes_reach_the_viewer_before_the_origin_has_sent_the_last() {
    for is_stored in [false, true] {
        let (origin, tap) = (Origin::start().await, Tap::new());
        let body = tap.clone();
        origin.on("/page", move |_| Answer::streamed(&body).header("cache-control", "max-age=60"));
        let node = match is_stored {
            true => storing(&origin, "upper").await,
            false => passing(&origin, "upper", "").await,
        };
        let viewer = node.viewer();

        tap.send("<p>one</p>");
        let mut page = viewer.open_get(&format!("{SITE}/page")).await;
        assert_eq!(page.read(10).await, b"<P>ONE</P>");
        tap.send("<p>two</p>");
        assert_eq!(page.read(10).await, b"<P>TWO</P>");
        tap.end();
        assert_eq!(page.finish().await.unwrap().text(), "!");

        let again = node.viewer().get(&format!("{SITE}/page")).await;
        assert_eq!((again.text().as_str(), again.is_hit()), ("<P>ONE</P><P>TWO</P>!", is_stored));
        assert_eq!(origin.requests().len(), if is_stored { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_hook_that_breaks_in_the_middle_breaks_the_answer_off_and_nothing_is_kept() {
    for is_stored in [false, true] {
        let (origin, tap) = (Origin::start().await, Tap::new());
        let body = tap.clone();
        origin.on("/page", move |_| Answer::streamed(&body).header("cache-control", "max-age=60"));
        let node = match is_stored {
            true => storing(&origin, "trap").await,
            false => passing(&origin, "trap", "on-error = \"pass\"").await,
        };

        tap.send("one ");
        let mut page = node.viewer().open_get(&format!("{SITE}/page")).await;
        assert_eq!((page.status, page.read(4).await), (200, b"ONE ".to_vec()));
        tap.send("two ");
        assert!(page.finish().await.is_err(), "half an answer must not look whole");

        let log = node.log_contains("reason=hook-trap").await;
        assert!(log.contains("outcome=broken") && log.contains("writer"), "{log}");
        let metrics = node.ask_admin("/metrics").await.text();
        assert!(metrics.contains("selvedge_faults_total{reason=\"hook-trap\"} 1"), "{metrics}");
        // Now that all is there at once it may break before anything was sent.
        let mut again = node.viewer().connect().await.unwrap();
        assert!(again.get(&format!("{SITE}/page")).await.is_err(), "nor may it look whole now");
        origin.until("the page to be asked for again", |asked| asked.len() == 2).await;
    }
}

#[tokio::test]
async fn what_was_made_is_stored_and_coded_cut_and_confirmed_from_there() {
    let origin = Origin::start().await;
    origin.on("/page", |asked| match asked.header("if-none-match") {
        Some(_) => Answer::new(304).header("etag", "\"v1\""),
        None => {
            let answer = Answer::ok("hello ".repeat(300)).header("content-type", "text/html");
            answer.header("etag", "\"v1\"").header("cache-control", "max-age=0, s-maxage=60")
        }
    });
    let node = storing(&origin, "upper").await;
    let url = format!("{SITE}/page");
    let whole = "HELLO ".repeat(300) + "!";

    // Asked for a part, and in a coding: the origin is asked for neither.
    let wants = [("range", "bytes=0-4"), ("accept-encoding", "gzip")];
    node.viewer().get_with(&url, &wants).await;
    let asked = &origin.requests()[0];
    assert_eq!((asked.header("range"), asked.header("accept-encoding")), (None, None));

    let plain = node.viewer().get(&url).await;
    assert_eq!((plain.text(), plain.header("etag").as_str()), (whole.clone(), "W/\"v1\""));
    assert!(plain.is_hit());
    let coded = node.viewer().get_with(&url, &[("accept-encoding", "gzip")]).await;
    assert_eq!(coded.header("content-encoding"), "gzip");
    assert_eq!(coding::decode("gzip", &coded.body), whole);
    let part = node.viewer().get_with(&url, &[("range", "bytes=0-4")]).await;
    assert_eq!((part.status, part.text().as_str()), (206, "HELLO"));
    let head = node.viewer().ask("HEAD", &url, &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, whole.len().to_string()));
    let known = node.viewer().get_with(&url, &[("if-none-match", "W/\"v1\"")]).await;
    assert_eq!(known.status, 304);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_the_origin_confirms_stays_as_the_hook_made_it() {
    let origin = Origin::start().await;
    origin.on("/page", |asked| {
        let answer = match asked.header("if-none-match") {
            Some(_) => Answer::new(304),
            None => Answer::ok("hello"),
        };
        answer.header("etag", "\"v1\"").header("cache-control", "max-age=0")
    });
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"writer\"]\n";
    let node = Node::start(&format!("{}\n{route}\n{}", site(&origin), hook("upper", ""))).await;
    for _ in 0..3 {
        let reply = node.viewer().get(&format!("{SITE}/page")).await;
        assert_eq!((reply.text().as_str(), reply.header("etag").as_str()), ("HELLO!", "W/\"v1\""));
    }
    let asked = origin.requests();
    assert_eq!(
        asked.iter().map(|asked| asked.header("if-none-match")).collect::<Vec<_>>(),
        [None, Some("W/\"v1\"".to_owned()), Some("W/\"v1\"".to_owned())]
    );
}

#[tokio::test]
async fn an_answer_that_passes_through_is_whole_and_plain_whatever_the_viewer_asked_for() {
    let origin = Origin::start().await;
    origin.on("/page", |asked| match (asked.header("range"), asked.header("accept-encoding")) {
        (None, None) => Answer::ok("hello").header("etag", "\"v1\"").header("accept-ranges", "bytes"),
        _ => Answer::new(406),
    });
    let node = passing(&origin, "upper", "").await;
    let wants = [("range", "bytes=0-1"), ("accept-encoding", "gzip, br")];
    let reply = node.viewer().get_with(&format!("{SITE}/page"), &wants).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "HELLO!"));
    assert_eq!(
        (reply.header("content-length"), reply.header("accept-ranges")),
        (String::new(), String::new())
    );
    let head = node.viewer().ask("HEAD", &format!("{SITE}/page"), &wants).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.header("etag").as_str()),
        (200, String::new(), "W/\"v1\"")
    );
}

#[tokio::test]
async fn codings_that_come_unasked_are_taken_off_within_bounds() {
    let origin = Origin::start().await;
    for coding in ["gzip", "br", "zstd"] {
        origin.on(&format!("/{coding}"), move |_| {
            Answer::ok(coding::encode(coding, b"hello"))
                .header("content-encoding", coding)
                .header("etag", "\"v1\"")
        });
    }
    let bomb = coding::encode("gzip", &vec![b'x'; 64 * MIB]);
    origin.on("/bomb", move |_| Answer::ok(bomb.clone()).header("content-encoding", "gzip"));
    origin.on("/unknown", |_| Answer::ok("hello").header("content-encoding", "compress"));
    let node = passing(&origin, "upper", "limits = { cpu = \"60s\" }").await;
    for coding in ["gzip", "br", "zstd"] {
        let reply = node.viewer().get(&format!("{SITE}/{coding}")).await;
        assert_eq!(
            (reply.text().as_str(), reply.header("content-encoding").as_str()),
            ("HELLO!", ""),
            "{coding}"
        );
    }
    let reply = node.viewer().get(&format!("{SITE}/unknown")).await;
    assert_eq!((reply.text().as_str(), reply.header("x-refused").as_str()), ("hello", "coded"));
    let before = node.resident_bytes();
    assert!(node.viewer().open_get(&format!("{SITE}/bomb")).await.finish().await.is_err());
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB as u64, "{} MiB more", grown / MIB as u64);
}

#[tokio::test]
async fn a_large_body_is_never_held() {
    const PIECES: usize = 100;
    let (origin, tap) = (Origin::start().await, Tap::new());
    let body = tap.clone();
    origin.on("/large", move |_| Answer::streamed(&body));
    origin.on("/small", |_| Answer::ok("small"));
    let node = passing(&origin, "upper", "limits = { cpu = \"60s\" }").await;
    assert_eq!(node.viewer().get(&format!("{SITE}/small")).await.text(), "SMALL!");
    let before = node.resident_bytes();

    let mut page = node.viewer().open_get(&format!("{SITE}/large")).await;
    let mut most = 0;
    for _ in 0..PIECES {
        tap.send(vec![b'x'; MIB]);
        let piece = page.read(MIB).await;
        assert!(piece.iter().all(|byte| *byte == b'X'));
        most = most.max(node.resident_bytes().saturating_sub(before));
    }
    tap.end();
    assert_eq!(page.finish().await.unwrap().text(), "!");
    assert!(most < 24 * MIB as u64, "{} MiB more for {PIECES} MiB", most / MIB as u64);
}
