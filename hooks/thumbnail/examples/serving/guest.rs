//! What the path says.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "to fail is its job")]

use std::io::{Read, Write};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

struct Serving;

wasip2::http::proxy::export!(Serving);

impl Guest for Serving {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/hello" => say(out, 200, &hello(&request)),
            "/header" => say(out, 200, &header(&request, query)),
            "/env" => say(out, 200, &std::env::var(query).unwrap_or_else(|_| "unset".into())),
            "/cached" => cached(out),
            "/echo" => echo(request, out),
            "/count" => count(request, out),
            "/endless" => endless(out),
            "/fetch" => fetch(request, out, query),
            "/status" => say(out, query.parse().unwrap(), "as asked"),
            "/print" => {
                println!("printed {query}");
                say(out, 200, "printed");
            }
            "/trap" => panic!("on purpose"),
            "/trap-midway" => {
                let body = begin(out, 200, &[]);
                body.write().unwrap().write_all(b"half of it").unwrap();
                panic!("in the middle");
            }
            "/drop-midway" => {
                let body = begin(out, 200, &[]);
                body.write().unwrap().write_all(b"half of it").unwrap();
            }
            "/short" => {
                let body = begin(out, 200, &[("content-length", "20")]);
                body.write().unwrap().write_all(b"half of it").unwrap();
                std::mem::forget(body);
            }
            "/leak-midway" => {
                let body = begin(out, 200, &[("cache-control", "max-age=60")]);
                body.write().unwrap().write_all(b"half of it").unwrap();
                std::mem::forget(body);
            }
            "/length-alone" => {
                let fields = Fields::from_list(&[("content-length".into(), b"20".to_vec())]).unwrap();
                ResponseOutparam::set(out, Ok(OutgoingResponse::new(fields)));
            }
            "/spin" => spin(),
            "/spin-midway" => {
                let body = begin(out, 200, &[]);
                body.write().unwrap().write_all(b"half of it").unwrap();
                spin();
            }
            "/spin-after" => {
                say(out, 200, "all of it");
                spin();
            }
            "/hog" => hog(),
            "/sleep" => std::thread::sleep(std::time::Duration::from_secs(600)),
            "/nothing" => {}
            "/error" => {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("no such luck".into()))))
            }
            _ => say(out, 404, "nothing is here"),
        }
    }
}

fn begin(out: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> OutgoingBody {
    let all: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&all).unwrap());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body
}

fn say(out: ResponseOutparam, status: u16, words: &str) {
    let body = begin(out, status, &[("content-type", "text/plain")]);
    body.write().unwrap().write_all(words.as_bytes()).unwrap();
    OutgoingBody::finish(body, None).unwrap();
}

fn hello(request: &IncomingRequest) -> String {
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        _ => "other",
    };
    let authority = request.authority().unwrap_or_default();
    let target = request.path_with_query().unwrap_or_default();
    format!("{:?} {scheme}://{authority}{target}", request.method())
}

fn header(request: &IncomingRequest, name: &str) -> String {
    let values = request.headers().get(name);
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    values.join(", ")
}

fn cached(out: ResponseOutparam) {
    let fields = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
    let body = begin(out, 200, &fields);
    let words = format!("made with {}", wasip2::random::random::get_random_u64());
    body.write().unwrap().write_all(words.as_bytes()).unwrap();
    OutgoingBody::finish(body, None).unwrap();
}

/// Piece by piece, and the trailers after it.
fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let announced = header(&request, "trailer");
    let asked = request.consume().unwrap();
    let answer = begin(out, 200, &[("trailer", &announced)]);
    copy(&asked, &answer);
    let trailers = IncomingBody::finish(asked);
    trailers.subscribe().block();
    let trailers = trailers.get().unwrap().unwrap().unwrap();
    let trailers = trailers.map(|fields| Fields::from_list(&fields.entries()).unwrap());
    OutgoingBody::finish(answer, trailers).unwrap();
}

fn copy(from: &IncomingBody, to: &OutgoingBody) {
    let (mut from, mut to) = (from.stream().unwrap(), to.write().unwrap());
    std::io::copy(&mut from, &mut to).unwrap();
}

fn count(request: IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().unwrap();
    let (mut bytes, mut piece) = (0, [0; 4096]);
    {
        let mut stream = body.stream().unwrap();
        loop {
            match Read::read(&mut stream, &mut piece) {
                Ok(0) => break,
                Ok(read) => bytes += read,
                Err(error) => return say(out, 400, &format!("{error}")),
            }
        }
    }
    say(out, 200, &bytes.to_string());
}

fn endless(out: ResponseOutparam) {
    let body = begin(out, 200, &[]);
    let mut stream = body.write().unwrap();
    let piece = [b'x'; 4096];
    let mut written = 0_u64;
    while stream.write_all(&piece).is_ok() {
        written += piece.len() as u64;
        if written % (1 << 20) == 0 {
            println!("written {} MiB", written >> 20);
        }
    }
}

/// What the URL in the query gives, or the reason why not; the body of the request goes along.
fn fetch(request: IncomingRequest, out: ResponseOutparam, url: &str) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let asking = OutgoingRequest::new(Fields::from_list(&[("x-asker".into(), b"serving".to_vec())]).unwrap());
    asking.set_method(&request.method()).unwrap();
    asking.set_scheme(Some(if scheme == "http" { &Scheme::Http } else { &Scheme::Https })).unwrap();
    asking.set_authority(Some(authority)).unwrap();
    asking.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    let sent = asking.body().unwrap();
    let answer = match outgoing_handler::handle(asking, None) {
        Ok(answer) => answer,
        Err(error) => return say(out, 502, &format!("{error:?}")),
    };
    copy(&request.consume().unwrap(), &sent);
    OutgoingBody::finish(sent, None).unwrap();
    answer.subscribe().block();
    match answer.get().unwrap().unwrap() {
        Ok(answer) => {
            let ours = begin(out, answer.status(), &[]);
            copy(&answer.consume().unwrap(), &ours);
            OutgoingBody::finish(ours, None).unwrap();
        }
        Err(error) => say(out, 502, &format!("{error:?}")),
    }
}

fn spin() {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3));
    }
}

fn hog() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
    }
}
