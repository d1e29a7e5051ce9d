//! `selvedge explain`: what a running node would do with a request, and why.

use super::remote::{self, Call};
use super::{Exit, talk};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::IpAddr;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The URL exactly as the viewer asks for it
    url: String,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field of the request, such as 'Accept-Language: de'
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// A Cookie field of the request
    #[arg(long, value_name = "FIELD")]
    cookie: Vec<String>,
    /// The viewer's address
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Arguments { url, method, header, cookie, ip, remote } = arguments;
    let mut pairs = vec![("url", url.clone()), ("method", method.clone())];
    pairs.extend(ip.map(|ip| ("ip", ip.to_string())));
    pairs.extend(header.iter().map(|field| ("header", field.clone())));
    pairs.extend(cookie.iter().flat_map(|field| field.lines()).map(|field| ("cookie", field.to_owned())));
    if pairs.iter().any(|(_, value)| value.contains(['\r', '\n'])) {
        talk("error: a line break is part of no request");
        return Exit::Usage;
    }
    let query: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let path = format!("/explain?{}", query.join("&"));
    remote::call(&Call { method: "GET", path: &path, body: None }, remote, words)
}

/// Everything but letters, digits and what never needs an escape (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            false => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Line by line, in the order in which a request passes them.
fn words(told: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let refused = |refused: &Value| {
        format!("{} {}: {}", refused["status"], text(&refused["reason"]), text(&refused["story"]))
    };
    if told["found"] != true {
        return format!("refused   {}", refused(&told["refused"]));
    }
    let at = |value: &Value| value["at"].as_str().map(|at| format!(" ({at})")).unwrap_or_default();
    let mut lines = vec![
        ("site", format!("{}{}", text(&told["site"]["name"]), at(&told["site"]))),
        ("route", format!("{}{}", text(&told["route"]["path"]), at(&told["route"]))),
    ];
    lines.push((
        "let in",
        match told["let_in"] == true {
            true => "by its method and place".to_owned(),
            false => refused(&told["refused"]),
        },
    ));
    if let Some(words) = told["signature"]["words"].as_str() {
        lines.push(("signed", format!("for the key group {}", text(&told["signature"]["group"]))));
        lines.extend(words.lines().map(|line| ("", line.to_owned())));
    }
    let hooks = told["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(hooks.iter().map(|hook| {
        let on: Vec<String> = hook["on"].as_array().into_iter().flatten().map(text).collect();
        let canary = if hook["canary"] == true { ", a canary" } else { "" };
        (
            "hook",
            format!(
                "{} at {}, version {}{canary}",
                text(&hook["name"]),
                on.join(", "),
                text(&hook["version"])
            ),
        )
    }));
    lines.extend(cache(&told["cache"]));
    let members = told["origin"]["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members: Vec<String> = members
        .iter()
        .map(|member| format!("{} {}", text(&member["origin"]), text(&member["state"])))
        .collect();
    lines.push(("origin", format!("{}: {}", text(&told["origin"]["name"]), members.join(", "))));
    lines.iter().map(|(name, line)| format!("{name:<9} {line}\n")).collect()
}

fn cache(cache: &Value) -> Vec<(&'static str, String)> {
    let policy = cache["policy"].as_str().unwrap_or("-");
    let Some(key) = cache["key"].as_object() else {
        return vec![("cache", format!("{policy}: nothing is stored here"))];
    };
    let part = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or("-");
    let fields = |name: &str| {
        let names = key.get(name).and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        if names.is_empty() { String::new() } else { format!(", by the {name} {}", names.join(", ")) }
    };
    let looked_up = if cache["looked_up"] == true { "" } else { "; this method is not looked up" };
    let mut lines = vec![
        ("cache", format!("{policy}{looked_up}")),
        (
            "key",
            format!(
                "{}://{}{} of site {} from {}{}{}",
                part("scheme"),
                part("authority"),
                part("path"),
                part("site"),
                part("origin"),
                fields("headers"),
                fields("cookies"),
            ),
        ),
    ];
    let stored = &cache["stored"];
    lines.push((
        "stored",
        match stored.is_null() {
            true => "nothing in memory".to_owned(),
            false => format!(
                "{}, {} bytes, {} s old of {} s: {}",
                stored["status"],
                stored["bytes"],
                stored["age"],
                stored["lifetime"],
                stored["why"].as_str().unwrap_or_default(),
            ),
        },
    ));
    if let Some(is_there) = cache["on_disk"].as_bool() {
        let words = if is_there { "something under this key" } else { "nothing" };
        lines.push(("on disk", words.to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_goes_as_one_query() {
        assert_eq!(encoded("https://a/b?c=%20&d"), "https%3A%2F%2Fa%2Fb%3Fc%3D%2520%26d");
    }

    #[test]
    fn people_get_a_line_for_each_step() {
        let told = json!({
            "found": true, "site": { "name": "www", "at": "a.toml:3" }, "route": { "path": "/*", "at": null },
            "let_in": true, "signature": null, "hooks": [{ "name": "h", "on": ["viewer-request"], "version": "v1", "canary": false }],
            "cache": { "policy": "origin", "looked_up": true,
                "key": { "scheme": "http", "authority": "a", "path": "/b", "site": "www", "origin": "app", "headers": ["x"], "cookies": [] },
                "stored": { "status": 200, "bytes": 5, "age": 3, "lifetime": 60, "why": "fresh" }, "on_disk": false },
            "origin": { "name": "app", "members": [{ "origin": "app", "state": "trusted" }] },
        });
        let said = words(&told);
        for line in [
            "site      www (a.toml:3)",
            "route     /*",
            "hook      h at viewer-request, version v1",
            "key       http://a/b of site www from app, by the headers x",
            "stored    200, 5 bytes, 3 s old of 60 s: fresh",
            "on disk   nothing",
            "origin    app: app trusted",
        ] {
            assert!(said.lines().any(|said| said == line), "{line} is not in:\n{said}");
        }
        let refused = words(
            &json!({ "found": false, "refused": { "status": 421, "reason": "unknown-host", "story": "x" } }),
        );
        assert_eq!(refused, "refused   421 unknown-host: x");
    }
}
