//! Different spellings of the same request become one, so that they share one stored answer.
//!
//! - Parameters that only count clicks go: config `drop = "utm_*, gclid"` replaces the usual list.
//! - The others are sorted by name.
//! - `Accept-Language` becomes the one language of config `languages = "en, ko, de"` that the viewer likes best, the
//!   first when none is; without that config it stays. Give the policy `key = { headers = ["accept-language"] }`.

use selvedge_hook::prelude::*;

hook!(viewer-request: normalise);

const COUNTERS: &str = "utm_*, gclid, dclid, fbclid, msclkid, mc_cid, mc_eid, _ga, _gl";

fn normalise(request: &Request) -> Result {
    let drop = config::get("drop").unwrap_or_else(|| COUNTERS.to_owned());
    request.edit_query(|query| {
        query.retain(|name| !drop.split(',').any(|pattern| matches(pattern.trim(), name)));
        query.sort();
    })?;
    let offered = config::list("languages");
    if let Some(first) = offered.first() {
        let wished = request.header("accept-language").unwrap_or_default();
        request.set_header("accept-language", best(&wished, &offered).unwrap_or(first))?;
    }
    Ok(())
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// The offered language with the highest weight, the first of several (RFC 9110 section 12.5.4).
fn best<'a>(wished: &str, offered: &'a [String]) -> Option<&'a String> {
    let weighed = wished.split(',').filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let primary = parts.next()?.split('-').next()?;
        let weight = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('=')).unwrap_or("1");
        let language = offered.iter().find(|language| language.eq_ignore_ascii_case(primary))?;
        Some((weight.parse::<f32>().ok().filter(|weight| *weight > 0.0)?, language))
    });
    weighed.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins_and_zero_is_a_no() {
        let offered = ["en", "ko"].map(str::to_owned);
        assert_eq!(best("ko;q=0.5, en-GB;q=0.8", &offered).unwrap(), "en");
        assert_eq!(best("KO, en", &offered).unwrap(), "ko");
        assert_eq!(best("ko; q=0.5, en ;Q=0.8", &offered).unwrap(), "en");
        assert_eq!(best("en;q=0, fr", &offered), None);
        assert_eq!(best(";;q=x,", &offered), None);
    }
}
