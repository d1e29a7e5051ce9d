//! `selvedge verify`: says which check a signed URL or cookie fails, what its policy says, and what is most likely the cause.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};
use signing::{Key, KeyGroup, Presented, PublicKey, SchemeName, SigningKey, Verdict};

use super::asked::{AskedUrl, Belonging, Moment};
use super::key::key_id;
use super::signer::{encryption, named_file, read};
use super::{DEFAULT_FILE, Exit, Form, data, load, talk};
use crate::config::Loaded;
use crate::node::keys;
use crate::process;
use crate::signed::Told;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as the viewer asked for it
    #[arg(value_parser = AskedUrl::parse)]
    url: AskedUrl,
    /// The config file that has the site, the route and its keys
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Without a config: the public key (a PEM file) or the secret (a file with its text)
    #[arg(long, visible_alias = "secret", value_name = "FILE", requires = "key")]
    public: Option<PathBuf>,
    /// Without a config: the id of that key
    #[arg(long, value_name = "ID", value_parser = key_id, requires = "public")]
    key: Option<String>,
    /// A Cookie field of the viewer's request, or what `sign --cookies` printed
    #[arg(long, value_name = "FIELD")]
    cookie: Vec<String>,
    /// The viewer's address, for what is bound to one
    #[arg(long, visible_alias = "address", value_name = "IP")]
    ip: Option<IpAddr>,
    /// When it was asked for: a date, seconds since 1970, or how far from now, such as -10m. Default: now
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    at: Option<Moment>,
    /// Without a config: the publishers whose JWTs are taken (iss)
    #[arg(long, value_name = "NAME", requires = "public")]
    issuer: Vec<String>,
    /// Without a config: what the node is called in JWTs (aud)
    #[arg(long, value_name = "NAME", requires = "public")]
    audience: Vec<String>,
    /// Without a config: a key that reads encrypted addresses in JWTs
    #[arg(long, value_name = "ID=FILE", requires = "public", value_parser = named_file)]
    decrypt_with: Vec<(String, PathBuf)>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// An answer, for people and for scripts.
struct Answer {
    exit: Exit,
    words: String,
    report: Value,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let now = process::now();
    let now = match arguments.at.map_or(Ok(now), |at| at.from(now)) {
        Ok(now) => now,
        Err(message) => {
            talk(&format!("error: --at: {message}"));
            return Exit::Usage;
        }
    };
    let fields: Vec<&str> = arguments.cookie.iter().flat_map(|cookie| fields(cookie)).collect();
    let presented = Presented { cookies: &fields, address: arguments.ip, ..arguments.url.presented() };
    let answer = match (&arguments.key, &arguments.public) {
        (Some(id), Some(file)) => by_key(arguments, id, file, &presented, now),
        _ => by_config(arguments, &presented, now),
    };
    match answer {
        Ok(answer) => {
            data(&if arguments.json { format!("{:#}", answer.report) } else { answer.words });
            answer.exit
        }
        Err(exit) => exit,
    }
}

/// The fields of what somebody pastes: each line is one, with or without its name.
fn fields(cookie: &str) -> impl Iterator<Item = &str> {
    cookie.lines().map(|line| match line.split_at_checked("cookie:".len()) {
        Some((name, field)) if name.eq_ignore_ascii_case("cookie:") => field.trim(),
        _ => line.trim(),
    })
}

/// By one key, wherever the URL belongs.
fn by_key(
    arguments: &Arguments,
    id: &str,
    file: &Path,
    presented: &Presented<'_>,
    now: SystemTime,
) -> Result<Answer, Exit> {
    let parsed =
        read(file).and_then(|text| parse_key(&text).map_err(|error| format!("{}: {error}", file.display())));
    let key = parsed.map_err(|message| failed(&message))?;
    let decryption: Result<Vec<_>, _> =
        arguments.decrypt_with.iter().map(|(id, file)| encryption(id, file)).collect();
    let group = KeyGroup::new(vec![(id.to_owned(), key)], &SchemeName::ALL)
        .between(arguments.issuer.clone(), arguments.audience.clone())
        .decrypting_with(decryption.map_err(|message| failed(&message))?);
    let told = Told::of(&group, &[], presented, now);
    Ok(Answer { exit: exit(&told), words: told.words(), report: told.report() })
}

fn parse_key(text: &str) -> Result<Key, signing::SigningError> {
    match text.contains("-----BEGIN ") {
        true => Ok(PublicKey::from_pem(text)?.into()),
        false => SigningKey::from_text(text)?.verifying(),
    }
}

/// By the keys that the config's route asks for, as a node with this config would.
fn by_config(arguments: &Arguments, presented: &Presented<'_>, now: SystemTime) -> Result<Answer, Exit> {
    if !arguments.config.exists() {
        talk(&format!(
            "error: there is no {}; name a config with --config, or give --key and --public",
            arguments.config.display()
        ));
        return Err(Exit::Usage);
    }
    let form = if arguments.json { Form::Json } else { Form::Text };
    let loaded = load(&arguments.config, form)?;
    let belonging = match arguments.url.belonging(&loaded) {
        Ok(belonging) => belonging,
        Err(message) => {
            let report = json!({ "ok": false, "check": message.split(':').next(), "reason": message });
            return Ok(Answer { exit: Exit::Failed, words: format!("refused: {message}"), report });
        }
    };
    let mut place = json!({
        "site": { "name": belonging.site, "at": belonging.site_line() },
        "route": { "path": belonging.route_path(), "at": belonging.route_line() },
        "group": belonging.group(),
    });
    let Some((name, settings)) =
        belonging.group().and_then(|name| loaded.config.key_group.get_key_value(name))
    else {
        return Ok(unsigned(&loaded, &belonging, presented, now, place));
    };
    let group = keys::group(&loaded.config, settings).map_err(|error| failed(&error.to_string()))?;
    let told = Told::of(&group, &keys::others(&loaded.config, settings), presented, now);
    let accept: Vec<&str> = settings.accept.iter().map(|scheme| scheme.token()).collect();
    let line = loaded.sources.line_of(&["key-group", name]).unwrap_or_default();
    let mut words = format!(
        "{}\n{}, key group {name} ({line}): keys {}; takes {}",
        told.words(),
        belonging.words(),
        settings.keys.join(", "),
        accept.join(", ")
    );
    merge(&mut place, told.report());
    if matches!(told.verdict, Verdict::Refused(_))
        && let Some(elsewhere) = other_group(&loaded, Some(name), presented, now)
    {
        words.push_str(&format!("\n{elsewhere}"));
        place["cause"] = "route".into();
        place["advice"] = elsewhere.into();
    }
    Ok(Answer { exit: exit(&told), words, report: place })
}

/// A route that asks for no signature: everybody is let in, whatever the URL says.
fn unsigned(
    loaded: &Loaded,
    belonging: &Belonging<'_>,
    presented: &Presented<'_>,
    now: SystemTime,
    mut place: Value,
) -> Answer {
    let elsewhere = other_group(loaded, None, presented, now);
    let mut words = format!("ok: nothing has to be signed here\n{}", belonging.words());
    if let Some(elsewhere) = &elsewhere {
        words.push_str(&format!("\n{elsewhere}; here the token goes to the origin as part of the URL"));
    }
    merge(&mut place, json!({ "ok": true, "signed": false, "advice": elsewhere }));
    Answer { exit: Exit::Ok, words, report: place }
}

/// Whether keys of another group would have let it in, and which routes those guard: the URL may be another than was meant.
fn other_group(
    loaded: &Loaded,
    here: Option<&str>,
    presented: &Presented<'_>,
    now: SystemTime,
) -> Option<String> {
    let others = loaded.config.key_group.iter().filter(|(name, _)| Some(name.as_str()) != here);
    let opens = |settings| {
        let group = keys::group(&loaded.config, settings).ok()?;
        matches!(group.verify(presented, now), Verdict::Granted(_)).then_some(())
    };
    let (name, _) = others.into_iter().find(|(_, settings)| opens(settings).is_some())?;
    let routes = match Belonging::guarded_by(loaded, name) {
        routes if routes.is_empty() => "no route".to_owned(),
        routes => routes.join(", "),
    };
    Some(format!("the key group {name} would let it in, and guards {routes}"))
}

fn merge(place: &mut Value, report: Value) {
    if let (Value::Object(place), Value::Object(report)) = (place, report) {
        place.extend(report);
    }
}

fn exit(told: &Told) -> Exit {
    match told.verdict {
        Verdict::Granted(_) => Exit::Ok,
        Verdict::Refused(_) => Exit::Failed,
    }
}

fn failed(message: &str) -> Exit {
    talk(&format!("error: {message}"));
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_taken_as_they_are_pasted() {
        let read = |text| fields(text).collect::<Vec<_>>();
        assert_eq!(read("a=1; b=2"), ["a=1; b=2"]);
        assert_eq!(read("Cookie: a=1"), ["a=1"]);
        assert_eq!(read("a=1\nb=2\n"), ["a=1", "b=2"]);
        assert_eq!(read("é"), ["é"]);
    }
}
