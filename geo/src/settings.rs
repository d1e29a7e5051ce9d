use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use hickory_proto::rr::Name;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Continent, Country, GeoError};

/// `[geo]`: where the viewer's country comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GeoSettings {
    /// Files in MaxMind format, such as one for countries and one for autonomous systems. For each fact the first file
    /// that knows it is believed.
    pub database: Vec<PathBuf>,
}

impl GeoSettings {
    /// Makes relative paths start at `base`, the folder of the config file.
    pub fn resolve_paths(&mut self, base: &Path) {
        for path in &mut self.database {
            *path = base.join(&path);
        }
    }
}

/// `[dns]`: the names that this node answers for, each query after the viewer's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DnsSettings {
    /// host:port, for UDP and TCP alike. Port 0 takes a port that is free for both.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The names under which this node is delegated to, for NS records and the SOA, such as `["ns1.example.com."]`.
    /// Empty: no NS records are answered, and the delegation in the parent zone alone counts.
    #[serde(default)]
    pub name_servers: Vec<String>,
    /// The steering names. Each is a zone of its own: delegate it to this node.
    #[serde(default)]
    pub steer: BTreeMap<String, SteerSettings>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { listen: default_listen(), name_servers: Vec::new(), steer: BTreeMap::new() }
    }
}

fn default_listen() -> String {
    "0.0.0.0:53".to_owned()
}

/// `[dns.steer."name"]`: how one name is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SteerSettings {
    /// How long resolvers may keep an answer, and the news that there is none.
    #[serde(default = "default_ttl", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub ttl: Duration,
    /// What can be answered, by name: addresses, or one `cname:` of another network.
    pub pools: BTreeMap<String, Vec<Target>>,
    /// Who is given which pool. The first rule that fits is followed; the last must be a default.
    pub rules: Vec<RuleSettings>,
}

fn default_ttl() -> Duration {
    Duration::from_secs(30)
}

/// One rule: for whom (exactly one of `country`, `continent`, `default = true`) and what (exactly one of `pool`,
/// `weights`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RuleSettings {
    /// Viewers of these countries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub country: Vec<Country>,
    /// Viewers of these continents: AF, AN, AS, EU, NA, OC, SA.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continent: Vec<Continent>,
    /// Every viewer that is left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// The pool that they are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The pools that they are spread over, each with its share, such as `{ own = 80, china = 20 }`. One subnet always
    /// gets the same pool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
}

/// What a pool answers with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `"203.0.113.10"` or `"2001:db8::10"`: an A or AAAA record.
    Address(IpAddr),
    /// `"cname:name."`: a CNAME record. Holds the name without the prefix, always with the final dot.
    Alias(String),
}

impl FromStr for Target {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        let wrong = |cause: String| GeoError::Target { target: text.to_owned(), cause };
        if let Some(alias) = text.strip_prefix("cname:") {
            let name = domain_name(alias).map_err(wrong)?;
            return Ok(Self::Alias(name.to_ascii()));
        }
        text.parse().map(Self::Address).map_err(|error| wrong(error.to_string()))
    }
}

/// An absolute domain name, with or without its final dot (RFC 1035 section 2.3.1).
pub(crate) fn domain_name(text: &str) -> Result<Name, String> {
    if text.is_empty() || text == "." {
        return Err("a name is missing".to_owned());
    }
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Alias(name) => write!(formatter, "cname:{name}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An address such as \"203.0.113.10\" or \"2001:db8::10\", or another network's name: \"cname:cdn.example.net.\".",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_or_a_cname() {
        for (text, written) in [
            ("203.0.113.10", "203.0.113.10"),
            ("2001:DB8::10", "2001:db8::10"),
            ("cname:a.example.", "cname:a.example."),
            ("cname:a.example", "cname:a.example."),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), written);
        }
        for wrong in [
            "",
            "203.0.113",
            "a.example.",
            "cname:",
            "cname:.",
            "cname:a..example",
            "CNAME:a.example",
            "203.0.113.1:53",
        ] {
            let error = wrong.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("is no target"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn the_documented_section_is_read_and_written_back() {
        let text = r#"
            listen = "0.0.0.0:53"
            [steer."cdn.example.com"]
            ttl   = "30s"
            pools = { own = ["203.0.113.10", "2001:db8::10"], china = ["cname:example.china-cdn.test."] }
            rules = [
              { country = ["CN"], pool = "china" },
              { continent = ["AS"], pool = "own" },
              { default = true, weights = { own = 80, china = 20 } },
            ]
        "#;
        let settings: DnsSettings = toml::from_str(text).unwrap();
        let steer = &settings.steer["cdn.example.com"];
        assert_eq!(steer.ttl, Duration::from_secs(30));
        assert_eq!(steer.pools["own"].len(), 2);
        assert_eq!(steer.rules[2].weights["china"], 20);
        let again: DnsSettings = toml::from_str(&toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn unknown_keys_are_errors_with_their_place() {
        let cases = [
            ("listens = \"\"", "unknown field `listens`"),
            ("steer.a = { pools = {}, rules = [], tll = \"1s\" }", "unknown field `tll`"),
            ("steer.a = { pools = {}, rules = [{ county = [\"CN\"] }] }", "unknown field `county`"),
            ("steer.a = { pools = {}, rules = [{ continent = [\"AX\"] }] }", "unknown variant `AX`"),
            ("steer.a = { pools = { own = [\"1.2.3\"] }, rules = [] }", "\"1.2.3\" is no target"),
        ];
        for (text, expected) in cases {
            let error = toml::from_str::<DnsSettings>(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(error.span().is_some(), "{text}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_config_file() {
        let mut settings: GeoSettings =
            toml::from_str("database = [\"geo/a.mmdb\", \"/var/b.mmdb\"]").unwrap();
        settings.resolve_paths(Path::new("/etc/selvedge"));
        assert_eq!(
            settings.database,
            [PathBuf::from("/etc/selvedge/geo/a.mmdb"), PathBuf::from("/var/b.mmdb")]
        );
    }
}
