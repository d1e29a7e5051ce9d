//! What the config key `do` says.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:offered;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/viewer-request@0.1.0;
                export selvedge:edge/origin-request@0.1.0;
                export selvedge:edge/origin-response@0.1.0;
            }
        ",
        world: "selvedge:offered/hook",
        generate_all,
    });
    export!(Offered);
    use super::Offered;
}

use bindings::exports::selvedge::edge::{origin_request, origin_response, viewer_request};
use bindings::selvedge::edge::types::{EditError, Request, Response};
use bindings::selvedge::edge::{config, crypto, facts, kv, log, metrics, secrets};
use viewer_request::Outcome;

struct Offered;

impl viewer_request::Guest for Offered {
    fn on_viewer_request(request: &Request) -> Result<Outcome, String> {
        let text = match task().as_str() {
            "halves" => return halve(request),
            "key-parts" => return key_parts(request),
            "bypass" => {
                request.bypass_cache().map_err(said)?;
                return Ok(Outcome::Next);
            }
            "place" => place(),
            "connection" => connection(),
            "hmac" => hmac(),
            "blab" => return blab(),
            "crypto" => hashes(),
            "hash-much" => hexadecimal(&crypto::sha256(&vec![0; (1 << 20) + 1])),
            "figures" => {
                keep_figures();
                return Ok(Outcome::Next);
            }
            "kv" => store().unwrap_or_else(|error| error.name().to_owned()),
            "count" => count().map_err(|error| error.name().to_owned())?,
            _ => return Ok(Outcome::Next),
        };
        Ok(Outcome::Respond(answer(&text)))
    }
}

impl origin_request::Guest for Offered {
    fn on_origin_request(request: &Request) -> Result<origin_request::Outcome, String> {
        if request.add_key_part("late", "x") != Err(EditError::Forbidden) {
            return Err("the key grew after the cache was asked".to_owned());
        }
        match task().as_str() {
            "halves" => {
                let half = request.key_part("half").unwrap_or_default();
                request.set_header("x-half", half.as_bytes()).map_err(said)?;
            }
            "method" => {
                for never in ["HEAD", "TRACE", "CONNECT", "GE T", ""] {
                    if request.set_method(never).is_ok() {
                        return Err(format!("{never} was taken"));
                    }
                }
                let _ = request.set_method("PURGE");
            }
            _ => {}
        }
        Ok(origin_request::Outcome::Next)
    }
}

impl origin_response::Guest for Offered {
    fn on_origin_response(_: &Request, response: &Response) -> Result<origin_response::Outcome, String> {
        match task().as_str() {
            "keep" => {
                response.set_stale(Some(30), None).map_err(said)?;
                response.set_stale(None, Some(60)).map_err(said)?;
                response.no_store().map_err(said)?;
                response.add_tag("cats").map_err(said)?;
                for wrong in ["", "a b", "cats,dogs"] {
                    if response.add_tag(wrong).is_ok() {
                        return Err(format!("the tag {wrong:?} was taken"));
                    }
                }
            }
            "tags" => {
                response.set_ttl(600).map_err(said)?;
                response.add_tag("cats").map_err(said)?;
                response.add_tag("pets").map_err(said)?;
            }
            "no-store" => response.no_store().map_err(said)?,
            "short" => {
                response.set_ttl(0).map_err(said)?;
                response.set_stale(Some(0), Some(600)).map_err(said)?;
            }
            _ => {}
        }
        Ok(origin_response::Outcome::Next)
    }
}

fn task() -> String {
    config::get("do").unwrap_or_default()
}

fn said(error: EditError) -> String {
    error.name().to_owned()
}

fn answer(text: &str) -> Response {
    let response = Response::new(200);
    let _ = response.set_header("content-type", b"text/plain");
    let _ = response.set_body(text.as_bytes());
    response
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The half of an A/B test that the viewer's cookie says.
fn halve(request: &Request) -> Result<Outcome, String> {
    let cookie = request.header("cookie").unwrap_or_default();
    let half = if cookie == b"half=b" { "b" } else { "a" };
    request.add_key_part("half", half).map_err(said)?;
    Ok(Outcome::Next)
}

fn key_parts(request: &Request) -> Result<Outcome, String> {
    for half in ["a", "b"] {
        request.add_key_part("half", half).map_err(said)?;
    }
    for (name, value) in [("", "x"), ("a b", "x"), ("x", "a\nb"), ("x", "\u{7f}")] {
        if request.add_key_part(name, value) != Err(EditError::InvalidSyntax) {
            return Err(format!("{name:?} = {value:?} was taken"));
        }
    }
    for (name, length) in [("n".repeat(65), 1), ("n".to_owned(), 257)] {
        if request.add_key_part(&name, &"v".repeat(length)) != Err(EditError::TooLarge) {
            return Err(format!("{name} with {length} bytes was taken"));
        }
    }
    while request.add_key_part(&format!("n{}", another_number()), "v").is_ok() {}
    request.bypass_cache().map_err(said)?;
    Ok(Outcome::Next)
}

/// Another number each time: a call's instance is its own.
fn another_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Relaxed)
}

fn place() -> String {
    [
        facts::viewer_country().unwrap_or_default(),
        facts::viewer_continent().unwrap_or_default(),
        facts::viewer_region().unwrap_or_default(),
        facts::viewer_city().unwrap_or_default(),
        format!("{:?}", facts::viewer_location()),
        facts::viewer_time_zone().unwrap_or_default(),
        format!("{:?}", facts::viewer_asn()),
    ]
    .join("|")
}

fn connection() -> String {
    [
        format!("{:?}", facts::viewer_port().is_some()),
        facts::tls_cipher().unwrap_or_default(),
        facts::tls_protocol().unwrap_or_default(),
        facts::tls_server_name().unwrap_or_default(),
        facts::grant_scheme().unwrap_or_default(),
        facts::grant_key().unwrap_or_default(),
        format!("{:?}", facts::grant_expires()),
        facts::grant_resource().unwrap_or_default(),
    ]
    .join("|")
}

fn hmac() -> String {
    let Some(secret) = secrets::get("jwt") else { return "no secret".to_owned() };
    let data = b"what do ya want for nothing?";
    let mac = secret.hmac_sha256(data);
    [
        hexadecimal(&mac),
        secret.verify_hmac_sha256(data, &mac).to_string(),
        secret.verify_hmac_sha256(b"other", &mac).to_string(),
        secret.verify_hmac_sha256(data, &mac[..31]).to_string(),
        secrets::get("other").map_or("none".to_owned(), |_| "some".to_owned()),
    ]
    .join("|")
}

/// Tells its secret in every way that it has.
fn blab() -> Result<Outcome, String> {
    let secret = secrets::get("jwt").map(|secret| secret.reveal()).unwrap_or_default();
    let secret = String::from_utf8_lossy(&secret);
    log::log(log::Level::Info, &format!("logged {secret}"));
    println!("printed {secret}");
    Err(format!("failed with {secret}"))
}

fn hashes() -> String {
    let verify = |algorithm| match crypto::verify(algorithm, "no key", b"abc", b"") {
        Ok(verdict) => verdict.to_string(),
        Err(error) => error.name().to_owned(),
    };
    [hexadecimal(&crypto::sha256(b"abc")), verify("RS256"), verify("none")].join("|")
}

fn keep_figures() {
    metrics::count("seen", 1);
    metrics::count("seen", 2);
    metrics::observe("score", 0.5);
    metrics::count("one-too-many", 1);
}

fn store() -> Result<String, kv::KvError> {
    let store = kv::open("visits")?;
    let visits = store.increment("visits:1", 1, Some(3600))?;
    let kept =
        store.get("kept")?.map_or("none".to_owned(), |kept| String::from_utf8_lossy(&kept).into_owned());
    store.set("kept", b"kept", None)?;
    store.set("gone", b"x", None)?;
    let refusal =
        |refused: Result<(), kv::KvError>| refused.err().map_or("taken", |error| error.name()).to_owned();
    Ok([
        visits.to_string(),
        kept,
        store.delete("gone")?.to_string(),
        store.keys("visits:", 10)?.join(","),
        refusal(store.increment("kept", 1, None).map(drop)),
        refusal(store.set("", b"x", None)),
        refusal(store.set("large", &vec![0; 1 << 20], None)),
        refusal(kv::open("nowhere").map(drop)),
    ]
    .join("|"))
}

fn count() -> Result<String, kv::KvError> {
    Ok(kv::open("visits")?.increment("all", 1, None)?.to_string())
}
