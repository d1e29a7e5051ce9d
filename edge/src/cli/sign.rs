//! `selvedge sign`: mints what signs a URL, as a publisher does.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime::parse_duration;
use serde_json::{Map, Value, json};
use signing::{Claims, Policy, PrivateKey, Reach, SchemeName, Secret, SigningKey};

use super::asked::Moment;
use super::key::key_id;
use super::signer::{Signer, encryption, named_file};
use super::{DEFAULT_FILE, Exit, Form, data, load, talk};
use crate::process;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as viewers will ask for it. In CloudFront's cookies a star stands for anything; with --scheme hmac, one after a last slash
    url: String,
    /// The config file that has the site, the route and its key group
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// The id of the key in the node's config. Default: the first of the route's key group whose private half is there
    #[arg(long, visible_alias = "key-pair-id", value_name = "ID", value_parser = key_id)]
    key: Option<String>,
    /// The private key (a PEM file) or the secret (a file with its text). Default: where `key new` has put it
    #[arg(long, visible_aliases = ["private-key", "secret"], value_name = "FILE")]
    private: Option<PathBuf>,
    /// How long from now it is good, or until when: 1h, 2026-11-21T10:00:00Z, seconds since 1970
    #[arg(long, visible_alias = "date-less-than", value_name = "TIME", default_value = "1h", value_parser = Moment::parse)]
    expires: Moment,
    /// How long from now it is not good yet, or until when
    #[arg(long, visible_alias = "date-greater-than", value_name = "TIME", value_parser = Moment::parse)]
    starts: Option<Moment>,
    /// The address or network of the viewers, such as 203.0.113.0/24
    #[arg(long, visible_alias = "ip-address", value_name = "NETWORK")]
    ip: Option<String>,
    /// Encrypt the --ip for the node alone, with the key of this id (uri-signing). Default: the first of the key group's decrypt-with
    #[arg(long, value_name = "ID=FILE", requires = "ip", value_parser = named_file)]
    encrypt_with: Option<(String, PathBuf)>,
    /// What it opens, where that is more than the URL: with the wildcards * and ?; with --scheme uri-signing a regular expression
    #[arg(long, value_name = "PATTERN")]
    resource: Option<String>,
    /// The format. Default: the first that the key group takes and the key signs; without a config what fits the key
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
    let signer = match signer(arguments) {
        Ok(signer) => signer,
        Err(exit) => return exit,
    };
    match signed(arguments, &signer, process::now()) {
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

/// Who signs: what the command line says, and for the rest the config.
fn signer(arguments: &Arguments) -> Result<Signer, Exit> {
    let Arguments { key, private, config, url, encrypt_with, .. } = arguments;
    let signer = match (key, private) {
        (Some(id), Some(file)) => Signer::given(id, file),
        _ if !config.exists() => {
            let file = config.display();
            talk(&format!(
                "error: there is no {file}; name a config with --config, or give --key and --private"
            ));
            return Err(Exit::Usage);
        }
        (id, file) => Signer::of_route(&load(config, Form::Text)?, url, id.as_deref(), file.as_deref()),
    };
    let signer = signer.map(|signer| match encrypt_with {
        Some((id, file)) => Signer { encryption: encryption(id, file).map(Some), ..signer },
        None => signer,
    });
    signer.map_err(|message| {
        talk(&format!("error: {message}"));
        Exit::Failed
    })
}

fn signed(arguments: &Arguments, signer: &Signer, now: SystemTime) -> Result<Minted, String> {
    let minting = Minting { arguments, id: &signer.id, now, expires: arguments.expires.from(now)? };
    let scheme = arguments.scheme.map_or(signer.scheme, SchemeName::from);
    if arguments.encrypt_with.is_some() && scheme != SchemeName::UriSigning {
        return Err("--encrypt-with needs --scheme uri-signing: no other format has room for it".to_owned());
    }
    match (scheme, &signer.key) {
        (SchemeName::Cloudfront, SigningKey::Private(key)) => minting.cloudfront(key),
        (SchemeName::Hmac, SigningKey::Secret(secret)) => minting.hmac(secret),
        (SchemeName::UriSigning, _) => minting.jwt(signer),
        (SchemeName::Cloudfront, _) => {
            Err("--scheme cloudfront needs a private key: RSA or P-256".to_owned())
        }
        (SchemeName::Hmac, _) => {
            Err("--scheme hmac needs a secret: `selvedge key new --kind hmac` makes one".to_owned())
        }
    }
}

/// What is to be minted, and by which name of a key.
struct Minting<'a> {
    arguments: &'a Arguments,
    id: &'a str,
    now: SystemTime,
    expires: SystemTime,
}

impl Minting<'_> {
    fn cloudfront(&self, key: &PrivateKey) -> Result<Minted, String> {
        let Self { arguments, id, expires, .. } = *self;
        let (url, words) = (&arguments.url, |error: signing::SigningError| error.to_string());
        // The node reads a canned policy's resource off each request, so one with a star would open the star alone.
        let opens_many = arguments.cookies && url.contains('*');
        let is_restricted = arguments.starts.is_some() || arguments.ip.is_some();
        if !(opens_many || is_restricted || arguments.resource.is_some()) {
            return match arguments.cookies {
                true => Ok(Minted::of(signing::cookies_canned(url, expires, id, key).map_err(words)?)),
                false => signing::sign_canned(url, expires, id, key).map(Minted::Url).map_err(words),
            };
        }
        let mut policy = Policy::new(arguments.resource.as_ref().unwrap_or(url), expires).map_err(words)?;
        if let Some(starts) = self.starts()? {
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

    fn hmac(&self, secret: &Secret) -> Result<Minted, String> {
        let Self { arguments, id, expires, .. } = *self;
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
            None if arguments.url.contains('*') => {
                return Err("--scheme hmac takes a star after the last slash alone".into());
            }
            None => (Reach::Url(&arguments.url), arguments.url.as_str()),
        };
        let token = signing::hmac_token(reach, expires, address, id, secret);
        let token = token.map_err(|error| error.to_string())?;
        Ok(Minted::token(arguments, asked, SchemeName::Hmac, token))
    }

    fn jwt(&self, signer: &Signer) -> Result<Minted, String> {
        let Self { arguments, id, expires, .. } = *self;
        if arguments.cookies && arguments.resource.is_none() && arguments.url.contains('*') {
            return Err("--scheme uri-signing takes no star: give a regular expression as --resource".into());
        }
        let encryption = match &arguments.ip {
            Some(_) => signer.encryption.as_ref().map_err(String::clone)?.as_ref(),
            None => None,
        };
        let claims = || {
            let claims = match &arguments.resource {
                Some(pattern) => Claims::matching(pattern)?,
                None => Claims::for_url(&arguments.url)?,
            };
            let claims = claims.until(expires)?;
            match (&arguments.ip, encryption) {
                (Some(network), Some((id, key))) => claims.only_from_encrypted(network, id, key),
                (Some(network), None) => claims.only_from(network),
                (None, _) => Ok(claims),
            }
        };
        let mut claims = claims().map_err(|error: signing::SigningError| error.to_string())?;
        if let Some(starts) = self.starts()? {
            claims = claims.starting(starts).map_err(|error| error.to_string())?;
        }
        if let Some(lifetime) = arguments.renew {
            claims = claims.renewed_for(lifetime, arguments.depth);
        }
        let token = signing::sign_jwt(&claims, id, &signer.key).map_err(|error| error.to_string())?;
        Ok(Minted::token(arguments, &arguments.url, SchemeName::UriSigning, token))
    }

    fn starts(&self) -> Result<Option<SystemTime>, String> {
        self.arguments.starts.map(|starts| starts.from(self.now)).transpose()
    }
}

impl From<Scheme> for SchemeName {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Cloudfront => Self::Cloudfront,
            Scheme::UriSigning => Self::UriSigning,
            Scheme::Hmac => Self::Hmac,
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
