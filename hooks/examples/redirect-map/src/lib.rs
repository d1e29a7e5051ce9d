//! Sends viewers from old addresses to new ones.
//!
//! The config is the map: `"/old" = "/new"`, `"/blog/*" = "https://blog.example.com/*"`, where `*` stands for the rest of
//! the path, without the slashes that it may begin with. An exact path goes before a pattern, a longer pattern before a
//! shorter one. The query comes along, unless the new address has one. `status = "302"` says that it is not for good.

use selvedge_hook::prelude::*;

hook!(viewer-request: redirect);

fn redirect(request: &Request) -> Result<Option<Response>> {
    let path = request.path();
    let Some(mut target) = config::get(&path).or_else(|| by_pattern(&path)) else { return Ok(None) };
    if let (Some(query), false) = (request.query(), target.contains('?')) {
        target = format!("{target}?{query}");
    }
    let status = config::parse("status")?.unwrap_or(308);
    Ok(Some(Response::redirect(status, &target)?))
}

/// Asks for `/a/b/*`, then `/a/*`, then `/*`: no more questions than the path has segments.
fn by_pattern(path: &str) -> Option<String> {
    let ends = path.rmatch_indices('/').map(|(place, _)| place + 1);
    ends.filter(|end| *end < path.len()).find_map(|end| {
        let (folder, rest) = path.split_at(end);
        let target = config::get(&format!("{folder}*"))?;
        // Behind a slash of the target, one more would make the rest a host: `//elsewhere.example` (RFC 3986 section 4.2).
        // Browsers read a backslash as a slash.
        Some(target.replacen('*', rest.trim_start_matches(['/', '\\']), 1))
    })
}
