//! The thumbnail hook on real pictures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::io::Cursor;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hooks::{HookBody, OriginRequestOutcome, OriginResponseOutcome};
use http_body_util::Full;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use support::{facts, on_one_core, request, response, thumbnail, whole};

/// A picture with soft shapes, sharp edges and colour, as photographs have.
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

fn encode(picture: &RgbImage, format: ImageFormat) -> Bytes {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes.into()
}

async fn resize(
    sizes: &str,
    query: &str,
    original: http::Response<Full<Bytes>>,
) -> OriginResponseOutcome<Full<Bytes>> {
    let asked = request(&format!("/img/cat.jpg{query}"), &[]);
    thumbnail(sizes).origin_response(&asked, original, &facts()).await.unwrap()
}

/// Status and words of a refusal.
fn refused(sizes: &str, query: &str, kind: &'static str, original: impl Into<Bytes>) -> (u16, String) {
    on_one_core(async {
        let outcome = resize(sizes, query, response(kind, original)).await;
        let status = outcome.response.status().as_u16();
        assert_eq!(outcome.response.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(!outcome.response.headers().contains_key("etag"));
        (status, String::from_utf8_lossy(&whole(outcome.response.into_body()).await).into_owned())
    })
}

/// A hook that works where `engine` says, with more config.
fn made_by(engine: &str, config: &[(&str, &str)]) -> hooks::Hook {
    let config: Vec<_> = config.iter().copied().chain([("engine", engine)]).collect();
    support::thumbnail_with(&config)
}

fn refused_by(engine: &str, query: &str, kind: &'static str, original: Vec<u8>) -> (u16, String) {
    on_one_core(async {
        let asked = request(&format!("/img/cat.jpg{query}"), &[]);
        let outcome =
            made_by(engine, &[]).origin_response(&asked, response(kind, original), &facts()).await.unwrap();
        let status = outcome.response.status().as_u16();
        (status, String::from_utf8_lossy(&whole(outcome.response.into_body()).await).into_owned())
    })
}

/// Media type and bytes of what a hook makes of an original.
async fn made(hook: &hooks::Hook, query: &str, kind: &'static str, original: Bytes) -> (u16, String, Bytes) {
    let asked = request(&format!("/img/cat.jpg{query}"), &[]);
    let outcome = hook.origin_response(&asked, response(kind, original), &facts()).await.unwrap();
    let kind = outcome.response.headers()["content-type"].to_str().unwrap().to_owned();
    (outcome.response.status().as_u16(), kind, whole(outcome.response.into_body()).await)
}

const ALL_OPTIONS: (&str, &str) = ("options", "fit,gravity,fm,q,dpr");

#[test]
fn the_node_and_the_guest_make_the_same_picture() {
    let jpeg = encode(&photograph(2000, 1500), ImageFormat::Jpeg);
    let png = encode(&photograph(500, 300), ImageFormat::Png);
    let (host, guest) = (made_by("host", &[ALL_OPTIONS]), made_by("guest", &[ALL_OPTIONS]));
    on_one_core(async {
        for (query, kind, original) in [
            ("?w=128&h=128&fm=png", "image/jpeg", &jpeg),
            ("?w=128&h=128", "image/jpeg", &jpeg),
            ("?w=500&fit=inside&q=90", "image/jpeg", &jpeg),
            ("?w=60&h=90&gravity=west&fm=webp", "image/png", &png),
            ("?w=90&h=90&fit=contain&fm=png&dpr=2", "image/png", &png),
        ] {
            let (one, other) = (
                made(&host, query, kind, original.clone()).await,
                made(&guest, query, kind, original.clone()).await,
            );
            assert_eq!((one.0, other.0, &one.1), (200, 200, &other.1), "{query}");
            let decoded = |bytes: &Bytes| image::load_from_memory(bytes).unwrap().into_rgb8();
            let quality = psnr(&decoded(&one.2), &decoded(&other.2));
            assert!(quality >= 40.0, "{query}: {quality} dB");
        }
    });
}

#[test]
fn options_choose_shape_format_and_quality_where_the_config_allows_them() {
    let jpeg = encode(&photograph(800, 600), ImageFormat::Jpeg);
    on_one_core(async {
        let hook = made_by("host", &[ALL_OPTIONS]);
        for (query, kind, size) in [
            ("?w=100", "image/jpeg", (100, 75)),
            ("?h=100&dpr=2", "image/jpeg", (267, 200)),
            ("?w=100&h=100&fit=inside", "image/jpeg", (100, 75)),
            ("?w=100&h=100&fit=contain&fm=png", "image/png", (100, 100)),
            ("?w=100&h=100&fm=webp", "image/webp", (100, 100)),
            ("?w=100&h=100&fm=auto", "image/jpeg", (100, 100)),
        ] {
            let (status, type_of, bytes) = made(&hook, query, "image/jpeg", jpeg.clone()).await;
            let picture = image::load_from_memory(&bytes).unwrap();
            assert_eq!(
                (status, type_of.as_str(), (picture.width(), picture.height())),
                (200, kind, size),
                "{query}"
            );
        }
        let plain =
            made(&made_by("host", &[]), "?w=100&h=100&fit=inside&fm=png&q=1", "image/jpeg", jpeg).await;
        assert_eq!(plain.1, "image/jpeg", "an option that nobody allowed is not heard");
    });
}

#[test]
fn a_bad_picture_passes_where_the_config_says_so() {
    let broken = encode(&photograph(400, 300), ImageFormat::Png).slice(..2000);
    on_one_core(async {
        for engine in ["host", "guest"] {
            let hook = made_by(engine, &[("on-bad", "original")]);
            let (status, kind, bytes) = made(&hook, "?w=64&h=64", "image/png", broken.clone()).await;
            assert_eq!((status, kind.as_str(), &bytes), (200, "image/png", &broken), "{engine}");
        }
    });
}

#[test]
fn of_an_animation_the_first_frame_is_taken_or_all_of_it_passes() {
    let mut animation = Vec::new();
    let frame = image::RgbaImage::from_pixel(60, 40, image::Rgba([200, 0, 0, 255]));
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut animation);
    encoder.encode_frames(vec![image::Frame::new(frame); 3]).unwrap();
    drop(encoder);
    let animation = Bytes::from(animation);
    on_one_core(async {
        for engine in ["host", "guest"] {
            let first = made(&made_by(engine, &[]), "?w=30", "image/gif", animation.clone()).await;
            assert_eq!((first.0, first.1.as_str()), (200, "image/jpeg"));
            assert_eq!(image::load_from_memory(&first.2).unwrap().width(), 30);
            let hook = made_by(engine, &[("animated", "original")]);
            let all = made(&hook, "?w=30", "image/gif", animation.clone()).await;
            assert_eq!((all.1.as_str(), &all.2), ("image/gif", &animation), "{engine}");
        }
    });
}

/// An original of which the origin says no more than this, or nothing at all.
fn untold(kind: Option<&'static str>, original: Bytes) -> http::Response<Full<Bytes>> {
    let mut response = response(kind.unwrap_or_default(), original);
    if kind.is_none() {
        response.headers_mut().remove("content-type");
    }
    response
}

const UNTOLD: [Option<&str>; 3] = [None, Some("binary/octet-stream"), Some("application/octet-stream")];

#[test]
fn a_picture_that_nobody_called_one_is_known_by_its_first_bytes() {
    let jpeg = encode(&photograph(400, 300), ImageFormat::Jpeg);
    on_one_core(async {
        for engine in ["host", "guest"] {
            let hook = made_by(engine, &[("format", "auto")]);
            for kind in UNTOLD {
                let asked = request("/img/cat?w=64&h=48", &[]);
                let outcome =
                    hook.origin_response(&asked, untold(kind, jpeg.clone()), &facts()).await.unwrap();
                assert_eq!(outcome.response.headers()["content-type"], "image/jpeg", "{engine} {kind:?}");
                let small = image::load_from_memory(&whole(outcome.response.into_body()).await).unwrap();
                assert_eq!((small.width(), small.height()), (64, 48), "{engine} {kind:?}");
            }
        }
    });
}

#[test]
fn what_nobody_called_a_picture_and_is_none_passes_whatever_the_config_says() {
    on_one_core(async {
        for (engine, bytes) in [("host", "%PDF-1.7 and more"), ("guest", "short"), ("host", "")] {
            let hook = made_by(engine, &[("on-bad", "refuse")]);
            for kind in UNTOLD {
                let asked = request("/img/cat?w=64&h=48", &[]);
                let outcome =
                    hook.origin_response(&asked, untold(kind, bytes.into()), &facts()).await.unwrap();
                assert_eq!(outcome.response.status(), 200);
                assert_eq!(outcome.response.headers()["etag"], "\"abc\"");
                assert_eq!(whole(outcome.response.into_body()).await, bytes, "{engine} {kind:?}");
            }
        }
    });
}

#[test]
fn the_default_limits_suffice_for_large_originals() {
    let mut settings = hooks::HookSettings::new(
        hooks::WasmSource::Builtin("thumbnail".into()),
        vec![hooks::Event::OriginResponse],
    );
    settings.limits.wall = Duration::from_secs(60);
    let hook = hooks::Hook::load(support::engine(), "thumb", &settings).unwrap();
    let large = encode(&RgbImage::new(8000, 6000), ImageFormat::Jpeg);
    on_one_core(async {
        let (status, _, bytes) = made(&hook, "?w=128&h=128", "image/jpeg", large).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    });
}

fn psnr(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let squares =
        one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    10.0 * (255.0_f64.powi(2) * one.as_raw().len() as f64 / squares.sum::<f64>()).log10()
}

#[test]
fn a_jpeg_becomes_exactly_the_size_and_as_good_as_the_slow_way() {
    let original = encode(&photograph(2000, 1500), ImageFormat::Jpeg);
    let decoded = image::load_from_memory(&original).unwrap().into_rgb8();
    let middle = imageops::crop_imm(&decoded, 250, 0, 1500, 1500).to_image();
    let reference = imageops::resize(&middle, 128, 128, FilterType::Lanczos3);
    on_one_core(async {
        let outcome = resize("64x64,128x128", "?w=128&h=128", response("image/jpeg", original.clone())).await;
        assert_eq!(outcome.response.status(), 200);
        let headers = outcome.response.headers().clone();
        assert_eq!(headers["content-type"], "image/jpeg");
        assert_eq!(headers["etag"], "W/\"abc;128x128\"");
        assert_eq!(headers["cache-control"], "max-age=60");
        let body = whole(outcome.response.into_body()).await;
        assert_eq!(headers["content-length"], body.len().to_string());
        let small = image::load_from_memory_with_format(&body, ImageFormat::Jpeg).unwrap().into_rgb8();
        let quality = psnr(&small, &reference);
        assert!(quality >= 38.0, "{quality} dB, JPEG coding included");
    });
}

#[test]
fn a_png_becomes_a_jpeg_too() {
    let original = encode(&photograph(300, 500), ImageFormat::Png);
    on_one_core(async {
        let outcome = resize("", "?w=90&h=40", response("image/png", original)).await;
        assert_eq!(outcome.response.headers()["content-type"], "image/jpeg");
        let body = whole(outcome.response.into_body()).await;
        let small = image::load_from_memory_with_format(&body, ImageFormat::Jpeg).unwrap();
        assert_eq!((small.width(), small.height()), (90, 40));
    });
}

#[test]
fn without_a_size_or_a_picture_nothing_happens() {
    on_one_core(async {
        let original = encode(&photograph(40, 30), ImageFormat::Jpeg);
        let mut missing = response("image/jpeg", original.clone());
        *missing.status_mut() = http::StatusCode::NOT_FOUND;
        let cases = [
            ("", response("image/jpeg", original)),
            ("?v=3", response("image/jpeg", "x")),
            ("?w=64&h=64", response("text/html", "<p>")),
            ("?w=64&h=64", missing),
        ];
        for (query, original) in cases {
            let outcome = resize("64x64", query, original).await;
            assert!(matches!(outcome.response.body(), HookBody::Untouched(_)), "{query}");
            assert_eq!(outcome.response.headers()["etag"], "\"abc\"");
        }
    });
}

#[test]
fn the_origin_is_asked_for_the_whole_original() {
    on_one_core(async {
        let headers =
            [("range", "bytes=0-9"), ("if-none-match", "W/\"abc;64x64\""), ("accept-encoding", "gzip")];
        let asked = request("/img/cat.jpg?v=1&w=64&h=64", &headers);
        let outcome = thumbnail("64x64").origin_request(asked, &facts()).await.unwrap();
        let OriginRequestOutcome::Next { parts, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(parts.uri, "/img/cat.jpg?v=1");
        assert_eq!(parts.headers["if-none-match"], "W/\"abc\"");
        assert!(!parts.headers.contains_key("range") && !parts.headers.contains_key("accept-encoding"));
    });
}

#[test]
fn a_size_that_is_not_listed_is_refused_before_the_origin_is_asked() {
    on_one_core(async {
        let asked = request("/img/cat.jpg?w=65&h=64", &[]);
        let outcome = thumbnail("64x64,128x128").origin_request(asked, &facts()).await.unwrap();
        let OriginRequestOutcome::Respond(answer) = outcome else { panic!("{outcome:?}") };
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.body(), "65x64 is not offered here; the sizes are 64x64,128x128\n");
    });
    let original = encode(&photograph(40, 30), ImageFormat::Jpeg);
    assert_eq!(refused("64x64", "?w=9&h=9", "image/jpeg", original.clone()).0, 400);
    assert_eq!(refused("64x64", "?w=64", "image/jpeg", original.clone()).0, 400);
    assert_eq!(refused("", "?w=9000&h=9000", "image/jpeg", original).0, 400);
}

/// The signature and header of a PNG that says it is huge (the PNG specification, sections 5.2 and 11.2.2).
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let tiny = encode(&RgbImage::new(1, 1), ImageFormat::Png);
    let mut header = tiny[12..29].to_vec();
    header[4..8].copy_from_slice(&width.to_be_bytes());
    header[8..12].copy_from_slice(&height.to_be_bytes());
    let mut bomb = tiny[..12].to_vec();
    bomb.extend_from_slice(&header);
    bomb.extend_from_slice(&crc32(&header).to_be_bytes());
    bomb.extend_from_slice(&tiny[33..]);
    bomb
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn an_image_bomb_is_refused_before_it_is_decoded() {
    let begin = Instant::now();
    let (status, words) = refused("", "?w=64&h=64", "image/png", png_bomb(65_535, 65_535));
    assert_eq!(status, 413, "{words}");
    let (status, words) = refused("", "?w=64&h=64", "image/png", png_bomb(8_000, 7_000));
    assert_eq!(status, 413, "{words}");
    assert!(words.contains("8000x7000") && words.contains("50 megapixels"), "{words}");
    assert!(begin.elapsed() < Duration::from_secs(30), "compiling included");
}

#[test]
fn a_picture_that_needs_more_memory_than_the_hook_has_is_refused_in_words() {
    // 49 megapixels: under the limit of pixels, over 128 MiB.
    let (status, words) = refused_by("guest", "?w=64&h=64", "image/png", png_bomb(7_000, 7_000));
    assert_eq!(status, 413);
    assert!(words.contains("memory") || words.contains("more than the hook may have"), "{words}");
}

#[test]
fn damaged_and_foreign_pictures_are_refused_in_words() {
    let whole = encode(&photograph(400, 300), ImageFormat::Png);
    let (status, words) = refused("", "?w=64&h=64", "image/png", whole.slice(..whole.len() / 2));
    assert_eq!(status, 422);
    assert!(words.contains("cannot be decoded"), "{words}");
    let jpeg = encode(&photograph(400, 300), ImageFormat::Jpeg);
    assert_eq!(refused("", "?w=64&h=64", "image/jpeg", jpeg.slice(..40)).0, 422);
    assert_eq!(refused("", "?w=64&h=64", "image/webp", "RIFF....WEBPVP8 ").0, 422);
    assert_eq!(refused("", "?w=64&h=64", "image/svg+xml", "<svg/>").0, 415);
    assert_eq!(refused("", "?w=64&h=64", "image/jpeg", "").0, 415);
}

#[test]
fn any_cut_of_a_jpeg_is_an_answer_and_never_a_trap() {
    let jpeg = encode(&photograph(200, 100), ImageFormat::Jpeg);
    let hook = thumbnail("");
    on_one_core(async {
        for cut in (0..jpeg.len()).step_by(jpeg.len() / 40) {
            let cut = response("image/jpeg", jpeg.slice(..cut));
            let outcome = hook.origin_response(&request("/a?w=8&h=8", &[]), cut, &facts()).await.unwrap();
            assert!(matches!(outcome.response.status().as_u16(), 200 | 415 | 422));
        }
    });
}
