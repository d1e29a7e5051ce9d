//! Private buckets: what is read and written through the edge, what never gets through, and whose fault a refusal is.

use std::time::{Duration, SystemTime};

use http::Request;
use http_body_util::Full;
use tests::bucket::{ACCESS_KEY, BUCKET, Bucket, SECRET_KEY};
use tests::pki::Authority;
use tests::{Answer, Folder, Gate, LOOPBACK, Node, Origin, RawConnection, Reply, Tap, eventually};

use crate::SITE;

/// Keys that the bucket knows, from files.
const KEYS: &str = "access-key = { file = \"access\" }, secret-key = { file = \"secret\" }";

fn config(endpoint: &str, s3: &str) -> String {
    format!(
        r#"{LOOPBACK}
[origin.bucket]
url = "s3://{BUCKET}"
s3 = {{ endpoint = "{endpoint}", {s3} }}

[site."www.test"]
origin = "bucket"

[[site."www.test".route]]
path = "/*"
methods = "all"
cache = "off"
"#
    )
}

fn folder(access: &str, secret: &str) -> Folder {
    let folder = Folder::new();
    folder.write("access", access);
    folder.write("secret", format!("{secret}\n"));
    folder
}

async fn node(bucket: &Bucket) -> Node {
    Node::start_in(folder(ACCESS_KEY, SECRET_KEY), &config(bucket.url(), KEYS)).await
}

async fn put(node: &Node, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let mut request = Request::put(format!("{SITE}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    node.viewer().send(request.body(Full::new(body.into())).unwrap()).await
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn a_private_object_is_written_read_and_deleted_through_the_edge() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    let url = format!("{SITE}/img/cat.jpg");
    let headers =
        [("content-type", "image/jpeg"), ("x-amz-meta-title", "cat"), ("cache-control", "max-age=60")];

    let stored = put(&node, "/img/cat.jpg", &headers, b"a cat".to_vec()).await;
    assert_eq!(
        (stored.status, bucket.read("img/cat.jpg")),
        (200, Some(b"a cat".to_vec())),
        "{}",
        stored.text()
    );
    assert_eq!(stored.header("x-amz-request-id"), "");

    let whole = node.viewer().get(&url).await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "a cat"));
    assert_eq!(
        (whole.header("content-type"), whole.header("x-amz-meta-title")),
        ("image/jpeg".into(), "cat".into())
    );

    let head = node.viewer().ask("HEAD", &url, &[]).await;
    assert_eq!((head.status, head.header("content-length").as_str()), (200, "5"));
    let part = node.viewer().get_with(&url, &[("range", "bytes=2-4")]).await;
    assert_eq!(
        (part.status, part.text().as_str(), part.header("content-range")),
        (206, "cat", "bytes 2-4/5".into())
    );
    let deleted = node.viewer().ask("DELETE", &url, &[]).await;
    assert_eq!((deleted.status, bucket.read("img/cat.jpg")), (204, None));
}

#[tokio::test]
async fn what_is_missing_is_a_404_in_the_nodes_own_words() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;

    let reply = node.viewer().get(&format!("{SITE}/no/such.jpg")).await;

    assert_eq!((reply.status, reply.header("content-type").as_str()), (404, "text/html; charset=utf-8"));
    let text = reply.text();
    for word in ["NoSuchKey", "<Error>", BUCKET, "such.jpg"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(text.contains("404"), "{text}");
}

#[tokio::test]
async fn names_of_every_kind_reach_their_object() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    for (name, path) in [
        ("a b+c", "/a%20b+c"),
        ("a b+d", "/a%20b%2Bd"),
        ("bücher/猫.jpg", "/b%C3%BCcher/%E7%8C%AB.jpg"),
        ("100%", "/100%25"),
        ("a%2Fb", "/a%252Fb"),
        ("semi;colon=a&b,c", "/semi;colon=a&b,c"),
        ("'quotes'(and)*stars*!", "/'quotes'(and)*stars*!"),
        ("folder/inside", "/folder%2Finside"),
        ("what?", "/what%3F"),
        ("~tilde-._", "/%7Etilde-._"),
    ] {
        bucket.write(name, name);
        let reply = node.viewer().get(&format!("{SITE}{path}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, name), "{path}");
        let written = put(&node, path, &[], b"new".to_vec()).await;
        assert_eq!((written.status, bucket.read(name)), (200, Some(b"new".to_vec())), "{path}");
    }
}

#[tokio::test]
async fn nobody_lists_or_changes_the_bucket_itself() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    bucket.write("cat.jpg", "a cat");

    for path in ["/", "/?list-type=2", "/?location", "/?policy", "/%2F", "//"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let reply = node.viewer().ask(method, &format!("{SITE}{path}"), &[]).await;
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
        }
    }
    for query in
        ["acl", "tagging", "uploads", "versionId=x", "response-content-type=text/html", "X-Amz-Signature=x"]
    {
        let reply = node.viewer().get(&format!("{SITE}/cat.jpg?{query}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "a cat"), "{query}");
    }
    for (method, query) in [("POST", "?uploads"), ("POST", "?delete"), ("OPTIONS", ""), ("PATCH", "")] {
        let reply = node.viewer().ask(method, &format!("{SITE}/cat.jpg{query}"), &[]).await;
        assert_eq!(
            (reply.status, reply.header("allow").as_str()),
            (405, "GET, HEAD, PUT, DELETE"),
            "{method}"
        );
    }
    // An order to copy from elsewhere is no order: an empty object is stored.
    let copied = put(&node, "/copy", &[("x-amz-copy-source", "/media/cat.jpg")], Vec::new()).await;
    assert_eq!((copied.status, bucket.read("copy")), (200, Some(Vec::new())));
    let partial = put(&node, "/part?partNumber=1&uploadId=x", &[], b"whole".to_vec()).await;
    assert_eq!((partial.status, bucket.read("part")), (200, Some(b"whole".to_vec())));
}

#[tokio::test]
async fn a_wrong_key_is_a_502_whose_story_names_the_code_and_no_secret() {
    let bucket = Bucket::start().await;
    bucket.write("cat.jpg", "a cat");
    for (access, secret, code) in
        [(ACCESS_KEY, "hunter3", "SignatureDoesNotMatch"), ("AKIASOMEBODY", SECRET_KEY, "NotSignedUp")]
    {
        let node = Node::start_in(folder(access, secret), &config(bucket.url(), KEYS)).await;
        let reply = node.viewer().get(&format!("{SITE}/cat.jpg")).await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(
            reply.header("proxy-status").contains("proxy_configuration_error"),
            "{}",
            reply.header("proxy-status")
        );
        assert!(!reply.text().contains(code), "{}", reply.text());
        let log = node.log_contains(code).await;
        assert!(log.contains("proxy_configuration_error"), "{log}");
        assert!(!log.contains(secret) && !log.contains(access), "{log}");
    }
}

#[tokio::test]
async fn no_secret_is_printed_anywhere() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    node.viewer().get(&format!("{SITE}/cat.jpg")).await;

    let effective = node.folder().run(&["config", "--effective"]).await;
    assert_eq!(effective.code, Some(0), "{}", effective.stderr);
    let checked = node.folder().run(&["check"]).await;
    let status = node.ask_admin("/status").await.text();

    for text in [effective.stdout, checked.stdout, checked.stderr, status, node.log()] {
        assert!(!text.contains(SECRET_KEY) && !text.contains(ACCESS_KEY), "{text}");
    }
}

#[tokio::test]
async fn a_bucket_without_keys_is_found_out_by_check() {
    let folder = folder("", "");
    folder.write("selvedge.toml", config("http://127.0.0.1:1", "access-key = { file = \"access\" }"));
    let outcome = folder.run(&["check"]).await;
    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("access-key and secret-key belong together"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_profile_of_a_credentials_file_opens_the_bucket() {
    let bucket = Bucket::start().await;
    bucket.write("cat.jpg", "a cat");
    let folder = Folder::new();
    folder.write(
        "aws",
        format!("[default]\naws_access_key_id = X\naws_secret_access_key = Y\n[edge]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"),
    );
    let s3 = "credentials = { file = \"aws\", profile = \"edge\" }";
    let node = Node::start_in(folder, &config(bucket.url(), s3)).await;
    assert_eq!(node.viewer().get(&format!("{SITE}/cat.jpg")).await.text(), "a cat");
}

#[tokio::test]
async fn a_session_token_goes_along_and_is_signed() {
    let origin = Origin::start().await;
    origin.on("/media/cat.jpg", |_| {
        Answer::ok("a cat").header("x-amz-version-id", "v1").header("server", "S3")
    });
    let folder = folder("KEY", "secret");
    folder.write("token", "token-of-the-story");
    let s3 = format!("{KEYS}, session-token = {{ file = \"token\" }}, region = \"ap-northeast-2\"");
    let node = Node::start_in(folder, &config(&origin.url(), &s3)).await;
    let secrets = [("authorization", "Basic eDp5"), ("cookie", "a=b"), ("x-amz-acl", "public-read")];

    let reply = node.viewer().get_with(&format!("{SITE}/cat.jpg?a=1"), &secrets).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "a cat"));
    assert_eq!((reply.header("x-amz-version-id"), reply.header("server")), (String::new(), String::new()));
    let asked = &origin.requests()[0];
    assert_eq!(asked.target, "/media/cat.jpg");
    assert_eq!(asked.header("x-amz-security-token").as_deref(), Some("token-of-the-story"));
    let authorization = asked.header("authorization").unwrap();
    assert!(authorization.contains("/ap-northeast-2/s3/aws4_request"), "{authorization}");
    assert!(
        authorization.contains("host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
        "{authorization}"
    );
    let mut names: Vec<_> = asked.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let all = ["authorization", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
    assert_eq!(names, all, "nothing else goes to the bucket");
}

#[tokio::test]
async fn what_the_service_says_of_itself_stays_behind() {
    let origin = Origin::start().await;
    let error = |code: &str| {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><BucketName>media</BucketName></Error>")
    };
    for (path, status, code) in [
        ("/media/slow", 503, "SlowDown"),
        ("/media/denied", 403, "AccessDenied"),
        ("/media/late", 403, "RequestTimeTooSkewed"),
        ("/media/gone", 404, "NoSuchBucket"),
        ("/media/else", 301, "PermanentRedirect"),
    ] {
        let body = error(code);
        origin.on(path, move |_| {
            Answer::new(status)
                .body(body.clone())
                .header("retry-after", "7")
                .header("location", "http://media.s3/")
        });
    }
    origin.on("/media/long", |_| Answer::new(500).body(vec![b'x'; 200_000]));
    let node = Node::start_in(folder("KEY", "secret"), &config(&origin.url(), KEYS)).await;
    for (path, status, story) in [
        ("/slow", 503, ""),
        ("/denied", 403, ""),
        ("/late", 502, "RequestTimeTooSkewed: this node's clock"),
        ("/gone", 502, "NoSuchBucket"),
        ("/else", 502, "PermanentRedirect"),
        ("/long", 502, "more than 65536 bytes"),
    ] {
        let reply = node.viewer().get(&format!("{SITE}{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(!reply.text().contains("media") && !reply.text().contains("<Code>"), "{}", reply.text());
        assert_eq!(reply.header("location"), "");
        node.log_contains(story).await;
    }
    assert_eq!(node.viewer().get(&format!("{SITE}/slow")).await.header("retry-after"), "7");
    let s3 = format!("{KEYS}, missing = [403, 404]");
    let node = Node::start_in(folder("KEY", "secret"), &config(&origin.url(), &s3)).await;
    assert_eq!(node.viewer().get(&format!("{SITE}/denied")).await.status, 404);
    assert_eq!(node.viewer().get(&format!("{SITE}/late")).await.status, 502);
}

#[tokio::test]
async fn conditions_are_the_buckets_to_judge_and_a_part_is_never_of_another_version() {
    let origin = Origin::start().await;
    origin.on("/media/cat.jpg", |asked| match (asked.header("if-match").as_deref(), asked.header("range")) {
        (Some("\"old\""), Some(_)) => Answer::new(412).body("<Error><Code>PreconditionFailed</Code></Error>"),
        (Some(_), None) => Answer::new(412).body("<Error><Code>PreconditionFailed</Code></Error>"),
        (None, None) if asked.header("if-none-match").is_some() => Answer::new(304).header("etag", "\"new\""),
        (None, None) => Answer::ok("a new cat").header("etag", "\"new\""),
        other => Answer::new(400).body(format!("{other:?}")),
    });
    let node = Node::start_in(folder("KEY", "secret"), &config(&origin.url(), KEYS)).await;
    let headers = [("range", "bytes=0-0"), ("if-range", "\"old\"")];
    let reply = node.viewer().get_with(&format!("{SITE}/cat.jpg"), &headers).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "a new cat"));

    let known = node.viewer().get_with(&format!("{SITE}/cat.jpg"), &[("if-none-match", "\"new\"")]).await;
    assert_eq!((known.status, known.header("etag").as_str()), (304, "\"new\""));
    let changed = node.viewer().get_with(&format!("{SITE}/cat.jpg"), &[("if-match", "\"old\"")]).await;
    assert_eq!(changed.status, 412);
    assert!(!changed.text().contains("PreconditionFailed"), "{}", changed.text());
}

#[tokio::test]
async fn a_large_body_goes_in_parts_and_is_whole_afterwards() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    let body = noise(20 << 20);

    let stored = put(&node, "/large.bin", &[("content-type", "video/mp4")], body.clone()).await;

    assert_eq!(stored.status, 200, "{}", stored.text());
    assert!(stored.header("etag").ends_with("-3\""), "three parts: {}", stored.header("etag"));
    assert_eq!(bucket.read("large.bin").map(|bytes| bytes == body), Some(true));
    let reply = node.viewer().get_with(&format!("{SITE}/large.bin"), &[("range", "bytes=20971510-")]).await;
    assert_eq!((reply.status, reply.body.len()), (206, 10));
    assert_eq!(reply.header("content-type"), "video/mp4");
    assert_eq!(bucket.unfinished(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing_behind() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send("PUT /broken.bin HTTP/1.1\r\nhost: www.test\r\ncontent-length: 20971520\r\n\r\n").await;
    viewer.send(noise(9 << 20)).await;
    eventually("the first part to be there", async || (!bucket.unfinished().is_empty()).then_some(())).await;

    drop(viewer);

    eventually("the upload to be abandoned", async || bucket.unfinished().is_empty().then_some(())).await;
    assert_eq!(bucket.read("broken.bin"), None);
}

#[tokio::test]
async fn a_completion_that_fails_after_all_is_an_error_and_is_abandoned() {
    let origin = Origin::start().await;
    origin.on("/media/large.bin", |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", target) if target.ends_with("?uploads=") => Answer::ok(
            "<InitiateMultipartUploadResult><UploadId>a/b+c=</UploadId></InitiateMultipartUploadResult>",
        ),
        ("PUT", _) => Answer::ok("").header("etag", "\"part\""),
        ("POST", _) => Answer::ok("\n\n<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"),
        _ => Answer::new(204),
    });
    let node = Node::start_in(folder("KEY", "secret"), &config(&origin.url(), KEYS)).await;

    let reply = put(&node, "/large.bin", &[], noise(9 << 20)).await;

    assert_eq!(reply.status, 502, "{}", reply.text());
    node.log_contains("not completed: InternalError").await;
    origin
        .until("the upload to be abandoned", |asked| asked.iter().any(|asked| asked.method == "DELETE"))
        .await;
    let targets: Vec<_> = origin.requests().into_iter().map(|asked| asked.target).collect();
    let id = "uploadId=a%2Fb%2Bc%3D";
    assert_eq!(
        targets,
        [
            "/media/large.bin?uploads=".to_owned(),
            format!("/media/large.bin?partNumber=1&{id}"),
            format!("/media/large.bin?partNumber=2&{id}"),
            format!("/media/large.bin?{id}"),
            format!("/media/large.bin?{id}"),
        ]
    );
}

#[tokio::test]
async fn a_slow_completion_is_waited_for_and_never_abandoned() {
    let (origin, tap) = (Origin::start().await, Tap::new());
    let answer = tap.clone();
    origin.on("/media/large.bin", move |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", target) if target.ends_with("?uploads=") => Answer::ok(
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
        ),
        ("PUT", _) => Answer::ok("").header("etag", "\"part\""),
        ("POST", _) => Answer::streamed(&answer),
        _ => Answer::new(204),
    });
    let config = config(&origin.url(), KEYS).replace("\n\n[site.", "\nresponse-timeout = \"1s\"\n\n[site.");
    let node = Node::start_in(folder("KEY", "secret"), &config).await;
    let service = async {
        let has_all = |asked: &[_]| asked.len() == 4;
        origin.until("the completion", has_all).await;
        // Longer than it may be silent.
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tap.send(" ");
        }
        tap.send("<CompleteMultipartUploadResult><ETag>\"v1-2\"</ETag></CompleteMultipartUploadResult>");
        tap.end();
    };

    let (reply, ()) = tokio::join!(put(&node, "/large.bin", &[], noise(9 << 20)), service);

    assert_eq!((reply.status, reply.header("etag").as_str()), (200, "\"v1-2\""), "{}", reply.text());
    assert!(origin.requests().iter().all(|asked| asked.method != "DELETE"));
}

#[tokio::test]
async fn an_upload_that_begins_as_its_viewer_leaves_is_abandoned() {
    let (origin, gate) = (Origin::start().await, Gate::closed());
    let begun = gate.clone();
    origin.on("/media/large.bin", move |asked| match asked.method.as_str() {
        "POST" => Answer::ok(
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
        )
        .behind(&begun),
        _ => Answer::new(204),
    });
    let node = Node::start_in(folder("KEY", "secret"), &config(&origin.url(), KEYS)).await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send("PUT /large.bin HTTP/1.1\r\nhost: www.test\r\ncontent-length: 20971520\r\n\r\n").await;
    viewer.send(noise(9 << 20)).await;
    origin.until("the beginning", |asked| !asked.is_empty()).await;

    drop(viewer);
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.open();

    origin
        .until("the upload to be abandoned", |asked| asked.iter().any(|asked| asked.method == "DELETE"))
        .await;
}

#[tokio::test]
async fn what_cannot_be_signed_stays_behind() {
    let bucket = Bucket::start().await;
    let node = node(&bucket).await;
    bucket.write("cat.jpg", "a cat");
    for field in ["range: bytes=0-1\u{e9}", "range: bytes=0-1\r\nif-range: \"\u{e9}\""] {
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(format!("GET /cat.jpg HTTP/1.1\r\nhost: www.test\r\n{field}\r\n\r\n")).await;
        viewer.read_until("a cat").await;
    }
    assert!(!node.log().contains("SignatureDoesNotMatch"), "{}", node.log());
}

#[tokio::test]
async fn over_tls_a_body_of_known_length_is_sent_as_it_comes() {
    let authority = Authority::new();
    let origin = Origin::start_http2(&authority).await;
    origin.on("/media/cat.jpg", |_| Answer::ok("").header("etag", "\"v1\""));
    let folder = folder("KEY", "secret");
    folder.write("ca.pem", authority.root());
    let config = config(&origin.url(), KEYS).replace("\n\n[site.", "\ntls = { ca = \"ca.pem\" }\n\n[site.");
    let node = Node::start_in(folder, &config).await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send("PUT /cat.jpg HTTP/1.1\r\nhost: www.test\r\ncontent-length: 8\r\n\r\nhalf").await;

    // The bucket hears of it while half of it is still with the viewer.
    origin.until("the request", |asked| !asked.is_empty()).await;
    viewer.send("half").await;
    viewer.read_until("200 OK").await;

    let asked = &origin.requests()[0];
    assert_eq!(asked.header("x-amz-content-sha256").as_deref(), Some("UNSIGNED-PAYLOAD"));
    assert_eq!(asked.header("content-length").as_deref(), Some("8"));
}

/// An answer of a security token service: keys that end so many seconds from now.
#[expect(clippy::disallowed_methods, reason = "the service's own clock, as far as the node can tell")]
fn keys(access: &str, seconds: u64) -> String {
    let end = humantime_serde::re::humantime::format_rfc3339_seconds(
        SystemTime::now() + Duration::from_secs(seconds),
    );
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access}</AccessKeyId>\
         <SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>{end}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
}

#[tokio::test]
async fn keys_of_a_web_identity_are_renewed_while_the_old_ones_serve() {
    let (bucket, service, gate) = (Origin::start().await, Origin::start().await, Gate::closed());
    bucket.on("/media/cat.jpg", |asked| Answer::ok(asked.header("authorization").unwrap_or_default()));
    let (renewal, first) = (gate.clone(), std::sync::atomic::AtomicBool::new(true));
    service.on("/", move |_| match first.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => Answer::ok(keys("OLDKEY", 12)),
        false => Answer::ok(keys("NEWKEY", 3600)).behind(&renewal),
    });
    let folder = Folder::new();
    folder.write("token", "a.web/identity+token");
    let identity = format!(
        "web-identity = {{ role = \"arn:aws:iam::1:role/edge\", token = \"token\", endpoint = \"{}\" }}",
        service.url()
    );
    let node = Node::start_in(folder, &config(&bucket.url(), &identity)).await;
    let signer = async || node.viewer().get(&format!("{SITE}/cat.jpg")).await.text();

    assert!(signer().await.contains("Credential=OLDKEY/"));
    let asked = &service.requests()[0];
    let form = String::from_utf8(asked.body()).unwrap();
    assert!(
        form.contains("Action=AssumeRoleWithWebIdentity")
            && form.contains("WebIdentityToken=a.web%2Fidentity%2Btoken")
    );
    assert_eq!(asked.header("authorization"), None);
    eventually("the keys to be asked for again", async || {
        assert!(signer().await.contains("OLDKEY"), "the old keys serve meanwhile");
        (service.requests().len() == 2).then_some(())
    })
    .await;
    assert!(signer().await.contains("OLDKEY"));
    gate.open();
    eventually("the new keys", async || signer().await.contains("NEWKEY").then_some(())).await;
    assert_eq!(service.requests().len(), 2, "one asks for all");
    assert!(!node.log().contains("identity+token"), "{}", node.log());
}

#[tokio::test]
async fn a_token_service_that_refuses_is_named_and_not_asked_at_every_request() {
    let (bucket, service) = (Bucket::start().await, Origin::start().await);
    service.on("/", |_| {
        Answer::new(403).body("<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
    });
    let folder = Folder::new();
    folder.write("token", "t");
    let identity =
        format!("web-identity = {{ role = \"r\", token = \"token\", endpoint = \"{}\" }}", service.url());
    let node = Node::start_in(folder, &config(bucket.url(), &identity)).await;
    for _ in 0..5 {
        assert_eq!(node.viewer().get(&format!("{SITE}/cat.jpg")).await.status, 502);
    }
    node.log_contains("the security token service: 403 AccessDenied").await;
    assert_eq!(service.requests().len(), 1);
}
