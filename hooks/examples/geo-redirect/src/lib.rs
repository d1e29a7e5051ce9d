//! Sends viewers to the site of their country.
//!
//! Config: `KR = "https://kr.example.com"`, a base address for each country, and `"*"` for all others, if they shall move at
//! all. Path and query come along. Who has the cookie `stay` stays: set it where people choose a country by hand.

use selvedge_hook::prelude::*;

hook!(viewer-request: to_country);

fn to_country(request: &Request) -> Result<Option<Response>> {
    // A form that is being sent must not be lost on the way, and a choice is a choice.
    if !matches!(request.method().as_str(), "GET" | "HEAD") || request.cookie("stay").is_some() {
        return Ok(None);
    }
    let country = facts::viewer_country().unwrap_or_else(|| "*".to_owned());
    let Some(base) = config::get(&country).or_else(|| config::get("*")) else { return Ok(None) };
    // Whoever is there already would go in circles.
    if base.split("://").nth(1) == Some(request.authority().as_str()) {
        return Ok(None);
    }
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    let response = Response::redirect(302, &format!("{base}{}{query}", request.path()))?;
    // Somebody else may stand behind the same browser or proxy tomorrow, in another country.
    response.set_header("cache-control", "private, no-store")?;
    Ok(Some(response))
}
