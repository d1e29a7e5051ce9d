//! Which header fields travel, in both directions.

use tests::{Answer, BareOrigin, Node, RawConnection};

use crate::{SITE, origin_and_node};

#[tokio::test]
async fn the_version_of_an_old_origin_ends_at_the_edge() {
    let origin = BareOrigin::listen().await;
    let config = format!("{}\n[site.\"www.test\"]\norigin = \"{}\"\n", tests::LOOPBACK, origin.url());
    let node = Node::start(&config).await;
    let mut viewer = RawConnection::open(node.http()).await;
    for answers in 1..=2 {
        viewer.send("GET /page HTTP/1.1\r\nHost: www.test\r\n\r\n").await;
        let mut asked = origin.accept().await;
        asked.read_until("\r\n\r\n").await;
        asked.send("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
        let old = "HTTP/1.1 200 OK\r\n";
        let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches(old).count();
        let said = viewer.read_bytes_until("an answer of HTTP/1.1", |bytes| count(bytes) == answers).await;
        assert_eq!(count(said), answers, "RFC 9112 §2.3");
    }
}

#[tokio::test]
async fn the_origin_learns_who_asks_for_what_and_through_whom() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("x"));

    let reply = node.viewer().get(&format!("{SITE}/page")).await;

    let request = origin.requests().remove(0);
    let header = |name: &str| request.header(name).unwrap_or_default();
    assert!(header("via").contains("1.1 edge1"), "{:?}", request.headers);
    assert!(
        header("cdn-loop").contains("edge1") || header("cdn-loop").contains("selvedge"),
        "{:?}",
        request.headers
    );
    assert_eq!(header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(header("x-forwarded-proto"), "http");
    assert_eq!(header("x-forwarded-host"), "www.test");
    assert!(header("forwarded").contains("for=127.0.0.1"), "RFC 7239: {:?}", request.headers);
    assert_eq!(header("x-request-id"), reply.header("x-request-id"));
    assert_eq!(header("traceparent").split('-').count(), 4, "W3C trace context: {:?}", request.headers);
}

#[tokio::test]
async fn what_a_viewer_claims_about_itself_is_replaced() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("x"));
    let claims = [
        ("x-forwarded-for", "8.8.8.8"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=8.8.8.8;host=evil.test"),
    ];

    node.viewer().get_with(&format!("{SITE}/page"), &claims).await;

    let request = origin.requests().remove(0);
    let all = format!("{:?}", request.headers);
    assert!(!all.contains("evil.test") && !all.contains("8.8.8.8"), "{all}");
}

#[tokio::test]
async fn fields_that_could_poison_the_cache_do_not_reach_the_origin() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    let poison = [
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-http-method-override", "DELETE"),
        ("x-forwarded-scheme", "nothttps"),
    ];

    node.viewer().get_with(&format!("{SITE}/page"), &poison).await;

    for (name, _) in poison {
        assert_eq!(origin.requests()[0].header(name), None, "{name}");
    }
}

#[tokio::test]
async fn fields_of_one_connection_stay_on_it() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::cacheable("x")
            .header("connection", "x-origin-hop")
            .header("x-origin-hop", "1")
            .header("x-stays", "1")
    });
    let headers = [
        ("connection", "x-hop, keep-alive"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "trailers"),
        ("x-stays", "1"),
    ];
    let url = format!("{SITE}/page");

    let miss = node.viewer().get_with(&url, &headers).await;
    let hit = node.viewer().get(&url).await;

    // RFC 9110 §7.6.1
    let request = origin.requests().remove(0);
    for name in ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization"] {
        assert_eq!(request.header(name), None, "{name} reached the origin");
    }
    assert_eq!(request.header("x-stays").as_deref(), Some("1"));
    for reply in [&miss, &hit] {
        assert_eq!(reply.header("x-origin-hop"), "");
        assert!(!reply.header("connection").contains("x-origin-hop"));
        assert_eq!(reply.header("x-stays"), "1");
    }
}

#[tokio::test]
async fn connection_cannot_take_away_what_the_edge_itself_needs() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("x"));
    let names = "close, Host, X-Forwarded-For, X-Forwarded-Host, X-Request-Id, Via, CDN-Loop, Authorization";
    let request = format!(
        "GET /page HTTP/1.1\r\nHost: www.test\r\nAuthorization: Basic eDp5\r\nConnection: {names}\r\n\r\n"
    );

    let answer = RawConnection::exchange(node.http(), request).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = origin.requests().remove(0);
    for name in
        ["host", "x-forwarded-for", "x-forwarded-host", "x-request-id", "via", "cdn-loop", "authorization"]
    {
        assert!(request.header(name).is_some(), "{name} was taken away: {:?}", request.headers);
    }
}

#[tokio::test]
async fn a_request_that_has_been_here_before_is_508() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("x"));
    let url = format!("{SITE}/page");
    node.viewer().get_with(&url, &[("cdn-loop", "other-cdn; a=1")]).await;
    let mark = origin.requests().remove(0).header("cdn-loop").expect("RFC 8586: the mark goes to the origin");
    assert!(mark.contains("other-cdn"), "the marks of others stay: {mark}");

    let looped = node.viewer().get_with(&url, &[("cdn-loop", &mark)]).await;

    assert_eq!(looped.status, 508);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_route_sets_and_removes_fields_of_the_answer() {
    let origin = tests::Origin::start().await;
    origin.on("/page", |_| Answer::cacheable("x").header("server", "Secret/1.0"));
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\n\
                 headers = { set = { Strict-Transport-Security = \"max-age=63072000\" }, remove = [\"Server\"] }\n";
    let node = tests::Node::start(&format!("{}{route}", crate::site(&origin))).await;

    for _ in ["miss", "hit"] {
        let reply = node.viewer().get(&format!("{SITE}/page")).await;
        assert_eq!(reply.header("strict-transport-security"), "max-age=63072000");
        assert_eq!(reply.header("server"), "");
    }
}
