//! The languages that hooks are written in, and what of them lies in a folder.

use clap::ValueEnum;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    Js,
    Python,
    C,
}

impl Language {
    /// By the file that the language's tools want.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let all = [
            ("Cargo.toml", Language::Rust),
            ("app.py", Language::Python),
            ("main.c", Language::C),
            // Last: C has one too, for the tool that makes the component.
            ("package.json", Language::Js),
        ];
        all.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, language)| language)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::Js => "JavaScript",
            Language::Python => "Python",
            Language::C => "C",
        }
    }

    /// The file that an author edits.
    pub(super) fn source(self) -> &'static str {
        match self {
            Language::Rust => "src/lib.rs",
            Language::Js => "hook.js",
            Language::Python => "app.py",
            Language::C => "main.c",
        }
    }

    /// Where the contract lies.
    pub(super) fn contract(self) -> &'static str {
        match self {
            Language::Rust => "sdk/wit",
            Language::Js | Language::Python => "wit/deps/selvedge-edge",
            Language::C => "wit",
        }
    }
}
