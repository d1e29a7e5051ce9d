//! How long a purge takes among a million objects, and what viewers notice of it.

use crate::answer::{Connection, Expected};
use crate::failure::Failure;
use crate::herd::at;
use crate::load::runtime;
use crate::memory::ask;
use crate::origin::{Origin, not_found, ok};
use crate::peer::{Cores, Peer, Selvedge};
use crate::report::Report;
use crate::run::{Run, verdict};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

/// Bytes of each object.
const SIZE: usize = 1 << 10;
/// Objects of one tag.
const OF_A_TAG: u64 = 100;
/// Microseconds that the purge of one tag may take.
const GOAL: f64 = 1000.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Objects; every hundred of them, spread over all, share a tag
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Tags that are purged softly, and as many that are purged for good
    #[arg(long, default_value_t = 1000)]
    purges: u64,
    /// Connections that fill
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { objects, purges, connections, .. } = *arguments;
    let tags = objects / OF_A_TAG;
    if tags < 4 * purges {
        return Err(Failure::Setup(format!(
            "{objects} objects have {tags} tags: too few for --purges {purges}"
        )));
    }
    let origin = Origin::scripted(answer)?;
    let node = Peer::selvedge(&arguments.run.node()?, Selvedge::Large, origin.address, Cores::All)?;
    ask(node.address, connections, &format!("of-{tags}"), 0..objects, 1)?;
    let resident = node.resident()?;
    let mut admin = Admin::open(&node)?;
    let mut report = Report::new("purge", "microseconds");
    // Half of the tags are never purged: their objects stay fresh.
    let quiet = Hits::begin(node.address, tags, objects)?;
    keep_busy(&mut admin, purges)?;
    quiet.end("quiet: hits", &mut report)?;
    for (kind, first, hard) in [("soft", 0, false), ("hard", purges, true)] {
        let hits = Hits::begin(node.address, tags, objects)?;
        let (mut asked, mut spent) = (Vec::new(), Vec::new());
        for number in first..first + purges {
            let order = json!({ "tag": format!("tag-{number}"), "hard": hard });
            let (took, receipt) = admin.purge(&order, OF_A_TAG)?;
            asked.push(took);
            spent.push(receipt["micros"].as_f64().unwrap_or(f64::NAN));
        }
        add(&mut report, &format!("{kind}: answered"), asked);
        add(&mut report, &format!("{kind}: at the node"), spent);
        hits.end(&format!("{kind}: hits"), &mut report)?;
    }
    let left = objects - purges * OF_A_TAG;
    let hits = Hits::begin(node.address, tags, objects)?;
    let (counted, _) = admin.purge(&json!({ "site": "bench.test", "dry_run": true }), left)?;
    hits.end("count all: hits", &mut report)?;
    let (expired, _) = admin.purge(&json!({ "prefix": "http://bench.test/" }), left)?;
    report.add("count all: answered".to_owned(), &[("selvedge", vec![counted])]);
    report.add("soft, all: answered".to_owned(), &[("selvedge", vec![expired])]);
    arguments.run.tell(&report)?;
    println!("resident with {objects} objects: {} MiB", resident >> 20);
    verdict("µs, a tag, p99", report.median("soft: answered, p99"), GOAL);
    Ok(())
}

/// Median and the worst but one in a hundred.
fn add(report: &mut Report, case: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    report.add(format!("{case}, p99"), &[("selvedge", vec![at(&times, 0.99)])]);
    report.add(case.to_owned(), &[("selvedge", times)]);
}

/// What else the admin API does for as long as purges would take: hits have the same company in each measurement.
fn keep_busy(admin: &mut Admin, purges: u64) -> Result<(), Failure> {
    (0..purges).try_for_each(|_| admin.purge(&json!({ "tag": "of nobody" }), 0).map(drop))
}

/// A viewer that has one hit after the other.
struct Hits {
    over: Arc<AtomicBool>,
    viewer: thread::JoinHandle<Result<Vec<f64>, Failure>>,
}

impl Hits {
    fn begin(target: SocketAddr, tags: u64, objects: u64) -> Result<Self, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let (told, runtime) = (Arc::clone(&over), runtime()?);
        let viewer = thread::spawn(move || {
            runtime.block_on(async {
                let expected = Expected::Plain(SIZE);
                let mut connection = Connection::open(target, expected).await?;
                let (mut times, mut number) = (Vec::new(), 0_u64);
                while !told.load(Relaxed) {
                    number = (number + 7919) % objects;
                    if number % tags < tags / 2 {
                        continue;
                    }
                    let request = expected.request(&format!("/of-{tags}/{number}"));
                    let begun = Instant::now();
                    connection.ask(&request).await?;
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
                Ok(times)
            })
        });
        Ok(Self { over, viewer })
    }

    fn end(self, case: &str, report: &mut Report) -> Result<(), Failure> {
        self.over.store(true, Relaxed);
        let ended = self.viewer.join().map_err(|_| Failure::Setup("the viewer panicked".to_owned()))?;
        add(report, case, ended?);
        Ok(())
    }
}

/// A kept connection to the admin API.
struct Admin(TcpStream);

impl Admin {
    fn open(node: &Peer) -> Result<Self, Failure> {
        let stream = TcpStream::connect(node.admin()?).map_err(Failure::system("the admin API"))?;
        stream.set_nodelay(true).map_err(Failure::system("the admin API"))?;
        Ok(Self(stream))
    }

    /// Microseconds until the receipt is there, and the receipt, which has to count so many objects.
    fn purge(&mut self, order: &Value, matched: u64) -> Result<(f64, Value), Failure> {
        let body = order.to_string();
        let begun = Instant::now();
        let request = format!(
            "POST /purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).map_err(Failure::system("the admin API"))?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let mut piece = [0; 4096];
            match self.0.read(&mut piece).map_err(Failure::system("the admin API"))? {
                0 => break,
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        let took = begun.elapsed().as_secs_f64() * 1e6;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let receipt = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        let receipt = receipt.filter(|receipt: &Value| receipt["matched"] == matched);
        receipt.map(|receipt| (took, receipt)).ok_or_else(|| Failure::Answer(format!("{order}: {text}")))
    }
}

/// `/of-TAGS/NUMBER`: an object that bears one of so many tags.
fn answer(path: &str) -> Vec<u8> {
    let parsed = path.strip_prefix("/of-").and_then(|path| path.split_once('/'));
    let numbers =
        parsed.and_then(|(tags, number)| Some((tags.parse::<u64>().ok()?, number.parse::<u64>().ok()?)));
    let Some((tags, number)) = numbers.filter(|(tags, _)| *tags > 0) else { return not_found() };
    let tag = format!("tag-{}", number % tags);
    let headers =
        [("content-type", "image/jpeg"), ("cache-control", "public, max-age=86400"), ("cache-tag", &tag)];
    ok(&headers, &[b'x'; SIZE])
}
