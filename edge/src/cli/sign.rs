//! `selvedge sign`: mints what signs a URL, as a publisher does.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime::parse_duration;
use serde_json::{Map, Value, json};
use signing::{Claims, Policy, PrivateKey, Reach, SchemeName, Secret, SigningKey};
use zeroize::Zeroizing;

use super::key::key_id;
use super::{Exit, data, talk};
use crate::process;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as viewers will ask for it; with --scheme hmac, all that begin with it where it ends with a slash and a star
    url: String,
    /// The id of the key in the node's config
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: String,
    /// The private key (a PEM file) or the secret (a file with its text)
    #[arg(long, visible_alias = "secret", value_name = "FILE")]
    private: PathBuf,
    /// How long from now it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
    /// How long from now it is not good yet
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    starts: Option<Duration>,
    /// The address or network of the viewers, such as 203.0.113.0/24
    #[arg(long, value_name = "NETWORK")]
    ip: Option<String>,
    /// What it opens, where that is more than the URL: with the wildcards * and ?; with --scheme uri-signing a regular expression
    #[arg(long, value_name = "PATTERN")]
    resource: Option<String>,
    /// The format; without it what fits the key: cloudfront for RSA and P-256, hmac for a secret, uri-signing for Ed25519
    #[arg(long, value_enum)]
    scheme: Option<Scheme>,
    /// Print cookies to set instead of a URL
    #[arg(long)]
    cookies: bool,
    /// Have the node renew the token with each answer, for so long (uri-signing)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    renew: Option<Duration>,
    /// For how many segments of the path the renewed cookie is
    #[arg(long, value_name = "SEGMENTS", default_value_t = 0)]
    depth: u64,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scheme {
    Cloudfront,
    UriSigning,
    Hmac,
}

/// What was minted.
enum Minted {
    Url(String),
    Cookies(Vec<(String, String)>),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match signed(arguments, process::now()) {
        Ok(minted) => {
            data(&minted.shown(arguments.json));
            Exit::Ok
        }
        Err(message) => {
            talk(&format!("error: {message}"));
            Exit::Failed
        }
    }
}

fn signed(arguments: &Arguments, now: SystemTime) -> Result<Minted, String> {
    let text = read(&arguments.private)?;
    let key =
        SigningKey::from_text(&text).map_err(|error| format!("{}: {error}", arguments.private.display()))?;
    let expires = now.checked_add(arguments.expires).ok_or("--expires lies beyond what a clock can say")?;
    match (arguments.scheme.unwrap_or(Scheme::of(&key)), &key) {
        (Scheme::Cloudfront, SigningKey::Private(key)) => cloudfront(arguments, key, now, expires),
        (Scheme::Hmac, SigningKey::Secret(secret)) => hmac(arguments, secret, expires),
        (Scheme::UriSigning, key) => jwt(arguments, key, now, expires),
        (Scheme::Cloudfront, _) => Err("--scheme cloudfront needs a private key: RSA or P-256".to_owned()),
        (Scheme::Hmac, _) => {
            Err("--scheme hmac needs a secret: `selvedge key new --kind hmac` makes one".to_owned())
        }
    }
}

fn cloudfront(
    arguments: &Arguments,
    key: &PrivateKey,
    now: SystemTime,
    expires: SystemTime,
) -> Result<Minted, String> {
    let (url, id, words) = (&arguments.url, &arguments.key, |error: signing::SigningError| error.to_string());
    let is_custom = arguments.starts.is_some() || arguments.ip.is_some() || arguments.resource.is_some();
    if !is_custom {
        return match arguments.cookies {
            true => Ok(Minted::of(signing::cookies_canned(url, expires, id, key).map_err(words)?)),
            false => signing::sign_canned(url, expires, id, key).map(Minted::Url).map_err(words),
        };
    }
    let mut policy = Policy::new(arguments.resource.as_ref().unwrap_or(url), expires).map_err(words)?;
    if let Some(starts) = starts(arguments, now)? {
        policy = policy.starting(starts).map_err(words)?;
    }
    if let Some(network) = &arguments.ip {
        policy = policy.only_from(network).map_err(words)?;
    }
    match arguments.cookies {
        true => Ok(Minted::of(signing::cookies_policy(&policy, id, key).map_err(words)?)),
        false => signing::sign_policy(url, &policy, id, key).map(Minted::Url).map_err(words),
    }
}

fn hmac(arguments: &Arguments, secret: &Secret, expires: SystemTime) -> Result<Minted, String> {
    if arguments.starts.is_some() || arguments.resource.is_some() {
        return Err(
            "--scheme hmac knows neither --starts nor --resource; end the URL with /* for all below it"
                .into(),
        );
    }
    let address = arguments.ip.as_deref().map(str::parse::<IpAddr>).transpose();
    let address = address.map_err(|_| "--scheme hmac takes one address as --ip, and no network")?;
    let (reach, asked) = match arguments.url.strip_suffix("/*") {
        Some(_) => {
            let prefix = &arguments.url[..arguments.url.len() - 1];
            (Reach::Prefix(prefix), prefix)
        }
        None => (Reach::Url(&arguments.url), arguments.url.as_str()),
    };
    let token = signing::hmac_token(reach, expires, address, &arguments.key, secret);
    let token = token.map_err(|error| error.to_string())?;
    Ok(Minted::token(arguments, asked, SchemeName::Hmac, token))
}

fn jwt(
    arguments: &Arguments,
    key: &SigningKey,
    now: SystemTime,
    expires: SystemTime,
) -> Result<Minted, String> {
    let claims = || {
        let claims = match &arguments.resource {
            Some(pattern) => Claims::matching(pattern)?,
            None => Claims::for_url(&arguments.url)?,
        };
        let claims = claims.until(expires)?;
        match &arguments.ip {
            Some(network) => claims.only_from(network),
            None => Ok(claims),
        }
    };
    let mut claims = claims().map_err(|error: signing::SigningError| error.to_string())?;
    if let Some(starts) = starts(arguments, now)? {
        claims = claims.starting(starts).map_err(|error| error.to_string())?;
    }
    if let Some(lifetime) = arguments.renew {
        claims = claims.renewed_for(lifetime, arguments.depth);
    }
    let token = signing::sign_jwt(&claims, &arguments.key, key).map_err(|error| error.to_string())?;
    Ok(Minted::token(arguments, &arguments.url, SchemeName::UriSigning, token))
}

fn starts(arguments: &Arguments, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let starts = arguments.starts.map(|starts| now.checked_add(starts));
    starts.map(|starts| starts.ok_or("--starts lies beyond what a clock can say".to_owned())).transpose()
}

impl Scheme {
    fn of(key: &SigningKey) -> Self {
        match key.kind() {
            signing::KeyKind::Rsa | signing::KeyKind::P256 => Self::Cloudfront,
            signing::KeyKind::Ed25519 => Self::UriSigning,
            signing::KeyKind::Hmac => Self::Hmac,
        }
    }
}

impl Minted {
    fn of(cookies: Vec<signing::Cookie>) -> Self {
        Self::Cookies(cookies.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn token(arguments: &Arguments, url: &str, scheme: SchemeName, token: String) -> Self {
        match arguments.cookies {
            true => Self::Cookies(vec![(scheme.cookie().to_owned(), token)]),
            false => Self::Url(signing::in_query(url, scheme, &token)),
        }
    }

    fn shown(&self, as_json: bool) -> String {
        match (self, as_json) {
            (Self::Url(url), false) => url.clone(),
            (Self::Url(url), true) => format!("{:#}", json!({ "url": url })),
            (Self::Cookies(cookies), false) => {
                cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
            }
            (Self::Cookies(cookies), true) => {
                let cookies = cookies.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
                format!("{:#}", json!({ "cookies": cookies.collect::<Map<_, _>>() }))
            }
        }
    }
}

/// A key file's text, cleared from memory when it is dropped.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| format!("cannot read {}: {error}", path.display()))
}
