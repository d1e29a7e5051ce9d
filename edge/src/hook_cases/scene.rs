//! From a case to what the engine is given: messages as a node would hand them over.

use super::file::{Case, CaseFile, Content, Continent, HttpVersion, TlsVersion, Values, Viewer};
use super::origins::Origins;
use crate::config::ConfigError;
use crate::process;
use bytes::Bytes;
use hooks::{Caching, Event, Facts, Grant, Locality, Outside, Place, Places, Storing, Tls};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};
use http_body_util::Full;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use toml::Spanned;

/// One call, ready to be made.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) event: Event,
    pub(super) request: request::Parts,
    pub(super) body: Full<Bytes>,
    pub(super) response: http::Response<Full<Bytes>>,
    pub(super) facts: Facts,
    pub(super) origins: Arc<Origins>,
}

impl Scene {
    /// Errors stand at the case: its parts are small.
    pub(super) fn of(file: &CaseFile, case: &Spanned<Case>, events: &[Event]) -> Result<Self, ConfigError> {
        let wrong = |message: String| file.error(case.span().start, message);
        let case = case.get_ref();
        let event = event(case, events).map_err(wrong)?;
        let url: Uri = case.request.url.parse().map_err(|error| wrong(format!("request.url: {error}")))?;
        let body = content(file, &case.response.body).map_err(wrong)?;
        let sent = case.request.body.as_ref().map(|body| content(file, body)).transpose().map_err(wrong)?;
        let origins = Arc::new(Origins::of(file, &case.fetch).map_err(wrong)?);
        Ok(Self {
            event,
            facts: facts(case, &url, &origins).map_err(wrong)?,
            origins,
            request: request(case, &url, sent.as_ref()).map_err(wrong)?,
            body: Full::new(sent.unwrap_or_default()),
            response: response(case, body).map_err(wrong)?,
        })
    }
}

fn event(case: &Case, events: &[Event]) -> Result<Event, String> {
    let listed = || events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(", ");
    match (case.event, events) {
        (Some(event), _) if events.contains(&event) => Ok(event),
        (Some(event), []) => Err(format!("the component does not answer {event}, nor any other event")),
        (Some(event), _) => Err(format!("the component does not answer {event}, only {}", listed())),
        (None, [event]) => Ok(*event),
        (None, []) => Err("the component answers no event".into()),
        (None, _) => {
            Err(format!("the component answers several events; say which: event = one of {}", listed()))
        }
    }
}

/// As from HTTP/1.1: the target is path and query, the host is a header.
fn request(case: &Case, url: &Uri, body: Option<&Bytes>) -> Result<request::Parts, String> {
    let authority = url.authority().ok_or("request.url must be absolute: \"https://www.example.com/a\"")?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method =
        Method::from_bytes(case.request.method.as_bytes()).map_err(|_| "request.method is no method")?;
    parts.uri = url
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .parse()
        .map_err(|error| format!("request.url: {error}"))?;
    parts.version = version(case.viewer.http);
    parts.headers = headers(&case.request.headers).map_err(|cause| format!("request.headers: {cause}"))?;
    if !parts.headers.contains_key(HOST) {
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|error| format!("request.url: {error}"))?;
        parts.headers.insert(HOST, host);
    }
    if let Some(body) = body {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.len()));
    }
    Ok(parts)
}

fn response(case: &Case, body: Bytes) -> Result<http::Response<Full<Bytes>>, String> {
    let status =
        http::StatusCode::from_u16(case.response.status).map_err(|_| "response.status is no status")?;
    let mut all = headers(&case.response.headers).map_err(|cause| format!("response.headers: {cause}"))?;
    all.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.len()));
    let mut response = http::Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = all;
    Ok(response)
}

pub(super) fn headers(given: &BTreeMap<String, Values>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in given {
        let known: HeaderName = name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        for value in values.as_slice() {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| format!("{value:?} cannot be the value of {name}"))?;
            headers.append(known.clone(), value);
        }
    }
    Ok(headers)
}

/// The bytes of a body.
pub(super) fn content(file: &CaseFile, content: &Content) -> Result<Bytes, String> {
    match content {
        Content::Text(text) => Ok(Bytes::from(text.clone())),
        Content::File(path) => {
            let path = file.folder().join(path);
            std::fs::read(&path).map(Bytes::from).map_err(|error| format!("{}: {error}", path.display()))
        }
        Content::Contains(_) => Err("{ contains = … } is for what is expected".into()),
    }
}

fn facts(case: &Case, url: &Uri, origins: &Arc<Origins>) -> Result<Facts, String> {
    let viewer = &case.viewer;
    let tls = viewer.tls.or((url.scheme_str() == Some("https")).then_some(TlsVersion::Tls13));
    let text = |text: &str| -> Arc<str> { text.into() };
    Ok(Facts {
        viewer_address: viewer.address,
        viewer_port: viewer.port,
        places: Arc::new(Whereabouts::of(viewer)),
        tls: tls.map(|version| Arc::new(session(version, url))),
        scheme: if tls.is_some() { "https" } else { "http" },
        authority: url
            .authority()
            .map(|authority| authority.as_str().to_ascii_lowercase())
            .unwrap_or_default()
            .into(),
        http_version: version(viewer.http),
        grant: viewer.grant.as_ref().map(granted),
        request_id: HeaderValue::from_str(&viewer.request_id)
            .map_err(|error| format!("viewer.request-id: {error}"))?,
        node: text(&viewer.node),
        site: text(&viewer.site),
        route: text(&viewer.route),
        caching: caching(&case.request.key_parts),
        storing: Storing::Never,
        is_canary: false,
        outside: Some(Arc::clone(origins) as Arc<dyn Outside>),
        now: now(case),
        since: Instant::now(),
    })
}

/// As an earlier hook would have said it; a node has none where nobody said anything.
fn caching(parts: &BTreeMap<String, String>) -> Option<Arc<Caching>> {
    let key_parts: Vec<_> = parts.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    (!key_parts.is_empty()).then(|| Arc::new(Caching { key_parts, bypass: false }))
}

/// What the node's clock shows.
pub(super) fn now(case: &Case) -> SystemTime {
    case.time.map_or_else(process::now, |seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

fn session(version: TlsVersion, url: &Uri) -> Tls {
    let (version, cipher) = match version {
        TlsVersion::Tls12 => ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        TlsVersion::Tls13 => ("TLSv1.3", "TLS_AES_128_GCM_SHA256"),
    };
    Tls {
        version,
        cipher: Some(cipher),
        protocol: None,
        server_name: url.host().map(str::to_ascii_lowercase),
    }
}

fn granted(grant: &super::file::Grant) -> Grant {
    Grant {
        scheme: "cloudfront",
        key: grant.key.as_str().into(),
        expires: Some(UNIX_EPOCH + Duration::from_secs(grant.expires)),
        resource: grant.resource.as_deref().map(Into::into),
    }
}

/// Where the case says that its viewer is.
#[derive(Debug)]
struct Whereabouts {
    place: Place,
    locality: Locality,
}

impl Whereabouts {
    fn of(viewer: &Viewer) -> Self {
        let continent = viewer.continent.map(|continent| match continent {
            Continent::Af => "AF",
            Continent::An => "AN",
            Continent::As => "AS",
            Continent::Eu => "EU",
            Continent::Na => "NA",
            Continent::Oc => "OC",
            Continent::Sa => "SA",
        });
        Self {
            place: Place { country: viewer.country.clone(), continent, asn: viewer.asn },
            locality: Locality {
                region: viewer.region.clone(),
                city: viewer.city.clone(),
                position: viewer.position,
                time_zone: viewer.time_zone.clone(),
            },
        }
    }
}

impl Places for Whereabouts {
    fn place(&self, _: IpAddr) -> Place {
        self.place.clone()
    }

    fn locality(&self, _: IpAddr) -> Locality {
        self.locality.clone()
    }
}

fn version(spoken: HttpVersion) -> Version {
    match spoken {
        HttpVersion::Http10 => Version::HTTP_10,
        HttpVersion::Http11 => Version::HTTP_11,
        HttpVersion::Http2 => Version::HTTP_2,
        HttpVersion::Http3 => Version::HTTP_3,
    }
}
