//! The vectors that hold this crate and the SDKs in other languages to the same bytes and the same verdicts.
//!
//! `SELVEDGE_BLESS=1 cargo test -p signing --test vectors` writes what is expected anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signing::{
    Claims, EncryptionKey, KeyGroup, KeyKind, Policy, Presented, PrivateKey, Reach, SchemeName, Secret,
    SigningKey, Verdict,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

#[path = "vectors/claims.rs"]
mod claims;

const OPENSSL: [&str; 5] = [
    include_str!("vectors/sha1.url"),
    include_str!("vectors/sha256.url"),
    include_str!("vectors/sha1-query.url"),
    include_str!("vectors/sha256-scattered.url"),
    include_str!("vectors/sha1-expired.url"),
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn write(name: &str, value: &Value) {
    std::fs::write(path(name), format!("{value:#}\n")).unwrap();
}

fn is_blessing() -> bool {
    std::env::var_os("SELVEDGE_BLESS").is_some()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn signers() -> BTreeMap<String, SigningKey> {
    let key = |value: &Value| {
        let text = value.get("secret").or(value.get("private")).unwrap().as_str().unwrap();
        SigningKey::from_text(text).unwrap()
    };
    let keys = read("keys.json");
    let signing = keys.as_object().unwrap().iter().filter(|(_, value)| value.get("encryption").is_none());
    signing.map(|(id, value)| (id.clone(), key(value))).collect()
}

fn decryption() -> Vec<(String, EncryptionKey)> {
    let keys = read("keys.json");
    let encrypting = keys.as_object().unwrap().iter().filter_map(|(id, value)| {
        Some((id.clone(), EncryptionKey::from_text(value.get("encryption")?.as_str()?).unwrap()))
    });
    encrypting.collect()
}

/// One vector: what to make of what.
struct Order<'a>(&'a Value);

impl<'a> Order<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn time(&self, name: &str) -> Option<SystemTime> {
        self.0.get(name).and_then(Value::as_u64).map(at)
    }

    fn policy(&self) -> Option<Policy> {
        let resource = self.text("resource").or(self.text("url")).unwrap();
        let mut policy = Policy::new(resource, self.time("expires").unwrap()).unwrap();
        if let Some(starts) = self.time("starts") {
            policy = policy.starting(starts).unwrap();
        }
        if let Some(ip) = self.text("ip") {
            policy = policy.only_from(ip).unwrap();
        }
        ["resource", "starts", "ip"].iter().any(|name| self.0.get(name).is_some()).then_some(policy)
    }

    fn claims(&self) -> Claims {
        let mut claims = match self.text("url") {
            Some(url) => Claims::for_url(url).unwrap(),
            None => Claims::matching(self.text("pattern").unwrap()).unwrap(),
        };
        if let Some(expires) = self.time("expires") {
            claims = claims.until(expires).unwrap();
        }
        if let Some(starts) = self.time("starts") {
            claims = claims.starting(starts).unwrap();
        }
        if let Some(ip) = self.text("ip") {
            claims = claims.only_from(ip).unwrap();
        }
        claims = self.text("issuer").map_or(claims.clone(), |issuer| claims.issued_by(issuer));
        claims = self.text("audience").map_or(claims.clone(), |audience| claims.for_audience(audience));
        claims = self.text("id").map_or(claims.clone(), |id| claims.once(id));
        if let Some(renew) = self.0.get("renew") {
            let lifetime = Duration::from_secs(renew["seconds"].as_u64().unwrap());
            claims = claims.renewed_for(lifetime, renew["depth"].as_u64().unwrap());
        }
        claims
    }

    fn make(&self, keys: &BTreeMap<String, SigningKey>) -> Value {
        let id = self.text("key").unwrap();
        let expires = self.time("expires");
        match (self.text("make").unwrap(), &keys[id]) {
            ("url", SigningKey::Private(key)) => {
                let url = self.text("url").unwrap();
                match self.policy() {
                    Some(policy) => signing::sign_policy(url, &policy, id, key).unwrap().into(),
                    None => signing::sign_canned(url, expires.unwrap(), id, key).unwrap().into(),
                }
            }
            ("cookies", SigningKey::Private(key)) => {
                let cookies = match self.policy() {
                    Some(policy) => signing::cookies_policy(&policy, id, key),
                    None => signing::cookies_canned(self.text("url").unwrap(), expires.unwrap(), id, key),
                };
                json!(cookies.unwrap().into_iter().collect::<BTreeMap<_, _>>())
            }
            ("hmac", SigningKey::Secret(secret)) => {
                let reach = match (self.text("prefix"), self.text("url")) {
                    (Some(prefix), _) => Reach::Prefix(prefix),
                    (None, url) => Reach::Url(url.unwrap()),
                };
                let address = self.text("ip").map(|ip| ip.parse().unwrap());
                signing::hmac_token(reach, expires.unwrap(), address, id, secret).unwrap().into()
            }
            ("jwt", key) => signing::sign_jwt(&self.claims(), id, key).unwrap().into(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_signed_is_the_same_in_every_language() {
    let keys = signers();
    let mut orders = read("sign.json");
    for order in orders.as_array_mut().unwrap() {
        let made = Order(order).make(&keys);
        match is_blessing() {
            true => order["expected"] = made,
            false => assert_eq!(made, order["expected"], "{}", order["name"]),
        }
    }
    if is_blessing() {
        write("sign.json", &orders);
    }
}

#[test]
fn verdicts_are_the_same_in_every_language() {
    let keys = signers();
    if is_blessing() {
        write("verify.json", &cases(&keys).into());
    }
    let verifiers = || keys.iter().map(|(id, key)| (id.clone(), key.verifying().unwrap())).collect();
    let list = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let cases = read("verify.json");
    for case in cases.as_array().unwrap() {
        let accept: Vec<SchemeName> = serde_json::from_value(case["accept"].clone()).unwrap();
        let group = KeyGroup::new(verifiers(), &accept)
            .between(list(&case["issuers"]), list(&case["audience"]))
            .decrypting_with(decryption());
        let url = case["url"].as_str().unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
        let cookies = list(&case["cookies"]);
        let cookies: Vec<&str> = cookies.iter().map(String::as_str).collect();
        let address = case["address"].as_str().map(|address| address.parse().unwrap());
        let presented =
            Presented { cookies: &cookies, address, ..Presented::url(scheme, authority, path_and_query) };
        let verdict = match group.verify(&presented, at(case["now"].as_u64().unwrap())) {
            Verdict::Granted(_) => "granted",
            Verdict::Refused(reason) => reason.token(),
        };
        assert_eq!(verdict, case["expected"], "{case:#}");
    }
    assert!(cases.as_array().unwrap().len() >= 60);
}

/// A request and what must become of it.
fn case(name: &str, url: &str, cookies: &[&str], expected: &str) -> Value {
    json!({
        "name": name, "url": url, "cookies": cookies, "address": "203.0.113.9", "now": 1500,
        "accept": ["cloudfront", "uri-signing", "hmac"], "issuers": ["shop"], "audience": ["edge"],
        "expected": expected,
    })
}

fn cases(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let mut all: Vec<Value> = OPENSSL
        .iter()
        .map(|url| {
            let expected = if url.contains("Expires=1000000000") { "signature-expired" } else { "granted" };
            let mut case = case("signed by openssl", &url.trim().replace("KTEST", "rsa"), &[], expected);
            case["now"] = 1_800_000_000_u64.into();
            case
        })
        .collect();
    all.extend(canned(keys));
    all.extend(custom(keys));
    all.extend(tokens(keys));
    all.extend(jwts(keys));
    all.extend(dots(keys));
    all.extend(several_cookies(keys));
    all.extend(odd_policies());
    all.extend(claims::odd_claims());
    all.extend(claims::encrypted());
    all.extend(claims::standard());
    all
}

fn private<'a>(keys: &'a BTreeMap<String, SigningKey>, id: &str) -> &'a PrivateKey {
    match &keys[id] {
        SigningKey::Private(key) => key,
        SigningKey::Secret(_) => panic!("{id} is a secret"),
    }
}

fn canned(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let plain = "https://cdn.test/films/a%20b,c+d@e;f=g.mp4?size=large&flag&t=1+2";
    let mut all = Vec::new();
    for id in ["rsa", "p256"] {
        let url = signing::sign_canned(plain, at(2000), id, private(keys, id)).unwrap();
        for (name, changed, expected) in [
            ("a canned policy", url.clone(), "granted"),
            ("another path", url.replace("films", "songs"), "signature-mismatch"),
            ("another encoding of the path", url.replace("%20", "+"), "signature-mismatch"),
            ("an escape more", url.replace(",c", "%2Cc"), "signature-mismatch"),
            ("a flag with a value", url.replace("&flag&", "&flag=&"), "signature-mismatch"),
            ("a later expiry", url.replace("Expires=2000", "Expires=3000"), "signature-mismatch"),
            ("an earlier end", url.replace("Expires=2000", "Expires=1500"), "signature-expired"),
            ("an expiry with a sign", url.replace("Expires=2000", "Expires=+2000"), "parameter-malformed"),
            ("an expiry twice", format!("{url}&Expires=2000"), "parameter-duplicate"),
            ("no signature", url.replace("Signature=", "Sig="), "parameter-missing"),
            ("a signature that is none", url.replace("Signature=", "Signature=*"), "parameter-malformed"),
            ("another key", url.replace(&format!("Id={id}"), "Id=nobody"), "key-unknown"),
            ("a secret for a key", url.replace(&format!("Id={id}"), "Id=hmac"), "key-unsuitable"),
            ("a kind that does not sign", url.replace(&format!("Id={id}"), "Id=ed25519"), "key-unsuitable"),
            ("another hash", url.replace("=SHA256", "=SHA1"), "signature-mismatch"),
            ("no hash at all", url.replace("=SHA256", "=none"), "parameter-malformed"),
            ("a policy beside the expiry", format!("{url}&Policy=e30_"), "policy-ambiguous"),
            ("another host", url.replace("cdn.test", "dn.test"), "signature-mismatch"),
            ("no signature where one is needed", plain.to_owned(), "signature-missing"),
        ] {
            all.push(case(&format!("{name}, {id}"), &changed, &[], expected));
        }
        let cookies = signing::cookies_canned(plain, at(2000), id, private(keys, id)).unwrap();
        let field = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let one = format!("a=b; {}", field.join(";"));
        let several: Vec<&str> = field.iter().map(String::as_str).collect();
        all.push(case(&format!("canned cookies, {id}"), plain, &[&one], "granted"));
        all.push(case(&format!("canned cookies in several fields, {id}"), plain, &several, "granted"));
        all.push(case("cookies for another URL", "https://cdn.test/b", &[&one], "signature-mismatch"));
        all.push(case(
            "a signed URL goes before cookies",
            &format!("{plain}&Expires=9"),
            &[&one],
            "parameter-missing",
        ));
        all.push(case("a cookie twice", plain, &[&one, "CloudFront-Expires=2000"], "parameter-duplicate"));
    }
    all
}

fn custom(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let mut all = Vec::new();
    let mut judge = |name: &str, policy: Policy, url: &str, expected: &str| {
        let signed = signing::sign_policy(url, &policy, "rsa", private(keys, "rsa")).unwrap();
        all.push(case(name, &signed, &[], expected));
    };
    let policy = |resource: &str| Policy::new(resource, at(2000)).unwrap();
    for (resource, url, expected) in [
        ("https://cdn.test/films/*", "https://cdn.test/films/a?b=c", "granted"),
        ("https://cdn.test/films/*", "https://cdn.test/songs/a", "resource-mismatch"),
        ("https://cdn.test/*.jpg", "https://cdn.test/secret?x=.jpg", "resource-mismatch"),
        ("https://*.cdn.test/a", "https://x/y.cdn.test/a", "resource-mismatch"),
        ("https://*.cdn.test/a", "https://x.cdn.test/a", "granted"),
        ("http*://CDN.test/a?b=*", "https://cdn.test/a?b=1&c=2", "granted"),
        ("https://cdn.test/a?c", "https://cdn.test/abc", "granted"),
        ("https://cdn.test/a?c", "https://cdn.test/abbc", "resource-mismatch"),
        ("*cdn.test/a/*", "http://cdn.test/a/b", "granted"),
        ("*", "https://cdn.test/a?b", "granted"),
        ("https://cdn.test/a%2Fb", "https://cdn.test/a%2fb", "resource-mismatch"),
    ] {
        judge(&format!("{resource} for {url}"), policy(resource), url, expected);
    }
    let url = "https://cdn.test/a";
    for (ip, expected) in [
        ("203.0.113.0/24", "granted"),
        ("203.0.113.9", "granted"),
        ("203.0.113.8", "address-mismatch"),
        ("2001:db8::/32", "address-mismatch"),
        ("0.0.0.0/0", "granted"),
    ] {
        judge(&format!("only from {ip}"), policy("*").only_from(ip).unwrap(), url, expected);
    }
    judge("not yet", policy("*").starting(at(1500)).unwrap(), url, "signature-early");
    judge("already", policy("*").starting(at(1499)).unwrap(), url, "granted");
    judge("no longer", Policy::new("*", at(1500)).unwrap(), url, "signature-expired");
    let signed = signing::sign_policy(url, &policy("*"), "rsa", private(keys, "rsa")).unwrap();
    all.push(case(
        "a policy that is no base64",
        &signed.replace("Policy=", "Policy=*"),
        &[],
        "parameter-malformed",
    ));
    all.push(case(
        "a policy that is no JSON",
        &signed.replace("Policy=e", "Policy=f"),
        &[],
        "policy-malformed",
    ));
    let cookies =
        signing::cookies_policy(&policy("https://cdn.test/*"), "p256", private(keys, "p256")).unwrap();
    let field = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    all.push(case("custom cookies", "https://cdn.test/x/y.ts?z", &[&field], "granted"));
    all.push(case("custom cookies elsewhere", "https://dn.test/x", &[&field], "resource-mismatch"));
    all
}

/// What leads out of that with which it begins is refused, whatever signs it.
fn dots(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let SigningKey::Secret(secret) = &keys["hmac"] else { panic!("no secret") };
    let token = signing::hmac_token(Reach::Prefix("https://cdn.test/free/"), at(2000), None, "hmac", secret);
    let claims = Claims::matching(r"https://cdn\.test/free/.*").unwrap().until(at(2000)).unwrap();
    let policy = Policy::new("https://cdn.test/free/*", at(2000)).unwrap();
    let policy = signing::cookies_policy(&policy, "rsa", private(keys, "rsa")).unwrap();
    let policy = policy.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let jwt = signing::sign_jwt(&claims, "hmac", &keys["hmac"]).unwrap();
    let (token, jwt) = (format!("Selvedge-Token={}", token.unwrap()), format!("URISigningPackage={jwt}"));
    let mut all = Vec::new();
    for (what, cookie) in [("a prefix", &token), ("a pattern", &jwt), ("a policy", &policy)] {
        for (path, expected) in [
            ("/free/.hidden/a..b/...", "granted"),
            ("/free/a?b=/../c", "granted"),
            ("/free/../premium/film", "url-malformed"),
            ("/free/%2e%2E/premium/film", "url-malformed"),
            ("/free/.%2e/premium/film", "url-malformed"),
            ("/free/./film", "url-malformed"),
            ("/free/..", "url-malformed"),
            ("/free/..%2fpremium/film", "url-malformed"),
            ("/free/a%5c..%5C..%5Cpremium/film", "url-malformed"),
            ("/free/..;v=1/premium/film", "url-malformed"),
            ("/free/..;URISigningPackage=x/premium/film", "url-malformed"),
        ] {
            all.push(case(
                &format!("{what} and {path}"),
                &format!("https://cdn.test{path}"),
                &[cookie],
                expected,
            ));
        }
    }
    all
}

/// Browsers send every cookie of a name whose path fits, the longest path first.
fn several_cookies(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let token = |pattern: &str, expires: u64| {
        let claims = Claims::matching(pattern).unwrap().until(at(expires)).unwrap();
        format!("URISigningPackage={}", signing::sign_jwt(&claims, "hmac", &keys["hmac"]).unwrap())
    };
    let (good, late) = (token(r"https://cdn\.test/live/.*", 2000), token(r"https://cdn\.test/live/.*", 1400));
    let elsewhere = token(r"https://cdn\.test/films/.*", 2000);
    let url = "https://cdn.test/live/a";
    vec![
        case("a renewed cookie before the first", url, &[&format!("{good}; {late}")], "granted"),
        case("a cookie of another path first", url, &[&format!("{elsewhere};{good}")], "granted"),
        case("two fields", url, &[&late, &good], "granted"),
        case("no token, then a good one", url, &[&format!("URISigningPackage=; {good}")], "granted"),
        case("two cookies, neither good", url, &[&format!("{elsewhere}; {late}")], "resource-mismatch"),
        case(
            "eight cookies before the good one",
            url,
            &[&format!("{}{good}", format!("{late}; ").repeat(8))],
            "signature-expired",
        ),
    ]
}

/// What a policy must not say, told before its signature is looked at.
fn odd_policies() -> Vec<Value> {
    let until = r#""DateLessThan":{"AWS:EpochTime":2000}"#;
    let cases = [
        ("no resource by null", format!(r#"{{"Statement":[{{"Resource":null,"Condition":{{{until}}}}}]}}"#)),
        ("no address by null", format!(r#"{{"Statement":[{{"Condition":{{{until},"IpAddress":null}}}}]}}"#)),
        (
            "no network by null",
            format!(r#"{{"Statement":[{{"Condition":{{{until},"IpAddress":{{"AWS:SourceIp":null}}}}}}]}}"#),
        ),
        (
            "no start by null",
            format!(r#"{{"Statement":[{{"Condition":{{{until},"DateGreaterThan":null}}}}]}}"#),
        ),
        ("lists for objects", r#"[[["*",[[2000],null,null]]]]"#.to_owned()),
        ("a list for a statement", format!(r#"{{"Statement":[["*",{{{until}}}]]}}"#)),
        (
            "no IPv6",
            format!(
                r#"{{"Statement":[{{"Condition":{{{until},"IpAddress":{{"AWS:SourceIp":"1:2:3:4:5:6:7:8:9::1"}}}}}}]}}"#
            ),
        ),
        (
            "a netmask",
            format!(
                r#"{{"Statement":[{{"Condition":{{{until},"IpAddress":{{"AWS:SourceIp":"203.0.113.0/255.255.255.0"}}}}}}]}}"#
            ),
        ),
    ];
    let encode = |text: &str| STANDARD.encode(text).replace('+', "-").replace('=', "_").replace('/', "~");
    let judged = |(name, text): &(&str, String)| {
        let url = format!("https://cdn.test/a?Policy={}&Signature=x&Key-Pair-Id=rsa", encode(text));
        case(&format!("a policy with {name}"), &url, &[], "policy-malformed")
    };
    let mut all: Vec<Value> = cases.iter().map(judged).collect();
    let inherited = "https://cdn.test/a?Expires=2000&Signature=x&Key-Pair-Id=rsa&Hash-Algorithm=constructor";
    all.push(case("a hash by the name of something else", inherited, &[], "parameter-malformed"));
    all
}

fn tokens(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let SigningKey::Secret(secret) = &keys["hmac"] else { panic!("no secret") };
    let token = |reach, address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        signing::hmac_token(reach, at(2000), address, "hmac", secret).unwrap()
    };
    let prefix = token(Reach::Prefix("https://cdn.test/live/"), None);
    let bound = token(Reach::Url("https://cdn.test/a?b=%20c"), Some("203.0.113.9"));
    let elsewhere = token(Reach::Url("https://cdn.test/a"), Some("203.0.113.8"));
    let six = token(Reach::Url("https://cdn.test/a"), Some("2001:DB8:0:0:0::1"));
    let cookie = format!("Selvedge-Token={prefix}");
    let query = |url: &str, token: &str| signing::in_query(url, SchemeName::Hmac, token);
    let at_six = |address: &str| {
        let mut case = case(&format!("at {address}"), &query("https://cdn.test/a", &six), &[], "granted");
        case["address"] = address.into();
        case
    };
    let mapped = {
        let mut case =
            case("at an address in another", &query("https://cdn.test/a?b=%20c", &bound), &[], "granted");
        case["address"] = "::FFFF:cb00:7109".into();
        case
    };
    vec![
        at_six("2001:db8::1"),
        at_six("2001:0DB8:0::0:1"),
        mapped,
        case("a prefix", &query("https://cdn.test/live/one/a.ts?x", &prefix), &[], "granted"),
        case("a prefix in a cookie", "https://cdn.test/live/b", &[&cookie], "granted"),
        case("beside the prefix", &query("https://cdn.test/lives/a", &prefix), &[], "resource-mismatch"),
        case("another prefix as long", &query("https://cdn.test/film/a", &prefix), &[], "signature-mismatch"),
        case("one URL at one address", &query("https://cdn.test/a?b=%20c", &bound), &[], "granted"),
        case("the same URL otherwise", &query("https://cdn.test/a?b=+c", &bound), &[], "signature-mismatch"),
        case("another address", &query("https://cdn.test/a", &elsewhere), &[], "signature-mismatch"),
        case(
            "a token put off",
            &query("https://cdn.test/live/a", &prefix.replace("2000", "3000")),
            &[],
            "signature-mismatch",
        ),
        case(
            "a token that is over",
            &query("https://cdn.test/live/a", &prefix.replace("2000", "1500")),
            &[],
            "signature-expired",
        ),
        case(
            "a token of nobody",
            &query("https://cdn.test/live/a", &prefix.replace(".hmac", ".x")),
            &[],
            "key-unknown",
        ),
        case("a token that is none", &query("https://cdn.test/live/a", "1.2.3"), &[], "parameter-malformed"),
    ]
}

fn jwts(keys: &BTreeMap<String, SigningKey>) -> Vec<Value> {
    let mut all = Vec::new();
    let query = |url: &str, token: &str| signing::in_query(url, SchemeName::UriSigning, token);
    let pattern = || Claims::matching(r"https://cdn\.test/live/.*").unwrap().until(at(2000)).unwrap();
    for (id, key) in keys {
        let token = signing::sign_jwt(&pattern(), id, key).unwrap();
        let path = format!("https://cdn.test/live;URISigningPackage={token}/one/a.ts");
        let cookie = format!("URISigningPackage={token}");
        let mangled = token.replacen('.', ".e", 1);
        all.push(case(&format!("a JWT by {id}"), &query("https://cdn.test/live/a", &token), &[], "granted"));
        all.push(case(&format!("a JWT by {id} in the path"), &path, &[], "granted"));
        all.push(case(
            &format!("a JWT by {id} in a cookie"),
            "https://cdn.test/live/a",
            &[&cookie],
            "granted",
        ));
        all.push(case(
            &format!("a JWT by {id} elsewhere"),
            "https://cdn.test/b",
            &[&cookie],
            "resource-mismatch",
        ));
        all.push(case(
            &format!("a JWT by {id}, mangled"),
            &query("https://cdn.test/live/a", &mangled),
            &[],
            "token-malformed",
        ));
    }
    let url = "https://cdn.test/live/a?b=c";
    for (name, claims, expected) in [
        ("one URL", Claims::for_url(url).unwrap(), "granted"),
        ("another URL", Claims::for_url("https://cdn.test/live/a").unwrap(), "resource-mismatch"),
        ("a known publisher", pattern().issued_by("shop"), "granted"),
        ("another publisher", pattern().issued_by("other"), "claim-refused"),
        ("for this node", pattern().for_audience("edge"), "granted"),
        ("for another node", pattern().for_audience("other"), "claim-refused"),
        ("at this address", pattern().only_from("203.0.113.0/24").unwrap(), "granted"),
        ("at another address", pattern().only_from("192.0.2.1").unwrap(), "address-mismatch"),
        ("from now", pattern().starting(at(1500)).unwrap(), "granted"),
        ("from later", pattern().starting(at(1501)).unwrap(), "signature-early"),
        ("until now", pattern().until(at(1500)).unwrap(), "signature-expired"),
    ] {
        let token = signing::sign_jwt(&claims, "hmac", &keys["hmac"]).unwrap();
        all.push(case(&format!("a JWT, {name}"), &query(url, &token), &[], expected));
    }
    for (container, asked, expected) in [
        (Claims::matching("https://cdn.test/[^.]*"), "https://cdn.test/a%2Etxt", "resource-mismatch"),
        (Claims::matching("https://cdn.test/a~%2Fb"), "https://cdn.test:443/%61%7e%2fb", "granted"),
        (Claims::for_url("https://cdn.test/a~%2Fb"), "https://cdn.test:443/%61%7e%2fb", "granted"),
        (Claims::for_url("https://cdn.test/a%7e"), "https://cdn.test/a%7e", "granted"),
        (Claims::for_url("https://cdn.test/a%7e"), "https://cdn.test/a~", "resource-mismatch"),
    ] {
        let token = signing::sign_jwt(&container.unwrap(), "hmac", &keys["hmac"]).unwrap();
        all.push(case(
            &format!("a JWT for another spelling than {asked}"),
            &query(asked, &token),
            &[],
            expected,
        ));
    }
    // The public key, which everybody has, as a secret.
    let SigningKey::Private(key) = &keys["rsa"] else { panic!("no key") };
    assert_eq!(key.kind(), KeyKind::Rsa);
    let confused = SigningKey::Secret(Secret::from_text(&key.public_key().unwrap().to_pem()).unwrap());
    let token = signing::sign_jwt(&pattern(), "rsa", &confused).unwrap();
    all.push(case("a JWT with an algorithm of its own choice", &query(url, &token), &[], "key-unsuitable"));
    let late = signing::sign_jwt(&pattern().until(at(1400)).unwrap(), "hmac", &keys["hmac"]).unwrap();
    let cookie =
        format!("URISigningPackage={}", signing::sign_jwt(&pattern(), "hmac", &keys["hmac"]).unwrap());
    all.push(case("an outlived JWT beside its renewal", &query(url, &late), &[&cookie], "granted"));
    all.push(case("an outlived JWT", &query(url, &late), &[], "signature-expired"));
    all
}
