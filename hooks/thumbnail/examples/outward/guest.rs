//! What the config key `do` says.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:outward;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/viewer-request@0.1.0;
            }
        ",
        world: "selvedge:outward/hook",
        generate_all,
    });
    export!(Outward);
    use super::Outward;
}

use bindings::exports::selvedge::edge::viewer_request;
use bindings::selvedge::edge::fetch::{self, FetchError, FetchRequest};
use bindings::selvedge::edge::types::{Request, Response};
use bindings::selvedge::edge::{config, store};

struct Outward;

impl viewer_request::Guest for Outward {
    fn on_viewer_request(request: &Request) -> Result<viewer_request::Outcome, String> {
        use viewer_request::Outcome;
        Ok(match setting("do").as_str() {
            "fetch" => Outcome::Respond(fetched(request)),
            "fetch-and-read" => Outcome::Respond(read(request)?),
            "fetch-and-go-on" => {
                let response = fetch_one(request).map_err(|error| error.name().to_owned())?;
                let verdict = response.header("x-verdict").unwrap_or_default();
                request.set_header("x-verdict", &verdict).map_err(|error| error.name().to_owned())?;
                Outcome::Next
            }
            "fetch-many" => Outcome::Respond(fetch_many(request)),
            "store" => Outcome::Respond(keep(request)),
            _ => Outcome::Next,
        })
    }
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
