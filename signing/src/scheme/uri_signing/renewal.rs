//! Signed Token Renewal (RFC 9246 section 4): each answer brings the token for the next request, so that a playlist's segments are
//! open as long as somebody watches, and the first token can be short-lived.

use super::claims::{Date, mint};
use super::{Claims, Proved};
use crate::policy::seconds;
use crate::{KeyGroup, Presented, Reason, Renewal, SchemeName, memory};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::{Duration, SystemTime};

/// The longest renewal that makes sense; what is longer is a mistake, or a token for ever.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

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
    let lifetime = match (claims.cdniets, claims.cdnistt) {
        (None, None | Some(0)) if claims.cdnistd.is_none() => return Ok(None),
        // Section 2.1.13: 0 means that no token is to be sent.
        (_, Some(0)) => return Ok(None),
        (Some(lifetime), Some(1)) if (1..=LONGEST.as_secs()).contains(&lifetime) => lifetime,
        (Some(_), Some(1)) => return Err(Reason::TokenMalformed("cdniets is out of bounds")),
        (_, Some(1)) => return Err(Reason::TokenMalformed("cdnistt needs cdniets")),
        (_, Some(_)) => return Err(Reason::TokenMalformed("cdnistt is another transport than a cookie")),
        (_, None) => return Err(Reason::TokenMalformed("renewal needs cdniets and cdnistt")),
    };
    const NOBODY: Reason = Reason::TokenMalformed("it asks for renewal, and no key of this group can sign");
    let (key_id, key) = group.renewing(&proved.key_id).ok_or(NOBODY)?;
    let today = seconds(now).map_err(|_| NOBODY)?;
    let mut next: Claims = claims.clone();
    next.exp = Some(Date::Whole(today + lifetime));
    next.iat = Some(Date::Whole(today));
    next.nbf = None;
    next.jti = claims.jti.as_ref().map(|id| next_id(id, presented, resource, now));
    let token = mint(&next, &key_id, &key).map_err(|_| NOBODY)?;
    let path = depth(resource, claims.cdnistd.unwrap_or(0));
    // A page of another site plays what it embeds: browsers send a cookie along only where it says that it may go there.
    let secure = if presented.scheme == "https" { "; Secure; SameSite=None" } else { "" };
    let name = SchemeName::PACKAGE;
    Ok(Some(Renewal(format!("{name}={token}; Path={path}; Max-Age={lifetime}; HttpOnly{secure}"))))
}

/// Another id for another token, from all that makes it another.
fn next_id(id: &str, presented: &Presented<'_>, resource: &str, now: SystemTime) -> String {
    let nanoseconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let parts =
        [id.as_bytes(), presented.authority.as_bytes(), resource.as_bytes(), &nanoseconds.to_le_bytes()];
    URL_SAFE_NO_PAD.encode(&memory::name(&parts)[..16])
}

/// Section 2.1.14: the first so many segments of the path, which the cookie is for; never what a cookie's path cannot say, and
/// never the last segment, which is a file.
fn depth(path_and_query: &str, segments: u64) -> &str {
    let path = path_and_query.split_once('?').map_or(path_and_query, |parts| parts.0);
    let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
    let deepest = ends.take(usize::try_from(segments).unwrap_or(usize::MAX));
    let is_sayable = |end: &usize| path[..*end].bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    deepest.take_while(is_sayable).last().map_or("/", |end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_the_first_segments() {
        for (segments, path) in
            [(0, "/"), (1, "/live"), (2, "/live/one"), (3, "/live/one/hd"), (9, "/live/one/hd")]
        {
            assert_eq!(depth("/live/one/hd/seg.ts?a/b/c", segments), path);
        }
        assert_eq!(depth("/seg.ts", 3), "/");
        assert_eq!(depth("/a/b;c/d/e", 3), "/a");
    }
}
