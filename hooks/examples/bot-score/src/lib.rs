//! How much a request looks like a program's, from 0 to 100, by its headers: `x-bot-score` for the origin.
//!
//! The origin gets it on routes without a cache policy; under one it gets what the key names, and the score only keeps out.
//!
//! Config: `refuse-from = "80"` turns away what reaches that score. A score is a guess and keeps nobody out who takes
//! pains; it takes the load of those who do not.

use selvedge_hook::prelude::*;

hook!(viewer-request: score);

/// What programs that do not hide call themselves.
const TOOLS: [&str; 12] = [
    "bot",
    "crawl",
    "curl",
    "go-http-client",
    "headless",
    "http-client",
    "java/",
    "libwww",
    "okhttp",
    "python",
    "scrapy",
    "wget",
];

fn score(request: &Request) -> Result<Option<Response>> {
    let agent = request.header("user-agent").unwrap_or_default().to_ascii_lowercase();
    let lacks = |name| request.header(name).is_none();
    let is_browser = agent.starts_with("mozilla/");
    let signs = [
        (50, agent.is_empty()),
        (60, TOOLS.iter().any(|tool| agent.contains(tool))),
        (20, lacks("accept")),
        (20, lacks("accept-language")),
        (20, lacks("accept-encoding")),
        // Every browser of these years says where a request comes from, when it goes to a secure site.
        (30, is_browser && request.scheme() == "https" && lacks("sec-fetch-mode")),
        // And none of them speaks this any more.
        (30, facts::http_version() == "HTTP/1.0"),
    ];
    let score: u32 = signs.iter().filter(|(_, holds)| *holds).map(|(weight, _)| weight).sum();
    let score = score.min(100);
    if config::parse("refuse-from")?.is_some_and(|limit: u32| score >= limit) {
        info!("score {score}: {agent}");
        let response = Response::text(403, "this site is for people\n")?;
        response.set_header("cache-control", "no-store")?;
        return Ok(Some(response));
    }
    // Also where nobody is refused: a viewer cannot choose the score.
    request.set_header("x-bot-score", score.to_string())?;
    Ok(None)
}
