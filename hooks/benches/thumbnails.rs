//! What a thumbnail costs: milliseconds of the whole process's processor time for 128×128 of a JPEG of 2000×1500, made by
//! the node, by the guest, and by Pillow beside them, which decodes to no less than twice the size as the node does.
//! `cargo bench -p hooks --bench thumbnails`; rounds in turn, the median of each, the smallest and the largest.
//! `PHOTO=file.jpg` takes another picture, `PYTHON=program` the Python that has Pillow.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use hooks::Hook;
use image::{ImageFormat, Rgb, RgbImage};
use rustix::time::{ClockId, clock_gettime};
use support::{facts, on_one_core, request, response, thumbnail_with, whole};

const ROUNDS: usize = 9;
const PICTURES: u32 = 20;

/// Prints the milliseconds of one picture, and how near it is to one decoded whole.
const PILLOW: &str = r#"
import io, sys, time
from PIL import Image
data, count = open(sys.argv[1], "rb").read(), int(sys.argv[2])
def make():
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (341, 256))
    image = image.convert("RGB")
    (width, height), edge = image.size, min(image.size)
    box = ((width - edge) / 2, (height - edge) / 2, (width + edge) / 2, (height + edge) / 2)
    image.resize((128, 128), Image.LANCZOS, box=box).save(io.BytesIO(), "JPEG", quality=82)
make()
begin = time.process_time()
for _ in range(count): make()
print((time.process_time() - begin) / count * 1e3)
"#;

fn main() {
    let original =
        std::env::var("PHOTO").map_or_else(|_| photograph(), |path| std::fs::read(path).unwrap().into());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("photograph.jpg");
    std::fs::write(&file, &original).unwrap();
    let hook = |engine| thumbnail_with(&[("engine", engine)]);
    let (host, guest) = (hook("host"), hook("guest"));
    let mut figures = [("node", Vec::new()), ("guest", Vec::new()), ("Pillow", Vec::new())];
    for _ in 0..std::env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap()) {
        figures[0].1.push(round(&host, &original));
        figures[1].1.push(round(&guest, &original));
        figures[2].1.extend(pillow(&file));
    }
    for (name, figures) in &mut figures {
        figures.sort_by(f64::total_cmp);
        match figures.as_slice() {
            [] => println!("{name:>8}: not measured; PYTHON names a Python that has it"),
            all => println!(
                "{name:>8}: {:6.2} ms a picture ({:.2} to {:.2})",
                all[all.len() / 2],
                all[0],
                all[all.len() - 1]
            ),
        }
    }
}

fn round(hook: &Hook, original: &Bytes) -> f64 {
    let asked = request("/img/cat.jpg?w=128&h=128", &[]);
    on_one_core(async {
        let mut begin = Duration::ZERO;
        for picture in 0..=PICTURES {
            if picture == 1 {
                begin = processor_time();
            }
            let original = response("image/jpeg", original.clone());
            let made = hook.origin_response(&asked, original, &facts()).await.unwrap();
            assert_eq!(made.response.status(), 200);
            assert!(!whole(made.response.into_body()).await.is_empty());
        }
        (processor_time() - begin).as_secs_f64() * 1e3 / f64::from(PICTURES)
    })
}

fn pillow(file: &Path) -> Option<f64> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output =
        Command::new(python).args(["-c", PILLOW]).arg(file).arg(PICTURES.to_string()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// Soft shapes, sharp edges, texture and colour.
fn photograph() -> Bytes {
    let picture = RgbImage::from_fn(2000, 1500, |x, y| {
        let (u, v) = (x as f32 / 2000.0, y as f32 / 1500.0);
        let sun = (-((u - 0.6).powi(2) + (v - 0.4).powi(2)) * 12.0).exp();
        let hills = if v > 0.7 + 0.08 * (u * 17.0).sin() { 0.4 } else { 0.9 };
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) % 7;
        let level = |base: f32| (base * hills * 200.0 + sun * 55.0) as u8 + grain as u8 / 2;
        Rgb([level(0.5 + 0.5 * u), level(0.6), level(1.0 - 0.6 * v)])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner().into()
}
