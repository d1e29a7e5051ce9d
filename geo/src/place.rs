use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::GeoError;

/// What is known of where an address is. Unknown is the ordinary case for private and unassigned addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The continent; taken from the country where a database has none.
    pub continent: Option<Continent>,
    /// The number of the autonomous system that announces the address.
    pub asn: Option<u32>,
}

/// Where an address is within its country. Unknown is the ordinary case without a database for cities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Locality {
    /// The first-level division: ISO 3166-2 without the country and the hyphen.
    pub region: Option<String>,
    /// The city, in English.
    pub city: Option<String>,
    /// Latitude and longitude in degrees (WGS 84).
    pub position: Option<(f64, f64)>,
    /// The time zone by its name in the IANA database.
    pub time_zone: Option<String>,
}

/// A country or territory: two upper-case ASCII letters, as ISO 3166-1 alpha-2 has them. Whether the letters are
/// assigned is not checked: databases use codes such as `XK` that ISO has not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Always two ASCII letters, so the default is never seen.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Country {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([a, b])),
            _ => Err(GeoError::Country(text.to_owned())),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Country {
    fn schema_name() -> Cow<'static, str> {
        "Country".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{2}$",
            "description": "A country: two upper-case letters of ISO 3166-1, such as \"KR\".",
        })
    }
}

/// A continent, by the two letters that geo databases use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Continent {
    /// Africa.
    #[serde(rename = "AF")]
    Africa,
    /// Antarctica.
    #[serde(rename = "AN")]
    Antarctica,
    /// Asia.
    #[serde(rename = "AS")]
    Asia,
    /// Europe.
    #[serde(rename = "EU")]
    Europe,
    /// North America, with Central America and the Caribbean.
    #[serde(rename = "NA")]
    NorthAmerica,
    /// Oceania.
    #[serde(rename = "OC")]
    Oceania,
    /// South America.
    #[serde(rename = "SA")]
    SouthAmerica,
}

impl Continent {
    /// The two letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// The continent of two letters, as a database has them; anything else is unknown.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "AF" => Self::Africa,
            "AN" => Self::Antarctica,
            "AS" => Self::Asia,
            "EU" => Self::Europe,
            "NA" => Self::NorthAmerica,
            "OC" => Self::Oceania,
            "SA" => Self::SouthAmerica,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_upper_case_letters() {
        assert_eq!("KR".parse::<Country>().unwrap().as_str(), "KR");
        for wrong in ["", "K", "kr", "Kr", "KOR", "K1", "한", "K\u{0}"] {
            let error = wrong.parse::<Country>().unwrap_err().to_string();
            assert!(error.contains("ISO 3166-1"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_continent_has_the_same_letters_in_settings_and_databases() {
        for code in ["AF", "AN", "AS", "EU", "NA", "OC", "SA"] {
            assert_eq!(Continent::from_code(code).unwrap().as_str(), code);
        }
        assert_eq!(Continent::from_code("XX"), None);
    }
}
