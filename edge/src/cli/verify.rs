//! `selvedge verify`: says which check a signed URL fails, and why.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::Uri;
use humantime_serde::re::humantime::format_duration;
use serde_json::{Value, json};
use signing::{KeyGroup, Presented, PublicKey, Reason, SchemeName, Verdict};

use super::key::key_id;
use super::sign::read;
use super::{Exit, data, talk};
use crate::process;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as the viewer asked for it
    #[arg(value_parser = SignedUrl::parse)]
    url: SignedUrl,
    /// The public key: a PEM file
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// The id of the key in the node's config
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: String,
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

pub(super) fn run(arguments: &Arguments) -> Exit {
    let key = read(&arguments.public).and_then(|text| {
        PublicKey::from_pem(&text).map_err(|error| format!("{}: {error}", arguments.public.display()))
    });
    let key = match key {
        Ok(key) => key,
        Err(message) => {
            talk(&format!("error: {message}"));
            return Exit::Failed;
        }
    };
    let keys = KeyGroup::new(vec![(arguments.key.clone(), key.into())], &[SchemeName::Cloudfront]);
    let now = process::now();
    let verdict = keys.verify(&arguments.url.presented(), now);
    if arguments.json {
        data(&format!("{:#}", arguments.url.report(&verdict, now)));
    } else {
        data(&arguments.url.words(&verdict, now));
    }
    match verdict {
        Verdict::Granted(_) => Exit::Ok,
        Verdict::Refused(_) => Exit::Failed,
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

    /// What the signature is over: the URL without signing parameters.
    fn resource(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, signing::strip(&self.path_and_query))
    }

    /// The value of one parameter, as it stands.
    fn parameter(&self, name: &str) -> Option<&str> {
        let query = self.path_and_query.split_once('?')?.1;
        query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .find(|part| part.0 == name)
            .map(|part| part.1)
    }

    fn expires(&self) -> Option<SystemTime> {
        let seconds = self.parameter("Expires")?.parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).filter(|time| is_writable(*time))
    }

    fn words(&self, verdict: &Verdict, now: SystemTime) -> String {
        match verdict {
            Verdict::Granted(grant) => {
                format!(
                    "ok: signed by {}, {}",
                    grant.key_id,
                    grant.expires.map_or("without an end".to_owned(), |expires| when(expires, now))
                )
            }
            Verdict::Refused(reason) => {
                format!("refused: {}: {reason}\n{}", reason.token(), self.advice(*reason, now))
            }
        }
    }

    fn report(&self, verdict: &Verdict, now: SystemTime) -> Value {
        let expires = self.expires().map(httpdate::fmt_http_date);
        match verdict {
            Verdict::Granted(grant) => {
                json!({ "ok": true, "key": &*grant.key_id, "expires": expires, "resource": self.resource() })
            }
            Verdict::Refused(reason) => json!({
                "ok": false, "check": reason.token(), "reason": reason.to_string(),
                "advice": self.advice(*reason, now), "expires": expires, "resource": self.resource(),
            }),
        }
    }

    /// What to look at next.
    fn advice(&self, reason: Reason, now: SystemTime) -> String {
        match reason {
            Reason::SignatureExpired => match self.expires() {
                Some(expires) => format!("it was {}; sign the URL anew", when(expires, now)),
                None => "sign the URL anew".to_owned(),
            },
            Reason::SignatureMismatch => format!(
                "the signature must be over {} and Expires={}, byte for byte: scheme, host, port, path, query and its \
                 order; and --public must be the other half of the private key",
                self.resource(),
                self.parameter("Expires").unwrap_or_default()
            ),
            Reason::KeyUnknown => format!(
                "the URL names the key {:?}; --key and the config must name the same",
                self.parameter("Key-Pair-Id").unwrap_or_default()
            ),
            Reason::SignatureMissing => {
                "it has none of Expires, Signature and Key-Pair-Id; in a shell, quote the URL: & ends a command"
                    .to_owned()
            }
            Reason::ParameterMissing(_) => {
                "Expires, Signature and Key-Pair-Id are all needed; in a shell, quote the URL: & ends a command"
                    .to_owned()
            }
            Reason::ParameterDuplicate(_) | Reason::ParameterMalformed(_) => {
                "was the URL cut, escaped or signed twice on its way?".to_owned()
            }
            Reason::UrlMalformed => "percent-encode what is not allowed in a URL, then sign".to_owned(),
            _ => "sign the URL anew".to_owned(),
        }
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

    fn judge(url: &str, keys: &KeyGroup, now: SystemTime) -> (Verdict, String) {
        let url = SignedUrl::parse(url).unwrap();
        let verdict = keys.verify(&url.presented(), now);
        let words = url.words(&verdict, now);
        (verdict, words)
    }

    #[test]
    fn each_failure_is_named_with_what_to_look_at() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let key = PrivateKey::generate_rsa().unwrap();
        let keys = KeyGroup::new(
            vec![("K1".to_owned(), key.public_key().unwrap().into())],
            &[SchemeName::Cloudfront],
        );
        let good = signing::sign_canned(RESOURCE, now + Duration::from_secs(90), "K1", &key).unwrap();
        let late = now + Duration::from_secs(91);

        assert!(judge(&good, &keys, now).1.starts_with("ok: signed by K1, good until"), "{good}");
        for (url, at, words) in [
            (good.clone(), late, "signature-expired"),
            (good.replace("quality=high", "quality=low"), now, "quality=low"),
            (good.replace("Key-Pair-Id=K1", "Key-Pair-Id=K2"), now, "\"K2\""),
            (good.replace("Signature=", "Sig="), now, "parameter-missing"),
            (RESOURCE.to_owned(), now, "signature-missing"),
        ] {
            let (verdict, said) = judge(&url, &keys, at);
            assert!(matches!(verdict, Verdict::Refused(_)) && said.contains(words), "{url}: {said}");
        }
    }

    #[test]
    fn only_whole_urls_are_taken() {
        assert_eq!(SignedUrl::parse(RESOURCE).unwrap().resource(), RESOURCE);
        for url in ["", "/a", "ftp://a/b", "https://a", "https://a?b=/c", "localhost/a"] {
            assert!(SignedUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn no_expiry_is_too_far_to_be_said() {
        let url = format!("{RESOURCE}&Expires=99999999999999999&Signature=x&Key-Pair-Id=K1");
        assert_eq!(SignedUrl::parse(&url).unwrap().expires(), None);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(999_999_999_999);
        assert!(when(far, SystemTime::UNIX_EPOCH).contains("9999"));
    }
}
