//! What an origin says before its answer: interim responses (RFC 9110 section 15.2), such as 103 Early Hints.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use http::{HeaderMap, Request, StatusCode};

use crate::expect::Hold;

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

/// Put among the extensions of a request, it hears the interim responses of whoever answers it over HTTP/1.1. Costs next to
/// nothing where nothing is heard, as nearly always.
#[derive(Debug, Clone, Default)]
pub struct Listener(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    waiting: Vec<Interim>,
    reader: Option<Waker>,
}

impl Listener {
    /// What was heard since the last time. Wakes the reader's task when there is more.
    #[must_use]
    pub fn take(&self, context: &Context<'_>) -> Vec<Interim> {
        let mut heard = self.heard();
        if !heard.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
            heard.reader = Some(context.waker().clone());
        }
        std::mem::take(&mut heard.waiting)
    }

    fn hear(&self, interim: Interim) {
        let mut heard = self.heard();
        if heard.waiting.len() < MOST {
            heard.waiting.push(interim);
        }
        if let Some(reader) = heard.reader.take() {
            reader.wake();
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what is said before the answer of a request that is about to be sent over HTTP/1.1: 100 is for the body that waits for
/// it, all else for the listener.
pub(crate) fn attend<B>(request: &mut Request<B>, listener: Option<Listener>, hold: Option<Hold>) {
    if listener.is_none() && hold.is_none() {
        return;
    }
    hyper::ext::on_informational(request, move |response| match (response.status(), &hold, &listener) {
        (StatusCode::CONTINUE, Some(hold), _) => hold.release(),
        (StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS, ..) => {}
        (status, _, Some(listener)) => {
            listener.hear(Interim { status, headers: response.headers().clone() });
        }
        (_, _, None) => {}
    });
}
