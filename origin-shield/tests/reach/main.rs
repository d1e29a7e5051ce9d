//! Stories of this room over real sockets, against origins that do exactly what a script says.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod broken;
mod failover;
mod pooling;
mod scripted;
mod tls;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use origin_shield::{
    Exhausted, Failure, Group, GroupSettings, Origin, OriginBody, OriginError, OriginSettings, OutgoingBody,
    Reply,
};

/// How long an origin of these tests may be silent: short enough to wait for, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

fn settings(url: &str) -> OriginSettings {
    let mut settings = OriginSettings::new(url.parse().unwrap());
    settings.connect_timeout = Duration::from_secs(5);
    settings.response_timeout = PATIENCE;
    settings
}

fn origin(name: &str, url: &str) -> Arc<Origin> {
    Origin::build(name, &settings(url)).unwrap()
}

fn single(url: &str) -> Group {
    Group::single(origin("app", url))
}

fn group(urls: &[(&str, &str)]) -> Group {
    group_with(urls, |_| {})
}

fn group_with(urls: &[(&str, &str)], change: impl FnOnce(&mut GroupSettings)) -> Group {
    let mut settings = GroupSettings::new(urls.iter().map(|(name, _)| (*name).to_owned()).collect());
    change(&mut settings);
    let members = urls.iter().map(|(name, url)| origin(name, url)).collect();
    Group::build("main", &settings, members)
}

fn request(method: &str, path: &str, body: OutgoingBody) -> Request<OutgoingBody> {
    Request::builder().method(method).uri(path).header("x-test", "1").body(body).unwrap()
}

async fn ask(group: &Group, method: &str) -> Result<Reply, Exhausted> {
    group.send(request(method, "/thing?x=1", OutgoingBody::Empty), Instant::now()).await
}

async fn get(group: &Group) -> Result<Reply, Exhausted> {
    ask(group, "GET").await
}

async fn read(body: OriginBody) -> Result<Bytes, OriginError> {
    Ok(body.collect().await?.to_bytes())
}

async fn text(reply: Reply) -> String {
    String::from_utf8(read(reply.response.into_body()).await.unwrap().to_vec()).unwrap()
}

async fn get_text(group: &Group) -> String {
    text(get(group).await.unwrap()).await
}

/// The failures of an answer that never came, by origin.
fn failures(exhausted: &Exhausted) -> Vec<(&str, Failure)> {
    exhausted.attempts.iter().map(|attempt| (&*attempt.origin, attempt.failure)).collect()
}

/// An address where nothing listens.
async fn refusing() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
