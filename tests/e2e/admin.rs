//! The admin API: is it alive, what does it do.

use tests::Answer;

use crate::{SITE, origin_and_node};

#[tokio::test]
async fn a_running_node_is_healthy() {
    let (_origin, node) = origin_and_node().await;

    assert_eq!(node.ask_admin("/healthz").await.status, 200);
}

#[tokio::test]
async fn metrics_count_what_viewers_asked() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    for _ in 0..3 {
        node.viewer().get(&format!("{SITE}/page")).await;
    }

    let metrics = node.ask_admin("/metrics").await;

    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain"), "{}", metrics.header("content-type"));
    let text = metrics.text();
    let requests = text.lines().filter(|line| line.contains("requests_total") && !line.starts_with('#'));
    let counted: f64 = requests.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert!(counted >= 3.0, "{text}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "not a line of the Prometheus format: {line}");
    }
}

#[tokio::test]
async fn status_is_json_and_names_the_node() {
    let (_origin, node) = origin_and_node().await;

    let status = node.ask_admin("/status").await;

    assert_eq!(status.status, 200);
    assert!(status.header("content-type").starts_with("application/json"));
    let value: serde_json::Value = serde_json::from_slice(&status.body).expect("not JSON");
    assert!(value.to_string().contains("edge1"), "{value}");
}

#[tokio::test]
async fn anything_else_is_404() {
    let (_origin, node) = origin_and_node().await;

    assert_eq!(node.ask_admin("/nothing").await.status, 404);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_change_the_node() {
    let (_origin, node) = origin_and_node().await;
    let address = node.admin();
    let (api, own) = (tests::Viewer::http(address), format!("http://{address}"));

    for path in ["/drain", "/reload"] {
        let url = format!("http://{address}{path}");
        for header in [
            ("origin", "http://attacker.test"),
            ("origin", "https://localhost"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let reply = api.ask("POST", &url, &[header]).await;
            assert_eq!(reply.status, 403, "{path} {header:?}: {}", reply.text());
        }
    }
    assert_eq!(node.ask_admin("/readyz").await.status, 200);
    let url = format!("http://{address}/reload");
    for headers in [&[][..], &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")]] {
        let reply = api.ask("POST", &url, headers).await;
        assert_eq!(reply.status, 200, "{headers:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn viewers_do_not_see_the_admin_api() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::ok("the site"));

    for path in ["/metrics", "/status", "/healthz"] {
        assert_eq!(node.viewer().get(&format!("{SITE}{path}")).await.text(), "the site", "{path}");
    }
}

#[tokio::test]
async fn an_error_is_a_page_for_people_and_json_for_programs() {
    let (_origin, node) = origin_and_node().await;
    let url = format!("{SITE}/page");

    let page = node.viewer().ask("POST", &url, &[("accept", "text/html")]).await;
    let json = node.viewer().ask("POST", &url, &[("accept", "application/json")]).await;

    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    assert!(json.header("content-type").contains("json"), "{:?}", json.headers);
    serde_json::from_slice::<serde_json::Value>(&json.body).expect("not JSON");
    for reply in [page, json] {
        assert_eq!(reply.status, 405);
        assert!(reply.text().contains(&reply.header("x-request-id")), "{}", reply.text());
    }
}
