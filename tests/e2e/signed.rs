//! Signed URLs: CloudFront's canned policy, minted the way that Amazon's manual tells people to, by openssl.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use tests::{Answer, Folder, Node, Origin};

use crate::{SITE, site_with_policy};

/// One RSA key for all stories: making one takes a while.
fn private_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| String::from_utf8(openssl(&["genrsa", "2048"], b"")).unwrap())
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("these stories need openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?} failed");
    output.stdout
}

/// A node whose `/private/*` is signed, in a folder with the keys.
async fn node(origin: &Origin) -> Node {
    let folder = Folder::new();
    let private = folder.write("private.pem", private_key());
    let public = openssl(&["pkey", "-pubout", "-in", &private.to_string_lossy()], b"");
    folder.write("keys/public.pem", public);
    let open = site_with_policy(origin, "");
    let signed =
        "[[site.\"www.test\".route]]\npath = \"/private/*\"\nsigned = \"premium\"\ncache = \"static\"\n";
    let config = open.replacen("[[site", &format!("{signed}\n[[site"), 1);
    let keys = r#"
[key.KSTORY]
public = { file = "keys/public.pem" }

[key-group.premium]
keys = ["KSTORY"]
accept = ["cloudfront"]
"#;
    Node::start_in(folder, &format!("{config}{keys}")).await
}

#[allow(clippy::disallowed_methods, reason = "the URL expires by the node's clock, which is this one")]
fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// The three parameters for `url`, as in "Create a URL signature using a canned policy" of Amazon's guide.
fn parameters(node: &Node, url: &str, expires: i64) -> String {
    let policy = format!(
        r#"{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#
    );
    let key = node.folder().path("private.pem");
    let signature = openssl(&["dgst", "-sha1", "-sign", &key.to_string_lossy()], policy.as_bytes());
    let encoded = String::from_utf8(openssl(&["base64", "-A"], &signature)).unwrap();
    let safe = encoded.trim().replace('+', "-").replace('=', "_").replace('/', "~");
    format!("Expires={expires}&Signature={safe}&Key-Pair-Id=KSTORY")
}

#[tokio::test]
async fn a_valid_signature_opens_the_door_on_a_miss_and_on_a_hit() {
    let origin = Origin::start().await;
    origin.on("/private/film", |_| Answer::cacheable("the film"));
    let node = node(&origin).await;
    let url = format!("{SITE}/private/film");

    let miss = node.viewer().get(&format!("{url}?{}", parameters(&node, &url, in_seconds(600)))).await;
    let hit = node.viewer().get(&format!("{url}?{}", parameters(&node, &url, in_seconds(900)))).await;

    assert_eq!((miss.status, miss.text().as_str()), (200, "the film"));
    assert_eq!((hit.status, hit.text().as_str()), (200, "the film"));
    assert!(hit.is_hit(), "two signatures, one object: {}", hit.header("cache-status"));
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(origin.requests()[0].target, "/private/film", "the signature does not go to the origin");
}

#[tokio::test]
async fn the_urls_own_parameters_are_signed_kept_and_forwarded() {
    let origin = Origin::start().await;
    origin.on("/private/film", |request| Answer::cacheable(request.target.clone()));
    let node = node(&origin).await;
    let url = format!("{SITE}/private/film?quality=high&track=2");

    let reply = node.viewer().get(&format!("{url}&{}", parameters(&node, &url, in_seconds(600)))).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "/private/film?quality=high&track=2"));
}

#[tokio::test]
async fn without_a_good_signature_the_answer_is_403_and_the_log_says_why() {
    let origin = Origin::start().await;
    origin.on("/private/film", |_| Answer::cacheable("the film"));
    let node = node(&origin).await;
    let url = format!("{SITE}/private/film");
    let good = parameters(&node, &url, in_seconds(600));

    let cases = [
        (url.clone(), "signature-missing"),
        (format!("{url}?{}", parameters(&node, &url, in_seconds(-5))), "signature-expired"),
        (format!("{SITE}/private/other?{good}"), "signature-mismatch"),
        (format!("{url}?{}", good.replacen("Expires=", "Expires=1", 1)), "signature-mismatch"),
        (format!("{url}?extra=1&{good}"), "signature-mismatch"),
        (format!("{url}?{}", good.replace("KSTORY", "KOTHER")), "key-unknown"),
        (format!("{url}?{good}&Expires=9999999999"), "parameter-duplicate"),
        (format!("{url}?{}", good.replacen("Expires=", "Expires=x", 1)), "parameter-malformed"),
    ];
    for (asked, reason) in cases {
        let reply = node.viewer().get(&asked).await;
        assert_eq!(reply.status, 403, "{reason}: {asked}");
        assert!(
            reply.text().starts_with("<?xml") && reply.text().contains("<Error><Code>"),
            "{}",
            reply.text()
        );
        node.log_contains(reason).await;
    }
    assert_eq!(origin.requests().len(), 0, "an unsigned request never reaches the origin");
}

#[tokio::test]
async fn what_is_already_stored_is_guarded_just_the_same() {
    let origin = Origin::start().await;
    origin.on("/private/film", |_| Answer::cacheable("the film"));
    let node = node(&origin).await;
    let url = format!("{SITE}/private/film");
    node.viewer().get(&format!("{url}?{}", parameters(&node, &url, in_seconds(600)))).await;

    let unsigned = node.viewer().get(&url).await;
    let expired = node.viewer().get(&format!("{url}?{}", parameters(&node, &url, in_seconds(-1)))).await;

    assert_eq!((unsigned.status, expired.status), (403, 403));
}

#[tokio::test]
async fn another_spelling_of_the_path_does_not_slip_past_the_signed_route() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("the film"));
    let node = node(&origin).await;

    for path in
        ["/private/film", "/%70rivate/film", "/public/../private/film", "/./private/film", "/private%2ffilm"]
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n");
        let answer = tests::RawConnection::exchange(node.http(), request).await;
        let passed = origin.requests().iter().any(|request| request.target.contains("/private/"));
        assert!(!passed, "{path} reached the private part of the origin");
        assert!(!answer.is_empty(), "{path} got no answer");
    }
}
