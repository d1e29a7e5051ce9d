//! Tokens whose address only the node can read (RFC 9246 section 2.1.10), minted by another's library and by our own command.

use serde_json::{Value, json};
use tests::{Answer, Folder, Node, Origin};
use tokio::process::Command;

use crate::signers::{project, run, tools, vector_keys};
use crate::{SITE, site};

const NARROW: &str = "f-WbjxBC3dPuI3d24kP2hfvos7Qz688UTi6aB0hN998";
const ROUTE: &str = "[[site.\"www.test\".route]]\npath = \"/live/*\"\nsigned = \"players\"\n";

/// A node whose `/live/*` opens to tokens of the vectors' P-256 key with addresses that are encrypted by either of two keys.
async fn node(origin: &Origin) -> Node {
    let (folder, keys) = (Folder::new(), vector_keys());
    folder.write("p256.pem", keys["p256"]["public"].as_str().unwrap());
    let mut config = format!("{}\n{ROUTE}[key.p256]\npublic = {{ file = \"p256.pem\" }}\n", site(origin));
    for id in [NARROW, "aes256"] {
        folder.write(&format!("{id}.aes"), keys[id]["encryption"].as_str().unwrap());
        config.push_str(&format!("[key.{id}]\nencryption = {{ file = \"{id}.aes\" }}\n"));
    }
    config.push_str(&format!(
        "[key-group.players]\nkeys = [\"p256\"]\naccept = [\"uri-signing\"]\ndecrypt-with = [\"{NARROW}\", \"aes256\"]\n"
    ));
    Node::start_in(folder, &config).await
}

async fn made_by_jwcrypto(orders: &Value) -> Vec<String> {
    let mut command = Command::new(tools().join("python/bin/python"));
    command.arg(project().join("tests/signers/jwcrypto_signer.py"));
    let keys = vector_keys();
    let encryption = json!({ NARROW: keys[NARROW]["encryption"], "aes256": keys["aes256"]["encryption"],
        "stranger": keys["aes256"]["encryption"] });
    let input =
        json!({ "orders": orders, "key": keys["p256"]["private"], "kid": "p256", "encryption": encryption });
    serde_json::from_value(run(command, input.to_string()).await).unwrap()
}

#[tokio::test]
async fn addresses_that_jwcrypto_has_encrypted_are_read() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("the film"));
    let node = node(&origin).await;
    let cases = [
        (NARROW, "dir", "A128GCM", "127.0.0.1", None),
        ("aes256", "dir", "A256GCM", "127.0.0.0/8", None),
        (NARROW, "A128KW", "A256GCM", "127.0.0.1/32", None),
        ("aes256", "A256KW", "A128GCM", "127.0.0.1", None),
        ("aes256", "dir", "A256GCM", "203.0.113.0/24", Some("address-mismatch")),
        ("aes256", "dir", "A256GCM", "2001:db8::/32", Some("address-mismatch")),
        ("aes256", "dir", "A256GCM", "here", Some("token-malformed")),
        ("stranger", "dir", "A256GCM", "127.0.0.1", Some("key-unknown")),
    ];
    let order = |(kid, alg, enc, ip, _): &(&str, &str, &str, &str, Option<&str>)| {
        json!({ "kid": kid, "alg": alg, "enc": enc, "ip": ip, "exp": 4_102_444_800_u64,
            "cdniuc": format!("regex:{}/live/.*", SITE.replace('.', r"\.")) })
    };
    let orders: Value = cases.iter().map(order).collect();
    for (token, case) in made_by_jwcrypto(&orders).await.iter().zip(cases) {
        let url = format!("{SITE}/live/film?URISigningPackage={token}");
        // Twice: the second time the token is remembered.
        for _ in 0..2 {
            let reply = node.viewer().get(&url).await;
            let reason = reply.header("proxy-status");
            match case.4 {
                None => {
                    assert_eq!((reply.status, reply.text().as_str()), (200, "the film"), "{case:?} {reason}");
                }
                Some(expected) => {
                    assert_eq!(reply.status, 403, "{case:?}");
                    assert!(reason.contains(expected), "{case:?}: {reason}");
                }
            }
        }
    }
    assert!(!node.log().contains("URISigningPackage"), "{}", node.log());
}

#[tokio::test]
async fn an_address_that_the_command_line_encrypts_stays_between_signer_and_node() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("the film"));
    let folder = Folder::new();
    let signs = folder.run(&["key", "new", "--id", "shop", "--kind", "ed25519", "--group", "players"]).await;
    let seals = folder.run(&["key", "new", "--id", "addresses", "--kind", "aes", "--group", "players"]).await;
    assert!(seals.stdout.contains("# in [key-group.players]"), "{}", seals.stdout);
    let lines = format!("{}decrypt-with = [\"addresses\"]\n{}", signs.stdout, seals.stdout);
    folder.write("selvedge.toml", format!("{}\n{ROUTE}{lines}", site(&origin)));
    let url = format!("{SITE}/live/film");
    let signed = |ip: &'static str| {
        let (folder, url) = (&folder, &url);
        async move { folder.run(&["sign", url, "--ip", ip]).await }
    };
    let [here, elsewhere] = [signed("127.0.0.0/8").await, signed("203.0.113.9").await];
    assert_eq!((here.code, elsewhere.code), (Some(0), Some(0)), "{}{}", here.stderr, elsewhere.stderr);
    let [here, elsewhere] = [here.stdout.trim(), elsewhere.stdout.trim()];

    let judged = folder.run(&["verify", here, "--ip", "127.0.0.1"]).await;
    assert_eq!(judged.code, Some(0), "{}{}", judged.stdout, judged.stderr);
    assert!(judged.stdout.contains("127.0.0.0/8 (encrypted)"), "{}", judged.stdout);
    let judged = folder.run(&["verify", elsewhere, "--ip", "127.0.0.1"]).await;
    assert!(judged.stdout.contains("address-mismatch"), "{}", judged.stdout);
    let alone = ["verify", here, "--key", "shop", "--public", "keys/shop.public.pem", "--ip", "127.0.0.1"];
    let judged = folder.run(&alone).await;
    assert!(judged.stdout.contains("refused: key-unknown: the key that encrypts"), "{}", judged.stdout);
    assert!(judged.stdout.contains("decrypt-with"), "{}", judged.stdout);
    let judged =
        folder.run(&[&alone[..], &["--decrypt-with", "addresses=keys/addresses.aes"]].concat()).await;
    assert_eq!(judged.code, Some(0), "{}{}", judged.stdout, judged.stderr);

    let config = std::fs::read_to_string(folder.path("selvedge.toml")).unwrap();
    let node = Node::start_in(folder, &config).await;
    assert_eq!(node.viewer().get(here).await.status, 200, "{}", node.log());
    assert_eq!(node.viewer().get(elsewhere).await.status, 403);
    let kept = node
        .folder()
        .run(&["sign", &url, "--ip", "127.0.0.1", "--scheme", "cloudfront", "--encrypt-with", "a=b"])
        .await;
    assert_eq!(kept.code, Some(1), "{}", kept.stderr);
}
