//! How a stopped call is told: its functions, and lines of their source where they are known.

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

/// A function in which a call was stopped, or through which it came there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    name: Box<str>,
    /// File and line.
    place: Option<Box<str>>,
}

impl Function {
    /// A function of which the component tells more than the name; of the path the end, since where the author's machine keeps its
    /// sources tells nothing.
    pub(crate) fn at(name: &str, place: Option<(&str, Option<u32>)>) -> Self {
        const SHOWN: usize = 3;

        let place = place.map(|(path, line)| {
            let cut = path.rmatch_indices('/').nth(SHOWN - 1).map_or(0, |(at, _)| at + 1);
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}", &path[cut..]).into()
        });
        Self { name: function_name(name).into(), place }
    }

    /// The same under a better name.
    pub(crate) fn rename(&mut self, name: &str) {
        self.name = function_name(name).into();
    }
}

/// A function of which the name is known.
pub(crate) fn told(name: &str) -> Function {
    Function::at(name, None)
}

/// A name as its author wrote it; compilers write it in letters, digits and lengths.
pub(crate) fn demangled(name: &str) -> String {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return format!("{name:#}");
    }
    let name_of_cpp = cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok());
    name_of_cpp.unwrap_or_else(|| name.to_owned())
}

/// At most so many functions, innermost first, a recursion once with its depth: `greet::decide at src/lib.rs:12`.
pub(crate) fn shown(functions: impl Iterator<Item = Function>, most: usize) -> Vec<String> {
    let mut folded: Vec<(Function, u32)> = Vec::new();
    for function in functions {
        match folded.last_mut().filter(|(last, _)| last.name == function.name) {
            // Of a recursion the innermost place.
            Some((last, depth)) => {
                *depth += 1;
                last.place = last.place.take().or(function.place);
            }
            None => folded.push((function, 1)),
        }
    }
    let is_machinery = |name: &str| MACHINERY.iter().any(|known| name.starts_with(known));
    let own = folded.iter().position(|(function, _)| !is_machinery(&function.name)).unwrap_or(0);
    folded[own..].iter().take(most).map(|(function, depth)| words(function, *depth)).collect()
}

fn words(function: &Function, depth: u32) -> String {
    let place = function.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    let depth = if depth > 1 { format!(" ({depth} deep)") } else { String::new() };
    format!("{}{place}{depth}", function.name)
}

/// Without the hashes that tell builds apart: `std[d123b7a1a2ed1472]::path` is `std::path`.
fn function_name(name: &str) -> String {
    const HASH_DIGITS: usize = 16;

    let is_hash =
        |text: &str| text.len() == HASH_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
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

    fn read<const N: usize>(functions: [Function; N]) -> Vec<String> {
        shown(functions.into_iter(), 12)
    }

    #[test]
    fn a_function_is_named_as_its_author_wrote_it_without_a_hash() {
        assert_eq!(function_name("guest::recurse::h2bc0f3570a9c32d9"), "guest::recurse");
        assert_eq!(function_name("selvedge:edge/log@0.1.0#log"), "selvedge:edge/log@0.1.0#log");
        assert_eq!(function_name("<wasm function 12>"), "<wasm function 12>");
        assert_eq!(function_name("a::help"), "a::help");
        let (told, read) =
            ("<[u8] as std[d123b7a1a2ed1472]::io::Read>::read", "<[u8] as std::io::Read>::read");
        assert_eq!(function_name(told), read);
        for (mangled, read) in [
            ("_ZN5guest7recurse17h2bc0f3570a9c32d9E", "guest::recurse"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_Z4fillPcj", "fill(char*, unsigned int)"),
            ("plain_c", "plain_c"),
        ] {
            assert_eq!(function_name(&demangled(mangled)), read);
        }
    }

    #[test]
    fn lines_of_source_stand_beside_their_functions_inlined_ones_too() {
        let begun = Function::at(
            "std[d123b7a1a2ed1472]::panicking::begin_panic_handler::h0123456789abcdef",
            Some(("/rustc/1ab2/library/std/src/panicking.rs", Some(697))),
        );
        let decide = Function::at(
            "greet::decide::h0123456789abcdef",
            Some(("/home/somebody/greet/src/lib.rs", Some(12))),
        );
        let choose = Function::at("greet::choose", Some(("src/lib.rs", None)));
        assert_eq!(
            read([begun, decide, choose, told("run")]),
            ["greet::decide at greet/src/lib.rs:12", "greet::choose at src/lib.rs", "run"]
        );
    }

    #[test]
    fn a_recursion_is_told_once_with_its_innermost_place_and_the_length_is_bounded() {
        let deep = (0..20).map(|line| Function::at("a::deep", Some(("lib.rs", Some(line)))));
        assert_eq!(shown(deep, 12), ["a::deep at lib.rs:0 (20 deep)"]);
        let long = (0..20).map(|number| told(&format!("f{number}")));
        assert_eq!(shown(long, 3), ["f0", "f1", "f2"]);
        assert_eq!(read([told("abort")]), ["abort"], "nothing else is there");
    }
}
