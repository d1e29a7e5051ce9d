use super::*;

fn rules(config: &[(&str, &str)]) -> Rules {
    Rules::read(|key| config.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
        .unwrap()
}

fn free() -> Rules {
    rules(&[("options", "fit, gravity, fm, q, dpr")])
}

fn small() -> Asked {
    free().asked("w=64&h=48").unwrap().unwrap()
}

#[test]
fn a_size_is_one_edge_or_both_and_no_size_is_neither() {
    let size = |query: &str| free().asked(query).map(|asked| asked.map(|asked| (asked.width, asked.height)));
    assert_eq!(size("w=64&h=48"), Ok(Some((Some(64), Some(48)))));
    assert_eq!(size("v=2&h=48&x&w=64"), Ok(Some((Some(64), Some(48)))));
    assert_eq!(size("w=64"), Ok(Some((Some(64), None))));
    assert_eq!(size("h=48"), Ok(Some((None, Some(48)))));
    assert_eq!(size(""), Ok(None));
    assert_eq!(size("width=3&fit=fill"), Ok(None));
    for query in ["w=0&h=4", "w=a&h=4", "w=-1&h=4", "w=&h=4", "w=99999999999&h=4", "w=4000&h=4000", "h=2049"]
    {
        assert!(size(query).is_err(), "{query}");
    }
}

#[test]
fn listed_sizes_exclude_all_others_and_the_message_says_which() {
    let listed = rules(&[("sizes", "64x48, 320x240")]);
    assert!(listed.asked("w=64&h=48").is_ok() && listed.asked("w=320&h=240").is_ok());
    let message = listed.asked("w=65&h=48").unwrap_err();
    assert!(message.contains("65x48") && message.contains("320x240"), "{message}");
    assert!(listed.asked("w=64").is_err(), "one edge alone is another size");
    let widths = rules(&[("widths", "320,4000")]);
    assert!(widths.asked("w=320").is_ok() && widths.asked("h=320").is_ok() && widths.asked("w=4000").is_ok());
    assert!(widths.asked("w=321").is_err() && widths.asked("w=320&h=320").is_err());
}

#[test]
fn an_option_is_heard_only_where_the_config_names_it() {
    let query = "w=64&h=48&fit=inside&gravity=north&fm=webp&q=50&dpr=2";
    assert_eq!(rules(&[]).asked(query).unwrap().unwrap(), small());
    let asked = free().asked(query).unwrap().unwrap();
    assert_eq!((asked.fit, asked.gravity, asked.quality), (Fit::Inside, Gravity::North, 50));
    assert_eq!(asked.form, Form::Exactly(Format::WebP));
    assert_eq!(asked.operations("image/jpeg").width, Some(128));
    assert_eq!(asked.to_string(), "64x48-inside-north-webp-q50-2.0x");
    for wrong in ["fit=big", "gravity=up", "fm=gif", "q=0", "q=101", "dpr=9"] {
        assert!(free().asked(&format!("w=64&h=48&{wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_preset_is_a_query_by_name() {
    let rules = rules(&[("presets", "card: w=320&h=240&fit=contain; hero: w=1600"), ("sizes", "1x1")]);
    let card = rules.asked("preset=card&v=1").unwrap().unwrap();
    assert_eq!(card.to_string(), "320x240-contain");
    assert_eq!(rules.asked("preset=hero").unwrap().unwrap().to_string(), "1600x");
    assert!(rules.asked("preset=card&w=9").unwrap_err().contains("w does not go with a preset"));
    assert!(rules.asked("preset=none").unwrap_err().contains("card, hero"));
    assert_eq!(rules.without("preset=card&v=1"), Some("v=1".to_owned()));
}

#[test]
fn a_picture_is_asked_for_in_one_way() {
    for query in ["w=064&h=48", "w=+64&h=48", "w=64&h=48&w=64", "w=64&h=48&fm=png&fm=png", "w=64&h=48&q=082"]
    {
        assert!(free().asked(query).is_err(), "{query}");
    }
    for query in ["fit=64", "q=064", "dpr=2.0"] {
        assert!(free().asked(query).is_err(), "{query} is in the key without a size, too");
    }
    let rules = rules(&[]);
    assert!(rules.asked("w=64&q=x&q=y").unwrap().is_some(), "what is not heard is the origin's");
}

#[test]
fn a_config_that_cannot_be_meant_is_said() {
    for (key, value) in [("options", "fit,size"), ("presets", "card"), ("format", "gif"), ("quality", "200")]
    {
        let read = Rules::read(|name| (name == key).then(|| value.to_owned()));
        assert!(read.unwrap_err().contains(key), "{key}");
    }
}

#[test]
fn a_viewer_that_reads_webp_asks_for_it_in_the_query() {
    let auto = rules(&[("options", "fm"), ("format", "auto")]);
    assert_eq!(auto.for_webp("w=64&h=48").as_deref(), Some("w=64&h=48&fm=auto-webp"));
    assert_eq!(auto.for_webp("fm=auto&w=64&h=48&v=1").as_deref(), Some("w=64&h=48&v=1&fm=auto-webp"));
    assert_eq!(auto.for_webp("w=64&h=48&fm=png"), None);
    assert_eq!(auto.for_webp("v=1"), None);
    assert_eq!(rules(&[]).for_webp("w=64&h=48"), None);
    let webp = auto.asked("w=64&h=48&fm=auto-webp").unwrap().unwrap();
    assert!(webp.follows_viewer(), "another viewer gets another form");
    assert!(!auto.asked("w=64&h=48&fm=png").unwrap().unwrap().follows_viewer());
    assert_eq!(webp.operations("image/png").format, Format::WebP);
    assert_eq!(webp.operations("image/jpeg").format, Format::Jpeg);
    assert_eq!(auto.asked("w=64&h=48").unwrap().unwrap().operations("image/png").format, Format::Png);
    for (accept, reads) in
        [("image/avif,image/webp,*/*;q=0.8", true), ("image/webp;q=0", false), ("*/*", false), ("", false)]
    {
        assert_eq!(reads_webp(accept), reads, "{accept}");
    }
}

#[test]
fn the_origin_is_asked_without_the_size_and_with_all_else() {
    assert_eq!(rules(&[]).without("w=64&h=48"), None);
    assert_eq!(rules(&[]).without("a=1&w=64&b&h=48&c=%20&q=3"), Some("a=1&b&c=%20&q=3".to_owned()));
    assert_eq!(free().without("a=1&w=64&q=3"), Some("a=1".to_owned()));
}

#[test]
fn a_kept_thumbnail_has_a_name_of_all_that_it_depends_on() {
    let (template, small) = ("/thumbs{path}@{size}.jpg", small());
    let name = |path, rest| kept_name(template, "www", path, rest, &small).unwrap();
    assert_eq!(name("/img/cat.jpg", None), "/thumbs/img/cat.jpg@64x48.jpg");
    assert_eq!(name("/img/cat.jpg", Some("v=2?")), "/thumbs/img/cat.jpg%3Fv=2%3F@64x48.jpg");
    assert_eq!(name("/img/cat.jpg%3Fv=2", None), "/thumbs/img/cat.jpg%253Fv=2@64x48.jpg");
    assert_eq!(name("/a%20b", Some("v=%00")), "/thumbs/a%2520b%3Fv=%2500@64x48.jpg");
    assert_eq!(kept_name("/{path}/{size}", "www", "/{size}", None, &small).unwrap(), "//{size}/64x48");
    assert_eq!(kept_name("/{site}{path}@{size}", "w{path}", "/a", None, &small).unwrap(), "/w/a/a@64x48");
    for template in ["thumbs{path}{size}", "/{path}", "/{size}", ""] {
        assert!(kept_name(template, "www", "/a", None, &small).is_err(), "{template}");
    }
}

#[test]
fn a_thumbnails_tag_leads_back_to_the_originals() {
    let small = small();
    let tag = thumbnail_tag("\"abc\"", &small).unwrap();
    assert_eq!(tag, "W/\"abc;64x48\"");
    assert_eq!(thumbnail_tag("W/\"abc\"", &small).unwrap(), tag);
    assert_eq!(original_tag(&tag, &small).unwrap(), "W/\"abc\"");
    let other = free().asked("w=64&h=48&q=1").unwrap().unwrap();
    assert_eq!(original_tag(&tag, &other), None);
    assert_eq!(thumbnail_tag("abc", &small), None);
}
