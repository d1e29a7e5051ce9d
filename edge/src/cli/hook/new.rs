//! `selvedge hook new`: a folder to begin with, complete and tested.

use super::super::{Exit, data, talk};
use super::language::Language;
use hooks::Event;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

mod embedded {
    //! What `edge/build.rs` has packed.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

type Files = &'static [(&'static str, &'static [u8])];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The hook's name, and that of its folder: letters, digits and hyphens
    #[arg(value_parser = name)]
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// An event that it answers; may be repeated (not in C)
    #[arg(long = "event", value_name = "EVENT", value_parser = event, default_value = "viewer-request")]
    events: Vec<Event>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Arguments { name, lang, events } = arguments;
    if *lang == Language::C && events.len() > 1 {
        talk("error: bindings for C are made for one event; make a hook for each");
        return Exit::Usage;
    }
    let folder = PathBuf::from(name);
    if let Err(error) = write(&folder, arguments) {
        talk(&format!("error: {}: {error}", folder.display()));
        return Exit::Failed;
    }
    let listed = events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(", ");
    talk(&format!("{name}: a hook in {} at {listed}; {} is the program", lang.name(), lang.source()));
    data(&format!("cd {name}\nselvedge hook build\nselvedge hook test"));
    Exit::Ok
}

fn name(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.len() <= 64;
    match is_name {
        true => Ok(text.to_owned()),
        false => {
            Err("a name has lower-case letters, digits and hyphens, and begins with a letter".to_owned())
        }
    }
}

fn event(text: &str) -> Result<Event, String> {
    let known = Event::ALL.into_iter().find(|event| event.as_str() == text);
    known.ok_or_else(|| format!("the events are {}", Event::ALL.map(Event::as_str).join(", ")))
}

/// Writes a new folder; one that is there already is left alone.
fn write(folder: &Path, arguments: &Arguments) -> io::Result<()> {
    std::fs::create_dir(folder)?;
    for (place, files) in parts(arguments.lang, &arguments.events) {
        for (name, contents) in files {
            // Cargo would take it for a package of ours.
            let name = if *name == "gitignore" { ".gitignore" } else { name };
            let path = folder.join(place).join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            let contents = match is_template(place) {
                true => filled(&String::from_utf8_lossy(contents), arguments).into_bytes(),
                false => contents.to_vec(),
            };
            std::fs::File::create_new(path)?.write_all(&contents)?;
        }
    }
    if matches!(arguments.lang, Language::Js | Language::Python) {
        // The world of a hook belongs beside the package that it is made of.
        std::fs::rename(folder.join("hook.wit"), folder.join("wit/hook.wit"))?;
    } else {
        std::fs::remove_file(folder.join("hook.wit"))?;
    }
    Ok(())
}

fn is_template(place: &str) -> bool {
    place.is_empty()
}

/// Which files go where in the folder; those at its top are templates.
fn parts(language: Language, events: &[Event]) -> Vec<(&'static str, Files)> {
    use embedded::{ANY, C, JS, PYTHON, RUST, SDK, WIT};
    let own = match language {
        Language::Rust => vec![("", RUST), ("sdk", SDK), ("sdk/wit", WIT)],
        Language::Js => vec![("", JS), ("wit/deps/selvedge-edge", WIT)],
        Language::Python => vec![("", PYTHON), ("wit/deps/selvedge-edge", WIT)],
        Language::C => {
            let bindings = events.first().map_or(&[] as Files, |event| match event {
                Event::ViewerRequest => embedded::VIEWER_REQUEST,
                Event::OriginRequest => embedded::ORIGIN_REQUEST,
                Event::OriginResponse => embedded::ORIGIN_RESPONSE,
                Event::ViewerResponse => embedded::VIEWER_RESPONSE,
            });
            vec![("", C), ("wit", WIT), ("bindings", bindings)]
        }
    };
    [vec![("", ANY)], own].concat()
}

/// A template with its names filled in and the parts for other events left out. A part begins with a line that ends in
/// `> EVENT` and ends with one that ends in `<`, behind the language's sign for a comment.
fn filled(template: &str, arguments: &Arguments) -> String {
    let mut text = String::new();
    let mut is_wanted = true;
    for line in template.lines() {
        let mark = line.trim().trim_start_matches(['/', '#']);
        match (mark.strip_prefix("> "), line.trim().starts_with(['/', '#'])) {
            (Some(event), true) => is_wanted = arguments.events.iter().any(|wanted| wanted.as_str() == event),
            (None, true) if mark == "<" => is_wanted = true,
            _ if is_wanted => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    let quoted: Vec<_> = arguments.events.iter().map(|event| format!("\"{event}\"")).collect();
    text.replace("HOOK_NAME", &arguments.name)
        .replace("HOOK_EVENTS", &quoted.join(", "))
        .replace("HOOK_LANGUAGE", arguments.lang.name())
        .replace("HOOK_SOURCE", arguments.lang.source())
        .replace("HOOK_CONTRACT", arguments.lang.contract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(lang: Language, events: &[Event]) -> Arguments {
        Arguments { name: "greet".into(), lang, events: events.to_vec() }
    }

    #[test]
    fn only_the_parts_of_wanted_events_are_written() {
        let template =
            "a HOOK_NAME\n//> viewer-request\nb\n//<\n    #> origin-request\nc\n    #<\n> d\n[HOOK_EVENTS]\n";
        let wanted = arguments(Language::Rust, &[Event::OriginRequest]);
        assert_eq!(filled(template, &wanted), "a greet\nc\n> d\n[\"origin-request\"]\n");
    }

    #[test]
    fn every_language_has_all_that_its_tools_need_and_no_mark_is_left() {
        for (language, expected) in [
            (
                Language::Rust,
                vec!["Cargo.toml", "src/lib.rs", "sdk/Cargo.toml", "sdk/src/lib.rs", "sdk/wit/world.wit"],
            ),
            (
                Language::Js,
                vec!["package.json", "hook.js", "wit/hook.wit", "wit/deps/selvedge-edge/types.wit"],
            ),
            (Language::Python, vec!["requirements.txt", "app.py", "wit/hook.wit"]),
            (Language::C, vec!["main.c", "bindings/hook.h", "bindings/hook_component_type.o"]),
        ] {
            let folder = std::env::temp_dir().join(format!("selvedge-new-{:016x}", fastrand::u64(..)));
            write(&folder, &arguments(language, &[Event::ViewerRequest])).unwrap();
            for file in
                [expected, vec!["README.md", "hook.test.toml", "selvedge.toml", ".gitignore"]].concat()
            {
                let text = std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                let text = String::from_utf8_lossy(&text);
                assert!(
                    !text.contains("HOOK_NAME") && !text.contains("> viewer-request\n"),
                    "{file}:\n{text}"
                );
            }
            let again = write(&folder, &arguments(language, &[Event::ViewerRequest])).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn names_are_good_for_folders_packages_and_configs() {
        for good in ["greet", "a-b-2"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "Greet", "2a", "../a", "a b", "a_b", "a.b"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
