//! The third origin, behind `/demo/*`: it tells the page what there is to try, and kills and revives the other two.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::guide::{Guide, Signer};
use super::origin::{Answer, Member, said, serve};
use crate::process;

/// What it knows and rules.
pub(super) struct Control {
    pub(super) members: [Arc<Member>; 2],
    pub(super) signer: Arc<Signer>,
    /// There once the node is ready.
    pub(super) guide: Arc<OnceLock<Guide>>,
}

/// What is done to an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Kill,
    Revive,
}

/// Listens on a free port and answers until the process ends.
pub(super) async fn start(control: Control) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let control = Arc::new(control);
    tokio::spawn(serve(listener, move |request| {
        let control = Arc::clone(&control);
        async move { control.answer(&request).await }
    }));
    Ok(address)
}

impl Control {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if path == "/demo/state" && request.method() == Method::GET {
            return tell(StatusCode::OK, &self.state(request.headers()).await);
        }
        let Some((member, deed)) = self.deed(path) else {
            return tell(StatusCode::NOT_FOUND, &json!({ "error": "try /demo/state" }));
        };
        if request.method() != Method::POST {
            let mut refusal = tell(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "this takes a POST" }));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return refusal;
        }
        if is_from_another_site(request.headers()) {
            return tell(StatusCode::FORBIDDEN, &json!({ "error": "only the demo's own page may do this" }));
        }
        match self.act(member, deed).await {
            Ok(()) => tell(StatusCode::OK, &shown(member).await),
            Err(error) => tell(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
        }
    }

    async fn act(&self, member: &Member, deed: Deed) -> io::Result<()> {
        match deed {
            Deed::Revive => member.revive().await,
            Deed::Kill => {
                member.kill().await;
                Ok(())
            }
        }
    }

    /// `/demo/origin/NAME/kill` or `/revive`.
    fn deed(&self, path: &str) -> Option<(&Member, Deed)> {
        let (name, deed) = path.strip_prefix("/demo/origin/")?.split_once('/')?;
        let deed = match deed {
            "kill" => Deed::Kill,
            "revive" => Deed::Revive,
            _ => return None,
        };
        let member = self.members.iter().find(|member| member.name == name)?;
        Some((member, deed))
    }

    async fn state(&self, headers: &HeaderMap) -> Value {
        let mut origins = Vec::new();
        for member in &self.members {
            origins.push(shown(member).await);
        }
        // Links are signed for the host by which this viewer knows the node.
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let base = format!(
            "{}://{}",
            said("x-forwarded-proto").unwrap_or("https"),
            said("x-forwarded-host").unwrap_or("localhost")
        );
        let links = self.signer.links(&base, process::now()).map(|links| links.to_json());
        json!({
            "origins": origins,
            "links": links.unwrap_or_default(),
            "steps": self.guide.get().map(|guide| guide.to_json(&self.signer)),
        })
    }
}

async fn shown(member: &Member) -> Value {
    json!({ "name": member.name, "address": member.address.to_string(), "up": member.is_up().await })
}

fn tell(status: StatusCode, what: &Value) -> Answer {
    said(status, "no-store", what)
}

/// Browsers say where a request comes from (Fetch Metadata, `Sec-Fetch-Site`); a page elsewhere must not kill origins here.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use signing::PrivateKey;

    fn control() -> Control {
        let member = |name| Arc::new(Member::reserve(name).unwrap());
        Control {
            members: [member("primary"), member("secondary")],
            signer: Arc::new(Signer::new(PrivateKey::generate_rsa().unwrap())),
            guide: Arc::default(),
        }
    }

    #[tokio::test]
    async fn paths_name_an_origin_and_a_deed() {
        let control = control();
        let read = |path| control.deed(path).map(|(member, deed)| (member.name, deed));
        assert_eq!(read("/demo/origin/primary/kill"), Some(("primary", Deed::Kill)));
        assert_eq!(read("/demo/origin/secondary/revive"), Some(("secondary", Deed::Revive)));
        for path in
            ["/demo/origin/third/kill", "/demo/origin/primary/", "/demo/origin/primary", "/demo/", "/"]
        {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn the_state_follows_what_is_done() {
        let control = control();
        control.act(&control.members[0], Deed::Revive).await.unwrap();
        let state = control.state(&HeaderMap::new()).await;
        assert_eq!((&state["origins"][0]["up"], &state["origins"][1]["up"]), (&json!(true), &json!(false)));
        control.act(&control.members[0], Deed::Kill).await.unwrap();
        assert_eq!(control.state(&HeaderMap::new()).await["origins"][0]["up"], json!(false));
    }

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        let from = |site| {
            HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), HeaderValue::from_static(site))])
        };
        assert!(is_from_another_site(&from("cross-site")) && is_from_another_site(&from("same-site")));
        assert!(!is_from_another_site(&from("same-origin")) && !is_from_another_site(&HeaderMap::new()));
    }
}
