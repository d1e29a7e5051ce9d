//! What an origin says before its answer: interim responses (RFC 9110 section 15.2), such as 103 Early Hints.

use http::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc;

/// How many may wait to be read; an origin that says more is not listened to.
const MOST: usize = 16;

/// An interim response.
#[derive(Debug, Clone)]
pub struct Interim {
    /// 102 to 199: the connection itself deals with 100 and 101.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
}

/// Put among the extensions of a request, it hears the interim responses of whoever answers it over HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Listener(mpsc::Sender<Interim>);

impl Listener {
    /// A listener, and where what it hears can be read.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Interim>) {
        let (sender, receiver) = mpsc::channel(MOST);
        (Self(sender), receiver)
    }

    /// Listens to the answer of a request that is about to be sent.
    pub(crate) fn attend(&self, request: &mut Request<()>) {
        let sender = self.0.clone();
        hyper::ext::on_informational(request, move |response| {
            let status = response.status();
            if !matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
                // Nobody waits for what is said in between.
                let _ = sender.try_send(Interim { status, headers: response.headers().clone() });
            }
        });
    }
}
