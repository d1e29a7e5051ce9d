//! The parsers of the house that read what strangers send, with a rule for each beside "it does not break".

use std::cell::Cell;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use bytesize::ByteSize;
use cache::{Coding, CompressSettings, TagHeaders, TagLimits, Tags};
use edge::compress::{self, Bounds, Decoder, Step};
use edge::range::{Ranges, Wanted};
use http::{HeaderMap, HeaderValue, Method, Uri};
use origin_shield::hop::{self, Asked, HopKey};
use signing::{KeyGroup, Presented, PublicKey, SchemeName, Verdict};

use crate::fuzz;

#[test]
fn a_config_is_taken_or_refused_with_a_printable_reason() {
    fuzz(&["fuzz/corpus/config", "golden/config"], 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        let Err(errors) = edge::config::Config::parse(&text, "fuzz.toml", Path::new("/nonexistent")) else {
            return;
        };
        assert!(!errors.is_empty());
        for error in errors.iter() {
            let shown = error.to_string();
            assert!(!shown.chars().any(|letter| letter.is_control() && letter != '\n'), "{shown:?}");
            let lines = text.lines().count().max(1);
            assert!(error.place.is_none_or(|place| place.line <= lines + 1 && place.column > 0), "{shown}");
        }
    });
}

#[test]
fn no_mutation_of_a_signed_url_opens_another_resource() {
    let key = include_str!("../../signing/tests/vectors/test-key.public.pem");
    let key = PublicKey::from_pem(key).unwrap();
    let group = KeyGroup::new(vec![("KTEST".to_owned(), key.into())], &[SchemeName::Cloudfront]);
    let signed = ["/premium/film.mp4", "/premium/a%20b,c.jpg?size=large&flag&t=1+2"];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let granted = Cell::new(0);

    fuzz(&["fuzz/corpus/signed-url"], 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        let stripped = signing::strip(&text);
        assert_eq!(signing::strip(&stripped), stripped, "one pass takes everything out");
        let Ok(url) = Uri::from_str(text.trim()) else { return };
        let Some(path_and_query) = url.path_and_query() else { return };
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let presented =
            Presented::url(url.scheme_str().unwrap_or("http"), authority, path_and_query.as_str());
        if let Verdict::Granted(_) = group.verify(&presented, now) {
            let opened = signing::strip(presented.path_and_query);
            assert!(signed.contains(&opened.as_ref()), "opened {opened}");
            granted.set(granted.get() + 1);
        }
    });
    assert!(granted.get() >= 3, "not even the corpus is granted");
}

#[test]
fn no_mutation_of_a_token_or_cookie_opens_another_resource() {
    let texts = include_str!("../../signing/tests/vectors/keys.json");
    let texts: serde_json::Value = serde_json::from_str(texts).unwrap();
    let text = |id: &str, part: &str| texts[id][part].as_str().unwrap().to_owned();
    let keys = vec![
        ("rsa".to_owned(), PublicKey::from_pem(&text("rsa", "public")).unwrap().into()),
        ("p256".to_owned(), PublicKey::from_pem(&text("p256", "public")).unwrap().into()),
        ("hmac".to_owned(), signing::Secret::from_text(&text("hmac", "secret")).unwrap().into()),
    ];
    let all = [SchemeName::Cloudfront, SchemeName::UriSigning, SchemeName::Hmac];
    let group = KeyGroup::new(keys, &all).bearing(0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500);
    let granted = Cell::new(0);

    // The first line is the path and query, the others are Cookie fields; each corpus opens what begins with /live/ or /films/.
    fuzz(&["fuzz/corpus/signed-token"], 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        let mut lines = text.lines();
        let path_and_query = lines.next().unwrap_or_default();
        let cookies: Vec<&str> = lines.collect();
        let address = Some("203.0.113.9".parse().unwrap());
        let presented =
            Presented { cookies: &cookies, address, ..Presented::url("https", "cdn.test", path_and_query) };
        let stripped = group.strip(path_and_query);
        assert_eq!(group.strip(&stripped), stripped, "one pass takes everything out");
        for rest in cookies.iter().filter_map(|field| signing::strip_cookies(field.as_bytes(), &all)) {
            assert_eq!(signing::strip_cookies(&rest, &all), None, "one pass takes every cookie out");
        }
        let _ = signing::read_terms(&group, &presented, &all);
        if let Verdict::Granted(grant) = group.verify(&presented, now) {
            let asked = edge::route::Path::normalise(&stripped);
            let asked = asked.as_ref().map_or(&*stripped, |path| &path.path_and_query);
            for opened in [&*stripped, asked] {
                assert!(opened.starts_with("/live/") || opened.starts_with("/films/"), "opened {opened}");
            }
            assert!(grant.expires.is_none_or(|expires| expires > now), "{grant:?}");
            granted.set(granted.get() + 1);
        }
    });
    assert!(granted.get() >= 5, "not even the corpus is granted");
}

#[test]
fn no_mutation_of_an_encrypted_address_opens_to_another_viewer() {
    let signer = signing::SigningKey::from_text("a secret of more than thirty-two characters").unwrap();
    let key = signing::EncryptionKey::from_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
    let group =
        KeyGroup::new(vec![("K1".to_owned(), signer.verifying().unwrap())], &[SchemeName::UriSigning])
            .remembering(0)
            .decrypting_with(vec![("aes256".to_owned(), key)]);
    let at = |address: &str, path_and_query: &str| {
        let address = Some(address.parse().unwrap());
        let presented = Presented { address, ..Presented::url("https", "cdn.test", path_and_query) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500);
        matches!(group.verify(&presented, now), Verdict::Granted(_))
    };
    let granted = Cell::new(0);

    fuzz(&["fuzz/corpus/encrypted-address"], 20_000, |input| {
        let address = String::from_utf8_lossy(input);
        let claims = serde_json::json!({ "cdniuc": "regex:.*", "cdniip": address.trim() });
        let claims: signing::Claims = serde_json::from_value(claims).unwrap();
        let token = signing::sign_jwt(&claims, "K1", &signer).unwrap();
        let target = signing::in_query("/a", SchemeName::UriSigning, &token);
        // Each corpus is for viewers in 203.0.113.0/24; what is no JWE may be a network in plain words.
        let is_encrypted = address.matches('.').count() == 4;
        assert!(!is_encrypted || !at("198.51.100.1", &target), "{address}");
        granted.set(granted.get() + u32::from(is_encrypted && at("203.0.113.9", &target)));
    });
    assert!(granted.get() >= 3, "not even the corpus is granted");
}

#[test]
fn a_policy_says_the_same_after_it_was_written_again() {
    let read = Cell::new(0);
    fuzz(&["fuzz/corpus/policy"], 20_000, |input| {
        let Ok(policy) = signing::Policy::parse(input) else { return };
        assert_eq!(signing::Policy::parse(policy.to_json().as_bytes()).as_ref(), Ok(&policy));
        read.set(read.get() + 1);
    });
    assert!(read.get() >= 3, "not even the corpus is read");
}

#[test]
fn keys_are_read_or_refused() {
    fuzz(&["../signing/tests/vectors"], 3_000, |input| {
        let text = String::from_utf8_lossy(input);
        for shown in [
            PublicKey::from_pem(&text).err().map(|error| error.to_string()),
            signing::SigningKey::from_text(&text).err().map(|error| error.to_string()),
        ] {
            assert!(shown.is_none_or(|words| words.len() < 400));
        }
    });
}

#[test]
fn nobody_without_the_key_says_who_a_viewer_is() {
    let key = HopKey::new("a secret of more than thirty-two characters").unwrap();
    let asked = Asked { method: &Method::GET, authority: "www.example.com", target: "/a?b=c" };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (forever, viewer) = (Duration::MAX, IpAddr::from_str("2001:db8::1").unwrap());
    let opened = Cell::new(0);

    fuzz(&["fuzz/corpus/hop"], 20_000, |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        if let Ok(hop) = hop::open(&value, &asked, std::slice::from_ref(&key), forever, now) {
            assert_eq!((hop.viewer, hop.scheme), (viewer, "https"), "{value:?}");
            assert_eq!(hop.request_id, "4bf92f3577b34da6a3ce929d0e0e4736", "{value:?}");
            opened.set(opened.get() + 1);
        }
        if let Ok(said) = hop::read(&value) {
            let again = hop::seal(&said, &asked, Some(&key), now).unwrap();
            assert_eq!(hop::open(&again, &asked, std::slice::from_ref(&key), forever, now), Ok(said));
        }
    });
    assert!(opened.get() >= 1, "not even the corpus opens");
}

#[test]
fn cache_control_never_keeps_what_any_line_forbids() {
    fuzz(&["fuzz/corpus/cache-control"], 20_000, |input| {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
        for line in input.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append("cache-control", value);
            }
        }
        assert!(cache::control::Directives::of_response(&headers).no_store);
    });
}

#[test]
fn no_coding_is_sent_that_the_viewer_does_not_name() {
    let formats = [Coding::Zstd, Coding::Br, Coding::Gzip];
    fuzz(&["fuzz/corpus/accept-encoding"], 20_000, |input| {
        let mut headers = HeaderMap::new();
        for line in input.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append("accept-encoding", value);
            }
        }
        let Some(chosen) = compress::negotiate(&headers, &formats) else { return };
        assert!(compress::accepts(&headers, chosen), "{chosen:?}");
        let said = String::from_utf8_lossy(input).to_ascii_lowercase();
        assert!(said.contains(chosen.token()) || said.contains('*'), "{chosen:?}");
    });
}

#[test]
fn no_encoded_body_becomes_larger_than_it_may() {
    let settings = CompressSettings { decoded_max: ByteSize::mib(3), ..CompressSettings::default() };
    let (most, ratio) = (settings.decoded_max.as_u64(), u64::from(settings.decoded_ratio));
    let whole = Cell::new(0);
    fuzz(&["fuzz/corpus/encoded"], 5_000, |input| {
        for coding in Coding::ALL {
            let mut decoder = Decoder::new(coding, Bounds::of(&settings)).unwrap();
            let mut pieces = input.chunks(1 + input.len() / 3);
            let end = loop {
                match decoder.step() {
                    Ok(Step::Made(piece)) => assert!(!piece.is_empty() && piece.len() <= 64 * 1024),
                    Ok(Step::Hungry) => match pieces.next() {
                        Some(piece) => decoder.feed(Bytes::copy_from_slice(piece)),
                        None => decoder.end(),
                    },
                    end => break end,
                }
            };
            let made = decoder.made();
            if end == Ok(Step::Done) {
                whole.set(whole.get() + u32::from(made > 0));
                assert!(
                    made <= most && made <= (1 << 20).max(input.len() as u64 * ratio),
                    "{coding:?} {made}"
                );
            }
            assert!(made <= most + 64 * 1024, "{coding:?} {made}");
        }
    });
    assert!(whole.get() >= 3, "not even the corpus decodes");
}

#[test]
fn the_keys_query_holds_nothing_that_was_not_asked_for() {
    let names = vec!["v".to_owned(), "w".to_owned()];
    let query = cache::QuerySelection::Only(names.clone());
    let settings = cache::KeySettings { query, headers: Vec::new(), cookies: names.clone() };
    fuzz(&["fuzz/corpus/query"], 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        let chosen = settings.select_query(&text);
        let pairs = || chosen.split('&').filter(|pair| !pair.is_empty());
        assert!(
            pairs().all(|pair| names.iter().any(|name| pair.split('=').next() == Some(name.as_str()))),
            "{chosen}"
        );
        assert!(pairs().all(|pair| text.split('&').any(|sent| sent == pair)), "{chosen}");
        if let Ok(value) = HeaderValue::from_bytes(input) {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", value);
            let _ = settings.select_cookies(&headers);
        }
    });
}

#[test]
fn ranges_never_give_a_byte_twice_nor_one_that_is_not_there() {
    fuzz(&["fuzz/corpus/range"], 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        let Some(ranges) = Ranges::read(text.trim(), 16) else { return };
        assert!((1..=16).contains(&ranges.spans().len()));
        for total in [0, 1, 10, 5 << 30, u64::MAX] {
            let parts = match ranges.within(total) {
                Wanted::Whole | Wanted::Unsatisfiable => continue,
                Wanted::Part(part) => vec![part],
                Wanted::Parts(parts) => parts,
            };
            assert!(parts.iter().all(|part| part.start < part.end && part.end <= total), "{parts:?}");
            let mut sorted = parts.clone();
            sorted.sort_by_key(|part| part.start);
            assert!(sorted.windows(2).all(|two| two[0].end <= two[1].start), "{parts:?}");
        }
    });
}

#[test]
fn what_an_origin_says_of_a_part_lies_within_the_whole() {
    fuzz(&["fuzz/corpus/content-range"], 20_000, |input| {
        let Ok(value) = HeaderValue::from_bytes(input.trim_ascii()) else { return };
        if let Some(sliced) = cache::Sliced::read(&value) {
            let last = sliced.slice_at(sliced.total() - 1).unwrap();
            assert!(last.bytes.end == sliced.total() && last.index + 1 == sliced.count(), "{sliced:?}");
            assert_eq!(sliced.slice_at(sliced.total()), None);
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-range", value);
        if let Some((part, total)) = cache::slice::content_range(&headers) {
            assert!(part.start < part.end && part.end <= total, "{part:?} of {total}");
        }
    });
}

#[test]
fn a_geo_database_that_is_damaged_places_nobody_wrongly_large_or_endlessly() {
    let addresses: Vec<IpAddr> =
        ["198.51.100.7", "192.0.2.7", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::ffff:192.0.2.7"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
    fuzz(&["../geo/fixtures", "fuzz/corpus/geo-database"], 20_000, |input| {
        let Ok(locator) = geo::Locator::from_bytes(input.to_vec()) else { return };
        for address in &addresses {
            let _ = (locator.locate(*address), locator.locality(*address));
        }
    });
}

#[test]
fn what_the_disk_tier_reads_is_what_was_written() {
    use cache::disk::format::{HEADER, decode, encode};
    let read = Cell::new(0);
    let attempt = |bytes: Vec<u8>| {
        let bytes = bytes::Bytes::from(bytes);
        let Ok((sequence, item)) = decode(&bytes) else { return };
        let mut again = Vec::new();
        encode(&mut again, sequence, &item).unwrap();
        assert!(bytes.starts_with(&again), "{item:?}");
        read.set(read.get() + 1);
    };
    fuzz(&["fuzz/corpus/disk-item"], 20_000, |input| {
        attempt(input.to_vec());
        // With checksums that fit, so that what lies behind them is reached too.
        let mut mended = input.to_vec();
        if let Some((header, payload)) = mended.split_at_mut_checked(HEADER) {
            header[40..48].copy_from_slice(&cache::disk::name_of(payload).to_le_bytes());
            let checksum = cache::disk::name_of(&header[..48]);
            header[48..].copy_from_slice(&checksum.to_le_bytes());
        }
        attempt(mended);
    });
    assert!(read.get() > 1_000, "only {} inputs were read", read.get());
}

#[test]
fn tags_stay_within_their_limits_and_the_surplus_is_counted() {
    let limits = TagLimits { count: 4, length: 8 };
    let names = TagHeaders::default().0;
    fuzz(&["fuzz/corpus/tags"], 20_000, |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        for name in &names {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.clone());
            let (few, all) = (Tags::read(&headers, &names, limits), Tags::read(&headers, &names, UNLIMITED));
            assert!(few.len() <= limits.count);
            assert!(few.len() + few.dropped() >= all.len(), "{name}: {value:?}");
            // A list of strings is one over all lines: two halves of a string make a whole.
            if name != "cache-groups" {
                headers.append(name, value.clone());
                assert_eq!(Tags::read(&headers, &names, UNLIMITED), all, "said twice is said once");
            }
        }
    });
}

const UNLIMITED: TagLimits = TagLimits { count: usize::MAX, length: usize::MAX };

#[test]
fn a_picture_is_made_within_its_limits_or_refused_in_words() {
    let limits = picture::Limits { pixels: 20_000, memory: 8 << 20 };
    let square = picture::Operations { width: Some(6), height: Some(6), ..picture::Operations::default() };
    let formats = [picture::Format::Keep, picture::Format::Jpeg, picture::Format::WebP];
    let made = Cell::new(0);

    fuzz(&["fuzz/corpus/picture"], 4_000, |input| {
        let operations = picture::Operations { format: formats[input.len() % 3], ..square.clone() };
        let head = picture::info(input);
        let outcome = picture::Plan::new(input, &operations, limits).and_then(picture::Plan::run);
        match (head, outcome) {
            (Ok(head), Ok(picture)) => {
                assert!(u64::from(head.width) * u64::from(head.height) <= limits.pixels);
                assert_eq!((picture.width, picture.height), (6, 6));
                assert!(picture::info(&picture.bytes).is_ok());
                made.set(made.get() + 1);
            }
            (Err(_), Ok(_)) => panic!("a picture was made of what is none"),
            (_, Err(error)) => assert!(!error.to_string().is_empty()),
        }
    });
    assert!(made.get() >= 10, "not even the corpus is decoded");
}
