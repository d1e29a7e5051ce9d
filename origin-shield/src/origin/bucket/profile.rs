//! The shared credentials file, as AWS's tools write and read it.

use std::path::PathBuf;

use super::credentials::{Credentials, read};
use crate::settings::ProfileSettings;

/// One section of one file.
#[derive(Debug)]
pub(super) struct Profile {
    file: PathBuf,
    name: String,
}

impl Profile {
    /// The profile that the settings name, else the one that AWS's tools would use; `None` where nothing says where it is.
    pub(super) fn find(
        settings: &ProfileSettings,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let name = settings.profile.clone().or_else(|| environment("AWS_PROFILE"));
        let named =
            settings.file.clone().or_else(|| environment("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from));
        let usual = || environment("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
        Some(Self { file: named.or_else(usual)?, name: name.unwrap_or_else(|| "default".into()) })
    }

    pub(super) fn is_there(&self) -> bool {
        self.file.exists()
    }

    pub(super) fn read(&self) -> Result<Credentials, String> {
        let text = read(&self.file)?;
        let Self { file, name } = self;
        let value = |key| value(&text, name, key);
        let missing = |key| format!("{}: [{name}] has no {key}", file.display());
        let access = value("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
        let secret = value("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
        Ok(Credentials {
            access: access.to_owned(),
            secret: secret.to_owned(),
            session: value("aws_session_token").map(str::to_owned),
            end: None,
        })
    }
}

/// The value of `key` in the section `profile`: lines of `key = value`, comments on lines of their own.
fn value<'a>(text: &'a str, profile: &str, key: &str) -> Option<&'a str> {
    let mut is_inside = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            is_inside = section.0.trim() == profile;
        } else if is_inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# keys of the team\n[default]\naws_access_key_id = A\naws_secret_access_key=S=1/+\n\n\
        [ edge ]\n; the node's\nAWS_ACCESS_KEY_ID=B\naws_secret_access_key = T\naws_session_token = U\nregion = x\n";

    #[test]
    fn a_profile_is_one_section() {
        assert_eq!(value(FILE, "default", "aws_access_key_id"), Some("A"));
        assert_eq!(value(FILE, "default", "aws_secret_access_key"), Some("S=1/+"));
        assert_eq!(value(FILE, "default", "aws_session_token"), None);
        assert_eq!(value(FILE, "edge", "aws_access_key_id"), Some("B"));
        assert_eq!(value(FILE, "edge", "aws_session_token"), Some("U"));
        assert_eq!(value(FILE, "other", "aws_access_key_id"), None);
    }

    #[test]
    fn the_file_is_looked_for_where_awss_tools_look() {
        let environment = |name: &str| (name == "HOME").then(|| "/home/edge".to_owned());
        let profile = Profile::find(&ProfileSettings::default(), environment).unwrap();
        assert_eq!((profile.file, profile.name.as_str()), ("/home/edge/.aws/credentials".into(), "default"));
        assert!(Profile::find(&ProfileSettings::default(), |_| None).is_none());
        let environment = |name: &str| Some(name.to_lowercase());
        let profile = Profile::find(&ProfileSettings::default(), environment).unwrap();
        assert_eq!(
            (profile.file, profile.name.as_str()),
            ("aws_shared_credentials_file".into(), "aws_profile")
        );
    }
}
