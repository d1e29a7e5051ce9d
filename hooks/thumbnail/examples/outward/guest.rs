//! What the config key `do` says.
#![allow(clippy::panic, reason = "to panic is its job")]

use std::sync::Mutex;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:outward;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/viewer-request@0.1.0;
                export selvedge:edge/origin-request@0.1.0;
                export selvedge:edge/origin-response@0.1.0;
                export selvedge:edge/body-transform@0.1.0;
            }
        ",
        world: "selvedge:outward/hook",
        generate_all,
    });
    export!(Outward);
    use super::Outward;
}

use bindings::exports::selvedge::edge::{body_transform, origin_request, origin_response, viewer_request};
use bindings::selvedge::edge::fetch::{self, FetchError, FetchRequest};
use bindings::selvedge::edge::types::{Request, Response};
use bindings::selvedge::edge::{config, store};

struct Outward;

/// What `transform` has seen of the body.
static SEEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl viewer_request::Guest for Outward {
    fn on_viewer_request(request: &Request) -> Result<viewer_request::Outcome, String> {
        use viewer_request::Outcome;
        Ok(match setting("do").as_str() {
            "fetch" => Outcome::Respond(fetched(request)),
            "compute-and-fetch" => {
                (0..100).for_each(|_| spend());
                Outcome::Respond(fetched(request))
            }
            "fetch-and-read" => Outcome::Respond(read(request)?),
            "fetch-and-go-on" => {
                let response = fetch_one(request).map_err(|error| error.name().to_owned())?;
                let verdict = response.header("x-verdict").unwrap_or_default();
                request.set_header("x-verdict", &verdict).map_err(|error| error.name().to_owned())?;
                Outcome::Next
            }
            "fetch-many" => Outcome::Respond(fetch_many(request)),
            "store" => Outcome::Respond(keep(request)),
            "inspect" => match read_body(request)? {
                Some(body) if body.windows(6).any(|word| word == b"attack") => {
                    let response = Response::new(403);
                    let _ = response.set_body(b"not with me");
                    Outcome::Respond(response)
                }
                body => {
                    let length = body.map_or_else(|| "none".to_owned(), |body| body.len().to_string());
                    request
                        .set_header("x-body", length.as_bytes())
                        .map_err(|error| error.name().to_owned())?;
                    Outcome::Next
                }
            },
            "peek" => {
                let body = request.body().ok_or("no body")?;
                let seen = body.read(4).map_err(|error| error.name().to_owned())?.unwrap_or_default();
                request.set_header("x-body", &seen).map_err(|error| error.name().to_owned())?;
                Outcome::Next
            }
            "refuse-unread" => Outcome::Respond(answer("no")),
            "read-and-trap" => {
                let _ = read_body(request);
                panic!("after reading")
            }
            _ => Outcome::Next,
        })
    }
}

impl origin_request::Guest for Outward {
    fn on_origin_request(request: &Request) -> Result<origin_request::Outcome, String> {
        if setting("do") == "exchange" {
            let body = read_body(request)?.unwrap_or_default();
            if let Err(error) = request.set_body(&body.to_ascii_uppercase()) {
                request
                    .set_header("x-refused", error.name().as_bytes())
                    .map_err(|error| error.name().to_owned())?;
            }
        }
        Ok(origin_request::Outcome::Next)
    }
}

impl origin_response::Guest for Outward {
    fn on_origin_response(_: &Request, response: &Response) -> Result<origin_response::Outcome, String> {
        use origin_response::Outcome;
        match setting("do").as_str() {
            "rewrite" => {
                if let Err(refusal) = response.transform_body() {
                    let refused = response.set_header("x-refused", refusal.name().as_bytes());
                    refused.map_err(|error| error.name().to_owned())?;
                }
                Ok(Outcome::Next)
            }
            "peek-and-rewrite" => {
                let body = response.body().ok_or("no body")?;
                body.read(4).map_err(|error| error.name().to_owned())?;
                response.transform_body().map_err(|refusal| refusal.name().to_owned())?;
                Ok(Outcome::Next)
            }
            "rewrite-another" => {
                let other = answer("another");
                let refused = other.transform_body().is_err();
                let _ = response.transform_body();
                let _ = other.set_header("x-refused", refused.to_string().as_bytes());
                Ok(Outcome::Replace(other))
            }
            _ => Ok(Outcome::Next),
        }
    }
}

impl body_transform::Guest for Outward {
    fn transform(chunk: Vec<u8>, is_last: bool) -> Result<Vec<u8>, String> {
        let mut seen = SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_second = !seen.is_empty();
        seen.extend_from_slice(&chunk[..chunk.len().min(1)]);
        match setting("transform").as_str() {
            "trap" if is_second => panic!("at the second piece"),
            "fail" if is_second => Err("no more of this".to_owned()),
            "loop" if is_second => loop {
                std::hint::black_box(&seen);
            },
            "talk" => {
                println!("{} bytes", chunk.len());
                Ok(chunk)
            }
            "double" => Ok(chunk.repeat(2)),
            "length" => Ok(format!("{};", chunk.len()).into_bytes()),
            "hold" if !is_last => Ok(Vec::new()),
            "hold" => Ok(format!("{} pieces", seen.len()).into_bytes()),
            "spend" => {
                spend();
                Ok(chunk)
            }
            _ if is_last => Ok(b"!".to_vec()),
            _ => Ok(chunk.to_ascii_uppercase()),
        }
    }
}

/// Less than a tick of processor time.
fn spend() {
    let mut number = 0_u64;
    for step in 0..200_000 {
        number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(step));
    }
}

fn read_body(request: &Request) -> Result<Option<Vec<u8>>, String> {
    let Some(reader) = request.body() else { return Ok(None) };
    let whole = reader.read_all(1 << 20).map_err(|error| error.name().to_owned())?;
    Ok(Some(whole))
}

fn fetched(request: &Request) -> Response {
    match fetch_one(request) {
        Ok(response) => response,
        Err(error) => answer(error.name()),
    }
}

/// Reads the fetched body in two ways, then finds that it can be read once only.
fn read(request: &Request) -> Result<Response, String> {
    let response = fetch_one(request).map_err(|error| error.name().to_owned())?;
    let reader = response.body().ok_or("no body")?;
    let length = reader.length();
    let first = reader.read(4).map_err(|error| error.name().to_owned())?.unwrap_or_default();
    let rest = reader.read_all(1 << 20).map_err(|error| error.name().to_owned())?;
    let end = reader.read(1).map_err(|error| error.name().to_owned())?;
    let again = response.body().is_some();
    let text = format!("{length:?} {first:?} {rest:?} {end:?} {again}");
    Ok(answer(&text))
}

fn fetch_many(request: &Request) -> Response {
    let mut count = 0;
    loop {
        match fetch_one(request) {
            Ok(_) => count += 1,
            Err(error) => return answer(&format!("{count} then {}", error.name())),
        }
    }
}

fn fetch_one(request: &Request) -> Result<Response, FetchError> {
    let header = setting("header");
    let headers = header.split_once('=').map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let path = match setting("path").as_str() {
        "" => request.path(),
        path => path.to_owned(),
    };
    fetch::send(&FetchRequest {
        origin: setting("origin"),
        method: config::get("method").unwrap_or_else(|| "GET".to_owned()),
        path,
        headers: headers.into_iter().collect(),
        body: setting("body").into_bytes(),
        timeout_ms: setting("timeout").parse().ok(),
    })
}

/// Puts an object, gets it, and looks for one that is not there.
fn keep(request: &Request) -> Response {
    let path = request.path();
    if let Err(error) = store::put(&path, "text/plain", setting("body").as_bytes()) {
        return answer(&format!("put {}", error.name()));
    }
    match store::get("/missing") {
        Ok(None) => {}
        other => return answer(&format!("missing {}", other.is_ok())),
    }
    match store::get(&path) {
        Ok(Some(object)) => object,
        Ok(None) => answer("nothing"),
        Err(error) => answer(&format!("get {}", error.name())),
    }
}

fn setting(name: &str) -> String {
    config::get(name).unwrap_or_default()
}

fn answer(text: &str) -> Response {
    let response = Response::new(200);
    let _ = response.set_header("content-type", b"text/plain");
    let _ = response.set_body(text.as_bytes());
    response
}
