//! Renders the photographs of the demo, so that they belong to nobody else: `cargo run -p edge --example photographs`.
//!
//! The same program gives the same bytes everywhere up to rounding; the results are committed.
#![forbid(unsafe_code)]

mod cat;
mod colour;
mod harbour;
mod noise;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use colour::Colour;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, Rgb, RgbImage};

fn main() -> ImageResult<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/assets");
    save(&harbour::render(2000, 1500), &folder.join("harbour.jpg"), 82)?;
    save(&cat::render(1600, 1200), &folder.join("cat.jpg"), 72)
}

/// A picture in linear shares of light, row by row from the top.
struct Picture {
    width: u32,
    pixels: Vec<Colour>,
}

impl Picture {
    /// Asks `shade` for every pixel; it gets the place in units of the picture's height.
    fn shade(width: u32, height: u32, shade: impl Fn(f32, f32) -> Colour) -> Self {
        let scale = 1.0 / height as f32;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let pixels = places.map(|(x, y)| shade((x as f32 + 0.5) * scale, (y as f32 + 0.5) * scale));
        Self { width, pixels: pixels.collect() }
    }

    fn height(&self) -> u32 {
        self.pixels.len() as u32 / self.width
    }

    /// Paints over the pixels for which `shade` has a colour.
    fn cover(&mut self, shade: impl Fn(f32, f32) -> Option<Colour>) {
        let (width, scale) = (self.width as usize, 1.0 / self.height() as f32);
        for (index, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = ((index % width) as f32 + 0.5, (index / width) as f32 + 0.5);
            *pixel = shade(x * scale, y * scale).unwrap_or(*pixel);
        }
    }

    /// Draws a curve from the first point to the last, bent towards the middle one; `paint` gives colour and cover along
    /// it.
    fn curve(&mut self, points: [(f32, f32); 3], width: f32, paint: impl Fn(f32) -> (Colour, f32)) {
        let scale = self.height() as f32;
        let [from, bend, to] = points.map(|(x, y)| (x * scale, y * scale));
        let half = (width * scale / 2.0).max(0.5);
        let steps = ((to.0 - from.0).abs() + (to.1 - from.1).abs()).ceil().max(1.0) as u32;
        for step in 0..=steps {
            let along = step as f32 / steps as f32;
            let (first, second) = ((1.0 - along).powi(2), 2.0 * along * (1.0 - along));
            let x = from.0 * first + bend.0 * second + to.0 * along * along;
            let y = from.1 * first + bend.1 * second + to.1 * along * along;
            let (colour, cover) = paint(along);
            self.dab(x, y, half, colour, cover);
        }
    }

    /// A soft dot of this radius in pixels.
    fn dab(&mut self, x: f32, y: f32, radius: f32, colour: Colour, cover: f32) {
        let reach = radius + 0.5;
        let (width, height) = (self.width as i32, self.height() as i32);
        for row in ((y - reach).floor() as i32).max(0)..=((y + reach).floor() as i32).min(height - 1) {
            for column in ((x - reach).floor() as i32).max(0)..=((x + reach).floor() as i32).min(width - 1) {
                let distance = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
                let share = (reach - distance).clamp(0.0, 1.0) * cover;
                let pixel = &mut self.pixels[(row * width + column) as usize];
                *pixel = pixel.mix(colour, share);
            }
        }
    }
}

fn save(picture: &Picture, path: &Path, quality: u8) -> ImageResult<()> {
    let image = RgbImage::from_fn(picture.width, picture.height(), |x, y| {
        Rgb(picture.pixels[(y * picture.width + x) as usize].bytes())
    });
    let encoder = JpegEncoder::new_with_quality(BufWriter::new(File::create(path)?), quality);
    image.write_with_encoder(encoder)?;
    println!("{}: {} bytes", path.display(), std::fs::metadata(path)?.len());
    Ok(())
}
