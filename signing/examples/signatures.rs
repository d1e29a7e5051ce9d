//! What checking costs on one core: `cargo run --release -p signing --example signatures`.
//!
//! Each line is the best of five rounds, in time of the processor: the machine may be busy with other things.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "figures are for people to see")]

use signing::{
    Claims, KeyGroup, KeyKind, Policy, Presented, PrivateKey, Reach, SchemeName, Secret, SigningKey, Verdict,
};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const ALL: [SchemeName; 3] = [SchemeName::Cloudfront, SchemeName::UriSigning, SchemeName::Hmac];
const HOST: &str = "https://cdn.example.com";

fn main() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let later = now + Duration::from_secs(3600);
    for kind in [KeyKind::Rsa, KeyKind::P256] {
        let key = PrivateKey::generate(kind).unwrap();
        let group = |remember| {
            let keys = vec![("K1".to_owned(), key.public_key().unwrap().into())];
            KeyGroup::new(keys, &ALL).remembering(remember).bearing(100)
        };
        let name = kind.name();
        let url = signing::sign_canned(&format!("{HOST}/films/a.mp4?size=large"), later, "K1", &key).unwrap();
        let policy = Policy::new(&format!("{HOST}/films/*"), later).unwrap();
        let cookies = signing::cookies_policy(&policy, "K1", &key).unwrap();
        let field: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let field = format!("session=0123456789abcdef; {}", field.join("; "));
        measure(&format!("{name}, canned URL, new each time"), 5_000, &group(0), &url, &[], now, "");
        measure(&format!("{name}, cookie, new each time"), 5_000, &group(0), HOST_PATH, &[&field], now, "");
        measure(&format!("{name}, canned URL, again"), 200_000, &group(1024), &url, &[], now, "");
        measure(&format!("{name}, cookie, again"), 200_000, &group(1024), HOST_PATH, &[&field], now, "");
        let junk = |url: &str| url.replace("size=large", "size=small");
        measure(
            &format!("{name}, junk of the right length"),
            200_000,
            &group(1024),
            &junk(&url),
            &[],
            now,
            "signature-flood",
        );
        let short = url.replace("Signature=", "Signature=AAAA");
        measure(
            &format!("{name}, junk of another length"),
            200_000,
            &group(1024),
            &short,
            &[],
            now,
            "parameter-malformed",
        );
    }
    tokens(now, later);
}

const HOST_PATH: &str = "https://cdn.example.com/films/part/000123.ts";

fn tokens(now: SystemTime, later: SystemTime) {
    let secret = Secret::from_text("a secret of more than thirty-two characters").unwrap();
    let group = |key: &SigningKey, remember| {
        KeyGroup::new(vec![("K1".to_owned(), key.verifying().unwrap())], &ALL).remembering(remember)
    };
    let token =
        signing::hmac_token(Reach::Prefix(&format!("{HOST}/films/")), later, None, "K1", &secret).unwrap();
    let secret = SigningKey::Secret(secret);
    let cookie = format!("Selvedge-Token={token}");
    measure("hmac, cookie", 200_000, &group(&secret, 0), HOST_PATH, &[&cookie], now, "");
    let wrong = cookie.replace("-.", "a.");
    measure("hmac, junk", 200_000, &group(&secret, 0), HOST_PATH, &[&wrong], now, "signature-mismatch");
    let pair = |kind| SigningKey::Private(Arc::new(PrivateKey::generate(kind).unwrap()));
    for key in [secret, pair(KeyKind::Ed25519), pair(KeyKind::P256), pair(KeyKind::Rsa)] {
        let name = key.kind().name();
        let claims = Claims::matching("https://cdn\\.example\\.com/films/.*").unwrap().until(later).unwrap();
        let cookie = format!("URISigningPackage={}", signing::sign_jwt(&claims, "K1", &key).unwrap());
        measure(
            &format!("JWT by {name}, new each time"),
            3_000,
            &group(&key, 0),
            HOST_PATH,
            &[&cookie],
            now,
            "",
        );
        measure(
            &format!("JWT by {name}, again"),
            200_000,
            &group(&key, 1024),
            HOST_PATH,
            &[&cookie],
            now,
            "",
        );
    }
}

fn measure(
    name: &str,
    rounds: u32,
    group: &KeyGroup,
    url: &str,
    cookies: &[&str],
    now: SystemTime,
    expected: &str,
) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
    let address: Option<IpAddr> = Some("203.0.113.9".parse().unwrap());
    let presented = Presented { cookies, address, ..Presented::url(scheme, authority, path_and_query) };
    // What the address may do wrong is used up before the clock starts.
    (0..200).for_each(|_| drop(group.verify(&presented, now)));
    match group.verify(&presented, now) {
        Verdict::Granted(_) => assert_eq!(expected, "", "{name}"),
        Verdict::Refused(reason) => assert_eq!(reason.token(), expected, "{name}"),
    }
    let best = (0..5).map(|_| {
        let begun = processor_time();
        (0..rounds).for_each(|_| drop(black_box(group.verify(black_box(&presented), now))));
        (processor_time() - begun) / f64::from(rounds)
    });
    let best = best.fold(f64::INFINITY, f64::min);
    println!("{name:40} {:>8.2} µs {:>12.0} a second", best * 1e6, 1.0 / best);
}

/// Seconds that this thread has computed, as Linux counts them.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
