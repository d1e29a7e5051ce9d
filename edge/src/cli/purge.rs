//! `selvedge purge`: has a running node take out of its store what is named.

use super::remote::{self, Call};
use super::{Exit, talk};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub(super) struct Arguments {
    /// URLs as viewers ask for them: all their variants
    #[arg(value_name = "URL", group = "what", value_parser = whole_url)]
    url: Vec<String>,
    /// Everything whose URL begins so: `https://www.example.com/img/`, or without the scheme for both
    #[arg(long, value_name = "PREFIX", group = "what")]
    prefix: Vec<String>,
    /// Everything that the origin gave this tag
    #[arg(long, value_name = "TAG", group = "what")]
    tag: Vec<String>,
    /// Everything of this site
    #[arg(long, value_name = "SITE", group = "what")]
    site: Vec<String>,
    /// Remove it, rather than have it revalidated before it is used again
    #[arg(long)]
    hard: bool,
    /// Only count what would be purged
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let named = [
        ("url", &arguments.url),
        ("prefix", &arguments.prefix),
        ("tag", &arguments.tag),
        ("site", &arguments.site),
    ];
    let Some((what, texts)) = named.into_iter().find(|(_, texts)| !texts.is_empty()) else {
        talk("error: say what to purge: a URL, --prefix, --tag or --site");
        return Exit::Usage;
    };
    let body = json!({ what: texts, "hard": arguments.hard, "dry_run": arguments.dry_run });
    let call = Call { method: "POST", path: "/purge", body: Some(body) };
    remote::call(&call, &arguments.remote, receipt)
}

fn whole_url(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    match lower.starts_with("https://") || lower.starts_with("http://") {
        true => Ok(text.to_owned()),
        false => Err("write the whole URL, beginning with https:// or http://".to_owned()),
    }
}

fn receipt(answer: &Value) -> String {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let (objects, variants, bytes) = (count("matched"), count("variants"), count("bytes"));
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let (before, after) = match (answer["dry_run"] == true, answer["hard"] == true) {
        (true, _) => ("would purge", "nothing is changed"),
        (false, true) => ("purged", "gone"),
        (false, false) => ("purged", "stale from now on"),
    };
    format!(
        "{before} {objects} object{} ({variants} variant{}, {bytes} bytes): {after}",
        plural(objects),
        plural(variants),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_reads_as_a_sentence() {
        let answer = |hard, dry_run| {
            receipt(&json!({ "matched": 1, "variants": 2, "bytes": 3, "hard": hard, "dry_run": dry_run }))
        };
        assert_eq!(answer(false, false), "purged 1 object (2 variants, 3 bytes): stale from now on");
        assert_eq!(answer(true, false), "purged 1 object (2 variants, 3 bytes): gone");
        assert_eq!(answer(true, true), "would purge 1 object (2 variants, 3 bytes): nothing is changed");
    }
}
