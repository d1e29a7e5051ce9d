//! How a bucket is reached, and who may open it: the `s3` table beside `url = "s3://…"`.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Material, OriginUrl};

/// The smallest part of a multipart upload that S3 takes, but for the last one.
const SMALLEST_PART: ByteSize = ByteSize::mib(5);
/// The largest part, and the largest object that one PUT can make.
const LARGEST_PUT: ByteSize = ByteSize::gib(5);

/// A bucket of an S3-compatible service. What names no credentials takes them, as its tools do, from `AWS_ACCESS_KEY_ID` and
/// its like, `AWS_WEB_IDENTITY_TOKEN_FILE`, or the shared credentials file, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BucketSettings {
    /// Where the service is: `https://s3.example.com`. Default: AWS's own for the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<OriginUrl>,
    /// The region that requests are signed for. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, else `us-east-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where the bucket is named. Default: `virtual-host` without an `endpoint`, `path` with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<BucketStyle>,
    /// The id of the key that signs requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Material>,
    /// The key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Material>,
    /// The token that belongs to a key of limited life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Material>,
    /// A profile of a shared credentials file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<ProfileSettings>,
    /// A role that a token opens: keys of limited life come from the security token service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_identity: Option<WebIdentitySettings>,
    /// Statuses that mean "there is no such object" when one is read. Add 403 where the key may not list the bucket: S3 then
    /// says "access denied" of what is missing.
    #[serde(deserialize_with = "missing")]
    pub missing: Vec<u16>,
    /// How much of a body is held at once where it cannot be sent as it comes: the size of a part. A body has at most 10,000.
    #[serde(deserialize_with = "part_size")]
    #[schemars(with = "String")]
    pub part_size: ByteSize,
    /// The longest body that is sent over TLS as it comes, in one PUT; a longer one goes in parts.
    #[serde(deserialize_with = "single_put")]
    #[schemars(with = "String")]
    pub single_put: ByteSize,
    /// How many bodies are held in parts at the same time; more wait, for `response-timeout` at most.
    #[serde(deserialize_with = "uploads")]
    #[schemars(range(min = 1))]
    pub uploads: usize,
}

impl Default for BucketSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            style: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            credentials: None,
            web_identity: None,
            missing: vec![404],
            part_size: ByteSize::mib(8),
            single_put: ByteSize::mib(64),
            uploads: 16,
        }
    }
}

/// Where the bucket's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BucketStyle {
    /// `https://s3.example.com/media/cat.jpg`
    Path,
    /// `https://media.s3.example.com/cat.jpg`
    VirtualHost,
}

/// Credentials from a file as AWS's tools write it; it is read again every five minutes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProfileSettings {
    /// The file. Default: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The section. Default: `AWS_PROFILE`, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A role taken on with a token that somebody else renews, as Kubernetes does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebIdentitySettings {
    /// The role: `arn:aws:iam::123456789012:role/edge`.
    pub role: String,
    /// The file that holds the token; it is read whenever keys are asked for.
    pub token: PathBuf,
    /// What the service's own log calls this node.
    #[serde(default = "session_name")]
    pub session: String,
    /// The security token service. Default: AWS's own for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<OriginUrl>,
}

impl BucketSettings {
    /// Makes relative paths start at `base`, the folder of the config file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let keys = [&mut self.access_key, &mut self.secret_key, &mut self.session_token];
        let keys = keys.into_iter().filter_map(|key| match key {
            Some(Material::File(path)) => Some(path),
            _ => None,
        });
        let profile = self.credentials.as_mut().and_then(|credentials| credentials.file.as_mut());
        let token = self.web_identity.as_mut().map(|identity| &mut identity.token);
        for path in keys.chain(profile).chain(token) {
            *path = base.join(&*path);
        }
    }

    /// The files that must be there, each with the keys below `s3` that name it.
    pub fn files(&self) -> Vec<(&'static [&'static str], &Path)> {
        let mut files: Vec<(&'static [&'static str], &Path)> = Vec::new();
        for (name, key) in [
            (&["access-key", "file"] as &'static [_], &self.access_key),
            (&["secret-key", "file"], &self.secret_key),
            (&["session-token", "file"], &self.session_token),
        ] {
            if let Some(Material::File(path)) = key {
                files.push((name, path));
            }
        }
        if let Some(path) = self.credentials.as_ref().and_then(|credentials| credentials.file.as_ref()) {
            files.push((&["credentials", "file"], path));
        }
        files
    }
}

fn session_name() -> String {
    "selvedge".into()
}

fn missing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let statuses = Vec::<u16>::deserialize(deserializer)?;
    match statuses.iter().find(|status| ![403, 404].contains(*status)) {
        Some(other) => {
            Err(Error::custom(format!("{other} never means that an object is missing: 403 and 404 do")))
        }
        None => Ok(statuses),
    }
}

fn part_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if (SMALLEST_PART..=LARGEST_PUT).contains(&size) {
        return Ok(size);
    }
    Err(Error::custom("S3 takes parts of 5MiB to 5GiB"))
}

fn single_put<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if size <= LARGEST_PUT {
        return Ok(size);
    }
    Err(Error::custom("S3 takes at most 5GiB in one PUT"))
}

fn uploads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(Error::custom("0 uploads at once would let none through: give at least 1")),
        uploads => Ok(uploads),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BucketSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_the_documented_defaults() {
        let settings = parse("").unwrap();
        assert_eq!(settings, BucketSettings::default());
        assert_eq!((settings.part_size, settings.single_put), (ByteSize::mib(8), ByteSize::mib(64)));
        assert_eq!((settings.missing, settings.uploads), (vec![404], 16));
    }

    #[test]
    fn what_was_read_is_written_back_the_same() {
        let settings = parse(
            r#"
            endpoint = "https://s3.example.com"
            region = "ap-northeast-2"
            style = "virtual-host"
            access-key = { env = "S3_KEY" }
            secret-key = { file = "secret" }
            session-token = { env = "S3_TOKEN" }
            credentials = { profile = "edge" }
            web-identity = { role = "arn:aws:iam::1:role/edge", token = "token" }
            missing = [403, 404]
            part-size = "16MiB"
            "#,
        )
        .unwrap();
        assert_eq!(
            settings.web_identity.as_ref().map(|identity| identity.session.as_str()),
            Some("selvedge")
        );
        assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
    }

    #[test]
    fn what_the_service_would_refuse_is_refused_here() {
        for (line, reason) in [
            ("part-size = \"1MiB\"", "5MiB to 5GiB"),
            ("single-put = \"6GiB\"", "at most 5GiB"),
            ("uploads = 0", "at least 1"),
            ("missing = [500]", "403 and 404"),
            ("secret-key = \"hunter2\"", "secret-key"),
            ("acces-key = { env = \"X\" }", "unknown field"),
            ("style = \"dns\"", "virtual-host"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_config_file() {
        let mut settings = parse(
            "secret-key = { file = \"secret\" }\ncredentials = { file = \"/etc/aws\" }\n\
             web-identity = { role = \"r\", token = \"token\" }",
        )
        .unwrap();
        settings.resolve_paths(Path::new("/conf"));
        assert_eq!(settings.secret_key, Some(Material::File("/conf/secret".into())));
        assert_eq!(settings.web_identity.as_ref().unwrap().token, Path::new("/conf/token"));
        let files: Vec<_> = settings.files().into_iter().map(|(name, path)| (name[0], path)).collect();
        assert_eq!(
            files,
            [("secret-key", Path::new("/conf/secret")), ("credentials", Path::new("/etc/aws"))]
        );
    }
}
