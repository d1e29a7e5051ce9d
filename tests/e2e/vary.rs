//! Several variants of one URL (RFC 9111 §4.1).

use tests::{Answer, Reply};

use crate::{SITE, origin_and_node};

#[tokio::test]
async fn each_value_of_a_varied_header_has_its_own_entry() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| {
        Answer::cacheable(request.header("accept-language").unwrap_or_default())
            .header("vary", "Accept-Language")
    });
    let ask = async |language: &str| -> Reply {
        node.viewer().get_with(&format!("{SITE}/page"), &[("accept-language", language)]).await
    };

    let first = (ask("ko").await, ask("zh").await);
    let second = (ask("ko").await, ask("zh").await);

    assert_eq!((first.0.text().as_str(), first.1.text().as_str()), ("ko", "zh"));
    assert_eq!((second.0.text().as_str(), second.1.text().as_str()), ("ko", "zh"));
    assert!(second.0.is_hit() && second.1.is_hit());
    assert_eq!(origin.requests_for("/page").len(), 2);
}

#[tokio::test]
async fn a_request_without_the_varied_header_is_a_variant_too() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| {
        Answer::cacheable(request.header("x-flavour").unwrap_or("plain".to_owned()))
            .header("vary", "X-Flavour")
    });
    let url = format!("{SITE}/page");

    node.viewer().get_with(&url, &[("x-flavour", "mint")]).await;
    let plain = node.viewer().get(&url).await;

    assert_eq!(plain.text(), "plain");
    assert!(!plain.is_hit());
}

#[tokio::test]
async fn what_varies_on_everything_is_never_kept() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x").header("vary", "*"));
    let url = format!("{SITE}/page");

    node.viewer().get(&url).await;
    let second = node.viewer().get(&url).await;

    assert!(!second.is_hit());
    assert_eq!(origin.requests_for("/page").len(), 2);
}
