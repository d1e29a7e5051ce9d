//! What an origin is: an address, a bucket, a set of shields, or a component.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::{OriginSettings, OriginUrl};

/// The most shields of one origin: each request weighs all of them.
const MOST_SHIELDS: usize = 64;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// One address.
    Url(&'a OriginUrl),
    /// A bucket; `s3` says more about it.
    Bucket(&'a OriginUrl),
    /// Other Selvedge nodes, at least one.
    Shields(&'a [OriginUrl]),
    /// A component file.
    Program(&'a Path),
}

/// Settings that name nobody to ask, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither address nor shields.
    #[error(
        "there is nobody to ask: give url = \"https://…\", or shield = [\"https://…\"], or wasm = \"app.wasm\""
    )]
    Nobody,
    /// An address beside shields.
    #[error("url and shield exclude each other: an origin group can have both as members")]
    Both,
    /// A secret for shields where there are none.
    #[error("key is for shields, and this origin has none")]
    Key,
    /// What belongs to a bucket, for something else.
    #[error("s3 is for buckets: give url = \"s3://…\" beside it")]
    NoBucket,
    /// A service record beside shields.
    #[error("srv is for an origin with a url: shields are named one by one")]
    Service,
    /// A component beside an address or what belongs to one.
    #[error(
        "wasm is an origin by itself: url, shield, key, s3, srv and tls say how to reach another; an origin group can have both as members"
    )]
    Program,
    /// What belongs to a component, for something else.
    #[error("{0} is for components: give wasm = \"app.wasm\" beside it, and no url")]
    NoProgram(&'static str),
    /// A component that has not been loaded.
    #[error("wasm names a component, which has not been loaded")]
    Unloaded,
}

impl TargetError {
    /// The setting that is wrong; `None` where one is missing.
    pub fn setting(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Both => Some("shield"),
            Self::Key => Some("key"),
            Self::NoBucket => Some("s3"),
            Self::Service => Some("srv"),
            Self::Program | Self::Unloaded => Some("wasm"),
            Self::NoProgram(setting) => Some(setting),
        }
    }
}

impl OriginSettings {
    /// Whom these settings name.
    ///
    /// # Errors
    /// Neither an address nor shields, both, or what belongs to shields or a bucket without any.
    pub fn target(&self) -> Result<Target<'_>, TargetError> {
        if let Some(wasm) = &self.wasm {
            return if self.reaches_others() { Err(TargetError::Program) } else { Ok(Target::Program(wasm)) };
        }
        let of_programs = [
            ("limits", self.limits.is_some()),
            ("env", !self.env.is_empty()),
            ("fetch", !self.fetch.is_empty()),
        ];
        if let Some((setting, _)) = of_programs.into_iter().find(|(_, is_set)| *is_set) {
            return Err(TargetError::NoProgram(setting));
        }
        match (&self.url, &self.shield[..]) {
            (None, []) => Err(TargetError::Nobody),
            (Some(_), []) if self.key.is_some() => Err(TargetError::Key),
            (Some(url), []) if url.is_bucket() => Ok(Target::Bucket(url)),
            (None, _) if self.srv.is_some() => Err(TargetError::Service),
            _ if self.s3.is_some() => Err(TargetError::NoBucket),
            (Some(url), []) => Ok(Target::Url(url)),
            (None, shields) => Ok(Target::Shields(shields)),
            (Some(_), _) => Err(TargetError::Both),
        }
    }

    /// Whether anything is said about reaching somebody.
    fn reaches_others(&self) -> bool {
        let names = self.url.is_some() || !self.shield.is_empty() || self.srv.is_some();
        names || self.key.is_some() || self.s3.is_some() || self.tls.is_some()
    }
}

pub(super) fn shields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OriginUrl>, D::Error> {
    use serde::de::Error;
    let shields = Vec::<OriginUrl>::deserialize(deserializer)?;
    if shields.is_empty() || shields.len() > MOST_SHIELDS {
        return Err(D::Error::custom(format!("give from 1 to {MOST_SHIELDS} shields")));
    }
    for (index, shield) in shields.iter().enumerate() {
        if !shield.prefix().is_empty() {
            return Err(D::Error::custom(format!(
                "{shield} has a path: a shield is a whole node, asked for the same paths as this one"
            )));
        }
        if shield.is_bucket() {
            return Err(D::Error::custom(format!("{shield} is a bucket, and no Selvedge node")));
        }
        if shields[..index].contains(shield) {
            return Err(D::Error::custom(format!("{shield} stands twice")));
        }
    }
    Ok(shields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<OriginSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_origin_is_an_address_or_shields_and_never_both() {
        let shields = parse("shield = [\"https://a:443\", \"https://b\"]").unwrap();
        let Ok(Target::Shields([a, _])) = shields.target() else { panic!("{shields:?}") };
        assert_eq!(a.to_string(), "https://a");
        let program = parse("wasm = \"app.wasm\"\nresponse-timeout = \"3s\"\nfetch = [\"api\"]").unwrap();
        assert_eq!(program.target(), Ok(Target::Program(Path::new("app.wasm"))));
        for (text, error) in [
            ("", TargetError::Nobody),
            ("url = \"http://a\"\nshield = [\"http://b\"]", TargetError::Both),
            ("url = \"http://a\"\ns3 = { region = \"r\" }", TargetError::NoBucket),
            ("url = \"http://a\"\nkey = { env = \"KEY\" }", TargetError::Key),
            ("wasm = \"a.wasm\"\nurl = \"http://a\"", TargetError::Program),
            ("wasm = \"a.wasm\"\ntls = {}", TargetError::Program),
            ("url = \"http://a\"\nlimits = {}", TargetError::NoProgram("limits")),
            ("url = \"http://a\"\nenv = { A = \"b\" }", TargetError::NoProgram("env")),
        ] {
            assert_eq!(parse(text).unwrap().target(), Err(error), "{text}");
        }
    }

    #[test]
    fn shields_are_whole_nodes_each_named_once() {
        for (list, reason) in [
            ("[]", "from 1 to 64"),
            ("[\"https://a/site\"]", "a whole node"),
            ("[\"https://a\", \"https://a:443\"]", "stands twice"),
            ("[\"shield-a\"]", "http://"),
            ("[\"s3://media\"]", "is a bucket"),
        ] {
            let error = parse(&format!("shield = {list}")).unwrap_err();
            assert!(error.contains(reason), "{list}: {error}");
        }
    }
}
