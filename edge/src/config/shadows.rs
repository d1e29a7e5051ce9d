//! Routes that never apply, or not always, because an earlier one matches first.

use std::fmt;

use serde::Serialize;

use super::site::RouteSettings;
use super::{Loaded, Place};

/// Something that is allowed but hardly meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is likely wrong and what to do, in one line.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Warning { file, line, column, message } = self;
        write!(formatter, "{file}:{line}:{column}: warning: {message}")
    }
}

/// Every route that an earlier one of its site takes requests from against the likely intention: one that is never
/// reached, or a signed one whose paths are partly public.
pub fn shadowed_routes(loaded: &Loaded) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (site, settings) in &loaded.config.site {
        for (index, route) in settings.route.iter().enumerate() {
            let earlier = settings.route[..index].iter().enumerate();
            let shadow = earlier.filter_map(|(other, before)| Some((other, shadow(before, route)?)));
            // The worst of them: one that covers the whole route needs no mention of those that cover a part.
            let Some((other, shadow)) = shadow.max_by_key(|(_, shadow)| *shadow) else { continue };
            let place =
                |index: usize| loaded.sources.place_of(&["site", site, "route", &index.to_string(), "path"]);
            let (Some((file, at)), Some((_, before))) = (place(index), place(other)) else { continue };
            let message = message(shadow, &settings.route[other], route, before);
            warnings.push(Warning { file: file.into(), line: at.line, column: at.column, message });
        }
    }
    warnings
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shadow {
    /// Some paths of a signed route are answered by a public one.
    PartlyPublic,
    /// The route is never reached.
    Whole,
    /// The route is never reached, and its paths are public though it is signed.
    Public,
}

fn shadow(before: &RouteSettings, route: &RouteSettings) -> Option<Shadow> {
    let made_public = route.signed.is_some() && before.signed.is_none();
    let whole = before.path.covers(&route.path);
    match (whole, made_public) {
        (true, true) => Some(Shadow::Public),
        (true, false) => Some(Shadow::Whole),
        (false, true) => before.path.overlaps(&route.path).then_some(Shadow::PartlyPublic),
        (false, false) => None,
    }
}

fn message(shadow: Shadow, before: &RouteSettings, route: &RouteSettings, at: Place) -> String {
    let (path, first, line) = (&route.path, &before.path, at.line);
    match shadow {
        Shadow::Public => {
            format!(
                "`{path}` is signed but never reached: the public route `{first}` at line {line} matches first; move it below"
            )
        }
        Shadow::PartlyPublic => {
            format!(
                "`{path}` is signed, but the public route `{first}` at line {line} matches some of its paths first; move it below"
            )
        }
        Shadow::Whole => {
            format!("`{path}` is never reached: the route `{first}` at line {line} matches first")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The warnings for routes given as (path, signed), each on a line of its own from line 6 on.
    fn warnings(routes: &[(&str, bool)]) -> Vec<String> {
        let mut text = "[key.K]\npublic = { env = \"K\" }\n[key-group.k]\nkeys = [\"K\"]\n[site.localhost]\norigin = \"http://a\"\n".to_owned();
        text.push_str("route = [\n");
        for (path, signed) in routes {
            let signed = if *signed { ", signed = \"k\"" } else { "" };
            text.push_str(&format!("{{ path = \"{path}\"{signed} }},\n"));
        }
        text.push_str("]\n");
        let loaded = Loaded::parse(&text, "a.toml", Path::new(".")).unwrap();
        shadowed_routes(&loaded).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_public_route_before_a_signed_one_is_told_with_both_places() {
        let found = warnings(&[("/p/*", false), ("/p/secret/*", true)]);
        assert_eq!(
            found,
            [
                "a.toml:9:10: warning: `/p/secret/*` is signed but never reached: the public route `/p/*` at line 8 matches first; move it below"
            ]
        );
    }

    #[test]
    fn a_signed_route_that_is_partly_public_is_told() {
        let found = warnings(&[("*.jpg", false), ("/private/*", true)]);
        assert!(found.len() == 1 && found[0].contains("matches some of its paths first"), "{found:?}");
    }

    #[test]
    fn a_route_that_is_never_reached_is_told_once() {
        let found = warnings(&[("/a*", true), ("/*", false), ("/abc", false)]);
        assert!(found.len() == 1 && found[0].contains("`/abc` is never reached"), "{found:?}");
    }

    #[test]
    fn signed_before_public_is_right() {
        assert_eq!(warnings(&[("/private/*", true), ("/img/*", false), ("/*", false)]), Vec::<String>::new());
    }
}
