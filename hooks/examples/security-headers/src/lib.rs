//! Every answer, from the cache or not and on error pages too, tells browsers to be careful.
//!
//! What the origin says itself stays. Config: `content-security-policy` and `strict-transport-security` replace the
//! defaults; an empty text leaves the header away.

use selvedge_hook::prelude::*;

hook!(viewer-response: harden);

const DEFAULTS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; object-src 'none'",
    ),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

fn harden(request: &Request, response: &Response) -> Result {
    for (name, default) in DEFAULTS {
        // RFC 6797 section 7.2: not over plain HTTP.
        let over_tls = name != "strict-transport-security" || request.scheme() == "https";
        let value = config::get(name).unwrap_or_else(|| default.to_owned());
        if over_tls && !value.is_empty() && response.header(name).is_none() {
            response.set_header(name, value)?;
        }
    }
    // What runs behind the edge is nobody's business.
    response.remove_header("server")?;
    response.remove_header("x-powered-by")?;
    Ok(())
}
