//! An origin that is a set of other Selvedge nodes. Every object belongs to one of them, the same for all edges.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Method, Response};
use twox_hash::XxHash3_64;

use super::NoAnswer;
use super::http::HttpOrigin;
use crate::body::OriginBody;
use crate::error::OriginError;
use crate::failure::{Cause, Failure};
use crate::settings::{OriginSettings, OriginUrl};
use crate::upload::OutgoingBody;

pub(super) struct Shields {
    shields: Vec<Shield>,
    remember: Duration,
}

struct Shield {
    origin: HttpOrigin,
    /// What it is known by to all edges, whatever the order of their settings.
    url: String,
    /// Until when it is passed over, after it failed.
    down: Mutex<Option<Instant>>,
}

impl Shields {
    pub(super) fn build(
        name: &str,
        shields: &[OriginUrl],
        settings: &OriginSettings,
    ) -> Result<Self, OriginError> {
        let build = |url: &OriginUrl| {
            let name: Arc<str> = format!("{name}/{}", url.authority()).into();
            Ok(Shield {
                origin: HttpOrigin::build(&name, url, settings)?,
                url: url.to_string(),
                down: Mutex::new(None),
            })
        };
        let shields = shields.iter().map(build).collect::<Result<_, OriginError>>()?;
        Ok(Self { shields, remember: settings.remember })
    }

    /// Asks the object's own shield; the next one where that is down. One that answers is not asked anew, whatever it says:
    /// its own origins have failed then, and would fail for the next one too.
    pub(super) async fn exchange(
        &self,
        head: &Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        let mut body = Some(body);
        let mut story: Vec<String> = Vec::new();
        let mut last = Cause::new(Failure::ConnectionRefused, "there is no shield");
        for shield in self.turns(object(head), Instant::now()) {
            let Some(whole) = body.take() else { break };
            match shield.origin.exchange(head, whole).await {
                Ok(response) => {
                    shield.remember(None);
                    return Ok(response);
                }
                Err(NoAnswer { cause, body: returned }) if is_down(cause.failure) => {
                    shield.remember(Some(Instant::now() + self.remember));
                    story.push(format!("{}: {} ({})", shield.url, cause.failure, cause.detail));
                    body = returned.filter(|_| may_ask_next(&head.method, cause.failure));
                    last = cause;
                }
                Err(no_answer) => return Err(no_answer),
            }
        }
        Err(NoAnswer { cause: Cause::new(last.failure, story.join("; ")), body })
    }

    /// The object's own shield first, those that failed lately last. Only a shield's own objects go elsewhere while it is down,
    /// and they spread over all others.
    fn turns(&self, object: u64, now: Instant) -> Vec<&Shield> {
        let mut turns: Vec<_> = self.shields.iter().collect();
        turns.sort_by_cached_key(|shield| (shield.is_down(now), std::cmp::Reverse(shield.claim(object))));
        turns
    }
}

impl Shield {
    /// How much this shield claims an object (rendezvous hashing): the highest claim wins, and no claim depends on the others.
    fn claim(&self, object: u64) -> u64 {
        XxHash3_64::oneshot_with_seed(object, self.url.as_bytes())
    }

    fn is_down(&self, now: Instant) -> bool {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    fn remember(&self, until: Option<Instant>) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// What is asked for, as a number that is the same on all nodes. It is no secret: whoever knows the config can choose paths that
/// meet at one shield, as whoever asks for one path again and again does.
fn object(head: &Parts) -> u64 {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    XxHash3_64::oneshot(target.as_bytes())
}

/// Whether it says something about the shield, and not about this node or this request.
fn is_down(failure: Failure) -> bool {
    !matches!(failure, Failure::ConnectionLimit | Failure::RequestInvalid)
}

/// RFC 9110 section 9.2.1: what is safe may be asked twice; anything else only if the first shield cannot have heard it.
fn may_ask_next(method: &Method, failure: Failure) -> bool {
    method.is_safe()
        || matches!(
            failure,
            Failure::DnsError
                | Failure::DnsTimeout
                | Failure::ConnectionRefused
                | Failure::ConnectionTimeout
                | Failure::Unroutable
                | Failure::TlsCertificate
                | Failure::TlsProtocol
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: u64 = 10_000;

    fn shields(names: &[&str]) -> Shields {
        let urls: Vec<OriginUrl> =
            names.iter().map(|name| format!("http://{name}").parse().unwrap()).collect();
        let settings = OriginSettings::new(urls[0].clone());
        Shields::build("shield", &urls, &settings).unwrap()
    }

    fn owner(shields: &Shields, object: u64, now: Instant) -> &str {
        &shields.turns(object, now)[0].url
    }

    #[test]
    fn edges_agree_whatever_the_order_of_their_settings() {
        let (one, other, now) = (shields(&["a", "b", "c"]), shields(&["c", "a", "b"]), Instant::now());
        for object in 0..OBJECTS {
            assert_eq!(owner(&one, object, now), owner(&other, object, now));
        }
    }

    #[test]
    fn every_shield_gets_its_share() {
        let (shields, now) = (shields(&["a", "b", "c", "d"]), Instant::now());
        for shield in &shields.shields {
            let own = (0..OBJECTS).filter(|object| owner(&shields, *object, now) == shield.url).count();
            assert!((2200..2800).contains(&own), "{}: {own}", shield.url);
        }
    }

    #[test]
    fn only_the_objects_of_a_shield_that_is_down_move_and_they_spread() {
        let (shields, now) = (shields(&["a", "b", "c"]), Instant::now());
        let before: Vec<_> = (0..OBJECTS).map(|object| owner(&shields, object, now).to_owned()).collect();
        shields.shields[0].remember(Some(now + Duration::from_secs(30)));

        let mut moved = [0, 0];
        for (object, before) in (0..OBJECTS).zip(&before) {
            match (before.as_str(), owner(&shields, object, now)) {
                ("http://a", "http://b") => moved[0] += 1,
                ("http://a", "http://c") => moved[1] += 1,
                (before, after) => assert_eq!(before, after),
            }
        }
        assert!(moved.iter().all(|moved| *moved > 1300), "{moved:?}");
        let later = now + Duration::from_secs(30);
        assert!((0..OBJECTS).zip(&before).all(|(object, before)| owner(&shields, object, later) == *before));
    }

    #[test]
    fn when_all_are_down_all_are_asked_in_their_order() {
        let (shields, now) = (shields(&["a", "b", "c"]), Instant::now());
        let order =
            |object| shields.turns(object, now).iter().map(|shield| shield.url.clone()).collect::<Vec<_>>();
        let before = order(7);
        for shield in &shields.shields {
            shield.remember(Some(now + Duration::from_secs(1)));
        }
        assert_eq!(order(7), before);
    }

    #[test]
    fn what_is_not_safe_is_asked_once_if_it_may_have_been_heard() {
        assert!(may_ask_next(&Method::GET, Failure::ResponseTimeout));
        assert!(may_ask_next(&Method::POST, Failure::ConnectionRefused));
        assert!(!may_ask_next(&Method::POST, Failure::ResponseTimeout));
        assert!(!may_ask_next(&Method::POST, Failure::ConnectionTerminated));
        assert!(!is_down(Failure::RequestInvalid));
    }
}
