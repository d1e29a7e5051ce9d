//! Signers of others, installed from their registries, and our own in JavaScript and Python: what they make, a node takes.
//!
//! `tests/run` installs them into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tests::{Answer, Folder, LOOPBACK, Node, Origin, Viewer};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const SITE: &str = "https://cdn.test";
/// What breaks signers: reserved characters, escapes, flags, letters that some escape and others do not.
const PATHS: [&str; 6] = [
    "/films/a+b,c@d;e=f.mp4?size=large&flag&t=1+2",
    "/films/a%20b.mp4",
    "/films/%2B%2C%40%3B.mp4?x=%20y",
    "/films/plain.mp4",
    "/films/x?flag",
    "/films/tilde~and*star'().mp4",
];
const EXPIRES: u64 = 4_102_444_800;

pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project").to_owned()
}

pub(crate) fn tools() -> PathBuf {
    let tools = project().join("target/tools");
    for needed in ["python/bin/python", "npm/node_modules/@aws-sdk/cloudfront-signer"] {
        let install = "python3 -m venv target/tools/python && target/tools/python/bin/pip install botocore cryptography jwcrypto && \
                       npm install --prefix target/tools/npm @aws-sdk/cloudfront-signer";
        assert!(
            tools.join(needed).exists(),
            "target/tools/{needed} is missing; tests/run installs it: {install}"
        );
    }
    tools
}

pub(crate) fn vector_keys() -> Value {
    let text = std::fs::read_to_string(project().join("signing/tests/vectors/keys.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A node whose `/films/*` opens to the keys of the vectors.
async fn node(origin: &Origin) -> Node {
    origin.on("*", |request| {
        Answer::ok(format!(
            "{} {}",
            request.target,
            request.header("cookie").unwrap_or_else(|| "-".to_owned())
        ))
    });
    let (folder, keys) = (Folder::new(), vector_keys());
    let mut config = format!("{}\n", LOOPBACK.replace("listen = [", "listen = [\"https://127.0.0.1:0\", "));
    for id in ["rsa", "p256"] {
        folder.write(&format!("{id}.pem"), keys[id]["public"].as_str().unwrap());
        config.push_str(&format!("[key.{id}]\npublic = {{ file = \"{id}.pem\" }}\n"));
    }
    let url = origin.url();
    config.push_str(&format!(
        "[key-group.all]\nkeys = [\"rsa\", \"p256\"]\n[site.\"cdn.test\"]\norigin = \"{url}\"\ntls = \"local\"\n\
         [[site.\"cdn.test\".route]]\npath = \"/films/*\"\nsigned = \"all\"\n"
    ));
    Node::start_in(folder, &config).await
}

pub(crate) async fn run(mut command: Command, input: String) -> Value {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a signer does not start");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a signer prints JSON")
}

/// Canned, bound to an address, custom with a wildcard, and with SHA-256, each for all paths; as URLs and as cookies.
fn orders() -> Vec<Value> {
    let wide = format!(
        r#"{{"Statement":[{{"Resource":"{SITE}/films/*","Condition":{{"DateLessThan":{{"AWS:EpochTime":{EXPIRES}}}}}}}]}}"#
    );
    let all = PATHS.iter().map(|path| format!("{SITE}{path}")).flat_map(|url| {
        [
            json!({ "what": "url", "url": url, "expires": EXPIRES }),
            json!({ "what": "url", "url": url, "expires": EXPIRES, "hash": "SHA256" }),
            json!({ "what": "url", "url": url, "expires": EXPIRES, "ip": "127.0.0.1/32" }),
            json!({ "what": "url", "url": url, "expires": EXPIRES, "policy": wide }),
            json!({ "what": "cookies", "url": url, "expires": EXPIRES }),
            json!({ "what": "cookies", "url": url, "expires": EXPIRES, "policy": wide }),
        ]
    });
    all.collect()
}

/// Asks for everything as it was made, over both protocols.
async fn all_are_accepted(signer: &str, made: &Value) {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let root = std::fs::read_to_string(node.folder().path("state/local-ca/root.pem")).unwrap();
    let viewer = Viewer::https(node.https(), &root, "cdn.test");
    let made = made.as_array().unwrap();
    assert_eq!(made.len(), orders().len());
    for (made, order) in made.iter().zip(orders()) {
        let url = made["url"].as_str().unwrap();
        let cookies = made["cookies"].as_object().into_iter().flatten();
        let cookies = cookies.map(|(name, value)| match value.as_str() {
            Some(text) => format!("; {name}={text}"),
            // The npm signer gives the expiry as a number.
            None => format!("; {name}={value}"),
        });
        let field = format!("session=1{}", cookies.collect::<String>());
        for (protocol, viewer) in [("HTTP/1.1", viewer.clone()), ("HTTP/2", viewer.clone().http2())] {
            let reply = viewer.get_with(url, &[("cookie", &field)]).await;
            assert_eq!(reply.status, 200, "{signer}, {protocol}: {order} made {made}: {}", node.log());
            let text = reply.text();
            let leaks = ["Signature", "Policy", "Key-Pair-Id", "Hash-Algorithm", "Expires="];
            assert!(leaks.iter().all(|name| !text.contains(name)), "the origin saw {text}");
            assert!(text.ends_with(" session=1"), "the origin saw {text}");
        }
        let unsigned = url.split(['?', '&']).next().unwrap();
        assert_eq!(viewer.get(unsigned).await.status, 403, "{unsigned}");
    }
    assert!(!node.log().contains("Signature="), "{}", node.log());
}

async fn make_by_npm(key: &str) -> Value {
    let mut command = Command::new("node");
    command.arg(project().join("tests/signers/npm.mjs")).arg(tools().join("npm"));
    let key = json!({ "orders": orders(), "key": vector_keys()[key]["private"], "keyPairId": key });
    run(command, key.to_string()).await
}

#[tokio::test]
async fn what_botocore_signs_is_accepted() {
    let mut command = Command::new(tools().join("python/bin/python"));
    command.arg(project().join("tests/signers/botocore_signer.py"));
    let input = json!({ "orders": orders(), "key": vector_keys()["rsa"]["private"], "keyPairId": "rsa" });
    all_are_accepted("botocore", &run(command, input.to_string()).await).await;
}

#[tokio::test]
async fn what_the_npm_signer_signs_with_rsa_is_accepted() {
    all_are_accepted("@aws-sdk/cloudfront-signer", &make_by_npm("rsa").await).await;
}

#[tokio::test]
async fn what_the_npm_signer_signs_with_a_curve_is_accepted() {
    all_are_accepted("@aws-sdk/cloudfront-signer", &make_by_npm("p256").await).await;
}

#[tokio::test]
async fn the_javascript_sdk_agrees_with_the_vectors() {
    let mut command = Command::new("node");
    command.arg("--test").current_dir(project().join("signing/sdk/node"));
    let output = command.output().await.expect("these stories need node");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("signs: a canned URL") && said.contains("judges: a prefix"), "{said}");
}

#[tokio::test]
async fn the_python_sdk_agrees_with_the_vectors() {
    let mut command = Command::new(tools().join("python/bin/python"));
    command.args(["-B", "-m", "unittest", "discover", "-s", "tests"]);
    let output = command.current_dir(project().join("signing/sdk/python")).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Ran 5 tests"), "{said}");
}

#[tokio::test]
async fn a_playlist_and_its_segments_stay_open_by_a_renewed_token() {
    let origin = Origin::start().await;
    origin.on("*", |request| {
        Answer::cacheable(format!(
            "{} {}",
            request.target,
            request.header("cookie").unwrap_or_else(|| "-".to_owned())
        ))
    });
    let (folder, keys) = (Folder::new(), vector_keys());
    let secret = folder.write("player.secret", keys["hmac"]["secret"].as_str().unwrap());
    let lines = "[key.hmac]\nsecret = { file = \"player.secret\" }\n[key-group.players]\nkeys = [\"hmac\"]\naccept = [\"uri-signing\"]\n";
    let route = "[[site.\"www.test\".route]]\npath = \"/live/*\"\nsigned = \"players\"\n";
    let node = Node::start_in(folder, &format!("{}\n{route}{lines}", crate::site(&origin))).await;
    let playlist = "http://www.test/live/one/index.m3u8";
    let secret = secret.to_string_lossy();
    let arguments = [
        "sign",
        playlist,
        "--key",
        "hmac",
        "--secret",
        &secret,
        "--scheme",
        "uri-signing",
        "--renew",
        "30s",
        "--depth",
        "2",
    ];
    let pattern = ["--resource", r"http://www\.test/live/.*"];
    let signed = node.folder().run(&[&arguments[..], &pattern].concat()).await;
    let url = signed.stdout.trim();

    let first = node.viewer().get(url).await;
    assert_eq!((first.status, first.text().as_str()), (200, "/live/one/index.m3u8 -"), "{}", signed.stderr);
    let set = first.header("set-cookie");
    let (cookie, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/live/one; Max-Age=30; HttpOnly");
    for number in 0..3 {
        let segment = format!("http://www.test/live/one/{number}.ts");
        let reply = node.viewer().get_with(&segment, &[("cookie", cookie)]).await;
        assert_eq!((reply.status, reply.text()), (200, format!("/live/one/{number}.ts -")));
        assert!(reply.header("set-cookie").starts_with("URISigningPackage="));
        assert_eq!(node.viewer().get(&segment).await.status, 403);
        let again = node.viewer().get_with(&segment, &[("cookie", cookie)]).await;
        assert!(again.is_hit(), "one stored answer for all who may: {}", again.header("cache-status"));
    }
    let elsewhere = node.viewer().get_with("http://www.test/live/../other", &[("cookie", cookie)]).await;
    assert!(elsewhere.header("set-cookie").is_empty());
    assert!(!node.log().contains(cookie.split('=').next_back().unwrap()), "no token in the log");
}
