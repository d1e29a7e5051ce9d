//! Guests, requests and a small runtime for the stories of this room.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::unwrap_used, reason = "a story that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hooks::{
    Engine, Event, Facts, Grant, Hook, HookSettings, Locality, Place, Places, Storing, Tls, WasmSource,
};
use http_body_util::{BodyExt, Full};

/// One engine for a test binary: its pool reserves address space for a thousand instances.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

/// The guest of `hooks/thumbnail/examples/misbehaving`.
pub(crate) fn misbehaving() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| guest("misbehaving"))
}

/// The guest of `hooks/thumbnail/examples/outward`.
pub(crate) fn outward() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| guest("outward"))
}

/// The guest of `hooks/thumbnail/examples/offered`.
pub(crate) fn offered() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| guest("offered"))
}

/// A guest of `hooks/thumbnail/examples`, built beside the builtin hooks.
pub(crate) fn guest(name: &str) -> PathBuf {
    let arguments = ["--package", "thumbnail", "--example", name];
    let with_lines =
        ["--config", "profile.guest.strip=false", "--config", "profile.guest.debug=\"line-tables-only\""];
    let folder = build_guests(&arguments, &with_lines);
    folder.join(format!("examples/{name}.wasm"))
}

/// The components of `hooks/examples`, by the names of their folders, built once.
pub(crate) fn examples() -> &'static BTreeMap<String, PathBuf> {
    static EXAMPLES: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let names: Vec<String> = entries
            .filter(|path| path.join("Cargo.toml").exists())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let packages: Vec<&str> = names.iter().flat_map(|name| ["--package", name]).collect();
        let folder = build_guests(&packages, &[]);
        let file = |name: &str| folder.join(format!("{}.wasm", name.replace('-', "_")));
        names.iter().map(|name| (name.clone(), file(name))).collect()
    })
}

/// Builds packages of the workspace as the builtin hooks are built, and says where they are.
fn build_guests(packages: &[&str], more: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guest");
    let built = Command::new(env!("CARGO"))
        .arg("build")
        .args(packages)
        .args(["--profile", "guest", "--locked", "--target", "wasm32-wasip2"])
        .args(more)
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+simd128")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-wasip2/guest")
}

pub(crate) fn settings(wasm: WasmSource, on: &[Event], config: &[(&str, &str)]) -> HookSettings {
    let mut settings = HookSettings::new(wasm, on.to_vec());
    // A story sets the limit that it is about; a busy machine must not run it into another.
    settings.limits.cpu = Duration::from_secs(30);
    settings.limits.wall = Duration::from_secs(120);
    settings.config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    settings
}

pub(crate) const ALL: [Event; 4] =
    [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse, Event::ViewerResponse];

/// The misbehaving guest told to do `task`, with limits adjusted.
pub(crate) fn told(task: &str, adjust: impl FnOnce(&mut HookSettings)) -> Hook {
    let mut settings = settings(WasmSource::File(misbehaving().to_owned()), &ALL, &[("do", task)]);
    adjust(&mut settings);
    Hook::load(engine(), "guest", &settings).unwrap()
}

pub(crate) fn thumbnail(sizes: &str) -> Hook {
    let config: &[_] = if sizes.is_empty() { &[] } else { &[("sizes", sizes)] };
    thumbnail_with(config)
}

/// The builtin thumbnail hook with this config.
pub(crate) fn thumbnail_with(config: &[(&str, &str)]) -> Hook {
    let on = [Event::OriginRequest, Event::OriginResponse];
    Hook::load(engine(), "thumb", &settings(WasmSource::Builtin("thumbnail".into()), &on, config)).unwrap()
}

/// A database that knows one place.
#[derive(Debug)]
struct Seoul;

impl Places for Seoul {
    fn place(&self, _: IpAddr) -> Place {
        Place { country: Some("KR".into()), continent: Some("AS"), asn: Some(64496) }
    }

    fn locality(&self, _: IpAddr) -> Locality {
        Locality {
            region: Some("11".into()),
            city: Some("Seoul".into()),
            position: Some((37.5, 127.0)),
            time_zone: Some("Asia/Seoul".into()),
        }
    }
}

/// 1,800,000,000 seconds after 1970.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn facts() -> Facts {
    Facts {
        viewer_address: "2001:db8::7".parse().unwrap(),
        viewer_port: Some(4711),
        places: Arc::new(Seoul),
        tls: Some(Arc::new(Tls {
            version: "TLSv1.3",
            cipher: Some("TLS_AES_128_GCM_SHA256"),
            protocol: Some("h2".into()),
            server_name: Some("www.example.com".into()),
        })),
        scheme: "https",
        authority: Arc::from("www.example.com"),
        http_version: http::Version::HTTP_2,
        grant: Some(Grant {
            scheme: "cloudfront",
            key: Arc::from("K1"),
            expires: Some(now() + Duration::from_secs(60)),
            resource: Some(Arc::from("https://www.example.com/*")),
        }),
        request_id: http::HeaderValue::from_static("req-1"),
        node: Arc::from("icn1"),
        site: Arc::from("www"),
        route: Arc::from("/img/*"),
        caching: None,
        storing: Storing::Never,
        is_canary: true,
        now: now(),
        since: Instant::now(),
        outside: None,
    }
}

pub(crate) fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> http::request::Parts {
    let mut request = http::Request::new(());
    *request.uri_mut() = uri.parse().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, http::HeaderValue::from_static(value));
    }
    request.into_parts().0
}

pub(crate) fn response(kind: &'static str, body: impl Into<Bytes>) -> http::Response<Full<Bytes>> {
    let body = body.into();
    http::Response::builder()
        .header("content-type", kind)
        .header("content-length", body.len())
        .header("etag", "\"abc\"")
        .header("cache-control", "max-age=60")
        .body(Full::new(body))
        .unwrap()
}

pub(crate) async fn whole<B>(body: B) -> Bytes
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    body.collect().await.unwrap().to_bytes()
}

/// Runs a story on a core like the node's: one thread, all tasks on it.
pub(crate) fn on_one_core<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(story)
}
