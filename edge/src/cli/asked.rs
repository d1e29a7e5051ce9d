//! A URL as viewers ask for it, and where it belongs in a config: for verbs that need no running node.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use humantime_serde::re::humantime::{parse_duration, parse_rfc3339_weak};
use signing::{Presented, SchemeName};

use crate::config::{Loaded, RouteSettings};
use crate::route::{Path, Sites};
use crate::visit::host_of;

/// A URL in the parts that a node sees.
#[derive(Debug, Clone)]
pub(super) struct AskedUrl {
    pub(super) scheme: &'static str,
    pub(super) authority: String,
    pub(super) path_and_query: String,
}

impl AskedUrl {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        // What follows a # stays with the viewer (RFC 3986 section 3.5).
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri =
            text.parse().map_err(|_| "this is no URL; a whole one is needed, with http:// or https://")?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err("a whole URL is needed, with http:// or https://"),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        // Taken from the text: what a signature is over is never normalised.
        match text.get(scheme.len() + "://".len() + authority.len()..) {
            Some(path) if path.starts_with('/') => {
                let authority = authority.to_ascii_lowercase();
                Ok(Self { scheme, authority, path_and_query: path.to_owned() })
            }
            _ => Err("the path is missing, at least '/'"),
        }
    }

    pub(super) fn presented(&self) -> Presented<'_> {
        let Self { scheme, authority, path_and_query } = self;
        Presented::url(scheme, authority, path_and_query)
    }

    /// The site and the route that would answer it, as a node finds them.
    pub(super) fn belonging<'a>(&self, loaded: &'a Loaded) -> Result<Belonging<'a>, String> {
        let mut sites = Sites::default();
        for (name, settings) in &loaded.config.site {
            let site = Arc::new(name.as_str());
            settings.hosts.iter().for_each(|host| sites.insert(&host.to_string(), &site));
        }
        let host = host_of(&self.authority);
        let site = sites.find(host).ok_or_else(|| {
            let known: Vec<&str> = loaded.config.site.keys().map(String::as_str).collect();
            format!("unknown-host: no site answers {host}; the config has {}", known.join(", "))
        })?;
        // A token may stand in the path, and is no part of it where one may.
        let settings = loaded.config.site.get(**site);
        let groups =
            settings.into_iter().flat_map(|site| &site.route).filter_map(|route| route.signed.as_ref());
        let mut groups = groups.filter_map(|name| loaded.config.key_group.get(name));
        let bare = match groups.any(|group| group.accept.contains(&SchemeName::UriSigning)) {
            true => signing::without_token(&self.path_and_query),
            false => Cow::Borrowed(&*self.path_and_query),
        };
        let path = Path::normalise(&bare).map_err(|fault| format!("bad-path: {fault}"))?;
        let routes = settings.map(|site| &*site.route).unwrap_or_default();
        let index = routes.iter().position(|route| path.is_meant_by(&route.path));
        Ok(Belonging { loaded, site, route: index.map(|index| (index, &routes[index])) })
    }
}

/// Where a URL belongs in a config.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belonging<'a> {
    loaded: &'a Loaded,
    pub(super) site: &'a str,
    /// `None` for the last route, which is implied.
    route: Option<(usize, &'a RouteSettings)>,
}

impl<'a> Belonging<'a> {
    /// The key group that must have signed it.
    pub(super) fn group(&self) -> Option<&'a str> {
        self.route?.1.signed.as_deref()
    }

    pub(super) fn route_path(&self) -> &'a str {
        self.route.map_or("/*", |(_, route)| route.path.as_str())
    }

    pub(super) fn site_line(&self) -> Option<String> {
        self.loaded.sources.line_of(&["site", self.site])
    }

    pub(super) fn route_line(&self) -> Option<String> {
        let (index, _) = self.route?;
        self.loaded.sources.line_of(&["site", self.site, "route", &index.to_string(), "path"])
    }

    /// The routes of this config that such a group guards, each with its line.
    pub(super) fn guarded_by(loaded: &Loaded, group: &str) -> Vec<String> {
        let sites = loaded.config.site.iter();
        let routes = sites
            .flat_map(|(site, settings)| settings.route.iter().enumerate().map(move |route| (site, route)));
        let guarded = routes.filter(|(_, (_, route))| route.signed.as_deref() == Some(group));
        let named = |(site, (index, route)): (&String, (usize, &RouteSettings))| {
            let line = loaded.sources.line_of(&["site", site, "route", &index.to_string(), "path"]);
            format!("`{}` of site {site} ({})", route.path, line.unwrap_or_default())
        };
        guarded.map(named).collect()
    }

    /// `site www (selvedge.toml:3), route /private/* (selvedge.toml:9)`.
    pub(super) fn words(&self) -> String {
        let at = |line: Option<String>| line.map(|line| format!(" ({line})")).unwrap_or_default();
        let implied = if self.route.is_none() { ", which every site has" } else { "" };
        format!(
            "site {}{}, route {}{}{implied}",
            self.site,
            at(self.site_line()),
            self.route_path(),
            at(self.route_line())
        )
    }
}

/// A moment as people write it: seconds since 1970, `2026-11-21T10:00:00Z`, `Sat, 21 Nov 2026 10:00:00 GMT`, or how far from now it
/// is: `10m`, `-1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(SystemTime),
    In(Duration),
    Ago(Duration),
}

impl Moment {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.trim();
        if let Ok(seconds) = rest.parse::<u64>() {
            let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            return moment.map(Self::At).ok_or("this lies beyond what a clock can say");
        }
        if let Some(ago) = rest.strip_prefix('-').and_then(|ago| parse_duration(ago).ok()) {
            return Ok(Self::Ago(ago));
        }
        if let Ok(span) = parse_duration(rest.strip_prefix('+').unwrap_or(rest)) {
            return Ok(Self::In(span));
        }
        let midnight = || parse_rfc3339_weak(&format!("{rest}T00:00:00Z")).ok();
        let date = parse_rfc3339_weak(rest).ok().or_else(midnight);
        let date = date.or_else(|| httpdate::parse_http_date(rest).ok());
        date.map(Self::At)
            .ok_or("write a span such as 1h, seconds since 1970, or a date such as 2026-11-21T10:00:00Z")
    }

    pub(super) fn from(self, now: SystemTime) -> Result<SystemTime, String> {
        let moment = match self {
            Self::At(moment) => Some(moment),
            Self::In(span) => now.checked_add(span),
            Self::Ago(span) => now.checked_sub(span),
        };
        moment.ok_or_else(|| "this lies beyond what a clock can say".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path as File;

    #[test]
    fn only_whole_urls_are_taken() {
        let url = AskedUrl::parse("https://Localhost:8443/private/film.html?quality=high#t=10").unwrap();
        assert_eq!(
            (&*url.authority, &*url.path_and_query),
            ("localhost:8443", "/private/film.html?quality=high")
        );
        for url in ["", "/a", "ftp://a/b", "https://a", "https://a?b=/c", "localhost/a"] {
            assert!(AskedUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_belongs_to_the_first_route_that_means_it() {
        let text = "[key.K]\npublic = { env = \"K\" }\n[key-group.k]\nkeys = [\"K\"]\n[site.\"a.test\"]\norigin = \"http://a\"\n\
                    [[site.\"a.test\".route]]\npath = \"/p/*\"\nsigned = \"k\"\n";
        let loaded = Loaded::parse(text, "a.toml", File::new(".")).unwrap();
        let belonging =
            |url: &str| AskedUrl::parse(url).unwrap().belonging(&loaded).map(|found| found.words());
        let signed = "site a.test (a.toml:5), route /p/* (a.toml:8)";
        for url in [
            "https://a.test/p/x",
            "http://A.test:80/%70/x?y",
            "https://a.test/q/../p/x",
            "https://a.test/p%2fx",
        ] {
            assert_eq!(belonging(url).as_deref(), Ok(signed), "{url}");
        }
        assert_eq!(
            belonging("https://a.test/x").as_deref(),
            Ok("site a.test (a.toml:5), route /*, which every site has")
        );
        assert!(belonging("https://b.test/x").unwrap_err().starts_with("unknown-host"));
        assert!(belonging("https://a.test/../x").unwrap_err().starts_with("bad-path"));
    }

    #[test]
    fn moments_are_written_in_many_ways() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let read = |text: &str| Moment::parse(text).unwrap().from(at(1_000_000)).unwrap();
        for (text, moment) in [
            ("1800000000", at(1_800_000_000)),
            ("10m", at(1_000_600)),
            ("+1h", at(1_003_600)),
            ("-1h", at(996_400)),
            ("2027-01-15T08:00:00Z", at(1_800_000_000)),
            ("2027-01-15 08:00:00", at(1_800_000_000)),
            ("2027-01-15", at(1_799_971_200)),
            ("Fri, 15 Jan 2027 08:00:00 GMT", at(1_800_000_000)),
        ] {
            assert_eq!(read(text), moment, "{text}");
        }
        for text in ["", "soon", "-", "1800000000000000000000"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
        assert!(Moment::Ago(Duration::MAX).from(at(1)).is_err());
    }
}
