//! What there is to try, as links and commands: printed when the demo starts, and shown on its page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use signing::{PrivateKey, SigningError};

use crate::process::{self, Ready};

/// The key's id in `assets/demo.toml`.
const KEY_ID: &str = "KDEMO";
const REPORT: &str = "/private/report.html";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Who mints the links of the demo.
pub(super) struct Signer {
    key: PrivateKey,
}

/// Three links to the same page, one of which opens it.
pub(super) struct Links {
    valid: String,
    expired: String,
    tampered: String,
}

impl Signer {
    pub(super) fn new(key: PrivateKey) -> Self {
        Self { key }
    }

    pub(super) fn public_pem(&self) -> Result<String, SigningError> {
        Ok(self.key.public_key()?.to_pem())
    }

    pub(super) fn private_pem(&self) -> Result<String, SigningError> {
        Ok(self.key.to_pem()?.to_string())
    }

    /// Links below `base` (scheme, host and port): good for an hour, over since an hour, and good but for its expiry, which
    /// was put off after signing.
    pub(super) fn links(&self, base: &str, now: SystemTime) -> Result<Links, SigningError> {
        let sign = |expires| signing::sign_canned(&format!("{base}{REPORT}"), expires, KEY_ID, &self.key);
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let valid = sign(now + HOUR)?;
        let (from, to) = (seconds(now + HOUR), seconds(now + 2 * HOUR));
        Ok(Links {
            expired: sign(now - HOUR)?,
            tampered: valid.replace(&format!("Expires={from}"), &format!("Expires={to}")),
            valid,
        })
    }
}

impl Links {
    pub(super) fn to_json(&self) -> Value {
        json!({ "valid": self.valid, "expired": self.expired, "tampered": self.tampered })
    }
}

/// Where everything is.
pub(super) struct Guide {
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    root: PathBuf,
    folder: PathBuf,
}

/// One thing to try.
struct Step {
    name: &'static str,
    /// What to look for.
    hint: &'static str,
    /// Commands for a shell.
    lines: Vec<String>,
}

impl Guide {
    pub(super) fn new(ready: &Ready, folder: &Path) -> Self {
        let listening = |scheme: &str| {
            ready.listening.iter().find_map(|listener| listener.strip_prefix(scheme)?.parse().ok())
        };
        Self {
            https: listening("https://"),
            http: listening("http://"),
            dns: ready.dns.first().copied(),
            admin: ready.admin,
            root: ready.root.clone().unwrap_or_default(),
            folder: folder.to_owned(),
        }
    }

    /// The page's URL.
    fn base(&self) -> String {
        format!("https://localhost:{}", self.https.map_or(443, |address| address.port()))
    }

    /// For the terminal: comments and commands, so that any of it can be pasted.
    pub(super) fn text(&self, signer: &Signer) -> String {
        let plain = self.http.map_or(80, |address| address.port());
        let mut text = format!(
            "# Selvedge demo: a node with two origins, all on this machine. Ctrl-C ends it and removes its files.\n\
             #\n\
             #   {}/    your browser will warn: the authority is the demo's own (--cacert below)\n\
             #   http://localhost:{plain}/     the same without TLS\n",
            self.base(),
        );
        if let Some(admin) = self.admin {
            text.push_str(&format!(
                "#   http://{admin}/status  what the node says of itself; /metrics too\n"
            ));
        }
        text.push_str(&format!("#   {}  its config\n", self.folder.join("demo.toml").display()));
        for step in self.steps(signer) {
            text.push_str(&format!("\n# {}: {}\n{}\n", step.name, step.hint, step.lines.join("\n")));
        }
        text
    }

    /// For the page: the commands of each step by the step's name.
    pub(super) fn to_json(&self, signer: &Signer) -> Value {
        let steps = self.steps(signer).into_iter();
        Value::Object(steps.map(|step| (step.name.to_lowercase(), json!(step.lines))).collect())
    }

    fn steps(&self, signer: &Signer) -> Vec<Step> {
        let base = self.base();
        let curl = format!("curl -sS --cacert {}", quoted(&self.root.display().to_string()));
        let get =
            |options: &str, path: &str| format!("{curl} {options} {}", quoted(&format!("{base}{path}")));
        let size = "-o /dev/null -w '%{size_download} bytes\\n'";
        let forwarded =
            |from: &str| format!("-o /dev/null -w '%{{http_code}}\\n' -H 'X-Forwarded-For: {from}'");
        vec![
            Step {
                name: "Cache",
                hint: "the first is a miss, the second a hit that the origin never sees",
                lines: vec![get("-i", "/distant/greeting"), get("-i", "/distant/greeting")],
            },
            Step {
                name: "Gzip",
                hint: "the same script, plain and compressed",
                lines: vec![
                    get(size, "/script.js"),
                    get(&format!("{size} -H 'Accept-Encoding: gzip'"), "/script.js"),
                ],
            },
            Step {
                name: "Thumbnails",
                hint: "a WebAssembly hook makes them on the fly from the original; each size is kept",
                lines: vec![
                    get("-o cat.jpg", "/img/cat.jpg"),
                    get("-o cat-128.jpg", "/img/cat.jpg?w=128&h=128"),
                    get("-o harbour-320.jpg", "/img/harbour.jpg?w=320&h=240"),
                ],
            },
            self.signed(signer, &curl),
            Step {
                name: "Failover",
                hint: "kill the primary origin, and the secondary answers; revived, the primary is back within 3 seconds",
                lines: vec![
                    get("", "/clock"),
                    get("-X POST", "/demo/origin/primary/kill"),
                    get("", "/clock"),
                    get("-X POST", "/demo/origin/primary/revive"),
                    get("", "/clock"),
                ],
            },
            Step {
                name: "Countries",
                hint: "a page that is not shown in China; the header says where the viewer is, because loopback is trusted",
                lines: vec![
                    get(&forwarded("198.51.100.7"), "/country/page.html"),
                    get(&forwarded("192.0.2.7"), "/country/page.html"),
                ],
            },
            self.steering(),
        ]
    }

    fn signed(&self, signer: &Signer, curl: &str) -> Step {
        let base = self.base();
        let status = "-o /dev/null -w '%{http_code}\\n'";
        let mut lines = vec![format!("{curl} {status} {}", quoted(&format!("{base}{REPORT}")))];
        if let Ok(links) = signer.links(&base, process::now()) {
            let line = |url: &str| format!("{curl} {status} {}", quoted(url));
            lines.extend([&links.valid, &links.expired, &links.tampered].map(|url| line(url)));
        }
        let key = quoted(&self.folder.join("keys/private.pem").display().to_string());
        // Whoever runs this from a checkout has no `selvedge` on the path.
        let program = std::env::current_exe().unwrap_or_else(|_| "selvedge".into());
        let program = quoted(&program.display().to_string());
        lines.push(format!("{program} sign {base}{REPORT} --key {KEY_ID} --private {key} --expires 5m"));
        Step {
            name: "Signed",
            hint: "unsigned 403; signed for an hour 200; expired 403; tampered with 403; and how to sign another",
            lines,
        }
    }

    fn steering(&self) -> Step {
        let server = self.dns.map(|dns| format!("@{} -p {}", dns.ip(), dns.port())).unwrap_or_default();
        let dig = |subnet: &str| format!("dig {server} cdn.demo.test +subnet={subnet} +short");
        Step {
            name: "DNS",
            hint: "viewers in China go to another CDN, those in Korea to Seoul, all others to Frankfurt",
            lines: vec![dig("198.51.100.0/24"), dig("192.0.2.0/24"), dig("203.0.113.0/24")],
        }
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> Guide {
        let ready = Ready {
            listening: vec!["https://127.0.0.1:4430".into(), "http://127.0.0.1:8000".into()],
            dns: vec!["127.0.0.1:5300".parse().unwrap()],
            admin: None,
            root: Some("/tmp/a folder/root.pem".into()),
        };
        Guide::new(&ready, Path::new("/tmp/a folder"))
    }

    fn signer() -> Signer {
        Signer::new(PrivateKey::generate_rsa().unwrap())
    }

    #[test]
    fn every_line_is_a_comment_or_a_command() {
        let text = guide().text(&signer());
        for line in text.lines().filter(|line| !line.is_empty()) {
            let is_known = ["#", "curl ", "dig "].iter().any(|start| line.starts_with(start));
            assert!(is_known || line.contains(" sign https://localhost:4430/"), "{line}");
        }
        assert!(text.contains("--cacert '/tmp/a folder/root.pem' "), "{text}");
        assert!(text.contains("dig @127.0.0.1 -p 5300 cdn.demo.test +subnet=198.51.100.0/24"), "{text}");
        assert!(text.contains("'https://localhost:4430/img/cat.jpg?w=128&h=128'"), "{text}");
    }

    #[test]
    fn of_the_three_links_one_is_good() {
        let signer = signer();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let keys = vec![(KEY_ID.to_owned(), signer.key.public_key().unwrap().into())];
        let keys = signing::KeyGroup::new(keys, &[signing::SchemeName::Cloudfront]);
        let judge = |url: &str| {
            let path_and_query = url.strip_prefix("https://localhost").unwrap();
            let presented = signing::Presented::url("https", "localhost", path_and_query);
            match keys.verify(&presented, now) {
                signing::Verdict::Granted(_) => "granted",
                signing::Verdict::Refused(reason) => reason.token(),
            }
        };
        let links = signer.links("https://localhost", now).unwrap();
        assert_eq!(judge(&links.valid), "granted");
        assert_eq!(judge(&links.expired), "signature-expired");
        assert_eq!(judge(&links.tampered), "signature-mismatch");
    }
}
