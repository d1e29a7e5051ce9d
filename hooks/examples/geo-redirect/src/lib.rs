//! Sends viewers to the site of their country.
//!
//! Config: `KR = "https://kr.example.com"`, a base address for each country, and `"*"` for all others, if they shall move at
//! all. A base may have a path (`https://www.example.com/kr`), or be nothing else (`/kr`). Path and query come along. Who has
//! the cookie `stay` stays: set it where people choose a country by hand.

use selvedge_hook::prelude::*;

hook!(viewer-request: to_country);

fn to_country(request: &Request) -> Result<Option<Response>> {
    // A form that is being sent must not be lost on the way, and a choice is a choice.
    if !matches!(request.method().as_str(), "GET" | "HEAD") || request.cookie("stay").is_some() {
        return Ok(None);
    }
    let country = facts::viewer_country().unwrap_or_else(|| "*".to_owned());
    let Some(base) = config::get(&country).or_else(|| config::get("*")) else { return Ok(None) };
    let base = base.trim_end_matches('/');
    // Whoever is there already would go in circles.
    if is_below(base, &request.authority(), &request.path()) {
        return Ok(None);
    }
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    let response = Response::redirect(302, &format!("{base}{}{query}", request.path()))?;
    // Somebody else may stand behind the same browser or proxy tomorrow, in another country.
    response.set_header("cache-control", "private, no-store")?;
    Ok(Some(response))
}

/// Whether `base` leads there, or to a folder above it.
fn is_below(base: &str, authority: &str, path: &str) -> bool {
    let base = base.split_once("//").map_or(base, |(_, base)| base);
    let (host, folder) = base.split_at(base.find('/').unwrap_or(base.len()));
    let is_host = host.is_empty() || host.eq_ignore_ascii_case(authority);
    is_host && path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
