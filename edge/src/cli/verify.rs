//! `selvedge verify`: says which check a signed URL or cookie fails, what its policy says, and what is most likely the cause.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::Uri;
use humantime_serde::re::humantime::format_duration;
use serde_json::{Value, json};
use signing::{Cause, Key, KeyGroup, Presented, PublicKey, Reason, SchemeName, SigningKey, Verdict};

use super::key::key_id;
use super::sign::read;
use super::{Exit, data, talk};
use crate::process;

const ALL: [SchemeName; 3] = [SchemeName::Cloudfront, SchemeName::UriSigning, SchemeName::Hmac];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as the viewer asked for it
    #[arg(value_parser = SignedUrl::parse)]
    url: SignedUrl,
    /// The public key (a PEM file) or the secret (a file with its text)
    #[arg(long, visible_alias = "secret", value_name = "FILE")]
    public: PathBuf,
    /// The id of the key in the node's config
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: String,
    /// A Cookie field of the viewer's request, such as 'CloudFront-Policy=...; CloudFront-Signature=...'
    #[arg(long, value_name = "FIELD")]
    cookie: Vec<String>,
    /// The viewer's address, for what is bound to one
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// The publishers whose JWTs the key group takes (iss)
    #[arg(long, value_name = "NAME")]
    issuer: Vec<String>,
    /// What the node is called in JWTs (aud)
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// A URL in the parts that a node sees.
#[derive(Debug, Clone)]
struct SignedUrl {
    scheme: &'static str,
    authority: String,
    path_and_query: String,
}

/// What there is to say of a request.
struct Judgement {
    verdict: Verdict,
    /// What the signature is over, without signing parameters.
    resource: String,
    /// The token's terms as they were read.
    terms: Option<String>,
    cause: Option<Cause>,
    now: SystemTime,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let key = read(&arguments.public).and_then(|text| {
        parse_key(&text).map_err(|error| format!("{}: {error}", arguments.public.display()))
    });
    let key = match key {
        Ok(key) => (arguments.key.clone(), key),
        Err(message) => {
            talk(&format!("error: {message}"));
            return Exit::Failed;
        }
    };
    let cookies: Vec<&str> = arguments.cookie.iter().map(String::as_str).collect();
    let presented = Presented { cookies: &cookies, address: arguments.address, ..arguments.url.presented() };
    let group = KeyGroup::new(vec![key.clone()], &ALL);
    let group = group.between(arguments.issuer.clone(), arguments.audience.clone());
    let judgement = Judgement::of(&group, &key, &presented, process::now());
    if arguments.json {
        data(&format!("{:#}", judgement.report()));
    } else {
        data(&judgement.words());
    }
    match judgement.verdict {
        Verdict::Granted(_) => Exit::Ok,
        Verdict::Refused(_) => Exit::Failed,
    }
}

fn parse_key(text: &str) -> Result<Key, signing::SigningError> {
    match text.contains("-----BEGIN ") {
        true => Ok(PublicKey::from_pem(text)?.into()),
        false => SigningKey::from_text(text)?.verifying(),
    }
}

impl SignedUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri =
            text.parse().map_err(|_| "this is no URL; a whole one is needed, with http:// or https://")?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err("a whole URL is needed, with http:// or https://"),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        // Taken from the text: what a signature is over is never normalised.
        match text.get(scheme.len() + "://".len() + authority.len()..) {
            Some(path) if path.starts_with('/') => {
                Ok(Self { scheme, authority: authority.to_owned(), path_and_query: path.to_owned() })
            }
            _ => Err("the path is missing, at least '/'"),
        }
    }

    fn presented(&self) -> Presented<'_> {
        let Self { scheme, authority, path_and_query } = self;
        Presented::url(scheme, authority, path_and_query)
    }
}

impl Judgement {
    fn of(group: &KeyGroup, key: &(String, Key), presented: &Presented<'_>, now: SystemTime) -> Self {
        let Presented { scheme, authority, path_and_query, .. } = *presented;
        Self {
            verdict: group.verify(presented, now),
            resource: format!("{scheme}://{authority}{}", group.strip(path_and_query)),
            terms: signing::read_terms(presented, &ALL),
            cause: signing::nearest_cause(key, &ALL, presented, now),
            now,
        }
    }

    fn words(&self) -> String {
        let mut words = match &self.verdict {
            Verdict::Granted(grant) => {
                let until = grant.expires.map(|expires| when(expires, self.now));
                let until = until.unwrap_or_else(|| "good without an end".to_owned());
                format!("ok: signed by {} ({}), {until}", grant.key_id, grant.scheme.token())
            }
            Verdict::Refused(reason) => format!("refused: {}: {reason}", reason.token()),
        };
        if let Some(terms) = &self.terms {
            words.push_str(&format!("\npolicy: {terms}"));
        }
        if let Verdict::Refused(reason) = &self.verdict {
            words.push_str(&format!("\n{}", self.advice(*reason)));
        }
        words
    }

    fn report(&self) -> Value {
        match &self.verdict {
            Verdict::Granted(grant) => json!({
                "ok": true, "key": &*grant.key_id, "scheme": grant.scheme.token(), "policy": self.terms,
                "expires": grant.expires.filter(|time| is_writable(*time)).map(httpdate::fmt_http_date),
                "resource": self.resource,
            }),
            Verdict::Refused(reason) => json!({
                "ok": false, "check": reason.token(), "reason": reason.to_string(), "advice": self.advice(*reason),
                "cause": self.cause.as_ref().map(token), "policy": self.terms, "resource": self.resource,
            }),
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
                     explains it, so most likely another key has signed: --public must be the other half of the private key",
                    self.resource
                );
            }
            Reason::ResourceMismatch => {
                return format!("the policy must be about {}; a * stays within path or query", self.resource);
            }
            Reason::AddressMismatch => {
                "give the viewer's address as --address; the policy says whose it is good for"
            }
            Reason::KeyUnknown => "the token names another key; --key and the config must name the same",
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
            Reason::ClaimRefused("iss") => {
                "give the publisher as --issuer; the key group lists it in issuers"
            }
            Reason::ClaimRefused(_) => {
                "give the node's name as --audience; the key group lists it in audience"
            }
            Reason::UrlMalformed => "percent-encode what is not allowed in a URL, then sign",
            Reason::TokenMalformed(_) | Reason::TokenSpent | Reason::SignatureFlood => "sign it anew",
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
                format!("this key has signed it; the token must name it {id}, as the config does")
            }
            Cause::Hash => {
                "the hash is the other one: Hash-Algorithm=SHA256 belongs to SHA-256, and nothing to SHA-1"
                    .to_owned()
            }
        }
    }
}

/// A cause as scripts tell it.
fn token(cause: &Cause) -> &'static str {
    match cause {
        Cause::Clock(_) => "clock",
        Cause::SignedAs(_) => "encoding",
        Cause::KeyId(_) => "key-id",
        Cause::Hash => "hash",
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

    const RESOURCE: &str = "https://localhost:8443/private/film.html?quality=high";

    fn judge(url: &str, key: &(String, Key), now: SystemTime) -> Judgement {
        let url = SignedUrl::parse(url).unwrap();
        Judgement::of(&KeyGroup::new(vec![key.clone()], &ALL), key, &url.presented(), now)
    }

    #[test]
    fn each_failure_is_named_with_what_to_look_at() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let private = PrivateKey::generate_rsa().unwrap();
        let key = ("K1".to_owned(), private.public_key().unwrap().into());
        let good = signing::sign_canned(RESOURCE, now + Duration::from_secs(90), "K1", &private).unwrap();
        let late = now + Duration::from_secs(91);

        let said = judge(&good, &key, now).words();
        assert!(said.starts_with("ok: signed by K1 (cloudfront), good until"), "{said}");
        assert!(said.contains("\npolicy: {\"Statement\""), "{said}");
        for (url, at, words) in [
            (good.clone(), late, "a clock may be wrong"),
            (good.replace("quality=high", "quality=low"), now, "quality=low"),
            (
                good.replace("https:", "http:"),
                now,
                "signed https://localhost:8443/private/film.html?quality=high",
            ),
            (good.replace("Key-Pair-Id=K1", "Key-Pair-Id=K2"), now, "must name it K1"),
            (good.replace("Signature=", "Sig="), now, "parameter-missing"),
            (RESOURCE.to_owned(), now, "signature-missing"),
        ] {
            let judgement = judge(&url, &key, at);
            let said = judgement.words();
            assert!(
                matches!(judgement.verdict, Verdict::Refused(_)) && said.contains(words),
                "{url}: {said}"
            );
        }
    }

    #[test]
    fn only_whole_urls_are_taken() {
        assert_eq!(SignedUrl::parse(RESOURCE).unwrap().authority, "localhost:8443");
        for url in ["", "/a", "ftp://a/b", "https://a", "https://a?b=/c", "localhost/a"] {
            assert!(SignedUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn no_expiry_is_too_far_to_be_said() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(999_999_999_999);
        assert!(when(far, SystemTime::UNIX_EPOCH).contains("9999"));
    }
}
