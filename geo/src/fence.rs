use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Country, GeoError, Place};

/// Who may pass a route: `geo = { deny = ["XX"] }` or `geo = { allow = ["KR"] }`, never both. The default admits
/// everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Lists")]
pub struct RouteGeo {
    /// Only viewers of these countries pass; an unknown country does not. Empty: no such list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Country>,
    /// Viewers of these countries do not pass; an unknown country does. Empty: no such list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Country>,
}

impl RouteGeo {
    /// Whether a viewer at `place` may pass. A list that names whom to let in must refuse whom it cannot place; a list
    /// that names whom to keep out must not keep out everybody whose address no database knows.
    pub fn permits(&self, place: &Place) -> bool {
        let listed =
            |countries: &[Country]| place.country.is_some_and(|country| countries.contains(&country));
        (self.allow.is_empty() || listed(&self.allow)) && !listed(&self.deny)
    }
}

/// The lists as written, before it is known that there is only one.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Lists {
    /// Only viewers of these countries pass; an unknown country does not.
    allow: Option<Vec<Country>>,
    /// Viewers of these countries do not pass; an unknown country does.
    deny: Option<Vec<Country>>,
}

impl TryFrom<Lists> for RouteGeo {
    type Error = GeoError;

    fn try_from(lists: Lists) -> Result<Self, GeoError> {
        match (lists.allow, lists.deny) {
            (Some(_), Some(_)) => Err(GeoError::AllowAndDeny),
            (Some(allow), None) if allow.is_empty() => Err(GeoError::NobodyAllowed),
            (allow, deny) => Ok(Self { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(text: &str) -> Result<RouteGeo, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn at(country: &str) -> Place {
        Place { country: country.parse().ok(), ..Place::default() }
    }

    #[test]
    fn a_deny_list_admits_everybody_else_and_the_unknown() {
        let fence = fence("deny = [\"CN\", \"DE\"]").unwrap();
        for (country, passes) in [("CN", false), ("DE", false), ("KR", true), ("?", true)] {
            assert_eq!(fence.permits(&at(country)), passes, "{country}");
        }
    }

    #[test]
    fn an_allow_list_refuses_everybody_else_and_the_unknown() {
        let fence = fence("allow = [\"KR\"]").unwrap();
        for (country, passes) in [("KR", true), ("CN", false), ("?", false)] {
            assert_eq!(fence.permits(&at(country)), passes, "{country}");
        }
    }

    #[test]
    fn no_list_admits_everybody() {
        assert!(RouteGeo::default().permits(&at("KR")));
        assert!(fence("").unwrap().permits(&at("?")));
        assert!(fence("deny = []").unwrap().permits(&at("?")));
    }

    #[test]
    fn contradictions_and_mistakes_are_errors() {
        let cases = [
            ("allow = [\"KR\"]\ndeny = [\"CN\"]", "keep one"),
            ("allow = []", "at least one"),
            ("deny = [\"cn\"]", "ISO 3166-1"),
            ("denied = [\"CN\"]", "unknown field `denied`"),
        ];
        for (text, expected) in cases {
            let error = fence(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_read_is_written_back() {
        for text in ["allow = [\"KR\", \"JP\"]\n", "deny = [\"CN\"]\n"] {
            assert_eq!(toml::to_string(&fence(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn the_schema_is_that_of_what_people_write() {
        let schema = schemars::schema_for!(RouteGeo).to_value().to_string();
        for part in ["\"allow\"", "\"deny\"", "\"additionalProperties\":false", "^[A-Z]{2}$"] {
            assert!(schema.contains(part), "{part} is missing: {schema}");
        }
    }
}
