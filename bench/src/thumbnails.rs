//! Hits beside a hundred thumbnails in the making, on one core: what a picture costs, and how long hits wait for it.
#![expect(
    clippy::disallowed_methods,
    reason = "a load keeps its pace by the clock; nothing waits for a state here"
)]

use crate::answer::{Connection, Expected};
use crate::failure::Failure;
use crate::herd::at;
use crate::load::runtime;
use crate::origin::Origin;
use crate::peer::{Cores, Peer, Selvedge};
use crate::report::Report;
use crate::run::{Run, TESTED, verdict};
use image::{ImageFormat, Rgb, RgbImage};
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of the object that hits are had of.
const SIZE: usize = 1 << 10;
/// How much longer the slowest hit of a hundred may take under load.
const GOAL: f64 = 2.0;
/// Between hits, so that they are spread over the pictures.
const PAUSE: Duration = Duration::from_micros(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Thumbnails at a time
    #[arg(long, default_value_t = 100)]
    pictures: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Run::stay_on_the_load_core()?;
    let origin = Origin::scripted(answer)?;
    let seconds = Duration::from_secs_f64(arguments.seconds);
    let mut report =
        Report::new("thumbnails", "microseconds a hit; milliseconds of processor time a picture");
    for (engine, setup) in [("node", Selvedge::Thumbnails), ("guest", Selvedge::GuestThumbnails)] {
        let core = Cores::One(TESTED);
        let node = Peer::selvedge(&arguments.run.node()?, setup, origin.address, core)?;
        let (mut idle, mut busy, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..arguments.run.rounds(5) {
            idle.push(at(&hits(node.address, seconds)?, 0.99));
            let before = node.used()?;
            let (times, made) = beside(node.address, arguments.pictures, seconds)?;
            let used = node.used()?.since(before).ran.as_secs_f64();
            busy.push(at(&times, 0.99));
            costs.push(used * 1e3 / made.max(1) as f64);
        }
        report.add(format!("{engine}: p99 idle, beside pictures"), &[("idle", idle), ("beside", busy)]);
        report.add(format!("{engine}: ms a picture, hits included"), &[("selvedge", costs)]);
    }
    arguments.run.tell(&report)?;
    let case = "node: p99 idle, beside pictures";
    verdict(
        "p99 of hits beside thumbnails over idle",
        report.figure(case, "beside") / report.median(case),
        GOAL,
    );
    Ok(())
}

/// Microseconds of each hit, sorted.
fn hits(target: SocketAddr, seconds: Duration) -> Result<Vec<f64>, Failure> {
    let end = Instant::now() + seconds;
    let mut times = runtime()?.block_on(async {
        let expected = Expected::Plain(SIZE);
        let mut connection = Connection::open(target, expected).await?;
        let (request, mut times) = (expected.request("/hit"), Vec::new());
        connection.ask(&request).await?;
        while Instant::now() < end {
            let begun = Instant::now();
            connection.ask(&request).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            thread::sleep(PAUSE);
        }
        Ok::<_, Failure>(times)
    })?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The same while `pictures` viewers ask for one thumbnail after the other, and how many were made.
fn beside(target: SocketAddr, pictures: usize, seconds: Duration) -> Result<(Vec<f64>, u64), Failure> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..pictures {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let number = NEXT.fetch_add(1, Relaxed);
                    match thumbnail(target, number) {
                        Ok(true) => drop(made.fetch_add(1, Relaxed)),
                        _ => thread::sleep(Duration::from_millis(10)),
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        let before = made.load(Relaxed);
        let times = hits(target, seconds);
        let during = made.load(Relaxed) - before;
        over.store(true, Relaxed);
        Ok((times?, during))
    })
}

/// Whether the answer was a picture.
fn thumbnail(target: SocketAddr, number: u64) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(target)?;
    let request = format!(
        "GET /img/cat.jpg?w=128&h=128&v={number} HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

fn answer(path: &str) -> Vec<u8> {
    static PHOTOGRAPH: OnceLock<Vec<u8>> = OnceLock::new();
    let (kind, body) = match path {
        "/hit" => ("text/plain", vec![b'a'; SIZE]),
        _ => ("image/jpeg", PHOTOGRAPH.get_or_init(photograph).clone()),
    };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}

/// 2000×1500 with soft shapes, sharp edges and texture.
fn photograph() -> Vec<u8> {
    let picture = RgbImage::from_fn(2000, 1500, |x, y| {
        let (across, down) = (x as f32 / 2000.0, y as f32 / 1500.0);
        let sun = (-((across - 0.6).powi(2) + (down - 0.4).powi(2)) * 12.0).exp();
        let hills = if down > 0.7 + 0.08 * (across * 17.0).sin() { 0.4 } else { 0.9 };
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) % 7;
        let level = |base: f32| (base * hills * 200.0 + sun * 55.0) as u8 + grain as u8 / 2;
        Rgb([level(0.5 + 0.5 * across), level(0.6), level(1.0 - 0.6 * down)])
    });
    let mut bytes = Cursor::new(Vec::new());
    // Into memory: there is nothing to fail.
    let _ = picture.write_to(&mut bytes, ImageFormat::Jpeg);
    bytes.into_inner()
}
