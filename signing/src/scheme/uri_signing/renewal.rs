//! Signed Token Renewal (RFC 9246 section 3): each answer brings the token for the next request, so that a playlist's segments are
//! open as long as somebody watches, and the first token can be short-lived.

use super::claims::{Date, mint};
use super::{Claims, Proved};
use crate::policy::seconds;
use crate::{KeyGroup, Presented, Reason, Renewal, SchemeName, memory};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::{Duration, SystemTime};

/// The longest renewal that makes sense; what is longer is a mistake, or a token for ever.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How a token reaches the viewer (RFC 9246 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Cookie,
    Query,
}

/// The token that follows, where this one asks for it. It holds for `cdniets` from now, not from the end of its predecessor:
/// who asks often does not come by a token for ever.
pub(super) fn renew(
    group: &KeyGroup,
    proved: &Proved,
    presented: &Presented<'_>,
    resource: &str,
    now: SystemTime,
) -> Result<Option<Renewal>, Reason> {
    let claims = &proved.claims;
    let Some((transport, lifetime)) = wish(claims)? else { return Ok(None) };
    // Section 2.1.14: a path of fewer segments gets no token.
    let Some(path) = first_segments(resource, claims.cdnistd.unwrap_or(0)) else { return Ok(None) };
    const NOBODY: Reason = Reason::TokenMalformed("it asks for renewal, and no key of this group can sign");
    let (key_id, key) = group.renewing(&proved.key_id).ok_or(NOBODY)?;
    let today = seconds(now).map_err(|_| NOBODY)?;
    // Section 1.1: the other parameters are carried over from one token to the next.
    let mut next: Claims = claims.clone();
    next.exp = Some(Date::Whole(today + lifetime));
    next.iat = Some(Date::Whole(today));
    next.jti = claims.jti.as_ref().map(|id| next_id(id, presented, resource, now));
    let token = mint(&next, &key_id, &key).map_err(|_| NOBODY)?;
    if transport == Transport::Query {
        return Ok(Some(Renewal::Query(token)));
    }
    // A page of another site plays what it embeds: browsers send a cookie along only where it says that it may go there.
    let secure = if presented.scheme == "https" { "; Secure; SameSite=None" } else { "" };
    let name = SchemeName::PACKAGE;
    let cookie = format!("{name}={token}; Path={path}; Max-Age={lifetime}; HttpOnly{secure}");
    Ok(Some(Renewal::Cookie(cookie)))
}

/// How the next token is to travel and for how long it is good; nothing where there is to be none (section 3.2.1).
fn wish(claims: &Claims) -> Result<Option<(Transport, u64)>, Reason> {
    let (transport, lifetime) = match (claims.cdnistt, claims.cdniets) {
        (None, None) => return Ok(None),
        (None, Some(_)) | (Some(_), None) => {
            return Err(Reason::TokenMalformed("only one of cdnistt and cdniets is there"));
        }
        (Some(0), Some(_)) => return Ok(None),
        (Some(1), Some(lifetime)) => (Transport::Cookie, lifetime),
        (Some(2), Some(lifetime)) => (Transport::Query, lifetime),
        (Some(_), Some(_)) => {
            return Err(Reason::TokenMalformed("cdnistt is neither 0, 1 (cookie) nor 2 (query)"));
        }
    };
    match (1..=LONGEST.as_secs()).contains(&lifetime) {
        true => Ok(Some((transport, lifetime))),
        false => Err(Reason::TokenMalformed("cdniets is out of bounds")),
    }
}

/// Another id for another token, from all that makes it another.
fn next_id(id: &str, presented: &Presented<'_>, resource: &str, now: SystemTime) -> String {
    let nanoseconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let parts =
        [id.as_bytes(), presented.authority.as_bytes(), resource.as_bytes(), &nanoseconds.to_le_bytes()];
    URL_SAFE_NO_PAD.encode(&memory::name(&parts)[..16])
}

/// Section 2.1.14: the first so many segments of the path, which the cookie is for; all of it for none, and nothing where there are not
/// so many. What a cookie's path cannot say ends it before.
fn first_segments(path_and_query: &str, segments: u64) -> Option<&str> {
    let path = path_and_query.split_once('?').map_or(path_and_query, |parts| parts.0);
    let Some(last) = usize::try_from(segments).ok()?.checked_sub(1) else { return Some("/") };
    let ends = || path.match_indices('/').map(|(end, _)| end).skip(1).chain([path.len()]);
    let deepest = ends().nth(last)?;
    let is_sayable = |end: &usize| path[..*end].bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    let sayable = ends().take_while(|end| *end <= deepest).take_while(is_sayable).last();
    Some(sayable.map_or("/", |end| &path[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_the_first_segments() {
        for (segments, path) in [
            (0, Some("/")),
            (1, Some("/live")),
            (2, Some("/live/one")),
            (3, Some("/live/one/hd")),
            (4, Some("/live/one/hd/seg.ts")),
            (5, None),
            (u64::MAX, None),
        ] {
            assert_eq!(first_segments("/live/one/hd/seg.ts?a/b/c", segments), path, "{segments}");
        }
        assert_eq!(first_segments("/seg.ts", 2), None);
        assert_eq!(first_segments("/live/", 2), Some("/live/"));
        assert_eq!(first_segments("/a/b;c/d/e", 3), Some("/a"));
    }
}
