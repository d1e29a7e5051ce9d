//! Shows some viewers one variant and some another, and each of them the same one again.
//!
//! Config: `variants = "a:80, b:20"`, names with weights. The variant is a part of the cache key, so each has its stored
//! answers; the origin finds it in `x-variant`. A cookie keeps it for the viewer.

use std::time::Duration;

use selvedge_hook::prelude::*;

hook!(viewer-request: choose, origin-request: tell_the_origin, viewer-response: remember);

const COOKIE: &str = "variant";

fn choose(request: &Request) -> Result {
    let variants = variants()?;
    let given = request.cookie(COOKIE).filter(|given| variants.iter().any(|(name, _)| name == given));
    let variant = match given {
        Some(given) => given,
        None => draw(&variants, random::below(variants.iter().map(|(_, weight)| weight).sum())),
    };
    request.add_key_part(COOKIE, &variant)?;
    Ok(())
}

fn tell_the_origin(request: &Request) -> Result {
    // A part of the key, not the cookie: what shapes a stored answer must be in its key.
    if let Some(variant) = request.key_part(COOKIE) {
        request.set_header("x-variant", variant)?;
    }
    Ok(())
}

fn remember(request: &Request, response: &Response) -> Result {
    // After the cache, so that the cookie is this viewer's alone.
    if let Some(variant) =
        request.key_part(COOKIE).filter(|variant| request.cookie(COOKIE).as_ref() != Some(variant))
    {
        response
            .add_cookie(&Cookie::new(COOKIE, variant).max_age(Duration::from_secs(30 * 86400)).http_only())?;
    }
    Ok(())
}

fn variants() -> Result<Vec<(String, u64)>> {
    let parse = |item: &String| {
        let (name, weight) =
            item.split_once(':').ok_or_else(|| format!("variants: {item} is not name:weight"))?;
        Ok((name.trim().to_owned(), weight.trim().parse()?))
    };
    config::list("variants").iter().map(parse).collect()
}

/// The variant in whose share a number lies, counted from the first.
fn draw(variants: &[(String, u64)], mut number: u64) -> String {
    for (name, weight) in variants {
        match number.checked_sub(*weight) {
            Some(rest) => number = rest,
            None => return name.clone(),
        }
    }
    String::new()
}
