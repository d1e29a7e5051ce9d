//! What the demo's origins have: pages, a style sheet, a script, and photographs that a program of ours renders
//! (`cargo run -p edge --example photographs`).

/// A file, as an origin serves it.
pub(super) struct Asset {
    pub(super) content_type: &'static str,
    pub(super) cache_control: &'static str,
    pub(super) bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SHORT: &str = "public, max-age=60";
const LONG: &str = "public, max-age=86400";

/// The file at a path.
pub(super) fn find(path: &str) -> Option<Asset> {
    let (content_type, cache_control, bytes): (_, _, &[u8]) = match path {
        "/" => (HTML, SHORT, include_bytes!("assets/index.html")),
        "/styles.css" => ("text/css; charset=utf-8", SHORT, include_bytes!("assets/styles.css")),
        "/script.js" => ("text/javascript; charset=utf-8", SHORT, include_bytes!("assets/script.js")),
        "/private/report.html" => (HTML, SHORT, include_bytes!("assets/report.html")),
        "/country/page.html" => (HTML, SHORT, include_bytes!("assets/country.html")),
        "/favicon.svg" => ("image/svg+xml", LONG, include_bytes!("assets/favicon.svg")),
        "/img/cat.jpg" => ("image/jpeg", LONG, include_bytes!("assets/cat.jpg")),
        "/img/harbour.jpg" => ("image/jpeg", LONG, include_bytes!("assets/harbour.jpg")),
        _ => return None,
    };
    Some(Asset { content_type, cache_control, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The local paths that a page asks for.
    fn references(page: &str) -> Vec<String> {
        let quoted = ["href=\"/", "src=\"/"].into_iter().flat_map(|opening| page.split(opening).skip(1));
        quoted.map(|rest| format!("/{}", rest.split(['"', '?', '#']).next().unwrap_or_default())).collect()
    }

    #[test]
    fn pages_refer_only_to_what_is_there() {
        for path in ["/", "/private/report.html", "/country/page.html"] {
            let page = String::from_utf8(find(path).unwrap().bytes.to_vec()).unwrap();
            let references = references(&page);
            assert!(references.contains(&"/styles.css".to_owned()), "{path}: {references:?}");
            // Made up on the spot by the origins.
            for reference in references.iter().filter(|path| *path != "/clock") {
                assert!(find(reference).is_some(), "{path} refers to {reference}");
            }
        }
    }

    #[test]
    fn the_script_is_large_enough_to_be_compressed() {
        assert!(find("/script.js").unwrap().bytes.len() > 1000);
    }
}
