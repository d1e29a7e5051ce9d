//! The admin API: health, figures, state, purge, reload, drain. On loopback by default; elsewhere it wants its token.

mod explain;
mod faults;
mod hooks;
mod kv;
mod origins;
mod purge;

use crate::body::Body;
use crate::node::{Current, Node};
use crate::process::Reloader;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};

/// How long an admin connection may take for a request's head, or stay silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What kind of page a browser asks for; only browsers send it, and no page can change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub use origins::members;
pub use purge::Kind as PurgeKind;

/// What the admin API can see and do.
pub struct Context {
    /// The node in force.
    pub current: Arc<Current>,
    /// Puts a changed config in force.
    pub reload: Arc<dyn Reloader>,
    /// Tells the process to drain and end.
    pub stop: mpsc::Sender<()>,
    /// True once it does.
    pub draining: watch::Receiver<bool>,
    /// What requests carry as a bearer token (RFC 6750), where one is set.
    pub token: Option<String>,
    /// Held by the purge that looks at every object.
    pub scanning: Mutex<()>,
    /// Held by whoever deploys a hook.
    pub deploying: Arc<Mutex<()>>,
}

/// Answers admin requests until the process ends.
pub async fn serve(listener: TcpListener, context: Arc<Context>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let context = Arc::clone(&context);
        let service = service_fn(move |request: Request<Incoming>| {
            let context = Arc::clone(&context);
            async move { Ok::<_, Infallible>(answer(&context, request).await) }
        });
        tokio::spawn(async move {
            // A connection that breaks off has only its own caller to tell.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(context: &Context, request: Request<Incoming>) -> Response<Body> {
    if let Some(refusal) = refusal(context, request.method(), request.headers()) {
        return refusal;
    }
    let node = context.current.load();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => said(StatusCode::OK, &json!({ "ok": true })),
        (&Method::GET, "/readyz") if *context.draining.borrow() => {
            said(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ready": false, "reason": "draining" }))
        }
        (&Method::GET, "/readyz") => said(StatusCode::OK, &json!({ "ready": true })),
        (&Method::GET, "/metrics") => metrics(&node),
        (&Method::GET, "/status") => said(StatusCode::OK, &status(&node, Instant::now())),
        (&Method::GET, "/explain") => explain::answer(context, request.uri().query()).await,
        (&Method::POST, "/purge") => purge::answer(context, request.into_body()).await,
        (&Method::POST, "/reload") => reload(context).await,
        (&Method::POST, "/drain") => {
            // Full means that somebody has asked already.
            let _ = context.stop.try_send(());
            said(StatusCode::ACCEPTED, &json!({ "draining": true }))
        }
        (
            _,
            "/healthz" | "/readyz" | "/metrics" | "/status" | "/explain" | "/purge" | "/reload" | "/drain",
        ) => said(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method-not-allowed" })),
        (_, path) if path == "/hooks" || path.starts_with("/hooks/") => {
            let (head, body) = request.into_parts();
            hooks::answer(context, &head, body).await
        }
        (_, path) if path == "/kv" || path.starts_with("/kv/") => {
            let (head, body) = request.into_parts();
            kv::answer(&node, &head, body).await
        }
        (method, path) if path.starts_with("/faults") => {
            faults::answer(&node, method, &path["/faults".len()..])
        }
        _ => said(
            StatusCode::NOT_FOUND,
            &json!({ "error": "not-found", "paths": {
                "GET": ["/healthz", "/readyz", "/metrics", "/status", "/explain?url=", "/hooks", "/hooks/NAME", "/kv", "/kv/STORE", "/kv/STORE/KEY", "/faults"],
                "POST": ["/purge", "/reload", "/drain", "/hooks/NAME/deploy", "/hooks/NAME/promote", "/hooks/NAME/rollback", "/faults/NAME/stop"],
                "PUT, DELETE": ["/kv/STORE/KEY"],
            }}),
        ),
    }
}

/// The token where one is set. Without one only requests that name this machine, so that no web page can reach the API by a
/// name of its own that resolves to loopback, and nothing that changes the node on behalf of a page from elsewhere.
fn refusal(context: &Context, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    let refuse = |status, error| Some(said(status, &json!({ "error": error })));
    if let Some(token) = &context.token {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let equal = given.is_some_and(|given| same(given.as_bytes(), token.as_bytes()));
        return if equal { None } else { refuse(StatusCode::UNAUTHORIZED, "admin-token") };
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let is_local =
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_local {
        return refuse(StatusCode::FORBIDDEN, "not-loopback");
    }
    if !method.is_safe() && is_from_elsewhere(headers, host) {
        return refuse(StatusCode::FORBIDDEN, "cross-site");
    }
    None
}

/// Whether a browser sends this for a page that is not this API's own: RFC 6454 §7, Fetch Metadata §2.3.
fn is_from_elsewhere(headers: &HeaderMap, host: &str) -> bool {
    let is_foreign =
        |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"http://") != Some(host.as_bytes());
    let is_cross = |site: &HeaderValue| site != "same-origin" && site != "none";
    headers.get_all(ORIGIN).iter().any(is_foreign) || headers.get_all(SEC_FETCH_SITE).iter().any(is_cross)
}

/// Compares in a time that depends on the lengths only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len()
        && given.iter().zip(expected).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

async fn reload(context: &Context) -> Response<Body> {
    let reloader = Arc::clone(&context.reload);
    // Building a node reads files and compiles hooks: not on a thread that answers.
    match tokio::task::spawn_blocking(move || reloader.reload()).await {
        Ok(Ok(())) => said(StatusCode::OK, &json!({ "reloaded": true })),
        Ok(Err(error)) => {
            said(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "reloaded": false, "error": error.to_string() }))
        }
        Err(error) => {
            said(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "reloaded": false, "error": error.to_string() }))
        }
    }
}

fn metrics(node: &Node) -> Response<Body> {
    let mut text = node.observer.metrics(node.store.statistics());
    text.push_str(&crate::observe::origins(&node.groups, Instant::now()));
    text.push_str(&crate::observe::faults(node));
    text.push_str(&node.figures_of_hooks());
    text.push_str(&crate::observe::versions(node));
    let mut response = Response::new(Body::Whole(text.into()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn status(node: &Node, now: Instant) -> Value {
    let cache = node.store.statistics();
    json!({
        "node": &*node.name,
        "version": env!("CARGO_PKG_VERSION"),
        "sites": node.config.site.keys().collect::<Vec<_>>(),
        "cache": { "keys": cache.keys, "bytes": cache.stored_bytes, "in_flight_bytes": cache.in_flight_bytes },
        "disk": cache.disk.map(|disk| json!({
            "records": disk.records,
            "bytes": disk.bytes,
            "queued_bytes": disk.queued_bytes,
            "hits": disk.hits,
            "misses": disk.misses,
            "written": disk.written,
            "dropped": disk.dropped,
            "damaged": disk.damaged,
            "errors": disk.errors,
        })),
        "groups": origins::groups(node, now),
        "hooks": hooks::standing(node),
        "faults": faults::faults(node),
    })
}

fn said(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::Whole(format!("{value}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"secret", b"secret"));
        for given in ["", "secre", "secret ", "Secret"] {
            assert!(!same(given.as_bytes(), b"secret"), "{given}");
        }
    }
}
