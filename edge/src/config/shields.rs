//! Shields that are more open than they were meant to be, and edges that prove nothing to theirs or wait too short for them.

use origin_shield::OriginSettings;

use super::shadows::Warning;
use super::site::SiteSettings;
use super::{Loaded, wording};

/// Every site of a shield that answers everybody, every shield that takes this node for a viewer, and every one that may be given up
/// just before it answers.
pub fn doubtful_shields(loaded: &Loaded) -> Vec<Warning> {
    let node = &loaded.config.node;
    let is_shield = node.edges.is_some() && !node.edges_only;
    let open = loaded.config.site.iter().filter(|(_, site)| is_shield && is_open(site));
    let open = open.filter_map(|(name, _)| {
        let message = format!(
            "[site.{}] answers everybody, and so without a signature what edges give only to who has one: set edges-only = true, \
             or sign the same routes here",
            wording::key(name)
        );
        warning(loaded, &["site", name], message)
    });
    let unproved = loaded.config.origin.iter().filter(|(_, origin)| proves_nothing(origin));
    let unproved = unproved.filter_map(|(name, _)| {
        let message = format!(
            "[origin.{}] proves nothing to its shields, who take this node for a viewer: set key, or tls.client-cert",
            wording::key(name)
        );
        warning(loaded, &["origin", name, "shield"], message)
    });
    let is_said = |name: &str| loaded.sources.sets(&["origin", name, "response-timeout"]);
    let asking = loaded.config.origin.iter().filter(|(_, origin)| !origin.shield.is_empty());
    let hasty = asking.filter(|(name, _)| !is_said(name)).filter_map(|(name, origin)| {
        let waits = origin.response_timeout;
        let message = format!(
            "[origin.{}] waits {waits:?} for its shields, as they do for their origins, and may give up just before they answer: \
             set response-timeout = \"35s\"",
            wording::key(name)
        );
        warning(loaded, &["origin", name, "shield"], message)
    });
    open.chain(unproved).chain(hasty).collect()
}

/// Whoever signs some routes here has thought of viewers.
fn is_open(site: &SiteSettings) -> bool {
    !site.edges_only && site.route.iter().all(|route| route.signed.is_none())
}

fn proves_nothing(origin: &OriginSettings) -> bool {
    let shows_certificate = origin.tls.as_ref().is_some_and(|tls| tls.client_cert.is_some());
    !origin.shield.is_empty() && origin.key.is_none() && !shows_certificate
}

fn warning(loaded: &Loaded, path: &[&str], message: String) -> Option<Warning> {
    let (file, place) = loaded.sources.place_of(path)?;
    Some(Warning { file: file.into(), line: place.line, column: place.column, message })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let loaded = Loaded::parse(text, "a.toml", Path::new(".")).unwrap();
        doubtful_shields(&loaded).iter().map(ToString::to_string).collect()
    }

    const SHIELD: &str = "[node]\nedges = { key = { env = \"K\" } }\n";
    const SITE: &str = "[site.localhost]\norigin = \"http://a\"\n";

    #[test]
    fn a_shield_that_answers_everybody_is_told() {
        let found = warnings(&format!("{SHIELD}{SITE}"));
        assert!(found.len() == 1 && found[0].starts_with("a.toml:3:"), "{found:?}");
        assert!(found[0].contains("[site.localhost] answers everybody"), "{found:?}");
        let keys = "[key.K]\npublic = { env = \"K\" }\n[key-group.k]\nkeys = [\"K\"]\n";
        let signed = "[[site.localhost.route]]\npath = \"/p/*\"\nsigned = \"k\"\n";
        for fine in [
            SITE.to_owned(),
            format!("{SHIELD}edges-only = true\n{SITE}"),
            format!("{SHIELD}{SITE}edges-only = true\n"),
            format!("{SHIELD}{SITE}{signed}{keys}"),
        ] {
            assert_eq!(warnings(&fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn an_edge_that_proves_nothing_is_told() {
        let found = warnings("[origin.s]\nshield = [\"https://a\"]\nresponse-timeout = \"35s\"\n");
        assert!(found.len() == 1 && found[0].starts_with("a.toml:2:"), "{found:?}");
        for proof in ["key = { env = \"K\" }", "tls = { client-cert = \"Cargo.toml\" }"] {
            let text = format!("[origin.s]\nshield = [\"https://a\"]\nresponse-timeout = \"35s\"\n{proof}\n");
            assert_eq!(warnings(&text), Vec::<String>::new(), "{proof}");
        }
    }

    #[test]
    fn an_edge_that_waits_no_longer_than_its_shields_is_told() {
        let found = warnings("[origin.s]\nshield = [\"https://a\"]\nkey = { env = \"K\" }\n");
        assert!(found.len() == 1 && found[0].contains("[origin.s] waits 30s"), "{found:?}");
        assert_eq!(warnings("[origin.s]\nurl = \"https://a\"\n"), Vec::<String>::new());
    }
}
