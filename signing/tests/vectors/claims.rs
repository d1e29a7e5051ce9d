//! What stands in tokens as of RFC 9246 that no signer of ours writes.

use super::{case, read};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signing::SchemeName;

const HEADER: &str = r#"{"alg":"HS256","kid":"hmac","typ":"JWT"}"#;

/// A URL with these claims as they stand.
fn sign(header: &str, claims: &Value) -> String {
    let secret = read("keys.json")["hmac"]["secret"].as_str().unwrap().to_owned();
    let message = [header, &claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    signing::in_query("https://cdn.test/a", SchemeName::UriSigning, &format!("{message}.{signature}"))
}

/// Addresses that jwcrypto has encrypted (vectors/encrypted.py), and what is no JWE.
pub(super) fn encrypted() -> Vec<Value> {
    let made = read("encrypted.json");
    let made = made.as_array().unwrap();
    let claims = |address: &str| json!({ "cdniuc": r"regex:https://cdn\.test/.*", "cdniip": address });
    let text = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    let mut all: Vec<Value> = made
        .iter()
        .map(|made| {
            let name = format!("an address encrypted {}", text(made, "name"));
            case(&name, &sign(HEADER, &claims(&text(made, "cdniip"))), &[], &text(made, "expected"))
        })
        .collect();
    let good = text(&made[1], "cdniip");
    let parts: Vec<&str> = good.split('.').collect();
    let protected = |header: &str| good.replacen(parts[0], &URL_SAFE_NO_PAD.encode(header), 1);
    let with = |index: usize, part: &str| {
        let mut parts = parts.clone();
        parts[index] = part;
        parts.join(".")
    };
    for (name, sealed, expected) in [
        ("of four parts", parts[..4].join("."), "token-malformed"),
        ("of six parts", format!("{good}."), "token-malformed"),
        ("of empty parts", "....".to_owned(), "token-malformed"),
        ("with padding", with(4, &format!("{}==", parts[4])), "token-malformed"),
        ("with a short tag", with(4, &parts[4][..20]), "token-malformed"),
        ("with a long nonce", with(2, parts[4]), "token-malformed"),
        ("with a key where none belongs", with(1, parts[4]), "token-malformed"),
        ("with another tag", with(4, "AAAAAAAAAAAAAAAAAAAAAA"), "decryption-failed"),
        ("with another nonce", with(2, "AAAAAAAAAAAAAAAA"), "decryption-failed"),
        (
            "in another spelling",
            protected(r#"{"alg":"dir","enc":"A256GCM","kid":"aes256"}"#),
            "decryption-failed",
        ),
        ("without an algorithm", protected(r#"{"enc":"A256GCM","kid":"aes256"}"#), "token-malformed"),
        (
            "with a list of names",
            protected(r#"{"alg":"dir","enc":"A256GCM","kid":["aes256"]}"#),
            "token-malformed",
        ),
        (
            "by the name of nothing",
            protected(r#"{"alg":"dir","enc":"A256GCM","kid":null}"#),
            "token-malformed",
        ),
        (
            "with what must be understood",
            protected(r#"{"alg":"dir","enc":"A256GCM","kid":"aes256","crit":["exp"],"exp":1}"#),
            "token-malformed",
        ),
        ("by a header in a list", protected(r#"["dir","A256GCM","aes256"]"#), "token-malformed"),
        ("by a header of no JSON", protected("{"), "token-malformed"),
        ("at length", with(3, &"A".repeat(2000)), "token-malformed"),
    ] {
        all.push(case(
            &format!("an encrypted address {name}"),
            &sign(HEADER, &claims(&sealed)),
            &[],
            expected,
        ));
    }
    for (address, expected) in [
        ("[2001:db8::1/32]", "address-mismatch"),
        ("[203.0.113.9]", "token-malformed"),
        ("[::/0", "token-malformed"),
    ] {
        all.push(case(&format!("{address} in brackets"), &sign(HEADER, &claims(address)), &[], expected));
    }
    all
}

/// The longer example that the draft of RFC 9246 was published with, as its authors' program (linuxwolf/URISigningSpec) made it: signed by
/// ES256, with an encrypted `cdniip` ("[2001:db8::1/32]") and an encrypted `sub`.
pub(super) fn standard() -> Vec<Value> {
    let token = include_str!("rfc9246.jwt").trim();
    let url = "http://cdni.example/foo/bar/123.png";
    let at = |address: &str, now: u64, expected: &str| {
        let mut case = case(
            &format!("RFC 9246's example at {address}"),
            &signing::in_query(url, SchemeName::UriSigning, token),
            &[],
            expected,
        );
        case["issuers"] = json!(["uCDN Inc"]);
        case["audience"] = json!(["dCDN LLC"]);
        case["address"] = address.into();
        case["now"] = now.into();
        case
    };
    vec![
        at("2001:db8::5", 1_641_000_000, "granted"),
        at("2001:db8:ffff::1", 1_641_000_000, "granted"),
        at("2001:db9::5", 1_641_000_000, "address-mismatch"),
        at("203.0.113.9", 1_641_000_000, "address-mismatch"),
        at("2001:db8::5", 1_641_079_223, "signature-expired"),
    ]
}

/// Claims that are not what RFC 9246 says they are.
pub(super) fn odd_claims() -> Vec<Value> {
    let open = json!({ "cdniuc": r"regex:https://cdn\.test/.*" });
    let mut all = vec![
        case(
            "claims of somebody else beside",
            &sign(HEADER, &json!({ "cdniuc": open["cdniuc"], "x": null })),
            &[],
            "granted",
        ),
        case(
            "claims in a list",
            &sign(HEADER, &json!([null, null, null, open["cdniuc"]])),
            &[],
            "token-malformed",
        ),
        case("a list of key ids", &sign(r#"{"alg":"HS256","kid":["hmac"]}"#, &open), &[], "token-malformed"),
    ];
    const NAMES: &str = "iss sub aud exp nbf iat jti cdniv cdnicrit cdniip cdniuc cdniets cdnistt cdnistd";
    let nulls = NAMES.split(' ').map(|name| (name, Value::Null));
    let others = [
        ("iss", json!(5)),
        ("aud", json!(5)),
        ("aud", json!([{}])),
        ("exp", json!("2000")),
        ("exp", json!(1e30)),
        ("nbf", json!(1e30)),
        ("nbf", json!(1_000_000_000_000_u64)),
        ("cdniv", json!(true)),
        ("cdniip", json!(5)),
        ("cdniip", json!("1:2:3:4:5:6:7:8:9::1")),
        ("cdniip", json!("here")),
        ("cdniuc", json!([open["cdniuc"]])),
    ];
    for (name, value) in nulls.chain(others) {
        let mut claims = open.clone();
        claims[name] = value.clone();
        all.push(case(&format!("{name}: {value}"), &sign(HEADER, &claims), &[], "token-malformed"));
    }
    all
}
