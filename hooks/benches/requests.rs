//! What a request to a component costs: microseconds of the whole process's processor time, from a request with eight fields to
//! the end of the answer's body. `cargo bench -p hooks --bench requests`; rounds in turn, the median of each, the smallest and
//! the largest.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use hooks::{Asked, LimitSettings, Responder, ResponderSettings, WasmSource};
use http::Request;
use http_body_util::{BodyExt, Full};
use rustix::time::{ClockId, clock_gettime};
use support::{engine, guest, on_one_core};

const ROUNDS: usize = 15;
const REQUESTS: u32 = 10_000;
/// As much is sent to be counted, or to come back.
const UPLOAD: usize = 64 << 10;

fn main() {
    let settings = ResponderSettings {
        wasm: WasmSource::File(guest("serving")),
        limits: LimitSettings { wall: Duration::from_secs(60), ..LimitSettings::default() },
        after_head: Duration::from_secs(1),
        variables: [("MODE".to_owned(), "fast".to_owned())].into(),
        secrets: Default::default(),
        fetch: Vec::new(),
    };
    let responder = Responder::load(engine(), "app", &settings).unwrap();
    let subjects = [
        ("a short answer", "/hello", 0),
        ("its environment", "/env?MODE", 0),
        ("64 KiB echoed", "/echo", UPLOAD),
    ];
    let count = |name: &str, usual: u32| std::env::var(name).map_or(usual, |count| count.parse().unwrap());
    let (requests, rounds) = (count("REQUESTS", REQUESTS), count("ROUNDS", ROUNDS as u32));
    let mut figures = vec![Vec::new(); subjects.len()];
    on_one_core(async {
        for _ in 0..rounds {
            for ((_, path, upload), figures) in subjects.iter().zip(&mut figures) {
                figures.push(round(&responder, path, *upload, requests).await);
            }
        }
    });
    for ((name, ..), figures) in subjects.iter().zip(&mut figures) {
        figures.sort_by(f64::total_cmp);
        let (least, most) = (figures[0], figures[figures.len() - 1]);
        println!("{name:>15}: {:6.2} µs a request ({least:.2} to {most:.2})", figures[figures.len() / 2]);
    }
}

/// Microseconds a request.
async fn round(responder: &Responder, path: &str, upload: usize, requests: u32) -> f64 {
    let body = Bytes::from(vec![b'x'; upload]);
    let begin = processor_time();
    for _ in 0..requests {
        let response =
            responder.respond(Asked { request: request(path, &body), outside: None }).await.unwrap();
        assert_eq!(response.status(), 200);
        std::hint::black_box(response.into_body().collect().await.unwrap());
    }
    (processor_time() - begin).as_secs_f64() * 1e6 / f64::from(requests)
}

fn request(
    path: &str,
    body: &Bytes,
) -> Request<http_body_util::combinators::UnsyncBoxBody<Bytes, hooks::BodyError>> {
    let fields = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("via", "1.1 icn1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com"),
        ("x-request-id", "9f86d081884c7d659a2feaa0c55ad015"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let mut request = Request::get(format!("https://www.example.com{path}"));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.body(Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}
