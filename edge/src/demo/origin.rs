//! The demo's origins: small web servers, two of which stand in for one another and can be killed.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use super::assets;
use crate::process;

/// How long an origin keeps a viewer waiting for what the page calls a distant answer.
const DISTANCE: Duration = Duration::from_millis(120);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) type Answer = Response<Full<Bytes>>;

/// One of the two origins that stand in for one another.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Bound but not listening: it refuses viewers, and keeps the port from everybody else while the origin is dead.
    _reservation: Socket,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Member {
    /// A dead origin on a free port of its own.
    pub(super) fn reserve(name: &'static str) -> io::Result<Self> {
        let reservation = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { name, address, _reservation: reservation, serving: Mutex::new(None) })
    }

    pub(super) async fn is_up(&self) -> bool {
        self.serving.lock().await.is_some()
    }

    /// Listens, unless it does already.
    pub(super) async fn revive(&self) -> io::Result<()> {
        let mut serving = self.serving.lock().await;
        if serving.is_none() {
            let socket = bound(self.address)?;
            socket.listen(128)?;
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket.into())?;
            let name = self.name;
            *serving = Some(tokio::spawn(serve(listener, move |request| answer(name, request))));
        }
        Ok(())
    }

    /// Breaks all connections off and closes the port.
    pub(super) async fn kill(&self) {
        let serving = self.serving.lock().await.take();
        if let Some(task) = serving {
            task.abort();
            // Cancelled is what it is meant to be; the port is closed once it is.
            let _ = task.await;
        }
    }
}

/// A socket that other sockets of ours may share the address with, as long as only one listens.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Answers requests until the task is aborted, which ends the connections too.
pub(super) async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let answer = Arc::new(answer);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        connections.spawn(async move {
            // A connection that breaks off has only the node to tell, which knows.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(name: &'static str, request: Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal =
            said(StatusCode::METHOD_NOT_ALLOWED, "no-store", &json!({ "allowed": "GET, HEAD" }));
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let path = request.uri().path();
    if let Some(asset) = assets::find(path) {
        let mut response = Response::new(Full::from(asset.bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
        headers.insert("x-origin", HeaderValue::from_static(name));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"));
        return response;
    }
    let made = json!({ "origin": name, "time": httpdate::fmt_http_date(process::now()), "milliseconds": millis(process::now()) });
    match path {
        "/clock" => said(StatusCode::OK, "no-store", &made),
        _ if path.starts_with("/distant/") => {
            tokio::time::sleep(DISTANCE).await;
            said(StatusCode::OK, "public, max-age=30", &made)
        }
        _ => said(StatusCode::NOT_FOUND, "public, max-age=5", &json!({ "error": "nothing is here" })),
    }
}

fn millis(now: SystemTime) -> u128 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// An answer in JSON.
pub(super) fn said(status: StatusCode, cache_control: &'static str, what: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::from(format!("{what:#}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn a_killed_origin_refuses_and_a_revived_one_is_back_at_its_address() {
        let member = Member::reserve("primary").unwrap();
        let connects = || TcpStream::connect(member.address).is_ok();
        assert!(!connects() && !member.is_up().await);
        for _ in 0..3 {
            member.revive().await.unwrap();
            assert!(connects() && member.is_up().await);
            member.kill().await;
            assert!(!connects() && !member.is_up().await);
        }
    }

    #[tokio::test]
    async fn killing_the_dead_and_reviving_the_living_changes_nothing() {
        let member = Member::reserve("primary").unwrap();
        member.kill().await;
        member.revive().await.unwrap();
        member.revive().await.unwrap();
        assert!(TcpStream::connect(member.address).is_ok());
    }
}
