//! What the viewer asks for: a size and options in the query, within what the hook's config allows.

use std::str::FromStr;

use picture::{Fit, Format, Gravity, Operations};

/// The longest edge that is made when the config lists no sizes, and with `dpr` at all.
const MAX_EDGE: u32 = 2048;
/// Parts of the query that are the hook's where the config's `options` names them; `w`, `h` and `preset` always are.
const OPTIONS: [&str; 5] = ["fit", "gravity", "fm", "q", "dpr"];

/// What is to be made of an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) fit: Fit,
    pub(crate) gravity: Gravity,
    pub(crate) form: Form,
    pub(crate) quality: u8,
    /// Pixels of the picture for one of the page, in tenths.
    tenths: u32,
}

/// The encoded form that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Exactly(Format),
    /// JPEG stays JPEG; whatever else is PNG.
    Auto,
    /// As `Auto`, for a viewer that reads WebP: whatever else is WebP.
    AutoWebP,
}

/// What the config allows.
#[derive(Debug)]
pub(crate) struct Rules {
    sizes: Option<String>,
    widths: Option<String>,
    presets: Vec<(String, String)>,
    options: Vec<String>,
    form: Form,
    quality: u8,
}

impl Rules {
    /// From the hook's `config` table.
    ///
    /// # Errors
    /// The setting that cannot be read, for the operator.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let words = |text: String| -> Vec<String> {
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        let options = get("options").map(words).unwrap_or_default();
        if let Some(unknown) = options.iter().find(|option| !OPTIONS.contains(&option.as_str())) {
            return Err(format!("config.options names {unknown}; there are {}", OPTIONS.join(", ")));
        }
        let presets = get("presets").unwrap_or_default();
        let preset = |text: &str| {
            let (name, query) =
                text.split_once(':').ok_or("config.presets: write name: w=320&h=240; other: …")?;
            Ok((name.trim().to_owned(), query.trim().to_owned()))
        };
        let presets = presets.split(';').filter(|text| !text.trim().is_empty()).map(preset);
        let form = match get("format") {
            Some(name) => form(&name).map_err(|message| format!("config.format: {message}"))?,
            None => Form::Exactly(Format::Jpeg),
        };
        let quality = match get("quality") {
            Some(text) => quality(&text).map_err(|message| format!("config.quality: {message}"))?,
            None => Operations::QUALITY,
        };
        let presets = presets.collect::<Result<_, &str>>()?;
        Ok(Self { sizes: get("sizes"), widths: get("widths"), presets, options, form, quality })
    }

    /// What a query asks for, if it asks for anything.
    ///
    /// # Errors
    /// What is wrong with it, for the viewer.
    pub(crate) fn asked(&self, query: &str) -> Result<Option<Asked>, String> {
        self.require_once(query)?;
        if let Some(name) = value(query, "preset").filter(|_| !self.presets.is_empty()) {
            let Some((_, preset)) = self.presets.iter().find(|(known, _)| known == name) else {
                let names: Vec<&str> = self.presets.iter().map(|(name, _)| name.as_str()).collect();
                return Err(format!("{name} is no preset here; there are {}", names.join(", ")));
            };
            if let Some(other) = self.mine(query).find(|name| *name != "preset") {
                return Err(format!("{other} does not go with a preset"));
            }
            return self.with(preset, |_| true).map(Some);
        }
        let asked = self.with(query, |option| self.options.iter().any(|heard| heard == option))?;
        if asked.width.is_none() && asked.height.is_none() {
            return Ok(None);
        }
        self.require_offered(asked.width, asked.height)?;
        Ok(Some(asked))
    }

    /// Each name that is the hook's stands in a query once: the cache's key has whatever stands there, and one picture
    /// must not have a key for each way to ask for it.
    fn require_once(&self, query: &str) -> Result<(), String> {
        let twice = self.mine(query).enumerate().find(|(place, name)| {
            self.mine(query).position(|other| other == *name).is_some_and(|first| first < *place)
        });
        twice.map_or(Ok(()), |(_, name)| Err(format!("{name} is there twice")))
    }

    /// The names in a query that are the hook's.
    fn mine<'a>(&self, query: &'a str) -> impl Iterator<Item = &'a str> {
        query.split('&').map(|pair| split(pair).0).filter(|name| self.is_mine(name))
    }

    fn is_mine(&self, name: &str) -> bool {
        matches!(name, "w" | "h")
            || (name == "preset" && !self.presets.is_empty())
            || self.options.iter().any(|option| option == name)
    }

    fn with(&self, query: &str, is_heard: impl Fn(&str) -> bool) -> Result<Asked, String> {
        let option = |name: &str| value(query, name).filter(|_| is_heard(name));
        let asked = Asked {
            width: edge(query, "w")?,
            height: edge(query, "h")?,
            fit: option("fit").map_or(Ok(Fit::Cover), fit)?,
            gravity: option("gravity").map_or(Ok(Gravity::Centre), gravity)?,
            form: option("fm").map_or(Ok(self.form), form)?,
            quality: option("q").map_or(Ok(self.quality), quality)?,
            tenths: option("dpr").map_or(Ok(10), tenths)?,
        };
        let longest = asked.pixels(asked.width).max(asked.pixels(asked.height)).unwrap_or(0);
        if longest > MAX_EDGE.max(self.longest_listed()) {
            return Err(format!("{asked} is too large; no edge may be longer than {MAX_EDGE}"));
        }
        Ok(asked)
    }

    fn require_offered(&self, width: Option<u32>, height: Option<u32>) -> Result<(), String> {
        let is_listed = |list: &Option<String>, name: &str| {
            list.as_deref().is_some_and(|list| list.split(',').any(|entry| entry.trim() == name))
        };
        let name = match (width, height) {
            (Some(width), Some(height)) => format!("{width}x{height}"),
            (Some(edge), None) | (None, Some(edge)) => edge.to_string(),
            (None, None) => return Ok(()),
        };
        let list = if width.is_some() && height.is_some() { &self.sizes } else { &self.widths };
        if (self.sizes.is_none() && self.widths.is_none()) || is_listed(list, &name) {
            return Ok(());
        }
        let offered: Vec<&str> =
            [&self.sizes, &self.widths].into_iter().flatten().map(String::as_str).collect();
        Err(format!("{name} is not offered here; the sizes are {}", offered.join(", ")))
    }

    /// The operator may list larger edges than are made without a list.
    fn longest_listed(&self) -> u32 {
        let lists = [&self.sizes, &self.widths].into_iter().flatten();
        let edges = lists.flat_map(|list| list.split([',', 'x'])).filter_map(|edge| edge.trim().parse().ok());
        edges.max().unwrap_or(0)
    }

    /// The query without what is the hook's, for the origin.
    pub(crate) fn without(&self, query: &str) -> Option<String> {
        let kept: Vec<&str> = query.split('&').filter(|pair| !self.is_mine(split(pair).0)).collect();
        (!kept.is_empty()).then(|| kept.join("&"))
    }

    /// The query of a viewer that reads WebP, where that makes a difference: the form becomes a part of the query, and so of
    /// the cache's key.
    pub(crate) fn for_webp(&self, query: &str) -> Option<String> {
        let asked = self.asked(query).ok()??;
        let is_free = self.options.iter().any(|option| option == "fm") && value(query, "preset").is_none();
        if asked.form != Form::Auto || !is_free {
            return None;
        }
        let rest = query.split('&').filter(|pair| split(pair).0 != "fm").collect::<Vec<_>>().join("&");
        Some(format!("{rest}&fm=auto-webp"))
    }
}

impl Asked {
    /// As the picture's own operations, of an original of this media type.
    pub(crate) fn operations(&self, original: &str) -> Operations {
        let is_jpeg = original.trim_start().to_ascii_lowercase().starts_with("image/jp");
        Operations {
            width: self.pixels(self.width),
            height: self.pixels(self.height),
            fit: self.fit,
            gravity: self.gravity,
            format: match self.form {
                Form::Exactly(format) => format,
                Form::Auto | Form::AutoWebP if is_jpeg => Format::Jpeg,
                Form::Auto => Format::Png,
                Form::AutoWebP => Format::WebP,
            },
            quality: self.quality,
            ..Operations::default()
        }
    }

    /// Whether another viewer may get another form of the same URL.
    pub(crate) fn follows_viewer(&self) -> bool {
        matches!(self.form, Form::Auto | Form::AutoWebP)
    }

    fn pixels(&self, edge: Option<u32>) -> Option<u32> {
        edge.map(|edge| edge.saturating_mul(self.tenths) / 10)
    }
}

/// All that a picture depends on beside its original, in a few letters: `128x128`, `320x-inside-webp`, `64x64-q50-2.0x`.
impl std::fmt::Display for Asked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let edge = |edge: Option<u32>| edge.map(|edge| edge.to_string()).unwrap_or_default();
        write!(formatter, "{}x{}", edge(self.width), edge(self.height))?;
        if self.fit != Fit::Cover {
            write!(formatter, "-{}", format!("{:?}", self.fit).to_ascii_lowercase())?;
        }
        if self.gravity != Gravity::Centre {
            write!(formatter, "-{}", format!("{:?}", self.gravity).to_ascii_lowercase())?;
        }
        match self.form {
            Form::Exactly(Format::Jpeg) => {}
            Form::Exactly(format) => write!(formatter, "-{}", format!("{format:?}").to_ascii_lowercase())?,
            Form::Auto => write!(formatter, "-auto")?,
            Form::AutoWebP => write!(formatter, "-autowebp")?,
        }
        if self.quality != Operations::QUALITY {
            write!(formatter, "-q{}", self.quality)?;
        }
        if self.tenths != 10 {
            write!(formatter, "-{}.{}x", self.tenths / 10, self.tenths % 10)?;
        }
        Ok(())
    }
}

/// Whether a viewer says that it reads WebP (RFC 9110 section 12.5.1); browsers name it where they do.
pub(crate) fn reads_webp(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let (kind, weight) = range.split_once(';').unwrap_or((range, ""));
        let is_refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        kind.trim().eq_ignore_ascii_case("image/webp") && !is_refused
    })
}

/// What the thumbnail is called where it is kept: a template with `{path}` and `{size}`, and `{site}` where several sites
/// share the hook. What is left of the query is part
/// of the path, for the original may depend on it. Escapes are part of the name, as they are of the URL: decoded, `%3F` in a
/// path would be the `?` before a query, and one viewer would get the thumbnail of what another one asked for.
pub(crate) fn kept_name(
    template: &str,
    site: &str,
    path: &str,
    rest: Option<&str>,
    asked: &Asked,
) -> Result<String, String> {
    if !(template.starts_with('/') && template.contains("{path}") && template.contains("{size}")) {
        return Err(format!("store-as is {template}; it must begin with / and hold {{path}} and {{size}}"));
    }
    let literal = |text: &str| text.replace('%', "%25").replace('?', "%3F");
    let path = match rest {
        Some(rest) => format!("{}%3F{}", literal(path), literal(rest)),
        None => literal(path),
    };
    let template = template.replace("{size}", &asked.to_string()).replace("{site}", &literal(site));
    Ok(template.replace("{path}", &path))
}

/// The entity tag of a thumbnail: weak, because another encoder may write other bytes (RFC 9110 section 8.8.1).
pub(crate) fn thumbnail_tag(original: &str, asked: &Asked) -> Option<String> {
    let opaque = original.trim().trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
    Some(format!("W/\"{opaque};{asked}\""))
}

/// The original's tag again, so that a stored thumbnail is revalidated by asking the origin for its original.
pub(crate) fn original_tag(thumbnail: &str, asked: &Asked) -> Option<String> {
    let opaque =
        thumbnail.trim().strip_prefix("W/\"")?.strip_suffix('"')?.strip_suffix(&format!(";{asked}"))?;
    Some(format!("W/\"{opaque}\""))
}

fn edge(query: &str, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = value(query, name) else { return Ok(None) };
    match number::<u32>(value) {
        Some(pixels) if pixels > 0 => Ok(Some(pixels)),
        _ => Err(format!("{name} must be a number of pixels, as in {name}=128")),
    }
}

/// A number that is written in the one way there is: neither `+64` nor `064`.
fn number<N: FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>().ok().filter(|number| number.to_string() == text)
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').map(split).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn fit(name: &str) -> Result<Fit, String> {
    Ok(match name {
        "cover" => Fit::Cover,
        "contain" => Fit::Contain,
        "fill" => Fit::Fill,
        "inside" => Fit::Inside,
        "outside" => Fit::Outside,
        _ => return Err("fit must be cover, contain, fill, inside or outside".to_owned()),
    })
}

fn gravity(name: &str) -> Result<Gravity, String> {
    Ok(match name {
        "centre" | "center" => Gravity::Centre,
        "north" => Gravity::North,
        "northeast" => Gravity::NorthEast,
        "east" => Gravity::East,
        "southeast" => Gravity::SouthEast,
        "south" => Gravity::South,
        "southwest" => Gravity::SouthWest,
        "west" => Gravity::West,
        "northwest" => Gravity::NorthWest,
        _ => return Err("gravity must be centre, north, northeast, east and so on".to_owned()),
    })
}

fn form(name: &str) -> Result<Form, String> {
    Ok(match name {
        "jpeg" | "jpg" => Form::Exactly(Format::Jpeg),
        "png" => Form::Exactly(Format::Png),
        "webp" => Form::Exactly(Format::WebP),
        "keep" => Form::Exactly(Format::Keep),
        "auto" => Form::Auto,
        "auto-webp" => Form::AutoWebP,
        _ => return Err("fm must be jpeg, png, webp, keep or auto".to_owned()),
    })
}

fn quality(text: &str) -> Result<u8, String> {
    let quality = number(text).filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| "q must be 1 to 100".to_owned())
}

fn tenths(text: &str) -> Result<u32, String> {
    Ok(match text {
        "1" => 10,
        "1.5" => 15,
        "2" => 20,
        "3" => 30,
        _ => return Err("dpr must be 1, 1.5, 2 or 3".to_owned()),
    })
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
