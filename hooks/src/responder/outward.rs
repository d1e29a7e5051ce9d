//! Messages between a component and the rest of the node: what comes in, and what it asks of others.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Granted;
use crate::body::BodyError;
use crate::log::{CallLog, LogLevel};
use crate::outside::{FetchError, Outside, Passing};

/// Bytes that a guest writes of a body at once; two such pieces may wait to be read.
pub(super) const PIECE: usize = 64 << 10;

type Answered = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// A body that comes from outside.
pub(super) fn incoming(body: UnsyncBoxBody<Bytes, BodyError>) -> WasiBody {
    body.map_err(|_| Error::HttpProtocolError).boxed_unsync()
}

/// The way out of a component: to origins that its settings grant, and to no other address.
pub(super) struct Way {
    pub(super) log: CallLog,
    pub(super) granted: Arc<[Granted]>,
    pub(super) outside: Option<Arc<dyn Outside>>,
    /// Requests that it may still send.
    pub(super) fetches: u32,
}

impl WasiHttpHooks for Way {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        // RFC 9110 sections 9.3.6 and 9.3.8: neither is for a gateway to ask an origin.
        if [Method::CONNECT, Method::TRACE].contains(request.method()) {
            return Box::new(async { Err(Error::HttpRequestMethodInvalid) });
        }
        let origin = match self.permitted(request.uri()) {
            Ok(origin) => origin,
            Err(refusal) => {
                let uri = request.uri();
                let host = uri.authority().map_or("", |authority| authority.as_str());
                self.log.line(LogLevel::Error, &format!("request to {host:?} refused: {refusal}"));
                return Box::new(async { Err(Error::HttpRequestDenied) });
            }
        };
        let Some(outside) = self.outside.clone() else {
            return Box::new(async { Err(Error::DestinationUnavailable) });
        };
        let (mut head, body) = request.into_parts();
        let target = head.uri.path_and_query().cloned();
        head.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
        let body = body.map_err(Into::into).boxed_unsync();
        let timeout = options.and_then(|options| options.first_byte_timeout);
        let passing = Passing { origin, request: Request::from_parts(head, body), timeout };
        Box::new(async move {
            let response = outside.pass(passing).await.map_err(reason)?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response.map(incoming), done))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }
}

impl Way {
    /// The origin that this URL means, or why it must not be asked.
    fn permitted(&mut self, uri: &Uri) -> Result<Arc<str>, String> {
        let Some(granted) = self.granted.iter().find(|granted| granted.is_meant(uri)) else {
            return Err(match &*self.granted {
                [] => "this component may ask nobody; name the origins that it may under `fetch`".to_owned(),
                some => {
                    let names: Vec<_> = some.iter().map(|granted| &*granted.name).collect();
                    format!("`fetch` grants {}; name an [origin.NAME] there to grant more", names.join(", "))
                }
            });
        };
        self.fetches = self.fetches.checked_sub(1).ok_or("it has sent as many as limits.fetches allows")?;
        Ok(Arc::clone(&granted.name))
    }
}

impl Granted {
    fn is_meant(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else { return false };
        let same_place = |address: &Uri| {
            let same_host = address.host().zip(uri.host());
            same_host.is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs))
                && address.scheme() == uri.scheme()
                && port(address) == port(uri)
        };
        *self.name == *authority.as_str() || self.address.as_ref().is_some_and(same_place)
    }
}

/// RFC 9110 sections 4.2.1 and 4.2.2.
fn port(uri: &Uri) -> u16 {
    let is_plain = uri.scheme().is_some_and(|scheme| *scheme == http::uri::Scheme::HTTP);
    uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 })
}

/// What the guest is told.
fn reason(error: FetchError) -> Error {
    match error {
        FetchError::Denied => Error::HttpRequestDenied,
        FetchError::Invalid => Error::HttpRequestUriInvalid,
        FetchError::Unreachable => Error::DestinationUnavailable,
        FetchError::Timeout => Error::HttpResponseTimeout,
        FetchError::TooLarge => Error::HttpResponseBodySize(None),
        FetchError::Protocol => Error::HttpProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(grants: &[(&str, Option<&str>)]) -> Way {
        let grant = |(name, address): &(&str, Option<&str>)| Granted {
            name: (*name).into(),
            address: address.map(|address| address.parse().unwrap()),
        };
        Way {
            log: CallLog::default(),
            granted: grants.iter().map(grant).collect(),
            outside: None,
            fetches: 2,
        }
    }

    fn asked(way: &mut Way, uri: &str) -> Result<Arc<str>, String> {
        way.permitted(&uri.parse().unwrap())
    }

    #[test]
    fn an_origin_is_meant_by_its_name_or_its_address() {
        let grants =
            [("api", Some("https://api.test/")), ("plain", Some("http://10.0.0.1:8080/")), ("all", None)];
        for (uri, meant) in [
            ("https://api/x", Some("api")),
            ("http://api/x", Some("api")),
            ("https://api.test/x", Some("api")),
            ("https://API.test:443/x", Some("api")),
            ("http://api.test/x", None),
            ("https://api.test:8443/x", None),
            ("http://10.0.0.1:8080/x", Some("plain")),
            ("http://10.0.0.1/x", None),
            ("https://all/x", Some("all")),
            ("https://api@evil.test/x", None),
            ("http://169.254.169.254/x", None),
        ] {
            let found = asked(&mut way(&grants), uri).ok();
            assert_eq!(found.as_deref(), meant, "{uri}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert!(asked(&mut way(&[]), "http://a/").unwrap_err().contains("`fetch`"));
        assert!(asked(&mut way(&[("api", None)]), "http://a/").unwrap_err().contains("grants api"));
        let mut way = way(&[("a", None)]);
        let answers: Vec<_> = (0..3).map(|_| asked(&mut way, "http://a/").is_ok()).collect();
        assert_eq!(answers, [true, true, false]);
    }
}
