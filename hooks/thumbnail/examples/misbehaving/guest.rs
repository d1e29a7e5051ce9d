//! All four events, each doing what the config says.
#![allow(clippy::panic, reason = "to panic is its job")]

use std::hint::black_box;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:misbehaving;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/viewer-request@0.1.0;
                export selvedge:edge/origin-request@0.1.0;
                export selvedge:edge/origin-response@0.1.0;
                export selvedge:edge/viewer-response@0.1.0;
            }
        ",
        world: "selvedge:misbehaving/hook",
        generate_all,
    });
    export!(Misbehaving);
    use super::Misbehaving;
}

use bindings::exports::selvedge::edge::{origin_request, origin_response, viewer_request, viewer_response};
use bindings::selvedge::edge::types::{BodyError, EditError, Request, Response};
use bindings::selvedge::edge::{config, facts, log};

struct Misbehaving;

static mut CALLS: u32 = 0;

impl viewer_request::Guest for Misbehaving {
    fn on_viewer_request(request: &Request) -> Result<viewer_request::Outcome, String> {
        use viewer_request::Outcome;
        match misdeed(task(request)).as_str() {
            "connect" => return connect(),
            "random" => drop(black_box(std::collections::HashMap::<u8, u8>::new())),
            "spin-5ms" => return spin_for_a_while(),
            "fail" => return Err("no such user".to_owned()),
            "headers" => return header_edits(request),
            "rewrite" => return rewrite(request),
            "facts" => return tell(request),
            "as-asked" => return do_as_asked(request),
            "memory-of-others" => return remember(request),
            "respond" => return Ok(Outcome::Respond(answer(418, b"short and stout"))),
            "garbage" => return Ok(Outcome::Respond(garbage(request, None)?)),
            "tell-on" => return tell_on(request),
            "bad-status" => return Ok(Outcome::Respond(answer(99, b""))),
            "body-on-204" => return Ok(Outcome::Respond(answer(204, b"x"))),
            "huge-body" => return huge_body(),
            "many-bodies" => return Ok(Outcome::Respond(answer(200, many_bodies().as_bytes()))),
            _ => {}
        }
        Ok(Outcome::Next)
    }
}

impl origin_request::Guest for Misbehaving {
    fn on_origin_request(request: &Request) -> Result<origin_request::Outcome, String> {
        use origin_request::Outcome;
        match misdeed(task(request)).as_str() {
            "garbage" => Ok(Outcome::Respond(garbage(request, None)?)),
            "route" => {
                request.set_path("/elsewhere").map_err(said)?;
                Ok(Outcome::RouteTo("other".to_owned()))
            }
            "respond" => Ok(Outcome::Respond(answer(200, b"in the origin's place"))),
            _ => Ok(Outcome::Next),
        }
    }
}

impl origin_response::Guest for Misbehaving {
    fn on_origin_response(
        request: &Request,
        response: &Response,
    ) -> Result<origin_response::Outcome, String> {
        use origin_response::Outcome;
        match misdeed(task(request)).as_str() {
            "garbage" => Ok(Outcome::Replace(garbage(request, Some(response))?)),
            "edit" => {
                if request.set_header("x-late", b"1") != Err(EditError::Forbidden) {
                    return Err("a request was edited after its time".to_owned());
                }
                response.set_header("x-hook", b"edited").map_err(said)?;
                response.set_status(203).map_err(said)?;
                response.set_ttl(90).map_err(said)?;
                response.add_tag("cats").map_err(said)?;
                response.add_tag("dogs").map_err(said)?;
                Ok(Outcome::Next)
            }
            "peek" => {
                let reader = response.body().ok_or("no body")?;
                let seen = reader.read(4).map_err(body_said)?.unwrap_or_default();
                response.set_header("x-seen", &seen).map_err(said)?;
                Ok(Outcome::Next)
            }
            "read-then-trap" => {
                let reader = response.body().ok_or("no body")?;
                let _ = reader.read(4);
                panic!("after reading")
            }
            "read-and-pass" => {
                let reader = response.body().ok_or("no body")?;
                while let Ok(Some(_)) = reader.read(1 << 20) {}
                Ok(Outcome::Next)
            }
            "body-on-204" => Ok(Outcome::Replace(answer(204, b"x"))),
            "read-all" => match response.body().ok_or("no body")?.read_all(u32::MAX) {
                Ok(bytes) => Ok(Outcome::Replace(answer(200, format!("{} bytes", bytes.len()).as_bytes()))),
                Err(error) => Ok(Outcome::Replace(answer(502, error.name().as_bytes()))),
            },
            "upper" => {
                let bytes = response.body().ok_or("no body")?.read_all(1 << 20).map_err(body_said)?;
                response.set_body(&bytes.to_ascii_uppercase()).map_err(body_said)?;
                Ok(Outcome::Next)
            }
            _ => Ok(Outcome::Next),
        }
    }
}

impl viewer_response::Guest for Misbehaving {
    fn on_viewer_response(request: &Request, response: &Response) -> Result<(), String> {
        if misdeed(task(request)) == "garbage" {
            garbage(request, Some(response))?;
            return Err("nothing of it was taken".to_owned());
        }
        if response.set_status(500) != Err(EditError::Forbidden) {
            return Err("the status was changed".to_owned());
        }
        if response.set_body(b"x").is_ok() || response.body().is_some() {
            return Err("the body was touched".to_owned());
        }
        response.remove_header("server").map_err(said)?;
        response.set_header("x-frame-options", b"DENY").map_err(said)
    }
}

/// What is to be done: as the config says, or the request's query, which also says at which event: `?do=loop&at=origin-request`.
fn task(request: &Request) -> String {
    let told = config::get("do").unwrap_or_default();
    if told != "as-queried" {
        return told;
    }
    let query = request.query().unwrap_or_default();
    let word = |name| query.split('&').find_map(|pair| pair.strip_prefix(name));
    if word("at=") == Some(&facts::event()) {
        word("do=").unwrap_or_default().to_owned()
    } else {
        String::new()
    }
}

/// What is done alike at all events; another task comes back.
fn misdeed(task: String) -> String {
    match task.as_str() {
        "loop" => spin(),
        "grow" => grow(usize::MAX),
        "grow-to-15" => grow(14),
        "grow-to-127" => grow(126),
        "fill" => fill(8 << 20),
        "fill-much" => fill(96 << 20),
        "copy-much" => copy(96 << 20),
        "trap" => panic!("on purpose"),
        "unreachable" => std::arch::wasm32::unreachable(),
        "recurse" => recurse(0),
        "flood" => flood(),
        "flood-for-ever" => loop {
            log::log(log::Level::Warn, &"again and again ".repeat(64));
        },
        "exit" => std::process::exit(3),
        "sleep" => sleep(),
        "many-responses" => many_responses(),
        "huge-answer" => drop(Response::new(200).set_body(&vec![b'x'; 4 << 20])),
        _ => {}
    }
    task
}

/// Tries all that no message may hold, and makes an answer that cannot be sent.
fn garbage(request: &Request, response: Option<&Response>) -> Result<Response, String> {
    let large = vec![b'v'; 1 << 20];
    let edits: [(&str, &[u8]); 6] = [
        ("", b"1"),
        ("x a", b"1"),
        ("x-a\r\nset-cookie", b"1"),
        ("x-a", b"1\r\nset-cookie: 2"),
        ("x-a", b"1\0"),
        ("x-a", &large),
    ];
    for (name, value) in edits {
        let taken = match response {
            Some(response) => response.set_header(name, value),
            None => request.set_header(name, value),
        };
        if taken.is_ok() {
            return Err(format!("{name:?} was taken"));
        }
    }
    for path in ["", "no path", "/a b", "/../x", "http://evil.test/", "/\r\n", "/é"] {
        if request.set_path(path).is_ok() {
            return Err(format!("{path:?} was taken"));
        }
    }
    if request.set_query(Some("a b#c")).is_ok() || Response::new(200).set_status(999).is_ok() {
        return Err("a query or a status was taken".to_owned());
    }
    Ok(answer(99, b""))
}

static mut SEEN: String = String::new();

/// Tells whom the instance has seen before, and keeps who is there now: never to be found out.
#[allow(static_mut_refs, reason = "a guest has one thread")]
fn tell_on(request: &Request) -> Result<viewer_request::Outcome, String> {
    // SAFETY: as above.
    let before = unsafe { std::mem::replace(&mut SEEN, request.path()) };
    Ok(viewer_request::Outcome::Respond(answer(200, format!("before: {before}").as_bytes())))
}

fn said(error: EditError) -> String {
    format!("edit refused: {}", error.name())
}

fn body_said(error: BodyError) -> String {
    format!("body: {}", error.name())
}

fn spin() {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Takes so many MiB, one after the other, and writes to them.
fn grow(mebibytes: usize) {
    let mut hoard = Vec::new();
    for _ in 0..mebibytes {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Writes all over a large memory again and again, each time in one instruction.
fn fill(bytes: usize) {
    let mut hoard = vec![0_u8; bytes];
    loop {
        black_box(&mut hoard).fill(black_box(1));
    }
}

/// Copies one half of a large memory over the other again and again, each time in one instruction.
fn copy(bytes: usize) {
    let mut hoard = vec![0_u8; bytes];
    loop {
        black_box(&mut hoard).copy_within(black_box(0)..bytes / 2, bytes / 2);
    }
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) {
    let page = black_box([depth; 64]);
    recurse(depth + 1);
    black_box(page);
}

fn flood() {
    for number in 0..2000 {
        log::log(log::Level::Info, &format!("line {number}"));
        println!("printed {number}");
    }
    panic!("enough said");
}

fn sleep() {
    #[allow(clippy::disallowed_methods, reason = "a guest that sleeps is what is tested")]
    std::thread::sleep(std::time::Duration::from_secs(60));
}

fn connect() -> Result<viewer_request::Outcome, String> {
    let tcp = std::net::TcpStream::connect("127.0.0.1:1").is_err();
    let file = std::fs::read("/etc/passwd").is_err();
    let environment = std::env::vars().next().is_none() && std::env::args().next().is_none();
    Err(format!("no network: {tcp}, no files: {file}, no environment: {environment}"))
}

/// Asks where the viewer is, so that somebody sees where it runs, and then computes.
fn spin_for_a_while() -> Result<viewer_request::Outcome, String> {
    black_box(facts::viewer_country());
    let begin = std::time::Instant::now();
    let mut count = 0_u64;
    while begin.elapsed().as_millis() < 5 {
        count = black_box(count + 1);
    }
    Ok(viewer_request::Outcome::Next)
}

fn header_edits(request: &Request) -> Result<viewer_request::Outcome, String> {
    for name in
        ["host", "content-length", "transfer-encoding", "connection", "via", "cdn-loop", "x-forwarded-for"]
    {
        if request.set_header(name, b"x") != Err(EditError::Forbidden) {
            return Err(format!("{name} could be set"));
        }
    }
    if request.set_header("x-split", b"a\r\nb: c") != Err(EditError::InvalidSyntax) {
        return Err("a line could be smuggled".to_owned());
    }
    if request.set_path("/../x") != Err(EditError::InvalidSyntax) {
        return Err("dot segments could be set".to_owned());
    }
    let agent = request.header("user-agent").unwrap_or_default();
    request.set_header("x-agent-length", agent.len().to_string().as_bytes()).map_err(said)?;
    request.append_header("x-many", b"2").map_err(said)?;
    request.remove_header("cookie").map_err(said)?;
    Ok(viewer_request::Outcome::Next)
}

fn rewrite(request: &Request) -> Result<viewer_request::Outcome, String> {
    request.set_path(&format!("/new{}", request.path())).map_err(said)?;
    request.set_query(Some("lang=ko")).map_err(said)?;
    Ok(viewer_request::Outcome::Next)
}

fn tell(request: &Request) -> Result<viewer_request::Outcome, String> {
    let text = [
        request.method(),
        request.scheme(),
        request.authority(),
        request.path(),
        request.query().unwrap_or_default(),
        facts::viewer_address(),
        facts::viewer_country().unwrap_or_default(),
        facts::tls_version().unwrap_or_default(),
        facts::http_version(),
        facts::request_id(),
        facts::node(),
        facts::site(),
        facts::route(),
        facts::event(),
        facts::hook(),
        facts::hook_version().len().to_string(),
        facts::is_canary().to_string(),
        (facts::time_left() > 0).to_string(),
        config::keys().join("+"),
    ];
    Ok(viewer_request::Outcome::Respond(answer(200, text.join("|").as_bytes())))
}

static mut HOARD: Option<Response> = None;

/// For instances that are used again: counts calls, and then does what the path says.
#[allow(static_mut_refs, reason = "a guest has one thread")]
fn do_as_asked(request: &Request) -> Result<viewer_request::Outcome, String> {
    match request.path().as_str() {
        "/trap" => panic!("on demand"),
        "/loop" => spin(),
        "/fail" => return Err("as asked".to_owned()),
        "/say" => println!("something private"),
        "/grow" => drop(black_box(vec![1_u8; 24 << 20])),
        // SAFETY: as above.
        "/hoard" => unsafe { HOARD = Some(answer(418, b"of another request")) },
        // SAFETY: as above.
        "/take" => match unsafe { HOARD.take() } {
            Some(response) => return Ok(viewer_request::Outcome::Respond(response)),
            None => return Err("nothing is hoarded".to_owned()),
        },
        _ => {}
    }
    remember(request)
}

/// Counts calls in the instance's own memory: another request's count must never be seen.
fn remember(request: &Request) -> Result<viewer_request::Outcome, String> {
    // SAFETY: a guest has one thread.
    let calls = unsafe {
        CALLS += 1;
        CALLS
    };
    request.set_header("x-calls", calls.to_string().as_bytes()).map_err(said)?;
    Ok(viewer_request::Outcome::Next)
}

fn huge_body() -> Result<viewer_request::Outcome, String> {
    let response = Response::new(200);
    response.set_body(&vec![b'x'; 24 << 20]).map_err(body_said)?;
    Ok(viewer_request::Outcome::Respond(response))
}

fn many_responses() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(Response::new(200));
    }
}

/// How many bodies of a mebibyte may be had at once, and after one of them was dropped.
fn many_bodies() -> String {
    let body = vec![b'x'; 1 << 20];
    let mut hoard = Vec::new();
    let mut fill = || {
        while hoard.len() < 32 {
            let response = Response::new(200);
            if response.set_body(&body).is_err() {
                break;
            }
            hoard.push(response);
        }
        hoard.pop();
        hoard.len() + 1
    };
    format!("{} then {}", fill(), fill())
}

fn answer(status: u16, body: &[u8]) -> Response {
    let response = Response::new(status);
    let _ = response.set_header("content-type", b"text/plain");
    let _ = response.set_body(body);
    response
}
