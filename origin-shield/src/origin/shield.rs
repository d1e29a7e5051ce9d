//! An origin that is a set of other Selvedge nodes. Every object belongs to one of them, the same for all edges.

use std::env::VarError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Response};
use twox_hash::XxHash3_64;

use super::NoAnswer;
use super::http::{Guise, HttpOrigin};
use crate::body::OriginBody;
use crate::change::Change;
use crate::clock;
use crate::dial::Names;
use crate::error::OriginError;
use crate::failure::{Cause, Failure};
use crate::group::Attempt;
use crate::health::{Health, HealthState};
use crate::hop::{self, Asked, Behalf, Hop, HopKey};
use crate::settings::{HealthSettings, Material, OriginSettings, OriginUrl};
use crate::upload::OutgoingBody;

pub(super) struct Shields {
    shields: Vec<Shield>,
    key: Option<HopKey>,
    remember: Duration,
    /// How many are asked for one request.
    tries: usize,
}

struct Shield {
    /// The origin's name, and this shield's host.
    name: Arc<str>,
    origin: HttpOrigin,
    authority: Authority,
    /// What it is known by to all edges, whatever the order of their settings.
    url: String,
    /// Until when it is passed over, after it failed.
    down: Mutex<Option<Instant>>,
    /// What active checks say.
    health: Arc<Health>,
}

impl Shields {
    pub(super) fn build(
        name: &Arc<str>,
        shields: &[OriginUrl],
        settings: &OriginSettings,
        names: &Arc<Names>,
    ) -> Result<Self, OriginError> {
        let build = |url: &OriginUrl| {
            let name: Arc<str> = format!("{name}/{}", url.authority()).into();
            Ok(Shield {
                origin: HttpOrigin::build(&name, url, settings, names)?,
                name,
                authority: url.authority().clone(),
                url: url.to_string(),
                down: Mutex::new(None),
                health: Arc::default(),
            })
        };
        let shields = shields.iter().map(build).collect::<Result<_, OriginError>>()?;
        let key = settings.key.as_ref().map(|key| hop_key(name, key)).transpose()?;
        Ok(Self { shields, key, remember: settings.remember, tries: settings.tries as usize })
    }

    /// Goes on with what active checks know of the same shields, `before`.
    pub(super) fn keep_health(&mut self, before: &Self) {
        for (shield, before) in self.shields.iter_mut().zip(&before.shields) {
            shield.health = before.health.clone();
        }
    }

    /// Checks them one after the other, as an edge: others are perhaps not answered. What changed by it.
    pub(super) async fn check(&self, settings: &HealthSettings, now: SystemTime) -> Vec<Change> {
        let since = Instant::now();
        let mut changes = Vec::new();
        for shield in &self.shields {
            let host = settings.host.as_deref().unwrap_or(shield.authority.as_str()).to_ascii_lowercase();
            let asked = Asked { method: &Method::GET, authority: &host, target: &settings.path };
            let sealed = hop::seal(&Hop::of_check(), &asked, self.key.as_ref(), now + since.elapsed());
            let found = Box::pin(shield.origin.check(settings, sealed.ok())).await;
            let event = shield.health.note(found, settings, clock::now());
            changes.extend(event.map(|event| Change { origin: shield.name.clone(), event }));
        }
        changes
    }

    /// Whether active checks find none of them up.
    pub(super) fn are_down(&self) -> bool {
        self.shields.iter().all(|shield| shield.health.is_down())
    }

    /// What active checks say of all of them together.
    pub(super) fn health(&self) -> HealthState {
        let mut all = HealthState { is_up: !self.are_down(), passed: 0, failed: 0, last_failure: None };
        for shield in &self.shields {
            let HealthState { passed, failed, last_failure, .. } = shield.health.state();
            (all.passed, all.failed) = (all.passed + passed, all.failed + failed);
            let named = last_failure.map(|failure| format!("{}: {failure}", shield.name));
            all.last_failure = all.last_failure.or(named);
        }
        all
    }

    /// Keeps connections to all of them open on this thread from now on, if the settings ask for any.
    pub(super) fn keep_warm(&self) {
        self.shields.iter().for_each(|shield| shield.origin.keep_warm());
    }

    /// Asks the object's own shield; the next one where that is down. One that answers is not asked anew, whatever it says, nor one
    /// that is late: its own origins have failed then or are slow, and would be so for the next one too.
    pub(super) async fn exchange(
        &self,
        head: &Parts,
        body: OutgoingBody,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        let mut head = head.clone();
        let turns = self.turns(object(&head), Instant::now());
        let mut turns = turns.into_iter().take(self.tries).peekable();
        let mut body = body;
        while let Some(shield) = turns.next() {
            if let Err(error) = self.speak(&mut head) {
                let cause = Cause::new(Failure::RequestInvalid, error.to_string());
                return Err(NoAnswer { cause, body: Some(body) });
            }
            let NoAnswer { cause, body: returned } = match shield.origin.exchange(&mut head, body).await {
                Ok(response) => {
                    shield.remember(None);
                    return Ok(response);
                }
                Err(no_answer) => no_answer,
            };
            let has_failed = shield.has_failed(cause.failure);
            if has_failed {
                shield.remember(Some(Instant::now() + self.remember));
            }
            let may_go_on = has_failed && may_ask_next(&head.method, cause.failure);
            match returned {
                Some(whole) if may_go_on && turns.peek().is_some() => body = whole,
                returned => return Err(NoAnswer { cause: shield.named(&cause), body: returned }),
            }
            attempts.push(shield.attempt(cause));
        }
        Err(NoAnswer { cause: Cause::new(Failure::RequestInvalid, "there is no shield"), body: Some(body) })
    }

    /// Makes the request the viewer's: for the viewer's host, with what the shield is to know of the viewer. Anew for each shield,
    /// since what is signed is dated.
    fn speak(&self, head: &mut Parts) -> Result<(), http::Error> {
        head.headers.remove(hop::HOP);
        let Some(behalf) = head.extensions.get::<Behalf>().cloned() else { return Ok(()) };
        let asked = Asked { method: &head.method, authority: &behalf.authority, target: target(head) };
        let sealed = hop::seal(&behalf.hop, &asked, self.key.as_ref(), behalf.later())?;
        head.headers.insert(hop::HOP, sealed);
        let authority: Authority = behalf.authority.parse()?;
        let host_field = HeaderValue::from_str(authority.as_str())?;
        head.extensions.insert(Guise { authority, host_field });
        Ok(())
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
        let until = *self.down.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.is_down() || until.is_some_and(|until| now < until)
    }

    /// Whether it says something about the shield, and not about this node, this request or what lies behind the shield. An answer
    /// that is late does so only when active checks found the same.
    fn has_failed(&self, failure: Failure) -> bool {
        match failure {
            Failure::ConnectionLimit | Failure::RequestInvalid => false,
            Failure::ResponseTimeout => self.health.is_down(),
            _ => true,
        }
    }

    fn attempt(&self, cause: Cause) -> Attempt {
        Attempt { origin: self.name.clone(), failure: cause.failure, detail: cause.detail, halt: None }
    }

    /// The same with the name of this shield: the group knows only that of all of them.
    fn named(&self, cause: &Cause) -> Cause {
        Cause { detail: format!("{}: {}", self.name, cause.detail), ..cause.clone() }
    }

    fn remember(&self, until: Option<Instant>) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

fn hop_key(origin: &Arc<str>, place: &Material) -> Result<HopKey, OriginError> {
    const SETTING: &str = "key";
    let origin = origin.clone();
    let made = |secret: Result<String, String>| {
        secret.and_then(|secret| HopKey::new(secret.trim_end()).map_err(|error| error.to_string()))
    };
    match place {
        Material::Env(variable) => {
            made(std::env::var(variable).map_err(|error| unread(&error).to_owned())).map_err(|cause| {
                OriginError::Variable { origin, setting: SETTING, variable: variable.clone(), cause }
            })
        }
        Material::File(path) => made(std::fs::read_to_string(path).map_err(|error| error.to_string()))
            .map_err(|cause| OriginError::File { origin, setting: SETTING, path: path.clone(), cause }),
    }
}

/// What keeps a variable from being read. The error's own words hold its value where that is not UTF-8, and the value is a
/// secret.
fn unread(error: &VarError) -> &'static str {
    match error {
        VarError::NotPresent => "it is not set",
        VarError::NotUnicode(_) => "it is not UTF-8",
    }
}

/// What is asked for, as a number that is the same on all nodes. It is no secret: whoever knows the config can choose paths that
/// meet at one shield, as whoever asks for one path again and again does.
fn object(head: &Parts) -> u64 {
    let behalf = head.extensions.get::<Behalf>();
    let (scheme, authority) = behalf.map_or(("", ""), |behalf| (behalf.hop.scheme, &behalf.authority));
    XxHash3_64::oneshot([scheme, authority, target(head)].join("\n").as_bytes())
}

fn target(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", |target| target.as_str())
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
        Shields::build(&"shield".into(), &urls, &settings, &Names::new(&[], Duration::ZERO)).unwrap()
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
    fn active_checks_find_an_origin_down_when_all_of_its_shields_are() {
        let (shields, now) = (shields(&["a", "b"]), Instant::now());
        let checks = HealthSettings { fails: 1, ..HealthSettings::new("/healthz") };
        let fail = |shield: &Shield| {
            let cause = Cause::new(Failure::ConnectionRefused, "refused");
            shield.health.note(Err(cause.into()), &checks, 1);
        };
        fail(&shields.shields[0]);
        assert!(!shields.are_down());
        assert!((0..100).all(|object| owner(&shields, object, now) == "http://b"));
        let state = shields.health();
        assert_eq!((state.is_up, state.passed, state.failed), (true, 0, 1));
        assert_eq!(state.last_failure.as_deref(), Some("shield/a: connection_refused (refused)"));
        fail(&shields.shields[1]);
        assert!(shields.are_down() && !shields.health().is_up);
    }

    #[test]
    fn a_key_that_is_not_utf8_is_not_told() {
        use std::os::unix::ffi::OsStringExt;
        let value = std::ffi::OsString::from_vec(b"hunter2\xff".to_vec());
        assert_eq!(unread(&VarError::NotUnicode(value)), "it is not UTF-8");
    }

    #[test]
    fn what_is_not_safe_is_asked_once_if_it_may_have_been_heard() {
        assert!(may_ask_next(&Method::GET, Failure::ResponseTimeout));
        assert!(may_ask_next(&Method::POST, Failure::ConnectionRefused));
        assert!(!may_ask_next(&Method::POST, Failure::ResponseTimeout));
        assert!(!may_ask_next(&Method::POST, Failure::ConnectionTerminated));
    }

    #[test]
    fn a_late_answer_is_the_shields_failure_only_if_checks_say_so_too() {
        let shields = shields(&["a"]);
        let shield = &shields.shields[0];
        assert!(
            shield.has_failed(Failure::ConnectionRefused) && shield.has_failed(Failure::ConnectionTerminated)
        );
        assert!(!shield.has_failed(Failure::RequestInvalid) && !shield.has_failed(Failure::ResponseTimeout));
        let checks = HealthSettings { fails: 1, ..HealthSettings::new("/healthz") };
        shield.health.note(Err(Cause::new(Failure::ResponseTimeout, "late").into()), &checks, 1);
        assert!(shield.has_failed(Failure::ResponseTimeout));
    }
}
