//! `selvedge hook build`: from a folder to a component, with the tools of its language.

use super::super::{Exit, data, talk};
use super::borrows;
use super::folder;
use super::joined;
use super::language::Language;
use hooks::{Inspection, WasmSource};
use serde_json::json;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The hook's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let told = build(&arguments.folder).and_then(|wasm| {
        let found = inspect(&wasm)?;
        Ok((wasm, found))
    });
    match told {
        Ok((wasm, found)) => {
            match arguments.json {
                true => data(&format!("{:#}", as_json(&wasm, &found))),
                false => data(&text(&wasm, &found)),
            }
            Exit::Ok
        }
        Err(message) => {
            match arguments.json {
                true => data(&format!("{:#}", json!({ "ok": false, "error": message }))),
                false => talk(&format!("error: {message}")),
            }
            Exit::Failed
        }
    }
}

/// Builds the component and says where it is.
fn build(folder: &Path) -> Result<PathBuf, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let folder = folder.canonicalize().map_err(unreadable)?;
    let wasm = folder.join(format!("{}.wasm", folder::name(&folder).map_err(unreadable)?));
    let made = folder.join(format!(".{}.tmp", folder::name(&folder).map_err(unreadable)?));
    let language = Language::of(&folder).ok_or_else(|| {
        format!(
            "{} is no hook's folder: Cargo.toml, package.json, app.py and main.c are not there; `selvedge hook new NAME` makes one",
            folder.display()
        )
    })?;
    match language {
        Language::Rust => rust(&folder, &made)?,
        Language::Js => javascript(&folder, &made)?,
        Language::Python => python(&folder, &made)?,
        Language::C => c(&folder, &made)?,
    }
    join(&made)?;
    // At once: a node that watches the file must not read half of it.
    std::fs::rename(&made, &wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
    Ok(wasm)
}

/// Makes one module of those that the language's tool links, so that an instance costs less.
fn join(made: &Path) -> Result<(), String> {
    let unusable = |error: io::Error| format!("{}: {error}", made.display());
    let component = std::fs::read(made).map_err(unusable)?;
    match joined::joined(&component) {
        Ok(Some(joined)) => std::fs::write(made, joined).map_err(unusable),
        Ok(None) => Ok(()),
        Err(error) => {
            // It works as it is.
            talk(&format!("the component's modules stay apart, and its instances dear: {error}"));
            Ok(())
        }
    }
}

fn rust(folder: &Path, made: &Path) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--release",
        "--target",
        "wasm32-wasip2",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let install = "install Rust from https://rustup.rs, then: rustup target add wasm32-wasip2";
    let told = step(cargo.current_dir(folder), "cargo build --release --target wasm32-wasip2", install)?;
    let built = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files: Vec<PathBuf> = built
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|file| file.extension() == Some(OsStr::new("wasm")))
        .collect();
    let last = files
        .last()
        .ok_or("cargo made no component; has Cargo.toml a [lib] with crate-type = [\"cdylib\"]?")?;
    std::fs::copy(last, made).map(drop).map_err(|error| format!("{}: {error}", last.display()))
}

/// By QuickJS where package.json has its tool, or by SpiderMonkey.
fn javascript(folder: &Path, made: &Path) -> Result<(), String> {
    let package = std::fs::read_to_string(folder.join("package.json"));
    let package = package.map_err(|error| format!("{}/package.json: {error}", folder.display()))?;
    if package.contains("\"componentize-qjs\"") { quickjs(folder, made) } else { spidermonkey(folder, made) }
}

fn quickjs(folder: &Path, made: &Path) -> Result<(), String> {
    let mut componentize = Command::new(node_tool(folder, "componentize-qjs")?);
    componentize.args(["--sync", "--wit", "wit", "--world", "hook", "--js", "hook.js", "--output"]).arg(made);
    step(componentize.current_dir(folder), "componentize-qjs --js hook.js", NODE)?;
    let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}", made.display());
    let component = std::fs::read(made).map_err(|error| unusable(&error))?;
    let mended = borrows::mended(&component).map_err(|error| unusable(&error))?;
    std::fs::write(made, mended).map_err(|error| unusable(&error))
}

fn spidermonkey(folder: &Path, made: &Path) -> Result<(), String> {
    let mut componentize = Command::new(node_tool(folder, "componentize-js")?);
    // Of WASI it needs clocks and output; fetching is the contract's.
    componentize.args([
        "hook.js",
        "--wit",
        "wit",
        "--world-name",
        "hook",
        "--disable",
        "http",
        "fetch-event",
        "random",
    ]);
    step(componentize.arg("--out").arg(made).current_dir(folder), "componentize-js hook.js", NODE).map(drop)
}

const NODE: &str = "install Node.js 20 or newer from https://nodejs.org, or: sudo apt-get install nodejs npm";

/// A tool that package.json names; put beside the hook when it is not there.
fn node_tool(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let tool = folder.join("node_modules/.bin").join(name);
    if !tool.is_file() {
        talk("first build: npm puts the tools into node_modules");
        let mut npm = Command::new("npm");
        step(npm.args(["install", "--no-fund", "--no-audit"]).current_dir(folder), "npm install", NODE)?;
    }
    Ok(tool)
}

fn python(folder: &Path, made: &Path) -> Result<(), String> {
    let tools = environment(folder, "componentize-py")?;
    let mut componentize = Command::new(tools.join("componentize-py"));
    componentize.args(["--wit-path", "wit", "--world", "hook", "componentize", "app", "--output"]).arg(made);
    step(componentize.current_dir(folder), "componentize-py componentize app", PYTHON).map(drop)
}

fn c(folder: &Path, made: &Path) -> Result<(), String> {
    let core = made.with_extension("core");
    let tools = environment(folder, "python-zig")?;
    let mut zig = Command::new(tools.join("python-zig"));
    zig.args([
        "cc",
        "-target",
        "wasm32-wasi",
        "-mexec-model=reactor",
        "-Os",
        "-Wall",
        "-Wl,-z,stack-size=262144",
        "-o",
    ])
    .arg(&core);
    let mut sources = Vec::new();
    for place in [folder.to_owned(), folder.join("bindings")] {
        let entries = std::fs::read_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        sources.extend(
            paths.filter(|path| {
                path.extension().is_some_and(|extension| extension == "c" || extension == "o")
            }),
        );
    }
    sources.sort();
    step(zig.args(&sources).current_dir(folder), "zig cc -target wasm32-wasi", PYTHON)?;
    let mut wrap = Command::new(node_tool(folder, "jco")?);
    step(wrap.arg("new").arg(&core).arg("--output").arg(made).current_dir(folder), "jco new", NODE)?;
    // What is left of it is in the folder's .gitignore.
    let _ = std::fs::remove_file(&core);
    Ok(())
}

const PYTHON: &str = "install Python 3.10 or newer with venv: sudo apt-get install python3 python3-venv";

/// The folder of a Python environment's programs; made beside the hook when `program` is not in it.
fn environment(folder: &Path, program: &str) -> Result<PathBuf, String> {
    let tools = folder.join(".venv/bin");
    if tools.join(program).is_file() {
        return Ok(tools);
    }
    talk("first build: pip puts the tools into .venv");
    let mut venv = Command::new("python3");
    // Through a link to a folder that several hooks share, venv makes none.
    let place = folder.join(".venv").canonicalize().unwrap_or_else(|_| folder.join(".venv"));
    step(venv.args(["-m", "venv"]).arg(place).current_dir(folder), "python3 -m venv .venv", PYTHON)?;
    let mut pip = Command::new(tools.join("pip"));
    let arguments =
        ["install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"];
    step(pip.args(arguments).current_dir(folder), "pip install --requirement requirements.txt", PYTHON)?;
    Ok(tools)
}

/// Runs one program to its end; what it says goes to our standard error, what it prints comes back.
fn step(command: &mut Command, shown: &str, install: &str) -> Result<String, String> {
    talk(&format!("{shown} …"));
    let done =
        command.stderr(std::process::Stdio::inherit()).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{} is not there: {install}", command.get_program().to_string_lossy())
            }
            _ => format!("{shown}: {error}"),
        })?;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(told);
    }
    if !told.starts_with('{') {
        talk(&told);
    }
    Err(format!("`{shown}` failed with {}; what it said is above ({install})", done.status))
}

fn inspect(wasm: &Path) -> Result<Inspection, String> {
    let engine = folder::engine()?;
    let name = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found = Inspection::of(&engine, &name, &WasmSource::File(wasm.to_owned()))
        .map_err(|error| error.to_string())?;
    if found.events.is_empty() {
        return Err(format!(
            "{} answers none of the four events: it exports no interface of selvedge:edge",
            wasm.display()
        ));
    }
    Ok(found)
}

fn text(wasm: &Path, found: &Inspection) -> String {
    let list = |items: Vec<&str>| if items.is_empty() { "nothing".to_owned() } else { items.join(", ") };
    let events = list(found.events.iter().map(|event| event.as_str()).collect());
    let imports = list(found.imports.iter().map(|import| short(import)).collect());
    format!("{} ({} KiB)\nanswers {events}\nimports {imports}", wasm.display(), found.bytes.div_ceil(1024))
}

/// `selvedge:edge/log@0.1.0` as `log`; of other packages the whole name.
fn short(import: &str) -> &str {
    let own = import.strip_prefix("selvedge:edge/").and_then(|name| name.split('@').next());
    own.unwrap_or(import)
}

fn as_json(wasm: &Path, found: &Inspection) -> serde_json::Value {
    json!({
        "ok": true,
        "wasm": wasm,
        "bytes": found.bytes,
        "events": found.events.iter().map(|event| event.as_str()).collect::<Vec<_>>(),
        "imports": found.imports,
    })
}
