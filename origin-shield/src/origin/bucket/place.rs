//! Where a bucket is: its endpoint, and whether its name stands in the host or in the path.

use super::name;
use crate::settings::{BucketSettings, BucketStyle, OriginUrl};

/// Where requests for objects go.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    /// Scheme, host and port, without a path.
    pub(super) url: OriginUrl,
    /// What stands before the name of an object in the path: the endpoint's own path, the bucket in path style, the prefix.
    pub(super) base: String,
    /// The region that requests are signed for.
    pub(super) region: String,
}

const REGION: &str = "us-east-1";

pub(super) fn find(
    bucket: &OriginUrl,
    settings: &BucketSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Place, String> {
    let said = settings.region.clone();
    let said = said.or_else(|| environment("AWS_REGION")).or_else(|| environment("AWS_DEFAULT_REGION"));
    let region = said.unwrap_or_else(|| REGION.to_owned());
    let name = bucket.host();
    let (endpoint, default) = match &settings.endpoint {
        Some(endpoint) if endpoint.is_bucket() => {
            return Err(format!("endpoint {endpoint} is a bucket: give the URL of the service"));
        }
        Some(endpoint) => (endpoint.clone(), BucketStyle::Path),
        None => (of_aws("s3", &region)?, style_at_aws(name)),
    };
    let scheme = if endpoint.is_https() { "https" } else { "http" };
    let (host, in_path) = match settings.style.unwrap_or(default) {
        BucketStyle::Path => (endpoint.authority().to_string(), format!("/{name}")),
        BucketStyle::VirtualHost => (format!("{name}.{}", endpoint.authority()), String::new()),
    };
    let url = format!("{scheme}://{host}").parse().map_err(|error| format!("{host}: {error}"))?;
    let mut base = format!("{}{in_path}", endpoint.prefix());
    let prefix = name::decode(bucket.prefix()).ok_or("the prefix has a % without two hexadecimal digits")?;
    name::encode(&prefix, &mut base);
    Ok(Place { url, base, region })
}

/// AWS's endpoint of a service in a region.
pub(super) fn of_aws(service: &str, region: &str) -> Result<OriginUrl, String> {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    let url = format!("https://{service}.{region}.amazonaws.com{suffix}");
    url.parse().map_err(|error| format!("region {region:?}: {error}"))
}

/// A wildcard certificate covers one label, and a host has no capitals.
fn style_at_aws(name: &str) -> BucketStyle {
    match name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        true => BucketStyle::VirtualHost,
        false => BucketStyle::Path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(bucket: &str, settings: &str) -> (String, String, String) {
        let settings = toml::from_str(settings).unwrap();
        let environment = |name: &str| (name == "AWS_DEFAULT_REGION").then(|| "eu-west-1".to_owned());
        let place = find(&bucket.parse().unwrap(), &settings, environment).unwrap();
        (place.url.to_string(), place.base, place.region)
    }

    fn expected(url: &str, base: &str, region: &str) -> (String, String, String) {
        (url.into(), base.into(), region.into())
    }

    #[test]
    fn without_an_endpoint_it_is_aws_by_host() {
        assert_eq!(
            place("s3://media", ""),
            expected("https://media.s3.eu-west-1.amazonaws.com", "", "eu-west-1")
        );
        assert_eq!(
            place("s3://media/a b%20c".replace("a b", "a").as_str(), "region = \"cn-north-1\""),
            expected("https://media.s3.cn-north-1.amazonaws.com.cn", "/a%20c", "cn-north-1")
        );
        let dotted = "s3://media.example.com/site/";
        assert_eq!(
            place(dotted, ""),
            expected("https://s3.eu-west-1.amazonaws.com", "/media.example.com/site", "eu-west-1")
        );
    }

    #[test]
    fn with_an_endpoint_it_is_by_path_unless_told_otherwise() {
        let minio = "endpoint = \"http://127.0.0.1:9000\"\nregion = \"r\"";
        assert_eq!(place("s3://media/site", minio), expected("http://127.0.0.1:9000", "/media/site", "r"));
        let by_host =
            "endpoint = \"https://s3.example.com:8443/gate\"\nstyle = \"virtual-host\"\nregion = \"r\"";
        assert_eq!(
            place("s3://media/site", by_host),
            expected("https://media.s3.example.com:8443", "/gate/site", "r")
        );
    }

    #[test]
    fn a_bucket_is_no_endpoint() {
        let settings = BucketSettings { endpoint: "s3://other".parse().ok(), ..BucketSettings::default() };
        let error = find(&"s3://media".parse().unwrap(), &settings, |_| None).unwrap_err();
        assert!(error.contains("is a bucket"), "{error}");
    }
}
