//! From files to one config: reads the main file and what it includes, and merges them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::document::{Document, Sources};
use super::error::{ConfigError, ConfigErrors};
use super::syntax::{self, Parsed};
use super::wording;
use super::{Config, Loaded};

/// No config file that a person or a program wrote on purpose is larger.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Includes beyond this are surely a pattern that matches too much.
const MAX_FILES: usize = 10_000;

/// Sections that are one thing, not a list of named things: they stand in one file.
const ONCE: [&str; 4] = ["node", "cache", "geo", "dns"];

/// The main file and everything that it includes, merged but not yet checked.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let mut main = read(path)?;
    let mut errors = ConfigErrors::default();
    let mut others = Vec::new();
    let (paths, refused) = included(path, &main);
    errors.extend(refused);
    for path in paths {
        match read(&path) {
            Ok(other) => others.push(other),
            Err(more) => errors.extend(more),
        }
    }
    let mut sources = Sources { documents: vec![main.document] };
    for other in others {
        errors.extend(merge(&mut main.settings, &sources, &other.document, other.settings));
        sources.documents.push(other.document);
    }
    // What they say is in here now.
    main.settings.include.clear();
    errors.extend(fill_sites(&mut main.settings, &sources));
    errors.or(Loaded { config: main.settings, sources })
}

/// One text that includes nothing.
pub(crate) fn single(text: &str, name: &str, base: &Path) -> Result<Loaded, ConfigErrors> {
    let mut parsed = syntax::parse(name, text)?;
    let mut errors = ConfigErrors::default();
    if !parsed.settings.include.is_empty() {
        let message = "there is no file here that could include others".to_owned();
        errors.push(parsed.document.error_at_key(&["include"], message));
    }
    parsed.settings.resolve_paths(base);
    let sources = Sources { documents: vec![parsed.document] };
    errors.extend(fill_sites(&mut parsed.settings, &sources));
    errors.or(Loaded { config: parsed.settings, sources })
}

/// Reads one file; its relative paths start at its folder.
fn read(path: &Path) -> Result<Parsed, ConfigErrors> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    let mut parsed = syntax::parse(&name, &text)?;
    parsed.settings.resolve_paths(folder_of(path));
    Ok(parsed)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn read_text(path: &Path, name: &str) -> Result<String, ConfigError> {
    let whole_file =
        |message: String, hint: Option<String>| ConfigError { file: name.into(), place: None, message, hint };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                whole_file("there is no such file".into(), Some(how_to_start(name)))
            }
            _ => whole_file(format!("cannot be read: {error}"), None),
        })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(whole_file(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        ConfigError {
            place: Some(super::document::place(&before, valid)),
            ..whole_file("not UTF-8 from here on".into(), Some("save the file as UTF-8".into()))
        }
    })
}

fn how_to_start(name: &str) -> String {
    format!(
        "without a file:    selvedge proxy --from :8080 --to http://127.0.0.1:9000\n\
         the smallest file: [site.\"localhost\"]\n\
         \x20                  origin = \"http://127.0.0.1:9000\"\n\
         another file:      selvedge run --config {}",
        if name == "selvedge.toml" { "PATH" } else { "selvedge.toml" }
    )
}

/// The files that the main file includes, each once, in the order of the patterns and of their names.
fn included(main_path: &Path, main: &Parsed) -> (Vec<PathBuf>, ConfigErrors) {
    let mut errors = ConfigErrors::default();
    let mut paths: Vec<PathBuf> = Vec::new();
    let sources = Sources { documents: vec![main.document.clone()] };
    for (index, pattern) in main.settings.include.iter().enumerate() {
        let index = index.to_string();
        let mut refuse = |message| errors.push(sources.error_at(&["include", &index], message));
        match matching(folder_of(main_path), pattern) {
            Ok(found) if found.is_empty() && !pattern.contains(['*', '?', '[']) => {
                refuse(format!("there is no file `{pattern}`"));
            }
            Ok(found) => paths.extend(found),
            Err(cause) => refuse(format!("`{pattern}`: {cause}")),
        }
    }
    if paths.len() > MAX_FILES {
        let message = format!("{} files are included; at most {MAX_FILES} can be", paths.len());
        errors.push(sources.error_at(&["include"], message));
        paths.clear();
    }
    let mut seen = std::collections::BTreeSet::from([identity(main_path)]);
    paths.retain(|path| seen.insert(identity(path)));
    (paths, errors)
}

/// A file is the same however its path is written.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    // The folder is a path, not a pattern.
    let folder = glob::Pattern::escape(&folder.to_string_lossy());
    let pattern =
        if Path::new(pattern).is_absolute() { pattern.to_owned() } else { format!("{folder}/{pattern}") };
    let found = glob::glob(&pattern).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for path in found.take(MAX_FILES + 1) {
        let path = path.map_err(|error| error.to_string())?;
        if path.is_file() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Adds what one included file says. Names are unique across files, and some sections stand in one file only.
fn merge(config: &mut Config, sources: &Sources, document: &Document, other: Config) -> ConfigErrors {
    let mut errors = ConfigErrors::default();
    if !other.include.is_empty() {
        let message = "only the main file includes others".to_owned();
        errors.push(document.error_at_key(&["include"], message));
    }
    for section in ONCE {
        if document.names(&[]).contains(&section)
            && let Some((file, place)) = sources.place_of(&[section])
        {
            let message = format!("[{section}] already stands in {file}:{}", place.line);
            errors.push(document.error_at_key(&[section], message));
        }
    }
    if document.names(&[]).contains(&"node") {
        config.node = other.node;
    }
    config.geo = config.geo.take().or(other.geo);
    config.dns = config.dns.take().or(other.dns);
    let mut adding = Adding { sources, document, errors: &mut errors };
    adding.add("origin", &mut config.origin, other.origin);
    adding.add("origin-group", &mut config.origin_group, other.origin_group);
    adding.add("cache-policy", &mut config.cache_policy, other.cache_policy);
    adding.add("key", &mut config.key, other.key);
    adding.add("key-group", &mut config.key_group, other.key_group);
    adding.add("hook", &mut config.hook, other.hook);
    adding.add("site", &mut config.site, other.site);
    errors
}

struct Adding<'a> {
    sources: &'a Sources,
    document: &'a Document,
    errors: &'a mut ConfigErrors,
}

impl Adding<'_> {
    fn add<T>(&mut self, section: &str, all: &mut BTreeMap<String, T>, more: BTreeMap<String, T>) {
        for (name, value) in more {
            if self.errors.is_full() {
                return;
            }
            if let Some((file, place)) =
                self.sources.place_of(&[section, &name]).filter(|_| all.contains_key(&name))
            {
                let named = wording::dotted(&[section.into(), name.clone()]);
                let message = format!("[{named}] already stands in {file}:{}", place.line);
                self.errors.push(self.document.error_at_key(&[section, &name], message));
                continue;
            }
            all.insert(name, value);
        }
    }
}

/// The defaults that depend on other settings: a site that names no hosts answers its own name, and its hosts decide
/// about its certificate.
fn fill_sites(config: &mut Config, sources: &Sources) -> ConfigErrors {
    let mut errors = ConfigErrors::default();
    for (name, site) in &mut config.site {
        match name.parse() {
            _ if !site.hosts.is_empty() => {}
            Ok(host) => site.hosts.push(host),
            Err(error) => errors.push(ConfigError {
                hint: Some("say which hosts the site answers: hosts = [\"www.example.com\"]".into()),
                ..sources.error_at(&["site", name], format!("the site names no hosts, and {error}"))
            }),
        }
        site.tls = Some(site.tls_or_default());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "origin = \"http://127.0.0.1:9000\"\n";

    /// A folder of its own with these files; it goes when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn with(test: &str, files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("selvedge-{test}-{}", std::process::id()));
            for (name, text) in files {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Folder(folder)
        }

        fn load(&self) -> Result<Loaded, String> {
            load(&self.0.join("main.toml")).map_err(|errors| errors.to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn included_files_add_their_names_and_paths_start_at_each_file() {
        let folder = Folder::with(
            "include",
            &[
                ("main.toml", "include = [\"sites/*.toml\", \"sites/a.toml\"]\n"),
                (
                    "sites/a.toml",
                    &format!("[site.a]\n{SITE}[hook.h]\nwasm = \"h.wasm\"\non = \"origin-response\"\n"),
                ),
                ("sites/b.toml", &format!("[node]\nname = \"b\"\n[site.b]\n{SITE}")),
            ],
        );
        let loaded = folder.load().unwrap();
        assert_eq!(loaded.config.site.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(loaded.config.node.name, "b");
        assert_eq!(loaded.config.node.state, folder.0.join("sites/.selvedge"));
        assert_eq!(loaded.config.hook["h"].wasm, hooks::WasmSource::File(folder.0.join("sites/h.wasm")));
        let (file, place) = loaded.sources.place_of(&["site", "b", "origin"]).unwrap();
        assert!(file.ends_with("sites/b.toml") && place.line == 4, "{file} {place:?}");
    }

    #[test]
    fn a_name_stands_in_one_file_only() {
        let folder = Folder::with(
            "twice",
            &[
                ("main.toml", &format!("include = [\"b.toml\"]\n[node]\n[site.a]\n{SITE}")),
                ("b.toml", &format!("[node]\n[site.a]\n{SITE}")),
            ],
        );
        let message = folder.load().unwrap_err();
        assert!(message.contains("b.toml:1:2: [node] already stands in "), "{message}");
        assert!(
            message.contains("b.toml:2:7: [site.a] already stands in ") && message.contains("main.toml:3"),
            "{message}"
        );
    }

    #[test]
    fn what_cannot_be_included_is_said_at_the_pattern() {
        let folder = Folder::with(
            "absent",
            &[("main.toml", "include = [\n \"absent.toml\",\n \"none/*.toml\",\n \"a***\"]\n")],
        );
        let message = folder.load().unwrap_err();
        assert!(message.contains("main.toml:2:2: there is no file `absent.toml`"), "{message}");
        assert!(message.contains("main.toml:4:2: `a***`"), "{message}");
        assert!(!message.contains("none/"), "{message}");
    }

    #[test]
    fn only_the_main_file_includes() {
        let folder = Folder::with(
            "nested",
            &[("main.toml", "include = [\"b.toml\"]\n"), ("b.toml", "include = [\"main.toml\"]\n")],
        );
        let message = folder.load().unwrap_err();
        assert!(message.contains("b.toml:1:1: only the main file includes others"), "{message}");
    }

    #[test]
    fn an_absent_file_tells_how_to_start() {
        let folder = Folder::with("start", &[]);
        let message = folder.load().unwrap_err();
        assert!(message.contains("main.toml: there is no such file"), "{message}");
        assert!(message.contains("selvedge proxy --from :8080"), "{message}");
    }

    #[test]
    fn what_is_not_text_is_refused_at_its_place() {
        let folder = Folder::with("utf8", &[("main.toml", "")]);
        std::fs::write(folder.0.join("main.toml"), b"[node]\nname = \"\xff\"\n").unwrap();
        let message = folder.load().unwrap_err();
        assert!(message.contains("main.toml:2:9: not UTF-8"), "{message}");
        assert!(load(&folder.0).is_err());
    }

    #[test]
    fn a_site_answers_its_own_name_unless_it_cannot() {
        let loaded = single(&format!("[site.localhost]\n{SITE}"), "a.toml", Path::new(".")).unwrap();
        let site = &loaded.config.site["localhost"];
        assert_eq!(
            (site.hosts[0].to_string().as_str(), &site.tls),
            ("localhost", &Some(certs::SiteTls::Local))
        );
        let errors = single(&format!("[site.\"my site\"]\n{SITE}"), "a.toml", Path::new(".")).unwrap_err();
        assert!(errors.to_string().starts_with("a.toml:1:7: the site names no hosts"), "{errors}");
    }
}
