//! The credentials of one bucket: where they come from, and having them renewed before they end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::identity::Identity;
use super::profile::Profile;
use crate::dial::Names;
use crate::error::OriginError;
use crate::failure::{Cause, Failure};
use crate::settings::{BucketSettings, Material, OriginSettings};

/// How often files are read again: whoever renews keys in them tells nobody.
const READ_AGAIN: Duration = Duration::from_secs(300);
/// How long before their end credentials are renewed, or a quarter of their life where that is less.
const BEFORE_THE_END: Duration = Duration::from_secs(300);
/// How long after a failure the next attempt waits.
const PAUSE: Duration = Duration::from_secs(5);
/// How long refusals do not make new credentials be looked for, after one did: a refusal need not be about them.
const PAUSE_OF_DISTRUST: Duration = Duration::from_secs(30);

/// What requests are signed with. Printed, it tells no secret.
#[derive(Clone)]
pub(super) struct Credentials {
    /// The id of the key, which every request names.
    pub(super) access: String,
    pub(super) secret: String,
    pub(super) session: Option<String>,
    /// When they end; `None` is never.
    pub(super) end: Option<SystemTime>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Where credentials come from.
pub(super) enum Source {
    Keys { access: Secret, secret: Secret, session: Option<Secret> },
    Profile(Profile),
    Identity(Box<Identity>),
}

/// The origin that credentials are for, and what reaching a service of its own needs.
pub(super) struct Around<'a> {
    pub(super) origin: &'a Arc<str>,
    pub(super) settings: &'a OriginSettings,
    pub(super) names: &'a Arc<Names>,
    pub(super) region: &'a str,
}

/// A part of a key.
pub(super) enum Secret {
    /// From the environment, which does not change.
    Value(String),
    File(PathBuf),
}

impl Source {
    /// What the settings name, else what the environment does: keys, then a web identity, then a shared credentials file.
    pub(super) fn find(
        around: &Around<'_>,
        bucket: &BucketSettings,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OriginError> {
        let wrong = |cause: String| OriginError::Bucket { origin: around.origin.clone(), cause };
        let source = Self::of_settings(around, bucket, &environment)?;
        let source = match source {
            Some(source) => source,
            None => Self::of_environment(around, &environment)?.ok_or_else(|| {
                wrong(
                    "no credentials: set access-key and secret-key, credentials or web-identity, or AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY in the environment"
                        .to_owned(),
                )
            })?,
        };
        source.check().map_err(wrong)?;
        Ok(source)
    }

    fn of_settings(
        around: &Around<'_>,
        bucket: &BucketSettings,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OriginError> {
        let origin = around.origin;
        let wrong = |cause: &str| OriginError::Bucket { origin: origin.clone(), cause: cause.to_owned() };
        let secret = |setting, material: &Material| Secret::of(origin, setting, material, environment);
        let session =
            bucket.session_token.as_ref().map(|token| secret("s3.session-token", token)).transpose()?;
        let has_keys = bucket.access_key.is_some() || bucket.secret_key.is_some() || session.is_some();
        let ways = [has_keys, bucket.credentials.is_some(), bucket.web_identity.is_some()];
        if ways.iter().filter(|is_named| **is_named).count() > 1 {
            return Err(wrong("keys, credentials and web-identity exclude each other: keep one"));
        }
        if has_keys {
            let (Some(access), Some(key)) = (&bucket.access_key, &bucket.secret_key) else {
                return Err(wrong("access-key and secret-key belong together"));
            };
            let (access, secret) = (secret("s3.access-key", access)?, secret("s3.secret-key", key)?);
            return Ok(Some(Self::Keys { access, secret, session }));
        }
        if let Some(profile) = &bucket.credentials {
            let profile = Profile::find(profile, environment);
            return Ok(Some(Self::Profile(
                profile.ok_or_else(|| wrong("credentials: HOME is not set: name a file"))?,
            )));
        }
        match &bucket.web_identity {
            Some(identity) => Ok(Some(Self::Identity(Box::new(Identity::build(around, identity)?)))),
            None => Ok(None),
        }
    }

    fn of_environment(
        around: &Around<'_>,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OriginError> {
        let value = |name| environment(name).map(Secret::Value);
        if let (Some(access), Some(secret)) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Some(Self::Keys { access, secret, session: value("AWS_SESSION_TOKEN") }));
        }
        if let Some(identity) = Identity::of_environment(environment) {
            return Ok(Some(Self::Identity(Box::new(Identity::build(around, &identity)?))));
        }
        let profile = Profile::find(&crate::ProfileSettings::default(), environment);
        Ok(profile.filter(Profile::is_there).map(Self::Profile))
    }

    /// Whether what can be known before the first request is right.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Keys { access, secret, session } => keys(access, secret, session.as_ref()).map(drop),
            Self::Profile(profile) => profile.read().map(drop),
            Self::Identity(identity) => identity.check(),
        }
    }

    /// Reads or asks for credentials. How long they stay good to use without another look: `None` for ever.
    async fn obtain(&self, now: SystemTime) -> Result<Held, String> {
        let (credentials, renew) = match self {
            Self::Keys { access, secret, session } => {
                let is_fixed = [Some(access), Some(secret), session.as_ref()]
                    .into_iter()
                    .flatten()
                    .all(|secret| matches!(secret, Secret::Value(_)));
                (keys(access, secret, session.as_ref())?, (!is_fixed).then(|| now + READ_AGAIN))
            }
            Self::Profile(profile) => (profile.read()?, Some(now + READ_AGAIN)),
            Self::Identity(identity) => {
                let credentials = identity.ask().await?;
                let renew = credentials.end.map(|end| renewal(now, end));
                (credentials, renew)
            }
        };
        Ok(Held { credentials, renew })
    }
}

/// When credentials that end at `end` are renewed: never so late that a slow service leaves the bucket without.
fn renewal(now: SystemTime, end: SystemTime) -> SystemTime {
    let left = end.duration_since(now).unwrap_or_default();
    now + left.saturating_sub(BEFORE_THE_END.min(left / 4))
}

fn keys(access: &Secret, secret: &Secret, session: Option<&Secret>) -> Result<Credentials, String> {
    let session = session.map(Secret::read).transpose()?;
    Ok(Credentials { access: access.read()?, secret: secret.read()?, session, end: None })
}

impl Secret {
    fn of(
        origin: &Arc<str>,
        setting: &'static str,
        material: &Material,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OriginError> {
        match material {
            Material::File(path) => Ok(Self::File(path.clone())),
            Material::Env(variable) => {
                environment(variable).map(Self::Value).ok_or_else(|| OriginError::Variable {
                    origin: origin.clone(),
                    setting,
                    variable: variable.clone(),
                    cause: "it is not set".to_owned(),
                })
            }
        }
    }

    fn read(&self) -> Result<String, String> {
        match self {
            Self::Value(value) => Ok(value.trim().to_owned()),
            Self::File(path) => read(path),
        }
    }
}

/// The text of a small file, which must not be empty.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("{} is empty", path.display())),
        text => Ok(text.to_owned()),
    }
}

/// Keeps credentials, and renews them while the old ones are still good.
pub(super) struct Keeper {
    source: Source,
    state: Mutex<State>,
    /// Held by whoever asks the source.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    is_renewing: bool,
    /// The last attempt failed; until when nobody tries again, and why.
    failed: Option<(SystemTime, String)>,
    /// Until when further refusals change nothing.
    distrusted: Option<SystemTime>,
}

struct Held {
    credentials: Credentials,
    renew: Option<SystemTime>,
}

enum Look {
    Good(Credentials),
    /// Good still, and somebody should renew them.
    Ageing(Credentials),
    Failed(String),
    Nothing,
}

impl Keeper {
    pub(super) fn new(source: Source) -> Self {
        Self { source, state: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Credentials that are good at `now`. Waits only where there are none; whoever comes while somebody asks for them waits
    /// for the same answer.
    pub(super) async fn credentials(self: &Arc<Self>, now: SystemTime) -> Result<Credentials, Cause> {
        match self.look(now) {
            Look::Good(credentials) => return Ok(credentials),
            Look::Ageing(credentials) => {
                self.renew_beside(now);
                return Ok(credentials);
            }
            Look::Failed(why) => return Err(none(&why)),
            Look::Nothing => {}
        }
        let _turn = self.asking.lock().await;
        match self.look(now) {
            Look::Good(credentials) | Look::Ageing(credentials) => return Ok(credentials),
            Look::Failed(why) => return Err(none(&why)),
            Look::Nothing => {}
        }
        self.renew(now).await.map_err(|why| none(&why))
    }

    /// The service refuses these credentials: others are looked for at the next request, though not at every one.
    pub(super) fn distrust(&self, now: SystemTime) {
        let mut state = self.state();
        if state.distrusted.is_some_and(|until| now < until) {
            return;
        }
        if let Some(held) = state.held.as_mut().filter(|held| held.renew.is_some()) {
            held.renew = Some(now);
            state.distrusted = Some(now + PAUSE_OF_DISTRUST);
        }
    }

    fn renew_beside(self: &Arc<Self>, now: SystemTime) {
        if std::mem::replace(&mut self.state().is_renewing, true) {
            return;
        }
        let keeper = Arc::clone(self);
        tokio::spawn(async move {
            let _ = keeper.renew(now).await;
            keeper.state().is_renewing = false;
        });
    }

    async fn renew(&self, now: SystemTime) -> Result<Credentials, String> {
        let obtained = self.source.obtain(now).await;
        let mut state = self.state();
        match obtained {
            Ok(held) => {
                let credentials = held.credentials.clone();
                (state.held, state.failed) = (Some(held), None);
                Ok(credentials)
            }
            Err(why) => {
                state.failed = Some((now + PAUSE, why.clone()));
                Err(why)
            }
        }
    }

    /// By itself, so that the lock is let go before anything is done about it.
    fn look(&self, now: SystemTime) -> Look {
        self.state().look(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(&self, now: SystemTime) -> Look {
        let failed = self.failed.as_ref().filter(|(until, _)| now < *until);
        if let Some(Held { credentials, renew }) = &self.held
            && credentials.end.is_none_or(|end| now < end)
        {
            let is_ageing = renew.is_some_and(|renew| renew <= now) && failed.is_none();
            let credentials = credentials.clone();
            return if is_ageing { Look::Ageing(credentials) } else { Look::Good(credentials) };
        }
        failed.map_or(Look::Nothing, |(_, why)| Look::Failed(why.clone()))
    }
}

fn none(why: &str) -> Cause {
    Cause::new(Failure::Configuration, format!("no credentials: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const HOUR: Duration = Duration::from_secs(3600);

    fn state(renew: Option<SystemTime>, end: Option<SystemTime>) -> State {
        let credentials = Credentials { access: "KEY".into(), secret: "secret".into(), session: None, end };
        State { held: Some(Held { credentials, renew }), ..State::default() }
    }

    #[tokio::test]
    async fn whoever_sees_old_credentials_has_them_renewed_and_goes_on() {
        let secret = |text: &str| Secret::Value(text.to_owned());
        let source = Source::Keys { access: secret("NEW"), secret: secret("secret"), session: None };
        let keeper = Arc::new(Keeper::new(source));
        *keeper.state() = state(Some(UNIX_EPOCH), None);
        assert_eq!(keeper.credentials(UNIX_EPOCH).await.unwrap().access, "KEY");
        while keeper.state().is_renewing {
            tokio::task::yield_now().await;
        }
        assert_eq!(keeper.credentials(UNIX_EPOCH).await.unwrap().access, "NEW");
    }

    fn word(look: &Look) -> &'static str {
        match look {
            Look::Good(_) => "good",
            Look::Ageing(_) => "ageing",
            Look::Failed(_) => "failed",
            Look::Nothing => "nothing",
        }
    }

    #[test]
    fn old_credentials_are_used_while_new_ones_are_fetched() {
        let (start, end) = (UNIX_EPOCH + HOUR, UNIX_EPOCH + 2 * HOUR);
        let renew = renewal(start, end);
        assert_eq!(renew, end - BEFORE_THE_END);
        let mut state = state(Some(renew), Some(end));
        for (now, expected) in [(start, "good"), (renew, "ageing"), (end, "nothing")] {
            assert_eq!(word(&state.look(now)), expected);
        }
        state.failed = Some((renew + PAUSE, "down".into()));
        assert_eq!(word(&state.look(renew)), "good", "a failed renewal is not repeated at once");
        assert_eq!(word(&state.look(renew + PAUSE)), "ageing");
        state.failed = Some((end + PAUSE, "down".into()));
        assert_eq!(word(&state.look(end)), "failed");
        assert_eq!(word(&state.look(end + PAUSE)), "nothing");
    }

    #[test]
    fn a_refusal_has_credentials_renewed_but_not_every_one() {
        let source = Source::Keys {
            access: Secret::Value("A".into()),
            secret: Secret::Value("S".into()),
            session: None,
        };
        let keeper = Keeper::new(source);
        let renewed = |now| keeper.state().held = state(Some(now + HOUR), None).held;
        renewed(UNIX_EPOCH);
        keeper.distrust(UNIX_EPOCH);
        assert_eq!(word(&keeper.look(UNIX_EPOCH)), "ageing");
        renewed(UNIX_EPOCH);
        keeper.distrust(UNIX_EPOCH + PAUSE_OF_DISTRUST / 2);
        assert_eq!(word(&keeper.look(UNIX_EPOCH + PAUSE_OF_DISTRUST / 2)), "good");
        keeper.distrust(UNIX_EPOCH + PAUSE_OF_DISTRUST);
        assert_eq!(word(&keeper.look(UNIX_EPOCH + PAUSE_OF_DISTRUST)), "ageing");
    }

    #[test]
    fn short_lives_are_renewed_at_three_quarters() {
        let start = UNIX_EPOCH + HOUR;
        let end = start + Duration::from_secs(100);
        assert_eq!(renewal(start, end), start + Duration::from_secs(75));
        assert_eq!(renewal(end, start), end, "what is over is renewed now");
    }

    #[test]
    fn fixed_keys_are_never_looked_for_again() {
        assert_eq!(word(&state(None, None).look(UNIX_EPOCH + 1000 * HOUR)), "good");
    }

    fn find(bucket: &str, environment: &[(&str, &str)]) -> Result<Source, String> {
        let bucket: BucketSettings = toml::from_str(bucket).unwrap();
        let settings = OriginSettings::new("s3://media".parse().unwrap());
        let names = Names::new(&[], Duration::ZERO);
        let around = Around { origin: &Arc::from("bucket"), settings: &settings, names: &names, region: "r" };
        let environment = |name: &str| {
            environment.iter().find(|(there, _)| *there == name).map(|(_, value)| (*value).to_owned())
        };
        Source::find(&around, &bucket, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_come_before_the_environment_and_keys_before_all() {
        let aws =
            [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S"), ("OTHER", "B"), ("SECRET", "T")];
        let Ok(Source::Keys { access, session: None, .. }) = find("", &aws) else { panic!("keys") };
        assert_eq!(access.read().as_deref(), Ok("A"));
        let named = "access-key = { env = \"OTHER\" }\nsecret-key = { env = \"SECRET\" }";
        let Ok(Source::Keys { access, .. }) = find(named, &aws) else { panic!("keys") };
        assert_eq!(access.read().as_deref(), Ok("B"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let role = "web-identity = { role = \"r\", token = \"/nowhere\" }";
        for (settings, reason) in [
            ("", "no credentials"),
            ("access-key = { env = \"KEY\" }", "belong together"),
            ("access-key = { env = \"NOPE\" }\nsecret-key = { env = \"KEY\" }", "NOPE"),
            ("session-token = { env = \"KEY\" }", "belong together"),
            ("access-key = { file = \"/nowhere\" }\nsecret-key = { env = \"KEY\" }", "/nowhere"),
            ("credentials = { file = \"/nowhere\" }", "/nowhere"),
            (role, "/nowhere"),
            (&format!("{role}\ncredentials = {{ profile = \"edge\" }}"), "exclude each other"),
        ] {
            let error = find(settings, &[("KEY", "value")]).err().expect(settings);
            assert!(error.contains(reason), "{settings}: {error}");
        }
    }
}
