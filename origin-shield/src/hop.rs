//! What an edge tells its shield about the viewer, and how the shield knows that it was one of its edges who said so.
//!
//! All of it is one header field, [`HOP`]: the time, the facts, and a signature (HMAC-SHA256 under a shared key) over them and over
//! what is asked for. A signature holds for a short while only and for nothing else: whoever repeats the field, having read it on
//! its way, can ask for the same thing once more and for nothing else. Where TLS has proved who the edge is, the facts go without
//! a signature. Nothing here reads a clock or asks the network.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::InvalidHeaderValue;
use http::{HeaderName, HeaderValue, Method};

/// The field that goes from an edge to its shield and no further.
pub const HOP: HeaderName = HeaderName::from_static("selvedge-hop");

/// What a signature begins with, so that it means nothing anywhere else under the same key.
const PURPOSE: &str = "selvedge-hop-1";
/// What stands between facts and signature.
const SIGNATURE: &str = ";mac=";
/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 32;
/// The longest request id that is passed on.
const LONGEST_ID: usize = 128;

/// What an edge says of the viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Where the viewer is.
    pub viewer: IpAddr,
    /// `http` or `https`, as the viewer asked.
    pub scheme: &'static str,
    /// The id of the viewer's request, the same in the logs of all tiers: 1 to 128 visible characters of ASCII.
    pub request_id: HeaderValue,
}

/// On whose behalf an edge asks: what it puts into the extensions of a request that shields may get.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// Host and port as the viewer asked, lower case.
    pub authority: String,
    /// What the shield is told of the viewer.
    pub hop: Hop,
    /// The time.
    pub now: SystemTime,
    /// When that was the time.
    pub since: Instant,
}

impl Behalf {
    /// The time now: that of the edge, moved on by what has passed since.
    pub(crate) fn later(&self) -> SystemTime {
        self.now + self.since.elapsed()
    }
}

/// What is asked for, as the shield reads it: nothing else is covered by a signature.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// Host and port, lower case.
    pub authority: &'a str,
    /// Path and query.
    pub target: &'a str,
}

/// A secret that edges and shields share.
#[derive(Debug, Clone)]
pub struct HopKey(Box<hmac::Key>);

/// A secret that is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has at least {SHORTEST_SECRET} characters: make one with `openssl rand -hex 32`")]
pub struct WeakKey;

/// Why what somebody says of a viewer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HopError {
    /// It says nothing that can be read.
    #[error("the hop field is malformed")]
    Malformed,
    /// No signature, or none of a key that this node has.
    #[error("the hop field is not signed by a key of this node")]
    Unsigned,
    /// Signed well, too long ago or in the future: one of the clocks is wrong, or somebody repeats a request.
    #[error("the hop field is of another time than now: compare the clocks of edge and shield")]
    Expired,
}

impl Hop {
    /// Of an active check, which no viewer has asked for.
    pub(crate) fn of_check() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { viewer: nowhere, scheme: "https", request_id: HeaderValue::from_static("health") }
    }
}

impl HopKey {
    /// A key of this secret.
    ///
    /// # Errors
    /// Fewer than 32 bytes.
    pub fn new(secret: &str) -> Result<Self, WeakKey> {
        if secret.len() < SHORTEST_SECRET {
            return Err(WeakKey);
        }
        Ok(Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))))
    }
}

impl HopError {
    /// The word in logs and metrics.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Malformed => "hop-malformed",
            Self::Unsigned => "hop-unsigned",
            Self::Expired => "hop-expired",
        }
    }
}

/// The value of [`HOP`]; without a key it is for a shield that knows the edge by its certificate.
///
/// # Errors
/// The request id is not visible ASCII.
pub fn seal(
    hop: &Hop,
    asked: &Asked<'_>,
    key: Option<&HopKey>,
    now: SystemTime,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = hop.request_id.to_str().unwrap_or_default();
    // The id is last: it may hold anything that the others do not.
    let mut text = format!("t={seconds};for={};proto={};id={id}", hop.viewer, hop.scheme);
    if let Some(HopKey(key)) = key {
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, covered(asked, &text).as_bytes()));
        // Writing to a String cannot fail.
        let _ = write!(text, "{SIGNATURE}{signature}");
    }
    HeaderValue::from_str(&text)
}

/// What an edge says that has signed it with one of `keys`, no longer than `window` ago or in the future.
///
/// # Errors
/// [`HopError`]: it is not to be believed.
pub fn open(
    value: &HeaderValue,
    asked: &Asked<'_>,
    keys: &[HopKey],
    window: Duration,
    now: SystemTime,
) -> Result<Hop, HopError> {
    let text = value.to_str().map_err(|_| HopError::Malformed)?;
    let (text, signature) = text.rsplit_once(SIGNATURE).ok_or(HopError::Unsigned)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| HopError::Malformed)?;
    let covered = covered(asked, text);
    // Compared in constant time.
    let holds = |HopKey(key): &HopKey| hmac::verify(key, covered.as_bytes(), &signature).is_ok();
    if !keys.iter().any(holds) {
        return Err(HopError::Unsigned);
    }
    let (sealed, hop) = parse(text).ok_or(HopError::Malformed)?;
    let apart = now.duration_since(sealed).unwrap_or_else(|early| early.duration());
    if apart > window { Err(HopError::Expired) } else { Ok(hop) }
}

/// What somebody says whom TLS has proved to be an edge; a signature is not looked at.
///
/// # Errors
/// [`HopError::Malformed`].
pub fn read(value: &HeaderValue) -> Result<Hop, HopError> {
    let text = value.to_str().map_err(|_| HopError::Malformed)?;
    let facts = text.rsplit_once(SIGNATURE).map_or(text, |(facts, _)| facts);
    parse(facts).map(|(_, hop)| hop).ok_or(HopError::Malformed)
}

/// No part can hold a line break, so that no two requests are covered by the same text.
fn covered(asked: &Asked<'_>, facts: &str) -> String {
    [PURPOSE, asked.method.as_str(), asked.authority, asked.target, facts].join("\n")
}

fn parse(text: &str) -> Option<(SystemTime, Hop)> {
    let (time, rest) = text.strip_prefix("t=")?.split_once(";for=")?;
    let (viewer, rest) = rest.split_once(";proto=")?;
    let (scheme, id) = rest.split_once(";id=")?;
    let sealed = UNIX_EPOCH.checked_add(Duration::from_secs(time.parse().ok()?))?;
    let scheme = ["http", "https"].into_iter().find(|known| *known == scheme)?;
    let is_id = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let request_id = HeaderValue::from_str(id).ok().filter(|_| is_id)?;
    let viewer = viewer.parse::<IpAddr>().ok()?.to_canonical();
    Some((sealed, Hop { viewer, scheme, request_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const WINDOW: Duration = Duration::from_secs(30);

    fn now() -> SystemTime {
        UNIX_EPOCH + NOW
    }

    fn key(letter: &str) -> HopKey {
        HopKey::new(&letter.repeat(32)).unwrap()
    }

    fn hop() -> Hop {
        let request_id = HeaderValue::from_static("a;mac=b");
        Hop { viewer: "2001:db8::1".parse().unwrap(), scheme: "https", request_id }
    }

    const ASKED: Asked<'static> =
        Asked { method: &Method::GET, authority: "www.example.com", target: "/a?b=c" };

    #[test]
    fn what_is_sealed_opens_with_any_key_of_the_node() {
        let sealed = seal(&hop(), &ASKED, Some(&key("b")), now()).unwrap();
        let keys = [key("a"), key("b")];
        assert_eq!(open(&sealed, &ASKED, &keys, WINDOW, now()), Ok(hop()));
        assert_eq!(open(&sealed, &ASKED, &keys[..1], WINDOW, now()), Err(HopError::Unsigned));
        assert_eq!(open(&sealed, &ASKED, &[], WINDOW, now()), Err(HopError::Unsigned));
    }

    #[test]
    fn a_signature_holds_for_what_was_asked_and_nothing_else() {
        let sealed = seal(&hop(), &ASKED, Some(&key("a")), now()).unwrap();
        for other in [
            Asked { method: &Method::PUT, ..ASKED },
            Asked { authority: "example.com", ..ASKED },
            Asked { target: "/a?b=d", ..ASKED },
        ] {
            assert_eq!(
                open(&sealed, &other, &[key("a")], WINDOW, now()),
                Err(HopError::Unsigned),
                "{other:?}"
            );
        }
        let text = sealed.to_str().unwrap();
        for (from, to) in
            [("2001:db8::1", "2001:db8::2"), ("https", "http"), ("id=a", "id=b"), ("t=18", "t=19")]
        {
            let forged = HeaderValue::from_str(&text.replacen(from, to, 1)).unwrap();
            assert_eq!(open(&forged, &ASKED, &[key("a")], WINDOW, now()), Err(HopError::Unsigned), "{from}");
        }
    }

    #[test]
    fn a_signature_ends_after_a_while_and_does_not_begin_early() {
        let sealed = seal(&hop(), &ASKED, Some(&key("a")), now()).unwrap();
        let opened = |time| open(&sealed, &ASKED, &[key("a")], WINDOW, time);
        assert!(opened(now() + WINDOW).is_ok() && opened(now() - WINDOW).is_ok());
        let second = Duration::from_secs(1);
        assert_eq!(opened(now() + WINDOW + second), Err(HopError::Expired));
        assert_eq!(opened(now() - WINDOW - second), Err(HopError::Expired));
    }

    #[test]
    fn without_a_key_the_facts_are_read_and_never_opened() {
        let mut plain = hop();
        plain.request_id = HeaderValue::from_static("abc");
        let value = seal(&plain, &ASKED, None, now()).unwrap();
        assert_eq!(read(&value), Ok(plain));
        assert_eq!(open(&value, &ASKED, &[key("a")], WINDOW, now()), Err(HopError::Unsigned));
        let signed = seal(&hop(), &ASKED, Some(&key("a")), now()).unwrap();
        assert_eq!(read(&signed), Ok(hop()), "an edge may sign though its certificate is enough");
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in [
            "",
            "t=1",
            "t=1;for=192.0.2.1;proto=https;id=",
            "t=x;for=192.0.2.1;proto=https;id=a",
            "t=1;for=nobody;proto=https;id=a",
            "t=1;for=192.0.2.1;proto=gopher;id=a",
            "t=1;for=192.0.2.1;proto=https;id=a b",
            "t=18446744073709551615;for=192.0.2.1;proto=https;id=a",
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(read(&value), Err(HopError::Malformed), "{text}");
        }
        let unreadable = HeaderValue::from_static("t=1;for=192.0.2.1;proto=https;id=a;mac=*");
        assert_eq!(open(&unreadable, &ASKED, &[key("a")], WINDOW, now()), Err(HopError::Malformed));
    }

    #[test]
    fn a_short_secret_is_none() {
        assert_eq!(HopKey::new("short").map(drop), Err(WeakKey));
    }
}
