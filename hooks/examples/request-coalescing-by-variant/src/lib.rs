//! A thousand kinds of browsers become four variants, so that their misses wait for one fetch instead of making a thousand.
//!
//! An origin that says `Vary: User-Agent, Accept` gets one request for each browser there is, although its answers differ by
//! little: is it a phone, can it show AVIF. This hook finds that out, makes it a part of the cache key, tells the origin
//! in `x-variant` (`phone-avif`, `desktop-plain`, …), and takes out of `Vary` what the variant stands for.

use selvedge_hook::prelude::*;

hook!(
    viewer-request: classify,
    origin-request: ask_for_the_variant,
    origin-response: vary_by_the_variant,
    viewer-response: vary_again,
);

/// What the variant is made of.
const STANDS_FOR: [&str; 3] = ["accept", "sec-ch-ua-mobile", "user-agent"];

fn classify(request: &Request) -> Result {
    let says = |name: &str, what: &str| request.header(name).is_some_and(|value| value.contains(what));
    let device =
        if says("sec-ch-ua-mobile", "?1") || says("user-agent", "Mobi") { "phone" } else { "desktop" };
    let format = if says("accept", "image/avif") { "avif" } else { "plain" };
    request.add_key_part("variant", &format!("{device}-{format}"))?;
    Ok(())
}

fn ask_for_the_variant(request: &Request) -> Result {
    let Some(variant) = request.key_part("variant") else { return Ok(()) };
    // One asks for all viewers of the variant: what is only its own must not shape the answer.
    for name in STANDS_FOR {
        request.remove_header(name)?;
    }
    request.set_header("x-variant", variant)?;
    Ok(())
}

fn vary_by_the_variant(_: &Request, response: &Response) -> Result {
    let fields = response.header_values("vary").join(",").to_ascii_lowercase();
    let names = fields.split(',').map(str::trim);
    let rest: Vec<&str> = names.filter(|name| !name.is_empty() && !STANDS_FOR.contains(name)).collect();
    match rest.is_empty() {
        true => response.remove_header("vary")?,
        false => response.set_header("vary", rest.join(", "))?,
    }
    Ok(())
}

/// Caches between this node and the viewer know nothing of variants.
fn vary_again(_: &Request, response: &Response) -> Result {
    response.append_header("vary", STANDS_FOR.join(", "))?;
    Ok(())
}
