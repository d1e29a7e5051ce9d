//! Where in a guest a call was stopped: its functions, and lines of their source where the component carries line tables.

use wasmtime::WasmBacktrace;

/// Functions in a report; a deep recursion would fill pages.
const MAX_FRAMES: usize = 12;

/// What a panic goes through before it traps: where it came from is behind these.
const MACHINERY: [&str; 11] = [
    "abort",
    "std::process::abort",
    "std::panicking::",
    "std::sys::",
    "std::rt::",
    "core::panicking::",
    "core::option::",
    "core::result::",
    "panic_abort::",
    "rust_panic",
    "__rust",
];

struct Frame<'a> {
    name: String,
    place: Option<&'a str>,
    depth: u32,
}

/// Functions, innermost first, a recursion once with its depth: `greet::decide at src/lib.rs:12`.
pub(crate) fn trace(error: &wasmtime::Error) -> Vec<String> {
    error.downcast_ref::<WasmBacktrace>().map(|backtrace| read(&backtrace.to_string())).unwrap_or_default()
}

/// The engine's own rendering is taken apart because it demangles. A frame is `  3:  0x1a2b - module!path::function::h0123456789abcdef`;
/// with line tables the module is left out, `at FILE:LINE:COLUMN` comes on a line of its own, and functions that were inlined follow
/// as frames without a number.
fn read(rendered: &str) -> Vec<String> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in rendered.lines() {
        match (line.trim_start().strip_prefix("at "), line.split_once(" - "), frames.last_mut()) {
            // Of a recursion the innermost place.
            (Some(place), _, Some(last)) => drop(last.place.get_or_insert(place)),
            (None, Some((_, name)), last) => {
                let name = function_name(name);
                match last.filter(|last| last.name == name) {
                    Some(last) => last.depth += 1,
                    None => frames.push(Frame { name, place: None, depth: 1 }),
                }
            }
            _ => {}
        }
    }
    let is_machinery = |frame: &Frame<'_>| MACHINERY.iter().any(|name| frame.name.starts_with(name));
    let own = frames.iter().position(|frame| !is_machinery(frame)).unwrap_or(0);
    frames[own..].iter().take(MAX_FRAMES).map(shown).collect()
}

fn shown(frame: &Frame<'_>) -> String {
    let place = frame.place.map(|place| format!(" at {}", shortened(place))).unwrap_or_default();
    let depth = if frame.depth > 1 { format!(" ({} deep)", frame.depth) } else { String::new() };
    format!("{}{place}{depth}", frame.name)
}

/// The end of the path and the line: where the author's machine keeps its sources tells nothing.
fn shortened(place: &str) -> &str {
    const SHOWN: usize = 3;

    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let place = match place.rsplit_once(':') {
        Some((rest, column))
            if is_number(column) && rest.rsplit_once(':').is_some_and(|(_, line)| is_number(line)) =>
        {
            rest
        }
        _ => place,
    };
    let cut = place.rmatch_indices('/').nth(SHOWN - 1);
    cut.map_or(place, |(at, _)| &place[at + 1..])
}

/// Without the module, and without the hashes that tell builds apart: `std[d123b7a1a2ed1472]::path` is `std::path`.
fn function_name(place: &str) -> String {
    const HASH_DIGITS: usize = 16;

    let is_hash =
        |text: &str| text.len() == HASH_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let name = place.split_once('!').map_or(place, |(_module, name)| name);
    let name = name.rsplit_once("::h").filter(|(_, hash)| is_hash(hash)).map_or(name, |(path, _)| path);
    let mut shown = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        shown.push_str(before);
        match after.split_once(']').filter(|(hash, _)| is_hash(hash)) {
            Some((_, after)) => rest = after,
            None => {
                shown.push('[');
                rest = after;
            }
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_without_its_module_and_hash() {
        assert_eq!(function_name("x-871f.wasm!guest::recurse::h2bc0f3570a9c32d9"), "guest::recurse");
        assert_eq!(function_name("x.wasm!selvedge:edge/log@0.1.0#log"), "selvedge:edge/log@0.1.0#log");
        assert_eq!(function_name("<unknown>!<wasm function 12>"), "<wasm function 12>");
        assert_eq!(function_name("x.wasm!a::help"), "a::help");
        let (told, read) =
            ("<[u8] as std[d123b7a1a2ed1472]::io::Read>::read", "<[u8] as std::io::Read>::read");
        assert_eq!(function_name(told), read);
    }

    #[test]
    fn lines_of_source_stand_beside_their_functions_inlined_ones_too() {
        let rendered = "error while executing at wasm backtrace:\n    \
            0:   0x1234 - std[d123b7a1a2ed1472]::panicking::begin_panic_handler::h0123456789abcdef\n                    \
                    at /rustc/1ab2/library/std/src/panicking.rs:697:5\n    \
            1:   0x1235 - greet::decide::h0123456789abcdef\n                    \
                    at /home/somebody/greet/src/lib.rs:12:9\n                - \
                greet::choose\n                    \
                    at /home/somebody/greet/src/lib.rs:30\n    \
            2:   0x1236 - x.wasm!run";
        assert_eq!(
            read(rendered),
            ["greet::decide at greet/src/lib.rs:12", "greet::choose at greet/src/lib.rs:30", "run"]
        );
    }

    #[test]
    fn a_recursion_is_told_once_and_the_length_is_bounded() {
        let deep: String = (0..20).map(|number| format!("  {number}: 0x1 - x.wasm!a::deep\n")).collect();
        assert_eq!(read(&deep), ["a::deep (20 deep)"]);
        let long: String = (0..20).map(|number| format!("  {number}: 0x1 - x.wasm!f{number}\n")).collect();
        assert_eq!(read(&long).len(), MAX_FRAMES);
        assert_eq!(read("  0: 0x1 - x.wasm!abort"), ["abort"], "nothing else is there");
    }
}
