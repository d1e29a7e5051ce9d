use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType as Slow};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage};

use super::*;
use crate::operations::{Crop, Fit, Gravity};

const LIMITS: Limits = Limits { pixels: 50_000_000, memory: 512 << 20 };

/// Soft shapes, sharp edges, texture and colour, as photographs have.
fn photograph(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let sun = (-((u - 0.6).powi(2) + (v - 0.4).powi(2)) * 12.0).exp();
        let hills = if v > 0.7 + 0.08 * (u * 17.0).sin() { 0.4 } else { 0.9 };
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) % 7;
        let level = |base: f32| (base * hills * 200.0 + sun * 55.0) as u8 + grain as u8 / 2;
        Rgb([level(0.5 + 0.5 * u), level(0.6), level(1.0 - 0.6 * v)])
    })
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(photograph(width, height)), ImageFormat::Jpeg)
}

fn run(bytes: &[u8], operations: &Operations) -> Result<Made, PictureError> {
    Plan::new(bytes, operations, LIMITS)?.run()
}

fn pixels(made: &Made) -> RgbImage {
    image::load_from_memory(&made.bytes).unwrap().into_rgb8()
}

fn psnr(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let squares =
        one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    10.0 * (255.0_f64.powi(2) * one.as_raw().len() as f64 / squares.sum::<f64>()).log10()
}

/// Everything decoded, and resized the slow way.
fn slowly(bytes: &[u8], x: u32, y: u32, edge: u32, made: u32) -> RgbImage {
    let whole = image::load_from_memory(bytes).unwrap().into_rgb8();
    let middle = imageops::crop_imm(&whole, x, y, edge, edge).to_image();
    imageops::resize(&middle, made, made, Slow::Lanczos3)
}

fn square(edge: u32) -> Operations {
    Operations { width: Some(edge), height: Some(edge), format: Format::Png, ..Operations::default() }
}

#[test]
fn reduced_decoding_is_as_good_as_the_slow_way() {
    let original = jpeg(2000, 1500);
    for (edge, reduction) in [
        (90, Some(Reduction::Eighth)),
        (128, Some(Reduction::Quarter)),
        (300, Some(Reduction::Half)),
        (700, None),
    ] {
        let operations = square(edge);
        let plan = Plan::new(&original, &operations, LIMITS).unwrap();
        assert_eq!(plan.reduction, reduction, "{edge}");
        let quality = psnr(&pixels(&plan.run().unwrap()), &slowly(&original, 250, 0, 1500, edge));
        assert!(quality >= 38.0, "{edge}: {quality} dB");
    }
}

#[test]
fn grey_pictures_and_odd_sizes_are_reduced_too() {
    let grey = DynamicImage::ImageRgb8(photograph(803, 611)).into_luma8();
    let original = encoded(&DynamicImage::ImageLuma8(grey), ImageFormat::Jpeg);
    let made = run(&original, &square(60)).unwrap();
    let quality = psnr(&pixels(&made), &slowly(&original, 96, 0, 611, 60));
    assert!(quality >= 38.0, "{quality} dB");
    assert_eq!(image::load_from_memory(&made.bytes).unwrap().color(), image::ColorType::L8);
}

/// Drawn with other programs than this one: 203×155, sampled and ordered in the ways that cameras and web tools write.
const FIXTURES: [(&str, &[u8], bool); 6] = [
    ("baseline 4:2:0", include_bytes!("../fixtures/baseline-420.jpg"), true),
    ("baseline 4:2:2, restarts", include_bytes!("../fixtures/baseline-422-restarts.jpg"), true),
    ("progressive 4:2:0", include_bytes!("../fixtures/progressive-420.jpg"), true),
    ("progressive 4:4:4, restarts", include_bytes!("../fixtures/progressive-444-restarts.jpg"), true),
    ("progressive grey", include_bytes!("../fixtures/progressive-grey.jpg"), true),
    ("baseline CMYK", include_bytes!("../fixtures/baseline-cmyk.jpg"), false),
];

#[test]
fn every_kind_of_jpeg_is_as_good_reduced_as_decoded_whole() {
    for (name, original, is_reduced) in FIXTURES {
        for (edge, reduction) in [(9, Reduction::Eighth), (19, Reduction::Quarter), (38, Reduction::Half)] {
            let operations = square(edge);
            let plan = Plan::new(original, &operations, LIMITS).unwrap();
            assert_eq!(plan.reduction, is_reduced.then_some(reduction), "{name} {edge}");
            let made = pixels(&plan.run().unwrap());
            let quality = psnr(&made, &slowly(original, 24, 0, 155, edge));
            assert!(quality >= 38.0, "{name} {edge}: {quality} dB");
        }
    }
}

#[test]
fn the_memory_that_is_reckoned_is_that_of_the_way_it_goes() {
    let memory = |original: &[u8]| Plan::new(original, &square(9), LIMITS).unwrap().memory();
    let (baseline, cmyk) = (memory(FIXTURES[0].1), memory(FIXTURES[5].1));
    assert!(cmyk > 203 * 155 * 7 && baseline < 203 * 155, "{cmyk} {baseline}");
}

#[test]
fn a_cut_jpeg_is_refused_or_made_and_half_of_one_is_damaged() {
    for (name, original, _) in FIXTURES {
        for cut in (0..original.len()).step_by(original.len() / 60) {
            if let Err(error) = run(&original[..cut], &square(20)) {
                assert!(!matches!(error, PictureError::Operations(_)), "{name} {error:?}");
            }
        }
    }
    for (name, original, _) in &FIXTURES[..5] {
        let half = run(&original[..original.len() / 2], &square(20));
        assert!(matches!(half, Err(PictureError::Damaged(_))), "{name} {half:?}");
    }
}

#[test]
fn any_bit_of_a_jpeg_may_be_wrong() {
    for (_, original, _) in FIXTURES {
        for place in (2..original.len()).step_by(7) {
            let mut bytes = original.to_vec();
            bytes[place] ^= 1 << (place % 8);
            let _ = run(&bytes, &square(19));
        }
    }
}

/// One size for whoever takes `FF D0` for a marker without a segment, another for whoever does not.
#[test]
fn a_jpeg_of_two_sizes_is_refused_before_the_larger_one_is_decoded() {
    let small = include_bytes!("../fixtures/progressive-grey.jpg");
    let mut hidden = small[2..].to_vec();
    let end = hidden.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 10;
    hidden.truncate(end);
    let mut large = small[2..].to_vec();
    let frame = large.windows(2).position(|pair| pair == [0xFF, 0xC2]).unwrap();
    large[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let length = (hidden.len() as u16 + 2).to_be_bytes();
    let both = [&[0xFF, 0xD8, 0xFF, 0xD0][..], &length, &hidden, &large].concat();

    let whole = Operations { format: Format::Png, ..Operations::default() };
    let refused = run(&both, &whole);
    assert!(matches!(&refused, Err(PictureError::Damaged(why)) if why.contains("two sizes")), "{refused:?}");
}

#[test]
fn every_shape_gives_exactly_the_size() {
    for (width, height) in [(1, 1), (1, 300), (300, 1), (37, 41), (641, 479)] {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let original = encoded(&DynamicImage::ImageRgb8(photograph(width, height)), format);
            for (across, down) in [(1, 1), (128, 64), (3, 200)] {
                let operations =
                    Operations { width: Some(across), height: Some(down), ..Operations::default() };
                let made = run(&original, &operations).unwrap();
                assert_eq!((made.width, made.height), (across, down));
                assert_eq!(pixels(&made).dimensions(), (across, down));
            }
        }
    }
}

/// A JPEG whose left half is red and whose right half is blue, held as EXIF's `orientation` says.
fn held(orientation: u8) -> Vec<u8> {
    let picture =
        RgbImage::from_fn(400, 200, |x, _| if x < 200 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new(&mut bytes);
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0, 0]);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(picture.as_raw(), 400, 200, ExtendedColorType::Rgb8).unwrap();
    bytes
}

#[test]
fn a_turned_camera_is_turned_back_unless_nobody_wants_it() {
    let operations = Operations { width: Some(20), height: Some(40), ..Operations::default() };
    let upright = pixels(&run(&held(6), &operations).unwrap());
    assert!(upright.get_pixel(10, 2).0[0] > 200, "what was left is now on top");
    assert!(upright.get_pixel(10, 37).0[2] > 200);
    let lying = run(&held(6), &Operations { auto_orient: false, ..Operations::default() }).unwrap();
    assert_eq!((lying.width, lying.height), (400, 200));
}

#[test]
fn exif_goes_along_only_when_asked_and_says_upright() {
    let orientation = |made: &Made| crate::info(&made.bytes).unwrap().orientation;
    let kept = Operations { strip_exif: false, auto_orient: false, ..Operations::default() };
    let made = run(&held(6), &kept).unwrap();
    assert!(made.bytes.windows(4).any(|bytes| bytes == b"Exif"));
    assert_eq!(orientation(&made), 1);
    let stripped = run(&held(6), &Operations::default()).unwrap();
    assert!(!stripped.bytes.windows(4).any(|bytes| bytes == b"Exif"));
}

/// A colour profile as far as anybody here reads one.
fn profile(colours: &[u8; 4], name: &[u8]) -> Vec<u8> {
    [&[0; 16][..], colours, &[0; 108], name].concat()
}

/// A JPEG with this profile, or a PNG.
fn tagged(profile: &[u8], format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = DynamicImage::ImageRgb8(photograph(80, 60));
    let metadata = Metadata { profile: Some(profile.to_vec()), exif: None };
    bytes.extend(encode::encode(&picture, format, 82, metadata).unwrap());
    bytes
}

#[test]
fn a_colour_profile_goes_along_where_it_says_something() {
    let kept = |profile: &[u8], from, to| {
        let made = run(&tagged(profile, from), &Operations { format: to, ..square(20) }).unwrap();
        Head::read(&made.bytes).map(|mut head| metadata(&made.bytes, &mut head.source, true).profile).unwrap()
    };
    let wide = profile(b"RGB ", b"Display P3");
    for from in [Format::Jpeg, Format::Png, Format::WebP] {
        for to in [Format::Jpeg, Format::Png, Format::WebP] {
            assert_eq!(kept(&wide, from, to).as_ref(), Some(&wide), "{from:?} {to:?}");
        }
        for worthless in [profile(b"RGB ", b"sRGB IEC61966-2.1"), profile(b"CMYK", b"coated"), vec![1; 9]] {
            assert_eq!(kept(&worthless, from, Format::Jpeg), None, "{from:?}");
        }
    }
}

#[test]
fn gravity_and_crop_choose_the_part() {
    let corner = |gravity| {
        let made = run(&held(1), &Operations { gravity, ..square(10) }).unwrap();
        pixels(&made).get_pixel(5, 5).0
    };
    assert!(corner(Gravity::West)[0] > 200 && corner(Gravity::NorthEast)[2] > 200);
    let crop = Some(Crop { x: 250, y: 0, width: 100, height: 50 });
    let made = run(&held(1), &Operations { crop, ..Operations::default() }).unwrap();
    assert_eq!((made.width, made.height), (100, 50));
    assert!(pixels(&made).pixels().all(|pixel| pixel.0[2] > 200));
}

#[test]
fn a_contained_picture_has_the_background_around_it() {
    let operations = Operations { fit: Fit::Contain, background: [0, 255, 0], ..square(40) };
    let made = pixels(&run(&held(1), &operations).unwrap());
    assert_eq!(made.get_pixel(20, 2), &Rgb([0, 255, 0]));
    assert!(made.get_pixel(2, 20).0[0] > 200);
}

#[test]
fn what_is_transparent_stays_so_in_png_and_webp_and_takes_the_background_in_jpeg() {
    let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(40, 40, Rgba([9, 9, 9, 0])));
    let original = encoded(&clear, ImageFormat::Png);
    for format in [Format::Keep, Format::Png, Format::WebP] {
        let made = run(&original, &Operations { format, ..square(10) }).unwrap();
        let picture = image::load_from_memory(&made.bytes).unwrap().into_rgba8();
        assert_eq!(picture.get_pixel(5, 5).0[3], 0, "{format:?}");
    }
    let operations = Operations { format: Format::Jpeg, background: [250, 0, 0], ..square(10) };
    assert!(pixels(&run(&original, &operations).unwrap()).get_pixel(5, 5).0[0] > 240);
}

#[test]
fn sixteen_bits_and_every_format_are_read() {
    let deep = DynamicImage::ImageRgb8(photograph(80, 60));
    let originals = [
        encoded(&DynamicImage::ImageRgb16(deep.to_rgb16()), ImageFormat::Png),
        encoded(&DynamicImage::ImageLuma16(deep.to_luma16()), ImageFormat::Png),
        encoded(&DynamicImage::ImageLumaA8(deep.to_luma_alpha8()), ImageFormat::Png),
        encoded(&deep, ImageFormat::WebP),
        encoded(&DynamicImage::ImageRgba8(deep.to_rgba8()), ImageFormat::Gif),
    ];
    for original in originals {
        for format in [Format::Keep, Format::Jpeg, Format::Png, Format::WebP] {
            let made = run(&original, &Operations { format, ..square(16) }).unwrap();
            assert_eq!(pixels(&made).dimensions(), (16, 16));
            assert_ne!(made.format, Format::Keep);
        }
    }
}

#[test]
fn limits_are_kept_before_anything_is_decoded() {
    let original = jpeg(400, 300);
    let few = Limits { pixels: 100_000, ..LIMITS };
    assert!(matches!(Plan::new(&original, &square(8), few), Err(PictureError::TooLarge(_))));
    let little = Limits { memory: 1000, ..LIMITS };
    assert!(matches!(Plan::new(&original, &square(8), little), Err(PictureError::TooLarge(_))));
    let huge = Operations { width: Some(9000), height: Some(9000), ..Operations::default() };
    assert!(matches!(Plan::new(&original, &huge, LIMITS), Err(PictureError::Operations(_))));
    let grey = RgbImage::from_pixel(1, 1, Rgb([0; 3]));
    assert_eq!(Luma([0]), *DynamicImage::ImageRgb8(grey).into_luma8().get_pixel(0, 0));
}
