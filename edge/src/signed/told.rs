//! A verdict about a signature in words, for the key's owner: what `verify` and `explain` say. Nothing in it opens a door.

use humantime_serde::re::humantime::format_duration;
use serde_json::{Value, json};
use signing::{Cause, Key, KeyGroup, Presented, Reason, SchemeName, Verdict};
use std::time::{Duration, SystemTime};

/// What every token has to pass, in this order.
const STEPS: [&str; 6] = ["token", "key", "time", "address", "signature", "resource"];

/// What there is to say of a request and its signature.
#[derive(Debug)]
pub struct Told {
    /// What the node would say.
    pub verdict: Verdict,
    /// What the signature must be over: the URL without what signs it.
    resource: String,
    /// The token's terms as they were read.
    terms: Option<String>,
    cause: Option<Cause>,
    now: SystemTime,
}

impl Told {
    /// Judges what was presented as the node would, without leaving a trace in the group. `others` are keys beyond the group's that
    /// may have signed.
    #[must_use]
    pub fn of(
        group: &KeyGroup,
        others: &[(String, Key)],
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Self {
        let Presented { scheme, authority, path_and_query, .. } = *presented;
        let verdict = match group.rehearsal().verify(presented, now) {
            Verdict::Granted(grant) if group.is_spent(&grant, presented) => {
                Verdict::Refused(Reason::TokenSpent)
            }
            verdict => verdict,
        };
        Self {
            verdict,
            resource: format!("{scheme}://{authority}{}", signing::without_tokens(path_and_query)),
            terms: signing::read_terms(group, presented, &SchemeName::ALL),
            cause: signing::nearest_cause(group, others, presented, now),
            now,
        }
    }

    /// For people: the verdict, the policy as it was read, what was checked and what to look at.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = match &self.verdict {
            Verdict::Granted(grant) => {
                let until = grant.expires.map(|expires| when(expires, self.now));
                let until = until.unwrap_or_else(|| "good without an end".to_owned());
                let once = grant.token_id.as_ref().map_or("", |_| "; opens this URL once, and has not yet");
                format!("ok: signed by {} ({}), {until}{once}", grant.key_id, grant.scheme.token())
            }
            Verdict::Refused(reason) => format!("refused: {}: {reason}", reason.token()),
        };
        if let Some(terms) = &self.terms {
            words.push_str(&format!("\npolicy: {terms}"));
        }
        if let Verdict::Refused(reason) = &self.verdict {
            let (passed, failed) = stand(reason);
            let passed: String = STEPS[..passed].iter().map(|step| format!("{step} ok, ")).collect();
            words.push_str(&format!("\nchecked: {passed}{failed} failed\n{}", self.advice(*reason)));
        }
        words
    }

    /// For scripts.
    #[must_use]
    pub fn report(&self) -> Value {
        match &self.verdict {
            Verdict::Granted(grant) => json!({
                "ok": true, "key": &*grant.key_id, "scheme": grant.scheme.token(), "policy": self.terms,
                "expires": grant.expires.filter(|time| is_writable(*time)).map(httpdate::fmt_http_date),
                "resource": self.resource,
                // What has an id opens a URL once: that it was spent is a refusal.
                "spent": grant.token_id.as_ref().map(|_| false),
            }),
            Verdict::Refused(reason) => {
                let (passed, failed) = stand(reason);
                json!({
                    "ok": false, "check": reason.token(), "reason": reason.to_string(),
                    "passed": &STEPS[..passed], "failed": failed, "advice": self.advice(*reason),
                    "cause": self.cause.as_ref().map(token), "policy": self.terms, "resource": self.resource,
                })
            }
        }
    }

    /// What to look at next.
    fn advice(&self, reason: Reason) -> String {
        if let Some(cause) = &self.cause {
            return self.words_of(cause);
        }
        let words = match reason {
            Reason::SignatureExpired => "sign it anew; a longer --expires lets it live longer",
            Reason::SignatureEarly => {
                "it becomes good later; look at the policy's DateGreaterThan, or at nbf"
            }
            Reason::SignatureMismatch => {
                return format!(
                    "the signature must be over {}, byte for byte: scheme, host, port, path, query and its order; no usual rewriting \
                     explains it, so most likely a key has signed that is not known here",
                    self.resource
                );
            }
            Reason::ResourceMismatch => {
                return format!("the policy must be about {}; a * stays within path or query", self.resource);
            }
            Reason::AddressMismatch => {
                "give the viewer's address as --ip; the policy says whose it is good for"
            }
            Reason::KeyUnknown => "the token must name a key of the route's key group",
            Reason::DecryptionKeyUnknown => {
                "the encrypted cdniip must name a key (kid) that the key group lists in `decrypt-with`"
            }
            Reason::DecryptionFailed => {
                "the signer must encrypt cdniip with the very key that the node has under this name"
            }
            Reason::KeyUnsuitable => {
                "RSA and P-256 sign for CloudFront, secrets for hmac; in a JWT the key says the algorithm (PS256, ES256, EdDSA, HS256)"
            }
            Reason::SignatureMissing | Reason::ParameterMissing(_) => {
                "in a shell, quote the URL: & ends a command; cookies are given with --cookie"
            }
            Reason::ParameterDuplicate(_) | Reason::ParameterMalformed(_) | Reason::PolicyAmbiguous => {
                "was it cut, escaped or signed twice on its way?"
            }
            Reason::PolicyMalformed(_) => {
                "a policy has one statement, and nothing that CloudFront's manual does not name"
            }
            Reason::ClaimRefused("iss") => "the key group lists the publisher in `issuers`",
            Reason::ClaimRefused(_) => "the key group lists what this node is called in `audience`",
            Reason::UrlMalformed => "percent-encode what is not allowed in a URL, then sign",
            Reason::TokenSpent => {
                "it has opened this URL on this node already; sign another, with another jti"
            }
            Reason::TokenMalformed(_) | Reason::SignatureFlood => "sign it anew",
        };
        words.to_owned()
    }

    fn words_of(&self, cause: &Cause) -> String {
        match cause {
            Cause::Clock(off) => format!(
                "a clock may be wrong: {} earlier or later it would have been good, and it is {} here",
                format_duration(Duration::from_secs(off.as_secs().max(1))),
                httpdate::fmt_http_date(self.now)
            ),
            Cause::SignedAs(url) => format!(
                "another form of the URL was signed:\n  signed {url}\n  asked  {}\nsomething between signer and viewer rewrites it",
                self.resource
            ),
            Cause::KeyId(id) => {
                format!("[key.{id}] has signed it: the token must name it {id}, and the key group must list it")
            }
            Cause::Hash => {
                "the hash is the other one: Hash-Algorithm=SHA256 belongs to SHA-256, and nothing to SHA-1"
                    .to_owned()
            }
            Cause::Cookies => {
                "the cookies alone would be good: they are not looked at where the query has signing parameters".to_owned()
            }
            Cause::Scheme(scheme) => {
                let name = scheme.token();
                format!("it has a token of the format {name}, which the key group does not take: accept = [\"{name}\"]")
            }
        }
    }
}

/// How many of [`STEPS`] are known to be passed, and what failed. Whether the resource or the signature is looked at first differs.
fn stand(reason: &Reason) -> (usize, &'static str) {
    match reason {
        Reason::SignatureMissing
        | Reason::ParameterMissing(_)
        | Reason::ParameterDuplicate(_)
        | Reason::ParameterMalformed(_)
        | Reason::PolicyAmbiguous
        | Reason::PolicyMalformed(_)
        | Reason::TokenMalformed(_) => (0, "token"),
        Reason::KeyUnknown | Reason::KeyUnsuitable => (1, "key"),
        Reason::SignatureExpired | Reason::SignatureEarly => (2, "time"),
        Reason::ClaimRefused(_) => (3, "publisher"),
        Reason::AddressMismatch | Reason::DecryptionKeyUnknown | Reason::DecryptionFailed => (3, "address"),
        Reason::SignatureMismatch | Reason::SignatureFlood => (4, "signature"),
        Reason::ResourceMismatch | Reason::UrlMalformed => (4, "resource"),
        Reason::TokenSpent => (6, "use"),
    }
}

/// A cause as scripts tell it.
fn token(cause: &Cause) -> &'static str {
    match cause {
        Cause::Clock(_) => "clock",
        Cause::SignedAs(_) => "encoding",
        Cause::KeyId(_) => "key-id",
        Cause::Hash => "hash",
        Cause::Cookies => "cookies",
        Cause::Scheme(_) => "scheme",
    }
}

/// HTTP dates have four digits for the year.
fn is_writable(time: SystemTime) -> bool {
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() < 253_402_300_800)
}

fn when(expires: SystemTime, now: SystemTime) -> String {
    let whole = |span: Duration| format_duration(Duration::from_secs(span.as_secs())).to_string();
    let date =
        if is_writable(expires) { httpdate::fmt_http_date(expires) } else { "after the year 9999".into() };
    match expires.duration_since(now) {
        Ok(left) => format!("good until {date} ({} from now)", whole(left)),
        Err(past) => format!("good until {date} ({} ago)", whole(past.duration())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signing::PrivateKey;

    const PATH: &str = "/private/film.html?quality=high";

    #[test]
    fn each_failure_is_named_with_what_to_look_at() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let private = PrivateKey::generate_rsa().unwrap();
        let group =
            KeyGroup::new(vec![("K1".to_owned(), private.public_key().unwrap().into())], &SchemeName::ALL);
        let origin = "https://localhost:8443";
        let good =
            signing::sign_canned(&format!("{origin}{PATH}"), now + Duration::from_secs(90), "K1", &private);
        let good = good.unwrap().replace(origin, "");
        let told = |scheme: &str, path: &str, at| {
            Told::of(&group, &[], &Presented::url(scheme, "localhost:8443", path), at)
        };
        let late = now + Duration::from_secs(91);

        let said = told("https", &good, now).words();
        assert!(said.starts_with("ok: signed by K1 (cloudfront), good until"), "{said}");
        assert!(said.contains("\npolicy: {\"Statement\""), "{said}");
        for (scheme, path, at, words) in [
            ("https", good.clone(), late, "token ok, key ok, time failed\na clock may be wrong"),
            ("https", good.replace("quality=high", "quality=low"), now, "quality=low"),
            ("http", good.clone(), now, "signed https://localhost:8443/private/film.html?quality=high"),
            ("https", good.replace("Key-Pair-Id=K1", "Key-Pair-Id=K2"), now, "must name it K1"),
            ("https", good.replace("Signature=", "Sig="), now, "parameter-missing"),
            ("https", PATH.to_owned(), now, "signature-missing"),
        ] {
            let told = told(scheme, &path, at);
            let said = told.words();
            assert!(matches!(told.verdict, Verdict::Refused(_)) && said.contains(words), "{path}: {said}");
            assert!(!said.contains("Signature=") && !told.report().to_string().contains("Signature="));
        }
    }

    #[test]
    fn no_expiry_is_too_far_to_be_said() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(999_999_999_999);
        assert!(when(far, SystemTime::UNIX_EPOCH).contains("9999"));
    }
}
